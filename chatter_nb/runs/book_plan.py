"""The outputs of a text: its chapters, the tags of its files, a file a chapter where asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

from chatter_nb.audio.tags import MOST_IN_OGG, Tags
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
    """One audio signal to make: the chunks of a text, of several merged, or of a chapter.

    `whole` is of a chapter: the output of its text, for the formats that are not divided.
    """

    name: str
    source: str
    chunks: tuple[PlannedChunk, ...]
    chapters: tuple[PlannedChapter, ...] = ()  # none without a document
    tags: Tags = NO_TAGS
    whole: PlannedOutput | None = None

    @property
    def ends_whole(self) -> bool:
        """Whether this is the last chapter of `whole`."""
        return self.whole is not None and self.chunks[-1] is self.whole.chunks[-1]


def plan_outputs(
    source: TextSource,
    chunks: Sequence[PlannedChunk],
    params: SpeakParams,
    language: str,
    on_note: Callable[[str], object],
) -> list[PlannedOutput]:
    """The output of a text, or one for each chapter.

    Raises `InputError` for a bad `cover`, and for more chapters than a format holds; a bad cover of
    the document is left out with a note.
    """
    book = source.book
    cover = _cover(source, params, on_note)
    tags = _tags(book, params, language, cover)
    groups = _by_chapter(chunks)
    titles = {chapter.number: " ".join(chapter.title.split()) for chapter in book.chapters}
    names = [titles.get(number) or book.title or source.name for number, _ in groups]
    firsts = accumulate((len(own) for _, own in groups), initial=0)
    chapters = tuple(map(PlannedChapter, names, firsts)) if book.chapters else ()
    whole = PlannedOutput(source.name, source.origin, tuple(chunks), chapters, tags)
    if params.split == "none" or not book.chapters:
        if "opus" in params.formats and len(chapters) > MOST_IN_OGG:
            cure = "set split: chapter, or choose m4b or mp3"
            raise InputError(
                f"{source.origin}: opus holds {MOST_IN_OGG} chapters, not {len(chapters)}: {cure}"
            )
        return [whole]
    is_there = any(OUTPUT_FORMATS[name].muxed for name in params.formats)
    width = max(2, len(str(len(titles))))
    return [
        PlannedOutput(
            "-".join(filter(None, [source.name, f"{number:0{width}}", slug(name)])),
            source.origin,
            tuple(own),
            (PlannedChapter(name, 0),),
            replace(tags, title=name, album=tags.title, track=str(at)),
            whole if is_there else None,
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


def _cover(
    source: TextSource, params: SpeakParams, on_note: Callable[[str], object]
) -> bytes | None:
    """The cover that the parameters name, else the document's, if players can show it."""
    content, kind = source.book.cover or (b"", "")
    if not params.cover and (not content or {"m4b", "mp3"}.isdisjoint(params.formats)):
        return None
    if params.cover:
        content = _read_cover(params.cover)
    from chatter_nb.audio.book_file import is_picture  # loads FFmpeg: 0.06 s

    if is_picture(content) and len(content) <= _MOST_COVER_BYTES:
        return content
    if params.cover:
        wanted = "a whole JPEG or PNG file of at most 32 MB and 36 million pixels"
        raise InputError(f"cover {shown(params.cover)} must be {wanted}")
    on_note(
        f"{source.origin}: its cover ({kind}) is left out: players show JPEG and PNG. Set cover"
    )
    return None


def _read_cover(name: str) -> bytes:
    try:
        with resolve_path(name).open("rb") as file:
            return file.read(_MOST_COVER_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read cover {shown(name)}: {error.strerror}") from error
