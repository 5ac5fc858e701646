"""Hard-wrapped text, as Project Gutenberg has it: what is read, what is taken out and told."""

import random
from collections import Counter

import pytest

from chatter_nb.base.errors import InputError
from chatter_nb.text.books.document import count_words
from chatter_nb.text.books.lines import running_heads
from chatter_nb.text.books.skips import CLEANINGS
from chatter_nb.text.books.wrapped import book_of_wrapped, is_wrapped
from chatter_nb.text.files import read_sources

GUTENBERG = """\
The Project Gutenberg eBook of The Long Road

This eBook is for the use of anyone anywhere.

Title: The Long Road
Author: Jane Walker
Language: English

*** START OF THE PROJECT GUTENBERG EBOOK THE LONG ROAD ***




THE LONG ROAD

by Jane Walker

[Illustration: A road
between two hills]


CONTENTS

 CHAPTER I. Down the Hill
 CHAPTER II. The Miller's Song
 NOTES FOR WALKERS



CHAPTER I.
Down the Hill


The road was _very_ long[1] and it led from the mill at the end of the vil-
lage down to the river, where a well-
known ferryman had lived for more than _forty
years_ with his dog and his many respon-
sibilities. [Pg 12]He was, I may say, a kind old man.

[1] Seven miles, by the map of the county.

    Twinkle, twinkle, little bat,
    How I wonder what you're at:
    Up above the world you fly,

"Good day," he said.

[Footnote 2: He said this to all who came, and to many of those who
only went by.

It is a custom there.]



CHAPTER II.
The Miller's Song


They took with them:

1. bread and a piece of cheese that was so old that it had begun to
   walk by itself,
2. water,
3. a map.

That was all they had, and in the evening nothing of it was left but the{13}
map, which no one could read, since it was in the handwriting of a man
who had died before he could explain it to anybody in the whole village.



NOTES FOR WALKERS


Take a hat.

*** END OF THE PROJECT GUTENBERG EBOOK THE LONG ROAD ***

Updated editions will replace the previous one.
"""
FERRYMAN = (
    "The road was very long and it led from the mill at the end of the village down to the "
    "river, where a well-known ferryman had lived for more than forty years with his dog and "
    "his many responsibilities. He was, I may say, a kind old man."
)


def write(tmp_path, text, name="road.txt"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.fixture
def book():
    return book_of_wrapped(GUTENBERG, "road.txt", CLEANINGS)


def texts(book):
    return [block.text for _, block in book.blocks]


def test_a_gutenberg_text_has_its_chapters_and_its_names(book):
    titles = [(chapter.number, chapter.title) for chapter in book.chapters]
    assert titles == [
        (0, ""),
        (1, "CHAPTER I. Down the Hill"),
        (2, "CHAPTER II. The Miller's Song"),
        (3, "NOTES FOR WALKERS"),
    ]
    assert (book.title, book.author) == ("The Long Road", "Jane Walker")


def test_every_paragraph_is_read_without_the_marks_of_print(book):
    assert texts(book)[:4] == [
        "THE LONG ROAD",
        "by Jane Walker",
        "CHAPTER I. Down the Hill",
        FERRYMAN,
    ]
    assert texts(book)[5:] == [
        '"Good day," he said.',
        "CHAPTER II. The Miller's Song",
        "They took with them:",
        "1. bread and a piece of cheese that was so old that it had begun to walk by itself,",
        "2. water,",
        "3. a map.",
        "That was all they had, and in the evening nothing of it was left but the map, which no "
        "one could read, since it was in the handwriting of a man who had died before he could "
        "explain it to anybody in the whole village.",
        "NOTES FOR WALKERS",
        "Take a hat.",
    ]


PIECES = (
    *("word", "_it_", "_a", "b_", "[1]", "[2]", "[A]", "[Pg 3]", "{4}", "[Illustration: a b]", "7"),
    *("[Illustration", "[Footnote 1: c d]", "CHAPTER I", "Contents", "Chapter Two", "1.", "2)"),
    *(
        "- item",
        "\n\n",
        "\n\n\n",
        "\f",
        "\r\n",
        "    ",
        "A TITLE",
        "page 8",
        "é",
        "“Q.”",
        "Title: T",
    ),
    *("*** START OF THE PROJECT GUTENBERG EBOOK X ***", "End of the Project Gutenberg EBook"),
)


@pytest.mark.parametrize("seed", range(100))
def test_every_word_is_read_or_told(seed):
    """Of texts of any marks, cleaned of any of them."""
    rng = random.Random(seed)
    text = "".join(rng.choice(PIECES) + rng.choice(" \n") for _ in range(rng.randint(1, 120)))
    for names in (CLEANINGS, rng.sample(CLEANINGS, 4), ()):
        book = book_of_wrapped(text, "a.txt", set(names) - {"hyphens", "italics"})
        spoken = sum(chapter.words for chapter in book.chapters)
        assert spoken + sum(part.words for part in book.skipped) == count_words(text)


def test_verse_keeps_its_lines(book):
    verse = next(block for _, block in book.blocks if block.kind == "verse")
    assert verse.text.split("\n") == [
        "Twinkle, twinkle, little bat,",
        "How I wonder what you're at:",
        "Up above the world you fly,",
    ]


def test_what_was_taken_out_is_told(book):
    counts = Counter(part.kind for part in book.skipped)
    assert counts == {
        **{"licence": 2, "contents": 2, "pages": 2, "hyphens": 2, "italics": 2},
        **{"illustrations": 1, "note marks": 1, "notes": 2},
    }
    spoken = [word for _, block in book.blocks for word in block.text.split()]
    assert "Updated" not in spoken
    assert "Seven" not in spoken
    assert "custom" not in spoken


def test_a_place_is_a_line_of_the_text(book):
    lines = GUTENBERG.split("\n")
    for _, block in book.blocks:
        document, _, line = block.place.partition("#line ")
        assert document == "road.txt"
        assert block.text.split()[0] in lines[int(line) - 1].replace("[Pg 12]", "")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("licence", "Updated editions"),
        ("contents", "CONTENTS"),
        ("pages", "[Pg 12]"),
        ("italics", "_very_"),
        ("illustrations", "[Illustration: A road"),
        ("note marks", "long[1]"),
        ("notes", "Seven miles"),
        ("hyphens", "vil- lage"),
        ("lines", "forty\nyears"),
    ],
)
def test_each_can_be_kept(tmp_path, name, kept):
    path = write(tmp_path, GUTENBERG)
    keeping = read_sources(path, clean=f"-{name}")[0]
    assert kept in keeping.text
    assert kept not in read_sources(path)[0].text


def test_nothing_is_cleaned_with_none(tmp_path):
    (source,) = read_sources(write(tmp_path, GUTENBERG), clean="none")
    assert source.text.split() == GUTENBERG.split()
    assert not source.note


def test_auto_leaves_other_texts_as_they_are(tmp_path):
    """A text of short lines, or of a line a paragraph, is no wrapped text unless it is said."""
    text = "A nega-\ntive _thing_[1] is here.\n"
    assert read_sources(write(tmp_path, text))[0].text == text
    (source,) = read_sources(write(tmp_path, text), clean="hyphens, italics")
    assert source.text == "A negative thing[1] is here."
    assert source.note == "skipped: 1 × italics, 1 × hyphens"


def test_a_text_is_wrapped_by_its_markers_or_its_lines():
    line = "word " * 12 + "end"  # 63 characters
    assert is_wrapped("\n".join([line] * 11))
    assert not is_wrapped("\n".join([line] * 10))  # nine lines before another: too few to tell
    assert not is_wrapped("\n\n".join([line] * 20))  # a line a paragraph
    assert not is_wrapped("\n".join([line, line, "short line"] * 10))
    assert is_wrapped("*** START OF THIS PROJECT GUTENBERG EBOOK A ***\nShort.")


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("nega-\ntive", "negative"),
        ("respon-\nsibility", "responsibility"),
        ("a well-\nknown man", "a well-known man"),
        ("a zubli-\nmator", "a zublimator"),  # no list has it, nor its parts
        ("co-\noperate and co-operate", "co-operate and co-operate"),  # as it stands elsewhere
        ("flower-\npot. A flowerpot.", "flowerpot. A flowerpot."),
        ("x-\nray", "x-ray"),
        ("soft\u00ad\nware", "software"),
        ("in 1914-\nnot later", "in 1914- not later"),
        ("Mary-\nAnn", "Mary- Ann"),
        ("she said -\nand went", "she said - and went"),
    ],
)
def test_divided_words(text, joined):
    assert texts(book_of_wrapped(text, "a.txt", {"hyphens", "lines"})) == [joined]


def test_pages_of_a_pdfs_text_are_joined():
    """Form feeds, page numbers and running heads are gone, in mid-sentence and between words."""
    pages = [
        "THE ROAD\n\nThe road was long.\n\nLand win-\n\n1\n",
        "\fJANE WALKER\n\nding, and it\n\n2\n",
        "\fTHE ROAD\n\nended here.\n\n3\n",
        "\fJANE WALKER\n\nChapter Two\n\nIt was light.\n\n4\n",
    ]
    book = book_of_wrapped("".join(pages), "a.txt", CLEANINGS)
    assert texts(book) == [
        "The road was long.",
        "Land winding, and it ended here.",
        "Chapter Two",
        "It was light.",
    ]
    assert Counter(part.kind for part in book.skipped) == {"pages": 8, "hyphens": 1}


def test_a_page_may_begin_with_a_number_that_is_none_of_a_page():
    pages = "One hundred and\n7\f12\nmen went.\fThe end\nof it.\n3"
    book = book_of_wrapped(pages, "a.txt", CLEANINGS)
    assert " ".join(texts(book)).split() == pages.split()
    assert not book.skipped


def test_a_number_alone_is_a_pages_if_it_is_the_one_that_other_heads_have():
    """As on a chapter's first page, where the others have a title beside it."""
    words = ["alder", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak"]
    pages = [[f"{word} is", f"so {word}", f"The Road {n}"] for n, word in enumerate(words, 3)]
    pages[4][-1], pages[6][-1] = "7", "12"
    assert (4, 2) in running_heads(pages)
    assert (6, 2) not in running_heads(pages)
    assert {line for _, line in running_heads(pages)} == {2}


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"clean: 'verse' is not among licence, .*, none, or -name"
    ):
        read_sources(write(tmp_path, "Text."), clean="verse")


def test_a_note_may_end_the_text():
    book = book_of_wrapped("It was so.[1]\n\n[1] Or so.", "a.txt", CLEANINGS)
    assert texts(book) == ["It was so."]
    assert Counter(part.kind for part in book.skipped) == {"notes": 1, "note marks": 1}
