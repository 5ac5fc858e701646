"""The one thread of a form: one piece of work at a time, that can be asked to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Runs what it is given in a thread of its own, and nothing while it is at work.

    The work is told by `cancelled()` that it should stop, and stops itself: at its next chunk.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked_to_stop = threading.Event()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[Callable[[], bool]], object]) -> bool:
        """Begin `work(cancelled)`; False, and nothing done, if the last one is not through."""
        with self._lock:
            if self.busy:
                return False
            self._asked_to_stop = asked = threading.Event()
            self._thread = threading.Thread(target=work, args=(asked.is_set,), daemon=True)
            self._thread.start()
            return True

    def cancel(self) -> None:
        """Ask the work in hand to stop."""
        self._asked_to_stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the work in hand; whether it ended in time."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return not self.busy
