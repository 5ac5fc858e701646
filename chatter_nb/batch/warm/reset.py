"""What runs inside a warm kernel: makes it like a fresh one again. Sent there as source text.

It and the other `reset_….py` import nothing else of the package, so that they work in any IPython
kernel. `snapshot` looks at a fresh kernel once; `finish` after a notebook puts back what the
notebook changed, and answers with the reasons why the kernel must not be used again; `begin` before
the next one sets what depends on the caller: environment, folder, seeds, peaks.

It is no sandbox: what it cannot see (a library's own variables, memory written by C) stays.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from chatter_nb.batch.warm import reset_imports, reset_notes, reset_shell, reset_tables

# ipykernel sets these whatever the caller's are (zmqshell.init_environment).
_IPYKERNEL_SETS = ("TERM", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PAGER", "GIT_PAGER")
_TOLD = 3  # reasons
_THREADS_WAIT_S = 0.5
_HARMLESS_THREADS = ("tqdm.", "ipykernel.", "IPython.", "zmq.", "debugpy.", "_pydev", "pydevd")
_HARMLESS_CHILDREN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
_KERNELS_TASKS = ("ipykernel", "tornado", "zmq", "jupyter", "IPython", "_chatter_nb")

_own_variables: dict[str, str] = {}
_known_threads: set[threading.Thread] = set()
_known_children: set[Any] = set()
_restores: list[Callable[[], None]] = []
reasons: list[str] = []  # of the last `finish`


def snapshot(launch_environ: Mapping[str, str]) -> None:
    """Look at a fresh kernel, started with `launch_environ`: whatever runs there is its own."""
    _known_threads.update(threading.enumerate())
    _known_children.update(_children())
    _own_variables.update(
        (name, value)
        for name, value in os.environ.items()
        if name in _IPYKERNEL_SETS or launch_environ.get(name) != value
    )
    roots = {os.path.realpath(folder) for folder in sys.path if folder}
    reset_notes.fresh.update(modules=dict(sys.modules), roots=roots, cwd=os.getcwd())
    keepers = (keep_atexit, reset_imports.keep, reset_shell.keep_comms, reset_shell.keep_shell)
    # what is registered for the end runs first, while the names are there
    _restores[:] = [keep() for keep in keepers]


def begin(environ: Mapping[str, str], cwd: str) -> None:
    """Make the kernel what one started now, by this caller in this folder, would be."""
    own = dict(_own_variables)
    if environ.get("MPLBACKEND"):  # the kernel's own is only for callers that have none
        own.pop("MPLBACKEND", None)
    wanted = {**environ, **own}
    for name in {*os.environ, *_c_variables()} - wanted.keys():
        os.environ.pop(name, None)
        os.unsetenv(name)
    os.environ.update(wanted)
    os.chdir(cwd)
    reset_notes.fresh["cwd"] = os.getcwd()
    if hasattr(time, "tzset"):
        time.tzset()
    importlib.invalidate_caches()  # files may have come since
    random.seed()
    reset_shell.begin()
    reset_tables.begin()
    if sys.platform == "linux":  # the peak of the memory in use counts from here, as the run's own
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def finish() -> None:
    """Put back what the notebook changed; `reasons` then says why that is not enough, or nothing.

    A kernel with work still going on is left as it is: clearing the names would break that work,
    and a kernel that is shut down lets it end, as after every notebook on a fresh kernel.
    """
    faults = reset_shell.faults() or reset_tables.faults() or reset_imports.faults
    reasons[:] = faults or _threads(daemons=False)
    if reasons:
        return
    lost = reset_notes.put_back()
    for restore in _restores:
        restore()
    _cancel_tasks()
    reasons.extend(reset_tables.restore())
    for module in list(sys.modules.values()):
        getattr(module, "__dict__", {}).get("__warm_reset__", lambda: None)()
    reasons.extend(reason for change in lost for reason in change.reason())
    reasons[_TOLD:] = [f"and {len(reasons) - _TOLD} more like it"] if reasons[_TOLD:] else []
    del lost
    gc.collect()
    reasons.extend(_threads(daemons=True) + _processes())


def keep_atexit() -> Callable[[], None]:
    """Functions that cells register run at the notebook's end, libraries' at the kernel's."""
    module: Any = atexit
    register, own = atexit.register, []

    def recording(function: Any, *args: Any, **kwargs: Any) -> Any:
        makers = (str(sys._getframe(1).f_globals.get("__name__")), reset_notes.maker(function))
        if any(map(reset_notes.is_own, makers)):
            own.append((function, args, kwargs))
        return register(function, *args, **kwargs)

    module.register = recording

    def restore() -> None:
        while own:
            function, args, kwargs = own.pop()
            atexit.unregister(function)
            try:
                function(*args, **kwargs)
            except BaseException:  # as Python's own: told, and on with the next
                sys.excepthook(*sys.exc_info())

    return restore


def _c_variables() -> set[str]:
    """Of the environment that processes inherit; `os.putenv` writes there alone."""
    try:
        entries = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    except (ValueError, TypeError):  # it is kept elsewhere, as on a Mac and on Windows
        return set()
    return {os.fsdecode(one.partition(b"=")[0]) for one in iter(iter(entries).__next__, None)}


# -- what a notebook leaves at work --------------------------------------------------------------


def _threads(*, daemons: bool) -> list[str]:
    """Threads of the notebook that are still working half a second later."""
    end_s = time.monotonic() + _THREADS_WAIT_S
    while threads := [t for t in _new_threads() if daemons or not t.daemon]:
        if time.monotonic() > end_s:
            return [f"left a thread running: {thread.name}" for thread in threads]
        time.sleep(0.01)
    return []


def _new_threads() -> Iterator[threading.Thread]:
    frames = sys._current_frames()
    for thread in set(threading.enumerate()) - _known_threads:
        if isinstance(thread, threading._DummyThread) or reset_shell.is_of_magic(thread):
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


def _processes() -> list[str]:
    """Processes that the notebook started and that still run; helpers of Python's own may."""
    running = []
    for child in set(_children()) - _known_children:
        with contextlib.suppress(Exception):  # it may end while it is looked at
            helps = any(helper in " ".join(child.cmdline()) for helper in _HARMLESS_CHILDREN)
            if child.status() != "zombie" and not helps:
                running.append(f"left a process running: {child.name()}")
    return running


def _cancel_tasks() -> None:
    """Coroutines that the notebook left waiting on the kernel's event loop."""
    with contextlib.suppress(RuntimeError):  # no loop runs in very old kernels
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            frame = getattr(task.get_coro(), "cr_frame", None)
            module = frame.f_globals.get("__name__", "") if frame else ""
            if not module.startswith(_KERNELS_TASKS):
                task.cancel()
