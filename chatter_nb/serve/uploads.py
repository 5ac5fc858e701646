"""Uploads: recordings, checked by decoding them, documents, lexicons, with names of the server.

Of a client's file name only letters and digits are used. A recording is decoded to learn its
length, but no further than it may be long: a few kilobytes can unfold to days.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO

import soundfile

from chatter_nb.audio.containers import open_recording
from chatter_nb.audio.reading import inspect_audio
from chatter_nb.base.disk import write_error
from chatter_nb.base.errors import InputError, shown
from chatter_nb.base.formats import READABLE, suffix_of
from chatter_nb.engines.offered import DEFAULT_VOICE
from chatter_nb.engines.recordings import read_checked
from chatter_nb.engines.voices import NAME, Library
from chatter_nb.serve.errors import Problem
from chatter_nb.text.lexicon import read_lexicon

INCOMING = ".incoming"  # in the voices folder
MAX_CHANNELS = 8
_NAME_CHARS = 64  # of a client's file name
LEXICON_BYTES = 250_000  # of YAML they are read in 2 s
_SAID_CHARS = 200  # for a word, which may stand in a text ten thousand times


def keep_upload(
    source: BinaryIO, folder: Path, *, part: str, longest_s: float, name: str = "", suffix: str = ""
) -> Path:
    """Copy a recording into `folder` under a new name, and check it. Returns its path.

    `part` is the name of its field in the request; the new name ends with the words of `name`. With
    a `suffix` it is a document, called by these words, as a chapter may be. Raises `InputError` for
    a file that is no recording, has no sound or is longer than `longest_s`; leaves nothing behind.
    """
    words = "-".join(re.findall(r"[A-Za-z0-9]+", name))[:_NAME_CHARS]
    new_name = f"{words or 'document'}{suffix}" if suffix else f"{secrets.token_hex(8)}-{words}"
    path = folder / new_name.rstrip("-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(source, file)
    except OSError as error:
        failure = write_error(path, error)
        path.unlink(missing_ok=True)
        raise failure from error
    if suffix:
        return path
    try:
        suffix = _checked(path, part, longest_s)
    except BaseException:
        path.unlink()
        raise
    return path.rename(path.with_suffix(suffix))


def _checked(path: Path, part: str, longest_s: float) -> str:
    """The suffix for the format of a file. Errors name the part, not the server's path."""
    try:
        with open_recording(path) as file:
            kind, channels = file.format, file.channels
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        known = f"this is no recording that can be read ({READABLE})"
        raise InputError(f"{part}: {known}") from error
    suffix = suffix_of(kind)
    if suffix is None:
        raise InputError(f"{part}: recordings in {kind} are not taken: send wav, flac, mp3 or m4a")
    if channels > MAX_CHANNELS:
        raise InputError(f"{part}: {channels} channels; up to {MAX_CHANNELS} are taken")
    try:
        inspect_audio(path, longest_s=longest_s)
    except InputError as error:
        reason = str(error).replace(str(path), "it").replace("recording it", "the recording")
        raise InputError(f"{part}: {reason}") from error
    return suffix


def check_lexicon(path: Path) -> None:
    """Raises `InputError` for an upload that is no lexicon, `Problem` 422 for one of great cost."""
    if path.stat().st_size > LEXICON_BYTES:
        raise Problem(422, f"lexicon: up to {LEXICON_BYTES:,} bytes are read: send its used words")
    try:
        entries = read_lexicon(path)
    except InputError as error:
        raise InputError(str(error).replace(f"{path.parent}/", "")) from error
    for entry in entries:
        if len(max(entry.say, entry.ipa, entry.arpabet, key=len)) > _SAID_CHARS:
            word = f"lexicon: {shown(entry.word)}"
            raise Problem(422, f"{word}: up to {_SAID_CHARS} characters are said for a word")


def add_voice(name: str, source: BinaryIO, library: Library, *, longest_s: float) -> list[str]:
    """Keep a recording as a voice. Returns notes on what is doubtful about the recording.

    Raises `Problem` 409 where the name is taken, 422 where the name or the recording cannot serve.
    """
    if not NAME.fullmatch(name):
        raise Problem(422, f"name: {name[:80]!r}: use 1 to 64 of A-Z a-z 0-9 _ and -")
    if name.casefold() == DEFAULT_VOICE:
        raise Problem(422, f"name: '{name}' is the engine's own voice: choose another")
    _refuse_taken(name, library)
    # On the disk of the voices folder, where a rename is atomic; hidden, so that no list shows it.
    arrived = keep_upload(source, library.folder / INCOMING, part="file", longest_s=longest_s)
    try:
        *_, notes = read_checked(arrived, where="file")
        with library.naming():
            _refuse_taken(name, library)  # somebody was faster, perhaps with another format
            os.replace(arrived, library.folder / f"{name}{arrived.suffix}")
    finally:
        arrived.unlink(missing_ok=True)
    return notes


def _refuse_taken(name: str, library: Library) -> None:
    if library.has(name):
        raise Problem(409, f"there is a voice '{name}' already: delete it first, or choose another")


def remove_voice(name: str, library: Library) -> None:
    """Delete a voice's recording. Raises `Problem` 404 where there is no such voice."""
    paths = [path for path in library.files() if path.stem == name and NAME.fullmatch(name)]
    if not paths:
        known = ", ".join(library.names()) or "none"
        raise Problem(404, f"there is no voice '{name[:80]}'; there are: {known}")
    for path in paths:
        path.unlink(missing_ok=True)
