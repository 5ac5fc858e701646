"""What a notebook can change of IPython and its widgets, and how that is put back.

Runs inside a warm kernel and is sent there as source text, like `reset`, which calls it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython

Restore = Callable[[], None]
_first_folder: Any = Path()  # IPython's kind of path, which has been a string and a Path


def begin() -> None:
    """What depends on the caller's folder."""
    shell: Any = get_ipython()
    shell.history_manager.dir_hist[:] = [type(_first_folder)(os.getcwd())]


def faults() -> list[str]:
    """Why the kernel must not be used again: it ends by itself in a moment."""
    shell: Any = get_ipython()
    return ["ended the kernel by exit()"] if shell.exit_now else []


def keep_shell() -> Restore:
    """Names, In, Out, counters, and everything that a cell can register or configure."""
    global _first_folder
    shell: Any = get_ipython()
    _first_folder = (shell.history_manager.dir_hist or [Path()])[0]
    parts = [*shell.configurables, shell.display_formatter.mimebundle_formatter]
    parts += [shell.display_formatter.ipython_display_formatter]
    parts += shell.display_formatter.formatters.values()
    restore_settings = _keep_settings(dict.fromkeys(parts))
    lists = [(held, list(held)) for held in _lists(shell)]
    dicts = [(held, dict(held)) for held in _dicts(shell)]
    events = {name: list(called) for name, called in shell.events.callbacks.items()}
    names, hidden = dict(shell.user_ns), dict(shell.user_ns_hidden)
    plain = {name: getattr(shell, name) for name in ("custom_exceptions", "CustomTB")}
    traceback_mode = shell.InteractiveTB.mode
    replaced, flags = set(vars(shell)), shell.compile.flags
    configurables, extensions = list(shell.configurables), set(shell.extension_manager.loaded)
    magics = {kind: dict(table) for kind, table in shell.magics_manager.magics.items()}

    def restore() -> None:
        for name in set(shell.extension_manager.loaded) - extensions:
            with contextlib.suppress(Exception):  # many cannot be unloaded; the rest is done here
                shell.extension_manager.unload_extension(name)
        shell.extension_manager.loaded = set(extensions)
        for name in (
            set(vars(shell)) - replaced
        ):  # methods of an object's own, such as showtraceback
            if callable(vars(shell)[name]) and hasattr(type(shell), name):
                delattr(shell, name)
        shell.configurables[:] = configurables
        for held, content in lists:
            held[:] = content
        for table, entries in dicts:
            table.clear()
            table.update(entries)
        for name, called in events.items():
            shell.events.callbacks[name][:] = called
        restore_settings()
        for name, value in plain.items():
            setattr(shell, name, value)
        shell.InteractiveTB.set_mode(traceback_mode)
        shell.compile.flags = flags  # `from __future__ import …`
        _restore_magics(shell, magics)
        _forget_names(shell)
        for name in set(names) - set(shell.user_ns):  # `_`, and what every module has
            shell.user_ns[name] = names[name]
        shell.user_ns_hidden.update(hidden)

    return restore


def _keep_settings(parts: Iterable[Any]) -> Restore:
    """What `%config` sets, and the configuration that all parts share."""
    kept = [(part, _settings(part), part.config, deepcopy(part.config)) for part in parts]

    def restore() -> None:
        for part, values, config, entries in kept:
            if config != entries:
                config.clear()
                config.update(deepcopy(entries))
            if part.config is not config:
                part.config = config
            _set(part, values)

    return restore


def _settings(part: Any) -> dict[str, Any]:
    copies = (list, dict, set)
    values = {name: getattr(part, name) for name in part.traits(config=True)}
    return {n: v.copy() if isinstance(v, copies) else v for n, v in values.items()}


def _set(part: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        with contextlib.suppress(Exception):  # some can be set at the start only
            if getattr(part, name) != value:
                setattr(part, name, value.copy() if hasattr(value, "copy") else value)


def _lists(shell: Any) -> list[list[Any]]:
    manager = shell.input_transformer_manager
    lists = [manager.cleanup_transforms, manager.line_transforms, manager.token_transformers]
    return [*lists, shell.input_transformers_post, shell.ast_transformers]


def _dicts(shell: Any) -> list[dict[Any, Any]]:
    display = shell.display_formatter
    formatters = [*display.formatters.values()]
    formatters += [display.mimebundle_formatter, display.ipython_display_formatter]
    kinds = ("type_printers", "singleton_printers", "deferred_printers")
    return [getattr(one, kind) for one in formatters for kind in kinds]


def _restore_magics(shell: Any, kept: dict[str, dict[str, Any]]) -> None:
    """IPython loads its own on first use: those are not the notebook's."""
    for kind, table in shell.magics_manager.magics.items():
        for name, magic in list(table.items()):
            module = str(getattr(magic, "__module__", None) or type(magic).__module__)
            if name not in kept[kind]:
                del table[name]
            elif not module.startswith(("IPython.", "ipykernel.")):
                table[name] = kept[kind][name]
        table.update({name: magic for name, magic in kept[kind].items() if name not in table})


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
    for name in ("pylab_gui_select", "_saved_rcParams", "_last_traceback"):
        vars(shell).pop(name, None)
    if shell.kernel.eventloop is not None:
        shell.enable_gui(None)


def keep_comms() -> Restore:
    """Widgets and what connects them with a page."""
    shell: Any = get_ipython()
    manager: Any = shell.kernel.comm_manager  # ipykernel before 6.18 has no package `comm`
    targets = dict(manager.targets)

    def restore() -> None:
        widgets = sys.modules.get("ipywidgets")
        if widgets is not None:
            widgets.Widget.close_all()
            targets.setdefault(
                "jupyter.widget.control", manager.targets.get("jupyter.widget.control")
            )
        for one in list(manager.comms.values()):
            with contextlib.suppress(Exception):
                one.close()
        manager.comms.clear()
        manager.targets.clear()
        manager.targets.update({name: made for name, made in targets.items() if made})

    return restore


KEEP = (keep_comms, keep_shell)
