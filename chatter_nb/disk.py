"""Writing to disk: temporary names, free room, a failed write explained; large files told apart."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from chatter_nb.errors import OutputError

# libsndfile and numpy report a full disk without an errno; so little free space is taken as one.
_FULL_BELOW_BYTES = 1 << 20
_SAMPLES, _SAMPLE_BYTES = 256, 1 << 16

PART_SUFFIX = ".part"


def part_path(path: Path) -> Path:
    """A temporary name beside `path`, hidden, and shared with no other process on any machine."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART_SUFFIX}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename: readers see the old one or all of the new.

    Raises `OutputError`, and leaves what was there, if the disk does not take it.
    """
    part = part_path(path)
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        told = write_error(path, error)
        part.unlink(missing_ok=True)
        raise told from error


def write_json(path: Path, values: Any) -> None:
    """`write_whole` for values of JSON, readable by people: indented, letters as they are."""
    text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
    write_whole(path, text.encode())


def write_error(path: Path, reason: object) -> OutputError:
    """The error to raise when `path` could not be written; ask before removing leftovers."""
    if _is_full(path, reason):
        return OutputError(
            f"disk full while writing {path}: make room and run the same again; "
            "the finished chunks are kept"
        )
    told = getattr(reason, "strerror", None) or reason
    return OutputError(f"cannot write {path}: {told}")


def _is_full(path: Path, reason: object) -> bool:
    if getattr(reason, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    return free_disk_bytes(path) < _FULL_BELOW_BYTES


def free_disk_bytes(path: Path) -> int:
    """Room on the disk that `path` is on, or will be on once it is made."""
    there = next(folder for folder in (path, *path.absolute().parents) if _is_folder(folder))
    return shutil.disk_usage(there).free


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # too long a name, before Python 3.13
        return False


def add_samples(digest: Any, path: Path) -> None:
    """Add 256 evenly spaced pieces of 64 kB of a file to a hash; of a small file, all of it."""
    size = path.stat().st_size
    step = max(_SAMPLE_BYTES, size // _SAMPLES)
    with path.open("rb") as file:
        for start in range(0, size, step):
            file.seek(start)
            digest.update(file.read(_SAMPLE_BYTES))
