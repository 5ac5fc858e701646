"""Writes a notebook's parameters cell from its class of parameters, so that the two cannot drift.

`python tests/parameters_cell.py [speak|convert|batch|timing|compare|book]` prints the cell; a test
compares them. What a person changes most is a field of Colab's form as well (`# @param`).
"""

import json
import sys
from typing import Any

from chatter_nb.batch.params import BatchParams
from chatter_nb.bench.params import TimingParams
from chatter_nb.notebook.compare import CompareParams
from chatter_nb.params.base import StrictParams
from chatter_nb.params.fields import Field, fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams

CLASSES: dict[str, type[StrictParams]] = {
    "speak": SpeakParams,
    "convert": ConvertParams,
    "batch": BatchParams,
    "timing": TimingParams,
    "compare": CompareParams,
    "book": SpeakParams,
}
TITLE = "# @title Parameters: what is often changed, then what seldom is"
# What a notebook shows when it is run as it is: a field's default where none is named.
SAMPLES: dict[str, dict[str, Any]] = {
    "speak": {
        "text": "The north wind and the sun were disputing which was the stronger, when a traveler "
        "came along, wrapped in a warm cloak. [pause 400ms] They agreed that the one who first "
        "succeeded in making the traveler take his cloak off should be considered stronger than "
        "the other."
    },
    "convert": {
        "source": "params/recordings/reading.flac",
        "target": "params/recordings/target.flac",
    },
    "batch": {"files": ["params/batch/*.yaml"], "outputs_dir": "outputs/batch"},
    "book": {
        "text_file": "params/books/fables.epub",
        "formats": ["m4b"],
        "master": "acx",
    },
}


def parameters_cell(kind: str = "speak") -> str:
    """One line a field: `name: type = default  # what it is`. None goes without a type, since
    Papermill would take the text "None" for a typed one.

    What is changed often comes first, and Colab shows it: what it is stands above such a field,
    where Colab shows it too. The others follow by purpose.
    """
    cls, shown = CLASSES[kind], SAMPLES.get(kind, {})
    fields = fields_of(cls)  # type: ignore[arg-type]
    lines: list[str] = []
    seldom: dict[str, list[str]] = {}  # by purpose
    grouped = any(field.often for field in fields.values())
    for name, info in cls.model_fields.items():
        assigned = _assigned(name, shown.get(name, info.default))
        field = fields[name]
        if field.often:
            lines += [
                f"# @markdown {info.description}",
                f"{assigned}  # @param {_param(field)}",
            ]
        else:
            seldom.setdefault(field.purpose if grouped else "", []).append(
                f"{assigned}  # {info.description}"
            )
    for purpose, group in seldom.items():
        lines += [f"# seldom changed: {purpose}"] if purpose else []
        lines += group
    return "\n".join([TITLE, *lines] if grouped else lines)


def _assigned(name: str, default: Any) -> str:
    default = list(default) if isinstance(default, tuple) else default
    kind = "" if default is None else f": {type(default).__name__}"
    value = f'"{default}"' if isinstance(default, str) else repr(default).replace("'", '"')
    return f"{name}{kind} = {value}"


def _param(field: Field) -> str:
    """What Colab makes of a field: a list to choose from, a slider, a box."""
    if field.kind == "choice":
        return json.dumps(field.choices)
    if field.optional or field.kind in ("choices", "mapping"):
        return '{"type":"raw"}'  # Python, so that None can be written
    if field.kind == "number":
        step = 1 if field.most > 50 else 0.1
        told = {"type": "slider", "min": field.least, "max": field.most, "step": step}
        return json.dumps(told, separators=(",", ":"))
    kinds = {"flag": "boolean", "integer": "integer", "text": "string"}
    return f'{{"type":"{kinds[field.kind]}"}}'


if __name__ == "__main__":
    print(parameters_cell(*sys.argv[1:]))
