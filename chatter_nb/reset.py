"""What runs inside a warm kernel: makes it like a fresh one again. Sent there as source text.

It imports nothing of the package, so that it works in any IPython kernel. `snapshot` looks at a
fresh kernel once; `finish` after a notebook puts back what the notebook changed, and answers with
the reasons why the kernel must not be used again; `begin` before the next one sets what depends
on the caller: environment, folder, seeds, peaks. Each `keep_…` looks at one concern and returns
the function that restores it; those of Python, IPython and libraries are in modules of their own
(`reset_interpreter`, `reset_shell`, `reset_libraries`), and what goes on by itself in `reset_work`.

It is no sandbox: what it cannot see (a library's own variables, memory written by C) stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import linecache
import os
import random
import signal
import sys
import sysconfig
import time
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Restore = Callable[[], None]

# ipykernel sets these whatever the caller's are (zmqshell.init_environment).
_IPYKERNEL_SETS = ("TERM", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PAGER", "GIT_PAGER")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_restores: list[Restore] = []
_baseline: dict[str, Any] = {}  # what several concerns compare with
_parts: dict[str, Any] = {}  # the other modules by name
reasons: list[str] = []  # of the last `finish`


def snapshot(parts: Mapping[str, Any], launch_environ: Mapping[str, str], parent: int) -> None:
    """Look at a fresh kernel: started by `parent` with `launch_environ`. `parts` are the modules
    named above."""
    _parts.update(parts)
    _parts["reset_work"].snapshot()
    _die_with(parent)
    _baseline["cwd"] = os.getcwd()
    _baseline["modules"] = dict(sys.modules)
    _baseline["own_variables"] = {
        name: value
        for name, value in os.environ.items()
        if name in _IPYKERNEL_SETS or launch_environ.get(name) != value
    }
    others = ("reset_interpreter", "reset_libraries", "reset_shell")
    keepers = [keep for name in others for keep in parts[name].KEEP]
    # what is registered for the end runs first, while the names are there
    _restores[:] = [keep() for keep in (keep_atexit, *keepers, *_KEEP)]


def begin(environ: Mapping[str, str], cwd: str) -> None:
    """Make the kernel what one started now, by this caller in this folder, would be."""
    own = dict(_baseline["own_variables"])
    if environ.get("MPLBACKEND"):  # the kernel's own is only for callers that have none
        own.pop("MPLBACKEND", None)
    wanted = {**environ, **own}
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)
    os.chdir(cwd)
    _baseline["cwd"] = os.getcwd()
    if hasattr(time, "tzset"):
        time.tzset()
    importlib.invalidate_caches()  # files may have come since
    random.seed()
    _parts["reset_shell"].begin()
    _parts["reset_libraries"].begin()
    _forget_peak()


def finish() -> None:
    """Put back what the notebook changed; `reasons` then says why that is not enough, or nothing.

    A kernel with work still going on is left as it is: clearing the names would break that work,
    and a kernel that is shut down lets it end, as after every notebook on a fresh kernel.
    """
    shell, libraries, work = (_parts[f"reset_{name}"] for name in ("shell", "libraries", "work"))
    reasons[:] = shell.faults() or libraries.faults() or work.busy(daemons=False)
    if reasons:
        return
    reasons.extend(_undo_patches())
    for restore in _restores:
        restore()
    gc.collect()
    reasons.extend(work.busy(daemons=True) + work.processes())


# -- whose code ----------------------------------------------------------------------------------

_LIBRARY_FOLDERS = tuple(
    os.path.realpath(path) + os.sep
    for name, path in sysconfig.get_paths().items()
    if name in ("stdlib", "platstdlib", "purelib", "platlib")
)


@functools.cache
def _real(path: str) -> str:
    return os.path.realpath(path)


def _in_library(path: str) -> bool:
    return (_real(path) + os.sep).startswith(_LIBRARY_FOLDERS)


def _of_notebook(value: Any) -> bool:
    """Whether a function, a class or an object's class was defined by the notebook."""
    module = getattr(value, "__module__", None)
    return _is_own(module if isinstance(module, str) else type(value).__module__)


def _is_own(name: str) -> bool:
    """Whether a module is the cells' or from a folder that is no library's.

    A library's folder is one of Python's own, or was on the path of the fresh kernel. `chatter_nb`
    stays wherever it is, with its models.
    """
    name = name.partition(".")[0]
    if name in ("__main__", "chatter_nb") or name in _baseline["modules"]:
        return name == "__main__"
    folder = _container(sys.modules.get(name))
    if folder is None or _in_library(folder):
        return False
    return folder == _baseline["cwd"] or folder not in _baseline["roots"]


def _own_modules() -> set[str]:
    """Top-level modules of the notebook's own: one in another folder must not get them."""
    return {name for name in list(sys.modules) if "." not in name and _is_own(name)}


def _container(module: Any) -> str | None:
    """The folder that a top-level module was found in; None for one that has no file."""
    with contextlib.suppress(Exception):  # anything may be in sys.modules
        if file := getattr(module, "__file__", None):
            return _real(os.path.dirname(os.path.dirname(file) if _is_package(module) else file))
        if paths := list(getattr(module, "__path__", ())):
            return _real(os.path.dirname(paths[0]))
    return None


def _is_package(module: Any) -> bool:
    return hasattr(module, "__path__")


def _undo_patches() -> list[str]:
    """Put back functions and classes that the notebook replaced in modules by its own.

    What they were is known for the modules of a fresh kernel only: reasons for the others.
    """
    own, unknown = {*_own_modules(), "__mp_main__"}, []  # multiprocessing's name for __main__
    for name, module in list(sys.modules.items()):
        if type(module) is not types.ModuleType or name.partition(".")[0] in own:
            continue
        for attribute, value in list(vars(module).items()):
            if type(value) not in (types.FunctionType, type):
                continue
            if getattr(value, "__module__", "") not in own:
                continue
            if attribute in _baseline["attributes"].get(name, {}):
                setattr(module, attribute, _baseline["attributes"][name][attribute])
            elif name not in _baseline["modules"]:
                unknown.append(f"put a function of its own into {name}: {attribute}")
    return unknown


# -- concerns, in the order of restoring ---------------------------------------------------------


def keep_attributes() -> Restore:
    """Functions and classes of the modules that a fresh kernel has, for `_undo_patches`."""
    kinds = (types.FunctionType, types.BuiltinFunctionType, type)
    _baseline["attributes"] = {
        name: {key: value for key, value in vars(module).items() if isinstance(value, kinds)}
        for name, module in sys.modules.items()
        if type(module) is types.ModuleType
    }
    return lambda: None


def keep_atexit() -> Restore:
    """Functions that cells register run at the notebook's end, libraries' at the kernel's."""
    import atexit

    module: Any = atexit
    register, own = atexit.register, []

    def recording(function: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_own(str(sys._getframe(1).f_globals.get("__name__"))) or _of_notebook(function):
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
        module.register = recording

    return restore


def keep_imports() -> Restore:
    """The search path, and the modules found in folders of the notebook's own."""
    path: list[Any] = sys.path
    finders: list[Any] = sys.meta_path
    hooks: list[Any] = sys.path_hooks
    contents = [list(path), list(finders), list(hooks)]
    _baseline["roots"] = {_real(folder) for folder in sys.path if folder}

    def restore() -> None:
        # libraries extend these too, and need it: only what is the notebook's own goes
        extra = [p for p in sys.path if isinstance(p, str) and p and _in_library(p)]
        path[:] = [*contents[0], *(p for p in extra if p not in contents[0])]
        finders[:] = _without_own(sys.meta_path, contents[1])
        hooks[:] = _without_own(sys.path_hooks, contents[2])
        sys.path, sys.meta_path, sys.path_hooks = path, finders, hooks
        _forget_modules()
        sys.path_importer_cache.clear()
        linecache.clearcache()

    return restore


def _without_own(now: Sequence[Any], base: Sequence[Any]) -> list[Any]:
    kept = [item for item in now if item in base or not _of_notebook(item)]
    return [*(item for item in base if item not in kept), *kept]


def _forget_modules() -> None:
    own = _own_modules()
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if (top in own and top != "__main__") or module is None:
            del sys.modules[name]
    for name, module in _baseline["modules"].items():
        if sys.modules.get(name) is not module:
            sys.modules[name] = module


def _holds(filters: Sequence[Any], one: Any) -> bool:
    """That very filter: one for a while, or a notebook's own, may say the same as a library's."""
    return any(kept is one for kept in filters)


def keep_warnings() -> Restore:
    """Filters: those that libraries set as they are imported stay, as the libraries do."""
    kept, show, form = list(warnings.filters), warnings.showwarning, warnings.formatwarning
    of_libraries: list[Any] = []
    displaced: list[Any] = []  # of them, by a notebook's that says the same

    def recording(function: Any) -> Any:
        def record(*args: Any, **kwargs: Any) -> None:
            before = list(warnings.filters)
            function(*args, **kwargs)
            if _is_own(str(sys._getframe(1).f_globals.get("__name__"))):
                gone = [f for f in before if not _holds(warnings.filters, f)]
                displaced.extend(f for f in gone if _holds(of_libraries, f))
            else:
                of_libraries.extend(f for f in warnings.filters if not _holds(before, f))

        return record

    wrapped = recording(warnings.filterwarnings), recording(warnings.simplefilter)

    def restore() -> None:
        now = [*warnings.filters, *displaced]
        filters = [f for f in now if _holds(of_libraries, f) and f not in kept]
        of_libraries[:], displaced[:] = filters, ()  # the others were for a while only
        warnings.filters[:] = [*filters, *kept]  # type: ignore[index]
        warnings.filterwarnings, warnings.simplefilter = wrapped
        warnings.showwarning, warnings.formatwarning = show, form
        # what was shown once is shown again; the call has had two names
        getattr(
            warnings, "_filters_mutated", getattr(warnings, "_filters_mutated_lock_held", int)
        )()

    warnings.filterwarnings, warnings.simplefilter = wrapped
    return restore


_KEEP = (keep_attributes, keep_warnings, keep_imports)


# -- the process ---------------------------------------------------------------------------------


def _die_with(parent: int) -> None:
    """On Linux: end at once when the runner does, even by `kill -9`. ipykernel's own poller looks
    once a second, and does not get to it during a long call into C."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def _forget_peak() -> None:
    """On Linux: the peak of the memory in use counts from here, so that it is the run's own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")
