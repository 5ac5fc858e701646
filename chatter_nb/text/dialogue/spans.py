"""A text in spans, each of one speaker. They tile the text: every character is in exactly one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from chatter_nb.base.errors import InputError, Problems, shown

SpanKind = Literal["text", "mark"]
NARRATOR = ""


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


def read_labels(path: Path, length: int) -> list[Span]:
    """The spans that a file of labels names, in order; `length` is that of the source text.

    A line is `{"start": 0, "end": 12, "speaker": "anna"}`, in characters of the source text; the
    speaker "" is the narrator. Raises `ParamError` with every problem in the file.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read labels {path}: {error}; save it as UTF-8 text") from error
    problems = Problems()
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    read = [problems.of(partial(_label, f"{path}, line {n}", line, length)) for n, line in numbered]
    labels = sorted((span, n) for span, (n, _) in zip(read, numbered, strict=True) if span)
    for (one, first), (other, second) in pairwise(labels):
        if other.start < one.end:
            cure = "a character has one speaker: end the first before the second begins"
            problems.messages.append(f"{path}: lines {first} and {second} overlap; {cure}")
    problems.raise_any()
    return [span for span, _ in labels]


def _label(where: str, line: str, length: int) -> Span:
    form = '{"start": 0, "end": 12, "speaker": "anna"}'
    try:
        label = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: {shown(line)} is not JSON; write {form}") from None
    if not isinstance(label, dict) or set(label) != {"start", "end", "speaker"}:
        raise InputError(f"{where}: {shown(line)} must have start, end and speaker: {form}")
    start, end, speaker = label["start"], label["end"], label["speaker"]
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= length:
        have = f"{shown(start)} and {shown(end)}"
        raise InputError(
            f"{where}: start and end are {have}; give whole numbers, 0 <= start < end <= {length}, "
            "the characters of the text"
        )
    if not isinstance(speaker, str):
        raise InputError(
            f'{where}: speaker {shown(speaker)} is no text; give a name, or "" for none'
        )
    return Span(start, end, "text", speaker, "", "label")
