"""Chunks and their places: in the text that an output shows, and in its book."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

from chatter_nb.runs.record import RunRecord
from chatter_nb.text.books.document import Book
from chatter_nb.text.chunking import Chunk

Said = Callable[[Sequence[Chunk]], list[Chunk]]  # parts of a sentence, with what is said for them


@dataclass(frozen=True)
class PlacedChunk:
    """A chunk and its place: `start`, in characters, in the text that output `document` shows.

    `source` is the chunk as the text has it, `chunk` as it is spoken: another if there is an edit
    with words. `take` is the take that an edit names. `chapter` and `place` are those of its block
    in a document, see `ChunkRecord`.
    """

    document: str
    start: int
    source: Chunk
    chunk: Chunk
    take: int | None = None
    chapter: int | None = None
    place: str = ""

    @property
    def end(self) -> int:
        return self.start + len(self.source.text)

    @property
    def source_text(self) -> str | None:
        """The text before its edit; None without one."""
        return None if self.chunk.text == self.source.text else self.source.text


def placed_chunks(record: RunRecord, language: str = "", said: Said = list) -> list[PlacedChunk]:
    """The chunks of a run at their places, without edits; parts of a chunk are put together.

    Chunks without a pause between them are parts of a sentence, and are said together.
    """
    sentences: list[list[PlacedChunk]] = []
    for index, (_, group) in enumerate(
        groupby(record.chunks, key=attrgetter("document", "start", "end"))
    ):
        parts = list(group)
        text = parts[0].text if parts[0].source_text is None else parts[0].source_text
        chunk = Chunk(index, text, parts[-1].pause_ms, language)
        who = {name: getattr(parts[0], name) for name in ("speaker", "mood", "reason")}
        chunk = replace(chunk, **who)
        placed = PlacedChunk(parts[0].document, parts[0].start, chunk, chunk)
        last = sentences[-1][-1] if sentences else None
        if last and not last.chunk.pause_ms and _is_of(last) == _is_of(placed):
            sentences[-1].append(placed)
        else:
            sentences.append([placed])
    return [
        replace(each, chunk=chunk, source=chunk)
        for sentence in sentences
        for each, chunk in zip(sentence, said([c.source for c in sentence]), strict=True)
    ]


def _is_of(placed: PlacedChunk) -> tuple[str, str]:
    return placed.document, placed.chunk.speaker


def place_chunks(
    document: str, chunks: Iterable[Chunk], book: Book | None = None
) -> Iterator[PlacedChunk]:
    """The chunks of a text at their places, in its book too, without edits."""
    start, blocks = 0, book.blocks if book else []
    for chunk in chunks:
        placed = PlacedChunk(document, start, chunk, chunk)
        if blocks:
            chapter, block = blocks[min(chunk.block, len(blocks) - 1)]
            placed = replace(placed, chapter=chapter.number, place=block.place)
        yield placed
        start += len(chunk.text)
