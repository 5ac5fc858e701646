"""Whole speech runs on a random Chatterbox checkpoint: stored, resumed, split, marked, recorded."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from chatter_nb.base.errors import Cancelled, EngineError, ParamError  # noqa: E402
from chatter_nb.engines.chatterbox.fast import FastPath  # noqa: E402
from chatter_nb.engines.chatterbox.packing import _can_multiply_int8  # noqa: E402
from chatter_nb.engines.chatterbox.s3gen import Synthesizer  # noqa: E402
from chatter_nb.engines.models import unload  # noqa: E402
from chatter_nb.engines.watermark import load_perth  # noqa: E402
from chatter_nb.params.runs import SpeakParams  # noqa: E402
from chatter_nb.runs.edits import edit_of, save_edits  # noqa: E402
from chatter_nb.runs.folder import RunFolder  # noqa: E402
from chatter_nb.runs.revise import apply_edits, make_line  # noqa: E402
from chatter_nb.runs.speak import (  # noqa: E402
    generate_tts,
    process_one_chunk,
    render_speech,
)
from chatter_nb.runs.speak_plan import plan_speech  # noqa: E402

TARGET = str(ROOT / "params" / "recordings" / "target.flac")
TEXT = (
    "The first sentence is of no great length. The second one is a little longer than that.\n\n"
    "A new paragraph begins, and ends here."
)


@pytest.fixture(scope="module", autouse=True)
def _unloaded():
    yield
    unload()


@pytest.fixture
def params(tiny, tmp_path):
    def make(**values) -> SpeakParams:
        own = {"text": TEXT, "engine": "chatterbox", "checkpoint": str(tiny()), "chunk_chars": 90}
        own |= {"n_cfm_timesteps": 1, "outputs_dir": str(tmp_path), "run_name": "run"}
        return SpeakParams.create(own | values)

    return make


@pytest.fixture
def stuck(monkeypatch):
    """The first generation of a text that begins so does not end."""
    decode = FastPath._decoded

    def put(begins: str, times: int = 1) -> list[str]:
        missed: list[str] = []

        def missing_their_end(self, requests, rows, owed):
            texts = {request.index: request.text.strip() for request in requests}
            for index, drawn in decode(self, requests, rows, owed):
                if texts[index].startswith(begins) and len(missed) < times:
                    missed.append(texts[index])
                    drawn = replace(drawn, ended=False)
                yield index, drawn

        monkeypatch.setattr(FastPath, "_decoded", missing_their_end)
        return missed

    return put


def test_letters_without_a_token_are_left_out_where_that_is_asked_for(params):
    """The samples are those of the text without them."""
    with pytest.raises(ParamError, match="你 CJK UNIFIED IDEOGRAPH-4F60, 1 time: “Hello 你 there"):
        plan_speech(params(text="Hello 你 there."))
    without = generate_tts(params(text="Hello 你 there.", unspeakable="note")).record.chunks[0]
    assert (without.text, without.unspoken) == ("Hello 你 there.", "你")
    assert without.key == plan_speech(params(text="Hello there.")).chunks[0].key


def test_a_run_says_what_it_costs_on_a_cpu_and_accounts_for_its_time(params):
    plan = plan_speech(params(voice=TARGET))
    assert "chatterbox on a CPU takes about" in str(plan)
    assert "voice target" in str(plan)
    speech = generate_tts(params(voice=TARGET))
    record = speech.record
    assert record.engine.version.startswith("0.1.7+")
    assert record.model_calls == len(record.chunks) == 2
    for stage in ("tokens", "synthesis", "watermark"):
        assert record.stages_s[stage] > 0, stage
    assert sum(record.stages_s.values()) <= record.wall_s
    assert "".join(chunk.text for chunk in record.chunks) == TEXT.replace("\n\n", " ")


def test_the_same_run_again_needs_no_model_call_and_gives_the_same_bytes(params, tmp_path):
    first = generate_tts(params()).record
    again = generate_tts(params()).record
    assert [chunk.cached for chunk in again.chunks] == [True, True]
    assert again.model_calls == 0
    other = generate_tts(params(outputs_dir=str(tmp_path / "other"))).record
    assert {f.sha256 for r in (first, again, other) for f in r.files} == {first.files[0].sha256}


def test_another_voice_knob_or_checkpoint_is_another_chunk(params, tiny, tmp_path):
    """Whatever changes samples is in the key; where the checkpoint lies is not."""
    import shutil

    keys = [chunk.key for chunk in plan_speech(params()).chunks]
    for change in ({"voice": TARGET}, {"exaggeration": 0.9}, {"seed": 2}, {"prompt_s": 1.0}):
        assert not {chunk.key for chunk in plan_speech(params(**change)).chunks} & set(keys), change
    unload()
    moved = shutil.copytree(tiny(), tmp_path / "moved")
    assert [chunk.key for chunk in plan_speech(params(checkpoint=str(moved))).chunks] == keys
    unload()


MANY = " ".join(f"Sentence number {n} of this text is said by itself." for n in range(1, 8))


def test_rows_change_no_sample_and_are_recorded(params, tmp_path):
    """Five chunks, decoded one by one, two by two, and all together: the same bytes on a CPU."""
    made = [
        generate_tts(params(text=MANY, chunk_chars=60, rows=rows, outputs_dir=str(tmp_path / name)))
        for rows, name in ((1, "one"), (2, "two"), (0, "auto"))
    ]
    assert len({speech.record.files[0].sha256 for speech in made}) == 1
    assert [speech.record.engine.rows for speech in made[:2]] == [1, 2]
    assert 1 < made[2].record.engine.rows <= 32
    assert len(made[0].record.chunks) == made[0].record.model_calls == 7


def test_a_resume_has_the_rows_of_the_run(params, monkeypatch):
    """Chosen once: a run that goes on elsewhere, with other memory, stays what it was."""
    from chatter_nb.engines.chatterbox.t3 import TokenDecoder

    many = {"text": MANY, "chunk_chars": 60}
    monkeypatch.setattr(TokenDecoder, "rows_that_fit", lambda self: 3)
    with pytest.raises(Cancelled):
        generate_tts(params(**many), cancelled=lambda: True)
    monkeypatch.setattr(TokenDecoder, "rows_that_fit", lambda self: 5)
    assert generate_tts(params(**many, run_name="another")).record.engine.rows == 5
    assert generate_tts(params(**many)).record.engine.rows == 3
    assert generate_tts(params(**many)).record.engine.rows == 5


def test_upstreams_path_is_made_anew_and_sounds_the_same(params):
    """To be compared with: it must not find the fast path's chunks in the store."""
    fast = generate_tts(params())
    upstream = generate_tts(params(engine_path="upstream", run_name="upstream"))
    assert upstream.record.model_calls == 2
    assert upstream.record.engine.rows == 1
    ours, theirs = fast.read()[0], upstream.read()[0]
    assert np.abs(ours - theirs).max() < 1e-3  # the watermark's network has its own rounding
    assert not {chunk.key for chunk in fast.record.chunks} & {
        chunk.key for chunk in upstream.record.chunks
    }


def test_upstreams_path_takes_no_rows_and_no_sixteen_bits(params):
    with pytest.raises(ParamError, match="one chunk at a time: leave rows at 0"):
        params(engine_path="upstream", rows=4)
    for other in ("fast", "int8"):
        with pytest.raises(ParamError, match=f"leave out precision: {other}"):
            params(engine_path="upstream", precision=other)
    with pytest.raises(ParamError, match=r"'hibari' .* does not take engine_path"):
        plan_speech(SpeakParams(text="Hi.", engine="hibari", engine_path="upstream"))


def test_sixteen_bits_are_other_chunks_and_the_rows_asked_for_are_in_their_keys(params):
    """A resume must find them, whatever memory is free then."""
    exact = {chunk.key for chunk in plan_speech(params()).chunks}
    unload()
    with_rows = [
        {chunk.key for chunk in plan_speech(params(precision="fast", rows=rows)).chunks}
        for rows in (0, 1, 2)
    ]
    speech = generate_tts(params(precision="fast"))
    assert speech.record.engine.precision == "fast"
    assert {chunk.key for chunk in speech.record.chunks} == with_rows[0]
    unload()
    assert len(set.union(exact, *with_rows)) == 4 * len(exact)


@pytest.mark.skipif(not _can_multiply_int8(), reason="no int8 products here")
def test_int8_is_other_chunks_whatever_the_rows(params):
    """T3's weights alone are rounded: S3Gen works in float32."""
    unload()
    exact = {chunk.key for chunk in plan_speech(params()).chunks}
    unload()
    plan = plan_speech(params(precision="int8", rows=2))
    assert "precision: int8 (asked for" in str(plan)
    speech = generate_tts(params(precision="int8"))
    keys = {chunk.key for chunk in speech.record.chunks}
    assert keys == {chunk.key for chunk in plan.chunks}
    assert not keys & exact
    assert speech.record.engine.precision == "int8"
    assert plan.engine._synthesizer.estimator_dtype == torch.float32
    unload()


def test_upstreams_path_uses_a_model_that_is_loaded_for_sixteen_bits(params):
    """It has modules of its own, in float32: to compare, nothing need be unloaded."""
    unload()
    fast = generate_tts(params(precision="fast"))
    plain = generate_tts(params(engine_path="upstream", run_name="plain"))
    assert (fast.record.engine.precision, plain.record.engine.precision) == ("fast", "exact")
    unload()
    alone = plan_speech(params(engine_path="upstream"))
    assert [chunk.key for chunk in alone.chunks] == [chunk.key for chunk in plain.record.chunks]
    unload()


@pytest.mark.slow
def test_chunks_that_do_not_fit_together_are_made_in_halves_with_the_same_numbers(
    params, monkeypatch, tmp_path
):
    """A try that ran out of memory had drawn from their generators."""
    monkeypatch.setattr(FastPath, "__init__", _several_waves(FastPath.__init__))
    unload()
    own = {"text": MANY, "chunk_chars": 60, "rows": 4}
    whole = generate_tts(params(**own))
    together, sizes = Synthesizer.waves, []

    def full(self, rows, *args, **kwargs):
        sizes.append(len(rows))
        made = together(self, rows, *args, **kwargs)
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return made

    monkeypatch.setattr(Synthesizer, "waves", full)
    halved = generate_tts(params(**own, outputs_dir=str(tmp_path / "halved")))
    assert sizes.count(2) == 1  # a size that did not fit is not tried again, nor a larger one
    assert max(sizes) == 2
    assert any("2 chunks of tokens together: went on with 1" in w for w in halved.record.warnings)
    assert halved.record.files[0].sha256 == whole.record.files[0].sha256
    unload()


def _several_waves(init):
    def with_several(self, *args):
        init(self, *args)
        self._synthesis.most = 4

    return with_several


def test_turbos_decoder_that_is_not_there_is_told_before_any_work(params):
    with pytest.raises(ParamError, match=r"meanflow needs .*s3gen_meanflow\.safetensors: put it"):
        plan_speech(params(meanflow=True))
    off = [chunk.key for chunk in plan_speech(params(meanflow=False)).chunks]
    assert off == [chunk.key for chunk in plan_speech(params()).chunks]


def test_a_chunk_that_is_split_holds_up_no_later_one(params, stuck, monkeypatch):
    """It is made in parts as soon as it has not ended, not after the whole book."""
    from chatter_nb.runs.speak_run import SpeechRun

    order, keep = [], SpeechRun._keep
    monkeypatch.setattr(
        SpeechRun,
        "_keep",
        lambda self, planned, *rest: order.append(planned.chunk.text) or keep(self, planned, *rest),
    )
    stuck("Sentence number 1")
    generate_tts(params(text=MANY, chunk_chars=60, rows=2))
    assert order.index(next(text for text in order if "number 1" in text)) < 4


def test_rows_are_halved_where_memory_is_short_and_the_run_says_so(params, monkeypatch):
    from chatter_nb.engines.chatterbox.batch import Rows

    step = Rows.step

    def full(self):
        if len(self.active) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(self)

    whole = generate_tts(params(text=MANY, chunk_chars=60, run_name="whole", rows=2))
    monkeypatch.setattr(Rows, "step", full)
    assert generate_tts(params(text=MANY, chunk_chars=60, rows=6)).record.model_calls == 0
    record = generate_tts(params(text=MANY, chunk_chars=60, rows=6, seed=3)).record
    (warning,) = [one for one in record.warnings if "memory" in one]
    assert "went on with 3 chunks together" in warning
    assert len(record.chunks) == len(whole.record.chunks)


def test_a_chunk_that_hits_the_limit_is_split_made_again_and_recorded(params, stuck):
    missed = stuck("The first")
    record = generate_tts(params()).record
    assert len(missed) == 1
    first, second, third = record.chunks
    assert first.split_from == second.split_from == 0
    assert third.split_from is None
    assert first.key == second.key != third.key
    assert (first.attempts, second.attempts) == (3, 0)
    assert "".join(chunk.text for chunk in record.chunks) == TEXT.replace("\n\n", " ")
    assert first.end_s < second.start_s < second.end_s < third.start_s
    assert any("made again in 2 parts" in warning for warning in record.warnings)
    assert [chunk.index for chunk in record.chunks] == [0, 1, 2]


def test_a_split_chunk_is_kept_with_its_parts(params, stuck):
    stuck("The first")
    made, kept = generate_tts(params()).record, generate_tts(params()).record
    assert made.files == kept.files
    assert all(chunk.cached for chunk in kept.chunks)
    assert made.warnings == kept.warnings
    places = [[(c.text, c.start_s, c.end_s, c.split_from) for c in r.chunks] for r in (made, kept)]
    assert places[0] == places[1]


def test_a_chunk_that_never_ends_fails_the_run_and_keeps_the_rest(params, stuck):
    stuck("A new", times=99)
    with pytest.raises(EngineError, match="did not end on 'A new paragraph"):
        generate_tts(params())
    record = RunFolder(params().run_dir()).record()
    assert record.status == "failed"
    assert "raise max_new_tokens" in record.error
    assert len(list(params().run_dir().parent.glob(".chunks/*/*.npy"))) == 1


def test_one_chunk_by_itself_is_marked(tiny):
    """Noise for speech, but the mark is there."""
    audio, rate = process_one_chunk(
        "Hello there.", engine="chatterbox", checkpoint=str(tiny()), seed=4, voice=TARGET
    )
    found = load_perth().get_watermark(np.tile(audio, 3), rate, round=False).mean()
    assert rate == 24_000
    assert found > 0.6


@pytest.mark.parametrize("model", ["chatterbox-multilingual", "chatterbox-turbo"])
def test_the_other_models_run_the_whole_road(model, params, tiny):
    values = {"engine": model, "checkpoint": str(tiny(model)), "text": "Hello [laugh] there."}
    if "multi" in model:
        values |= {"language": "de", "text": "Grüß Gott, Übermut."}
    speech = generate_tts(params(**values))
    assert speech.record.engine.name == model
    samples, _ = speech.read()
    assert np.abs(samples).max() > 0.01


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(params, tiny, tmp_path):
    """Killed after its first chunk, in a process of its own."""
    import time

    args = [f"text={TEXT}", "engine=chatterbox", f"checkpoint={tiny()}", "chunk_chars=90"]
    args += ["n_cfm_timesteps=1", f"outputs_dir={tmp_path}", "run_name=run"]
    command = [sys.executable, "-m", "chatter_nb.cli", "speak"]
    command += [part for arg in args for part in ("-p", arg)]
    # Sums in another order are other samples; Whisper, in an earlier test, sets the threads of all.
    torch.set_num_threads(1)
    alike = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, env=alike)
    deadline_s = time.monotonic() + 600
    while not list(tmp_path.glob(".chunks/*/*.npy")):
        assert time.monotonic() < deadline_s
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    resumed = generate_tts(params()).record
    whole = generate_tts(params(outputs_dir=str(tmp_path / "other"))).record
    assert resumed.chunks[0].cached
    assert [f.sha256 for f in resumed.files] == [f.sha256 for f in whole.files]


def test_bad_knobs_are_told_with_what_the_engine_takes(params, tiny):
    turbo = {"engine": "chatterbox-turbo", "checkpoint": str(tiny("chatterbox-turbo"))}
    with pytest.raises(
        ParamError, match="does not take cfg_weight, min_p; it takes: checkpoint, engine_path, m"
    ):
        plan_speech(params(cfg_weight=0.5, min_p=0.1, **turbo))
    with pytest.raises(ParamError, match="neither a file nor a name"):
        plan_speech(params(voice="nobody", **turbo))


@pytest.fixture
def listen(params):
    """Make a run that is heard in parts: its speech, and the blocks."""

    def run(**values):
        blocks: list[np.ndarray] = []
        plan = plan_speech(params(**values))
        return render_speech(plan, on_audio=blocks.append, parts=True), blocks

    return run


LONG = "It is heard while it is made, and every part of it carries the mark. " * 2


def test_every_part_of_a_stream_is_marked_and_the_file_is_as_without_it(params, listen, tmp_path):
    own = {"text": LONG * 3, "chunk_chars": 140, "rows": 2}
    speech, blocks = listen(**own)
    assert [chunk.streamed for chunk in speech.record.chunks] == [True, False, False]
    alone = generate_tts(params(**own, outputs_dir=str(tmp_path / "alone"))).record
    assert alone.files[0].sha256 == speech.record.files[0].sha256
    perth, heard = load_perth(), np.concatenate(blocks)
    assert perth.get_watermark(heard, 24_000, round=False).mean() > 0.9
    parts = [block for block in blocks[:3] if len(block) > 9_600]
    assert len(parts) >= 2
    for part in parts:  # each by itself
        assert perth.get_watermark(np.tile(part, 6), 24_000, round=False).mean() > 0.6
    _, again = listen(**own)
    assert np.array_equal(np.concatenate(again), heard)


def test_a_chunk_that_is_split_is_heard_again_from_its_beginning(params, listen, stuck):
    """No word is lost to the listener, and the file has the parts of the split alone."""
    missed = stuck(LONG[:10])
    speech, blocks = listen(text=LONG, chunk_chars=200)
    assert len(missed) == 1
    again = [warning for warning in speech.record.warnings if "and then all of it again" in warning]
    assert len(again) == 1
    assert {chunk.split_from for chunk in speech.record.chunks} == {0}
    heard, file = np.concatenate(blocks), speech.read()[0]
    assert len(heard) > len(file) + 0.5 * 24_000
    likeness = np.correlate(heard[-len(file) :], file) / np.dot(file, file)
    assert likeness[0] == pytest.approx(1, abs=0.05)  # the mark is laid in other blocks


def test_sixteen_bits_and_upstreams_path_are_heard_too(listen):
    """Upstream's loops make no parts: the chunk is heard when it is there."""
    unload()
    fast, _ = listen(precision="fast", run_name="fast")
    plain, blocks = listen(engine_path="upstream", run_name="plain")
    assert [speech.record.chunks[0].streamed for speech in (fast, plain)] == [True, False]
    assert len(np.concatenate(blocks)) == len(plain.read()[0])
    unload()


def test_a_line_is_made_again_alone_and_the_files_take_it_from_the_store(params):
    """Its audio is watermarked, as the files are."""
    speech = generate_tts(params(rows=1, precision="exact"))
    edit = edit_of(speech.record.chunks[1]).model_copy(update={"words": "Other words."})
    line = make_line(speech, edit)
    save_edits(speech.folder, [edit])
    after = apply_edits(speech)
    assert after.record.model_calls == 0
    keys = [chunk.key for chunk in speech.record.chunks]
    assert [chunk.key for chunk in after.record.chunks] == [keys[0], line.key, *keys[2:]]
    assert load_perth().get_watermark(line.audio, line.rate_hz, round=False).mean() > 0.9
