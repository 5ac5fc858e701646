"""A document as it is read: chapters of blocks, each with its place, and what was left out.

Not here: how a format is read. In `Book.text`, which a run speaks, every block but the first begins
after a `BLOCK_BREAK` or a `CHAPTER_BREAK`, by which a chunk knows its block. A place is a member of
the archive (or the file) and an element in it: "ch1.xhtml#/2/4" is the fourth element in the second
in the root, "a.txt#line 40" a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from chatter_nb.base.errors import InputError, shown
from chatter_nb.text.lexicon import Entry
from chatter_nb.text.line import BLOCK_BREAK, CHAPTER_BREAK
from chatter_nb.text.pace import chars_per_s

CHAPTER_LEVELS = 2  # of headings: a chapter's pause is before these
_WORD = re.compile(r"\w+")
_RANGE = re.compile(r"(\d{1,6})(?:\s*[-–]\s*(\d{1,6}))?")


@dataclass(frozen=True)
class Block:
    """A heading (of `level` 1 to 6), paragraph, verse, list item, table row, code, or raw text.

    `phonemes`: how its author wants characters [start, end) spoken: start, end, sounds, and their
    alphabet, "" for IPA (`ssml:ph`).
    """

    kind: str
    text: str
    place: str = ""
    level: int = 0
    phonemes: tuple[tuple[int, int, str, str], ...] = ()


@dataclass(frozen=True)
class Skipped:
    """A part that is not spoken, of a kind in `skips.KINDS`."""

    kind: str
    place: str
    words: int


@dataclass(frozen=True)
class Chapter:
    """An entry of the contents, and the blocks up to the next. `level` is 1 for the outermost.

    `number` is 0 for what stands before the first entry. `skipped` is a kind, if all was left out.
    """

    number: int
    title: str
    blocks: tuple[Block, ...] = ()
    level: int = 1
    skipped: str = ""

    @cached_property
    def words(self) -> int:
        return sum(count_words(block.text) for block in self.blocks)


@dataclass(frozen=True)
class Book:
    """A document. `cover` is a picture and its media type; `lexicon` has words that occur in it."""

    title: str = ""
    author: str = ""
    language: str = ""
    date: str = ""
    description: str = ""
    cover: tuple[bytes, str] | None = None
    chapters: tuple[Chapter, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    lexicon: tuple[Entry, ...] = ()

    @cached_property
    def text(self) -> str:
        return "".join(_joined(self.chapters))

    @cached_property
    def blocks(self) -> list[tuple[Chapter, Block]]:
        """Every block with its chapter, in the order of the breaks in `text`."""
        return [(chapter, block) for chapter in self.chapters for block in chapter.blocks]

    def lengths_s(self, language: str | None, speed: float | None) -> list[float]:
        """Roughly how long each chapter is spoken, in seconds, without pauses."""
        chars_s = chars_per_s(language or self.language or "en") * (speed or 1.0)
        return [sum(len(block.text) for block in c.blocks) / chars_s for c in self.chapters]


def count_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))


def divide(blocks: Sequence[Block], entries: Sequence[tuple[int, str, int]]) -> tuple[Chapter, ...]:
    """A chapter for each entry: its first block's number, title, level; before them chapter 0."""
    starts = [start for start, _, _ in entries] + [len(blocks)]
    chapters = [Chapter(0, "", tuple(blocks[: starts[0]]))] if starts[0] else []
    for number, (start, title, level) in enumerate(entries, 1):
        chapters.append(Chapter(number, title, tuple(blocks[start : starts[number]]), level))
    return tuple(chapters)


def divide_at_headings(blocks: Sequence[Block], title: str) -> tuple[Chapter, ...]:
    """Chapters begin at headings of the first two levels; without any it is one."""
    heads = [
        (number, " ".join(block.text.split()), block.level)
        for number, block in enumerate(blocks)
        if 0 < block.level <= CHAPTER_LEVELS
    ]
    return divide(blocks, heads or [(0, title, 1)])


def merge_books(books: Sequence[Book]) -> Book:
    """One book, its data those of the first, with chapters counted through."""
    chapters = [chapter for book in books for chapter in book.chapters]
    first = chapters[0].number if chapters else 1
    numbered = (replace(chapter, number=number) for number, chapter in enumerate(chapters, first))
    skipped = tuple(part for book in books for part in book.skipped)
    lexicon = tuple(dict.fromkeys(entry for book in books for entry in book.lexicon))
    return replace(books[0], chapters=tuple(numbered), skipped=skipped, lexicon=lexicon)


def choose_chapters(book: Book, chosen: str) -> frozenset[int]:
    """The numbers in "1-3,7". Raises `InputError` for other texts, and for what is not there."""
    known = {chapter.number: chapter for chapter in book.chapters}
    numbers: set[int] = set()
    for part in chosen.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise InputError(f'chapters: {shown(part)}: write numbers and ranges, such as "1-3,7"')
        if absent := [number for number in (first, last) if number not in known]:
            raise InputError(
                f"chapters: {absent[0]} is not there: the contents have {min(known, default=0)} to "
                f"{max(known, default=0)} (chatter-nb contents FILE)"
            )
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def _joined(chapters: Iterable[Chapter]) -> Iterator[str]:
    before: Block | None = None
    for chapter in chapters:
        for position, block in enumerate(chapter.blocks):
            # A chapter's pause is before a large heading too, unless that follows another.
            heads = 0 < block.level <= CHAPTER_LEVELS and before and before.kind != "heading"
            if before:
                begins = not position or heads
                yield f"\n\n{CHAPTER_BREAK}\n\n" if begins else f"\n{BLOCK_BREAK}\n\n"
            yield block.text
            before = block
