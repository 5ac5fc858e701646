"""A text in spans, each of one speaker. They tile the text: every character is in exactly one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from chatter_nb.base.speakers import NARRATOR

SpanKind = Literal["text", "mark"]


class Span(NamedTuple):
    """Characters [start, end) of a text. A `mark` is not spoken. `reason` says who decided so."""

    start: int
    end: int
    kind: SpanKind = "text"
    speaker: str = NARRATOR
    mood: str = ""
    reason: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether nothing decided about it, and so it is the narrator's."""
        return self[2:] == Span(0, 0)[2:]


def tiled(spans: Iterable[Span], length: int) -> Iterator[Span]:
    """The spans in order, the narrator's between them; neighbours of one speaker are joined."""
    last = Span(0, 0)
    for span in _filled(spans, length):
        if last[2:] == span[2:] and last.kind == "text":
            last = last._replace(end=span.end)
        else:
            if last.start < last.end:
                yield last
            last = span
    if last.start < last.end:
        yield last


def overlaid(below: Iterable[Span], above: Iterable[Span], length: int) -> Iterator[Span]:
    """What the spans `above` say, and what `below` says where they say nothing."""
    return tiled(_overlaid(list(tiled(below, length)), tiled(above, length)), length)


def _overlaid(below: list[Span], above: Iterable[Span]) -> Iterator[Span]:
    number = 0
    for span in above:
        while number < len(below) and below[number].end <= span.start:
            number += 1
        if not span.is_plain:
            yield span
            continue
        while number < len(below) and (under := below[number]).start < span.end:
            yield under._replace(start=max(under.start, span.start), end=min(under.end, span.end))
            if under.end > span.end:
                break
            number += 1


def _filled(spans: Iterable[Span], length: int) -> Iterator[Span]:
    at = 0
    for span in spans:
        assert at <= span.start <= span.end <= length, span
        if at < span.start:
            yield Span(at, span.start)
        if span.start < span.end:
            yield span
        at = span.end
    if at < length:
        yield Span(at, length)
