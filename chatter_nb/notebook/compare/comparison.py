"""Two or more finished runs beside each other: chunks in rows, numbers of each, what differs.

Reads and measures; draws nothing. `pages` and `plots` show what is found here.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.acoustics import Acoustics, measure
from chatter_nb.notebook.compare.alignment import Row, align
from chatter_nb.notebook.compare.compared import COMPARE, Compared, Comparison
from chatter_nb.notebook.compare.params import CompareParams
from chatter_nb.notebook.compare.pieces import Part, Piece, parts_of, piece_of
from chatter_nb.notebook.compare.veil import veil
from chatter_nb.notebook.gallery.differing import contrast, told
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.record import RECORD, RunRecord
from chatter_nb.runs.speech import Speech, load_speech
from chatter_nb.text.files import natural_key

MAX_RUNS = 12  # side by side; a row of more is no comparison by ear
SAMPLE_SPEEDS = (1.0, 0.85)
SAMPLE_TEXT = (
    "The river ran high that spring, and nobody crossed it before May.\n\n"
    "By then the ferryman had sold his boat, and with the money he had built a bridge."
)


def load_comparison(params: CompareParams) -> Comparison:
    """Read and measure the runs that `params` names; without any, two samples are spoken first.

    Chunks that are nothing but a pause are left out. Raises `InputError` for a name that is no run,
    a run that is not finished or of another kind than the first, audio that is gone, and runs
    without any sound.
    """
    folders = [folder for name in params.runs for folder in _folders(name, params)]
    folders = folders or make_samples(params)
    speeches, left_out = _finished(list(dict.fromkeys(folders)), params)
    parts = [parts_of(speech) for speech in speeches]
    aligned = _sounding(parts)
    shown = aligned[: params.chunks]
    rows = [tuple(map(piece_of, speeches, parts, row)) for row in shown]
    paired = [row for row in rows if None not in row] or rows
    runs = [
        Compared(label, speech, _shown_s(rows, number), _together([row[number] for row in paired]))
        for number, (label, speech) in enumerate(
            zip(string.ascii_uppercase, speeches, strict=False)
        )
    ]
    records = [speech.record for speech in speeches]
    hidden = len(aligned) - len(shown)
    differing = differences(records)
    return Comparison(tuple(runs), tuple(rows), differing, hidden, tuple(left_out), params, veil)


def make_samples(params: CompareParams) -> list[Path]:
    """Two short runs on the embedded voice, at two speeds: made once, found again later."""
    from chatter_nb.runs.speak import generate_tts

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


def _sounding(parts: Sequence[Sequence[Part]]) -> list[Row]:
    """Which parts stand in a row, for each row in which any run has sound."""
    rows = [
        row
        for row in align([[part.text for part in run] for run in parts])
        if any(
            run[index].sounds for run, inside in zip(parts, row, strict=True) for index in inside
        )
    ]
    if not rows:
        raise InputError("runs: none of them has any sound; name runs of a text with words")
    return rows


def _together(pieces: Sequence[Piece | None]) -> Acoustics:
    """The numbers of all pieces of a run at once."""
    there = [piece for piece in pieces if piece is not None]
    if not there:  # none of its chunks is among the first rows
        return measure(np.zeros(0, np.float32), 24_000)
    read = [piece.read() for piece in there]
    speaks = any(piece.acoustics.letters_per_s for piece in there)
    text = "".join(piece.text for piece in there) if speaks else ""
    return measure(np.concatenate([signal for signal, _ in read]), read[0][1], text)


def _shown_s(rows: Sequence[Sequence[Piece | None]], number: int) -> float:
    pieces = [row[number] for row in rows]
    return sum(piece.acoustics.audio_s for piece in pieces if piece)
