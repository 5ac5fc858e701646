"""The far side of a batch on Ray: what an actor does, on whichever machine it is."""

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

from chatter_nb.base.errors import OutputError
from chatter_nb.batch.ray.cluster import import_ray
from chatter_nb.batch.tasks import Job, Outcome, perform
from chatter_nb.runs.record import utc_now

# Ray sets the first to an actor's cores. The others can change samples just as well.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_SEEN_S = 10.0  # that a new file has to show on another machine
_TOKEN = ".ray-{}.token"


class Actor:
    """What Ray's worker process does: one job at a time, in its warm kernel."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._stopping = False

    def ready(self) -> tuple[str, str]:
        """Be at home; the actor's id, and how people are told of it."""
        self._home.enter()
        return import_ray().get_runtime_context().get_actor_id(), _worker_name()

    def perform(self, job: Job) -> Outcome:
        self._home.enter()  # again: Ray may have restarted it, elsewhere
        # Ray blocks SIGINT in all its processes, and a kernel would inherit that: no stop.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if self._stopping:
            return Outcome(job.name, "cancelled", utc_now(), 0.0, _worker_name())
        return perform(job)

    def stop(self) -> None:
        """Runs beside `perform`. A second interrupt would not wait for the chunk."""
        from chatter_nb.batch.warm import runner

        if not self._stopping:
            self._stopping = True
            runner.interrupt()

    def leave(self) -> None:
        from chatter_nb.batch.warm import runner

        runner.shutdown()


def _worker_name() -> str:
    return f"{platform.node()}:{os.getpid()}"


@dataclass(frozen=True)
class Home:
    """What an actor takes over from the driver, on whichever machine it is."""

    root: str
    tokens: tuple[str, ...]  # files that are there if the folders are the driver's
    threads: Mapping[str, str | None]
    hide_gpus: bool

    def enter(self) -> None:
        """Be at home; raises `OutputError` on a machine that does not share the folders."""
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
    end_s = time.monotonic() + _SEEN_S
    while not token.exists():
        if not token.parent.is_dir():
            raise _not_shared(token.parent, "does not exist there")
        if time.monotonic() > end_s:
            raise _not_shared(token.parent, "is another one there")
        time.sleep(0.2)


def _not_shared(folder: Path, told: str) -> OutputError:
    return OutputError(
        f"machine {platform.node()}: folder {folder} {told}; a batch on Ray needs the project and "
        "its results in folders that all machines share, at the same paths"
    )


@contextmanager
def tokens(folders: Iterable[Path]) -> Iterator[list[str]]:
    """A file in each folder, while the context lasts, by which another machine knows it again."""
    name, made = _TOKEN.format(uuid.uuid4().hex), []
    for folder in folders:
        for old in folder.glob(_TOKEN.format("*")):
            with suppress(OSError, ValueError):
                _remove_orphan(old)
        with suppress(OSError):  # a project may be read-only
            (folder / name).write_text(f"{os.getpid()} {platform.node()}\n", encoding="utf-8")
            made.append(folder / name)
    try:
        yield list(map(str, made))
    finally:
        for token in made:
            with suppress(OSError):
                token.unlink()


def _remove_orphan(token: Path) -> None:
    """What a driver left that was killed; of another machine's drivers nothing is known."""
    import psutil  # ipykernel depends on it

    pid, machine = token.read_text(encoding="utf-8").split(maxsplit=1)
    if machine.strip() == platform.node() and not psutil.pid_exists(int(pid)):
        token.unlink()
