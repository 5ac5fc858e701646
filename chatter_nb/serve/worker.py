"""One thread a model, that makes one thing at a time; what waits stands in a bounded line.

Requests come before jobs, and a job lets those that wait have their turn after each of its chunks:
on this same thread, so that no two calls ever meet in a model.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Generic, TypeVar

from chatter_nb.base.errors import Cancelled

T = TypeVar("T")
Work = Callable[[Callable[[], bool]], T]

_FIRST_GUESS_S = 2.0
_MEMORY = 0.8  # how much of the earlier guess stays


class Full(Exception):
    """The line is as long as it may be; `wait_s` is when to come again."""

    def __init__(self, waiting: int, wait_s: float) -> None:
        super().__init__(f"{waiting} are waiting")
        self.waiting, self.wait_s = waiting, wait_s


class Task(Generic[T]):
    """A piece of work that was handed in. `result` holds what it made, or its error."""

    def __init__(self, work: Work[T]) -> None:
        self._work = work
        self._stop = threading.Event()
        self.result: Future[T] = Future()

    def cancel(self) -> None:
        """Ask it to stop: at once if it waits, else after the chunk in hand."""
        self._stop.set()
        self.result.cancel()

    def abandon(self) -> None:
        """Tell whoever waits that nothing comes any more, though the chunk in hand goes on."""
        self.cancel()
        with suppress(InvalidStateError):  # it has ended meanwhile
            self.result.set_exception(Cancelled("given up in the middle of a chunk"))

    def perform(self) -> None:
        if not self.result.set_running_or_notify_cancel():
            return
        with suppress(InvalidStateError):  # abandoned: nobody waits for it
            try:
                made = self._work(self._stop.is_set)
            except BaseException as error:
                self.result.set_exception(error)
            else:
                self.result.set_result(made)


class Worker:
    """A line of requests of at most `max_queue`, one of jobs of at most `max_jobs`, one thread."""

    def __init__(self, name: str, *, max_queue: int, max_jobs: int) -> None:
        self.name = name
        self._limits = {False: max_queue, True: max_jobs}
        self._requests: deque[Task[Any]] = deque()
        self._jobs: deque[Task[Any]] = deque()
        self._in_hand: list[Task[Any]] = []  # a job, and a request that it lets pass
        self._changed = threading.Condition()
        self._closed = False
        self._usual_s = _FIRST_GUESS_S
        # A daemon: a chunk that takes minutes must not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name=f"worker-{name}", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T], *, job: bool = False, accepted: bool = False) -> Task[T]:
        """Hand in `work(cancelled)`. Raises `Full` where the line is; not for what was accepted
        already, by an earlier server.
        """
        task = Task(work)
        with self._changed:
            line = self._jobs if job else self._requests
            waiting = [one for one in line if not one.result.cancelled()]
            if len(waiting) >= self._limits[job] and not accepted:
                raise Full(len(waiting), self._usual_s * len(waiting))
            line.clear()  # of those that gave up, too
            line.extend([*waiting, task])
            self._changed.notify()
        return task

    @property
    def waiting(self) -> int:
        """How many requests stand in line."""
        return self._length(self._requests)

    @property
    def jobs_waiting(self) -> int:
        """How many jobs do."""
        return self._length(self._jobs)

    def let_pass(self) -> None:
        """For a job between two chunks: the requests that wait, one after the other."""
        while not self._closed and (task := self._next(self._requests)):
            self._timed(task)

    def close(self) -> None:
        """Take nothing more, and ask what is in hand to stop; what waits is cancelled."""
        with self._changed:
            self._closed = True
            in_hand, waiting = list(self._in_hand), [*self._requests, *self._jobs]
            self._changed.notify()
        for task in (*waiting, *in_hand):
            task.cancel()

    def abandon(self) -> None:
        """Who waits for what is in hand waits no longer."""
        with self._changed:
            in_hand = list(self._in_hand)
        for task in in_hand:
            task.abandon()

    def join(self, timeout_s: float) -> bool:
        """Wait for the chunk in hand; whether it ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._requests or self._jobs)
                if self._closed:
                    return
            if task := self._next(self._requests):
                self._timed(task)
            elif task := self._next(self._jobs):
                self._perform(task)

    def _length(self, line: deque[Task[Any]]) -> int:
        with self._changed:
            return sum(not one.result.cancelled() for one in line)

    def _next(self, line: deque[Task[Any]]) -> Task[Any] | None:
        with self._changed:
            return line.popleft() if line else None

    def _timed(self, task: Task[Any]) -> None:
        start_s = time.perf_counter()
        self._perform(task)
        if not task.result.cancelled():
            took_s = time.perf_counter() - start_s
            self._usual_s = _MEMORY * self._usual_s + (1 - _MEMORY) * took_s

    def _perform(self, task: Task[Any]) -> None:
        with self._changed:
            self._in_hand.append(task)
        try:
            task.perform()
        finally:
            with self._changed:
                self._in_hand.remove(task)
