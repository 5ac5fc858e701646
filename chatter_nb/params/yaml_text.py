"""Parameters as YAML text, which a person can copy from a form and load into a form again."""

from __future__ import annotations

from typing import Any, TypeVar

import yaml

from chatter_nb.base.project import parse_yaml
from chatter_nb.params.base import RunParams

# Neither says how a result sounds.
LEFT_OUT = {"interactive", "outputs_dir"}

_OTHER_BREAKS = "\r\x85\u2028\u2029"

Params = TypeVar("Params", bound=RunParams)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block that people can read and edit."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """The node of a text; rare line breaks are escaped, as YAML would change them."""
    others = any(char in value for char in _OTHER_BREAKS)
    style = '"' if others else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(params: RunParams) -> str:
    """The values that differ from the defaults, one a line, for a file in params/.

    Loaded again, they make the same parameters but for `LEFT_OUT`.
    """
    defaults = {name: field.default for name, field in type(params).model_fields.items()}
    chosen = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in params.model_dump().items()
        if value != defaults[name] and name not in LEFT_OUT
    }
    return yaml.dump(chosen, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def from_yaml(cls: type[Params], text: str, **rest: Any) -> Params:
    """The parameters in `text`; `rest` are values for those that it leaves out.

    Raises `ParamError` that names the line, or every value that is not valid.
    """
    values = parse_yaml(text, where="the YAML")
    return cls.create({**rest, **values}, where="the YAML")
