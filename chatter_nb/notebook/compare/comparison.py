"""Reads finished runs and compares them: which chunks share a row, and which parameters differ.

This module draws nothing; `players` and `plots` show the result.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.batch.choices import marked_runs
from chatter_nb.notebook.compare.acoustics import Acoustics, measure
from chatter_nb.notebook.compare.compared import (
    COMPARE,
    Compared,
    CompareParams,
    Comparison,
    Part,
    Piece,
    parts_of,
    piece_of,
    read_spans,
)
from chatter_nb.notebook.compare.preferences import veil
from chatter_nb.pages.gallery.differing import contrast, in_words
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.folder import RECORD
from chatter_nb.runs.record import RunRecord
from chatter_nb.runs.speech import Speech, load_speech
from chatter_nb.text.files import natural_key

MAX_RUNS = 12  # nobody compares more by ear
# Share of common words: an edited sentence keeps more of them, unrelated sentences share fewer.
ALIKE = 0.5
FAR = 8  # in a stretch of edited chunks: compare chunks up to this many places apart
SAMPLE_SPEEDS = (1.0, 0.85)
SAMPLE_TEXT = (
    "The river ran high that spring, and nobody crossed it before May.\n\n"
    "By then the ferryman had sold his boat, and with the money he had built a bridge."
)

Row = tuple[range, ...]  # for each run the places of its chunks in the row; an empty range for none


def load_comparison(params: CompareParams) -> Comparison:
    """Read and measure the runs that `params` names; without names, speak two samples first.

    Rows in which every run is only a pause are left out. Raises `InputError` for a name that is no
    run, a run that is not finished or of another kind than the first, audio that is gone, and runs
    without any sound.
    """
    named = [folder for name in params.runs for folder in _folders(name, params)]
    folders = named or make_samples(params)
    speeches, left_out = _finished(list(dict.fromkeys(folders)), params)
    parts = [parts_of(speech) for speech in speeches]
    aligned = _sounding(parts)
    shown = aligned[: params.chunks]
    rows = [tuple(map(piece_of, speeches, parts, row)) for row in shown]
    paired = [row for row in rows if None not in row] or rows
    columns, paired_columns = zip(*rows, strict=True), zip(*paired, strict=True)
    runs = []
    for label, speech in zip(string.ascii_uppercase, speeches, strict=False):
        shown_s = sum(piece.acoustics.audio_s for piece in next(columns) if piece)
        runs.append(Compared(label, speech, shown_s, _together(next(paired_columns))))
    records = [speech.record for speech in speeches]
    hidden = len(aligned) - len(shown)
    differing = differences(records)
    return Comparison(tuple(runs), tuple(rows), differing, hidden, tuple(left_out), params, veil)


def make_samples(params: CompareParams) -> list[Path]:
    """Speak two short runs at two speeds, with the embedded voice; runs that exist are reused."""
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
    """Return the parameters that differ, with each run's value; engine and seed as used."""
    values: dict[str, tuple[str, ...]] = {
        "engine": tuple(record.engine.name for record in records),
        "seed": tuple(str(record.seed) for record in records),
    }
    compared = contrast(records)
    named = (*compared.columns, *compared.listed, *compared.subjects, "voice", "target")
    values |= {name: tuple(in_words(r.params.get(name)) for r in records) for name in named}
    return {name: row for name, row in values.items() if len(set(row)) > 1}


def _folders(name: str, params: CompareParams) -> list[Path]:
    """Return the folder of the run `name`, or those of all runs in the folder `name`.

    If `name` is a gallery's choices.json, those of the runs that it marks to compare.
    """
    places = [resolve_path(name), resolve_path(params.outputs_dir) / name]
    for place in places:
        if place.suffix == ".json" and place.is_file():
            return marked_runs(place, "compare")
        if (place / RECORD).is_file():
            return [place]
        inside = sorted(place.glob(f"*/{RECORD}"), key=lambda path: natural_key(path.parent.name))
        if inside:
            return [path.parent for path in inside]
    known = sorted(
        path.parent.name for path in resolve_path(params.outputs_dir).glob(f"*/{RECORD}")
    )
    choices = f"; runs in {params.outputs_dir}: {', '.join(known[:20])}" if known else ""
    raise InputError(
        f"runs: {name!r} is neither a run nor a folder of runs (looked at "
        f"{' and '.join(dict.fromkeys(map(str, places)))}){choices}"
    )


def _finished(folders: Sequence[Path], params: CompareParams) -> tuple[list[Speech], list[str]]:
    """Return the finished runs, and the names of unfinished runs in a folder of runs."""
    speeches = [load_speech(folder) for folder in folders]
    left_out = [speech.folder.name for speech in speeches if speech.record.status != "ok"]
    unfinished = sorted(set(left_out) & {Path(name).name for name in params.runs})
    if unfinished:
        raise InputError(
            f"runs: {', '.join(unfinished)} did not finish: run it again, then compare"
        )
    speeches = [speech for speech in speeches if speech.record.status == "ok"]
    if not 2 <= len(speeches) <= MAX_RUNS:
        raise InputError(
            f"runs: {count(len(speeches), 'finished run')} in {', '.join(params.runs)}; "
            f"a comparison takes 2 to {MAX_RUNS}: name them, or a folder that holds them"
        )
    if len({speech.record.kind for speech in speeches}) > 1:
        raise InputError("runs: speech and conversions are not compared; name runs of one kind")
    return speeches, left_out


def _sounding(parts: Sequence[Sequence[Part]]) -> list[Row]:
    """Return the rows in which at least one run has sound."""
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
    """Measure all pieces of a run together."""
    present = [piece for piece in pieces if piece is not None]
    if not present:  # none of its chunks is in the rows that are shown
        return measure(np.zeros(0, np.float32), 24_000)
    speaks = any(piece.acoustics.letters_per_s for piece in present)
    text = "".join(piece.text for piece in present) if speaks else ""
    return measure(*read_spans([span for piece in present for span in piece.spans]), text)


def align(texts: Sequence[Sequence[str]]) -> list[Row]:
    """Put the chunks of all runs (their texts) in rows, in order; each chunk is in exactly one row.

    Where all runs have the same text, a row ends at each place where every run has a cut. Otherwise
    a chunk shares a row with the equal or most similar chunk of the first run; a chunk without such
    a counterpart has a row of its own.
    """
    if len({"".join(run) for run in texts}) == 1:
        return _common_cuts(texts)
    alone = [range(0)] * (len(texts) - 1)
    rows = [[range(place, place + 1), *alone] for place in range(len(texts[0]))]
    for number, other in enumerate(texts[1:], 1):
        _add(rows, number, other, texts[0], len(texts))
    return [tuple(row) for row in rows]


def _common_cuts(texts: Sequence[Sequence[str]]) -> list[Row]:
    """Return the rows of runs that have the same text."""
    ends = [list(accumulate(map(len, run))) for run in texts]
    common = sorted(set.intersection(*map(set, ends)))
    bounds = [[0, *(run.index(end) + 1 for end in common)] for run in ends]
    return list(zip(*([range(a, b) for a, b in pairwise(run)] for run in bounds), strict=True))


def _add(
    rows: list[list[range]], number: int, texts: Sequence[str], first: Sequence[str], runs: int
) -> None:
    """Add a run's chunks to the rows of the first run, or in new rows after their neighbour."""
    partners = _partners(first, texts)
    place = -1  # of the row that the last chunk stands in
    for index in range(len(texts)):
        if index in partners:
            place = next(i for i, row in enumerate(rows) if partners[index] in row[0])
        else:
            place += 1
            rows.insert(place, [range(0)] * runs)
        rows[place][number] = range(index, index + 1)


def _partners(first: Sequence[str], other: Sequence[str]) -> dict[int, int]:
    """Return for chunks of `other` the chunk of `first` that they belong to; both indices rise."""
    partners: dict[int, int] = {}
    a, b = [text.strip() for text in first], [text.strip() for text in other]
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            partners |= dict(zip(range(b0, b1), range(a0, a1), strict=True))
        elif kind == "replace":
            partners |= _alike(a, b, range(a0, a1), range(b0, b1))
    return partners


def _alike(a: Sequence[str], b: Sequence[str], left: range, right: range) -> dict[int, int]:
    """Pair edited chunks, the most similar first; a pair that would cross it is left out."""
    if not left or not right:
        return {}
    offset = right.start - left.start
    near = [(i, j) for i in left for j in right if abs(j - i - offset) <= FAR]
    ratio, i, j = max(((_ratio(a[i], b[j]), i, j) for i, j in near), key=lambda pair: pair[0])
    if ratio < ALIKE:
        return {}
    before = _alike(a, b, range(left.start, i), range(right.start, j))
    after = _alike(a, b, range(i + 1, left.stop), range(j + 1, right.stop))
    return {**before, j: i, **after}


def _ratio(text: str, other: str) -> float:
    return SequenceMatcher(None, text.split(), other.split(), autojunk=False).ratio()
