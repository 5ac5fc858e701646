"""Writes behind the caller: in order, bounded, their errors told, no thread left."""

import os
import signal
import threading
from functools import partial

import pytest

from chatter_nb.base.write_behind import WriteBehind

WAIT_S = 60


class Gate:
    """A write that waits until it may go on; `open_soon` opens the gate from another thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.is_done = False

    def write(self) -> None:
        assert self._event.wait(WAIT_S)
        self.is_done = True

    def open(self) -> None:
        self._event.set()

    def open_soon(self) -> None:
        threading.Timer(0.2, self.open).start()


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    threads = threading.active_count()
    yield
    for timer in [one for one in threading.enumerate() if isinstance(one, threading.Timer)]:
        timer.join()
    assert threading.active_count() == threads


def fails() -> None:
    raise OSError("the disk is gone")


def test_writes_go_on_in_order_behind_the_caller():
    behind, gate, written = WriteBehind(limit_bytes=100), Gate(), []
    behind.add(gate.write, 10)
    for number in range(9):
        behind.add(partial(written.append, number), 10)
    assert written == []
    gate.open()
    behind.finish()
    assert written == list(range(9))
    behind.add(partial(written.append, 9), 10)  # it starts again
    behind.finish()
    assert written == list(range(10))


@pytest.mark.parametrize("limit_bytes", [0, 99])
def test_a_write_waits_for_room(limit_bytes):
    """Two of 50 bytes are too many, and of two writes one is always allowed, however large."""
    behind, gate = WriteBehind(limit_bytes), Gate()
    behind.add(gate.write, 50)
    gate.open_soon()
    behind.add(lambda: None, 50)
    assert gate.is_done
    behind.add(lambda: None, 1000)
    behind.finish()


@pytest.mark.parametrize("size_bytes", [10, 0])
def test_an_error_is_raised_once_and_drops_the_rest(size_bytes):
    """At the next `add` that waits, or at `finish`, also of a write that counts no bytes."""
    behind, gate, written = WriteBehind(limit_bytes=20), Gate(), []
    behind.add(gate.write, 10)
    behind.add(fails, size_bytes)
    gate.open_soon()
    with pytest.raises(OSError, match="the disk is gone"):
        behind.finish()
    behind.finish()
    behind.add(fails, 20)
    with pytest.raises(OSError, match="the disk is gone"):
        behind.add(partial(written.append, 0), 20)
    behind.finish()
    assert written == []


def test_abort_drops_what_waits_and_ends_what_is_in_progress():
    behind, gate, written = WriteBehind(limit_bytes=100), Gate(), []
    behind.add(gate.write, 10)
    behind.add(partial(written.append, 0), 10)
    gate.open_soon()
    behind.abort()
    assert (gate.is_done, written) == (True, [])


@pytest.mark.skipif(os.name != "posix", reason="needs a signal that wakes a waiting thread")
def test_an_interrupt_while_it_waits_loses_nothing():
    behind, starts, gate, written = WriteBehind(limit_bytes=100), threading.Event(), Gate(), []
    main = threading.get_ident()

    def interrupt() -> None:
        assert starts.wait(WAIT_S)
        signal.pthread_kill(main, signal.SIGINT)

    def finish() -> None:
        starts.set()
        behind.finish()

    behind.add(interrupt, 10)
    behind.add(gate.write, 10)
    behind.add(partial(written.append, 0), 10)
    with pytest.raises(KeyboardInterrupt):
        finish()
    gate.open()
    behind.finish()
    assert written == [0]
