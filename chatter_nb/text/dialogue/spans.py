"""A text in spans, each of one speaker. They tile the text: every character is in exactly one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from chatter_nb.base.errors import InputError, Problems, shown

SpanKind = Literal["text", "mark"]
NARRATOR = ""
_FORM = '{"start": 0, "end": 12, "speaker": "anna"}'


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


class _Label(BaseModel, extra="forbid", strict=True):
    start: int
    end: int
    speaker: str


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

    A line is as `_FORM`, in characters of that text; "" is the narrator. Raises `ParamError` with
    every problem in the file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read labels {path}: {error}; save it as UTF-8 text") from error
    problems = Problems()
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    read = [problems.of(partial(_label, f"{path}, line {n}", line, length)) for n, line in numbered]
    labels = sorted((span, n) for span, (n, _) in zip(read, numbered, strict=True) if span)
    for (one, first), (other, second) in pairwise(labels):
        if other.start < one.end:
            lines = f"lines {first} and {second} overlap: end one before the other begins"
            problems.messages.append(f"{path}: {lines}")
    problems.raise_any()
    return [span for span, _ in labels]


def _label(where: str, line: str, length: int) -> Span:
    try:
        label = _Label.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        told = " ".join([*map(str, first["loc"]), first["msg"]])
        raise InputError(f"{where}: {shown(line)}: {told}; write {_FORM}") from None
    if not 0 <= label.start < label.end <= length:
        cure = f"give 0 <= start < end <= {length}, characters of the text"
        raise InputError(f"{where}: start and end are {label.start} and {label.end}; {cure}")
    return Span(label.start, label.end, "text", label.speaker, "", "label")
