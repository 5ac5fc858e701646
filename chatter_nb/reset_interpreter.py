"""What a notebook can change of Python and of its process, and how that is put back.

Runs inside a warm kernel and is sent there as source text, like `reset`, which calls it. Each
`keep_…` looks at one concern in a fresh kernel and returns the function that restores it.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import faulthandler
import gc
import locale
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

Restore = Callable[[], None]


def keep_sys() -> Restore:
    skipped = {"modules", "path", "meta_path", "path_hooks", "path_importer_cache"}
    kept = {name: value for name, value in vars(sys).items() if name not in skipped}
    contents = {name: list(value) for name, value in kept.items() if type(value) is list}
    limit, interval = sys.getrecursionlimit(), sys.getswitchinterval()
    digits, trace, profile = sys.get_int_max_str_digits(), sys.gettrace(), sys.getprofile()
    hook = threading.excepthook

    def restore() -> None:
        for name in [name for name in vars(sys) if name not in kept and name not in skipped]:
            if not name.startswith("_"):  # tracebacklimit, last_traceback and with it the frames
                delattr(sys, name)
        vars(sys).update(kept)
        for name, content in contents.items():
            kept[name][:] = content
        sys.setrecursionlimit(limit)
        sys.setswitchinterval(interval)
        sys.set_int_max_str_digits(digits)
        if sys.gettrace() is not trace:
            sys.settrace(trace)
        if sys.getprofile() is not profile:
            sys.setprofile(profile)
        threading.excepthook = hook

    return restore


def keep_builtins() -> Restore:
    # ipykernel exchanges `input` around every request: ours is the one it will put back
    kept = {name: value for name, value in vars(builtins).items() if name not in ("input", "_")}

    def restore() -> None:
        for name in set(vars(builtins)) - set(kept) - {"input", "_"}:
            delattr(builtins, name)
        vars(builtins).update(kept)

    return restore


def keep_logging() -> Restore:
    root, kept = logging.getLogger(), {}
    names = (None, *logging.Logger.manager.loggerDict)
    for logger in map(logging.getLogger, names):
        lists = list(logger.handlers), list(logger.filters)
        kept[logger] = (logger.level, *lists, logger.propagate, logger.disabled)
    raises, made = logging.raiseExceptions, logging.getLoggerClass()

    def restore() -> None:
        logging.captureWarnings(False)
        logging.disable(logging.NOTSET)
        logging.raiseExceptions = raises
        logging.setLoggerClass(made)
        logging.setLogRecordFactory(logging.LogRecord)
        for logger, (level, handlers, filters, propagate, disabled) in kept.items():
            for handler in [h for h in logger.handlers if h not in handlers and logger is root]:
                handler.close()  # a file that the notebook logged to
            logger.setLevel(level)
            logger.handlers[:], logger.filters[:] = handlers, filters
            logger.propagate, logger.disabled = propagate, disabled

    return restore


def keep_signals() -> Restore:
    numbers = sorted(signal.valid_signals())
    handlers = {number: signal.getsignal(number) for number in numbers}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, []) if hasattr(signal, "SIGALRM") else None

    def restore() -> None:
        faulthandler.cancel_dump_traceback_later()
        if blocked is not None:
            for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
                signal.setitimer(timer, 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return restore


def keep_process() -> Restore:
    mask = os.umask(0o22)
    os.umask(mask)
    place, language = getattr(os, "sched_getaffinity", None), locale.setlocale(locale.LC_ALL)
    cores = place(0) if place else None
    collecting, thresholds, callbacks = gc.isenabled(), gc.get_threshold(), list(gc.callbacks)

    def restore() -> None:
        os.umask(mask)
        if place and place(0) != cores:
            os.sched_setaffinity(0, cores or ())
        if locale.setlocale(locale.LC_ALL) != language:
            locale.setlocale(locale.LC_ALL, language)
        (gc.enable if collecting else gc.disable)()
        gc.set_threshold(*thresholds)
        gc.set_debug(0)
        gc.unfreeze()
        gc.callbacks[:] = callbacks

    return restore


def keep_tasks() -> Restore:
    """Coroutines that the notebook left waiting on the kernel's event loop."""
    known = ("ipykernel", "tornado", "zmq", "jupyter", "IPython", "_chatter_nb")

    def restore() -> None:
        with contextlib.suppress(RuntimeError):  # no loop runs in very old kernels
            current = asyncio.current_task()
            for task in asyncio.all_tasks():
                frame = getattr(task.get_coro(), "cr_frame", None)
                module = frame.f_globals.get("__name__", "") if frame else ""
                if task is not current and not module.startswith(known):
                    task.cancel()

    return restore


KEEP = (keep_sys, keep_builtins, keep_logging, keep_signals, keep_process, keep_tasks)
