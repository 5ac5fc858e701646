"""Chunks that are checked, made again, cut and chosen: real speech, spoiled in known places."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from fakes import SpoilingEngine, make_checkpoint, speaking_with
from hibari.voices import DEFAULT

from chatter_nb.base.errors import Cancelled, EngineError, ParamError
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.engines.models import Choice, unload
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs import checking
from chatter_nb.runs.checking import Checking
from chatter_nb.runs.content import run_key
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.speak import generate_tts, load_speech, plan_speech
from chatter_nb.runs.store import ChunkStore
from chatter_nb.verify.aligner import Aligner
from chatter_nb.verify.findings import Expectation

RATE_HZ = 24_000
TEXT = """The baker opened her little shop at seven in the morning.

Three grey geese crossed the frozen pond without a sound.

Our neighbour sold his wooden boat to a sailor from Bergen.

A bright lantern hung above the narrow kitchen window."""
CHUNKS = 4


def dropped(audio, words, first=3, last=6):
    """Without some words."""
    start, end = (round(words[at].start_s * RATE_HZ) for at in (first, last))
    return np.concatenate([audio[:start], audio[end:]])


def dropped_more(audio, words):
    return dropped(audio, words, 2, 7)


def holed(audio, words):
    """With 3 s of silence before its last words."""
    at = round(words[5].start_s * RATE_HZ)
    return np.concatenate([audio[:at], np.zeros(3 * RATE_HZ, np.float32), audio[at:]])


def silent(audio, words):
    return np.zeros_like(audio)


@pytest.fixture
def spoiling():
    with speaking_with(SpoilingEngine(HibariEngine())) as engine:
        yield engine


@pytest.fixture
def params(tmp_path):
    def make(**values):
        own = {"outputs_dir": str(tmp_path), "run_name": "run", "engine": "hibari"}
        own |= {"text": TEXT, "verify": "fast", "verify_workers": 0, "wav_bits": 32}
        return SpeakParams.create(own | values)

    return make


def seed_of(params, chunk, take):
    """The seed of a take of a chunk, as the plan gives it."""
    plan = plan_speech(params)
    return plan.identities.take(plan.chunks[chunk], take).seed


def test_a_spoiled_chunk_is_made_again_and_the_file_is_the_clean_one(spoiling, params, tmp_path):
    spoiling.spoilers[seed_of(params(), 1, 0)] = dropped
    speech = generate_tts(params())
    chunk = speech.record.chunks[1]
    assert (chunk.take, chunk.verdict, chunk.attempts) == (1, "ok", 2)
    assert [take.verdict for take in chunk.takes] == ["doubtful", "ok"]
    assert chunk.takes[0].findings[0].kind in ("missing words", "other words")
    checks = speech.record.checks
    assert (checks.checked, checks.made_again, checks.doubtful) == (CHUNKS, 1, 0)
    assert "4 checked, 1 made again, 0 doubtful" in str(speech)
    assert len(spoiling.seeds) == speech.record.model_calls == CHUNKS + 1
    clean = generate_tts(params(verify="off", takes={chunk.take_of: 1}, run_name="clean"))
    assert np.array_equal(speech.read()[0], clean.read()[0])
    assert {take.key for take in chunk.takes} <= speech.record.chunk_keys()


def test_what_is_clean_is_made_and_heard_once_and_a_second_run_hears_nothing(
    spoiling, params, monkeypatch
):
    spoiling.spoilers[seed_of(params(), 1, 0)] = dropped
    first = generate_tts(params())
    spoiling.seeds.clear()
    monkeypatch.setattr(Aligner, "listen", None)
    again = generate_tts(params(run_name="again"))
    assert spoiling.seeds == []
    assert np.array_equal(first.read()[0], again.read()[0])
    assert [c.verdict for c in again.record.chunks] == ["ok"] * CHUNKS
    assert again.record.chunks[1].take == 1


def test_after_an_edit_only_the_new_chunk_is_heard(spoiling, params, monkeypatch):
    generate_tts(params())
    heard = []
    listen = Aligner.listen
    monkeypatch.setattr(
        Aligner, "listen", lambda self, *args: heard.append(args[2].text) or listen(self, *args)
    )
    generate_tts(params(text=TEXT.replace("grey geese", "white geese")))
    assert heard == ["Three white geese crossed the frozen pond without a sound."]


def test_one_try_judges_only(spoiling, params):
    spoiling.spoilers[seed_of(params(), 2, 0)] = dropped
    speech = generate_tts(params(tries=1))
    assert speech.record.status == "ok"
    assert len(spoiling.seeds) == CHUNKS
    assert (speech.record.chunks[2].take, speech.record.chunks[2].verdict) == (0, "doubtful")
    assert "1 doubtful: chunk 2 “Our neighbour" in str(speech)


def test_of_takes_that_all_fail_the_one_that_misses_least_is_kept_and_marked(spoiling, params):
    for take, spoiler in enumerate((dropped_more, dropped, dropped_more)):
        spoiling.spoilers[seed_of(params(), 0, take)] = spoiler
    speech = generate_tts(params())
    chunk = speech.record.chunks[0]
    assert (chunk.take, chunk.verdict, len(chunk.takes)) == (1, "doubtful", 3)
    assert speech.record.checks.doubtful == 1
    assert len(spoiling.seeds) == CHUNKS + 2
    assert speech.audio_s > 10  # nothing is left out of the file


def test_a_take_that_is_named_is_judged_and_never_replaced(spoiling, params):
    key = plan_speech(params()).chunks[0].key
    spoiling.spoilers[seed_of(params(), 0, 2)] = dropped
    speech = generate_tts(params(takes={key: 2}))
    assert (speech.record.chunks[0].take, speech.record.chunks[0].verdict) == (2, "doubtful")
    assert len(spoiling.seeds) == CHUNKS


def test_a_silent_take_is_made_again_and_none_but_silence_is_an_error(spoiling, params, tmp_path):
    spoiling.spoilers[seed_of(params(), 1, 0)] = silent
    assert generate_tts(params()).record.chunks[1].take == 1
    for take in range(3):
        spoiling.spoilers[seed_of(params(), 3, take)] = silent
    with pytest.raises(EngineError, match="only silence of 'A bright"):
        generate_tts(params(outputs_dir=str(tmp_path / "silent")))


def test_a_hole_is_cut_on_the_way_and_stays_in_the_store(spoiling, params, tmp_path):
    spoiling.spoilers[seed_of(params(), 1, 0)] = holed
    speech = generate_tts(params())
    chunk = speech.record.chunks[1]
    assert (chunk.take, chunk.verdict) == (0, "ok")
    [(start, end)] = chunk.takes[0].cuts_samples
    assert 2.5 < (end - start) / RATE_HZ < 3.5
    assert "cut 2." in " ".join(chunk.takes[0].notes) or "cut 3." in " ".join(chunk.takes[0].notes)
    audio, _ = ChunkStore(tmp_path).get(chunk.key)
    assert len(audio) / RATE_HZ > 5
    assert chunk.end_s - chunk.start_s < 4.5
    words = json.loads((speech.folder / "speech.words.json").read_text())
    mine = [word for word in words if word["chunk"] == 1]
    assert {word["source"] for word in mine} == {"aligner"}
    assert all(chunk.start_s <= word["start_s"] <= chunk.end_s for word in mine)
    kept = generate_tts(params(trim_tails=False, run_name="kept"))
    assert kept.record.chunks[1].take == 1
    assert "silence" in {f.kind for f in kept.record.chunks[1].takes[0].findings}


def test_words_of_an_engine_that_knows_no_times_come_from_the_aligner(params):
    with speaking_with(SpoilingEngine(HibariEngine(), knows_words=False)):
        plain = generate_tts(params(verify="off"))
        assert not plain.record.word_files
        speech = generate_tts(params(run_name="aligned"))  # from the same chunks, none made again
    assert speech.record.model_calls == 0
    words = json.loads((speech.folder / "speech.words.json").read_text())
    assert len(words) == len(TEXT.split())
    assert {word["source"] for word in words} == {"aligner"}


def test_off_is_as_it_was(spoiling, params):
    checked = generate_tts(params(run_name="checked"))
    plain = generate_tts(params(verify="off"))
    assert np.array_equal(plain.read()[0], checked.read()[0])
    assert [c.key for c in plain.record.chunks] == [c.key for c in checked.record.chunks]
    assert {c.verdict for c in plain.record.chunks} == {None}
    assert "verify" not in plain.record.stages_s
    assert "checked" not in str(plain)


def test_a_worker_finds_the_same(spoiling, params):
    spoiling.spoilers[seed_of(params(), 1, 0)] = dropped
    inline = generate_tts(params(outputs_dir=params().outputs_dir + "/inline"))
    beside = generate_tts(params(verify_workers=1))
    assert np.array_equal(inline.read()[0], beside.read()[0])
    assert inline.record.chunks[1].takes == beside.record.chunks[1].takes


SCRIPT = """
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts

print("begun")
speech = generate_tts(SpeakParams(
    text="Good morning to all of you.", engine="hibari", outputs_dir="out",
    verify="fast", verify_workers=1,
))
print(speech.record.checks.checked)
"""


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    """A worker process does not run the script that started it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=600,
    )
    assert done.stdout.split() == ["begun", "1"], done.stderr


@pytest.fixture
def checkpoint(tmp_path):
    yield lambda model="chatterbox": make_checkpoint(tmp_path / "tiny", model)
    unload()


def test_auto_is_off_for_the_embedded_voice_and_for_random_weights(params, checkpoint):
    assert plan_speech(params(verify="auto")).checks.level == "off"
    folder = checkpoint()
    values = {"engine": "chatterbox", "checkpoint": str(folder), "verify": "auto"}
    plan = plan_speech(params(**values))
    assert str(plan.checks) == "off (the checkpoint's weights are random)"
    assert "verify: off" in str(plan)


def test_chatterbox_is_checked_and_made_again_as_often_as_asked(params, checkpoint):
    """A tiny checkpoint that does not say that it is random babbles: every take is in doubt."""
    folder = checkpoint()
    sidecar = folder / "chatter_nb.json"
    about = json.loads(sidecar.read_text()) | {"random": False}
    sidecar.write_text(json.dumps(about))
    values = {"engine": "chatterbox", "checkpoint": str(folder), "verify": "auto", "tries": 2}
    speech = generate_tts(params(text="Good morning. It rains again.", chunk_chars=20, **values))
    assert speech.record.checks.level == "fast"
    assert speech.record.checks.doubtful == len(speech.record.chunks) == 2
    assert speech.record.model_calls == 4
    assert [len(chunk.takes) for chunk in speech.record.chunks] == [2, 2]
    assert "may say other words" in speech.record.checks.reason
    plain = generate_tts(
        params(
            text="Good morning. It rains again.",
            chunk_chars=20,
            outputs_dir=params().outputs_dir + "/plain",
            **values | {"verify": "off"},
        )
    )
    for chunk, unchecked in zip(speech.record.chunks, plain.record.chunks, strict=True):
        key = chunk.takes[0].key  # made while the takes of the chunk before were made again
        assert key == unchecked.key
        mine, theirs = (ChunkStore(run.folder.parent).get(key)[0] for run in (speech, plain))
        assert np.array_equal(mine, theirs)


def test_a_resume_checks_as_the_run_began(spoiling, params, monkeypatch):
    """The level that `auto` became is in the record of the unfinished run."""
    monkeypatch.setattr(checking, "pick_level", lambda *_: Choice("fast", "as for Chatterbox"))
    with pytest.raises(KeyboardInterrupt):
        generate_tts(params(verify="auto"), progress=interrupt_after(2))
    monkeypatch.undo()
    assert RunFolder(params().run_dir()).unfinished().checks.level == "fast"
    speech = generate_tts(params(verify="auto"))
    assert (speech.record.checks.level, speech.record.checks.checked) == ("fast", CHUNKS)
    assert load_speech(speech.folder).record == speech.record


def test_a_stop_does_not_wait_for_more_takes_and_a_resume_makes_them(spoiling, params):
    for take in range(2):
        spoiling.spoilers[seed_of(params(), CHUNKS - 1, take)] = dropped
    whole = generate_tts(params(outputs_dir=params().outputs_dir + "/whole"))
    spoiling.seeds.clear()
    with pytest.raises(Cancelled, match="stopped after 3 of 4 chunks"):
        generate_tts(params(), cancelled=lambda: len(spoiling.seeds) == CHUNKS + 1)
    record = RunFolder(params().run_dir()).unfinished()
    assert whole.record.chunks[-1].takes[1].key in record.planned_keys
    resumed = generate_tts(params())
    assert len(spoiling.seeds) == CHUNKS + 2
    assert np.array_equal(whole.read()[0], resumed.read()[0])


def interrupt_after(chunks):
    def progress(state):
        if state.done == chunks:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"verify": "full", "asr_model": "no-such"}, ParamError, "asr_model 'no-such'"),
        (
            {"verify": "full", "engine": "chatterbox-multilingual", "language": "de"},
            ParamError,
            "verify: full cannot hear language 'de'",
        ),
        ({"verify": "loud"}, ParamError, "'auto', 'off', 'fast' or 'full'"),
        ({"tries": 0}, ParamError, "tries"),
    ],
)
def test_bad_input_is_told_before_the_work(values, error, message, params, checkpoint):
    if "chatterbox" in values.get("engine", ""):
        values |= {"checkpoint": str(checkpoint(values["engine"]))}
    with pytest.raises(error, match=message):
        generate_tts(params(**values))


def test_the_extra_that_is_missing_is_named(params, monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ParamError, match=r"pip install .*\[verify\]"):
        generate_tts(params(asr_model="", trim_tails=False, verify="fast", tries=7))


def test_threads_of_a_service_hear_as_each_alone(params):
    """The aligner keeps what it is hearing: two chunks at once would mix."""
    checks = plan_speech(params()).checks
    checks = replace(checks, folder=None)
    texts = [text.strip() for text in TEXT.split("\n\n")]
    voice = HibariEngine()
    takes = [voice._speakers[DEFAULT].speak(text, seed=0)[0] for text in texts]

    def verdict(at):
        checking_ = Checking(checks)
        expected = Expectation(texts[at], "en")
        return checking_.result(checking_.submit(takes[at], RATE_HZ, expected))

    alone = [verdict(at) for at in range(len(texts))]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(verdict, [*range(len(texts))] * 3))
    assert together == alone * 3


def test_a_language_without_an_aligner_is_said_not_to_be_checked(params, checkpoint):
    """The signal alone is heard; no chunk is called checked."""
    folder = checkpoint("chatterbox-multilingual")
    values = {"engine": "chatterbox-multilingual", "language": "de", "checkpoint": str(folder)}
    plan = plan_speech(params(**values))
    assert "no aligner for 'de'" in str(plan)
    speech = generate_tts(params(text="Guten Morgen.", tries=1, **values))
    assert speech.record.chunks[0].verdict in ("unchecked", "doubtful")  # noise has no length


def test_a_model_in_a_folder_counts_by_its_content(params, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.bin").write_bytes(b"one")
    first = run_key("", params(asr_model=str(model)), "hibari", fetch=False)
    (model / "model.bin").write_bytes(b"another")
    assert run_key("", params(asr_model=str(model)), "hibari", fetch=False) != first


ARGS = ("speak", "-p", "engine=hibari", "-p", "verify=fast", "-p", "verify_workers=1")


@pytest.mark.slow
def test_a_killed_run_with_a_worker_resumes_to_the_same_bytes(tmp_path):
    """Its worker ends with it."""
    text = "\n\n".join(f"{TEXT}\n\nChapter {number} ends here." for number in range(12))
    (tmp_path / "text.txt").write_text(text)
    args = [*ARGS, "-p", f"text_file={tmp_path / 'text.txt'}", "-p", "run_name=run"]

    def command(folder):
        return [sys.executable, "-m", "chatter_nb.cli", *args, "-p", f"outputs_dir={folder}"]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, timeout=600)
    killed = subprocess.Popen(command(tmp_path / "killed"), stdout=-3, stderr=-3)
    wait_for(lambda: len(list((tmp_path / "killed" / ".verdicts").rglob("*.json"))) > 8)
    children = psutil.Process(killed.pid).children(recursive=True)
    assert children
    killed.kill()
    killed.wait()
    _, alive = psutil.wait_procs(children, timeout=300)
    assert not alive
    assert not (tmp_path / "killed" / "run" / "run.json").exists()
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True, timeout=600)
    whole, resumed = (tmp_path / name / "run" / "speech.wav" for name in ("whole", "killed"))
    assert whole.read_bytes() == resumed.read_bytes()
    kept = load_speech(resumed.parent).record
    assert sum(chunk.cached for chunk in kept.chunks) >= 4


def wait_for(true):
    end_s = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.02)
