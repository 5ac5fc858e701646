"""The executor for Ray: an actor has one GPU, or the cores of a machine, and one warm kernel.

It performs the same plan (`batch.plan`) and the same tasks as the other executors, on a cluster
that it starts on this machine, or on one that has an address. Results are written to a folder that
all machines share, at the same path on each. `actor` is the code of an actor; `cluster` reaches a
cluster and divides its machines.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from chatter_nb.base.errors import UnavailableError
from chatter_nb.base.project import project_root
from chatter_nb.batch.executors import Executor, Started, Waiting, uses_gpu
from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.ray.actor import THREADS, Actor, Home, tokens
from chatter_nb.batch.ray.cluster import (
    Share,
    connected,
    find_machines,
    import_ray,
    last_line,
    share_out,
)
from chatter_nb.batch.tasks import Outcome, Task

_POLL_S = 0.3  # the longest time until a stop is passed on
_TELL_S = 15.0  # the time that workers have to find a place before a message says that they wait
_LEAVE_S = 10.0  # the time that actors have to end their kernels


class _Worker(NamedTuple):
    """An actor that has started on its machine, and its name for people."""

    actor: Any
    name: str


class RayExecutor(Executor):
    """Performs tasks in Ray's actors.

    Ray restarts an actor that dies, on another machine if need be; its task goes to the next free
    actor, once. Ray's own `max_task_retries` would not do: when a machine is lost, they are used up
    before Ray knows it. Ray starts with the first task, since a batch may have nothing to do.
    """

    def __init__(self, params: BatchParams, tasks: int) -> None:
        import_ray()
        self._params = params
        self._tasks = tasks
        self._stopping = False
        self._open = ExitStack()
        self._ours = False  # whether this executor started Ray or joined it, and so leaves it
        self._actors: list[Any] = []
        self._starting: dict[Any, Any] = {}  # actors by the future of their `ready`
        self._idle: deque[_Worker] = deque()
        self._running: dict[Any, tuple[_Worker, Task]] = {}  # by the future of the outcome
        self._share: Share | None = None
        self._since_s = 0.0

    def perform(self, tasks: Iterable[Task]) -> Iterator[Started | Outcome]:
        waiting = Waiting(deque(tasks))
        if waiting.tasks and not self._actors:
            self._start(waiting.tasks)
        while (waiting.tasks and not self._stopping) or self._running:
            self._admit(0 if self._idle or self._running else _POLL_S)
            while waiting.tasks and self._idle and not self._stopping:
                worker, task = self._idle.popleft(), waiting.tasks.popleft()
                self._running[worker.actor.perform.remote(task)] = (worker, task)
                yield Started(task.name, worker.name)
            if self._stopping:
                self._pass_the_stop_on()
            if self._running and (outcome := self._next(waiting)):
                yield outcome

    # -- actors come and go ----------------------------------------------------------------------

    def _start(self, tasks: Sequence[Task]) -> None:
        ray = import_ray()
        self._ours = self._open.enter_context(connected(self._params))
        use_gpus = any(map(uses_gpu, tasks))
        share = share_out(self._params, self._tasks, find_machines(), use_gpus=use_gpus)
        folders = dict.fromkeys([project_root(), *(task.params.run_dir().parent for task in tasks)])
        home = Home(
            root=str(project_root()),
            tokens=tuple(self._open.enter_context(tokens(folders))),
            threads={name: os.environ.get(name) for name in THREADS},
            hide_gpus=share.gpus == 0,
        )
        cls = ray.remote(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_restarts=-1,
            max_concurrency=2,  # `stop` beside `perform`
            scheduling_strategy="SPREAD",
        )(Actor)
        self._actors = [cls.remote(home) for _ in range(share.workers)]
        self._share = share
        for actor in self._actors:
            self._expect(actor)

    def _expect(self, actor: Any) -> None:
        """Wait for an actor that Ray starts, or starts again."""
        if not self._starting:
            self._since_s = time.monotonic()
        self._starting[actor.ready.options(max_task_retries=-1).remote()] = actor

    def _admit(self, wait_s: float) -> None:
        """Make actors that have started free for tasks."""
        if not self._starting:
            return
        ray = import_ray()
        ready, _ = ray.wait(list(self._starting), num_returns=len(self._starting), timeout=wait_s)
        for future in ready:
            actor = self._starting.pop(future)
            try:
                self._idle.append(_Worker(actor, ray.get(future)))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                self._go_on_without(actor, error)
        if self._starting and time.monotonic() - self._since_s > _TELL_S:
            self._since_s = math.inf  # once
            number = f"{len(self._starting)} of {len(self._actors)} Ray workers"
            message = f"{number} wait for a place: each needs {self._share}"
            print(message, file=sys.stderr, flush=True)

    def _go_on_without(self, actor: Any, error: Exception) -> None:
        """Give up an actor that cannot start, because its machine lacks the package, for example.

        Raises `UnavailableError` if it was the last one.
        """
        self._actors.remove(actor)
        message = f"Ray cannot start a worker: {last_line(error)}"
        if not self._actors:
            raise UnavailableError(message)
        print(message, file=sys.stderr, flush=True)

    # -- tasks ------------------------------------------------------------------------------------

    def _next(self, waiting: Waiting) -> Outcome | None:
        """The next outcome; None after a moment without one, so that a stop is passed on."""
        ray = import_ray()
        ready, _ = ray.wait(list(self._running), timeout=_POLL_S)
        if not ready:
            return None
        worker, task = self._running.pop(ready[0])
        try:
            outcome: Outcome = ray.get(ready[0])
        except ray.exceptions.RayTaskError as error:  # the machine no longer has the folder
            raise error.cause from error
        except ray.exceptions.RayActorError as error:
            self._expect(worker.actor)
            reason = partial(_death, worker.name, last_line(error))
            return waiting.after_death(task, worker.name, reason, stopping=self._stopping)
        self._idle.append(worker)
        return replace(outcome, attempts=outcome.attempts + waiting.deaths[outcome.name])

    def stop(self) -> None:
        self._stopping = True  # nothing more: a signal's handler must not call Ray

    def _pass_the_stop_on(self) -> None:
        """Ask running actors to stop, again and again: an actor stops once, a call may be lost."""
        for worker, _ in self._running.values():
            worker.actor.stop.remote()

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        with self._open:
            if not self._actors:
                return
            ray = import_ray()
            if kind is None:
                workers = [*self._idle, *(worker for worker, _ in self._running.values())]
                leaving = [worker.actor.leave.remote() for worker in workers]
                ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVE_S)
            if not self._ours:  # else the actors and their kernels end with Ray
                for actor in self._actors:
                    ray.kill(actor)


def _death(worker: str, error: str, deaths: int) -> str:
    times = "twice, last" if deaths > 1 else "once,"
    return f"its Ray worker died {times} {worker}: {error}"
