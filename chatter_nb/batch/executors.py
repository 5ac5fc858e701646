"""Executors perform the tasks of a batch: in this process, or in several. Ray's is in `ray`.

An executor takes tasks, and yields an event when a task begins and when a task ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol, Self

from chatter_nb.base.interrupts import on_interrupt
from chatter_nb.batch import warm
from chatter_nb.batch.tasks import Outcome, Status, Task, perform, worker_name
from chatter_nb.engines import registry
from chatter_nb.runs.record import utc_now

_TRIES = 2  # a task whose worker dies goes to another, once
_LEAVE_S = 10  # the time that a worker has to end its kernel


@dataclass(frozen=True)
class Started:
    """The event that a worker begins a task."""

    name: str
    worker: str


class Executor(Protocol):
    """Performs tasks. It is a context: leaving it ends the processes that it started."""

    def perform(self, tasks: Iterable[Task]) -> Iterator[Started | Outcome]:
        """Perform tasks about in their order, several at a time if it has several workers."""
        ...

    def stop(self) -> None:
        """Begin no more tasks, and ask the running tasks to stop after their chunk.

        A signal's handler calls it while the main thread waits in `perform`.
        """
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, /, *exc: object) -> None: ...


class SerialExecutor(Executor):
    """Performs one task after the other in the warm kernel of this process."""

    def __init__(self) -> None:
        self._stopping = False

    def perform(self, tasks: Iterable[Task]) -> Iterator[Started | Outcome]:
        if not self._stopping:
            warm.clear_interrupt()
        for task in tasks:
            if self._stopping:
                return
            yield Started(task.name, worker_name())
            yield perform(task)

    def stop(self) -> None:
        self._stopping = True
        warm.interrupt()

    def __exit__(self, kind: type[BaseException] | None, /, *exc: object) -> None:
        """Keep the warm kernel and its models for the next batch of this process."""


@dataclass
class _Worker:
    """A worker process, and its task if it has one."""

    place: int  # its number, by which it gets its GPU
    process: BaseProcess
    line: Connection
    task: Task | None = None

    @property
    def name(self) -> str:
        return worker_name(self.process.pid)


@dataclass
class Waiting:
    """The tasks that no worker has, and the number of workers that died with each task."""

    tasks: deque[Task]
    deaths: Counter[str] = field(default_factory=Counter)

    def after_death(
        self, task: Task, worker: str, reason: Callable[[int], str], *, stopping: bool
    ) -> Outcome | None:
        """Make the task of a dead worker the next task; returns None.

        Returns the task's outcome instead if it was its second worker, or if the executor is
        `stopping`. `reason` returns the error's text for a number of dead workers.
        """
        self.deaths[task.name] += 1
        deaths = self.deaths[task.name]
        if deaths < _TRIES and not stopping:
            self.tasks.appendleft(task)
            return None
        status: Status = "cancelled" if stopping else "failed"
        return Outcome(
            task.name, status, utc_now(), 0.0, worker, error=reason(deaths), attempts=deaths
        )


class ProcessExecutor(Executor):
    """Performs tasks in several processes; each has a warm kernel, and one of `gpus` if any.

    A worker that dies is replaced, and its task is tried once more. Workers end when their parent
    ends, also when it is killed.
    """

    def __init__(self, count: int, gpus: list[str] | None = None) -> None:
        self._gpus = gpus or []
        self._count = count
        self._workers: list[_Worker] = []
        self._stopping = False

    def perform(self, tasks: Iterable[Task]) -> Iterator[Started | Outcome]:
        waiting = Waiting(deque(tasks))
        for place in range(len(self._workers), min(self._count, len(waiting.tasks))):
            self._workers.append(self._start(place))
        while True:
            for worker in self._workers:
                if worker.task is None and waiting.tasks and not self._stopping:
                    worker.task = waiting.tasks.popleft()
                    with suppress(OSError):  # it has died: `_next` notices that
                        worker.line.send(worker.task)
                    yield Started(worker.task.name, worker.name)
            if not any(worker.task for worker in self._workers):
                return
            yield from self._next(waiting)

    def _next(self, waiting: Waiting) -> list[Outcome]:
        """Wait until workers finish a task or die; returns the outcomes, if there are any."""
        ready = connection.wait([worker.line for worker in self._workers])
        outcomes = []
        for worker in [worker for worker in self._workers if worker.line in ready]:
            task, worker.task = worker.task, None
            try:
                outcomes.append(worker.line.recv())
            except (EOFError, OSError):  # it died
                worker.process.join(_LEAVE_S)
                if task and (failed := self._after_death(task, worker, waiting)):
                    outcomes.append(failed)
                worker.line.close()
                self._workers.remove(worker)
                if waiting.tasks and not self._stopping:
                    self._workers.append(self._start(worker.place))
        return outcomes

    def _after_death(self, task: Task, worker: _Worker, waiting: Waiting) -> Outcome | None:
        code = worker.process.exitcode
        end = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        reason = f"its worker, process {worker.process.pid}, died ({end})"
        return waiting.after_death(task, worker.name, lambda _: reason, stopping=self._stopping)

    def _start(self, place: int) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else None
        process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, gpu))
        # The worker inherits that SIGINT waits: it would kill a worker that is not ready for it.
        _hold_interrupts(True)
        try:
            process.start()
        finally:
            _hold_interrupts(False)
        theirs.close()
        return _Worker(place, process, ours)

    def stop(self) -> None:
        self._stopping = True
        for worker in self._workers:
            if worker.task is not None and worker.process.pid:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)

    def __exit__(self, kind: type[BaseException] | None, /, *exc: object) -> None:
        for worker in self._workers:
            worker.line.close()  # an idle worker ends when its line is closed
            if kind is not None or worker.task is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_LEAVE_S)
            if worker.process.is_alive():
                worker.process.kill()


def _work(line: Connection, gpu: str | None) -> None:
    """The main function of a worker: receive tasks and send outcomes until the line is closed."""
    if hasattr(os, "setsid"):  # Ctrl-C goes to the parent alone, which passes it on
        with suppress(OSError):
            os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    with on_interrupt(warm.interrupt):
        _hold_interrupts(False)
        while True:
            try:
                task = line.recv()
            except (EOFError, OSError):
                return warm.shutdown()
            outcome = perform(task)
            with suppress(BrokenPipeError):
                line.send(outcome)


def _hold_interrupts(hold: bool) -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK if hold else signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with_parent() -> None:
    """End this process when the parent ends, so that it does not keep the locks of its runs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def uses_gpu(task: Task) -> bool:
    """Whether the engine of a task can use a GPU; `auto` uses one if there is one."""
    engine = task.params.engine
    return engine == "auto" or not registry.entry(engine, task.params.kind).cpu_only


def visible_gpus() -> list[str]:
    """The GPUs that CUDA shows, as `CUDA_VISIBLE_DEVICES` names them.

    Another process imports torch for it: here it would cost seconds and memory that only the
    workers need.
    """
    import subprocess

    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is not None:
        return [name for name in names.split(",") if name.strip()]
    code = "import torch; print(*range(torch.cuda.device_count()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return lines[-1].split() if lines else []
