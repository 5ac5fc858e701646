"""The words that a voice guesses at, in the form: heard on a click, entered, used by the run."""

import base64
import io
import re
import threading

import pytest
import soundfile
from bs4 import BeautifulSoup

from chatter_nb.notebook.forms import speak_form
from chatter_nb.notebook.forms.names import NamesForm
from chatter_nb.params.runs import SpeakParams

TEXT = "Siobhan met Nguyen.\n\nThe sea was calm.\n\nNguyen laughed."


@pytest.fixture
def form(tmp_path):
    """A form of a document."""
    story = tmp_path / "story.txt"
    story.write_text(TEXT)
    values = {"text_file": str(story), "engine": "hibari", "outputs_dir": str(tmp_path / "out")}
    return speak_form(SpeakParams(**values))


def unfolded(form) -> NamesForm:
    form._guesses.value = True
    (names,) = form._guessed.children
    return names


def seconds_of(row) -> float:
    data = re.search(r'src="data:audio/mpeg;base64,([^"]+)"', row.player.value)[1]
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    return len(audio) / rate


def test_nothing_is_read_or_made_before_it_is_asked_for(form, tmp_path):
    assert form._guessed.children == ()
    names = unfolded(form)
    assert [row.said.description for row in names.rows] == ["Nguyen", "Siobhan"]
    assert {row.player.value for row in names.rows} == {""}
    assert not (tmp_path / "out").exists()
    form._guesses.value = False
    assert form._guessed.children == ()


def test_a_click_makes_one_word_and_the_respelling_is_heard_too(form):
    first, second = unfolded(form).rows
    first.listen.click()
    assert form.wait(600)
    assert 1 < seconds_of(first) < 3
    assert "autoplay" in first.player.value
    assert second.player.value == ""
    written = first.player.value
    first.said.value = "win"
    first.listen.click()
    assert form.wait(600)
    assert 1 < seconds_of(first) < 3
    assert first.player.value != written
    assert not first.listen.disabled


def test_what_is_entered_is_told_and_said_by_the_next_run(form, tmp_path):
    names = unfolded(form)
    names.add.click()
    assert "no word has a respelling" in names.notices.box.value
    assert not (tmp_path / "lexicon.yaml").exists()
    names.rows[0].said.value = " win "
    names.add.click()
    lexicon = tmp_path / "lexicon.yaml"
    assert lexicon.read_text() == "Nguyen: win\n"
    assert f"written to {lexicon}" in names.notices.box.value
    assert "<li>Nguyen: win</li>" in names.notices.box.value
    assert form.params.lexicon == (str(lexicon),)
    form._go.click()
    assert form.wait(600)
    chunks = form.takes.all[-1].speech.record.chunks
    assert [chunk.text.strip() for chunk in chunks][-1] == "Nguyen laughed."
    form._guesses.value = False
    assert [row.word for row in unfolded(form).rows] == ["Siobhan"]


def test_while_a_run_is_made_no_word_is(form):
    names, leave = unfolded(form), threading.Event()
    form._worker.start(lambda cancelled: leave.wait(600))
    names.rows[0].listen.click()
    assert "a run is being made" in names.notices.box.value
    leave.set()
    assert form.wait(600)
    assert names.rows[0].player.value == ""


def test_a_text_that_cannot_be_read_is_a_sentence(form):
    form.sheet.controls["text_file"].value = "gone.epub"
    form._guesses.value = True
    assert "gone.epub does not exist" in form.notices.box.value


def test_the_lexicon_goes_into_the_form_and_out_again(form):
    form.sheet.controls["lexicon"].value = ("a.yaml", "b.yaml")
    assert form.params.lexicon == ("a.yaml", "b.yaml")


@pytest.mark.parametrize("interactive", [True, False])
def test_where_nobody_watches_it_is_a_table(interactive, monkeypatch):
    """In a headless run, and in a kernel whose cells nobody reads while they run."""
    values = {"text": TEXT, "engine": "hibari", "interactive": interactive}
    monkeypatch.setattr("chatter_nb.notebook.forms.kinds.is_watched", lambda: False)
    made = speak_form(SpeakParams(**values))
    page = BeautifulSoup(made.names().data, "html.parser")
    rows = [[cell.get_text() for cell in row.find_all("td")] for row in page.select("tbody tr")]
    assert rows == [
        ["Nguyen", "2", "Siobhan met Nguyen.", "əŋˈIən"],
        ["Siobhan", "1", "Siobhan met Nguyen.", "sɪˈɑbhən"],
    ]
