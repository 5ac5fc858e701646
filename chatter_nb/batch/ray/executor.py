"""A batch on Ray: one actor is one GPU, or a machine's cores, with one warm kernel.

The same plan as without Ray (`batch.plan`), the same jobs, other hands. Works on Ray's own
cluster of this machine with no other set-up, and on a cluster's address. Results go through a
folder that all machines share, at the same path on each. What the actors do is in `actor`, what a
cluster has in `cluster`.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Self

from chatter_nb.base.errors import UnavailableError
from chatter_nb.base.project import project_root
from chatter_nb.batch.executors import Started, uses_gpu
from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.ray.actor import THREADS, Actor, Home, tokens
from chatter_nb.batch.ray.cluster import (
    Share,
    connected,
    find_machines,
    import_ray,
    last_line,
    pick_engine,
    share_out,
)
from chatter_nb.batch.tasks import Job, Outcome, Status
from chatter_nb.runs.record import utc_now

__all__ = ["RayCrew", "pick_engine"]

_POLL_S = 0.3  # how soon a stop is passed on
_TELL_S = 15.0  # that workers have to find a place before a person is told that they wait
_LEAVE_S = 10.0  # that actors have to end their kernels
_TRIES = 2  # of a job, if its actor dies


@dataclass
class _Hand:
    """An actor that is at home, and what it has in hand."""

    actor: Any
    worker: str
    job: Job | None = None


class RayCrew:
    """Ray's actors. One that dies is restarted by Ray, on another machine if need be; its job goes
    to the next that is free, once.

    Not by Ray's `max_task_retries`: when a machine is lost, those are used up before Ray knows.

    Ray starts with the first job, since a batch may have nothing to do.
    """

    def __init__(self, params: BatchParams, jobs: int) -> None:
        import_ray()
        self._params = params
        self._jobs = jobs
        self._stopping = False
        self._open = ExitStack()
        self._ours = False  # whether Ray ends with us
        self._actors: list[Any] = []
        self._coming: dict[Any, Any] = {}  # actors that find their place, by their answer
        self._hands: dict[str, _Hand] = {}  # by the actor's id
        self._pool: Any = None
        self._tries: Counter[str] = Counter()  # of jobs whose actor died, by name
        self._share: Share | None = None
        self._since_s = 0.0

    def perform(self, jobs: Iterable[Job]) -> Iterator[Started | Outcome]:
        waiting = deque(jobs)
        self._tries.clear()
        if waiting and not self._actors:
            self._start(waiting)
        while (waiting and not self._stopping) or self._busy():
            self._welcome(_POLL_S if not self._hands else 0)
            while waiting and not self._stopping and self._pool.has_free():
                yield self._hand_over(waiting.popleft())
            if self._stopping:
                self._pass_the_stop_on()
            if self._busy() and (outcome := self._next(waiting)):
                yield outcome

    def _busy(self) -> bool:
        return any(hand.job for hand in self._hands.values())

    # -- actors come and go ----------------------------------------------------------------------

    def _start(self, jobs: Sequence[Job]) -> None:
        ray = import_ray()
        from ray.util import ActorPool

        self._ours = self._open.enter_context(connected(self._params))
        use_gpus = any(map(uses_gpu, jobs))
        share = share_out(self._params, self._jobs, find_machines(), use_gpus=use_gpus)
        folders = dict.fromkeys([project_root(), *(job.params.run_dir().parent for job in jobs)])
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
        self._pool = ActorPool([])
        self._actors = [cls.remote(home) for _ in range(share.workers)]
        self._share = share
        for actor in self._actors:
            self._expect(actor)

    def _expect(self, actor: Any) -> None:
        if not self._coming:
            self._since_s = time.monotonic()
        self._coming[actor.ready.options(max_task_retries=-1).remote()] = actor

    def _welcome(self, wait_s: float) -> None:
        """Let actors that are at home now have jobs."""
        if not self._coming:
            return
        ray = import_ray()
        ready, _ = ray.wait(list(self._coming), num_returns=len(self._coming), timeout=wait_s)
        for answer in ready:
            actor = self._coming.pop(answer)
            try:
                name, worker = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                self._go_on_without(actor, error)
                continue
            self._hands[name] = _Hand(actor, worker)
            self._pool.push(actor)
        self._tell_who_waits()

    def _go_on_without(self, actor: Any, error: Exception) -> None:
        """It cannot be started: the package is missing on its machine, say."""
        self._actors.remove(actor)
        told = f"Ray cannot start a worker: {last_line(error)}"
        if not self._actors:
            raise UnavailableError(told)
        print(told, file=sys.stderr, flush=True)

    def _tell_who_waits(self) -> None:
        if self._coming and time.monotonic() - self._since_s > _TELL_S:
            self._since_s = math.inf  # told
            told = f"{len(self._coming)} of {len(self._actors)} Ray workers wait for a place"
            print(f"{told}: each needs {self._share}", file=sys.stderr, flush=True)

    # -- jobs ------------------------------------------------------------------------------------

    def _hand_over(self, job: Job) -> Started:
        self._pool.submit(self._submit, job)
        return Started(job.name, self._hand_of(job.name).worker)

    def _submit(self, actor: Any, job: Job) -> Any:
        hand = next(hand for hand in self._hands.values() if hand.actor == actor)
        hand.job = job
        return actor.perform.remote(job)

    def _hand_of(self, name: str) -> _Hand:
        return next(hand for hand in self._hands.values() if hand.job and hand.job.name == name)

    def _next(self, waiting: deque[Job]) -> Outcome | None:
        """How the next job ended; None if none did for a moment, so that a stop is noticed."""
        exceptions = import_ray().exceptions
        try:
            outcome: Outcome = self._pool.get_next_unordered(timeout=_POLL_S)
        except TimeoutError:
            return None
        except exceptions.RayTaskError as error:  # its machine has lost the folder
            raise error.cause from error
        except exceptions.RayActorError as error:
            return self._lost(error, waiting)
        self._hand_of(outcome.name).job = None
        return replace(outcome, attempts=outcome.attempts + self._tries[outcome.name])

    def _lost(self, error: Any, waiting: deque[Job]) -> Outcome | None:
        """The actor died, and comes again; its job is the next, or the second time has failed."""
        hand = self._hands.pop(error.actor_id)
        self._withdraw(hand.actor)
        self._expect(hand.actor)
        job = hand.job
        assert job is not None
        self._tries[job.name] += 1
        if self._tries[job.name] < _TRIES and not self._stopping:
            waiting.appendleft(job)
            return None
        status: Status = "cancelled" if self._stopping else "failed"
        tries = self._tries[job.name]
        times = "twice, last" if tries > 1 else "once,"
        told = f"its Ray worker died {times} {hand.worker}: {last_line(error)}"
        return Outcome(job.name, status, utc_now(), 0.0, hand.worker, error=told, attempts=tries)

    def _withdraw(self, lost: Any) -> None:
        """Take an actor out of the pool: before Ray 2.60 it stays in, dead or not."""
        idle = []
        while (actor := self._pool.pop_idle()) is not None:
            idle.append(actor)
        for actor in idle:
            if actor != lost:
                self._pool.push(actor)

    def stop(self) -> None:
        self._stopping = True  # no more: a signal's handler must not call Ray

    def _pass_the_stop_on(self) -> None:
        """Again and again: it is noted only once, and one that gets lost is made up for."""
        for hand in self._hands.values():
            if hand.job:
                hand.actor.stop.remote()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        with self._open:
            if not self._actors:
                return
            ray = import_ray()
            if kind is None:
                leaving = [hand.actor.leave.remote() for hand in self._hands.values()]
                ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVE_S)
            if not self._ours:  # else they end with Ray, and their kernels with them
                for actor in self._actors:
                    ray.kill(actor)
