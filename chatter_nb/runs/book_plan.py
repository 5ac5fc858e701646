"""The outputs of a text: its chapters, the tags of its files, a file a chapter where asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from chatter_nb.audio.tags import MOST_IN_OGG, Tags
from chatter_nb.base.disk import reading
from chatter_nb.base.errors import InputError, shown
from chatter_nb.base.formats import OUTPUT_FORMATS, OutputName
from chatter_nb.base.project import resolve_path
from chatter_nb.params.runs import AnyParams, SpeakParams
from chatter_nb.runs.keys import PlannedChunk
from chatter_nb.text.books.document import Book
from chatter_nb.text.files import TextSource

SLUG_CHARS = 40
_MOST_COVER_BYTES = 1 << 25
NO_TAGS = Tags()


class PlannedChapter(NamedTuple):
    """A chapter of an output; `first` is the position of its first chunk there."""

    title: str
    first: int


@dataclass(frozen=True)
class PlannedOutput:
    """One audio signal to make: the chunks of a text, of several merged, or of a chapter."""

    name: str
    source: str
    chunks: tuple[PlannedChunk, ...]
    chapters: tuple[PlannedChapter, ...] = ()  # none without a document
    tags: Tags = NO_TAGS
    notes: tuple[str, ...] = ()
    whole: PlannedOutput | None = None  # of a chapter: its text's, for m4b


def plan_outputs(
    source: TextSource, chunks: Sequence[PlannedChunk], params: SpeakParams, language: str
) -> list[PlannedOutput]:
    """The outputs of a text. Raises `InputError` for a bad cover, or too many chapters."""
    book, (cover, notes) = source.book, _cover(source, params)
    tags = _tags(book, params, language, cover)
    groups = _by_chapter(chunks)
    titles = {chapter.number: " ".join(chapter.title.split()) for chapter in book.chapters}
    names = [titles.get(number) or book.title or source.name for number, _ in groups]
    firsts = accumulate((len(own) for _, own in groups), initial=0)
    chapters = tuple(map(PlannedChapter, names, firsts)) if book.chapters else ()
    whole = PlannedOutput(source.name, source.origin, tuple(chunks), chapters, tags, notes)
    if params.split == "none" or not chapters:
        if "opus" in params.formats and len(chapters) > MOST_IN_OGG:
            many = f"opus holds {MOST_IN_OGG} chapters, not {len(chapters):,}"
            raise InputError(f"{source.origin}: {many}: choose m4b or mp3, or split: chapter")
        return [whole]
    width, has_m4b = max(2, len(str(len(titles)))), "m4b" in params.formats
    return [
        replace(
            whole,
            name="-".join(filter(None, [source.name, f"{number:0{width}}", slug(name)])),
            chunks=tuple(own),
            chapters=(PlannedChapter(name, 0),),
            tags=replace(tags, title=name, album=tags.title, track=str(at)),
            whole=whole if has_m4b else None,
        )
        for at, (name, (number, own)) in enumerate(zip(names, groups, strict=True), 1)
    ]


def is_of_book(params: AnyParams, output: Any, name: OutputName) -> bool:
    """Whether a format of an output has chapters, tags or a target; m4b is always one of these."""
    row = OUTPUT_FORMATS[name]
    has_tags = any(value for name, value in vars(output.tags).items() if name != "language")
    has_more = has_tags or len(output.chapters) > 1 or params.master != "none"
    return row.muxed or (has_more and not row.lossless)


def slug(title: str) -> str:
    """A title as a part of a file's name: at most 40 of a to z, 0 to 9 and `-`; may be empty."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall("[a-z0-9]+", plain))[:SLUG_CHARS].strip("-")


def _by_chapter(chunks: Sequence[PlannedChunk]) -> list[tuple[int, list[PlannedChunk]]]:
    """The number and the chunks of each chapter; one without a word joins its neighbour."""
    spoken = [planned.placed.chapter or 0 for planned in chunks if planned.chunk.speakable]
    known, number = set(spoken), spoken[0]
    groups: dict[int, list[PlannedChunk]] = {}
    for planned in chunks:
        own = planned.placed.chapter or 0
        number = own if own in known else number
        groups.setdefault(number, []).append(planned)
    return list(groups.items())


def _tags(book: Book, params: SpeakParams, language: str, cover: bytes | None) -> Tags:
    """What the parameters give, else what the book says."""
    names = ("title", "author", "date", "description")
    values = {name: getattr(params, name) or getattr(book, name) for name in names}
    return Tags(**values, read_by=params.read_by, language=language, cover=cover)


def _cover(source: TextSource, params: SpeakParams) -> tuple[bytes | None, tuple[str, ...]]:
    """The cover that the parameters name, else the document's, or a note on why it is left out."""
    content, kind = source.book.cover or (b"", "")
    if params.cover:
        content = _read_cover(params.cover)
    elif not content or {"m4b", "mp3"}.isdisjoint(params.formats):
        return None, ()
    from chatter_nb.audio.book_file import is_picture  # loads FFmpeg: 0.06 s

    if is_picture(content):
        return content, ()
    wanted = "a whole JPEG or PNG file of at most 32 MB and 36 million pixels"
    if params.cover:
        raise InputError(f"cover {shown(params.cover)} must be {wanted}")
    return None, (
        f"{Path(source.origin).name}: its cover ({kind}) is left out: set cover to {wanted}",
    )


def _read_cover(name: str) -> bytes:
    with reading(f"cover {shown(name)}"), resolve_path(name).open("rb") as file:
        return file.read(_MOST_COVER_BYTES)
