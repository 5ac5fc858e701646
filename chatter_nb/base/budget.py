"""A limit on the planning of a text, in seconds of CPU time by its length, and a way to stop it.

Every step of planning is meant to be linear in the text; the limit is for a step that is not. Each
step calls `ask`, which raises when the time is spent or when the run was cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from chatter_nb.base.errors import Cancelled, InputError

# A book of a million characters is planned in 5 s on a 2-core server: 40 times that for slow
# machines and odd texts, and half a minute for whatever is short.
BASE_S = 30.0
S_PER_MILLION_CHARS = 200.0

_ends_s: ContextVar[tuple[float, int] | None] = ContextVar("ends_s", default=None)
_stopped: ContextVar[Callable[[], bool] | None] = ContextVar("stopped", default=None)


@contextmanager
def budget(chars: int) -> Iterator[None]:
    """Limit the CPU time of this thread inside the block, for a text of `chars` characters."""
    ends_s = time.thread_time() + BASE_S + S_PER_MILLION_CHARS * chars / 1e6
    token = _ends_s.set((ends_s, chars))
    try:
        yield
    finally:
        _ends_s.reset(token)


@contextmanager
def stopping(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Inside the block planning stops at its next step once `cancelled()` is true."""
    token = _stopped.set(cancelled)
    try:
        yield
    finally:
        _stopped.reset(token)


def ask(step: str) -> None:
    """Raise if planning must stop: `InputError`, which names `step`, once the time is spent;
    `Cancelled` once the run was stopped.
    """
    if (stopped := _stopped.get()) and stopped():
        raise Cancelled("stopped while its text was planned")
    bounds = _ends_s.get()
    if bounds and time.thread_time() > bounds[0]:
        allowed_s = BASE_S + S_PER_MILLION_CHARS * bounds[1] / 1e6
        raise InputError(
            f"planning this text of {bounds[1]:,} characters took more than {allowed_s:,.0f} s of "
            f"work, the last of it on {step}: divide the text, or simplify what is odd in it"
        )
