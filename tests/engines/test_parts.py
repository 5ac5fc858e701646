"""Chunks heard in parts, on random checkpoints: early, whole, no seam, the chunk unchanged."""

import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from chatter_nb.engines.base import ChunkRequest  # noqa: E402
from chatter_nb.engines.chatterbox import fast, parts  # noqa: E402
from chatter_nb.engines.chatterbox.batch import Rows  # noqa: E402
from chatter_nb.engines.chatterbox.estimator import Estimator  # noqa: E402
from chatter_nb.engines.chatterbox.fast import _ramp  # noqa: E402
from chatter_nb.engines.chatterbox.flow import Flow, VoicePrompt  # noqa: E402
from chatter_nb.engines.chatterbox.parts import (  # noqa: E402
    FIRST_WINDOW,
    LOOK_AHEAD,
    PROMPT_SHARE,
    MelJoiner,
    Parts,
)
from chatter_nb.engines.models import get_or_load_tts_model, unload  # noqa: E402
from chatter_nb.engines.voices import Library  # noqa: E402

TEXT = "It is heard while it is made, and the words that follow are made meanwhile. " * 3
TOKEN_SAMPLES = 960
MODELS = ("chatterbox", "chatterbox-turbo")


@pytest.fixture(scope="module", autouse=True)
def _unloaded():
    yield
    unload()


@pytest.fixture
def load(tiny):
    return lambda model="chatterbox": get_or_load_tts_model(model, "cpu", str(tiny(model)))


@pytest.fixture
def request_of(load, tmp_path):
    def make(text=TEXT, *, model="chatterbox", index=0, seed=1, **knobs):
        voice = load(model).prepare_voice("", Library(tmp_path, tmp_path / "cache"))
        return ChunkRequest(index, text, seed, voice, "en", {"n_cfm_timesteps": 1, **knobs})

    return make


@pytest.fixture
def parts_of(load, request_of):
    """The `Parts` of a request, and the list that gets their samples."""

    def make(text=TEXT, **values):
        pieces: list[np.ndarray] = []
        return Parts(load(), request_of(text, **values), pieces.append), pieces

    return make


def tokens_like_speech(count: int) -> torch.Tensor:
    return torch.randint(6561, (count,), generator=torch.Generator().manual_seed(count))


def spoken(engine, requests, **options):
    return {index: (audio, info) for index, audio, info in engine.synthesize(requests, **options)}


@pytest.mark.parametrize("model", MODELS)
def test_a_chunk_is_what_it_is_without_parts_and_the_parts_are_as_long(model, load, request_of):
    """And the same request has the same parts."""
    engine = load(model)
    requests = [request_of(TEXT[: 76 * n], model=model, index=n, seed=n) for n in (1, 2)]
    plain = spoken(engine, requests, rows=2)
    heard: list[list[np.ndarray]] = [[], []]
    for pieces in heard:
        made = spoken(engine, requests, rows=2, on_part=pieces.append)
        assert all(np.array_equal(made[index][0], plain[index][0]) for index in (1, 2))
        assert [made[index][1].in_parts for index in (1, 2)] == [True, False]
    once, again = map(np.concatenate, heard)
    assert np.array_equal(once, again)
    # Where a voice's prompt has an odd frame, a chunk by itself lacks a frame.
    assert 0 <= len(once) - len(plain[1][0]) <= TOKEN_SAMPLES // 2
    assert np.abs(once).max() > 0.01


def test_the_first_part_is_heard_while_tokens_are_drawn(load, request_of, monkeypatch):
    """After the first window's tokens, and before the last of them."""
    drawn, drawn_at_parts = [0], []
    step = Rows.step

    def counted(self):
        step(self)
        drawn[0] = len(self.active[0].tokens)

    monkeypatch.setattr(Rows, "step", counted)
    spoken(load(), [request_of()], on_part=lambda _: drawn_at_parts.append(drawn[0]))
    assert drawn_at_parts[0] <= FIRST_WINDOW + LOOK_AHEAD < drawn[0]
    assert len(drawn_at_parts) >= 2


def test_who_does_not_listen_pays_nothing(load, request_of, monkeypatch):
    monkeypatch.setattr(Parts, "__init__", None)
    assert not spoken(load(), [request_of("Nobody listens.")])[0][1].in_parts


@pytest.mark.parametrize("prompt_tokens", [1, 25, 100, 250])
def test_s3gens_work_for_the_parts_is_at_most_twice_the_chunks(
    prompt_tokens, parts_of, monkeypatch
):
    """Frames through the estimator, for all lengths from 60 to 600 tokens."""
    frames = [0]

    def counting(self, tokens, prompt, noise, **_):
        assert noise[0].shape[1] == prompt.frames(len(tokens[0]))
        frames[0] += prompt.frames(len(tokens[0]))
        return [torch.zeros(80, 2 * len(tokens[0]))]

    monkeypatch.setattr(Flow, "mels", counting)
    monkeypatch.setattr(MelJoiner, "add", lambda self, window, mel: None)
    waiting, _ = parts_of(TEXT * 3)
    shortened = max(1, round(PROMPT_SHARE * prompt_tokens))
    prompt = waiting._prompt
    waiting._prompt = VoicePrompt(
        torch.zeros(shortened, dtype=torch.long), torch.zeros(2 * shortened, 80), prompt.speaker
    )
    for count in range(60, 601):
        frames[0], waiting._start, waiting._size = 0, 0, FIRST_WINDOW
        assert waiting.finish(tokens_like_speech(count))
        assert frames[0] <= 2 * 2 * (prompt_tokens + count), count


def test_the_work_is_counted_as_the_estimator_does_it(parts_of, load, request_of, monkeypatch):
    """A row of `Flow.mels` is a row of as many frames in the estimator, with its twin."""
    seen = []
    call = Estimator.__call__
    monkeypatch.setattr(
        Estimator,
        "__call__",
        lambda self, x, *a: seen.append(tuple(x.shape[:2])) or call(self, x, *a),
    )
    rendering, _ = parts_of()
    tokens = len(rendering._prompt.tokens) + FIRST_WINDOW + LOOK_AHEAD
    rendering.grow(tokens_like_speech(FIRST_WINDOW + LOOK_AHEAD).tolist())
    assert seen == [(2, 2 * tokens)]


def test_a_frame_has_its_noise_in_every_window(parts_of, monkeypatch):
    """Where windows overlap they are renderings of the same noise: else a crossfade is heard."""
    mels = []

    def of_the_noise(self, tokens, prompt, noise, **_):
        return [noise[0][:, prompt.frames(0) :]]

    monkeypatch.setattr(Flow, "mels", of_the_noise)
    monkeypatch.setattr(
        MelJoiner, "add", lambda self, window, mel: mels.append((window, mel.reshape(-1, 80)))
    )
    rendering, _ = parts_of()
    rendering.finish(tokens_like_speech(200))
    assert len(mels) >= 4
    for (window, mel), (_, following) in pairwise(mels):
        shared = 2 * window.overlap
        assert np.array_equal(mel[-shared:], following[:shared])


def test_seams_have_no_step_and_no_hole(parts_of):
    """By the measure of a conversion's windows."""
    rendering, pieces = parts_of(TEXT * 3)
    rendering.finish(tokens_like_speech(500))
    made, seams = np.concatenate(pieces), rendering._joiner.finish()
    assert len(made) == 500 * TOKEN_SAMPLES
    assert len(seams) >= 4
    steps = np.abs(np.diff(made))
    limit = np.percentile(steps, 99.9)
    inner = made[1920 : len(made) // 960 * 960].reshape(-1, 96)
    quiet = np.percentile(np.sqrt((inner**2).mean(axis=1)), 0.5)
    for seam in seams:
        assert steps[seam - 3 : seam + 3].max() <= limit
        around = made[seam - 960 : seam + 960].reshape(-1, 96)
        assert np.sqrt((around**2).mean(axis=1)).min() > quiet


def test_the_global_generators_are_left_as_they_were(load, request_of):
    torch.manual_seed(3)
    before, seen = torch.get_rng_state(), []
    on_part = lambda _: seen.append(torch.equal(torch.get_rng_state(), before))  # noqa: E731
    spoken(load(), [request_of()], on_part=on_part)
    assert seen
    assert torch.equal(torch.get_rng_state(), before)


def test_parts_do_not_depend_on_how_many_tokens_come_at_once(parts_of):
    """A GPU brings eight steps at a time; the last of them may bring the end."""
    tokens = tokens_like_speech(150)
    one_by_one, pieces = parts_of()
    for count in range(1, 151):
        one_by_one.grow(tokens[:count].tolist())
    one_by_one.finish(tokens)
    at_once, others = parts_of()
    at_once.finish(tokens)
    assert len(pieces) == len(others) > 2
    assert all(map(np.array_equal, pieces, others))


def test_a_chunk_that_may_never_end_is_waited_for_and_then_heard_whole(parts_of):
    """Three words do not take a minute: the parts stop, and the rest follows if it did end."""
    rendering, pieces = parts_of("Three short words.")
    tokens = tokens_like_speech(300)
    rendering.grow(tokens[:100].tolist())
    until_now = sum(map(len, pieces))
    rendering.grow(tokens.tolist())
    assert until_now == sum(map(len, pieces)) < 100 * TOKEN_SAMPLES
    assert rendering.finish(tokens)
    assert sum(map(len, pieces)) == 300 * TOKEN_SAMPLES


def test_a_part_that_does_not_fit_ends_the_parts_and_not_the_chunk(load, request_of, monkeypatch):
    whole = spoken(load(), [request_of()])[0][0]
    mels, pieces = Parts._mel, []

    def full(self, tokens, window):
        if window.index:
            raise parts.OutOfMemory("the GPU's memory is too small")
        return mels(self, tokens, window)

    monkeypatch.setattr(Parts, "_mel", full)
    audio, info = spoken(load(), [request_of()], on_part=pieces.append)[0]
    assert np.array_equal(audio, whole)
    assert not info.in_parts
    assert 0 < sum(map(len, pieces)) < len(whole)


def test_the_time_of_the_parts_is_synthesis_and_not_decoding(load, request_of, monkeypatch):
    """Otherwise a run's stages would not add up: the listener's own time is counted elsewhere."""
    waited_s = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + waited_s[0])
    for module in (parts, fast):
        monkeypatch.setattr(module, "time", clock)

    def listen(piece):
        waited_s[0] += 1e6

    info = spoken(load(), [request_of()], on_part=listen)[0][1]
    assert waited_s[0] > 1e6
    assert info.stages_s["tokens"] < 1e6


@pytest.mark.parametrize(
    ("requests", "rows", "sizes"),
    [(20, 8, [2, 4, 14]), (20, 16, [2, 4, 8, 6]), (3, 8, [2, 1]), (5, 1, [5]), (0, 8, [0])],
)
def test_after_the_first_chunk_rows_double(requests, rows, sizes):
    assert [len(group) for group in _ramp([None] * requests, rows)] == sizes


def test_no_request_is_no_work(load):
    assert spoken(load(), [], on_part=lambda _: None) == {}
