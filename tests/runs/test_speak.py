"""The pipeline: what is recorded is what is heard; nothing is made twice; what fails is kept."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import OZ, ROOT
from fakes import ToneEngine, speaking_with

from chatter_nb.audio import writer
from chatter_nb.base.errors import Cancelled, EngineError, InputError, OutputError, ParamError
from chatter_nb.engines import registry
from chatter_nb.engines.models import pick_engine
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.speak import generate_tts, load_speech, render_speech
from chatter_nb.runs.speak_plan import plan_speech
from chatter_nb.runs.store import ChunkStore
from chatter_nb.text.chunking import split_chunks

PARAGRAPHS = [
    f"This is sentence one of part {i}. It is followed by another one. And a third ends it."
    for i in range(10)
]
TEN = "\n\n".join(PARAGRAPHS)


@pytest.fixture
def hum(tmp_path):
    """Run the pipeline on a fake engine; returns (speech, engine)."""

    def run(text=TEN, *, engine=None, progress=None, cancelled=None, **values):
        values = {"outputs_dir": str(tmp_path), "run_name": "run", "text": text} | values
        with speaking_with(engine or ToneEngine()) as used:
            return generate_tts(SpeakParams.create(values), progress, cancelled), used

    return run


def wav_bytes(folder: Path) -> bytes:
    return (folder / "speech.wav").read_bytes()


def test_the_record_proves_the_audio(speak):
    """run.json: every field of the interface, the text whole, spans and checksums true."""
    speech = speak(text="Hello there. [pause 500ms] All is well.\n\nBye.", formats=["wav", "flac"])
    record = json.loads((speech.folder / "run.json").read_text())
    fields = "schema kind status error run_name started params engine seed chunks seams_samples "
    fields += "audio_s wall_s rtf model_calls stages_s peak_rss_mb peak_gpu_mb files versions"
    assert set(fields.split()) <= set(record)
    assert (record["schema"], record["kind"], record["status"]) == (1, "speak", "ok")
    assert "".join(c["text"] for c in record["chunks"]) == "Hello there. All is well. Bye."
    assert record["engine"]["name"] == "hibari"
    assert record["engine"]["reason"]
    assert RunFolder(speech.folder).is_proved()
    samples, rate = speech.read()
    assert len(samples) / rate == pytest.approx(record["audio_s"])
    for chunk in record["chunks"]:
        start, end = (round(chunk[key] * rate) for key in ("start_s", "end_s"))
        assert np.abs(samples[start:end]).max() > 0.05
        pause = samples[end : end + round(chunk["pause_ms"] * rate / 1000)]
        assert np.abs(pause).max(initial=0) == 0
    assert record["seams_samples"][0] == round(record["chunks"][0]["end_s"] * rate)


def test_a_changed_file_proves_nothing(speak):
    speech = speak(text="Hello.")
    with speech.files[0].open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert not RunFolder(speech.folder).is_proved()


def test_same_seed_same_bytes_in_one_process(speak, tmp_path):
    """Every format with that promise, from an empty store each time."""
    formats = ["wav", "flac", "mp3"]
    runs = [
        speak(text=TEN, formats=formats, outputs_dir=str(tmp_path / name)) for name in ("a", "b")
    ]
    assert runs[1].record.model_calls == len(runs[1].record.chunks)
    assert [f.sha256 for f in runs[0].record.files] == [f.sha256 for f in runs[1].record.files]
    other = speak(text=TEN, formats=formats, seed=1)
    assert other.record.files[0].sha256 != runs[0].record.files[0].sha256


def test_same_seed_same_bytes_in_two_processes(speak, cli, tmp_path):
    ours = speak(text=TEN, outputs_dir=str(tmp_path / "a"))
    cli(
        "speak",
        "-p",
        f"text={TEN}",
        "-p",
        f"outputs_dir={tmp_path / 'b'}",
        "-p",
        "run_name=run",
        check=0,
    )
    assert wav_bytes(ours.folder) == wav_bytes(tmp_path / "b" / "run")


def start_speaking(folder: Path) -> subprocess.Popen:
    """Speak the demo text in a process; returns once a few chunks are finished."""
    command = [sys.executable, "-m", "chatter_nb.cli", "speak", "-p", f"text_file={OZ}"]
    command += ["-p", f"outputs_dir={folder}", "-p", "run_name=oz"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until = time.monotonic() + 600
    while len(list(folder.glob(".chunks/??/*.npy"))) < 5:  # renamed into place last
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.005)
    return process


def test_a_killed_run_resumes_to_the_same_bytes(speak, tmp_path):
    """kill -9 in mid-run: no run.json, no audio in place; then the same bytes as never killed."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start_speaking(killed)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "oz" / "run.json").exists()
    assert not (killed / "oz" / "speech.wav").exists()
    assert (killed / "oz" / "run.partial.json").exists()
    resumed = speak(text_file=str(OZ), outputs_dir=str(killed), run_name="oz")
    straight = speak(text_file=str(OZ), outputs_dir=str(whole), run_name="oz")
    assert 5 <= len([c for c in resumed.record.chunks if c.cached]) < len(resumed.record.chunks)
    assert wav_bytes(resumed.folder) == wav_bytes(straight.folder)
    assert not (killed / "oz" / "run.partial.json").exists()


def test_ctrl_c_stops_cleanly_and_resumes(speak, tmp_path):
    """One SIGINT: exit code 130, run.json says cancelled, what was finished is used again."""
    process = start_speaking(tmp_path)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 130, out
    assert "run the same again to resume" in out
    record = json.loads((tmp_path / "oz" / "run.json").read_text())
    assert (record["status"], record["files"]) == ("cancelled", [])
    resumed = speak(text_file=str(OZ), run_name="oz")
    assert any(chunk.cached for chunk in resumed.record.chunks)
    assert resumed.record.status == "ok"


def test_ctrl_c_before_the_first_chunk_says_so_too(tmp_path):
    """While the plan is made: 130 and a sentence, no traceback."""
    code = (
        "import chatter_nb.runs.speak_texts as texts, os, signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "kill = lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(5))\n"
        "texts.read_sources = lambda path, **_: kill()\n"
        "from chatter_nb.cli.app import main\nmain()"
    )
    args = ["speak", "-p", f"text_file={OZ}", "-p", f"outputs_dir={tmp_path}"]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert "interrupted: what is finished is kept" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_edit_makes_again_only_its_own_paragraph(hum):
    """A sentence put at the start of ten paragraphs: only the first one's chunks are made."""
    before, _ = hum(chunk_chars=40)
    after, engine = hum("A new first sentence. " + TEN, chunk_chars=40)
    first = split_chunks("A new first sentence. " + PARAGRAPHS[0], chunk_chars=40)
    new = {chunk.spoken for chunk in first} - {chunk.text.strip() for chunk in before.record.chunks}
    assert sorted(engine.spoken) == sorted(new)
    assert [c.index for c in after.record.chunks if not c.cached] == list(range(len(new)))


def test_an_edit_at_the_start_with_the_real_voice(speak):
    """The same, counted on the embedded voice: one call for the first paragraph's one chunk."""
    speak(text=TEN)
    edited = speak(text="A new first sentence. " + TEN)
    assert edited.record.model_calls == 1
    assert [c.index for c in edited.record.chunks if not c.cached] == [0]


def test_a_paragraph_added_at_the_end_makes_only_its_own_chunks(hum):
    """The space that now follows the last chunk is not part of what is spoken."""
    hum()
    _, engine = hum(TEN + "\n\nOne more.")
    assert engine.spoken == ["One more."]


def test_pauses_and_formats_cost_no_model_call(hum):
    hum()
    speech, engine = hum(paragraph_pause_ms=50, crossfade_ms=5, formats=["flac"])
    assert (engine.spoken, speech.record.model_calls) == ([], 0)


def test_equal_texts_get_their_own_seeds_and_all_are_made(hum):
    """A refrain is spoken anew each time, from its occurrence, not its place."""
    speech, engine = hum("La la la.\n\nSomething else.\n\nLa la la.")
    first, _, third = speech.record.chunks
    assert first.seed != third.seed
    assert len(engine.spoken) == 3
    again, engine = hum("Something else.\n\nLa la la.\n\nLa la la.")
    assert engine.spoken == []
    assert [c.seed for c in again.record.chunks[1:]] == [first.seed, third.seed]


def test_a_take_makes_one_chunk_again(hum):
    """`takes` goes by the key of take 0, which the record keeps as take_of."""
    before, _ = hum()
    key = before.record.chunks[3].key
    speech, engine = hum(takes={key: 2})
    chunk = speech.record.chunks[3]
    assert (chunk.take, chunk.take_of, len(engine.spoken)) == (2, key, 1)
    assert chunk.key != key
    back, engine = hum()
    assert (engine.spoken, back.record.chunks[3].key) == ([], key)
    with pytest.raises(ParamError, match=r"takes names ffff, which is no chunk"):
        hum(takes={"ffff": 1})


def test_chunks_that_finish_out_of_order_are_joined_in_order(hum, tmp_path):
    straight, _ = hum()
    backwards = ToneEngine(order=lambda requests: requests[::-1])
    mixed, _ = hum(engine=backwards, outputs_dir=str(tmp_path / "other"))
    assert wav_bytes(straight.folder) == wav_bytes(mixed.folder)


def test_a_failing_chunk_fails_the_run_and_keeps_the_others(hum, tmp_path):
    """Nothing is zero-filled; the record says failed and why; the next run makes only the rest."""
    with pytest.raises(EngineError, match="told to fail at chunk 6"):
        hum(engine=ToneEngine(fail_at=6))
    record = load_speech(tmp_path / "run").record
    assert (record.status, record.files) == ("failed", ())
    assert record.error == "the tone engine was told to fail at chunk 6"
    assert not (tmp_path / "run" / "speech.wav").exists()
    speech, engine = hum()
    assert (speech.record.status, len(engine.spoken)) == ("ok", 4)


def test_silence_for_words_is_an_error(hum, monkeypatch):
    monkeypatch.setattr(ToneEngine, "_hum", lambda self, request: np.zeros(2400, np.float32))
    with pytest.raises(EngineError, match="only silence of 'This is sentence"):
        hum()


def test_cancelling_stops_after_the_chunk_in_hand(hum, tmp_path):
    seen = []
    with pytest.raises(Cancelled, match="after 3 of 10 chunks"):
        hum(progress=seen.append, cancelled=lambda: len(seen) == 3)
    assert load_speech(tmp_path / "run").record.status == "cancelled"
    _, engine = hum()
    assert len(engine.spoken) == 7


def test_the_next_output_does_not_wait_for_the_encoder(hum, tmp_path, monkeypatch):
    """The first text's file takes no sample until the second text is spoken."""
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "1.txt").write_text("The first text.")
    (texts / "2.txt").write_text("The second text.")
    engine, encode = ToneEngine(), writer._Sink._write
    second_is_spoken, speak_tone = threading.Event(), engine._hum

    def hum_and_tell(request):
        if request.text == "The second text.":
            second_is_spoken.set()
        return speak_tone(request)

    def slow(sink, block):
        assert second_is_spoken.wait(60)
        encode(sink, block)

    monkeypatch.setattr(engine, "_hum", hum_and_tell)
    monkeypatch.setattr(writer._Sink, "_write", slow)
    speech, _ = hum("", text_file=str(texts), merge=False, engine=engine)
    assert [file.name for file in speech.record.files] == ["1.wav", "2.wav"]
    assert RunFolder(speech.folder).is_proved()


@pytest.mark.parametrize("stop", [Cancelled, KeyboardInterrupt, EngineError])
def test_a_run_that_stops_keeps_the_chunk_in_flight(stop, hum, monkeypatch):
    """The disk takes the third chunk only after the run was stopped; no thread is left."""
    engine, stopping, put, puts = ToneEngine(), threading.Event(), ChunkStore.put, count(1)

    def slow_put(*args):
        if next(puts) == 3:
            assert stopping.wait(60)
            time.sleep(0.2)
        put(*args)

    def cancelled():
        if len(engine.spoken) < 3:
            return False
        stopping.set()
        if stop is not Cancelled:
            raise stop("stopped")
        return True

    monkeypatch.setattr(ChunkStore, "put", slow_put)
    threads = threading.active_count()
    with pytest.raises(stop):
        hum(engine=engine, cancelled=cancelled)
    assert threading.active_count() == threads
    assert len(hum()[1].spoken) == 7


@pytest.mark.parametrize("stop_at", [10, 3])
def test_a_store_that_fails_at_the_last_chunk_fails_the_run(stop_at, hum, tmp_path, monkeypatch):
    """Nobody hands over another chunk; where the run is stopped anyway, the error says both."""
    engine, put, puts = ToneEngine(), ChunkStore.put, count(1)

    def failing_put(*args):
        if next(puts) == stop_at:
            raise OutputError("the disk is gone")
        put(*args)

    monkeypatch.setattr(ChunkStore, "put", failing_put)
    with pytest.raises(OutputError if stop_at == 10 else Cancelled) as caught:
        hum(engine=engine, cancelled=lambda: len(engine.spoken) == stop_at)
    told = [str(caught.value), *getattr(caught.value, "__notes__", ())]
    assert "the disk is gone" in told[-1]
    assert load_speech(tmp_path / "run").record.status == (
        "failed" if stop_at == 10 else "cancelled"
    )
    assert not (tmp_path / "run" / "speech.wav").exists()
    monkeypatch.undo()
    assert len(hum()[1].spoken) == 11 - stop_at


def test_progress_tells_every_chunk(hum):
    seen = []
    speech, _ = hum(TEN + " " + "and then " * 60, progress=seen.append)
    total = len(speech.record.chunks)
    assert [p.done for p in seen] == list(range(1, total + 1))
    assert {p.total for p in seen} == {total}
    assert seen[-1].audio_s == pytest.approx(speech.audio_s)
    assert 0 in [c.pause_ms for c in speech.record.chunks[:-1]], "no overlap, no proof"


def test_a_resume_survives_clean_unused(hum, cli, tmp_path):
    """The chunks of a run that was stopped are in use: its resume needs them."""
    with pytest.raises(EngineError):
        hum(engine=ToneEngine(fail_at=6))
    cli("clean", "--unused", "--outputs-dir", tmp_path, check=0)
    _, engine = hum()
    assert len(engine.spoken) == 4


def test_a_killed_runs_chunks_survive_clean_unused(cli, tmp_path):
    process = start_speaking(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list(tmp_path.glob(".chunks/??/*.npy")))
    cli("clean", "--unused", "--outputs-dir", tmp_path, check=0)
    assert len(list(tmp_path.glob(".chunks/??/*.npy"))) == kept >= 5


def test_leftovers_of_a_killed_run_go_with_the_next(hum, tmp_path):
    """Half-written audio of a book is gigabytes: the next run of that name removes it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".speech.wav.abcd.part").write_bytes(b"half")
    speech, _ = hum()
    assert sorted(path.name for path in speech.folder.iterdir()) == ["run.json", "speech.wav"]


def test_a_run_that_ends_badly_over_a_complete_one_leaves_it_proved(hum):
    """The earlier audio and its proof stay; run.partial.json says how the new run ended."""
    before, _ = hum()
    with pytest.raises(EngineError):
        hum(seed=3, engine=ToneEngine(fail_at=3))
    folder = RunFolder(before.folder)
    assert folder.is_proved()
    assert (folder.record(), folder.unfinished().status) == (before.record, "failed")
    speech, engine = hum(seed=3)
    assert (folder.record(), len(engine.spoken)) == (speech.record, 7)
    assert folder.unfinished() is None


def test_clean_does_not_take_what_a_stopped_run_needs_however_old(hum, cli, tmp_path):
    with pytest.raises(EngineError):
        hum(engine=ToneEngine(fail_at=6))
    for chunk in tmp_path.glob(".chunks/??/*.npy"):
        os.utime(chunk, (0, 0))
    cli("clean", "--older-than", "1d", "--outputs-dir", tmp_path, check=0)
    assert len(hum()[1].spoken) == 4


def test_run_json_never_proves_replaced_audio(hum, monkeypatch):
    """Killed between the audio's rename and run.json's: no run.json is there to say ok."""
    before, _ = hum()

    def killed(folder, record):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "end", killed)
    with pytest.raises(KeyboardInterrupt):
        hum(seed=3)
    monkeypatch.undo()
    assert RunFolder(before.folder).record() is None
    assert wav_bytes(before.folder)
    speech, engine = hum(seed=3)
    assert (RunFolder(speech.folder).is_proved(), engine.spoken) == (True, [])


def test_no_output_of_several_is_in_place_before_all_are_made(hum, tmp_path):
    """A failure in the second text leaves the first one's earlier audio as it was."""
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "1.txt").write_text("One.")
    (texts / "2.txt").write_text("Two.\n\nAnd more.")
    before, _ = hum("", text_file=str(texts), merge=False)
    audio = (before.folder / "1.wav").read_bytes()
    with pytest.raises(EngineError):
        hum("", text_file=str(texts), merge=False, seed=5, engine=ToneEngine(fail_at=1))
    assert (before.folder / "1.wav").read_bytes() == audio


def test_audio_that_is_not_of_the_run_goes_even_after_a_failure_in_between(hum):
    """wav and flac, then a failure, then wav alone: no flac of the first run is left."""
    hum(formats=["wav", "flac"])
    with pytest.raises(EngineError):
        hum(seed=2, engine=ToneEngine(fail_at=3))
    speech, _ = hum(seed=2)
    assert sorted(path.name for path in speech.folder.iterdir()) == ["run.json", "speech.wav"]


def test_two_runs_do_not_write_one_folder(hum, tmp_path):
    """The second is refused while the first is under way; another name is free."""
    told = []

    def intrude(progress):
        if progress.done == 2:
            with pytest.raises(OutputError, match="another run is writing to") as caught:
                hum(seed=9)
            told.append(caught.value.exit_code)
            hum("Elsewhere.", run_name="other")

    speech, _ = hum(progress=intrude)
    assert told == [2]
    assert RunFolder(speech.folder).is_proved()


def test_each_output_tells_its_own_chunks_origin(hum, tmp_path):
    """Two files of the same text: made once, kept once, each with its file as source."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in ("1.txt", "2.txt"):
        (texts / name).write_text("The same.")
    speech, engine = hum("", text_file=str(texts), merge=False)
    assert engine.spoken == ["The same."]
    assert [(c.cached, c.attempts) for c in speech.record.chunks] == [(False, 1), (True, 0)]
    assert [o.source for o in speech.record.outputs] == [str(texts / n) for n in ("1.txt", "2.txt")]


def test_a_damaged_chunk_is_made_again_and_told(hum, tmp_path):
    before, _ = hum()
    key = before.record.chunks[2].key
    (tmp_path / ".chunks" / key[:2] / f"{key}.npy").write_bytes(b"junk")
    speech, engine = hum()
    assert engine.spoken == [PARAGRAPHS[2]]
    assert speech.record.warnings == (f"kept chunk {key} was damaged and is made again",)
    assert speech.record.files == before.record.files


def test_a_chunk_with_odd_notes_is_made_again_and_told(hum, tmp_path):
    """Its samples are sound; what is known of them is not."""
    before, _ = hum()
    for at, odd in ((1, {"notes": None}), (4, {"parts": "x"})):
        key = before.record.chunks[at].key
        path = tmp_path / ".chunks" / key[:2] / f"{key}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | odd))
    speech, engine = hum()
    assert engine.spoken == [PARAGRAPHS[1], PARAGRAPHS[4]]
    assert [note.split(" was ")[1] for note in speech.record.warnings] == [
        "damaged and is made again"
    ] * 2
    assert speech.record.files == before.record.files


@pytest.mark.parametrize("name", ["run.json", "run.partial.json", "speech.wav"])
def test_a_folder_where_a_file_goes_is_told_before_the_work(hum, tmp_path, name):
    (tmp_path / "run" / name).mkdir(parents=True)
    engine = ToneEngine()
    with pytest.raises(OutputError, match=rf"{name}: a folder is in its place: move it away"):
        hum(engine=engine)
    assert engine.spoken == []


def test_proofs_survive_a_power_cut_and_chunks_cost_no_wait(hum, monkeypatch):
    """run.json is on the disk before it has its name; a chunk that is lost is made again."""
    steps = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("sync"), sync(handle)))
    monkeypatch.setattr(
        os, "replace", lambda part, path: (steps.append(Path(path).name), replace(part, path))
    )
    hum()
    records = [step for step in steps if step == "sync" or step.startswith("run")]
    assert records == ["run.partial.json", "sync", "run.json", "sync"]
    assert len(steps) > 4 + 2 * len(PARAGRAPHS)


def test_a_disk_that_fails_after_the_audio_is_in_place_is_told(hum, monkeypatch):
    """The temporary names that are no longer there are not worth failing for; the proof is."""
    hum()
    unlink, stale = Path.unlink, [".wav."]

    def fails(path, missing_ok=False):
        if any(part in path.name for part in stale):
            raise OSError(errno.ESTALE, "Stale file handle")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fails)
    assert hum(seed=3)[0].record.status == "ok"
    stale.append("run.json")
    with pytest.raises(OutputError, match=r"cannot write .*run\.json: Stale file handle"):
        hum()


def test_a_file_that_cannot_be_read_back_is_told_and_proves_nothing(hum, monkeypatch):
    before, _ = hum()

    def fails(file, name):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("chatter_nb.runs.record.hashlib.file_digest", fails)
    assert not RunFolder(before.folder).is_proved()
    with pytest.raises(OutputError, match="back: Input/output error"):
        hum(seed=3)


def test_a_folder_becomes_one_output_or_one_each(hum, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in ("10 last.txt", "2 second.txt", "1 first.txt"):
        (texts / name).write_text(f"This is {name}")
    merged, _ = hum("", text_file=str(texts), chapter_pause_ms=700)
    assert [c.text for c in merged.record.chunks] == [
        "This is 1 first.txt ",
        "This is 2 second.txt ",
        "This is 10 last.txt",
    ]
    assert [c.pause_ms for c in merged.record.chunks] == [700, 700, 0]
    each, engine = hum("", text_file=str(texts), merge=False)
    assert [p.name for p in each.files] == ["1 first.wav", "2 second.wav", "10 last.wav"]
    assert [o.first_chunk for o in each.record.outputs] == [0, 1, 2]
    assert engine.spoken == []
    assert not (each.folder / "speech.wav").exists(), "the merged file is no longer of this run"


def test_two_texts_of_one_name_are_refused(hum, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("One.")
    (texts / "a.md").write_text("Two.")
    with pytest.raises(InputError, match=r"a\.md and a\.txt"):
        hum("", text_file=str(texts), merge=False)


def test_another_text_does_not_inherit_a_drawn_seed(hum):
    with pytest.raises(EngineError):
        hum(seed=-1, engine=ToneEngine(fail_at=5))
    drawn = hum(seed=-1)[0].record.seed
    assert hum("Another text.", seed=-1)[0].record.seed != drawn


def test_a_drawn_seed_is_recorded_and_a_resume_keeps_it(hum, tmp_path):
    """-1 draws a seed; a run that did not finish goes on with the one it drew."""
    with pytest.raises(EngineError):
        hum(seed=-1, engine=ToneEngine(fail_at=5))
    drawn = load_speech(tmp_path / "run").record.seed
    resumed, engine = hum(seed=-1)
    assert (resumed.record.seed, len(engine.spoken)) == (drawn, 5)
    assert resumed.record.params["seed"] == -1
    fresh, _ = hum(seed=-1)
    assert fresh.record.seed != drawn


def test_a_drawn_seed_survives_a_kill_in_the_second_of_an_earlier_run(hum, tmp_path, monkeypatch):
    """Records tell whole seconds: two runs of one second are told apart by what they settled on."""
    for module in ("lifecycle", "record"):
        monkeypatch.setattr(f"chatter_nb.runs.{module}.utc_now", lambda: "2026-11-22T10:00:00Z")
    hum(seed=-1)
    monkeypatch.setattr(RunFolder, "end", lambda folder, record: None)  # as a kill leaves it
    with pytest.raises(EngineError):
        hum(seed=-1, engine=ToneEngine(fail_at=5))
    monkeypatch.undo()
    drawn = RunFolder(tmp_path / "run").unfinished().seed
    resumed, engine = hum(seed=-1)
    assert (resumed.record.seed, len(engine.spoken)) == (drawn, 5)
    assert RunFolder(tmp_path / "run").unfinished() is None


def test_a_resume_keeps_the_engine_that_auto_became(hum, tmp_path, monkeypatch):
    """A better engine that appears in between does not take over half a book."""
    with pytest.raises(EngineError):
        hum(engine=ToneEngine(fail_at=5))
    better = EngineEntry("chatterbox", "fakes", "ToneEngine", ("numpy",), "")
    monkeypatch.setattr(registry, "TTS_ENGINES", registry.TTS_ENGINES | {"chatterbox": better})
    assert pick_engine().name == "chatterbox"
    resumed, engine = hum()
    assert resumed.record.engine.name == "hibari"
    assert resumed.record.engine.reason.startswith("the run to resume had it: the embedded voice")
    assert len(engine.spoken) == 5


def test_what_an_engine_does_not_take_is_named_with_the_engine(speak):
    with pytest.raises(
        ParamError, match=r"'hibari' \(asked for\) does not take exaggeration, rows;"
    ):
        speak(text="Hi.", exaggeration=0.5, rows=4)
    with pytest.raises(ParamError, match="does not speak language 'fr'; it speaks: en"):
        speak(text="Hi.", language="fr")
    with pytest.raises(ParamError, match="'hibari' runs on the cpu only, not on 'cuda'"):
        speak(text="Hi.", device="cuda")


def test_an_ornament_is_silence_and_no_model_call(hum):
    speech, engine = hum("One.\n\n* * *\n\nTwo.", paragraph_pause_ms=100)
    assert engine.spoken == ["One.", "Two."]
    assert [c.start_s == c.end_s for c in speech.record.chunks] == [False, True, False]


def test_the_plan_tells_engine_reason_time_and_disk(tmp_path):
    plan = plan_speech(SpeakParams.create({"text": TEN * 300, "outputs_dir": str(tmp_path)}))
    told = str(plan)
    assert "engine: hibari (" in told
    assert " h of audio" in told
    assert "MB on disk" in told
    estimate = plan.estimate()
    assert 0 < estimate.wall_s < estimate.audio_s
    assert estimate.disk_bytes > 100e6


def test_the_plan_says_where_nobody_has_measured_the_engines_pace(tmp_path):
    """A guess for every GPU was wrong by a factor of ten for some."""
    engine = ToneEngine()
    engine.typical_rtf, engine.device = None, "cuda:1"
    params = SpeakParams(text="Hello.", engine="hibari", outputs_dir=str(tmp_path))
    with speaking_with(engine):
        plan = plan_speech(params)
        assert "of audio, work of unknown length, " in str(plan)
        assert "note: nobody has measured yet how fast hibari is on cuda:1" in str(plan)
        assert plan.estimate().wall_s is None
        render_speech(plan, on_audio=lambda _: None, parts=None)
        assert plan_speech(params).estimate().wall_s == 0  # all is in the store


def test_the_plan_warns_of_a_disk_that_is_too_small(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "chatter_nb.base.disk.shutil.disk_usage", lambda p: type("U", (), {"free": 2e6})
    )
    plan = plan_speech(SpeakParams.create({"text": TEN * 300, "outputs_dir": str(tmp_path)}))
    assert "note: only 2 MB are free there" in str(plan)


@pytest.mark.slow
def test_the_estimate_is_near_the_truth(speak, tmp_path):
    params = SpeakParams.create(
        {"text_file": str(OZ), "outputs_dir": str(tmp_path), "run_name": "x"}
    )
    estimate = plan_speech(params).estimate()
    speech = speak(text_file=str(OZ), run_name="x")
    assert estimate.audio_s == pytest.approx(speech.audio_s, rel=0.25)
    on_disk = sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
    assert estimate.disk_bytes == pytest.approx(on_disk, rel=0.3)
    assert plan_speech(params).estimate().wall_s == 0
    opus = params.model_copy(update={"formats": ("wav", "opus")})
    assert plan_speech(opus).estimate().wall_s > 3  # only the encoder has work: 0.01 s a second


@pytest.mark.slow
def test_audio_is_speech_in_level_and_silence(speak):
    """Listening by measuring: no clipping, a sane level, no dead stretch longer than its pause."""
    speech = speak(text_file=str(OZ))
    samples, rate = speech.read()
    assert 0.1 < np.abs(samples).max() < 1.0
    rms_db = 20 * np.log10(np.sqrt(np.mean(samples**2)))
    assert -35 < rms_db < -12
    frames = np.abs(samples[: len(samples) // 240 * 240]).reshape(-1, 240).max(axis=1) < 1e-3
    edges = np.flatnonzero(np.diff(np.concatenate([[0], frames.astype(int), [0]])))
    longest_s = (edges[1::2] - edges[::2]).max() * 240 / rate
    assert longest_s < 0.6 + 2 * 0.03 + 0.25


def test_a_disk_that_fills_up_for_real(hum, small_disk):
    """A 300 kB disk: a clear error, exit code 2, no half file in place; with room, it resumes."""
    small = small_disk.folder
    with pytest.raises(OutputError, match="disk full") as caught:
        hum(outputs_dir=str(small))
    assert caught.value.exit_code == 2
    assert not list(small.rglob("speech.wav"))
    small_disk.resize("50m")
    speech, engine = hum(outputs_dir=str(small))
    assert 0 < len(engine.spoken) < 10
    assert speech.record.status == "ok"


def test_a_writer_that_fails_leaves_the_earlier_audio(hum, tmp_path, monkeypatch):
    """The disk fills while the file is written: the old file stays, nothing half is in place."""
    speech, _ = hum()
    before = wav_bytes(speech.folder)

    def full(self, block):
        raise soundfile.LibsndfileError(2)

    threads = threading.active_count()
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    monkeypatch.setattr(
        "chatter_nb.base.disk.shutil.disk_usage", lambda path: type("Usage", (), {"free": 0})
    )
    with pytest.raises(OutputError, match="disk full while writing"):
        hum(seed=4)
    assert threading.active_count() == threads
    assert load_speech(speech.folder).record.status == "ok"
    assert RunFolder(speech.folder).unfinished().status == "failed"
    assert wav_bytes(speech.folder) == before
    assert not list(speech.folder.glob(".*.part"))


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    engine = ToneEngine()
    with speaking_with(engine), pytest.raises(OutputError, match=r"cannot write to .*outputs_dir"):
        generate_tts(
            SpeakParams.create({"text": "Hi.", "outputs_dir": str(tmp_path / "file" / "x")})
        )
    assert engine.spoken == []


def test_importing_costs_little_and_no_torch():
    """`import chatter_nb`: under 0.3 s by -X importtime, neither torch nor matplotlib."""
    code = "import sys, chatter_nb; print({'torch', 'matplotlib', 'numpy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
    (line,) = [x for x in done.stderr.splitlines() if x.split("|")[-1].strip() == "chatter_nb"]
    assert int(line.split("|")[1]) < 300_000


def test_importing_the_pipeline_brings_neither_torch_nor_matplotlib():
    code = (
        "import sys, chatter_nb.runs.speak, chatter_nb.notebook.show, chatter_nb.cli.app; "
        "print({'torch', 'matplotlib', 'IPython', 'papermill', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
