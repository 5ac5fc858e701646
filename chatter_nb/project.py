"""Where a project's relative paths start, and how its YAML files are read."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from chatter_nb.errors import InputError, ParamError


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
    """An absolute path: `~` opened, relative ones from `project_root()`."""
    return project_root() / Path(path).expanduser()


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice, where the plain loader silently keeps the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        seen: set[Any] = set()
        for key in keys:
            if not isinstance(key, Hashable):
                continue  # the loader itself refuses it
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} is given twice", problem_mark=node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file's mapping, or an `InputError` that names the file, the line and the fault."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read parameter file {path}: {error}") from error
    return parse_yaml(text, where=str(path))


def parse_yaml(text: str, *, where: str) -> dict[str, Any]:
    """A YAML text's mapping, or a `ParamError` that begins with `where` it came from."""
    try:
        values = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise ParamError(f"{where} is not valid YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        held = "nothing" if values is None else f"a {type(values).__name__} that is no such mapping"
        raise ParamError(f"{where} must hold 'name: value' lines; it holds {held}")
    return values
