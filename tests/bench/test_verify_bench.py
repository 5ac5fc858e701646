"""The suite of planted faults: what it plants is in the audio, what it counts is what was said."""

import json
import random
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hibari import SAMPLE_RATE

pytest.importorskip("pocketsphinx", reason="needs the extra [verify]")

from chatter_nb.base.errors import InputError
from chatter_nb.bench import faults
from chatter_nb.bench import harness as bench
from chatter_nb.bench.suites import run_suite
from chatter_nb.engines.models import unload
from chatter_nb.verify.checker import Checker
from chatter_nb.verify.findings import Verdict

suite = import_module("chatter_nb.bench.suites.verify")
FEW = {"chunks": 3, "kinds": "clean, phrase dropped, silence of 3 s"}


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(suite, "BENCH_FOLDER", str(tmp_path))


@pytest.fixture
def reading():
    return suite.reading(0)


def test_faults_are_caught_and_clean_chunks_pass():
    record = json.loads(json.dumps(run_suite("verify", FEW)))
    clean, dropped, silence = record["results"]
    assert (clean["figures"]["flagged"], clean["figures"]["of"]) == (0, 3)
    assert dropped["figures"]["caught"] == silence["figures"]["caught"] == 3
    assert dropped["figures"]["by"]["aligner"] == 3
    assert silence["figures"]["by"]["cut"] == 3
    assert dropped["figures"]["from"] == pytest.approx(43.85, abs=0.01)
    assert 0 < clean["ours_s"] < clean["baseline_s"]
    assert "caught 3 · of 3 · percent 100" in bench.table(record)


def test_a_check_that_hears_nothing_catches_nothing(monkeypatch):
    deaf = Verdict("ok", (), (), None, 0, 0.0, ())
    monkeypatch.setattr(Checker, "check", lambda *args, **kwargs: deaf)
    for result in run_suite("verify", FEW)["results"]:
        assert result["figures"]["percent"] == 0


def test_a_bench_that_was_stopped_goes_on(monkeypatch):
    """Chunks heard before are not heard again; a larger bench hears only what is new."""
    first = run_suite("verify", {"chunks": 2, "kinds": "noise"})
    checked = []
    check = Checker.check
    monkeypatch.setattr(
        Checker, "check", lambda self, *args: checked.append(args) or check(self, *args)
    )
    assert run_suite("verify", {"chunks": 2, "kinds": "noise"})["results"] == first["results"]
    assert checked == []
    run_suite("verify", {"chunks": 3, "kinds": "noise"})
    assert len(checked) == 1


def test_full_hears_the_recogniser_too():
    pytest.importorskip("faster_whisper", reason="needs the extra [verify]")
    chosen = {"chunks": 1, "level": "full", "kinds": "another sentence"}
    (result,) = run_suite("verify", chosen)["results"]
    assert set(result["figures"]["by"]) >= {"aligner", "recogniser"}


def test_word_starts_are_measured_against_onsets():
    (result,) = run_suite("verify", {"chunks": 3, "kinds": "word starts"})["results"]
    figures = result["figures"]
    assert figures["after a pause"]["n"] >= 3
    assert figures["after a splice"]["median_ms"] <= 20
    assert figures["inside"]["median_ms"] <= 20


def test_the_cost_stands_beside_chatterbox_own_time(tiny, own_models):
    pytest.importorskip("chatterbox")
    steps = []
    chosen = {"chunks": 1, "kinds": "clean", "checkpoint": str(tiny()), "device": "cpu"}
    record = run_suite("verify", chosen, steps.append)
    clean, beside = record["results"]
    assert beside["ours_s"] == pytest.approx(clean["ours_s"] / clean["baseline_s"])
    assert beside["baseline_s"] > 0
    assert not any("not measured" in step for step in steps)
    unload()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"kinds": "clean, phrase lost"}, "--kinds 'phrase lost' is none of clean, "),
        ({"level": "slow"}, "--level 'slow' is none of fast, full"),
        ({"repeats": 3}, "'verify' does not take --repeats"),
    ],
)
def test_what_is_not_there_is_refused_before_the_work(chosen, message):
    with pytest.raises(InputError, match=message):
        run_suite("verify", chosen)


def test_what_is_dropped_is_as_long_as_its_words(reading):
    """Some run of two to four words, taken out between its bounds."""
    fault = faults.plant("phrase dropped", reading, suite.reading(1), seed=3)
    shorter = len(reading.audio) - len(fault)
    bounds = reading.bounds
    runs = [
        bounds[at + size] - bounds[at]
        for size in (2, 3, 4)
        for at in range(1, len(bounds) - 1 - size)
    ]
    fades = 2 * SAMPLE_RATE // 200
    assert min(abs(shorter - fades - run) for run in runs) <= fades


@pytest.mark.parametrize("kind", faults.KINDS)
def test_every_kind_changes_the_audio_and_is_the_same_again(kind, reading):
    other = suite.reading(1)
    fault, again = (faults.plant(kind, reading, other, seed=5) for _ in range(2))
    assert not np.array_equal(fault, reading.audio)
    assert np.array_equal(fault, again)


def test_a_pause_is_silence_before_its_word(reading):
    audio = faults.with_pause(reading, 2, 0.3)
    at = reading.bounds[2]
    assert not audio[at : at + round(0.3 * SAMPLE_RATE)].any()
    assert np.array_equal(np.delete(audio, range(at, at + round(0.3 * SAMPLE_RATE))), reading.audio)


def test_an_invented_name_stands_inside_the_sentence():
    text = "Every winter the gardener covered his roses."
    named = faults.with_invented_name(text, random.Random(1)).split()
    changed = [at for at, word in enumerate(text.split()) if word != named[at]]
    assert len(changed) == 1
    assert 0 < changed[0] < len(named) - 1
    assert named[changed[0]].istitle()
    assert faults.with_invented_name("So it is.", random.Random(1)) == ""


def test_sentences_are_no_text_of_the_room_s_tests():
    sentences = suite._sentences()
    assert len(set(sentences)) == len(sentences) >= 600
    heard = (Path(__file__).parents[1] / "verify" / "test_verify.py").read_text()
    assert not any(sentence in heard for sentence in sentences)
