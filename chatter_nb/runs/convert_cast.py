"""The dialogue that a conversion gets: a run's audio, who speaks where in it, and in which voice.

Borders between speakers are at whole milliseconds, which are whole samples at engines' rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path

import numpy as np

from chatter_nb.audio.join import crossfade
from chatter_nb.audio.reading import Signal
from chatter_nb.base.disk import is_there
from chatter_nb.base.errors import InputError, shown
from chatter_nb.base.formats import OUTPUT_FORMATS
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.folder import RECORD, RunFolder
from chatter_nb.runs.record import OutputRecord, RunRecord, StretchRecord

_LOSSLESS = (".wav", ".flac")
_FADE_S = 0.02
_NARRATOR = "narrator"  # the name, in a cast, of who has none in a chunk

Stretches = Sequence[StretchRecord]


def is_of_run(path: Path, params: ConvertParams) -> bool:
    """Whether a source is a run's record, or with a cast its folder."""
    return path.suffix == ".json" or (bool(params.cast) and is_there(path / RECORD))


def outputs_of_run(path: Path, params: ConvertParams) -> dict[Path, tuple[str, Stretches]]:
    """The audio of a speech run, each file with its name and, for a cast, its stretches.

    Raises `InputError` for another run, and for names that it does not have.
    """
    folder = RunFolder(path if path.is_dir() else path.parent)
    record = folder.record() if path.is_dir() or path.name == RECORD else None
    if record is None or (record.kind, record.status) != ("speak", "ok"):
        raise InputError(
            f"source {path} is no finished speech run: give a recording, or the run.json of speech"
        )
    targets = _targets(params, record, path)
    return {
        _audio(folder, record, output): (output.name, _stretches(record, output, targets))
        for output in record.outputs
    }


def cut(signal: Signal, stretches: Stretches, rate: int) -> Signal:
    """The samples of stretches, one after the other."""
    return np.concatenate([signal[_samples(stretch, rate)] for stretch in stretches])


def cut_length(samples: int, stretches: Stretches, rate: int) -> int:
    """How many samples `cut` gives of so many."""
    return sum(len(range(samples)[_samples(stretch, rate)]) for stretch in stretches)


def lay(signal: Signal, converted: Signal, stretches: Stretches, rate: int) -> None:
    """Put what `cut` gave, converted, in its places. Each begins and ends as the source."""
    at = 0
    for stretch in stretches:
        place = signal[_samples(stretch, rate)]
        piece = converted[at : at + len(place)].copy()
        at += len(place)
        if fade := min(round(_FADE_S * rate), len(place) // 2):
            piece[:fade] = crossfade(place[:fade], piece[:fade])
            piece[-fade:] = crossfade(piece[-fade:], place[-fade:])
        place[:] = piece


def place_s(at_s: float, stretches: Stretches) -> float:
    """Where a second of `cut` lies in the whole; without stretches it is the same."""
    for stretch in stretches:
        place = stretch.start_s + at_s
        if place <= stretch.end_s:
            return place
        at_s = place - stretch.end_s
    return stretches[-1].end_s if stretches else at_s


def _samples(stretch: StretchRecord, rate: int) -> slice:
    return slice(round(stretch.start_s * rate), round(stretch.end_s * rate))


def _stretches(
    record: RunRecord, output: OutputRecord, targets: dict[str, str | None]
) -> Stretches:
    """Neighbouring chunks of a speaker; borders are in the middle of the silence between chunks."""
    chunks = record.chunks[output.first_chunk : output.first_chunk + output.chunks]
    spoken = (chunk for chunk in chunks if targets and chunk.start_s < chunk.end_s)
    turns = [(who or _NARRATOR, list(own)) for who, own in groupby(spoken, attrgetter("speaker"))]
    middles_s = [(a[-1].end_s + b[0].start_s) / 2 for (_, a), (_, b) in pairwise(turns)]
    borders_s = [0.0, *(round(middle_s, 3) for middle_s in middles_s), output.audio_s]
    return [
        StretchRecord(output=output.name, speaker=who, target=targets[who], start_s=a, end_s=b)
        for (who, _), (a, b) in zip(turns, pairwise(borders_s), strict=bool(turns))
    ]


def _targets(params: ConvertParams, record: RunRecord, path: Path) -> dict[str, str | None]:
    """The target of each speaker; None for those whose sound stays."""
    names = dict.fromkeys(chunk.speaker or _NARRATOR for chunk in record.chunks)
    cast = {_known(name): target for name, target in params.cast.items()}
    if len(cast) < len(params.cast):
        raise InputError(f"cast: a name is given twice in {', '.join(params.cast)}: keep one")
    if cast and not any(chunk.speaker for chunk in record.chunks):
        raise InputError(
            f"cast: the run of {path} has no speakers: speak it again with a cast, or leave cast "
            "out here, and target converts all of it"
        )
    if unknown := [name for name in params.cast if _known(name) not in map(_known, names)]:
        nobody = ", ".join(map(shown, unknown))
        raise InputError(f"cast: nobody in {path} is {nobody}: it has {', '.join(names)}")
    default = params.target or None
    return {name: cast.get(_known(name), default) for name in names} if cast else {}


def _known(name: str) -> str:
    return " ".join(name.lower().split())


def _audio(folder: RunFolder, record: RunRecord, output: OutputRecord) -> Path:
    """The file of an output that has lost least; of a mastered run that to which its times belong.

    Raises `InputError` if it is not as the run left it.
    """
    own = {file.name: file for file in record.files}
    suffixes = [OUTPUT_FORMATS[name].suffix for name in record.params["formats"]]
    if record.params.get("master", "none") == "none":
        suffixes.sort(key=lambda suffix: suffix not in _LOSSLESS)
    name = next((n for n in (output.name + suffix for suffix in suffixes) if n in own), "")
    if not name or not folder.holds(own[name]):
        file = folder.path / (name or output.name)
        raise InputError(f"source {file} is not as its run has left it: speak it again")
    return folder.path / name
