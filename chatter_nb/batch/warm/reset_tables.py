"""A table of state that is kept in C code or in objects: noted after an import, and written back.

Runs inside a warm kernel, like `reset`. `_ROWS` lists the state that can be written back. `_ONCE`
lists functions that a process can call only once: after a call the kernel must be ended. Both are
for modules that are loaded. What an import changes is added to the noted state.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import sys
from collections.abc import Callable, Collection
from operator import attrgetter, methodcaller
from typing import Any, NamedTuple

_noted: dict[_Row, Any] = {}
_recorded: set[str] = set()
_called: list[str] = []  # functions of `_ONCE`, as reasons


class _Row(NamedTuple):
    """A piece of state: `read(module)` returns it, `write(module, value)` sets it."""

    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]


def _values(module: str, *paths: str) -> list[_Row]:
    """Variables. A dict or list is changed in place, since other code may hold it."""

    def write(path: str, m: Any, value: Any) -> None:
        owner, _, name = path.rpartition(".")
        if isinstance(value, list | dict):
            refill(attrgetter(path)(m), value)
        else:
            setattr(attrgetter(owner)(m) if owner else m, name, value)

    def read(path: str, m: Any) -> Any:
        return copied(attrgetter(path)(m))

    return [_Row(module, functools.partial(read, p), functools.partial(write, p)) for p in paths]


def copied(value: Any) -> Any:
    """A copy of a list, dict or set; another value itself."""
    return value.copy() if isinstance(value, list | dict | set) else value


def refill(held: Any, content: Any) -> None:
    """Replace the content of a list, dict or set in place, since other code may hold it."""
    held.clear()
    (held.extend if isinstance(held, list) else held.update)(content)


def _calls(module: str, get: str, set_: str) -> _Row:
    """State that a function returns and another function sets."""
    return _Row(module, lambda m: getattr(m, get)(), lambda m, value: getattr(m, set_)(value))


def _pairs(module: str, *getters: str) -> list[_Row]:
    """State with functions that are called `get…` and `set…`."""
    return [_calls(module, get, get.replace("get", "set", 1)) for get in getters]


def _switch(module: str, is_on: str) -> _Row:
    """State that the functions `enable` and `disable` set."""
    return _Row(module, methodcaller(is_on), lambda m, on: (m.enable if on else m.disable)())


def _all_names(module: str, *but: str) -> _Row:
    def read(m: Any) -> dict[str, Any]:
        return {name: value for name, value in vars(m).items() if name not in but}

    def write(m: Any, value: dict[str, Any]) -> None:
        for name in [n for n in read(m) if n not in value and not n.startswith("_")]:
            delattr(m, name)
        vars(m).update(value)

    return _Row(module, read, write)


def _loggers(logging: Any) -> dict[str, Any]:
    return {
        name: (log.level, [*log.handlers], [*log.filters], log.propagate, log.disabled)
        for name, log in {"": logging.root, **logging.root.manager.loggerDict}.items()
        if isinstance(log, logging.Logger)  # others are place holders
    }


def _write_loggers(logging: Any, value: dict[str, Any]) -> None:
    for name in _loggers(logging):  # a notebook's own loggers become like new loggers
        log = logging.getLogger(name)
        state = value.get(name, (0, [], [], True, False))
        level, handlers, filters, log.propagate, log.disabled = state
        for handler in [h for h in log.handlers if h not in handlers]:
            handler.close()  # it may hold a file
        log.setLevel(level)
        log.handlers[:], log.filters[:] = handlers, filters


def _write_loop(asyncio: Any, value: dict[str, Any]) -> None:
    """Restore the settings of the loop that runs the cells; remove the notebook's attributes."""
    loop = asyncio.get_running_loop()
    for name in vars(loop).keys() - value.keys():
        delattr(loop, name)
    loop.set_debug(value["_debug"])
    for name in ("_exception_handler", "_task_factory", "slow_callback_duration"):
        setattr(loop, name, value[name])


def _write_mime_types(mimetypes: Any, value: Any) -> None:
    """Restore the types. If no import has read the files, they are read when they are needed."""
    if value is None:
        mimetypes._db, mimetypes.inited = None, False
    else:
        vars(mimetypes._db).update(copy.deepcopy(value))
        mimetypes.types_map = mimetypes._db.types_map[True]


_ROWS = (
    # not `input`: ipykernel replaces it during a request, and restores it afterwards
    _all_names("builtins", "input", "_"),
    _all_names("sys", "modules", "path", "meta_path", "path_hooks", "path_importer_cache"),
    *_values("sys", "argv", "warnoptions"),
    *_pairs("sys", "getrecursionlimit", "getswitchinterval", "gettrace", "getprofile"),
    *_pairs("sys", "get_int_max_str_digits"),
    *_values("threading", "_trace_hook", "_profile_hook"),
    _calls("threading", "stack_size", "stack_size"),
    _Row("logging", _loggers, _write_loggers),
    *_values("logging", "root.manager.disable", "raiseExceptions", "lastResort"),
    *_values("logging", "_warnings_showwarning", "_levelToName", "_nameToLevel"),
    _Row("signal", lambda m: [m.getitimer(n)[0] > 0 for n in range(3)],
         lambda m, v: [m.setitimer(n, 0) for n in range(3)]),
    _Row("signal", lambda m: m.pthread_sigmask(m.SIG_BLOCK, []),
         lambda m, v: m.pthread_sigmask(m.SIG_SETMASK, v)),
    _Row("signal", lambda m: {n: h for n in m.valid_signals() if (h := m.getsignal(n)) is not None},
         lambda m, v: [m.signal(n, h) for n, h in v.items() if m.getsignal(n) is not h]),
    _switch("faulthandler", "is_enabled"),
    _Row("tracemalloc", lambda m: m.is_tracing(), lambda m, v: m.stop()),
    _Row("os", lambda m: (mask := m.umask(0o22), m.umask(mask))[0], lambda m, v: m.umask(v)),
    _Row("os", lambda m: m.sched_getaffinity(0), lambda m, v: m.sched_setaffinity(0, v)),
    _Row("locale", lambda m: m.setlocale(m.LC_ALL), lambda m, v: m.setlocale(m.LC_ALL, v)),
    _switch("gc", "isenabled"),
    _Row("gc", lambda m: m.get_threshold(), lambda m, v: m.set_threshold(*v)),
    _Row("gc", lambda m: m.get_freeze_count(), lambda m, v: m.unfreeze()),
    *_pairs("gc", "get_debug"),
    *_values("gc", "callbacks"),
    _Row("asyncio", lambda m: dict(vars(m.get_running_loop())), _write_loop),
    *_values("asyncio.events", "_event_loop_policy"),
    _Row("multiprocessing", lambda m: m.get_start_method(allow_none=True),
         lambda m, v: m.set_start_method(v, force=True)),
    _Row("decimal", lambda m: m.getcontext().__reduce__()[1],
         lambda m, v: m.setcontext(m.Context(*v))),
    _Row("mimetypes", lambda m: m._db and copy.deepcopy(vars(m._db)), _write_mime_types),
    *_pairs("socket", "getdefaulttimeout"),
    _calls("csv", "field_size_limit", "field_size_limit"),
    _calls("calendar", "firstweekday", "setfirstweekday"),
    *_values("urllib.request", "_opener"),
    *_values("http.client", "HTTPConnection.debuglevel"),
    *_values("tempfile", "tempdir"),
    *_values("shutil", "_ARCHIVE_FORMATS", "_UNPACK_FORMATS"),
    *_values("sqlite3", "adapters", "converters"),
    *_pairs("numpy", "geterrcall", "getbufsize"),
    _Row("numpy", lambda m: m.geterr(), lambda m, v: m.seterr(**v)),
    _Row("numpy", lambda m: {k: v for k, v in m.get_printoptions().items() if k != "override_repr"},
         lambda m, v: m.set_printoptions(**v)),
    *_pairs("torch", "get_num_threads", "get_default_dtype", "get_deterministic_debug_mode"),
    *_pairs("torch", "get_float32_matmul_precision"),
    _calls("torch", "is_grad_enabled", "set_grad_enabled"),
    _calls("torch", "is_anomaly_enabled", "set_anomaly_enabled"),
    *_values("torch.backends.cudnn", "enabled", "benchmark", "deterministic", "allow_tf32"),
    *_values("torch.backends", "cuda.matmul.allow_tf32", "mkldnn.enabled", "mkldnn.deterministic"),
)  # fmt: skip

_ONCE = {"os": "nice", "sys": "addaudithook", "resource": "setrlimit"}
_ONCE |= {"torch": "set_num_interop_threads", "torch.distributed": "init_process_group"}


def record_calls() -> None:
    """Record calls of the functions in `_ONCE`, before their modules are noted."""
    for name in _ONCE.keys() & sys.modules.keys() - _recorded:
        _recorded.add(name)
        function = getattr(sys.modules[name], _ONCE[name], None)
        if function is not None:
            setattr(sys.modules[name], _ONCE[name], _recording(function, f"{name}.{_ONCE[name]}"))


def _recording(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def record(*args: Any, **kwargs: Any) -> Any:
        _called.append(f"called {name}, which a process can do once")
        return function(*args, **kwargs)

    return record


def note(modules: Collection[str]) -> None:
    """Note the state of modules that were imported."""
    for row in _ROWS:
        if row.module in modules and row not in _noted:
            with contextlib.suppress(Exception):  # some versions have no such state
                _noted[row] = row.read(sys.modules[row.module])


def read() -> dict[_Row, Any]:
    """The present values of the noted rows."""
    values = {}
    for row in _noted:
        with contextlib.suppress(Exception):
            values[row] = row.read(sys.modules[row.module])
    return values


def accept(before: dict[_Row, Any]) -> None:
    """Add to the noted state what has changed since `before`, in dicts entry by entry."""
    for row, now in read().items():
        then = before.get(row, now)
        if now != then and isinstance(now, dict) and isinstance(then, dict):
            new = {k: v for k, v in now.items() if k not in then or then[k] != v}
            _noted[row] = {**_noted[row], **new}
        elif now != then:
            _noted[row] = now


def faults() -> list[str]:
    """Reasons to end the kernel: calls of functions in `_ONCE`."""
    return list(dict.fromkeys(_called))


def restore() -> list[str]:
    """Write back what the notebook changed; returns reasons for what could not be written."""
    reasons = []
    for row, now in read().items():
        try:
            if now != _noted[row]:
                row.write(sys.modules[row.module], _noted[row])
        except Exception as error:
            reasons.append(f"changed {row.module}, which cannot be put back: {error}")
    return reasons
