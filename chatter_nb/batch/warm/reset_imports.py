"""Notes what imports change, and restores the search for modules.

Runs inside a warm kernel, like `reset`. Python leaves frames of importlib out of tracebacks and of
a warning's stack level: this source is compiled under importlib's name, to be left out as well.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import linecache
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from . import reset_notes, reset_tables
from .reset_notes import in_library, is_own, maker

faults: list[str] = []  # imports that could not be noted
_filters: list[Any] = []  # of warnings: a fresh kernel's, and those that imports have added
_thread = threading.local()


class _Watch(importlib.abc.MetaPathFinder):
    """The first finder: notes the state before and after the import of a library."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                # the loaders of frozen and built-in modules are classes
                if hasattr(spec.loader, "exec_module") and not isinstance(spec.loader, type):
                    _watch(spec.loader)
                return spec
        return None


def _watch(loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: Any) -> None:
        vars(loader).pop("exec_module", None)
        if getattr(_thread, "importing", False) or is_own(module.__name__):
            return execute(module)
        _thread.importing = True
        state = _tried(_before)
        try:
            execute(module)
        finally:
            _tried(_after, module.__name__, *(state or ()))
            _thread.importing = False

    with contextlib.suppress(AttributeError, TypeError):  # it has no attributes
        loader.exec_module = exec_module


def _tried(look: Callable[..., Any], *args: Any) -> Any:
    """The result of `look`. Its error becomes a fault, so that the import does not fail."""
    try:
        return look(*args)
    except Exception as error:
        faults.append(f"imported what could not be noted: {error!r}")


def _before() -> tuple[Any, ...]:
    """The state before an import. If a cell imports, changes until now are the notebook's."""
    frame: Any = sys._getframe(3)
    while frame and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    by_cell = frame is not None and is_own(str(frame.f_globals.get("__name__")))
    if by_cell:
        reset_notes.accept(reset_notes.changes(), of_notebook=True)
    return by_cell, set(sys.modules), reset_tables.read(), list(warnings.filters)


def _after(done: str, by_cell: bool, modules: set[str], values: Any, filters: list[Any]) -> None:
    """Note what an import has added. What a library's own import rebinds is recognised by the
    module of the functions: searching all modules at each of them would take too long."""
    if by_cell:
        reset_notes.accept(reset_notes.changes(), of_notebook=False)
    reset_tables.record_calls()
    reset_tables.note(reset_notes.note(done, modules, late=not by_cell))
    reset_tables.accept(values)
    # By identity: a filter of the notebook may equal a filter of a library.
    before, now, noted = ({id(f) for f in each} for each in (filters, warnings.filters, _filters))
    lost = [f for f in _filters if id(f) not in now]
    _filters[:] = [*lost, *(f for f in warnings.filters if id(f) in noted | (now - before))]


def keep() -> Callable[[], None]:
    """Note the search for modules, the modules, and the filters of warnings."""
    path, hooks = list(sys.path), list(sys.path_hooks)
    _filters[:] = warnings.filters
    reset_tables.record_calls()
    reset_tables.note(reset_notes.note())
    sys.meta_path.insert(0, _Watch())
    finders, lists = list(sys.meta_path), (sys.path, sys.meta_path, sys.path_hooks)

    def restore() -> None:
        # libraries extend these lists and need that: only the notebook's items are removed
        extra = [p for p in sys.path if isinstance(p, str) and p and in_library(p)]
        lists[0][:] = [*path, *(p for p in extra if p not in path)]
        lists[1][:] = _without_own(sys.meta_path, finders)
        lists[2][:] = _without_own(sys.path_hooks, hooks)
        sys.path, sys.meta_path, sys.path_hooks = lists
        reset_notes.put_back_modules()
        sys.path_importer_cache.clear()
        linecache.clearcache()
        warnings.filters[:] = _filters  # type: ignore[index]
        # warnings that are shown once are shown again; the function has had two names
        names = ("_filters_mutated", "_filters_mutated_lock_held")
        next(getattr(warnings, name) for name in names if hasattr(warnings, name))()

    return restore


def _without_own(now: list[Any], base: list[Any]) -> list[Any]:
    """The items of `now` without the notebook's, after those of `base` that are missing in it."""
    items = [item for item in now if item in base or not is_own(maker(item))]
    return [*(item for item in base if item not in items), *items]
