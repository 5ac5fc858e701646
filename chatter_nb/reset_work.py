"""What a notebook leaves at work: threads and processes that go on after its last cell.

Runs inside a warm kernel and is sent there as source text, like `reset`, which calls it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

_THREADS_WAIT_S = 0.5
_HARMLESS_THREADS = ("tqdm.", "ipykernel.", "IPython.", "zmq.", "debugpy.", "_pydev", "pydevd")
_HARMLESS_CHILDREN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
_known_threads: set[threading.Thread] = set()
_known_children: set[Any] = set()


def snapshot() -> None:
    """Whatever runs in a fresh kernel is the kernel's."""
    _known_threads.update(threading.enumerate())
    _known_children.update(_children())


def busy(*, daemons: bool) -> list[str]:
    """Threads of the notebook that are still working half a second later."""
    end_s = time.monotonic() + _THREADS_WAIT_S
    while threads := [t for t in _new_threads() if daemons or not t.daemon]:
        if time.monotonic() > end_s:
            return [f"left a thread running: {thread.name}" for thread in threads]
        time.sleep(0.01)
    return []


def _new_threads() -> Iterator[threading.Thread]:
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread in _known_threads or isinstance(thread, threading._DummyThread):
            continue
        if type(thread).__module__.startswith(_HARMLESS_THREADS):
            continue
        frame = frames.get(thread.ident or 0)
        # a pool's worker that waits for work is in this very function, and does nothing
        idle = frame is not None and frame.f_code.co_name == "_worker"
        if not (idle and frame and frame.f_globals["__name__"] == "concurrent.futures.thread"):
            yield thread


def _children() -> list[Any]:
    try:
        import psutil  # ipykernel depends on it
    except ImportError:
        return []
    return psutil.Process().children()


def processes() -> list[str]:
    """Processes that the notebook started and that still run; helpers of Python's own may."""
    told = []
    for child in _children():
        with contextlib.suppress(Exception):  # it may end while it is looked at
            command = " ".join(child.cmdline())
            if child in _known_children or child.status() == "zombie":
                continue
            if not any(helper in command for helper in _HARMLESS_CHILDREN):
                told.append(f"left a process running: {child.name()}")
    return told
