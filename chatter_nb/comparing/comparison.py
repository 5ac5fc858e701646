"""Two or more finished runs beside each other: chunks in rows, numbers of each, what differs.

Reads and measures; draws nothing. `pages` and `plots` show what is found here.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chatter_nb.audio import Signal, StraightOn
from chatter_nb.comparing.acoustics import Acoustics, loudness_unit, measure
from chatter_nb.comparing.alignment import align
from chatter_nb.comparing.params import CompareParams
from chatter_nb.contrast import contrast, told
from chatter_nb.errors import InputError
from chatter_nb.params import SpeakParams
from chatter_nb.planning import count
from chatter_nb.plots import lossless_file
from chatter_nb.project import resolve_path
from chatter_nb.runs import RECORD, RunRecord
from chatter_nb.speech import Speech, load_speech
from chatter_nb.textfiles import natural_key

MAX_RUNS = 12  # side by side; a row of more is no comparison by ear
COMPARE = "compare"  # under outputs_dir: the samples, and the answers of blind tests
SAMPLE_SPEEDS = (1.0, 0.85)
SAMPLE_TEXT = (
    "The river ran high that spring, and nobody crossed it before May.\n\n"
    "By then the ferryman had sold his boat, and with the money he had built a bridge."
)


@dataclass(frozen=True)
class Span:
    """A stretch of an audio file."""

    path: Path
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Piece:
    """What one run has in a row: consecutive chunks, or an output of a conversion."""

    name: str  # "chunk 3"
    key: str  # the chunks' keys
    text: str
    spans: tuple[Span, ...]
    acoustics: Acoustics

    def read(self) -> tuple[Signal, int]:
        """The samples, and their rate in Hz."""
        return read_spans(self.spans)


@dataclass(frozen=True)
class Compared:
    """A run under its letter. The numbers are of its pieces in rows that all runs have."""

    label: str
    speech: Speech
    shown_s: float  # how long all its pieces last
    acoustics: Acoustics

    @property
    def name(self) -> str:
        return self.speech.folder.name


@dataclass(frozen=True)
class Comparison:
    """`rows` hold a piece of each run, or None. `differences`: parameter → its value in each."""

    runs: tuple[Compared, ...]
    rows: tuple[tuple[Piece | None, ...], ...]
    differences: dict[str, tuple[str, ...]]
    hidden: int  # rows beyond `chunks`
    left_out: tuple[str, ...]  # runs in a folder that are not finished

    def __str__(self) -> str:
        noun = "output" if self.runs[0].speech.record.kind == "convert" else "chunk"
        paired = sum(None not in row for row in self.rows)
        lines = [f"{run.label}: {run.name}, {_told(run)}" for run in self.runs]
        lines.append(f"{paired} of {count(len(self.rows), noun)} side by side in all runs")
        if self.hidden:
            lines.append(
                f"{count(self.hidden, f'more {noun}')} not compared: raise chunks for them"
            )
        if self.left_out:
            lines.append(f"left out, not finished: {', '.join(self.left_out)}")
        return "\n".join(lines)


def load_comparison(params: CompareParams) -> Comparison:
    """Read and measure the runs that `params` names; without any, two samples are spoken first.

    Raises `InputError` for a name that is no run, a run that is not finished or of another kind
    than the first, and audio that is gone.
    """
    folders = [folder for name in params.runs for folder in _folders(name, params)]
    folders = folders or make_samples(params)
    speeches, left_out = _finished(list(dict.fromkeys(folders)), params)
    parts = [_parts(speech) for speech in speeches]
    aligned = align([[text for text, *_ in each] for each in parts])
    shown = aligned[: params.chunks]
    rows = [tuple(map(_piece, speeches, parts, row)) for row in shown]
    paired = [row for row in rows if None not in row] or rows
    runs = [
        Compared(label, speech, _shown_s(rows, number), _together([row[number] for row in paired]))
        for number, (label, speech) in enumerate(
            zip(string.ascii_uppercase, speeches, strict=False)
        )
    ]
    records = [speech.record for speech in speeches]
    hidden = len(aligned) - len(shown)
    return Comparison(tuple(runs), tuple(rows), differences(records), hidden, tuple(left_out))


def make_samples(params: CompareParams) -> list[Path]:
    """Two short runs on the embedded voice, at two speeds: made once, found again later."""
    from chatter_nb.speak import generate_tts

    outputs_dir = str(resolve_path(params.outputs_dir) / COMPARE)
    values: dict[str, Any] = {"text": SAMPLE_TEXT, "engine": "hibari", "outputs_dir": outputs_dir}
    values |= {"interactive": params.interactive}
    return [
        generate_tts(
            SpeakParams.create(values | {"speed": speed, "run_name": f"speed-{speed}"})
        ).folder
        for speed in SAMPLE_SPEEDS
    ]


def differences(records: Sequence[RunRecord]) -> dict[str, tuple[str, ...]]:
    """Parameters that differ, with the value in each run; engines and seeds as they came out."""
    values: dict[str, tuple[str, ...]] = {
        "engine": tuple(record.engine.name for record in records),
        "seed": tuple(str(record.seed) for record in records),
    }
    found = contrast(records)
    named = dict.fromkeys((*found.columns, *found.listed, *found.subjects, "voice", "target"))
    values |= {name: tuple(told(r.params.get(name)) for r in records) for name in named}
    return {name: each for name, each in values.items() if len(set(each)) > 1}


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


def _folders(name: str, params: CompareParams) -> list[Path]:
    """The runs that a name means: one, or all in a folder."""
    places = [resolve_path(name), resolve_path(params.outputs_dir) / name]
    for place in places:
        if (place / RECORD).is_file():
            return [place]
        inside = sorted(place.glob(f"*/{RECORD}"), key=lambda path: natural_key(path.parent.name))
        if inside:
            return [path.parent for path in inside]
    known = sorted(
        path.parent.name for path in resolve_path(params.outputs_dir).glob(f"*/{RECORD}")
    )
    there = f"; runs in {params.outputs_dir}: {', '.join(known[:20])}" if known else ""
    raise InputError(
        f"runs: {name!r} is neither a run nor a folder of runs (looked at "
        f"{' and '.join(dict.fromkeys(map(str, places)))}){there}"
    )


def _finished(folders: Sequence[Path], params: CompareParams) -> tuple[list[Speech], list[str]]:
    """Runs that can be compared, and the names of those in folders that are not finished."""
    speeches = [load_speech(folder) for folder in folders]
    left_out = [one.folder.name for one in speeches if one.record.status != "ok"]
    asked = sorted(set(left_out) & {Path(name).name for name in params.runs})
    if asked:
        raise InputError(f"runs: {', '.join(asked)} did not finish: run it again, then compare")
    speeches = [one for one in speeches if one.record.status == "ok"]
    if not 2 <= len(speeches) <= MAX_RUNS:
        raise InputError(
            f"runs: {count(len(speeches), 'finished run')} in {', '.join(params.runs)}; "
            f"a comparison takes 2 to {MAX_RUNS}: name them, or a folder that holds them"
        )
    if len({one.record.kind for one in speeches}) > 1:
        raise InputError("runs: speech and conversions are not compared; name runs of one kind")
    return speeches, left_out


def _parts(speech: Speech) -> list[tuple[str, str, str, Span]]:
    """What can stand in a row: text, name, key and place of each chunk, or of each output."""
    record = speech.record
    found = []
    for number, output in enumerate(record.outputs):
        path = lossless_file(speech, output)
        if not path.is_file():
            raise InputError(f"the audio of {speech.folder} is gone: {path.name}; run it again")
        if record.kind == "convert":
            key = record.files[0].sha256 if len(record.outputs) == 1 else output.name
            found.append((output.source, f"output {number}", key, Span(path, 0.0, output.audio_s)))
        inside = record.chunks[output.first_chunk : output.first_chunk + output.chunks]
        found += [
            (c.text, f"chunk {c.index}", c.key, Span(path, c.start_s, c.end_s)) for c in inside
        ]
    return found


def _piece(speech: Speech, parts: Sequence[tuple[str, str, str, Span]], row: range) -> Piece | None:
    if not row:
        return None
    chosen = [parts[index] for index in row]
    text = "".join(part[0] for part in chosen)
    first, last = chosen[0][1], chosen[-1][1].split()[-1]
    spans = _merged([part[3] for part in chosen])
    return Piece(
        name=first if len(chosen) == 1 else f"{first.replace(' ', 's ')}–{last}",
        key="+".join(part[2] for part in chosen),
        text=text,
        spans=spans,
        acoustics=measure(*read_spans(spans), _spoken(speech, text)),
    )


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Stretches of one file become one, with the pauses between them."""
    whole: list[Span] = []
    for span in spans:
        if whole and whole[-1].path == span.path:
            whole[-1] = Span(span.path, whole[-1].start_s, span.end_s)
        else:
            whole.append(span)
    return tuple(whole)


def _together(pieces: Sequence[Piece | None]) -> Acoustics:
    """The numbers of all pieces of a run at once."""
    there = [piece for piece in pieces if piece is not None]
    if not there:  # none of its chunks is among the first rows
        return measure(np.zeros(0, np.float32), 24_000)
    read = [piece.read() for piece in there]
    speaks = any(piece.acoustics.letters_per_s for piece in there)
    text = "".join(piece.text for piece in there) if speaks else ""
    return measure(np.concatenate([signal for signal, _ in read]), read[0][1], text)


def _spoken(speech: Speech, text: str) -> str:
    return text if speech.record.kind == "speak" else ""


def _shown_s(rows: Sequence[Sequence[Piece | None]], number: int) -> float:
    pieces = [row[number] for row in rows]
    return sum(piece.acoustics.audio_s for piece in pieces if piece)


def _told(run: Compared) -> str:
    pace = run.acoustics.letters_per_s
    told_pace = f", {pace:.1f} letters a second of speech" if pace else ""
    return f"{run.shown_s:.1f} s, {run.acoustics.loudness:.1f} {loudness_unit()}{told_pace}"
