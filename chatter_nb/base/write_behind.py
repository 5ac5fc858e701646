"""Writes in a thread of their own, in order, while the caller goes on with its work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class WriteBehind:
    """Carries out writes in one thread, in the order of `add`, and passes on the first error.

    At most `limit_bytes` are unfinished, or one write: a slow disk slows the caller down, and does
    not fill the memory. The thread starts with the first write and ends with `finish` or `abort`;
    afterwards the object can be used again.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._executor: ThreadPoolExecutor | None = None
        self._unfinished: deque[tuple[Future[object], int]] = deque()
        self._bytes = 0

    def add(self, write: Callable[[], object], size_bytes: int) -> None:
        """Hand over a write of `size_bytes`; wait while there is no room for it.

        Raises the error of an earlier write: then the writes after it are dropped.
        """
        self._wait(self._limit_bytes - size_bytes)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "write-behind")
        self._unfinished.append((self._executor.submit(write), size_bytes))
        self._bytes += size_bytes

    def finish(self) -> None:
        """Wait for all writes. Raises the error of a write: then the writes after it are dropped.

        An interrupt (`KeyboardInterrupt`) drops nothing: `finish` can be called again.
        """
        self._wait(-1)
        self.abort()

    def abort(self) -> None:
        """Drop the writes that wait. The write in progress ends first, and its error is lost."""
        executor, self._executor = self._executor, None
        self._unfinished.clear()
        self._bytes = 0
        if executor:
            executor.shutdown(cancel_futures=True)

    def _wait(self, most_bytes: int) -> None:
        """Wait until at most `most_bytes` are unfinished; take note of what is finished."""
        while self._unfinished and (self._bytes > most_bytes or self._unfinished[0][0].done()):
            write, size_bytes = self._unfinished[0]
            if error := write.exception():
                self.abort()
                raise error
            self._unfinished.popleft()
            self._bytes -= size_bytes
