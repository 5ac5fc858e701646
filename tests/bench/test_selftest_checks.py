"""The checks of the self-test find what they are for; those for CUDA with stand-ins on a CPU."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes import ToneEngine, speaking_with

pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

import torch

from chatter_nb.bench.selftest import sound, tokens, words
from chatter_nb.bench.selftest.subject import Spoken, Subject, choose
from chatter_nb.engines.chatterbox.batch import Rows
from chatter_nb.engines.chatterbox.cache import Cache
from chatter_nb.engines.chatterbox.graphs import Direct


@pytest.fixture(autouse=True)
def _small(own_models, monkeypatch):
    monkeypatch.setattr(words, "SENTENCES", 3)
    monkeypatch.setattr(words, "SOURCE_S", 4.0)


@pytest.fixture(scope="module")
def subject(tiny, tmp_path_factory):
    return Subject(choose("chatterbox", "cpu", str(tiny())), tmp_path_factory.mktemp("runs"))


def test_a_cache_that_loses_its_content_when_it_grows_is_found(subject, monkeypatch):
    assert tokens.growing_cache(subject).outcome == "holds"
    grow, grown = Cache.grow, []

    def losing(self, capacity):
        grow(self, capacity)
        if capacity > subject.sides().decoder.pace.room:
            grown.append(capacity)
            self.data.zero_()

    monkeypatch.setattr(Cache, "grow", losing)
    found = tokens.growing_cache(subject)
    assert grown
    assert found.outcome == "does not hold"
    assert "other tokens, while it grows: chunk" in found.why


class Replayed(Direct):
    """Stands in for captured graphs on a CPU."""


class Stale(Replayed):
    """A graph that changes the latest token of the first row."""

    def get(self, key, step):
        return lambda: (step(), self._state[0][:1].add_(1))


class Refused(Replayed):
    def get(self, key, step):
        self.on_note("CUDA graphs cannot be captured here (planted)")
        return step


@pytest.mark.parametrize(
    ("runs", "outcome", "told"),
    [
        (Replayed, "holds", "the same tokens"),
        (Stale, "does not hold", "other tokens, without: chunk"),
        (Refused, "does not hold", "cannot be captured here (planted)"),
    ],
)
def test_graphs_that_change_tokens_or_cannot_be_captured_are_found(runs, outcome, told, subject):
    sides = subject.sides()
    sides.decoder.pace = replace(sides.decoder.pace, runs=runs)
    found = tokens.graphs(subject)
    assert found.outcome == outcome
    assert told in found.why


def test_memory_under_a_cap_halves_the_rows_and_keeps_the_tokens(subject, monkeypatch):
    """On a CPU, with a cap that refuses more than four rows."""
    monkeypatch.setattr(tokens, "memory_of", lambda device, call: (3_000_000, call()))
    make = Rows.__init__

    @contextmanager
    def cap(device, more_bytes):
        assert more_bytes == 1_000_000

        def capped(self, decoder, prefix, knobs, rows, *args):
            if rows > 4:
                raise torch.OutOfMemoryError("planted")
            make(self, decoder, prefix, knobs, rows, *args)

        with monkeypatch.context() as patch:
            patch.setattr(Rows, "__init__", capped)
            yield

    monkeypatch.setattr(tokens, "memory_cap", cap)
    found = tokens.out_of_memory(subject)
    assert found.outcome == "holds"
    assert "went on with 4 chunks together" in found.why
    assert found.figures["times_halved"] == 2


@pytest.fixture
def on_gpu(tmp_path, monkeypatch):
    """A subject on an H100 whose runs take what they are told; `spoken` lists their chunks."""

    def make(whole_s=1.0, heard_s=0.1, audio_s=100.0):
        examined = Subject(choose("hibari"), tmp_path)
        card = replace(examined.settled.device, name="cuda", reason="NVIDIA H100 80GB HBM3")
        examined.settled, examined.device = replace(examined.settled, device=card), "cuda"
        record = SimpleNamespace(
            audio_s=audio_s, stages_s={"load": 9.0, "tokens": 0.5}, warnings=()
        )
        speech = SimpleNamespace(record=record, audio_s=audio_s)
        spoken = []

        def speak(texts, **options):
            spoken.append(len(texts))
            return Spoken(speech, whole_s, [], [heard_s])

        monkeypatch.setattr(examined, "speak", speak)
        return examined, spoken

    return make


@pytest.mark.parametrize(("whole_s", "outcome"), [(0.99, "holds"), (1.01, "does not hold")])
def test_on_an_h100_the_pace_has_a_goal_a_warm_up_and_a_queue(on_gpu, whole_s, outcome):
    examined, spoken = on_gpu(whole_s=whole_s)
    found = sound.pace(examined, 16)
    assert found.outcome == outcome
    assert spoken == [16, 64]
    assert found.figures == {"rtf": whole_s / 100, "tokens": 0.005}
    assert sound.pace(examined, 8).outcome == "holds"


@pytest.mark.parametrize(("heard_s", "outcome"), [(0.29, "holds"), (0.31, "does not hold")])
def test_on_cuda_the_first_sound_has_a_goal(on_gpu, heard_s, outcome):
    examined, spoken = on_gpu(heard_s=heard_s)
    found = sound.first_sound(examined)
    assert found.outcome == outcome
    assert found.figures["share"] == pytest.approx(heard_s)
    assert spoken == [1, 1, 1]  # the first of them chooses kernels and captures graphs


@pytest.mark.parametrize(("device", "number"), [("cuda", 0), ("cuda:1", 1)])
def test_the_cap_is_lifted_whatever_happens(device, number, monkeypatch):
    """With torch's own checks of the device and the share, on a machine without a card."""
    told = []
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda at: 10**9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda at: (0, 8 * 10**9))
    tell = lambda share, at: told.append((share, at))  # noqa: E731
    monkeypatch.setattr(torch._C, "_cuda_setMemoryFraction", tell, raising=False)
    with pytest.raises(ValueError, match="planted"), tokens.memory_cap(device, 10**9):
        raise ValueError("planted")
    assert told == [(0.25, number), (1.0, number)]


def test_a_hum_has_word_errors(tmp_path):
    with speaking_with(ToneEngine()):
        found = words.word_errors(Subject(choose("hibari"), tmp_path))
    assert found.outcome == "does not hold"
    assert found.figures["word_errors"] > 0.9


def test_a_conversion_that_stays_its_source_is_found(tmp_path, monkeypatch):
    class Unchanged:
        def __init__(self, plan, **_):
            self.plan = plan

        def read(self):
            return words.read_audio(self.plan.outputs[0].path)

    monkeypatch.setattr(words, "render_conversion", Unchanged)
    found = words.conversion(Subject(choose("hibari"), tmp_path))
    assert found.outcome == "does not hold"
    assert found.why.startswith("4.00 s of 4.00 s; its pitch")


def test_the_peak_on_a_card_is_that_of_the_fullest_run(tmp_path, monkeypatch):
    """Each run begins its own peak anew."""
    monkeypatch.setattr("chatter_nb.runs.lifecycle.peak_gpu_mb", lambda _: peaks.pop(0))
    peaks = [700.0, 300.0]
    with speaking_with(ToneEngine()):
        subject = Subject(choose("hibari"), tmp_path)
        subject.speak(["One."])
        subject.speak(["Two."])
    assert sound.peak_memory(subject).figures["peak_gpu_mb"] == 700
