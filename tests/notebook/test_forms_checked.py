"""The form with a run that was checked: real speech, spoiled in known takes."""

import numpy as np
import pytest
from fakes import SpoilingEngine, speaking_with

from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.notebook.forms import speak_form
from chatter_nb.pages.review import again
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.edits import edit_of
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


def test_a_checked_run_has_its_review_without_a_click(form, tmp_path):
    """Written when the run is shown; a run without checks has none."""
    for level, names in (("fast", ["review.html"]), ("off", [])):
        folder = form(spoiled=2, verify=level, run_name=level).takes.all[0].speech.folder
        assert [path.name for path in folder.glob("*.html")] == names


def made_again(shown, *, take=None):
    """The answer to a press of *Make again* at the second line; `take` was heard last."""
    shown._mend.value = True
    edit = edit_of(shown.takes.all[-1].speech.record.chunks[1])
    edit = edit.model_copy(update={"take": take})
    answers = []
    shown.review.send = lambda content, buffers=None: answers.append(content["value"])
    about = {"turn": "1", "kind": "again", "edit": edit.model_dump(mode="json")}
    shown.review._take(shown.review, about, [])
    assert shown.wait(600)
    return answers[0]


def test_a_line_in_doubt_is_made_again_until_it_passes(form, engine):
    """Takes that the run has tried are not tried again, and no other line is made."""
    shown = form(spoiled=3)
    shown._mend.value = True
    assert [line["verdict"] for line in shown.review.data["lines"]] == ["ok", "doubtful"]
    answer = made_again(shown)
    assert (answer["take"], answer["verdict"]) == (3, "ok")
    assert len(engine.seeds) == 2


def test_after_as_many_tries_as_allowed_the_last_stays_in_doubt(form, engine):
    """The next press goes on after it; a line that passes is made again once."""
    shown = form(spoiled=4)
    answer = made_again(shown)
    assert (answer["take"], answer["verdict"]) == (3, "doubtful")
    answer = made_again(shown, take=3)
    assert (answer["take"], answer["verdict"]) == (4, "ok")
    assert len(engine.seeds) == 3


def test_without_checks_a_line_is_made_again_once(form, engine):
    answer = made_again(form(spoiled=9, verify="off"))
    assert (answer["take"], answer["verdict"]) == (1, None)
    assert len(engine.seeds) == 1


def test_a_cancelled_search_ends_with_the_take_in_hand(form, engine):
    shown = form(spoiled=9, tries=5)
    speech = shown.takes.all[-1].speech
    answer = again(
        speech, edit_of(speech.record.chunks[1]), cancelled=lambda: len(engine.seeds) > 0
    )
    assert answer["verdict"] == "doubtful"
    assert len(engine.seeds) == 1
