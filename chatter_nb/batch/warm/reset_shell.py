"""Undoes what a notebook changed in IPython and its widgets.

Runs inside a warm kernel, like `reset`. A function `keep_…` notes the state of a fresh kernel, and
returns a function that restores it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython

from .reset_tables import copied, refill

Restore = Callable[[], None]
_first_folder: Any = Path()  # of the type that this IPython uses: a string or a Path


def begin() -> None:
    """Set what depends on the caller's folder."""
    shell: Any = get_ipython()
    shell.history_manager.dir_hist[:] = [type(_first_folder)(os.getcwd())]


def drop_no_output() -> None:
    """Let messages to the runner wait without limit: ZeroMQ drops what is over 1,000 by default.

    The socket belongs to ipykernel's thread for output, which sets the option.
    """
    shell: Any = get_ipython()
    output = shell.kernel.iopub_thread
    output.schedule(lambda: setattr(output.socket, "sndhwm", 0))


def faults() -> list[str]:
    """Reasons to end the kernel: after `exit()` it ends by itself in a moment."""
    shell: Any = get_ipython()
    return ["ended the kernel by exit()"] if shell.exit_now else []


def is_of_magic(thread: threading.Thread) -> bool:
    """Whether a thread runs the event loop that `%%bash` keeps for the next `%%bash`."""
    shell: Any = get_ipython()
    loop = getattr(getattr(thread, "_target", None), "__self__", None)
    magics = shell.magics_manager.registry.values()
    return loop is not None and any(getattr(magic, "event_loop", None) is loop for magic in magics)


def keep_shell() -> Restore:
    """Note names, counters, and the objects with which a cell can register or configure."""
    global _first_folder
    shell: Any = get_ipython()
    _first_folder = (shell.history_manager.dir_hist or [Path()])[0]
    formatters = _formatters(shell)
    restore_settings = _keep_settings(dict.fromkeys([*shell.configurables, *formatters]))
    magics = {kind: dict(table) for kind, table in shell.magics_manager.magics.items()}
    contents = [(held, held.copy()) for held in _contents(shell, formatters)]
    names = dict(shell.user_ns)
    plain = {name: getattr(shell, name) for name in ("custom_exceptions", "CustomTB")}
    mode, flags, attributes = shell.InteractiveTB.mode, shell.compile.flags, set(vars(shell))
    extensions = set(shell.extension_manager.loaded)

    def restore() -> None:
        for name in set(shell.extension_manager.loaded) - extensions:
            with contextlib.suppress(Exception):  # many cannot be unloaded
                shell.extension_manager.unload_extension(name)
        shell.extension_manager.loaded = set(extensions)
        for name in set(vars(shell)) - attributes:  # such as another showtraceback
            delattr(shell, name)
        restore_settings()
        vars(shell).update(plain)
        shell.InteractiveTB.set_mode(mode)
        shell.compile.flags = flags  # `from __future__ import …`
        for kind, table in shell.magics_manager.magics.items():
            # IPython loads some of its own magics on first use: these stay
            loaded = {n: m for n, m in table.items() if n in magics[kind] and _is_of_ipython(m)}
            refill(table, magics[kind] | loaded)
        _forget_names(shell)
        shell.user_ns.update(names)  # with `_`, `__name__` and those that `%who` hides
        for held, content in contents:
            refill(held, content)

    return restore


def _formatters(shell: Any) -> list[Any]:
    display = shell.display_formatter
    others = [display.mimebundle_formatter, display.ipython_display_formatter]
    return [*display.formatters.values(), *others]


def _contents(shell: Any, formatters: list[Any]) -> list[Any]:
    """The lists and dicts with which cells register functions."""
    manager = shell.input_transformer_manager
    lists = [manager.cleanup_transforms, manager.line_transforms, manager.token_transformers]
    lists += [shell.input_transformers_post, shell.ast_transformers, shell.configurables]
    kinds = ("type_printers", "singleton_printers", "deferred_printers")
    dicts = [getattr(formatter, kind) for formatter in formatters for kind in kinds]
    dicts += [shell.display_formatter.formatters, shell.user_ns_hidden]
    return [*lists, *shell.events.callbacks.values(), *dicts]


def _keep_settings(parts: Iterable[Any]) -> Restore:
    """Note what `%config` sets, and the configuration that all parts share."""
    states = [(part, _settings(part), part.config, deepcopy(part.config)) for part in parts]

    def restore() -> None:
        for part, values, config, entries in states:
            if config != entries:
                refill(config, deepcopy(entries))
            if part.config is not config:
                part.config = config
            for name, value in values.items():
                with contextlib.suppress(Exception):  # some can be set at the start only
                    if getattr(part, name) != value:
                        setattr(part, name, copied(value))

    return restore


def _settings(part: Any) -> dict[str, Any]:
    return {name: copied(getattr(part, name)) for name in part.traits(config=True)}


def _is_of_ipython(magic: Any) -> bool:
    module = getattr(magic, "__module__", None) or type(magic).__module__
    return str(module).startswith(("IPython.", "ipykernel."))


def _forget_names(shell: Any) -> None:
    history = shell.history_manager
    shell.reset(new_session=False)
    history.input_hist_parsed[:] = history.input_hist_raw[:] = [""]
    for name in ("_i", "_ii", "_iii", "_i00"):
        setattr(history, name, "")
    shell.execution_count = 1
    shell.payload_manager.clear_payload()
    getattr(shell.compile, "_filename_map", {}).clear()  # IPython 7 keeps none
    shell.last_execution_result = None
    shell.set_next_input("", replace=True)
    shell.payload_manager.clear_payload()
    if shell.kernel.eventloop is not None:
        shell.enable_gui(None)


def keep_comms() -> Restore:
    """Note the comms, which connect widgets with a page; restoring closes widgets and comms."""
    shell: Any = get_ipython()
    manager: Any = shell.kernel.comm_manager  # ipykernel before 6.18 has no package `comm`
    targets, control = dict(manager.targets), "jupyter.widget.control"

    def restore() -> None:
        if widgets := sys.modules.get("ipywidgets"):
            widgets.Widget.close_all()
            targets.setdefault(control, manager.targets.get(control))
        for comm in list(manager.comms.values()):
            with contextlib.suppress(Exception):
                comm.close()
        manager.comms.clear()
        refill(manager.targets, {name: opens for name, opens in targets.items() if opens})

    return restore
