"""The speakers of a text in the form: rows with name, voice and pace; the rest is kept."""

import pytest

from chatter_nb.base.errors import ParamError
from chatter_nb.notebook.forms import speak_form
from chatter_nb.params.runs import SpeakParams
from chatter_nb.params.yaml_text import to_yaml


@pytest.fixture
def form(tmp_path):
    def make(**values):
        values = {"text": "Fox: Good day.\n\nCrow: Caw.", "engine": "hibari"} | values
        return speak_form(SpeakParams(outputs_dir=str(tmp_path), **values))

    return make


def rows_of(form):
    return form.sheet.controls["cast"]._rows


def test_a_scene_goes_into_the_form_and_comes_back_as_it_was(form, tmp_path):
    """Also what no row shows: aliases, pronouns, moods, gains."""
    scene = SpeakParams.from_file("params/dialogue.yaml", {"outputs_dir": str(tmp_path)})
    made = form()
    made.load(scene)
    shown = [(row.name.value, row.voice.value, row.speed.value) for row in rows_of(made)]
    assert shown == [("Fox", "heart", "1.2"), ("Crow", "heart", "0.85")]
    assert made.params == scene
    rows_of(made)[1].speed.value = "1.5"
    assert to_yaml(made.params) == to_yaml(scene).replace("speed: 0.85", "speed: 1.5")


def test_rows_set_the_cast_and_a_cross_removes_one(form):
    made = form()
    for name in ("Fox", "Crow"):
        made.sheet.controls["cast"].add.click()
        rows_of(made)[-1].name.value = name
    rows_of(made)[1].voice.value = "heart"
    assert {name: m.voice for name, m in made.params.cast.items()} == {"Fox": "", "Crow": "heart"}
    rows_of(made)[0].remove.click()
    assert list(made.params.cast) == ["Crow"]
    made.load(SpeakParams(text="Hello."))
    assert made.params.cast == {}
    assert rows_of(made) == []


def test_a_row_that_was_only_added_is_no_speaker(form):
    made = form()
    made.sheet.controls["cast"].add.click()
    assert made.params.cast == {}


def test_what_is_wrong_in_a_row_is_told(form):
    made = form()
    for _ in range(2):
        made.sheet.controls["cast"].add.click()
    one, other = rows_of(made)
    one.name.value = other.name.value = "Fox"
    with pytest.raises(ParamError, match="'Fox' is there twice: keep one"):
        _ = made.params
    assert "is there twice" in made._count.value  # the line below the text follows the rows
    other.name.value, other.speed.value = "Crow", "fast"
    with pytest.raises(ParamError, match=r"cast\.Crow\.speed: .*'fast'"):
        _ = made.params
    other.name.value, other.speed.value, other.voice.value = "", "", "heart"
    with pytest.raises(ParamError, match="give it letters"):
        _ = made.params


def test_voices_of_rows_and_narrator_follow_the_engine(form):
    made = form(cast={"Fox": "heart"}, narrator="bella")
    narrator = made.sheet.controls["narrator"]
    labels = dict(reversed(pair) for pair in rows_of(made)[0].voice.options)
    assert labels[""] == "the run's voice"
    assert labels["heart"] == "heart, American female"
    assert made.params.narrator == "bella"
    assert dict(reversed(pair) for pair in narrator.inputs[-1].options)[""] == "the run's voice"
    made.sheet.controls["engine"].value = "chatterbox"
    assert [name for _, name in rows_of(made)[0].voice.options] == ["", "heart"]


def test_the_scene_is_spoken_by_the_form(form, tmp_path):
    made = form()
    made.load(SpeakParams.from_file("params/dialogue.yaml", {"outputs_dir": str(tmp_path)}))
    made._go.click()
    assert made.wait(600)
    assert made.notices.box.value == ""
    (take,) = made.takes.all
    assert {chunk.speaker for chunk in take.speech.record.chunks} == {"", "Fox", "Crow"}
