"""Plays in EPUBs: who speaks a row, whose the stage directions are, and nothing shows the marks."""

import pytest
from epubs import build_epub

from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.saying import Sayings
from chatter_nb.runs.speak_texts import read_texts, split_text
from chatter_nb.text.spoken.saying import Saying

PERSONA, DIRECTION = 'epub:type="z3998:persona"', 'epub:type="z3998:stage-direction"'
NAMED = f"<tr><td {PERSONA}>{{}}</td><td>{{}}</td></tr>"
UNNAMED = "<tr><td/><td>{}</td></tr>"
ASIDE = f"<i {DIRECTION}>{{}}</i>"
CAST = {"Anna": "heart", "Old Ben": {"aliases": ["Ben"]}, "Dr. Crow": "heart"}
ROWS = [
    UNNAMED.format(f'<i {DIRECTION}><b {PERSONA}>Anna</b> enters.</i>'),
    NAMED.format("Anna", f"{ASIDE.format('Softly.')} Come in. {ASIDE.format('She sits.')}"),
    NAMED.format("\n<span>Old</span> <small>Ben</small> ", "I: will."),
    UNNAMED.format(ASIDE.format("Anna laughs.")),
    UNNAMED.format("At once."),
    NAMED.format("<abbr>Ben.</abbr>", "<p>First.</p><p>Then.</p>"),
    NAMED.format("<p>Anna</p>", f"No{ASIDE.format('thing')}."),
    NAMED.format(
        "<abbr>Dr.</abbr> Crow",
        f"Quiet {ASIDE.format('Aloud.')} {ASIDE.format('He goes.')} Now.",
    ),
    NAMED.format("Anna and Ben", "Both."),
]  # fmt: skip
SHOWN = (
    "Anna enters. Anna: Softly. Come in. She sits. Old Ben: I: will. Anna laughs. At once. "
    "Ben.: First. Then. Anna: Nothing. Dr. Crow: Quiet Aloud. He goes. Now. Anna and Ben: Both. "
    "The end."
)
SAID = [
    ("", "Anna enters."), ("", "Softly."), ("Anna", "Come in."), ("", "She sits."),
    ("Old Ben", "I: will."), ("", "Anna laughs."), ("Old Ben", "At once."),
    ("Old Ben", "First."), ("Old Ben", "Then."), ("Anna", "Nothing."), ("Dr. Crow", "Quiet"),
    ("", "Aloud. He goes."), ("Dr. Crow", "Now."), ("", "Anna and Ben: Both."), ("", "The end."),
]  # fmt: skip


@pytest.fixture
def play(tmp_path):
    body = f"<table>{''.join(ROWS)}</table><p>The end.</p>"
    path = build_epub(tmp_path / "play.epub", {"a.xhtml": body}, [("Act", "a.xhtml")])

    def split(**values):
        params = SpeakParams.create({"text_file": str(path), **values})
        (source,) = read_texts(params)
        return source, split_text(source, params, Sayings(Saying("en")))

    return split


def test_rows_and_stage_directions_have_their_speakers(play):
    _, (_, chunks, speakers) = play(cast=CAST)
    assert [(chunk.speaker, chunk.text.strip()) for chunk in chunks] == SAID
    reasons = {chunk.text.strip(): chunk.reason for chunk in chunks}
    assert (reasons["She sits."], reasons["Come in."]) == ("stage direction", "mark")
    assert not speakers.notes


def test_without_a_cast_all_is_spoken_and_a_colon_ends_the_name(play):
    source, (_, chunks, speakers) = play()
    assert not speakers.spans
    assert "".join(chunk.text for chunk in chunks) == SHOWN
    assert source.book.chapters[0].words == len(SHOWN.split())


def test_a_table_that_is_no_play_keeps_its_commas(tmp_path):
    body = "<table><tr><td>Anna</td><td>is here</td></tr><tr><td/><td>too</td></tr></table>"
    path = build_epub(tmp_path / "b.epub", {"a.xhtml": body}, [("A", "a.xhtml")])
    (source,) = read_texts(SpeakParams.create({"text_file": str(path)}))
    assert [block.text for _, block in source.book.blocks] == ["Anna, is here", "too"]


def test_bounds_in_a_text_of_a_users_own_are_spaces(tmp_path):
    params = SpeakParams.create({"text": "Anna: A.\x1eB.\x1fC.", "cast": CAST})
    (source,) = read_texts(params)
    chunks = split_text(source, params, Sayings(Saying("en"))).chunks
    assert [(chunk.speaker, chunk.text) for chunk in chunks] == [("Anna", "A. B. C.")]
