"""What one run has in a row of a comparison: the place of its audio, and its numbers.

Reads run folders; which pieces stand side by side is decided in `comparison`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chatter_nb.audio.containers import StraightOn
from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import InputError
from chatter_nb.notebook.compare.acoustics import Acoustics, measure
from chatter_nb.notebook.plots import lossless_file
from chatter_nb.runs.speech import Speech


@dataclass(frozen=True)
class Span:
    """A stretch of an audio file."""

    path: Path
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Part:
    """A chunk of a run, or an output of a conversion, before it is measured."""

    text: str
    name: str
    key: str
    span: Span

    @property
    def sounds(self) -> bool:
        """False for a chunk that is nothing but a pause."""
        return self.span.end_s > self.span.start_s


@dataclass(frozen=True)
class Piece:
    """What one run has in a row: consecutive chunks, or an output of a conversion."""

    name: str  # "chunk 3"
    key: str  # the chunks' keys, or the SHA-256 of the output's file
    text: str
    spans: tuple[Span, ...]
    acoustics: Acoustics

    def read(self) -> tuple[Signal, int]:
        """The samples, and their rate in Hz."""
        return read_spans(self.spans)


def parts_of(speech: Speech) -> list[Part]:
    """What can stand in a row, in order. Raises `InputError` for audio that is gone."""
    record = speech.record
    sha256 = {file.name: file.sha256 for file in record.files}
    found = []
    for number, output in enumerate(record.outputs):
        path = lossless_file(speech, output)
        if not path.is_file():
            raise InputError(f"the audio of {speech.folder} is gone: {path.name}; run it again")
        if record.kind == "convert":
            whole = Span(path, 0.0, output.audio_s)
            found.append(Part(output.source, f"output {number}", sha256[path.name], whole))
        inside = record.chunks[output.first_chunk : output.first_chunk + output.chunks]
        found += [
            Part(c.text, f"chunk {c.index}", c.key, Span(path, c.start_s, c.end_s)) for c in inside
        ]
    return found


def piece_of(speech: Speech, parts: Sequence[Part], row: range) -> Piece | None:
    """The parts of a row, measured as one; None where the run has no sound in it."""
    chosen = [part for part in parts[row.start : row.stop] if part.sounds]
    if not chosen:
        return None
    text = "".join(part.text for part in parts[row.start : row.stop])
    first, last = chosen[0].name, chosen[-1].name.split()[-1]
    spans = _merged([part.span for part in chosen])
    spoken = text if speech.record.kind == "speak" else ""
    return Piece(
        name=first if len(chosen) == 1 else f"{first.replace(' ', 's ')}–{last}",
        key="+".join(part.key for part in chosen),
        text=text,
        spans=spans,
        acoustics=measure(*read_spans(spans), spoken),
    )


def read_spans(spans: Sequence[Span]) -> tuple[Signal, int]:
    """Stretches of files, one after the other: mono float32, and the rate in Hz."""
    parts = []
    for span in spans:
        with StraightOn(span.path) as file:
            rate_hz = file.samplerate
            first = min(round(span.start_s * rate_hz), file.frames)
            last = min(round(span.end_s * rate_hz), file.frames)
            if first:
                file.seek(first)
            parts.append(file.read(last - first, dtype="float32", always_2d=True).mean(axis=1))
    return np.concatenate(parts), rate_hz


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Stretches of one file become one, with the pauses between them."""
    whole: list[Span] = []
    for span in spans:
        if whole and whole[-1].path == span.path:
            whole[-1] = Span(span.path, whole[-1].start_s, span.end_s)
        else:
            whole.append(span)
    return tuple(whole)
