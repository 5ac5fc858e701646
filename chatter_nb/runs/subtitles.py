"""Subtitles: the shown text of an output in cues of at most two lines, as SRT or WebVTT.

Cues come chunk by chunk, in time linear in the text. Where times of words come from: `words_file`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

import numpy as np

from chatter_nb.runs.record import ChunkRecord
from chatter_nb.text.cuts import UNSPACED, cut
from chatter_nb.text.places import words_of
from chatter_nb.text.sentences import sentences

LINE_CHARS, WIDE_LINE_CHARS = 42, 21  # Chinese characters and kana take the room of two
LEAST_MS, MOST_MS = 1000, 7000  # of a cue
ESTIMATED = "times inside chunks are estimated where their words have no times"
_CLAUSE_MARKS = ',;:.!?…—–)”’"'
_CLAUSE_CHARS = 12  # for a clause mark, lines may differ by twice this more

Timed = tuple[ChunkRecord, Iterable[Mapping[str, Any]] | None]  # with its words, None if unknown


class Cue(NamedTuple):
    """Lines of text, and when they are shown."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def cues(chunks: Iterable[Timed], language: str) -> Iterator[Cue]:
    """The cues of chunks, in order; none overlaps, and none has words of two chunks.

    A cue lasts 1 to 7 s; less where the next one begins earlier. Places of words, in `words_file`'s
    form, are in the text of their chunk. Without words a chunk's time is shared by characters.
    """
    before: Cue | None = None
    for chunk, words in chunks:
        clock = _Clock(chunk, words or ())
        for start, end in _places(chunk.text, language, clock):
            start_ms, end_ms = clock.span_ms(start, end)
            if before:
                start_ms = max(start_ms, before.start_ms + 1)
                yield before._replace(end_ms=min(before.end_ms, start_ms))
            end_ms = min(max(end_ms, start_ms + LEAST_MS), start_ms + MOST_MS)
            before = Cue(start_ms, end_ms, tuple(_lines(chunk.text[start:end])))
    if before:
        yield before


def written(kind: str, cues: Iterable[Cue], *, estimated: bool) -> Iterator[str]:
    """The parts of a file of a kind, srt or vtt; of vtt, a note says if times are `estimated`."""
    if is_vtt := kind == "vtt":
        yield "WEBVTT\n\n" + (f"NOTE {ESTIMATED}\n\n" if estimated else "")
    for number, cue in enumerate(cues, 1):
        times = f"{_clock_text(cue.start_ms)} --> {_clock_text(cue.end_ms)}"
        lines = [escape(line, quote=False) if is_vtt else line for line in cue.lines]
        yield "\n".join([str(number), times if is_vtt else times.replace(".", ","), *lines, "\n"])


def _clock_text(time_ms: int) -> str:
    minutes, ms = divmod(time_ms, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d}.{ms % 1000:03d}"


class _Clock:
    """When a stretch of a chunk's text sounds: as its words, between them by characters."""

    def __init__(self, chunk: ChunkRecord, words: Iterable[Mapping[str, Any]]) -> None:
        self._text, starts, ends = chunk.text, dict[int, float](), dict[int, float]()
        for word in words:  # several have one place where "3:30" is written
            starts.setdefault(word["text_start"], word["start_s"])
            ends[word["text_end"]] = word["end_s"]
        for known in (starts, ends):
            known.setdefault(0, chunk.start_s)
            known.setdefault(len(chunk.text.rstrip()), chunk.end_s)
        self._starts, self._ends = (np.array(sorted(known.items())).T for known in (starts, ends))

    def span_ms(self, start: int, end: int) -> tuple[int, int]:
        if words := words_of(self._text[start:end]):
            start, end = start + words[0].start, start + words[-1].end
        times_s = np.interp(start, *self._starts), np.interp(end, *self._ends)
        return round(1000 * times_s[0]), round(1000 * times_s[1])

    def fits(self, start: int, end: int) -> bool:
        """Whether a stretch fits a cue."""
        start_ms, end_ms = self.span_ms(start, end)
        return end_ms - start_ms <= MOST_MS and 0 < len(_lines(self._text[start:end])) <= 2


def _places(text: str, language: str, clock: _Clock) -> list[tuple[int, int]]:
    """The places of cues: sentences, divided if too long, joined if the first is under 1 s."""
    places, at = list[tuple[int, int]](), 0
    for sentence in sentences(text, language, 2 * LINE_CHARS):
        for start, end in _divided(text, at, at + len(sentence), clock):
            first = places[-1][0] if places else start
            waits_ms = clock.span_ms(start, end)[0] - clock.span_ms(first, end)[0]
            if first < start and waits_ms < LEAST_MS and clock.fits(first, end):
                places[-1] = (first, end)
            else:
                places.append((start, end))
        at += len(sentence)
    return places


def _divided(text: str, start: int, end: int, clock: _Clock) -> Iterator[tuple[int, int]]:
    """The places of the pieces of `text[start:end]` that fit a cue each."""
    piece = text[start:end].rstrip()
    width, limit, end = _width(piece), max(1, len(piece) * 3 // 4), start + len(piece)
    if not UNSPACED.search(piece):  # no word is divided, unless it is longer than a line
        limit = max(limit, *map(len, piece.split()))
    if clock.fits(start, end) or width >= len(piece) <= limit:
        yield start, end
        return
    for part in cut(piece, min(limit if limit < len(piece) else width, 2 * width)):
        yield from _divided(text, start, start + len(part), clock)
        start += len(part)


def _lines(piece: str) -> list[str]:
    """The lines of a piece, two of about the same length if it fits a cue."""
    width, length = _width(piece), len(piece)
    spaces = (match.start() for match in re.finditer(" ", piece))
    fitting = [at for at in spaces if at <= width and length - at - 1 <= width]
    if length <= width or not fitting:
        return [line.strip() for line in cut(piece, width)]

    def unevenness(at: int) -> float:
        return abs(at - length / 2) - _CLAUSE_CHARS * (piece[at - 1] in _CLAUSE_MARKS)

    at = min(fitting, key=unevenness)
    return [piece[:at], piece[at + 1 :]]


def _width(piece: str) -> int:
    return WIDE_LINE_CHARS if UNSPACED.search(piece) else LINE_CHARS
