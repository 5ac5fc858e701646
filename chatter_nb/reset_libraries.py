"""What a notebook can change of libraries, and how that is put back.

Runs inside a warm kernel and is sent there as source text, like `reset`, which calls it. A library
is restored only if it was loaded; none is loaded for that. What only the library itself knows of
its fresh state is noted right after its import (`_Watch`).
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

Restore = Callable[[], None]
_noted: dict[str, Restore] = {}  # by library: back to what it was after its import


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


def faults() -> list[str]:
    """Why the kernel must not be used again, whatever is restored."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        try:
            torch.cuda.synchronize()
        except Exception as error:  # every later call would fail as well
            return [f"met a CUDA fault: {str(error).splitlines()[0]}"]
    return []


# -- libraries -----------------------------------------------------------------------------------


class _Watch(importlib.abc.MetaPathFinder):
    """Looks at a library as soon as it has been imported; the finding is left to the others."""

    def __init__(self, note: dict[str, Callable[[Any], Restore]]) -> None:
        self.waiting = dict(note)
        self._asked: set[str] = set()  # of the others, which ends the recursion

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.waiting or name in self._asked:
            return None
        self._asked.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asked.remove(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            # Not before: who asks for a spec often wants to know only whether it is installed.
            note = self.waiting.pop(name, None)
            if note is not None:
                _noted[name] = note(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def keep_libraries() -> Restore:
    sys.meta_path.insert(0, _Watch({"numpy": note_numpy, "torch": note_torch}))

    def restore() -> None:
        for restore_library in _noted.values():
            restore_library()
        for name, reset in _RESETS.items():
            if name in sys.modules:
                reset(sys.modules[name])

    return restore


def note_numpy(numpy: Any) -> Restore:
    printing, errors = numpy.get_printoptions(), numpy.geterr()
    called, size = numpy.geterrcall(), numpy.getbufsize()

    def restore() -> None:
        numpy.set_printoptions(**{k: v for k, v in printing.items() if k != "override_repr"})
        numpy.seterr(**errors)
        numpy.seterrcall(called)
        numpy.setbufsize(size)

    return restore


def note_torch(torch: Any) -> Restore:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    backends = torch.backends
    flags = [
        *((backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")),
        *((backends.cudnn, "allow_tf32"), (backends.cuda.matmul, "allow_tf32")),
        *((backends.mkldnn, "enabled"), (backends.mkldnn, "deterministic")),
    ]
    values = []
    for place, name in flags:
        with contextlib.suppress(Exception):  # not all versions have, or can read, each of them
            values.append((place, name, getattr(place, name)))
    precision = torch.get_float32_matmul_precision()

    def restore() -> None:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(dtype)
        torch.set_default_device(None)
        torch.use_deterministic_algorithms(False)
        torch.set_anomaly_enabled(False)
        torch.set_printoptions(profile="default")
        for place, name, value in values:
            with contextlib.suppress(Exception):
                if getattr(place, name) != value:
                    setattr(place, name, value)
        if torch.get_float32_matmul_precision() != precision:
            torch.set_float32_matmul_precision(precision)

    return restore


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
        if hasattr(pandas, "reset_option"):  # not while it is half imported
            pandas.reset_option("all")


def _reset_decimal(decimal: Any) -> None:
    decimal.setcontext(decimal.DefaultContext.copy())


def _reset_tqdm(tqdm: Any) -> None:
    if tqdm.tqdm.monitor is not None:
        tqdm.tqdm.monitor.exit()
        tqdm.tqdm.monitor = None
    tqdm.tqdm._instances.clear()  # a bar left open would push the next one down


def _relinquish_models(models: Any) -> None:
    """Ours stay loaded, and may be replaced by what the next notebook asks for."""
    if hasattr(models, "relinquish"):
        models.relinquish()


_RESETS: dict[str, Callable[[Any], None]] = {
    "matplotlib": _reset_matplotlib,
    "pandas": _reset_pandas,
    "decimal": _reset_decimal,
    "tqdm": _reset_tqdm,
    "chatter_nb.models": _relinquish_models,
}

KEEP = (keep_libraries,)
