"""State that lies in C or inside objects: read after the import of its module, and written back.

Runs inside a warm kernel, like `reset`. `_ROWS` is what can be written back, and `_ONCE` what a
process can do only once: after that, a fresh kernel. `_RESETS` is what libraries do themselves.
All are for modules that are loaded; what an import changes belongs to the note.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import sys
import warnings
from collections.abc import Callable, Collection
from operator import attrgetter
from typing import Any, NamedTuple

_noted: dict[_Row, Any] = {}
_recorded: set[str] = set()
_called: list[str] = []  # of what can be done once


class _Row(NamedTuple):
    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]


def _values(module: str, *paths: str) -> list[_Row]:
    """Variables; dicts and lists keep their identity, since others hold them as well."""

    def write(path: str, m: Any, value: Any) -> None:
        owner, _, name = path.rpartition(".")
        held = attrgetter(path)(m)
        if isinstance(value, list | dict):
            held.clear()
            (held.extend if isinstance(value, list) else held.update)(value)
        else:
            setattr(attrgetter(owner)(m) if owner else m, name, value)

    def read(path: str, m: Any) -> Any:
        value = attrgetter(path)(m)
        return value.copy() if isinstance(value, list | dict) else value

    return [_Row(module, functools.partial(read, p), functools.partial(write, p)) for p in paths]


def _calls(module: str, *pairs: str) -> list[_Row]:
    """What one function tells and another one sets."""

    def call(name: str, m: Any, *value: Any) -> Any:
        return getattr(m, name)(*value)

    halves = [[functools.partial(call, name) for name in pair.split()] for pair in pairs]
    return [_Row(module, *half) for half in halves]


def _all_names(module: str, *but: str) -> _Row:
    def read(m: Any) -> dict[str, Any]:
        return {name: value for name, value in vars(m).items() if name not in but}

    def write(m: Any, value: dict[str, Any]) -> None:
        for name in [n for n in read(m) if n not in value and not n.startswith("_")]:
            delattr(m, name)
        vars(m).update(value)

    return _Row(module, read, write)


def _loggers(logging: Any) -> dict[str, Any]:
    every = {"": logging.root, **logging.root.manager.loggerDict}
    return {
        name: (one.level, [*one.handlers], [*one.filters], one.propagate, one.disabled)
        for name, one in every.items()
        if isinstance(one, logging.Logger)  # and no place holder
    }


def _write_loggers(logging: Any, value: dict[str, Any]) -> None:
    for name in _loggers(logging):  # those that a notebook has made are like new ones
        one = logging.getLogger(name)
        state = value.get(name, (0, [], [], True, False))
        level, handlers, filters, one.propagate, one.disabled = state
        for handler in [h for h in one.handlers if h not in handlers]:
            handler.close()  # a file that the notebook logged to
        one.setLevel(level)
        one.handlers[:], one.filters[:] = handlers, filters


def _write_loop(asyncio: Any, value: dict[str, Any]) -> None:
    """The loop that runs the cells: its settings, and none of the notebook's attributes."""
    loop = asyncio.get_running_loop()
    for name in vars(loop).keys() - value.keys():
        delattr(loop, name)
    loop.set_debug(value["_debug"])
    for name in ("_exception_handler", "_task_factory", "slow_callback_duration"):
        setattr(loop, name, value[name])


def _write_mime_types(mimetypes: Any, value: Any) -> None:
    """Files that no import has read are read again when they are needed."""
    if value is None:
        mimetypes._db, mimetypes.inited = None, False
    else:
        vars(mimetypes._db).update(copy.deepcopy(value))
        mimetypes.types_map = mimetypes._db.types_map[True]


_ROWS = (
    # ipykernel exchanges `input` around every request: ours is the one that it will put back
    _all_names("builtins", "input", "_"),
    _all_names("sys", "modules", "path", "meta_path", "path_hooks", "path_importer_cache"),
    *_values("sys", "argv", "warnoptions"),
    *_calls("sys", "getrecursionlimit setrecursionlimit", "getswitchinterval setswitchinterval"),
    *_calls("sys", "gettrace settrace", "getprofile setprofile"),
    *_calls("sys", "get_int_max_str_digits set_int_max_str_digits"),
    *_values("threading", "_trace_hook", "_profile_hook"),
    *_calls("threading", "stack_size stack_size"),
    _Row("logging", _loggers, _write_loggers),
    *_values("logging", "root.manager.disable", "raiseExceptions", "lastResort"),
    *_values("logging", "_warnings_showwarning", "_levelToName", "_nameToLevel"),
    _Row("signal", lambda m: [m.getitimer(n)[0] > 0 for n in range(3)],
         lambda m, v: [m.setitimer(n, 0) for n in range(3)]),
    _Row("signal", lambda m: m.pthread_sigmask(m.SIG_BLOCK, []),
         lambda m, v: m.pthread_sigmask(m.SIG_SETMASK, v)),
    _Row("signal", lambda m: {n: h for n in m.valid_signals() if (h := m.getsignal(n)) is not None},
         lambda m, v: [m.signal(n, h) for n, h in v.items() if m.getsignal(n) is not h]),
    _Row("faulthandler", lambda m: m.is_enabled(), lambda m, v: (m.enable if v else m.disable)()),
    _Row("tracemalloc", lambda m: m.is_tracing(), lambda m, v: m.stop()),
    _Row("os", lambda m: (mask := m.umask(0o22), m.umask(mask))[0], lambda m, v: m.umask(v)),
    _Row("os", lambda m: m.sched_getaffinity(0), lambda m, v: m.sched_setaffinity(0, v)),
    _Row("locale", lambda m: m.setlocale(m.LC_ALL), lambda m, v: m.setlocale(m.LC_ALL, v)),
    _Row("gc", lambda m: m.isenabled(), lambda m, v: (m.enable if v else m.disable)()),
    _Row("gc", lambda m: m.get_threshold(), lambda m, v: m.set_threshold(*v)),
    _Row("gc", lambda m: m.get_freeze_count(), lambda m, v: m.unfreeze()),
    *_calls("gc", "get_debug set_debug"),
    *_values("gc", "callbacks"),
    _Row("asyncio", lambda m: dict(vars(m.get_running_loop())), _write_loop),
    *_values("asyncio.events", "_event_loop_policy"),
    _Row("multiprocessing", lambda m: m.get_start_method(allow_none=True),
         lambda m, v: m.set_start_method(v, force=True)),
    _Row("decimal", lambda m: m.getcontext().__reduce__()[1],
         lambda m, v: m.setcontext(m.Context(*v))),
    _Row("mimetypes", lambda m: m._db and copy.deepcopy(vars(m._db)), _write_mime_types),
    *_calls("socket", "getdefaulttimeout setdefaulttimeout"),
    *_calls("csv", "field_size_limit field_size_limit"),
    *_calls("calendar", "firstweekday setfirstweekday"),
    *_values("urllib.request", "_opener"),
    *_values("http.client", "HTTPConnection.debuglevel"),
    *_values("tempfile", "tempdir"),
    *_values("shutil", "_ARCHIVE_FORMATS", "_UNPACK_FORMATS"),
    *_values("sqlite3", "adapters", "converters"),
    *_calls("numpy", "geterrcall seterrcall", "getbufsize setbufsize"),
    _Row("numpy", lambda m: m.geterr(), lambda m, v: m.seterr(**v)),
    _Row("numpy", lambda m: {k: v for k, v in m.get_printoptions().items() if k != "override_repr"},
         lambda m, v: m.set_printoptions(**v)),
    *_calls("torch", "get_num_threads set_num_threads", "get_default_dtype set_default_dtype"),
    *_calls("torch", "is_grad_enabled set_grad_enabled", "is_anomaly_enabled set_anomaly_enabled"),
    *_calls("torch", "get_deterministic_debug_mode set_deterministic_debug_mode"),
    *_calls("torch", "get_float32_matmul_precision set_float32_matmul_precision"),
    *_values("torch.backends.cudnn", "enabled", "benchmark", "deterministic", "allow_tf32"),
    *_values("torch.backends", "cuda.matmul.allow_tf32", "mkldnn.enabled", "mkldnn.deterministic"),
)  # fmt: skip

_ONCE = {"os": "nice", "sys": "addaudithook", "resource": "setrlimit"}
_ONCE |= {"torch": "set_num_interop_threads", "torch.distributed": "init_process_group"}


def record_calls() -> None:
    """Of what can be done once, before its module is noted."""
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
    """Note the rows of modules that have come."""
    for row in _ROWS:
        if row.module in modules and row not in _noted:
            with contextlib.suppress(Exception):  # not all versions have, or can read, each
                _noted[row] = row.read(sys.modules[row.module])


def read() -> dict[_Row, Any]:
    """What the noted rows are now."""
    values = {}
    for row in _noted:
        with contextlib.suppress(Exception):
            values[row] = row.read(sys.modules[row.module])
    return values


def accept(before: dict[_Row, Any]) -> None:
    """Take into the note what has changed since `before`, in dicts entry by entry."""
    for row, now in read().items():
        then = before.get(row, now)
        if now != then and isinstance(now, dict) and isinstance(then, dict):
            new = {k: v for k, v in now.items() if k not in then or then[k] != v}
            _noted[row] = {**_noted[row], **new}
        elif now != then:
            _noted[row] = now


def faults() -> list[str]:
    """Why the kernel must not be used again, whatever is restored."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        try:
            torch.cuda.synchronize()
        except Exception as error:  # every later call would fail as well
            return [f"met a CUDA fault: {str(error).splitlines()[0]}"]
    return list(dict.fromkeys(_called))


def restore() -> list[str]:
    """Write back what the notebook changed; the answer is what could not be."""
    reasons = []
    for name in _RESETS.keys() & sys.modules.keys():
        _RESETS[name](sys.modules[name])
    for row, now in read().items():
        try:
            if now != _noted[row]:
                row.write(sys.modules[row.module], _noted[row])
        except Exception as error:
            reasons.append(f"changed {row.module}, which cannot be put back: {error}")
    return reasons


def begin() -> None:
    """What depends on the caller's folder and environment, and a run's own seeds and peaks."""
    if "matplotlib" in sys.modules:
        _fresh_rc_params(sys.modules["matplotlib"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()  # a process starts with one of its own; only `Generator()` has a constant
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()


def _reset_matplotlib(matplotlib: Any) -> None:
    """No figures, and no backend: the next figure sets one up as the first of a kernel does."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
        with contextlib.suppress(ValueError):  # the callback has been taken back already
            pyplot.uninstall_repl_displayhook()
        pyplot._REPL_DISPLAYHOOK = type(pyplot._REPL_DISPLAYHOOK).NONE
        pyplot._backend_mod = None
    for name in ("matplotlib_inline.backend_inline", "matplotlib_inline"):
        backend: Any = sys.modules.pop(name, None)
        if hasattr(backend, "InlineBackend"):
            backend.InlineBackend.clear_instance()
    _fresh_rc_params(matplotlib)


def _fresh_rc_params(matplotlib: Any) -> None:
    """Its own file, which may lie in the folder, and the backend of the environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that will go
        fresh = matplotlib.rc_params_from_file(matplotlib.matplotlib_fname())
        backend = os.environ.get("MPLBACKEND") or fresh._get("backend")
        matplotlib.rcParams.update({k: fresh[k] for k in fresh if k != "backend"})
        matplotlib.rcParams._set("backend", backend)  # without looking for one


def _reset_pandas(pandas: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of options that will go
        getattr(pandas, "reset_option", str)("all")  # not while it is half imported


def _reset_tqdm(tqdm: Any) -> None:
    if tqdm.tqdm.monitor is not None:
        tqdm.tqdm.monitor.exit()
        tqdm.tqdm.monitor = None
    tqdm.tqdm._instances.clear()  # a bar left open would push the next one down


_RESETS: dict[str, Callable[[Any], Any]] = {
    "faulthandler": lambda m: m.cancel_dump_traceback_later(),
    "matplotlib": _reset_matplotlib,
    "pandas": _reset_pandas,
    "tqdm": _reset_tqdm,
    "torch": lambda m: [m.set_default_device(None), m.set_printoptions(profile="default")],
}
