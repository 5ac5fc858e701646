"""A document as it is read: chapters of blocks, each with its place, and what was left out.

Not here: how a format is read. `Book.text` is the text of a run; in it every block but the first
begins after a `BLOCK_BREAK` or a `CHAPTER_BREAK`, by which a chunk knows its block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

from chatter_nb.base.errors import InputError, shown
from chatter_nb.text.chunking import BLOCK_BREAK, CHAPTER_BREAK

Kind = Literal["heading", "paragraph", "verse", "list item", "table row", "code", "text"]

_CHAPTER_LEVELS = 2  # of headings: a chapter's pause is before these
_WORD = re.compile(r"\w+")
_RANGE = re.compile(r"(\d{1,6})(?:\s*[-–]\s*(\d{1,6}))?")


@dataclass(frozen=True)
class Place:
    """Where a block stands: the member of an archive or the file, and the element in it.

    `element` is its path of element numbers from the root ("/2/4": the root's second element, of
    that the fourth), a page ("page 3"), or a line ("line 40").
    """

    document: str = ""
    element: str = ""

    def __str__(self) -> str:
        return "#".join(filter(None, (self.document, self.element)))


@dataclass(frozen=True)
class Phonemes:
    """How an author wants characters [start, end) of a block spoken (`ssml:ph`)."""

    start: int
    end: int
    ph: str
    alphabet: str = ""


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph, a stanza … `level` is a heading's, 1 to 6."""

    kind: Kind
    text: str
    place: Place = Place()
    level: int = 0
    phonemes: tuple[Phonemes, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """A part that is not spoken: its kind (of `skips.KINDS`), place, words, and how it begins."""

    kind: str
    place: Place
    words: int
    beginning: str = ""


@dataclass(frozen=True)
class Chapter:
    """An entry of the contents, and the blocks up to the next. `level` is 1 for the outermost.

    `number` is 0 for what stands before the first entry. `skipped` is the kind of all of it that is
    not spoken, if it has no block.
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
class Cover:
    """A picture, as it is in the document."""

    data: bytes
    media_type: str


@dataclass(frozen=True)
class Book:
    """A document. `lexicons` are its members with pronunciations (PLS)."""

    # Bytes are base64 in JSON, in which a reading process sends the book.
    __pydantic_config__: ClassVar = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}

    title: str = ""
    author: str = ""
    language: str = ""
    date: str = ""
    description: str = ""
    cover: Cover | None = None
    chapters: tuple[Chapter, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    lexicons: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """The text to speak, with breaks. Nothing is before the first block, or after the last."""
        return "".join(_joined(self.chapters))

    @cached_property
    def blocks(self) -> list[tuple[Chapter, Block]]:
        """Every block with its chapter, in the order of the breaks in `text`."""
        return [(chapter, block) for chapter in self.chapters for block in chapter.blocks]


def count_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))


def divide(blocks: Sequence[Block], entries: Iterable[tuple[int, str, int]]) -> tuple[Chapter, ...]:
    """Blocks as chapters, one for each entry: the number of its first block, its title and level.

    What stands before the first entry is chapter 0.
    """
    entries = list(entries)
    starts = [start for start, _, _ in entries]
    chapters = [
        Chapter(number, title, tuple(blocks[start:end]), level)
        for number, ((start, title, level), end) in enumerate(
            zip(entries, [*starts[1:], len(blocks)], strict=True), 1
        )
    ]
    front = tuple(blocks[: starts[0] if starts else len(blocks)])
    return (*([Chapter(0, "", front)] if front else []), *chapters)


def divide_at_headings(blocks: Sequence[Block], title: str) -> tuple[Chapter, ...]:
    """Blocks as chapters at their headings of the first two levels; without any, one chapter."""
    heads = [n for n, block in enumerate(blocks) if 0 < block.level <= _CHAPTER_LEVELS]
    entries = [(n, " ".join(blocks[n].text.split()), blocks[n].level) for n in heads]
    return divide(blocks, entries or [(0, title, 1)])


def merge_books(books: Iterable[Book]) -> Book:
    """One book of several, its data those of the first, with chapters counted through.

    Only the first may have a chapter 0: what is before the contents of another gets a number.
    """
    books = list(books)
    chapters = [chapter for book in books for chapter in book.chapters]
    first = min((chapter.number for chapter in chapters[:1]), default=1)
    numbered = (replace(chapter, number=n) for n, chapter in enumerate(chapters, first))
    skipped = (skip for book in books for skip in book.skipped)
    notes = (note for book in books for note in book.notes)
    return replace(books[0], chapters=tuple(numbered), skipped=tuple(skipped), notes=tuple(notes))


def choose_chapters(book: Book, chosen: str) -> frozenset[int]:
    """The numbers in "1-3,7", or all if `chosen` is empty.

    Raises `InputError` for what is no list of numbers, and for a chapter that is not there.
    """
    known = {chapter.number: chapter for chapter in book.chapters}
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in chosen.split(","))):
        match = _RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise InputError(f'chapters: {shown(part)}: write numbers and ranges, such as "1-3,7"')
        if absent := [n for n in (first, last) if n not in known]:
            raise InputError(
                f"chapters: {absent[0]} is not there: the contents have "
                f"{min(known, default=0)} to {max(known, default=0)} (chatter-nb contents FILE)"
            )
        numbers.update(range(first, last + 1))
    if numbers and not any(known[number].blocks for number in numbers):
        raise InputError(f"chapters: {shown(chosen)} holds nothing to speak: choose others")
    return frozenset(numbers or known)


def _joined(chapters: Iterable[Chapter]) -> Iterator[str]:
    before: Block | None = None
    for chapter in chapters:
        for position, block in enumerate(chapter.blocks):
            if before:
                begins = not position or _heads_section(block, before)
                yield f"\n\n{CHAPTER_BREAK}\n\n" if begins else f"\n{BLOCK_BREAK}\n\n"
            yield block.text
            before = block


def _heads_section(block: Block, before: Block) -> bool:
    """Whether a chapter's pause is before a block: a large heading that does not follow another."""
    return 0 < block.level <= _CHAPTER_LEVELS and before.kind != "heading"
