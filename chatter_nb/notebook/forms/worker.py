"""The thread in which a form makes its runs."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Runs a function in a thread of its own, never two at the same time.

    The function must ask `cancelled()` from time to time, and end when it returns True.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[Callable[[], bool]], object]) -> bool:
        """Start `work(cancelled)`; return False, and start nothing, while other work runs."""
        with self._lock:
            if self.busy:
                return False
            self._cancelled = cancelled = threading.Event()
            self._thread = threading.Thread(target=work, args=(cancelled.is_set,), daemon=True)
            self._thread.start()
            return True

    def cancel(self) -> None:
        """Ask the running work to stop."""
        self._cancelled.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the running work; return if it has ended."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return not self.busy
