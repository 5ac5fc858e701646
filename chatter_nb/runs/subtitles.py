"""Subtitles: the shown text of an output in cues of at most two lines, as SRT or WebVTT.

Cues come chunk by chunk, in time linear in the text. Where times of words come from: `words_file`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from chatter_nb.runs.record import ChunkRecord
from chatter_nb.text.cuts import UNSPACED, cut
from chatter_nb.text.places import place_words, words_of
from chatter_nb.text.sentences import sentences

LINE_CHARS, WIDE_LINE_CHARS = 42, 21  # Chinese characters and kana take the room of two
LEAST_MS, MOST_MS = 1000, 7000  # of a cue
ESTIMATED = "subtitles: times inside chunks are estimated if words have none; cure: verify: fast"
_MARKS = ',;:.!?…—–)”’"'  # a line that ends with one may end 12 characters farther from the middle

Timed = tuple[Sequence[ChunkRecord], Iterable[Mapping[str, Any]] | None]  # a chunk, its words
Cue = tuple[int, int, list[str]]  # start and end in ms, lines of text


def cues(chunks: Iterable[Timed], language: str) -> Iterator[Cue]:
    """The cues of chunks, in order: of 1 to 7 s, but a cue ends where the next one begins.

    None has words of two chunks. Without words a chunk's time is shared by characters.
    """
    before: Cue | None = None
    for records, words in chunks:
        clock = _Clock(records, words or ())
        for start, end in _places(clock, language):
            start_ms, end_ms = clock.span_ms(start, end)
            if before:
                start_ms = max(start_ms, before[0] + 1)
                yield before[0], min(before[1], start_ms), before[2]
            end_ms = min(max(end_ms, start_ms + LEAST_MS), start_ms + MOST_MS)
            before = start_ms, end_ms, _lines(clock.text[start:end])
    if before:
        yield before


def written(suffix: str, cues: Iterable[Cue], known: bool) -> Iterator[str]:
    """The parts of a file, .srt or .vtt; the latter notes if the times of words are not `known`."""
    if is_vtt := suffix == ".vtt":
        yield "WEBVTT\n\n" + ("" if known else f"NOTE {ESTIMATED}\n\n")
    for number, (*span_ms, lines) in enumerate(cues, 1):
        times = (divmod(time_ms, 60_000) for time_ms in span_ms)
        clocks = [f"{m // 60:02d}:{m % 60:02d}:{s // 1000:02d}.{s % 1000:03d}" for m, s in times]
        span = " --> ".join(clocks)
        lines = [escape(line, quote=False) if is_vtt else line for line in lines]
        yield "\n".join([str(number), span if is_vtt else span.replace(".", ","), *lines, "\n"])


class _Clock:
    """When a stretch of a chunk's text sounds: as its words, between them by characters."""

    def __init__(self, chunk: Sequence[ChunkRecord], words: Iterable[Mapping[str, Any]]) -> None:
        self.text = chunk[0].text if chunk[0].source_text is None else chunk[0].source_text
        times_s, words = dict[int, float](), list(words)
        places = place_words([word["word"] for word in words], self.text)
        for place, word in zip(places, words, strict=True):  # several have one place: "3:30"
            times_s.setdefault(place.start, word["start_s"])
            times_s[place.end] = word["end_s"]
        ends_s = {0: chunk[0].start_s, len(self.text.rstrip()): chunk[-1].end_s}
        self._times_s = np.array(sorted((ends_s | times_s).items())).T

    def span_ms(self, start: int, end: int) -> tuple[int, int]:
        if words := words_of(self.text[start:end]):
            start, end = start + words[0].start, start + words[-1].end
        start_s, end_s = np.interp((start, end), *self._times_s)
        return round(1000 * start_s), round(1000 * end_s)

    def fits(self, start: int, end: int) -> bool:
        """Whether a stretch fits a cue."""
        start_ms, end_ms = self.span_ms(start, end)
        return end_ms - start_ms <= MOST_MS and len(_lines(self.text[start:end])) <= 2


def _places(clock: _Clock, language: str) -> list[tuple[int, int]]:
    """The places of cues: sentences, divided if too long, joined if the first is under 1 s."""
    places, at = list[tuple[int, int]](), 0
    for sentence in sentences(clock.text, language, 2 * LINE_CHARS):
        for start, end in _divided(clock, at, at + len(sentence)):
            first = places[-1][0] if places else start
            waits_ms = clock.span_ms(start, end)[0] - clock.span_ms(first, end)[0]
            if first < start and waits_ms < LEAST_MS and clock.fits(first, end):
                start = places.pop()[0]
            places.append((start, end))
        at += len(sentence)
    return places


def _divided(clock: _Clock, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The places of the pieces between two places that fit a cue each."""
    piece = clock.text[start:end].rstrip()
    longest = 1 if UNSPACED.search(piece) else max(map(len, piece.split()), default=1)
    limit = LINE_CHARS if longest > LINE_CHARS else max(longest, len(piece) * 3 // 4)
    if clock.fits(start, start + len(piece)) or limit >= len(piece):
        yield start, start + len(piece)
        return
    for part in cut(piece, min(limit, 2 * LINE_CHARS)):
        yield from _divided(clock, start, start + len(part))
        start += len(part)


def _lines(piece: str) -> list[str]:
    """The lines of a piece, two of about the same length if it fits a cue."""
    width = WIDE_LINE_CHARS if UNSPACED.search(piece) else LINE_CHARS
    spaces = (match.start() for match in re.finditer(" ", piece))
    fitting = [at for at in spaces if at <= width < len(piece) <= at + 1 + width]
    if not fitting:
        return [line.strip() for line in cut(piece, width)]
    at = min(fitting, key=lambda at: abs(at - len(piece) / 2) - 12 * (piece[at - 1] in _MARKS))
    return [piece[:at], piece[at + 1 :]]
