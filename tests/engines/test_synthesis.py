"""S3Gen's queue and its thread beside T3, forced on where there is no GPU."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from chatter_nb.base.errors import EngineError, OutOfMemory  # noqa: E402
from chatter_nb.engines.base import ChunkRequest  # noqa: E402
from chatter_nb.engines.chatterbox import synthesis  # noqa: E402
from chatter_nb.engines.chatterbox.s3gen import Synthesizer  # noqa: E402
from chatter_nb.engines.chatterbox.t3 import TokenDecoder  # noqa: E402
from chatter_nb.engines.models import get_or_load_tts_model, unload  # noqa: E402
from chatter_nb.engines.voices import Library  # noqa: E402

WAIT_S = 60  # for an event that comes at once unless the test fails


@pytest.fixture(scope="module")
def engine(tiny):
    yield get_or_load_tts_model("chatterbox", "cpu", str(tiny()))
    unload()


@pytest.fixture
def beside(engine, monkeypatch):
    """The engine as on CUDA: eight chunks together in a thread, with stand-ins for streams."""
    order = []
    event = SimpleNamespace()
    stream = SimpleNamespace(
        record_event=lambda: order.append("recorded") or event,
        wait_event=lambda waited: order.append("waited") if waited is event else None,
    )
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(engine._fast._synthesis, "beside", True)
    monkeypatch.setattr(engine._fast._synthesis, "most", 8)
    return SimpleNamespace(order=order, synthesis=engine._fast._synthesis)


@pytest.fixture
def speak(engine, tmp_path):
    """Chunks of one voice as they come, four decoded together."""

    def run(count=8, rows=4):
        voice = engine.prepare_voice("", Library(tmp_path, tmp_path / "cache"))
        knobs = {"n_cfm_timesteps": 1, "prompt_s": 1.0}
        return engine.synthesize(
            [ChunkRequest(n, f"Sentence {n}.", n, voice, "en", knobs) for n in range(count)],
            rows=rows,
        )

    return run


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("s3gen")]


def by_index(made):
    return {index: audio for index, audio, _ in made}


@pytest.fixture
def batches(monkeypatch):
    """The number of chunks of each call of S3Gen."""
    sizes, waves = [], Synthesizer.waves

    def noted(self, rows, *args, **kwargs):
        sizes.append(len(rows))
        return waves(self, rows, *args, **kwargs)

    monkeypatch.setattr(Synthesizer, "waves", noted)
    return sizes


def test_beside_t3_the_samples_are_the_same_and_no_thread_is_left(beside, speak, batches):
    with pytest.MonkeyPatch.context() as alone:
        alone.setattr(beside.synthesis, "beside", False)
        alone.setattr(beside.synthesis, "most", 1)
        expected = by_index(speak())
    assert set(batches) == {1}
    del batches[:]
    made = by_index(speak())
    assert batches == [1, 2, 4, 1]  # they grow; the last takes what is left
    assert sorted(made) == [*range(8)]
    for index, audio in made.items():
        assert np.array_equal(audio, expected[index]), index
    assert threads() == []


def test_its_stream_waits_for_the_tokens(beside, speak, monkeypatch):
    waves = Synthesizer.waves
    monkeypatch.setattr(
        Synthesizer,
        "waves",
        lambda self, *a, **k: beside.order.append("made") or waves(self, *a, **k),
    )
    list(speak(1))
    assert beside.order == ["recorded", "waited", "made"]


def finishes(monkeypatch):
    """A semaphore that is released for each chunk that T3 finishes, and their list."""
    finished, more, decode = [], threading.Semaphore(0), TokenDecoder.decode

    def noted(self, *args, **kwargs):
        for index, decoded in decode(self, *args, **kwargs):
            finished.append(index)
            more.release()
            yield index, decoded

    monkeypatch.setattr(TokenDecoder, "decode", noted)
    return finished, more


def test_the_first_chunk_is_heard_before_t3_has_finished_another(beside, speak, monkeypatch):
    finished, _ = finishes(monkeypatch)
    made = speak()
    next(made)
    assert len(finished) == 1
    made.close()


def test_t3_goes_on_while_s3gen_works(beside, speak, monkeypatch):
    """The second call of S3Gen does not end before T3 has finished a fourth chunk."""
    _, more = finishes(monkeypatch)
    waves, calls, together = Synthesizer.waves, [], []

    def held(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            together.append(all(more.acquire(timeout=WAIT_S) for _ in range(4)))
        return waves(self, *args, **kwargs)

    monkeypatch.setattr(Synthesizer, "waves", held)
    assert len(list(speak())) == 8
    assert together == [True]


def test_an_error_in_the_thread_reaches_the_caller_after_the_finished_chunks(
    beside, speak, monkeypatch
):
    waves, calls = Synthesizer.waves, []

    def failing(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("gone")
        return waves(self, *args, **kwargs)

    monkeypatch.setattr(Synthesizer, "waves", failing)
    made = []
    with pytest.raises(EngineError, match=r"chunk \d, 'Sentence .*RuntimeError: gone.*are kept"):
        made.extend(speak())
    assert len(made) == 1
    assert threads() == []


def test_a_generator_closed_early_leaves_no_thread(beside, speak, monkeypatch):
    """The call of S3Gen that has begun ends before `close` does; the third is under way then."""
    _, more = finishes(monkeypatch)
    waves, calls, ended = Synthesizer.waves, [], []
    begun, go_on = threading.Event(), threading.Event()

    def held(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            assert all(more.acquire(timeout=WAIT_S) for _ in range(1 + 2 + 4))
        if len(calls) == 3:
            begun.set()
            assert go_on.wait(WAIT_S)
        made = waves(self, *args, **kwargs)
        ended.append(len(calls))
        return made

    monkeypatch.setattr(Synthesizer, "waves", held)
    made = speak(8)
    next(made)
    next(made)  # of the second call
    assert begun.wait(WAIT_S)
    go_on.set()
    made.close()
    assert ended == [1, 2, 3]
    assert threads() == []


def test_ctrl_c_while_both_work_leaves_no_thread(beside, speak, monkeypatch):
    """It comes in T3, in the caller's thread, while S3Gen is at work."""
    waves, decode, calls = Synthesizer.waves, TokenDecoder.decode, []
    begun, go_on = threading.Event(), threading.Event()

    def held(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            begun.set()
            assert go_on.wait(WAIT_S)
        return waves(self, *args, **kwargs)

    def interrupted(self, *args, **kwargs):
        for number, item in enumerate(decode(self, *args, **kwargs)):
            if number == 4:
                assert begun.wait(WAIT_S)
                go_on.set()
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(Synthesizer, "waves", held)
    monkeypatch.setattr(TokenDecoder, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(speak())
    assert len(calls) == 2
    assert threads() == []


def test_a_size_that_did_not_fit_is_not_tried_again(beside, speak, batches, monkeypatch):
    """Neither in the next requests; what was decoded is not lost, and each half is told."""
    expected = by_index(speak(8))
    waves = Synthesizer.waves

    def small_gpu(self, rows, *args, **kwargs):
        if len(rows) > 2:
            batches.append(len(rows))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return waves(self, rows, *args, **kwargs)

    monkeypatch.setattr(Synthesizer, "waves", small_gpu)
    del batches[:]
    warnings, made = [], {}
    for index, audio, info in speak(8):
        warnings += info.warnings
        made[index] = audio
    assert all(np.array_equal(made[index], audio) for index, audio in expected.items())
    assert sum(size for size in batches if size <= 2) == 8
    assert "too small for 4 chunks of tokens together: went on with 2" in warnings[0]
    del batches[:]
    list(speak(4))
    assert max(batches) == 2


def test_one_chunk_that_does_not_fit_is_the_error(beside, speak, monkeypatch):
    def full(self, rows, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Synthesizer, "waves", full)
    with pytest.raises(OutOfMemory, match=r"chunk .* too small for one chunk: choose a smaller"):
        list(speak(2))
    assert threads() == []


def test_a_cpu_makes_each_chunk_in_the_callers_thread(engine, speak, monkeypatch):
    """As soon as its tokens are there, and never beside T3."""
    assert (engine._fast._synthesis.beside, engine._fast._synthesis.most) == (False, 1)
    seen, waves = set(), Synthesizer.waves
    monkeypatch.setattr(
        Synthesizer,
        "waves",
        lambda self, rows, *a, **k: (
            seen.add((len(rows), threading.current_thread())) or waves(self, rows, *a, **k)
        ),
    )
    finished, _ = finishes(monkeypatch)
    for count, _ in enumerate(speak(4), start=1):
        assert len(finished) == count
    assert seen == {(1, threading.current_thread())}


@pytest.mark.parametrize(("small", "most"), [(False, 8), (True, 1)])
def test_a_small_gpu_takes_one_chunk_and_not_beside_t3(small, most, monkeypatch):
    monkeypatch.setattr(synthesis, "is_small_gpu", lambda device: small)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    made = synthesis.Synthesis(None, torch.device("cuda"))
    assert (made.most, made.beside) == (most, not small)
