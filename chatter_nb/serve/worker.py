"""A worker: a thread for the calls of one model, and two bounded lines of tasks that wait for it.

Requests come before jobs. A job lets waiting requests pass after each of its chunks, on the same
thread, so that two calls never meet in a model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Generic, TypeVar

from chatter_nb.base.errors import Cancelled
from chatter_nb.serve.errors import Problem

T = TypeVar("T")
Work = Callable[[Callable[[], bool]], T]  # is given `cancelled()`, and returns its result

_FIRST_GUESS_S = 2.0
_MEMORY = 0.8  # the share of the earlier guess in the next


class Task(Generic[T]):
    """Work that was handed to a worker. `result` will hold what it returns, or its error."""

    def __init__(self, work: Work[T], *, is_job: bool) -> None:
        self._work, self.is_job = work, is_job
        self._stop = threading.Event()
        self.result: Future[T] = Future()

    def cancel(self) -> None:
        """Stop the task: at once if it waits, else after the chunk in hand."""
        self._stop.set()
        self.result.cancel()

    def abandon(self) -> None:
        """End the task with `Cancelled`, though the chunk in hand goes on."""
        self.cancel()
        with suppress(InvalidStateError):  # it has ended meanwhile
            self.result.set_exception(Cancelled("given up in the middle of a chunk"))

    def perform(self) -> None:
        """Do the work on this thread, unless the task was cancelled."""
        if not self.result.set_running_or_notify_cancel():
            return
        with suppress(InvalidStateError):  # abandoned: nobody waits for it
            try:
                result = self._work(self._stop.is_set)
            except BaseException as error:
                self.result.set_exception(error)
            else:
                self.result.set_result(result)


class Worker:
    """A thread with bounded lines of requests and jobs; cancelled tasks do not count."""

    def __init__(self, name: str, max_queue: int, max_jobs: int) -> None:
        self._max_queue, self._max_jobs = max_queue, max_jobs
        self._line: list[Task[Any]] = []  # requests and jobs
        self._in_hand: list[Task[Any]] = []  # a job, and a request that it lets pass
        self._changed = threading.Condition()
        self._closed = False
        self._usual_s = _FIRST_GUESS_S
        # A daemon: a chunk that takes minutes must not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name=f"worker-{name}", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T], *, job: bool = False, accepted: bool = False) -> Task[T]:
        """Put `work` at the end of its line. Raises `Problem` 429 unless it was `accepted`."""
        task = Task(work, is_job=job)
        with self._changed:
            self._line = [each for each in self._line if not each.result.cancelled()]
            waiting = self.waiting(jobs=job)
            if waiting >= (self._max_jobs if job else self._max_queue) and not accepted:
                wait_s = max(1, round(self._usual_s * waiting))
                message = f"{waiting} requests are waiting already: try again in {wait_s} s"
                raise Problem(429, message, headers={"Retry-After": str(wait_s)})
            self._line.append(task)
            self._changed.notify()
        return task

    def waiting(self, *, jobs: bool = False) -> int:
        """How many requests, or jobs, wait."""
        with self._changed:
            line = [task for task in self._line if not task.result.cancelled()]
        return sum(task.is_job == jobs for task in line)

    def let_pass(self) -> None:
        """Perform the waiting requests; a job calls this between two chunks."""
        while not self._closed and (task := self._next(jobs=False)):
            self._perform(task)

    def close(self) -> None:
        """Refuse new work, cancel what waits, and ask what is in hand to stop."""
        with self._changed:
            self._closed = True
            tasks = [*self._line, *self._in_hand]
            self._changed.notify()
        for task in tasks:
            task.cancel()

    def abandon(self) -> None:
        """End the tasks in hand for those who wait for them."""
        with self._changed:
            in_hand = list(self._in_hand)
        for task in in_hand:
            task.abandon()

    def join(self, timeout_s: float) -> bool:
        """Wait for the chunk in hand; returns whether it ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._line)
                if self._closed:
                    return
            if task := self._next(jobs=True):
                self._perform(task)

    def _next(self, *, jobs: bool) -> Task[Any] | None:
        """Take the first request out of the line; where none waits, the first of the `jobs`."""
        with self._changed:
            candidates = [task for task in self._line if jobs or not task.is_job]
            first = min(candidates, key=lambda task: task.is_job, default=None)
            if first:
                self._line.remove(first)
        return first

    def _perform(self, task: Task[Any]) -> None:
        start_s = time.perf_counter()
        with self._changed:
            self._in_hand.append(task)
        try:
            task.perform()
        finally:
            with self._changed:
                self._in_hand.remove(task)
        if not task.is_job and not task.result.cancelled():
            took_s = time.perf_counter() - start_s
            self._usual_s = _MEMORY * self._usual_s + (1 - _MEMORY) * took_s
