"""A text as one line: its silences, its blocks, and who speaks, by their places in the line.

Whitespace is collapsed; marks of pauses and of speakers are not in it. All else is.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from chatter_nb.base.speakers import NARRATOR
from chatter_nb.text.headings import is_heading, is_numeral
from chatter_nb.text.markup import PAUSE_MARK, add_pause
from chatter_nb.text.spans import Span

# Between merged texts. It is whitespace, and so vanishes when whitespace is collapsed. No text of a
# user holds it, see `without_breaks`.
CHAPTER_BREAK = "\x1c"
BLOCK_BREAK = "\x1d"  # between blocks of a document; one more paragraph's end
# Around a stage direction in a play, where there is whitespace already, or at a block's start.
DIRECTION_START, DIRECTION_END = "\x1e", "\x1f"
GOES_ON = DIRECTION_END  # first in a block: who spoke in the block before goes on
_OWN = (CHAPTER_BREAK, BLOCK_BREAK, DIRECTION_START, DIRECTION_END)
_TO_SPACES = str.maketrans(dict.fromkeys(_OWN, " "))
_TOKEN = re.compile(rf"(?P<mark>{PAUSE_MARK.pattern})|(?P<space>\s+)|[^\s\[]+|\[", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…:;。！？][\"'”’»«“‘)\]]*\s*$")


class _Turn(NamedTuple):
    start: int
    speaker: str = NARRATOR
    mood: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Line:
    """`pauses_ms`: the silence in ms, by the position that it precedes. `blocks` and `turns`: where
    blocks begin, each with its number, and speakers; position 0 is in both. `spans` tile the text.
    """

    text: str
    pauses_ms: dict[int, int]
    blocks: list[tuple[int, int]]
    turns: list[_Turn]
    spans: list[Span]


def as_line(
    text: str,
    spans: Iterable[Span] = (),
    *,
    sentence_pause_ms: int,
    paragraph_pause_ms: int,
    chapter_pause_ms: int,
) -> Line:
    """The text as one line. `spans` tile it; without them the narrator has it all."""
    words: list[str] = []
    breaks: dict[int, int] = {}  # position of a paragraph's first character: silence before it
    marks: dict[int, int] = {}
    blocks, turns, shown = [(0, 0)], list[_Turn](), list[Span]()
    block = 0
    length, space, gap_ms, mark_ms = 0, "", -1, -1
    for span in spans or [Span(0, len(text))]:
        first = -1
        for token in _TOKEN.finditer(text, span.start, 0 if span.kind == "mark" else span.end):
            if token["mark"]:
                mark_ms = add_pause(mark_ms, token)
            elif run := token["space"]:
                space = " " if words else ""
                gap_ms = max(gap_ms, _break_ms(run, paragraph_pause_ms, chapter_pause_ms))
                block += run.count(CHAPTER_BREAK) + run.count(BLOCK_BREAK)
            else:
                words.append(space + token[0])
                length += len(space)
                first = length if first < 0 else first
                if block > blocks[-1][1]:
                    blocks.append((length, block))
                if gap_ms >= 0 and length:
                    breaks[length] = gap_ms
                if mark_ms >= 0:
                    marks[length] = mark_ms
                length += len(token[0])
                space, gap_ms, mark_ms = "", -1, -1
        if first >= 0:
            shown += [Span(first, length, *span[2:])]
            turns += _turn(turns[-1] if turns else _Turn(0), text, span, first)
    turns = turns if turns and not turns[0].start else [_Turn(0), *turns]
    line = "".join(words)
    _lengthen_at_headings(line, breaks, chapter_pause_ms)
    turned = dict(_turn_pauses(line, turns, sentence_pause_ms))
    pauses_ms = turned | breaks | marks | ({length: mark_ms} if mark_ms >= 0 else {})
    return Line(line, pauses_ms, blocks, turns, shown)


def in_text(labels: Sequence[Span], text: str, spans: Iterable[Span]) -> list[Span]:
    """Spans of a text's line, at their places in the text; `spans` are those of its marks."""
    starts, ends, places, at = list[int](), list[int](), list[int](), 0
    space = 0
    for span in spans if labels else ():
        for token in _TOKEN.finditer(text, span.start, 0 if span.kind == "mark" else span.end):
            if token["space"]:
                space = 1 if at else 0
            elif not token["mark"]:
                starts.append(at + space)
                at += space + len(token[0])
                ends.append(at)
                places.append(token.start())
                space = 0
    moved = []
    for label in labels:
        first = bisect_right(ends, label.start)
        last = bisect_left(starts, label.end) - 1
        start = places[first] + max(0, label.start - starts[first])
        end = places[last] + min(label.end, ends[last]) - starts[last]
        moved += [Span(start, end, *label[2:])] if start < end else []
    return moved


def without_breaks(text: str) -> str:
    """A user's text, with a space in the place of every character that has a meaning here."""
    return text.translate(_TO_SPACES)


def _turn(last: _Turn, text: str, span: Span, first: int) -> list[_Turn]:
    """The turn that begins with a span, if another speaks, or otherwise. A lone dash is no turn."""
    if (last.speaker, last.mood) == (span.speaker, span.mood):
        return []
    if not any(map(str.isalnum, text[span.start : span.end])):
        return []
    return [_Turn(first, *span[3:])]


def _turn_pauses(line: str, turns: Sequence[_Turn], sentence_ms: int) -> Iterator[tuple[int, int]]:
    """The silence where another speaks: longer between two people than between one and narrator."""
    for (_, before, *_), (at, after, *_) in pairwise(turns):
        if before and after and before != after:
            yield at, 2 * sentence_ms
        else:
            ends = _SENTENCE_END.search(line, max(0, at - 8), at)
            yield at, sentence_ms if ends else sentence_ms // 2


def _break_ms(whitespace: str, paragraph_ms: int, chapter_ms: int) -> int:
    if CHAPTER_BREAK in whitespace:
        return chapter_ms
    return paragraph_ms if whitespace.count("\n") > 1 or "\u2029" in whitespace else -1


def _lengthen_at_headings(line: str, breaks: dict[int, int], chapter_ms: int) -> None:
    edges = [*breaks, len(line)]
    for start, end in pairwise(edges):
        paragraph = line[start:end].strip()
        if is_heading(paragraph) or is_numeral(paragraph):
            breaks[start] = chapter_ms
