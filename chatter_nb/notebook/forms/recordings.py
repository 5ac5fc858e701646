"""Recordings that come by upload: checked on the way in, kept where voices are found by name."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from chatter_nb.audio.containers import way_out
from chatter_nb.audio.curves import duration_s
from chatter_nb.base.disk import part_path, write_error
from chatter_nb.base.errors import InputError
from chatter_nb.engines.voices import HEARD_S, MIN_S, SUFFIXES, Library, read_checked
from chatter_nb.notebook.forms.uploads import free_name
from chatter_nb.params.base import RunParams
from chatter_nb.params.runs import AnyParams
from chatter_nb.runs.settle import library_of


def recordings_accepted() -> str:
    """For a file picker."""
    return ",".join(SUFFIXES)


def voices_of(params: RunParams) -> list[str]:
    """The names of the recordings that there are to choose from."""
    return library_of(params).names()  # type: ignore[arg-type]


def receive_voice(path: Path, params: AnyParams) -> tuple[str, str]:
    """Move an uploaded recording into the voices folder. Returns its name and a sentence.

    Raises `InputError` for what is no recording, is silent or too short; the caller removes it.
    """
    notes = check_upload(path)
    library = library_of(params)
    kept = _move(path, library)
    told = "; ".join([f"voice '{kept.stem}' is ready, {duration_s(kept):.1f} s", *notes])
    return kept.stem, told


def check_upload(path: Path, *, min_s: float = MIN_S, heard_s: float = HEARD_S) -> list[str]:
    """What is doubtful about a recording. Raises `InputError` for what is none, or cannot serve."""
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        cure = way_out(path) or f"its name ends in none of {known}"
        raise InputError(f"{path.name} is no recording that can be read: {cure}")
    _, notes = read_checked(path, where=path.name, min_s=min_s, heard_s=heard_s)
    return notes


def _move(path: Path, library: Library) -> Path:
    """Names are looked up without their suffix: one that is taken gets a number."""
    kept = library.folder / path.name
    part = part_path(kept)
    try:
        with library.naming():
            kept = free_name(kept, taken=library.names())
            shutil.copyfile(path, part)  # the voices may lie on another disk, such as Drive
            os.replace(part, kept)
    except OSError as error:
        told = write_error(kept, error)
        with suppress(OSError):
            part.unlink()
        raise told from error
    path.unlink()
    return kept
