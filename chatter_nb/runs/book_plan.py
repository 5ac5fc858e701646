"""The outputs of a text: its chapters, the tags of its files, a file a chapter where asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Any, NamedTuple

from chatter_nb.base.errors import InputError, shown
from chatter_nb.base.formats import OUTPUT_FORMATS, OutputName
from chatter_nb.base.project import resolve_path
from chatter_nb.params.runs import AnyParams, SpeakParams
from chatter_nb.runs.keys import PlannedChunk
from chatter_nb.text.books.document import Book
from chatter_nb.text.files import TextSource

SLUG_CHARS = 40
_COVER_TYPES = ("image/jpeg", "image/png")
_COVER_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_MOST_COVER_BYTES = 1 << 25


class PlannedChapter(NamedTuple):
    """A chapter of an output; `first` is the position of its first chunk there."""

    title: str
    first: int


@dataclass(frozen=True)
class BookTags:
    """What files say of a book, as `audio.book_file.Tags`, which loads FFmpeg."""

    title: str = ""
    album: str = ""
    track: str = ""
    author: str = ""
    read_by: str = ""
    date: str = ""
    language: str = ""
    description: str = ""
    cover: bytes | None = None

    @property
    def are_given(self) -> bool:
        """Whether there is more to say than a language."""
        return any(value for name, value in vars(self).items() if name != "language")


@dataclass(frozen=True)
class PlannedOutput:
    """One audio signal to make: the chunks of a text, of several merged, or of a chapter.

    `chapters` is empty for a text without a document.
    """

    name: str
    source: str
    chunks: tuple[PlannedChunk, ...]
    chapters: tuple[PlannedChapter, ...] = ()
    tags: BookTags = BookTags()


def plan_outputs(
    source: TextSource, chunks: Sequence[PlannedChunk], params: SpeakParams, language: str
) -> list[PlannedOutput]:
    """The output of a text, or one for each chapter. Raises `InputError` for a bad cover."""
    book, tags = source.book, _tags(source.book, params, language)
    if not book.chapters:
        return [PlannedOutput(source.name, source.origin, tuple(chunks), (), tags)]
    groups = _by_chapter(chunks)
    titles = {chapter.number: " ".join(chapter.title.split()) for chapter in book.chapters}
    names = [titles.get(number) or book.title or source.name for number, _ in groups]
    if params.split == "none":
        firsts = accumulate((len(own) for _, own in groups), initial=0)
        chapters = tuple(map(PlannedChapter, names, firsts))
        return [PlannedOutput(source.name, source.origin, tuple(chunks), chapters, tags)]
    width = max(2, len(str(len(titles))))
    return [
        PlannedOutput(
            "-".join(filter(None, [source.name, f"{number:0{width}}", slug(name)])),
            source.origin,
            tuple(own),
            (PlannedChapter(name, 0),),
            replace(tags, title=name, album=tags.title, track=str(at)),
        )
        for at, (name, (number, own)) in enumerate(zip(names, groups, strict=True), 1)
    ]


def is_of_book(params: AnyParams, output: Any, name: OutputName) -> bool:
    """Whether a format of an output has chapters, tags or a target; m4b is always one of these."""
    row = OUTPUT_FORMATS[name]
    has_more = output.tags.are_given or len(output.chapters) > 1 or params.master != "none"
    return row.muxed or (has_more and not row.lossless)


def slug(title: str) -> str:
    """A title as a part of a file's name: at most 40 of a to z, 0 to 9 and `-`; may be empty."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall("[a-z0-9]+", plain))[:SLUG_CHARS].strip("-")


def _by_chapter(chunks: Sequence[PlannedChunk]) -> list[tuple[int, list[PlannedChunk]]]:
    """The number and the chunks of each chapter; one without a word joins its neighbour."""
    groups: list[tuple[int, list[PlannedChunk]]] = []
    for number, own in groupby(chunks, key=lambda planned: planned.placed.chapter or 0):
        group = list(own)
        if groups and not _is_spoken(group):
            groups[-1][1].extend(group)
        elif groups and not _is_spoken(groups[-1][1]):
            groups[-1] = number, groups[-1][1] + group
        else:
            groups.append((number, group))
    return groups


def _is_spoken(chunks: Sequence[PlannedChunk]) -> bool:
    return any(planned.chunk.speakable for planned in chunks)


def _tags(book: Book, params: SpeakParams, language: str) -> BookTags:
    """What the parameters give, else what the book says; of its cover, if players can show it."""
    cover = None
    if params.cover:
        cover = _cover(params.cover)
    elif book.cover and book.cover[1] in _COVER_TYPES and book.cover[0].startswith(_COVER_STARTS):
        cover = book.cover[0]
    return BookTags(
        title=params.title or book.title,
        author=params.author or book.author,
        read_by=params.read_by,
        date=params.date or book.date,
        language=language,
        description=params.description or book.description,
        cover=cover,
    )


def _cover(name: str) -> bytes:
    try:
        with resolve_path(name).open("rb") as file:
            content = file.read(_MOST_COVER_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read cover {shown(name)}: {error.strerror}") from error
    if not content.startswith(_COVER_STARTS) or len(content) > _MOST_COVER_BYTES:
        raise InputError(f"cover {shown(name)} must be a JPEG or PNG file of at most 32 MB")
    return content
