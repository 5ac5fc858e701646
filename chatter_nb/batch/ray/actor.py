"""The code of a Ray actor, on any machine of the cluster, and the check that folders are shared."""

from __future__ import annotations

import os
import platform
import signal
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from chatter_nb.base.disk import remove
from chatter_nb.base.errors import OutputError
from chatter_nb.batch import warm
from chatter_nb.batch.tasks import Outcome, Task, perform, worker_name
from chatter_nb.runs.record import utc_now

# Ray sets the first to the number of an actor's cores. Each can change the samples that are made.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_SEEN_S = 10.0  # the time that a new file may take to appear on another machine
_TOKEN = ".ray-{}.token"


class Actor:
    """Performs one task at a time in the warm kernel of Ray's worker process."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._stopping = False

    def ready(self) -> str:
        """Set up the process like the driver's; returns the worker's name for people."""
        self._home.enter()
        return worker_name()

    def perform(self, task: Task) -> Outcome:
        """Perform a task; returns its outcome."""
        self._home.enter()  # again: Ray may have restarted this actor on another machine
        # Ray blocks SIGINT in all its processes. A kernel would inherit that, and could not stop.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if self._stopping:
            return Outcome(task.name, "cancelled", utc_now(), 0.0, worker_name())
        return perform(task)

    def stop(self) -> None:
        """Stop the task after its chunk; called while `perform` runs.

        Only the first call interrupts: a second interrupt would not wait for the chunk.
        """
        if not self._stopping:
            self._stopping = True
            warm.interrupt()

    def leave(self) -> None:
        """End the warm kernel."""
        warm.shutdown()


@dataclass(frozen=True)
class Home:
    """What an actor takes over from the driver, the process in which the batch was started."""

    root: str  # the project's folder
    tokens: tuple[str, ...]  # files that exist if the folders are the driver's
    threads: Mapping[str, str | None]  # the values of `THREADS`
    hide_gpus: bool

    def enter(self) -> None:
        """Set up this process. Raises `OutputError` on a machine without the driver's folders."""
        for token in map(Path, self.tokens):
            _find(token)
        try:
            os.chdir(self.root)
        except OSError as error:
            raise _not_shared(Path(self.root), "cannot be entered") from error
        for name, value in self.threads.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self.hide_gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _find(token: Path) -> None:
    """Wait until a token appears; raises `OutputError` if it does not."""
    end_s = time.monotonic() + _SEEN_S
    while not token.exists():
        if not token.parent.is_dir():
            raise _not_shared(token.parent, "does not exist there")
        if time.monotonic() > end_s:
            raise _not_shared(token.parent, "is another one there")
        time.sleep(0.2)


def _not_shared(folder: Path, fault: str) -> OutputError:
    return OutputError(
        f"machine {platform.node()}: folder {folder} {fault}; a batch on Ray needs the project and "
        "its results in folders that all machines share, at the same paths"
    )


@contextmanager
def tokens(folders: Iterable[Path]) -> Iterator[list[str]]:
    """A file in each folder while the context lasts, by which another machine recognises it.

    Yields the paths. A folder that cannot be written gets none.
    """
    name, paths = _TOKEN.format(uuid.uuid4().hex), []
    for folder in folders:
        for old in folder.glob(_TOKEN.format("*")):
            with suppress(OSError, ValueError):
                _remove_orphan(old)
        with suppress(OSError):  # a project may be read-only
            (folder / name).write_text(f"{os.getpid()} {platform.node()}\n", encoding="utf-8")
            paths.append(folder / name)
    try:
        yield list(map(str, paths))
    finally:
        for token in paths:
            remove(token)


def _remove_orphan(token: Path) -> None:
    """Remove the token of a driver that was killed on this machine."""
    import psutil  # ipykernel depends on it

    pid, machine = token.read_text(encoding="utf-8").split(maxsplit=1)
    if machine.strip() == platform.node() and not psutil.pid_exists(int(pid)):
        token.unlink()
