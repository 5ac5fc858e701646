"""Parameters as YAML text: what a person copies out of a form, keeps, and loads into one again."""

from __future__ import annotations

from typing import Any, TypeVar

import yaml

from chatter_nb.base.project import parse_yaml
from chatter_nb.params.base import RunParams

# How a run was watched, and where this machine puts its results: neither belongs to what was found.
LEFT_OUT = {"interactive", "outputs_dir"}

_OTHER_BREAKS = "\r\x85\u2028\u2029"

Params = TypeVar("Params", bound=RunParams)


class _Dumper(yaml.SafeDumper):
    """Multi-line text as a block that can be read and edited, where YAML can hold it so."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Line breaks other than a newline are folded by YAML unless they are written as escapes."""
    others = any(char in value for char in _OTHER_BREAKS)
    style = '"' if others else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(params: RunParams) -> str:
    """The values that differ from the defaults, one a line, for a file in params/.

    Loaded again, they make the same parameters but for `LEFT_OUT`.
    """
    defaults = {name: field.default for name, field in type(params).model_fields.items()}
    given = params.model_dump()
    chosen = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value != defaults[name] and name not in LEFT_OUT
    }
    return yaml.dump(chosen, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def from_yaml(cls: type[Params], text: str, **rest: Any) -> Params:
    """Parameters of `text`; `rest` are those that it leaves out.

    Raises `ParamError` that names the line, or every value that does not hold.
    """
    return cls.create({**rest, **parse_yaml(text, where="the YAML")}, where="the YAML")
