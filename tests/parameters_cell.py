"""Writes a notebook's parameters cell from its class of parameters, so that the two cannot drift.

`python tests/parameters_cell.py [speak|convert|batch]` prints the cell; a test compares them.
"""

import sys
from typing import Any

from chatter_nb.batchparams import BatchParams
from chatter_nb.params import ConvertParams, SpeakParams
from chatter_nb.strict import StrictParams

CLASSES: dict[str, type[StrictParams]] = {
    "speak": SpeakParams,
    "convert": ConvertParams,
    "batch": BatchParams,
}
# What the notebook shows when it is run as it is: a field's default where none is named.
SAMPLES: dict[type[StrictParams], dict[str, Any]] = {
    SpeakParams: {
        "text": "The north wind and the sun were disputing which was the stronger, when a traveler "
        "came along, wrapped in a warm cloak. [pause 400ms] They agreed that the one who first "
        "succeeded in making the traveler take his cloak off should be considered stronger than "
        "the other."
    },
    ConvertParams: {
        "source": "params/recordings/reading.flac",
        "target": "params/recordings/target.flac",
    },
    BatchParams: {"files": ["params/batch/*.yaml"], "outputs_dir": "outputs/batch"},
}


def parameters_cell(cls: type[StrictParams] = SpeakParams, **samples: Any) -> str:
    """One line a field: `name: type = default  # what it is`. None goes without a type, since
    Papermill would take the text "None" for a typed one. `samples` go before `SAMPLES`."""
    shown = SAMPLES[cls] | samples
    lines = []
    for name, field in cls.model_fields.items():
        default = shown.get(name, field.default)
        default = list(default) if isinstance(default, tuple) else default
        kind = "" if default is None else f": {type(default).__name__}"
        value = f'"{default}"' if isinstance(default, str) else repr(default).replace("'", '"')
        lines.append(f"{name}{kind} = {value}  # {field.description}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(parameters_cell(CLASSES[sys.argv[1] if len(sys.argv) > 1 else "speak"]))
