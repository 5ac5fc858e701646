"""Recordings that come by upload: decoded before they are believed, kept under names of ours.

Nothing of a client's file name is used. How long a recording is, is found by decoding it, and no
further than it may be: a few kilobytes can unfold to days.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import soundfile

from chatter_nb.audio.containers import READABLE, StraightOn, way_out
from chatter_nb.audio.reading import inspect_audio
from chatter_nb.base.disk import write_error
from chatter_nb.base.errors import InputError
from chatter_nb.engines.voices import Library, read_checked
from chatter_nb.serve.errors import Problem

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
INCOMING = ".incoming"  # in the voices folder
MAX_CHANNELS = 8
DEFAULT_VOICE = "default"  # the engine's own

# By what is in a file, whatever its name says.
_SUFFIXES = {
    "WAV": ".wav",
    "WAVEX": ".wav",
    "RF64": ".rf64",
    "FLAC": ".flac",
    "MP3": ".mp3",
    "OGG": ".ogg",
    "AIFF": ".aiff",
    "AU": ".au",
    "CAF": ".caf",
    "W64": ".w64",
}


def keep_upload(source: BinaryIO, folder: Path, *, part: str, longest_s: float) -> Path:
    """Copy a recording into `folder` under a name of its own, and check it.

    `part` is what the request calls it. Raises `InputError` for what is no recording, has no sound
    or is longer than `longest_s`, and leaves nothing behind.
    """
    path = folder / secrets.token_hex(8)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(source, file)
    except OSError as error:
        told = write_error(path, error)
        path.unlink(missing_ok=True)
        raise told from error
    try:
        suffix = _checked(path, part, longest_s)
    except BaseException:
        path.unlink()
        raise
    return path.rename(path.with_suffix(suffix))


def _checked(path: Path, part: str, longest_s: float) -> str:
    """The suffix that goes with what is in a file. Errors speak of the part, not of our path."""
    try:
        with StraightOn(path) as file:
            kind, channels = file.format, file.channels
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        cure = way_out(path, name="RECORDING")
        told = cure or f"this is no recording that can be read ({READABLE})"
        raise InputError(f"{part}: {told}") from error
    if kind not in _SUFFIXES:
        raise InputError(f"{part}: recordings in {kind} are not taken: send wav, flac, mp3 or ogg")
    if channels > MAX_CHANNELS:
        raise InputError(f"{part}: {channels} channels; up to {MAX_CHANNELS} are taken")
    try:
        inspect_audio(path, longest_s=longest_s)
    except InputError as error:
        raise InputError(f"{part}: {_nameless(error, path)}") from error
    return _SUFFIXES[kind]


def _nameless(error: InputError, path: Path) -> str:
    return str(error).replace(str(path), "it").replace("recording it", "the recording")


def add_voice(name: str, source: BinaryIO, library: Library, *, longest_s: float) -> list[str]:
    """Keep a recording as a voice. Returns what is doubtful about it.

    Raises `Problem` 409 where the name is taken, 422 where it or the recording cannot serve.
    """
    if not NAME.fullmatch(name):
        raise Problem(422, f"name: {name[:80]!r}: use 1 to 64 of A-Z a-z 0-9 _ and -")
    if name.casefold() == DEFAULT_VOICE:
        raise Problem(422, f"name: '{name}' is the engine's own voice: choose another")
    _refuse_taken(name, library)
    # Beside its place, so that the rename is one; a leading dot keeps it out of every list.
    arrived = keep_upload(source, library.folder / INCOMING, part="file", longest_s=longest_s)
    try:
        return _take_place(arrived, name, library)
    finally:
        arrived.unlink(missing_ok=True)


def _take_place(arrived: Path, name: str, library: Library) -> list[str]:
    _, notes = read_checked(arrived, where="file")
    with library.naming():
        _refuse_taken(name, library)  # somebody was faster, perhaps with another format
        os.replace(arrived, library.folder / f"{name}{arrived.suffix}")
    return notes


def _refuse_taken(name: str, library: Library) -> None:
    if name.casefold() in (taken.casefold() for taken in library.names()):
        raise Problem(409, f"there is a voice '{name}' already: delete it first, or choose another")


def remove_voice(name: str, library: Library) -> None:
    """Delete a voice's recording. Raises `Problem` 404 for one that is not there."""
    found = [path for path in library.files() if path.stem == name and NAME.fullmatch(name)]
    if not found:
        raise Problem(404, f"there is no voice '{name[:80]}'; there are: {_listed(library)}")
    for path in found:
        with suppress(FileNotFoundError):
            path.unlink()


def _listed(library: Library) -> str:
    return ", ".join(library.names()) or "none"
