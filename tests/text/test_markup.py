"""What is no word of a text: markup of other programs is refused or told, with the cure."""

import pytest
from fakes import ToneEngine, speaking_with

from chatter_nb.base.errors import InputError
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak_plan import plan_speech
from chatter_nb.text.markup import foreign_format, markup_notes


@pytest.fixture
def plan(tmp_path):
    """Plan on a fake engine."""

    def run(*, speaker=None, **values):
        values = {"outputs_dir": str(tmp_path), "run_name": "run", "engine": "hibari"} | values
        with speaking_with(speaker or ToneEngine()):
            return plan_speech(SpeakParams.create(values))

    return run


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# Heading\n\nSome text.", "# Heading: Markdown's marks"),
        ("Not ~~this~~ but **that**.", "~~this~~, **that**: Markdown's marks"),
        (
            "See [it](http://a.b/c).\n```python\nx\n```",
            "[it](http://a.b/c), ```python, ```: Markdown",
        ),
        ("It is <b>bold</b>.<br/>", "</b>, <br/>: HTML's tags"),
        (
            "He [laugh] said hello. [sigh] [clear throat]",
            "hibari reads [laugh], [sigh], [clear throat]",
        ),
        (
            "Hello \x1b[31mred\x1b[0m there.",
            "the codes that colour a terminal's text are taken out",
        ),
        ("The 1st # of 5 * 3, see [1] (or [2]) and a < b > c [note].", ""),
        ("# A quiet road\n\nIt was [laughing] there.", "# A quiet road"),
    ],
)
def test_markup_in_plain_text_is_told(plan, tmp_path, text, told):
    """In the text itself and in a file: one note, or none."""
    (tmp_path / "a.txt").write_text(text)
    for values in ({"text": text}, {"text_file": str(tmp_path / "a.txt")}):
        warnings = plan(**values).warnings
        assert [told in warning for warning in warnings] == [True] * bool(told)


def test_a_markdown_file_needs_no_note(plan, tmp_path):
    (tmp_path / "a.md").write_text("# Heading\n\nSome **text**.\n\n    # a comment in code\n")
    assert plan(text_file=str(tmp_path / "a.md")).warnings == ()
    (tmp_path / "b.txt").write_text("# Heading")
    (warning,) = plan(text_file=str(tmp_path), merge=True, run_name="two").warnings
    assert "# Heading" in warning


def test_a_voice_that_acts_tags_has_no_note_of_them():
    (note,) = markup_notes("Ha [laugh] ha.", engine="chatterbox", is_marked=False)
    assert note == "chatterbox reads [laugh] as words: chatterbox-turbo acts them"
    assert list(markup_notes("Ha [laugh] ha.", engine="chatterbox-turbo", is_marked=False)) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<html><p>Hello.</p></html>", "HTML"),
        ("  <!DOCTYPE html>Hello.", "HTML"),
        (r"{\rtf1 Hello.}", "RTF"),
        ("WEBVTT\n\nHello.", "subtitles"),
    ],
)
def test_a_text_of_another_format_is_refused(plan, text, kind):
    assert foreign_format(text) == kind
    with pytest.raises(InputError, match=f"text is {kind}: its markup would be read aloud"):
        plan(text=text)


def test_what_an_engine_raises_over_a_text_names_the_chunks(plan):
    """Any exception of what reads a text, at all its places: a sentence, and no traceback."""

    class Failing(ToneEngine):
        def check_text(self, text, language):
            return [{}["7"]] if "7" in text else []

    text = "It is 7.\n\nAll is well.\n\nThere are 17."
    with pytest.raises(InputError, match=r"cannot read 'It is 7\.', 'There are 17\.' \(KeyError"):
        plan(speaker=Failing(), text=text)


def test_a_document_whose_format_has_marks_gets_no_advice_on_markdown():
    assert not list(markup_notes("# Not a heading, but code", engine="hibari", is_marked=True))
