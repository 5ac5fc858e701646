"""Resets libraries that have functions or variables for it, if the kernel has loaded them.

Runs inside a warm kernel, like `reset`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any


def faults() -> list[str]:
    """Reasons to end the kernel: after a CUDA fault every later call of CUDA fails as well."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        try:
            torch.cuda.synchronize()
        except Exception as error:
            return [f"met a CUDA fault: {str(error).splitlines()[0]}"]
    return []


def restore() -> None:
    """Reset each loaded library after a notebook."""
    for name in _RESETS.keys() & sys.modules.keys():
        _RESETS[name](sys.modules[name])


def begin() -> None:
    """Set what depends on the caller's folder and environment; draw seeds, and reset peaks."""
    if "matplotlib" in sys.modules:
        _fresh_rc_params(sys.modules["matplotlib"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()  # at random, like in a new process
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()


def _reset_matplotlib(matplotlib: Any) -> None:
    """Remove figures and backend: the next figure chooses a backend, like the first of a kernel."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
        with contextlib.suppress(ValueError):  # the callback is removed already
            pyplot.uninstall_repl_displayhook()
        pyplot._REPL_DISPLAYHOOK = type(pyplot._REPL_DISPLAYHOOK).NONE
        pyplot._backend_mod = None
    for name in ("matplotlib_inline.backend_inline", "matplotlib_inline"):
        backend: Any = sys.modules.pop(name, None)
        if hasattr(backend, "InlineBackend"):
            backend.InlineBackend.clear_instance()
    _fresh_rc_params(matplotlib)


def _fresh_rc_params(matplotlib: Any) -> None:
    """Read the rcParams file, which may be in the folder, and the backend of the environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about deprecated parameters
        fresh = matplotlib.rc_params_from_file(matplotlib.matplotlib_fname())
        backend = os.environ.get("MPLBACKEND") or fresh._get("backend")
        matplotlib.rcParams.update({k: fresh[k] for k in fresh if k != "backend"})
        matplotlib.rcParams._set("backend", backend)  # `matplotlib.use` would load it


def _reset_pandas(pandas: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about deprecated options
        getattr(pandas, "reset_option", str)("all")  # no such function while it is half imported


def _reset_tqdm(tqdm: Any) -> None:
    if tqdm.tqdm.monitor is not None:
        tqdm.tqdm.monitor.exit()
        tqdm.tqdm.monitor = None
    tqdm.tqdm._instances.clear()  # an open bar would move the next bar down


_RESETS: dict[str, Callable[[Any], Any]] = {
    "faulthandler": lambda m: m.cancel_dump_traceback_later(),
    "matplotlib": _reset_matplotlib,
    "pandas": _reset_pandas,
    "tqdm": _reset_tqdm,
    "torch": lambda m: [m.set_default_device(None), m.set_printoptions(profile="default")],
}
