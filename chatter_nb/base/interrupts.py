"""Ctrl-C, or a kernel's interrupt: the first asks for a stop, the second stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(first: Callable[[], object]) -> Iterator[None]:
    """The first SIGINT calls `first`; the next raises `KeyboardInterrupt`, as usual.

    Signals are the main thread's: elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        first()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def stop_after(unit: str, cancelled: Callable[[], bool] | None) -> Iterator[Callable[[], bool]]:
    """What a run asks after each chunk: `cancelled`, or, without one, whether SIGINT has come."""
    if cancelled:
        yield cancelled
        return
    asked = threading.Event()

    def ask() -> None:
        asked.set()
        told = f"\nstopping after this {unit}; interrupt again to stop at once"
        print(told, file=sys.stderr, flush=True)

    with on_interrupt(ask):
        yield asked.is_set
