"""Atomic writes, errors that explain a failed write, and the free room on a disk.

Also: reading of JSON files that may be damaged, and a hash over samples of a large file.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import InputError, OutputError

# libsndfile and numpy report a full disk without an errno; so little free space is taken as one.
_FULL_BELOW_BYTES = 1 << 20
_SAMPLES, _SAMPLE_BYTES = 256, 1 << 16

PART_SUFFIX = ".part"


def part_path(path: Path) -> Path:
    """A temporary name beside `path`, hidden, and shared with no other process on any machine."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART_SUFFIX}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name for a file that is written inside; at the end it is renamed to `path`.

    Raises `OutputError` if the disk does not take the file; the earlier file then stays.
    """
    part = part_path(path)
    try:
        with writing(path):  # looks at the free room: before `remove`
            yield part
            os.replace(part, path)
    finally:
        remove(part)


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file so that no reader sees half of it, see `whole_file`.

    A `durable` file survives a power cut too, which costs milliseconds.
    """
    with whole_file(path) as part, part.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    if durable:
        _sync_folder(path.parent)


def copy_whole(source: Path, path: Path) -> None:
    """Copy a file, see `whole_file`."""
    with whole_file(path) as part:
        shutil.copyfile(source, part)


def _sync_folder(folder: Path) -> None:
    """Keep a file's new name too; Windows and some network disks cannot be asked to."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, values: Any, *, durable: bool = False) -> None:
    """`write_whole` for values of JSON, readable by people: indented, letters as they are."""
    text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
    # Half a surrogate pair, out of a file's name, becomes JSON's own escape.
    write_whole(path, text.encode(errors="backslashreplace"), durable=durable)


def read_json(path: Path) -> Any:
    """The values in a JSON file; None if there is no such file, or if it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def is_there(path: Path) -> bool:
    """Whether there is anything at `path`; False if the disk reports an error."""
    try:
        return path.exists()
    except OSError:
        return False


def remove(path: Path) -> None:
    """Remove a file if the disk allows it; a leftover that stays is no reason to fail."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def write_error(path: Path, reason: object) -> OutputError:
    """The error to raise after `path` could not be written; `reason` is the cause.

    Call it before leftovers are removed: it looks at the free room on the disk.
    """
    is_full = getattr(reason, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    if is_full or free_disk_bytes(path) < _FULL_BELOW_BYTES:
        return OutputError(
            f"disk full while writing {path}: make room and run the same again; "
            "the finished chunks are kept"
        )
    cause = getattr(reason, "strerror", None) or reason
    limit_bytes = _file_limit_bytes()
    if limit_bytes and getattr(reason, "errno", None) in (None, errno.EFBIG):
        cause = f"a file may have {limit_bytes:,} bytes here: raise the limit (ulimit -f)"
    elif getattr(reason, "errno", None) == errno.EISDIR:
        cause = "a folder is in its place: move it away"
    return OutputError(f"cannot write {path}: {cause}")


@contextmanager
def writing(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Inside, an `OSError` (or one of `errors`) becomes the `OutputError` that explains it."""
    known: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except known as error:
        raise write_error(path, error) from error


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Inside, an `OSError` becomes the `InputError` which says that `what` cannot be read."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {what}: {error.strerror}") from error


def remove_old(paths: Iterable[Path], *, older_than_s: float) -> int:
    """Remove the files last changed before that; returns the number of bytes freed."""
    freed = 0
    for path in paths:
        with suppress(OSError):  # another process removed it meanwhile
            status = path.stat()
            if time.time() - status.st_mtime > older_than_s:
                path.unlink()
                freed += status.st_size
    return freed


def check_way(path: Path) -> None:
    """Raise `OutputError` if a folder lies in the place of a file. Call it before the work."""
    if is_folder(path):
        raise write_error(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))


def _file_limit_bytes() -> int:
    """The size limit of files of this process in bytes; 0 without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return 0 if limit == resource.RLIM_INFINITY else limit


def free_disk_bytes(path: Path) -> int:
    """Free bytes on the disk of `path`, which need not exist; `sys.maxsize` if it does not say."""
    folders = (path, *path.absolute().parents)
    existing = next((folder for folder in folders if is_folder(folder)), path)
    try:
        return shutil.disk_usage(existing).free
    except OSError:
        return sys.maxsize


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; False if the disk reports an error."""
    try:
        return path.is_dir()
    except OSError:
        return False


def add_samples(digest: Any, path: Path) -> None:
    """Add 256 evenly spaced pieces of 64 kB of a file to a hash; of a small file, all of it."""
    size = path.stat().st_size
    step = max(_SAMPLE_BYTES, size // _SAMPLES)
    with path.open("rb") as file:
        for start in range(0, size, step):
            file.seek(start)
            digest.update(file.read(_SAMPLE_BYTES))
