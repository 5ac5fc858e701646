"""Writes a notebook's parameters cell from `SpeakParams`, so that the two cannot drift apart.

`python tests/parameters_cell.py` prints the cell of 01_speak; a test compares them.
"""

from chatter_nb.params import SpeakParams

SAMPLE = (
    "The north wind and the sun were disputing which was the stronger, when a traveler came "
    "along, wrapped in a warm cloak. [pause 400ms] They agreed that the one who first succeeded "
    "in making the traveler take his cloak off should be considered stronger than the other."
)


def parameters_cell(sample: str = SAMPLE) -> str:
    """One line a field: `name: type = default  # what it is`. None goes without a type, since
    Papermill would take the text "None" for a typed one."""
    lines = []
    for name, field in SpeakParams.model_fields.items():
        default = sample if name == "text" else field.default
        default = list(default) if isinstance(default, tuple) else default
        kind = "" if default is None else f": {type(default).__name__}"
        value = f'"{default}"' if isinstance(default, str) else repr(default).replace("'", '"')
        lines.append(f"{name}{kind} = {value}  # {field.description}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(parameters_cell())
