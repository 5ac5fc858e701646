"""The form with a run that was checked: real speech, spoiled in known takes."""

import numpy as np
import pytest
from fakes import SpoilingEngine, speaking_with

from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.notebook.forms import speak_form
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts, plan_speech

RATE_HZ = 24_000
TEXT = """Three grey geese crossed the frozen pond without a sound.

The baker opened her little shop at seven in the morning."""


def dropped(audio, words):
    """Without three words."""
    start, end = (round(words[at].start_s * RATE_HZ) for at in (3, 6))
    return np.concatenate([audio[:start], audio[end:]])


@pytest.fixture
def engine():
    with speaking_with(SpoilingEngine(HibariEngine())) as engine:
        yield engine


@pytest.fixture
def form(engine, tmp_path):
    """A form with a run, whose second chunk is spoiled in takes 0, 1, … `spoiled` - 1."""

    def make(spoiled, **values):
        values = {"text": TEXT, "engine": "hibari", "verify": "fast", "tries": 2} | values
        params = SpeakParams.create(values | {"outputs_dir": str(tmp_path), "verify_workers": 0})
        plan = plan_speech(params)
        for take in range(spoiled):
            seed = plan.identities.take(plan.chunks[1], take).seed
            engine.spoilers[seed] = dropped
        form = speak_form(params, generate_tts(params))
        engine.seeds.clear()
        return form

    return make


def make_again(form):
    form.chunks._make.click()
    assert form.wait(600)
    assert form.notices.box.value == ""
    return form.takes.all[-1].speech.record.chunks[1]


def test_a_chunk_in_doubt_is_the_first_to_reach_with_its_findings(form):
    """Reasons hold words of the document: they stay text."""
    picker = form(spoiled=9, text=TEXT.replace("baker", "<i>baker</i>")).chunks
    assert [place for _, place in picker._choice.options] == [1, 0]
    assert picker._choice.label.startswith("in doubt, 1")
    assert picker._choice.value == 1
    assert "doubtful" in picker._verdict.value
    assert "is not in the audio" in picker._verdict.value
    assert "<i>" not in picker._verdict.value
    picker._choice.value = 0
    assert "<b>ok</b>" in picker._verdict.value
    assert "is not in the audio" not in picker._verdict.value


def test_a_chunk_in_doubt_is_made_again_until_it_passes(form, engine):
    """Takes that the run has tried are not tried again; the form and its YAML have the last."""
    shown = form(spoiled=3)
    chunk = make_again(shown)
    assert (chunk.take, chunk.verdict) == (3, "ok")
    assert len(engine.seeds) == 2  # takes 2 and 3 of this chunk, and no other chunk
    assert list(shown.params.takes.values()) == [3]
    assert "<b>ok</b>" in shown.chunks._verdict.value
    assert len(shown.takes.all) == 2


def test_after_as_many_tries_as_allowed_the_last_stays_in_doubt(form, engine):
    """A chunk that passes is made again once, as in a run without checks."""
    shown = form(spoiled=9)
    chunk = make_again(shown)
    assert (chunk.take, chunk.verdict) == (3, "doubtful")
    assert len(engine.seeds) == 2
    shown.chunks._choice.value = 0
    make_again(shown)
    assert [c.take for c in shown.takes.all[-1].speech.record.chunks] == [1, 3]
    assert len(engine.seeds) == 3


def test_a_cancelled_search_keeps_the_last_take_that_is_finished(form, engine):
    shown = form(spoiled=9, tries=3)
    make, renderings = shown._make, []

    def cancelling(*args):
        renderings.append(make(*args))
        shown._stop.click()
        return renderings[-1]

    shown._make = cancelling
    chunk = make_again(shown)
    assert len(renderings) == 1
    assert chunk.verdict == "doubtful"


def test_without_checks_the_form_is_as_it_was(form, engine):
    shown = form(spoiled=0, verify="off")
    picker = shown.chunks
    assert [place for _, place in picker._choice.options] == [0, 1]
    assert picker._verdict.value == ""
    assert picker._verdict.layout.display == "none"
    picker._choice.value = 1
    assert make_again(shown).take == 1
    assert len(engine.seeds) == 1
