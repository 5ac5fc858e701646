"""The folder of a kernel's sockets. The folder of a killed runner is removed by the next runner."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from time import time

_PREFIX, _LOCK = "warm-", "lock"  # of the folder in TMPDIR, and of the file in it
_YOUNG_S = 60.0  # the runner of a younger folder may not have locked it yet
_SOCKET_PATH_BYTES = 100  # the longest path; the smallest limit of a system is 104


class KernelFolder:
    """A new folder, locked while its runner lives. The folders of killed runners are removed."""

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = _locked(self.path / _LOCK)

    @property
    def transport(self) -> str:
        """ "ipc" for sockets in the folder; "tcp" on Windows, and if the path is too long."""
        too_long = len(os.fsencode(self.path / "k-ipc-1")) > _SOCKET_PATH_BYTES
        return "tcp" if sys.platform == "win32" or too_long else "ipc"

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def sweep() -> None:
    """Remove the folders of killed runners: those that no process locks."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or removed meanwhile
            lock = _locked(folder / _LOCK) if time() - folder.stat().st_mtime > _YOUNG_S else None
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _locked(path: Path) -> int | None:
    """A descriptor that locks a file; None if another process has locked it, and on Windows."""
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
