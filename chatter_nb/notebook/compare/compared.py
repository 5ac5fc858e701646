"""The objects of a comparison: its parameters, its runs (A, B, …), and the pieces in its rows.

This module reads and measures the audio of a piece. `comparison` decides which pieces share a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from chatter_nb.audio.curves import stretch
from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import InputError
from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.acoustics import Acoustics, loudness_unit, measure
from chatter_nb.pages.run_players import lossless_file
from chatter_nb.params.base import StrictParams
from chatter_nb.params.types import Interactive, OutputsDir, Text, one_or_more
from chatter_nb.runs.speech import Speech

COMPARE = "compare"  # folder under outputs_dir: sample runs, and the answers of blind tests
MAX_ROWS = 500  # each row is read, measured and, for a person, embedded


class CompareParams(StrictParams):
    """Which runs are compared, chunk by chunk."""

    runs: Annotated[tuple[Text, ...], BeforeValidator(one_or_more)] = Field(
        (), description="run folders, names, a folder of runs, or a choices.json; empty: samples"
    )
    outputs_dir: OutputsDir = "outputs"
    chunks: int = Field(12, ge=1, le=MAX_ROWS, description="how many chunks, from the first")
    blind: bool = Field(False, description="listen without knowing which run is which")
    listener: Text = Field("", description="who listens: each has a file of answers of their own")
    seed: int = Field(0, ge=-1, lt=2**32, description="decides a blind test's order; -1 draws one")
    interactive: Interactive = True

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        runs = values["runs"] or ()
        repeated = sorted({run for run in runs if runs.count(run) > 1})
        if repeated:
            yield f"runs: {', '.join(repeated)} is given twice; name two different runs"


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
    """What a run has in a row: consecutive chunks, or an output of a conversion."""

    name: str  # "chunk 3"
    key: str  # the chunks' keys, or the SHA-256 of the output's file
    text: str
    spans: tuple[Span, ...]
    acoustics: Acoustics

    def read(self) -> tuple[Signal, int]:
        """The samples, and their rate in Hz."""
        return read_spans(self.spans)


@dataclass(frozen=True)
class Compared:
    """A run and its letter. `acoustics` measures its pieces in the rows that all runs have."""

    label: str
    speech: Speech
    shown_s: float  # the length of all its pieces together
    acoustics: Acoustics

    @property
    def name(self) -> str:
        return self.speech.folder.name

    def __str__(self) -> str:
        pace = self.acoustics.letters_per_s
        pace_text = f", {pace:.1f} letters a second of speech" if pace else ""
        loudness = f"{self.acoustics.loudness:.1f} {loudness_unit()}"
        return f"{self.label}: {self.name}, {self.shown_s:.1f} s, {loudness}{pace_text}"


@dataclass(frozen=True)
class Comparison:
    """`rows` hold a piece of each run, or None; `differences` a parameter's value in each run."""

    runs: tuple[Compared, ...]
    rows: tuple[tuple[Piece | None, ...], ...]
    differences: dict[str, tuple[str, ...]]
    hidden: int  # rows beyond `chunks`
    left_out: tuple[str, ...]  # runs in a folder that are not finished
    params: CompareParams
    # Returns a sentence that replaces the results while a blind test waits; empty to show them.
    veil: Callable[[Comparison], str] = lambda comparison: ""

    def __str__(self) -> str:
        noun = "output" if self.runs[0].speech.record.kind == "convert" else "chunk"
        paired = sum(None not in row for row in self.rows)
        lines = [str(run) for run in self.runs]
        if sentence := self.veil(self):
            lines = [f"runs: {', '.join(sorted(run.name for run in self.runs))}", sentence]
        lines.append(f"{paired} of {count(len(self.rows), noun)} side by side in all runs")
        if self.hidden:
            lines.append(
                f"{count(self.hidden, f'more {noun}')} not compared: raise chunks for them"
            )
        if self.left_out:
            lines.append(f"left out, not finished: {', '.join(self.left_out)}")
        return "\n".join(lines)


def parts_of(speech: Speech) -> list[Part]:
    """Return a run's chunks or outputs, in order. Raises `InputError` for audio that is gone."""
    record = speech.record
    sha256 = {file.name: file.sha256 for file in record.files}
    parts: list[Part] = []
    for number, output in enumerate(record.outputs):
        path = lossless_file(speech, output)
        if not path.is_file():
            raise InputError(f"the audio of {speech.folder} is gone: {path.name}; run it again")
        if record.kind == "convert":
            span = Span(path, 0.0, output.audio_s)
            parts.append(Part(output.source, f"output {number}", sha256[path.name], span))
        inside = record.chunks[output.first_chunk : output.first_chunk + output.chunks]
        parts += [
            Part(c.text, f"chunk {c.index}", c.key, Span(path, c.start_s, c.end_s)) for c in inside
        ]
    return parts


def piece_of(speech: Speech, parts: Sequence[Part], row: range) -> Piece | None:
    """Measure the parts of a row together; None where the run has no sound in this row."""
    inside = parts[row.start : row.stop]
    sounding = [part for part in inside if part.sounds]
    if not sounding:
        return None
    text = "".join(part.text for part in inside)
    first, last = sounding[0].name, sounding[-1].name.split()[-1]
    spans = _merged([part.span for part in sounding])
    spoken = text if speech.record.kind == "speak" else ""
    return Piece(
        name=first if len(sounding) == 1 else f"{first.replace(' ', 's ')}–{last}",
        key="+".join(part.key for part in sounding),
        text=text,
        spans=spans,
        acoustics=measure(*read_spans(spans), spoken),
    )


def read_spans(spans: Sequence[Span]) -> tuple[Signal, int]:
    """Read stretches of files and join them: mono float32, (samples,), and the rate in Hz."""
    parts = [stretch(span.path, start_s=span.start_s, end_s=span.end_s) for span in spans]
    return np.concatenate([signal for signal, _ in parts]), parts[-1][1]


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Join neighbouring stretches of the same file, with the pauses between them."""
    merged: list[Span] = []
    for span in spans:
        if merged and merged[-1].path == span.path:
            merged[-1] = Span(span.path, merged[-1].start_s, span.end_s)
        else:
            merged.append(span)
    return tuple(merged)
