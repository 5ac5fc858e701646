"""What is a chapter's heading in plain text, and what only begins like one."""

import pytest

from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.headings import is_heading


@pytest.mark.parametrize(
    "line",
    [
        *("Chapter Two", "CHAPTER IV. The Return", "Chapter 3 The End of It", "Prologue"),
        *("Chapter 3: of Mice", "Epilogue: The End", "Chapter 2 In Which Pooh Goes Out"),
    ],
)
def test_a_heading(line):
    assert is_heading(line)


@pytest.mark.parametrize(
    "line",
    [
        *("Chapter 7 of The Hobbit", "Chapter 7 of the book was long.", "Prologue to War"),
        *("Chapter 1 the end", "Chapter 5 and The Rest", "Epilogue of the Play", "Chapters Two"),
    ],
)
def test_a_line_of_prose(line):
    assert not is_heading(line)


def test_prose_that_is_wrapped_after_its_chapter_is_one_paragraph():
    (chunk,) = split_chunks(clean("Chapter Two\nof the book was long."))
    assert chunk.text == "Chapter Two of the book was long."
    heading, _ = split_chunks(clean("Chapter Two\nThe book was long."))
    assert heading.text.strip() == "Chapter Two"
