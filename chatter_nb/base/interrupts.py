"""Ctrl-C or a kernel's interrupt (SIGINT): the first asks for a stop, the second stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(on_first: Callable[[], object]) -> Iterator[None]:
    """The first SIGINT calls `on_first`; the next raises `KeyboardInterrupt`, as usual.

    Signals are the main thread's: elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_interrupted = False

    def handle(number: int, frame: object) -> None:
        nonlocal is_interrupted
        if is_interrupted:
            raise KeyboardInterrupt
        is_interrupted = True
        on_first()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def stop_after(unit: str, cancelled: Callable[[], bool] | None) -> Iterator[Callable[[], bool]]:
    """The function that a run calls after each chunk (`unit`): True if the run must stop.

    It is `cancelled`; if that is None, it tells whether SIGINT has come.
    """
    if cancelled:
        yield cancelled
        return
    interrupted = threading.Event()

    def on_first() -> None:
        interrupted.set()
        message = f"\nstopping after this {unit}; interrupt again to stop at once"
        print(message, file=sys.stderr, flush=True)

    with on_interrupt(on_first):
        yield interrupted.is_set
