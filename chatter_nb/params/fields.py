"""The fields of a parameter object as a form needs them: label, unit, range, choices, help.

All of it is read from the class itself, so that no surface (ipywidgets, Colab's `#@param`, a web
page) writes any of it a second time. Not here: what a field looks like on one of them.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from chatter_nb.params.base import RunParams
from chatter_nb.params.runs import ConvertParams, SpeakParams

Kind = Literal["text", "flag", "integer", "number", "choice", "choices", "mapping"]

# What a person changes most often, in the order in which a form shows it; the rest is folded away.
COMMON: dict[type[RunParams], tuple[str, ...]] = {
    SpeakParams: (
        *("text", "text_file", "engine", "language", "voice", "seed", "speed"),
        *("exaggeration", "cfg_weight", "temperature", "formats"),
    ),
    ConvertParams: ("source", "target", "engine", "seed", "window_s", "overlap_s", "formats"),
}

_UNITS = {"ms": "ms", "s": "s", "bits": "bits", "chars": "characters"}


@dataclass(frozen=True)
class Field:
    """One parameter. `least` and `most` are inclusive unless `above`: then it must exceed `least`.

    `optional`: None leaves the choice to the engine. `choices` are the values of a "choice", and
    those that "choices" takes several of.
    """

    name: str
    label: str
    unit: str
    help: str
    kind: Kind
    default: Any
    least: float | None = None
    most: float | None = None
    above: bool = False
    choices: tuple[Any, ...] = ()
    optional: bool = False

    @property
    def range(self) -> str:
        """The valid values in words: "0 to 60000 ms", "above 0, up to 5"; empty where any serve."""
        if self.least is None or self.most is None:
            return ""
        to = f"above {self.least:g}, up to {self.most:g}" if self.above else _span(self)
        return f"{to} {self.unit}".strip()

    @property
    def hint(self) -> str:
        """Help and range in a sentence."""
        return "; ".join(filter(None, [self.help, self.range]))


def fields_of(cls: type[RunParams]) -> dict[str, Field]:
    """Every field of a class of parameters, by name, in its order."""
    return {name: _field(name, info) for name, info in cls.model_fields.items()}


def _span(field: Field) -> str:
    most = field.most or 0
    return f"{field.least:g} to {most:.0f}" if most >= 1e6 else f"{field.least:g} to {most:g}"


def _field(name: str, info: FieldInfo) -> Field:
    kind, choices, optional = _kind(info.annotation, info.default)
    label, unit = _label(name)
    least, most, above = _bounds(info.annotation, info.metadata)
    default = list(info.default) if isinstance(info.default, tuple) else info.default
    return Field(
        name=name,
        label=label,
        unit=unit,
        help=info.description or "",
        kind=kind,
        default=default,
        least=least,
        most=most,
        above=above,
        choices=choices,
        optional=optional,
    )


def _label(name: str) -> tuple[str, str]:
    """`sentence_pause_ms` is "sentence pause" in "ms"."""
    words, _, last = name.rpartition("_")
    unit = _UNITS.get(last, "") if words else ""
    return (words if unit else name).replace("_", " "), unit


def _kind(annotation: Any, default: Any) -> tuple[Kind, tuple[Any, ...], bool]:
    parts = _parts(annotation)
    optional = type(None) in parts
    (kind,) = [part for part in parts if part is not type(None)]
    origin = get_origin(kind)
    if origin is Literal:
        return "choice", get_args(kind), optional
    if origin is tuple:
        return "choices", get_args(_bare(get_args(kind)[0])), optional
    if origin is dict:
        return "mapping", (), optional
    plain: dict[Any, Kind] = {bool: "flag", int: "integer", float: "number", str: "text"}
    return plain[kind], (), optional


def _parts(annotation: Any) -> list[Any]:
    """What a union is of, without what `Annotated` adds."""
    bare = _bare(annotation)
    if get_origin(bare) in (Union, types.UnionType):
        return [part for one in get_args(bare) for part in _parts(one)]
    return [bare]


def _bare(annotation: Any) -> Any:
    return _bare(annotation.__origin__) if hasattr(annotation, "__metadata__") else annotation


def _bounds(annotation: Any, metadata: Any) -> tuple[float | None, float | None, bool]:
    """From `ge`, `gt`, `le`, `lt`, wherever in a union or an `Annotated` they stand."""
    found: dict[str, float] = {}
    for rule in _rules(annotation, metadata):
        for bound in ("ge", "gt", "le", "lt"):
            value = getattr(rule, bound, None)
            if value is not None:
                found[bound] = value
    least = found.get("gt", found.get("ge"))
    most = found["lt"] - 1 if "lt" in found else found.get("le")
    return least, most, "gt" in found


def _rules(annotation: Any, metadata: Any) -> list[Any]:
    found: list[Any] = []
    for rule in metadata:
        found += getattr(rule, "metadata", None) or [rule]
    if hasattr(annotation, "__metadata__"):
        found += _rules(annotation.__origin__, annotation.__metadata__)
    for part in get_args(annotation):
        if hasattr(part, "__metadata__"):
            found += _rules(part, ())
    return found
