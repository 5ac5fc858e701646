"""The fields of a parameter object as a form needs them: label, unit, range, choices, help.

Everything is read from the class and its JSON schema, so that no surface (ipywidgets, Colab's
`#@param`, a web page) writes it a second time. Not here: how a field looks on a surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic.fields import FieldInfo

from chatter_nb.params.base import RunParams
from chatter_nb.params.runs import ConvertParams, SpeakParams

Kind = Literal["text", "flag", "integer", "number", "choice", "choices", "mapping"]

_KINDS: dict[str, Kind] = {
    "string": "text",
    "boolean": "flag",
    "integer": "integer",
    "number": "number",
    "array": "choices",
    "object": "mapping",
}  # by type in the JSON schema

_UNITS = {"ms": "ms", "s": "s", "bits": "bits", "chars": "characters"}


@dataclass(frozen=True)
class Field:
    """One parameter. Values from `least` to `most` are valid; with `above`, not `least` itself.

    `often`: people change it often, so that it stands in sight; `purpose` is the title of its
    group. `optional`: None leaves the choice to the engine. `choices` are the valid values of a
    "choice", and of each item of "choices".
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
    often: bool = False
    purpose: str = ""

    @property
    def range(self) -> str:
        """The valid values in words: "0 to 60000 ms", "above 0, up to 5"; empty: any."""
        if self.least is None or self.most is None:
            return ""
        most = f"{self.most:.0f}" if self.most >= 1e6 else f"{self.most:g}"
        if self.above:
            return f"above {self.least:g}, up to {most} {self.unit}".strip()
        return f"{self.least:g} to {most} {self.unit}".strip()

    @property
    def hint(self) -> str:
        """Help and range in a sentence."""
        return "; ".join(filter(None, [self.help, self.range]))


def fields_of(cls: type[RunParams]) -> dict[str, Field]:
    """The fields of a class of parameters, by name, in its order."""
    schemas = cls.model_json_schema()["properties"]
    return {name: _field(name, info, schemas[name]) for name, info in cls.model_fields.items()}


def _field(name: str, info: FieldInfo, schema: dict[str, Any]) -> Field:
    options = schema.get("anyOf", [schema])  # of `int | None`: an integer, or null
    values = next(option for option in options if option.get("type") != "null")
    item = values.get("items", values.get("additionalProperties"))  # of a list or a mapping
    bounds = item if isinstance(item, dict) else values
    label, unit = _label(name)
    kind = "choice" if "enum" in values else _KINDS[values["type"]]
    most = bounds.get("maximum")
    if "exclusiveMaximum" in bounds:
        most = bounds["exclusiveMaximum"] - 1
    return Field(
        name=name,
        label=info.title or label,
        unit=unit,
        help=info.description or "",
        kind="text" if kind == "choices" and "enum" not in bounds else kind,
        default=list(info.default) if isinstance(info.default, tuple) else info.default,
        least=bounds.get("exclusiveMinimum", bounds.get("minimum")),
        most=most,
        above="exclusiveMinimum" in bounds,
        choices=tuple(bounds.get("enum", ())),
        optional=len(options) > 1,
        often=schema.get("often", False),
        purpose=schema.get("purpose", ""),
    )


def _label(name: str) -> tuple[str, str]:
    """Label and unit: `sentence_pause_ms` is "sentence pause" in "ms"."""
    words, _, last = name.rpartition("_")
    unit = _UNITS.get(last, "") if words else ""
    return (words if unit else name).replace("_", " "), unit


# The fields that people change most often; forms fold the others away.
COMMON: dict[type[RunParams], tuple[str, ...]] = {
    cls: tuple(name for name, field in fields_of(cls).items() if field.often)
    for cls in (SpeakParams, ConvertParams)
}
