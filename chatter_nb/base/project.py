"""The folder where relative paths start, and a strict reader of YAML files."""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from chatter_nb.base.errors import InputError, ParamError, shorten, shown

_MERGE = "tag:yaml.org,2002:merge"
_NUMBER_CHARS = 100  # a longer one is no parameter
_NAME_BYTES = 255  # what disks take


def project_root(start: Path | None = None) -> Path:
    """The nearest folder, from the working directory upwards, that holds params/ and notebooks/.

    Relative paths in parameters start here; outside a project, at the working directory.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "params").is_dir() and (folder / "notebooks").is_dir():
            return folder
    return here


def resolve_path(path: str | Path) -> Path:
    """The absolute path: `~` is the home folder, a relative path starts at `project_root()`.

    Raises `InputError` for a path that cannot exist.
    """
    return project_root() / _possible(path)


def shown_path(path: str | Path) -> str:
    """A path as people read it: from the project, if it lies in it."""
    path, root = Path(path), project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def find_path(path: str | Path) -> Path:
    """The path from the working directory if it exists there, else `resolve_path(path)`.

    Raises `InputError` for a path that cannot exist.
    """
    here = _possible(path)
    return here if here.exists() else resolve_path(path)


def _possible(path: str | Path) -> Path:
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{shown(str(path))}: there is no such home folder") from error
    if any(len(part.encode(errors="surrogatepass")) > _NAME_BYTES for part in expanded.parts):
        raise InputError(f"{shown(str(path))}: a name in a path is at most {_NAME_BYTES} bytes")
    return expanded


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice, where the plain loader silently keeps the last.

    What PyYAML's constructors raise on values that they cannot read becomes a `YAMLError`.
    """

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        kind = node.tag.rpartition(":")[2]
        try:
            if kind in ("int", "float") and len(node.value) > _NUMBER_CHARS:
                raise ValueError("too long")  # 1:1:1:… takes the square of its length
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            value = shown(node.value) if isinstance(node.value, str) else "this"
            raise yaml.MarkedYAMLError(
                problem=f"{value} cannot be read as {kind}: put it in quotes if it is text",
                problem_mark=node.start_mark,
            ) from error

    def flatten_mapping(self, node: Any) -> None:
        """Take in the mapping that `<<` names, each key once.

        Without this, aliases of aliases would fill the memory.
        """
        own_keys = [key for key, _ in node.value if key.tag != _MERGE]
        super().flatten_mapping(node)
        self._refuse_twice(own_keys, node)
        named = {_name_of(key): (key, value) for key, value in node.value}
        node.value = list(named.values())

    def _refuse_twice(self, keys: list[Any], node: Any) -> None:
        seen: set[Any] = set()
        for key in (self.construct_object(key, deep=True) for key in keys):
            if not isinstance(key, Hashable):
                continue  # the loader itself refuses it
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{shown(key)} is given twice", problem_mark=node.start_mark
                )
            seen.add(key)


# PyYAML knows the lone `=` of an early YAML, and then nothing to make of it.
_StrictLoader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(node.value))


def _name_of(key: Any) -> Any:
    """A value that differs between different keys, before they are constructed."""
    return (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `InputError` that names the file, the line, the fault."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        presets = [file.name for file in (project_root() / "params").glob("*.y*ml")]
        near = difflib.get_close_matches(Path(path).name, presets, n=1)
        cure = f"did you mean params/{near[0]}?" if near else "in a project, params/ has some"
        raise InputError(f"cannot read parameter file {path}: no such file; {cure}") from None
    except UnicodeDecodeError as error:
        cure = "a document is given without -f, or as text_file"
        raise InputError(f"{path} is no parameter file: it is not text; {cure}") from error
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: give a parameter file, such as its .yaml") from None
    except OSError as error:
        raise InputError(f"cannot read parameter file {path}: {error}") from error
    return parse_yaml(text, where=str(path))


def parse_yaml(text: str, *, where: str) -> dict[str, Any]:
    """The mapping in a YAML text. Raises `ParamError` that begins with `where`, its origin."""
    try:
        values = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        colon = "mapping values are not allowed" in str(error)
        cure = "put the text in quotes, as it holds a colon: " if colon else ""
        raise ParamError(f"{where} is not valid YAML: {cure}{shorten(str(error), 1000)}") from error
    except RecursionError:
        raise ParamError(f"{where} is not valid YAML: it is nested too deeply") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        held = "nothing" if values is None else f"a {type(values).__name__} that is no such mapping"
        raise ParamError(f"{where} must hold 'name: value' lines; it holds {held}")
    return values
