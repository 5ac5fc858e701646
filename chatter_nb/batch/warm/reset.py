"""Makes a warm kernel like a fresh one. The kernel gets this module as source text.

The modules `reset….py` import nothing else of the package, so that they work in any IPython kernel.
`snapshot` notes the state of a fresh kernel, once. `finish` undoes what a notebook changed, and
sets `reasons` if the kernel must not be used again. `begin` sets what depends on the caller of the
next notebook: environment, folder, seeds, peaks.

It is no sandbox: variables that a notebook sets in a library and memory that C code writes stay.
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

from . import reset_imports, reset_libraries, reset_notes, reset_shell, reset_tables

# ipykernel sets these whatever values the caller has (zmqshell.init_environment).
_IPYKERNEL_SETS = ("TERM", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PAGER", "GIT_PAGER")
_REASONS = 3  # that are reported; of the others only the number is
_THREADS_WAIT_S = 0.5
_HARMLESS_THREADS = ("tqdm.", "ipykernel.", "IPython.", "zmq.", "debugpy.", "_pydev", "pydevd")
_HARMLESS_CHILDREN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
_KERNELS_TASKS = ("ipykernel", "tornado", "zmq", "jupyter", "IPython", "_warm_kernel")

_kernel_variables: dict[str, str] = {}  # that the kernel sets itself
_known_threads: set[threading.Thread] = set()
_known_children: set[Any] = set()
_restores: list[Callable[[], None]] = []
reasons: list[str] = []  # of the last `finish`


def snapshot(launch_environ: Mapping[str, str]) -> None:
    """Note the state of a fresh kernel, which was started with `launch_environ`."""
    reset_shell.drop_no_output()
    _known_threads.update(threading.enumerate())
    _known_children.update(_children())
    _kernel_variables.update(
        (name, value)
        for name, value in os.environ.items()
        if name in _IPYKERNEL_SETS or launch_environ.get(name) != value
    )
    roots = {os.path.realpath(folder) for folder in sys.path if folder}
    reset_notes.fresh.update(modules=dict(sys.modules), roots=roots, cwd=os.getcwd())
    keepers = (keep_atexit, reset_imports.keep, reset_shell.keep_comms, reset_shell.keep_shell)
    # `atexit` functions run first, while the names exist
    _restores[:] = [keep() for keep in keepers]


def begin(environ: Mapping[str, str], cwd: str) -> None:
    """Make the kernel like one that is started now, with this environment and in this folder."""
    variables = {**environ, **_kernel_variables}
    if environ.get("MPLBACKEND"):  # the kernel's value is for callers without a value
        variables["MPLBACKEND"] = environ["MPLBACKEND"]
    for name in {*os.environ, *_c_variables()} - variables.keys():
        os.environ.pop(name, None)
        os.unsetenv(name)
    os.environ.update(variables)
    os.chdir(cwd)
    reset_notes.fresh["cwd"] = os.getcwd()
    if hasattr(time, "tzset"):
        time.tzset()
    importlib.invalidate_caches()  # there may be new files
    random.seed()
    reset_shell.begin()
    reset_libraries.begin()
    if sys.platform == "linux":  # the peak of memory is measured from here
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def finish() -> None:
    """Undo what the notebook changed. Afterwards `reasons` contains why the kernel must be ended.

    A kernel in which threads of the notebook run is left as it is: clearing the names would break
    their work, and a kernel that is shut down lets the work end, as in every fresh kernel.
    """
    faults = reset_shell.faults() or reset_libraries.faults() or reset_tables.faults()
    reasons[:] = faults or reset_imports.faults or _threads(daemons=False)
    if reasons:
        return
    lost = reset_notes.put_back()
    for restore in _restores:
        restore()
    _cancel_tasks()
    reset_libraries.restore()
    reasons.extend(reset_tables.restore())
    for module in list(sys.modules.values()):
        getattr(module, "__dict__", {}).get("__warm_reset__", lambda: None)()
    reasons.extend(reason for change in lost for reason in change.reason())
    if len(reasons) > _REASONS:
        reasons[_REASONS:] = [f"and {len(reasons) - _REASONS} more like it"]
    del lost
    gc.collect()
    reasons.extend(_threads(daemons=True) + _processes())


def keep_atexit() -> Callable[[], None]:
    """Let `atexit` functions of cells run at the end of the notebook, not of the kernel."""
    module: Any = atexit
    register, registered = atexit.register, []

    def recording(function: Any, *args: Any, **kwargs: Any) -> Any:
        makers = (str(sys._getframe(1).f_globals.get("__name__")), reset_notes.maker(function))
        if any(map(reset_notes.is_own, makers)):
            registered.append((function, args, kwargs))
        return register(function, *args, **kwargs)

    module.register = recording

    def restore() -> None:
        while registered:
            function, args, kwargs = registered.pop()
            atexit.unregister(function)
            try:
                function(*args, **kwargs)
            except BaseException:  # like Python: show the error, call the next function
                sys.excepthook(*sys.exc_info())

    return restore


def _c_variables() -> set[str]:
    """The names in the environment of the process; `os.putenv` changes this one alone."""
    try:
        entries = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    except (ValueError, TypeError):  # Macs and Windows have another variable for it
        return set()
    return {os.fsdecode(entry.partition(b"=")[0]) for entry in iter(iter(entries).__next__, None)}


# -- threads, processes and tasks that a notebook leaves -----------------------------------------


def _threads(*, daemons: bool) -> list[str]:
    """Reasons: threads of the notebook that are still working after half a second."""
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
        # a pool's worker that waits for work is in this function
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
    """Reasons: processes that the notebook started and that still run, but for Python's helpers."""
    running = []
    for child in set(_children()) - _known_children:
        with contextlib.suppress(Exception):  # it may end meanwhile
            helps = any(helper in " ".join(child.cmdline()) for helper in _HARMLESS_CHILDREN)
            if child.status() != "zombie" and not helps:
                running.append(f"left a process running: {child.name()}")
    return running


def _cancel_tasks() -> None:
    """Cancel the notebook's tasks on the kernel's event loop."""
    with contextlib.suppress(RuntimeError):  # no loop runs in very old kernels
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            frame = getattr(task.get_coro(), "cr_frame", None)
            module = frame.f_globals.get("__name__", "") if frame else ""
            if not module.startswith(_KERNELS_TASKS):
                task.cancel()
