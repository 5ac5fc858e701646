"""Notes the functions, classes and methods of libraries, and puts back what a notebook rebinds.

Runs inside a warm kernel, like `reset`. After an import the functions and classes of the new
modules are noted, and the methods of the classes. If an import rebinds names in other modules, the
new values are noted. Plain data is not noted: caches, models and backends of libraries stay.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import sysconfig
import types
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

_ABSENT: Any = object()
_CHANGEABLE, _IMMUTABLE = 1 << 9, 1 << 8  # of type.__flags__: on the heap, and yet immutable
_NOTED = (type, functools.partial, types.BuiltinFunctionType, types.MethodType)
_WRAPPERS = (functools.partial, types.MethodType, staticmethod, classmethod, property)
# `reset_tables` has sys and builtins; ipykernel replaces a function of getpass during a request.
_SKIPPED = {"__main__", "__mp_main__", "sys", "builtins", "getpass"}
# What these put into other modules is put back; other libraries may remember their patches.
_FORGETFUL = {*getattr(sys, "stdlib_module_names", sys.builtin_module_names)}
_FORGETFUL |= {"", "IPython", "ipykernel", "matplotlib_inline"}
# Libraries that extend another library after their import: (the code's library, the other).
_EXTEND = {("transformers", "torch")}
_LIBRARY_FOLDERS = tuple(
    os.path.realpath(path) + os.sep
    for name, path in sysconfig.get_paths().items()
    if name in ("stdlib", "platstdlib", "purelib", "platlib")
)

fresh: dict[str, Any] = {}  # the modules of a fresh kernel, the roots of its imports, its folder
_modules: dict[str, Any] = {}
_spaces: dict[str, list[_Space]] = {}  # by module
_noted_classes: set[int] = set()
_pending: list[_Change] = []  # the notebook's, before its last import
_late: set[str] = set()  # modules that libraries have imported since the last search for changes


# -- the origin of code --------------------------------------------------------------------------


@functools.cache
def _real(path: str) -> str:
    return os.path.realpath(path)


def in_library(path: str) -> bool:
    """Whether a path is in a folder of Python's installation."""
    return (_real(path) + os.sep).startswith(_LIBRARY_FOLDERS)


def is_own(name: str) -> bool:
    """Whether a module is the notebook's: made by cells, or from a folder without libraries.

    Folders with libraries are those of Python, and those on the path of the fresh kernel. A package
    with a `__warm_reset__` counts as a library wherever it is, and keeps what it has loaded.
    """
    top = name.partition(".")[0]
    if top == "__main__" or top in fresh["modules"]:
        return top == "__main__"
    module = sys.modules.get(top)
    folder = _container(module)
    if folder is None or in_library(folder) or hasattr(module, "__warm_reset__"):
        return False
    return folder == fresh["cwd"] or folder not in fresh["roots"]


def _container(module: Any) -> str | None:
    """The folder that contains a top-level module; None if the module has no file."""
    with contextlib.suppress(Exception):  # anything may be in sys.modules
        if file := getattr(module, "__file__", None):
            package = hasattr(module, "__path__")
            return _real(os.path.dirname(os.path.dirname(file) if package else file))
        if paths := list(getattr(module, "__path__", ())):
            return _real(os.path.dirname(paths[0]))
    return None


def maker(value: Any) -> str:
    """The name of the module whose code a value runs; `__main__` for a mock."""
    while isinstance(value, _WRAPPERS):
        names = ("func", "__func__", "fget")
        value = next(getattr(value, name) for name in names if hasattr(value, name))
    if _is_mock(type(value)):
        return "__main__"
    module = "" if value is _ABSENT else getattr(value, "__module__", None)
    return module if isinstance(module, str) else type(value).__module__


def _is_mock(kind: type) -> bool:
    base = getattr(sys.modules.get("unittest.mock"), "NonCallableMock", None)
    return base is not None and issubclass(kind, base)


# -- notes ---------------------------------------------------------------------------------------


class _Kinds(dict[type, bool]):
    """Whether values of a type are noted: functions, classes, descriptors, mocks."""

    def __missing__(self, kind: type) -> bool:
        noted = issubclass(kind, _NOTED) or hasattr(kind, "__get__")
        self[kind] = noted or _is_mock(kind) or is_own(str(kind.__module__))
        return self[kind]


@dataclass(slots=True, eq=False)
class _Space:
    """A module or class: its noted values by name, and its names of plain data."""

    owner: Any
    label: str
    noted: dict[str, Any]
    data: frozenset[str]

    def changes(self, kinds: _Kinds) -> Iterator[_Change]:
        """The names that have another value than the noted one."""
        space, noted = vars(self.owner), self.noted
        now = {name: value for name, value in list(space.items()) if kinds[type(value)]}
        if now != noted:
            for name in now.keys() | noted.keys():
                old, new = noted.get(name, _ABSENT), space.get(name, _ABSENT)
                if new is not old and not (type(new) is type(old) and new == old):
                    yield _Change(self, name, old, new)

    def accept(self, name: str, value: Any) -> None:
        """Note a new value."""
        self.noted.pop(name, None)
        if value is not _ABSENT and _Kinds()[type(value)]:
            self.noted[name] = value


@dataclass(slots=True, eq=False)
class _Change:
    """A name of a space that has another value than the noted one."""

    space: _Space
    name: str
    old: Any
    new: Any

    def is_of_library(self) -> bool:
        """Whether a library has made the change: then it stays."""
        in_class, by = isinstance(self.space.owner, type), maker(self.new)
        if self.old is _ABSENT:
            return by in _late or not (is_own(by) or (in_class and self._is_foreign()))
        is_data = self.new is not _ABSENT and not _Kinds()[type(self.new)]
        return by in _late or (is_data and not in_class)  # of a class, that is a setting

    def _is_foreign(self) -> bool:
        """Whether the code is from another library, which may remember its patch."""
        top, home = (name.partition(".")[0] for name in (maker(self.new), self.space.label))
        at_home = top == home or (top, home) in _EXTEND
        return not (at_home or top in _FORGETFUL or is_own(top))

    def put_back(self) -> bool:
        """Restore the old value; False if the new value has to stay."""
        owner, name = self.space.owner, self.name
        if (self.old is _ABSENT and name in self.space.data) or self._is_foreign():
            return False
        # Not with setattr: a metaclass or a module may override it.
        base: Any = type if isinstance(owner, type) else types.ModuleType
        if self.old is not _ABSENT:
            base.__setattr__(owner, name, self.old)
        elif name in vars(owner):
            base.__delattr__(owner, name)
        self.space.accept(name, self.old)
        return True

    def reason(self) -> list[str]:
        """The reason to end the kernel, if the new value is still in its place."""
        if vars(self.space.owner).get(self.name, _ABSENT) is not self.new:
            return []
        whose = "its own" if is_own(maker(self.new)) else maker(self.new)
        return [f"put a function of {whose} into {self.space.label}: {self.name}"]


def note(done: str = "", before: Collection[str] = (), *, late: bool = False) -> list[str]:
    """Note the modules that were imported; returns their names.

    `done` is a module that is complete although importlib still has it as incomplete. `before` are
    the names before the import. `late` means that a library, not a cell, has imported them.
    """
    new_modules, notebooks = [], {"__main__"}
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if _modules.get(name, _ABSENT) is module or (spec is None and name in before):
            continue  # it is known, or a cell has put it there
        if is_own(name):
            notebooks.add(name)
        elif name == done or not getattr(spec, "_initializing", False):  # in another thread
            new_modules.append(name)
            _modules[name] = module
    kinds = _Kinds()
    for name in new_modules:
        _noted_classes.difference_update(id(space.owner) for space in _spaces.pop(name, ()))
        if isinstance(_modules[name], types.ModuleType) and name not in _SKIPPED:
            _spaces[name] = list(_note(_modules[name], name, kinds, notebooks))
    _late.update(new_modules if late else ())
    return new_modules


def _note(module: Any, name: str, kinds: _Kinds, notebooks: set[str]) -> Iterator[_Space]:
    """The spaces of a module and its classes; `notebooks` are the modules of the notebook."""
    todo, top = [(module, name)], name.partition(".")[0]
    while todo:
        owner, label = todo.pop()
        noted = {
            attribute: value
            for attribute, value in list(vars(owner).items())
            # not a notebook's patch that the module has imported
            if kinds[type(value)] and str(getattr(value, "__module__", "")) not in notebooks
        }
        yield _Space(owner, label, noted, frozenset(vars(owner)) - noted.keys())
        for value in noted.values():
            if isinstance(value, type) and id(value) not in _noted_classes:
                changeable = value.__flags__ & (_CHANGEABLE | _IMMUTABLE) == _CHANGEABLE
                if changeable and str(value.__module__).partition(".")[0] == top:
                    _noted_classes.add(id(value))
                    todo.append((value, f"{value.__module__}.{value.__qualname__}"))


def changes() -> list[_Change]:
    """The changes that a notebook has made; the changes of libraries are noted."""
    kinds = _Kinds()
    spaces = [space for spaces in _spaces.values() for space in spaces]
    rebound = [change for space in spaces for change in space.changes(kinds)]
    of_libraries = [change for change in rebound if change.is_of_library()]
    _late.clear()
    accept(of_libraries, of_notebook=False)
    return [change for change in rebound if change not in of_libraries]


def accept(rebound: list[_Change], *, of_notebook: bool) -> None:
    """Note the new values of changes; those of a notebook are put back after it."""
    for change in rebound:
        change.space.accept(change.name, change.new)
    _pending.extend(rebound if of_notebook else ())


def put_back() -> list[_Change]:
    """Put back what the notebook rebound; returns the changes that stay."""
    rebound = [*_pending, *changes()]
    _pending.clear()
    return [change for change in reversed(rebound) if not change.put_back()]


def put_back_modules() -> None:
    """Restore `sys.modules`: the modules of the fresh kernel and of libraries."""
    noted = {**_modules, **fresh["modules"]}
    notebooks = {top for top in {name.partition(".")[0] for name in sys.modules} if is_own(top)}
    for name, module in list(sys.modules.items()):
        made_up = name not in noted and getattr(module, "__spec__", None) is None
        if made_up or name.partition(".")[0] in notebooks - {"__main__"}:
            del sys.modules[name]
    for name, module in noted.items():
        if sys.modules.get(name, None if name in fresh["modules"] else module) is not module:
            sys.modules[name] = module
