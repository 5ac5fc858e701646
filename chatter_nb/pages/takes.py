"""Takes of lines that are not in a run's files, as opus in its folder `review/`.

Those of a line in doubt, and those that a person has made in a review: these are heard again after
a reload, until the files have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.disk import is_there, read_json, remove, write_json
from chatter_nb.base.errors import ChatterError
from chatter_nb.runs.edits import Edit
from chatter_nb.runs.record import TakeRecord
from chatter_nb.runs.revise import Line
from chatter_nb.runs.speech import Speech

TAKES = "review"
# What the editor shows of them, by the place of their line (`Edit.place`).
HeardTakes = dict[tuple[str, int, int, str], list[dict[str, Any]]]
_SHOWN = {"edit", "take", "seconds", "findings", "peaks", "words"}


def take_path(speech: Speech, key: str) -> Path:
    """Return where the audio of a take is, if it is kept."""
    return speech.folder / TAKES / f"{key}.opus"


def write_takes(speech: Speech) -> list[Path]:
    """Write the takes of each line in doubt that are not in the file, and return all that are kept.

    Takes that are there already stay, those of no line in doubt are removed unless a person made
    them. A take that the store no longer holds has no path.
    """
    paths = [path.with_suffix(".opus") for path in _notes(speech)]
    doubtful = [chunk for chunk in speech.record.chunks if chunk.verdict == "doubtful"]
    for take in (take for chunk in doubtful for take in chunk.takes if take.key != chunk.key):
        path = take_path(speech, take.key)
        if path not in paths and (is_there(path) or _write_take(speech, take)):
            paths.append(path)
    for path in (speech.folder / TAKES).glob("*.opus"):
        if path not in paths:
            remove(path)
    return [path for path in paths if is_there(path)]


def keep_heard(speech: Speech, edit: Edit, line: Line, values: Mapping[str, Any]) -> None:
    """Keep a line that was made for a review, with what the editor shows of it.

    Raises `OutputError` if the disk does not take it.
    """
    _write(speech, line.key, line.audio, line.rate_hz)
    note = take_path(speech, line.key).with_suffix(".json")
    write_json(note, {**values, "edit": edit.model_dump(mode="json")})


def heard_takes(speech: Speech) -> HeardTakes:
    """Return the takes that `keep_heard` has kept; one whose note is damaged is left out."""
    heard: HeardTakes = {}
    for path in _notes(speech):
        values = read_json(path)
        if not isinstance(values, dict) or not values.keys() >= _SHOWN:
            continue
        try:
            edit = Edit.model_validate(values.pop("edit"))
        except ValidationError:
            continue
        if is_there(path.with_suffix(".opus")):
            heard.setdefault(edit.place, []).append(values | {"key": path.stem})
    return heard


def _notes(speech: Speech) -> list[Path]:
    return sorted((speech.folder / TAKES).glob("*.json"))


def _write_take(speech: Speech, take: TakeRecord) -> bool:
    try:
        sound = speech.take_audio(take)
    except ChatterError:  # its engine is not installed, and would say if it must be watermarked
        return False
    if sound is None:
        return False
    _write(speech, take.key, *sound)
    return True


def _write(speech: Speech, key: str, audio: Signal, rate_hz: int) -> None:
    folder = speech.folder / TAKES
    folder.mkdir(exist_ok=True)
    with AudioWriter(folder, key, ["opus"], sample_rate=rate_hz) as writer:
        writer.write(audio)
        writer.finish()
        writer.commit()
