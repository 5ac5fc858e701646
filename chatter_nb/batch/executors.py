"""Who performs a batch's jobs: this process alone, or several processes. Ray's is in `cluster`.

A crew is told jobs and answers, as they happen, which begin and how each ended.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol, Self

from chatter_nb.base.interrupts import on_interrupt
from chatter_nb.batch.tasks import Job, Outcome, Status, perform
from chatter_nb.engines import registry
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.record import utc_now

_TRIES = 2  # a job whose worker dies goes to another, once
_LEAVE_S = 10  # that a worker has to end its kernel


@dataclass(frozen=True)
class Started:
    """A job is in hand."""

    name: str
    worker: str


class Crew(Protocol):
    """Performs jobs. Used as a context: leaving it ends whatever it started, at once."""

    def perform(self, jobs: Iterable[Job]) -> Iterator[Started | Outcome]:
        """Perform jobs, several at a time where it can, in about their order."""
        ...

    def stop(self) -> None:
        """Begin no more jobs, and ask those in hand to stop after their chunk.

        Called from a signal's handler, while the main thread waits in `perform`.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, /, *exc: object) -> None: ...


class Alone:
    """This process and its warm kernel, one job after the other."""

    def __init__(self) -> None:
        self._stopping = False

    def perform(self, jobs: Iterable[Job]) -> Iterator[Started | Outcome]:
        from chatter_nb.batch.warm import runner

        if not self._stopping:
            runner.clear_interrupt()
        for job in jobs:
            if self._stopping:
                return
            yield Started(job.name, f"{platform.node()}:{os.getpid()}")
            yield perform(job)

    def stop(self) -> None:
        from chatter_nb.batch.warm import runner

        self._stopping = True
        runner.interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, /, *exc: object) -> None:
        """The warm kernel stays, with its models, for the next batch of this process."""


@dataclass
class _Worker:
    """A process of ours, and what it has in hand."""

    place: int
    process: BaseProcess
    line: Connection
    job: Job | None = None

    @property
    def name(self) -> str:
        return f"{platform.node()}:{self.process.pid}"


@dataclass
class _Waiting:
    """Jobs not yet in hand, and how often each was."""

    jobs: deque[Job]
    tries: dict[str, int] = field(default_factory=dict)


class Workers:
    """Several processes, each with its warm kernel, and with a GPU of its own where there are more.

    A worker that dies is replaced, and its job goes to another once. Workers end with their
    parent, however it ends.
    """

    def __init__(self, count: int, gpus: list[str] | None = None) -> None:
        self._gpus = gpus or []
        self._count = count
        self._workers: list[_Worker] = []
        self._stopping = False

    def perform(self, jobs: Iterable[Job]) -> Iterator[Started | Outcome]:
        waiting = _Waiting(deque(jobs))
        for place in range(len(self._workers), min(self._count, len(waiting.jobs))):
            self._workers.append(self._start(place))
        while True:
            for worker in self._workers:
                if worker.job is None and waiting.jobs and not self._stopping:
                    worker.job = waiting.jobs.popleft()
                    with suppress(OSError):  # it has died: `_next` finds that out
                        worker.line.send(worker.job)
                    yield Started(worker.job.name, worker.name)
            if not any(worker.job for worker in self._workers):
                return
            yield from self._next(waiting)

    def _next(self, waiting: _Waiting) -> list[Outcome]:
        """Wait until something happens, and settle it."""
        ready = connection.wait([worker.line for worker in self._workers])
        outcomes = []
        for worker in [one for one in self._workers if one.line in ready]:
            job, worker.job = worker.job, None
            try:
                outcomes.append(worker.line.recv())
            except (EOFError, OSError):  # it died
                worker.process.join(_LEAVE_S)
                lost = self._retry(job, worker, waiting) if job else None
                outcomes += [lost] if lost else []
                self._replace(worker, needed=bool(waiting.jobs))
        return outcomes

    def _retry(self, job: Job, worker: _Worker, waiting: _Waiting) -> Outcome | None:
        """Put a dead worker's job first in the row again; or, the second time, call it failed."""
        tries = waiting.tries[job.name] = waiting.tries.get(job.name, 0) + 1
        if tries < _TRIES and not self._stopping:
            waiting.jobs.appendleft(job)
            return None
        told = f"its worker, process {worker.process.pid}, died ({_end_of(worker.process)})"
        status: Status = "cancelled" if self._stopping else "failed"
        return Outcome(job.name, status, utc_now(), 0.0, worker.name, error=told, attempts=tries)

    def _start(self, place: int) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else None
        process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, gpu))
        with _interrupts_held():  # until it can take them: one that came too early would kill it
            process.start()
        theirs.close()
        return _Worker(place, process, ours)

    def _replace(self, dead: _Worker, *, needed: bool) -> None:
        dead.line.close()
        self._workers.remove(dead)
        if needed and not self._stopping:
            self._workers.append(self._start(dead.place))

    def stop(self) -> None:
        self._stopping = True
        for worker in self._workers:
            if worker.job is not None and worker.process.pid:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, /, *exc: object) -> None:
        for worker in self._workers:
            worker.line.close()  # it ends when it reads that nothing more comes …
            if kind is not None or worker.job is not None:
                worker.process.terminate()  # … or at once
        for worker in self._workers:
            worker.process.join(_LEAVE_S)
            if worker.process.is_alive():
                worker.process.kill()


def _end_of(process: BaseProcess) -> str:
    code = process.exitcode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _work(line: Connection, gpu: str | None) -> None:
    """A worker's life: jobs in, outcomes out, until the line is closed."""
    if hasattr(os, "setsid"):  # Ctrl-C goes to the parent alone, which passes it on
        with suppress(OSError):
            os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    from chatter_nb.batch.warm import runner

    with on_interrupt(runner.interrupt):
        _hold_interrupts(False)
        while True:
            try:
                job = line.recv()
            except (EOFError, OSError):
                return runner.shutdown()
            outcome = perform(job)
            with suppress(BrokenPipeError):
                line.send(outcome)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """SIGINT waits, here and in a process that is started meanwhile."""
    _hold_interrupts(True)
    try:
        yield
    finally:
        _hold_interrupts(False)


def _hold_interrupts(hold: bool) -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK if hold else signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with_parent() -> None:
    """However the parent ends: a worker that went on would hold the runs that a resume wants."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def uses_gpu(job: Job) -> bool:
    """Whether its engine can use one; `auto` takes the GPU where there is one."""
    engine, convert = job.params.engine, isinstance(job.params, ConvertParams)
    return engine == "auto" or not registry.entry(engine, convert=convert).cpu_only


def visible_gpus() -> list[str]:
    """The GPUs that CUDA shows, as `CUDA_VISIBLE_DEVICES` names them; asked of another process.

    Importing torch here would cost seconds and memory that only the workers need.
    """
    import subprocess

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [one for one in named.split(",") if one.strip()]
    code = "import torch; print(torch.cuda.device_count())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    told = found.stdout.split()[-1:] if found.returncode == 0 else []
    return [str(place) for place in range(int(told[0]))] if told and told[0].isdigit() else []
