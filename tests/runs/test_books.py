"""A document becomes speech: its chapters, chosen ones alike, and the place of every chunk."""

import pytest
from epubs import build_epub

from chatter_nb.base.errors import InputError
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.outline import outline, spoken_text
from chatter_nb.runs.speak_plan import plan_speech
from chatter_nb.text.files import natural_key

TITLES = ["The North Wind and the Sun", "The Crow and the Pitcher"]
REPEATED = "It was a warm day."


@pytest.fixture
def book(tmp_path):
    """An EPUB of two short chapters, with a note, and a sentence that both have."""
    documents = {
        f"{number}.xhtml": f"<h1>{title}</h1><p>{REPEATED}</p>"
        '<p>He went on<a epub:type="noteref" href="#n">1</a>.</p>'
        '<aside epub:type="footnote" id="n">A note.</aside>'
        for number, title in enumerate(TITLES)
    }
    entries = [(title, f"{number}.xhtml") for number, title in enumerate(TITLES)]
    return build_epub(tmp_path / "tales.epub", documents, entries)


def params(book, **more):
    return SpeakParams.create({"text_file": str(book), "engine": "hibari", **more})


def test_a_book_is_spoken_and_every_chunk_knows_its_chapter_and_place(speak, book):
    record = speak(text="", text_file=str(book)).record
    spoken = [(c.chapter, c.place, c.text.strip()) for c in record.chunks]
    assert spoken == [
        (number, f"OEBPS/{number - 1}.xhtml#/2/{at}", text)
        for number, title in enumerate(TITLES, 1)
        for at, text in enumerate([title, REPEATED, "He went on."], 1)
    ]
    assert [c.pause_ms for c in record.chunks] == [600, 600, 1500, 600, 600, 0]
    assert "skipped: 2 × note marks (2 words), 2 × notes (4 words)" in record.warnings


def test_chosen_chapters_sound_as_in_the_whole_book(speak, book, tmp_path):
    """The same keys, so that what is kept serves both; their places stay those of the book."""
    whole = speak(text="", text_file=str(book)).record
    part = speak(text="", text_file=str(book), chapters="2", run_name="part").record
    assert [chunk.key for chunk in part.chunks] == [chunk.key for chunk in whole.chunks[3:]]
    assert [chunk.start for chunk in part.chunks] == [chunk.start for chunk in whole.chunks[3:]]
    assert all(chunk.cached for chunk in part.chunks)
    first = plan_speech(params(book, chapters="1")).chunks
    assert [planned.chunk.pause_ms for planned in first] == [600, 600, 0]


def test_skip_none_reads_all(book):
    text = spoken_text(params(book, skip="none"))
    assert text.count("A note.") == 2
    assert "A note." not in spoken_text(params(book, skip="-contents"))
    assert spoken_text(params(book, skip="notes")).count("He went on1.") == 2


def test_only_what_is_chosen_counts(book):
    whole, part = outline(params(book)), outline(params(book, chapters="1"))
    assert part.chunks == whole.chunks / 2
    assert spoken_text(params(book, chapters="2")).startswith(TITLES[1])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"chapters": "3"}, "tales.epub: chapters: 3 is not there: the contents have 1 to 2"),
        ({"chapters": "one"}, "chapters: 'one': write numbers and ranges"),
        ({"skip": "footnotes"}, "skip: 'footnotes' is not among notes, note marks, page numbers"),
        ({"text": "x", "text_file": "", "chapters": "1"}, "'1' needs a document"),
    ],
)
def test_what_cannot_be_chosen_is_refused_with_what_can(book, values, told):
    with pytest.raises(InputError, match=told):
        plan_speech(params(book).model_copy(update=values))


def test_a_list_of_names_may_be_a_list(book):
    assert params(book, skip=["notes", "index"]).skip == "notes, index"


def test_chapters_of_a_merged_folder_count_through(tmp_path, book):
    """And text files have chapters at their headings; their chunks are what they were."""
    (tmp_path / "an old one.txt").write_text(
        "Before.\n\nChapter One\n\nText.\n\nChapter Two\n\nEnd."
    )
    plan = plan_speech(params(tmp_path))
    (output,) = plan.outputs
    assert [planned.placed.chapter for planned in output.chunks] == [
        0,
        1,
        1,
        2,
        2,
        *[3] * 3,
        *[4] * 3,
    ]
    assert output.chunks[1].placed.place == "an old one.txt#line 3"
    assert natural_key("an old one.txt") < natural_key(book.name)


def test_fields_of_books_leave_names_and_keys_as_they_were():
    """At their defaults they count in neither."""
    plain = SpeakParams.create({"text_file": "x.txt"})
    assert not {"chapters", "skip"} & plain.deciding().keys()
    chosen = SpeakParams.create({"text_file": "x.txt", "chapters": "1", "skip": "none"})
    assert {"chapters", "skip"} <= chosen.deciding().keys()


def test_contents_lists_chapters_with_words_and_what_is_left_out(cli, book):
    done = cli("contents", book, check=0)
    lines = done.stdout.splitlines()
    assert lines[0] == "A book, by Aesop"
    assert lines[1].split() == ["1", *TITLES[0].split(), "14", "words", "about", "3", "s"]
    assert lines[3].startswith("2 chapters, 27 words, about")
    assert lines[4].startswith("skipped: 2 × note marks (2 words)")
    one = cli("contents", book, "-p", "chapters=2", check=0).stdout.splitlines()
    assert [line.split()[0] for line in one[1:]] == ["2", "1", "skipped:"]
    assert cli("contents", book, "-p", "skip=x", check=2).stderr.startswith("error: skip: 'x'")


def test_the_folder_of_a_run_is_not_spoken(speak):
    """Its pages would be: they are HTML."""
    speech = speak(text="Hello there.")
    with pytest.raises(InputError, match="is the folder of a run: give a document"):
        speak(text_file=str(speech.folder))
