"""Who speaks where, from a file that a person or another program has written."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, ValidationError

from chatter_nb.base.errors import InputError, Problems, shown
from chatter_nb.text.spans import Span

_FORM = '{"start": 0, "end": 12, "speaker": "anna"}'


class _Label(BaseModel, extra="forbid", strict=True):
    start: int
    end: int
    speaker: str


def read_labels(path: Path, length: int) -> list[Span]:
    """The spans that a file of labels names, in order; `length` is that of the source text.

    A line is as `_FORM`, in characters of that text; "" is the narrator. Raises `ParamError` with
    every problem in the file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read labels {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
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
