"""What a listener has chosen among the runs of a folder: `choices.json`.

The gallery writes it, or downloads it where no server writes it. A batch reads what is kept,
05_compare what is to be compared.
"""

from __future__ import annotations

import threading
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from chatter_nb.base.disk import write_json
from chatter_nb.base.errors import InputError, shorten

CHOICES = "choices.json"
MAX_NOTE = 2000  # characters

_saving = threading.Lock()


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("a run's folder must lie beside the file")
    return name


class Choice(BaseModel):
    """What is chosen of a run: 0 to 5 stars, a note, to keep it, to compare it with others."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    stars: int = Field(0, ge=0, le=5)
    note: str = Field("", max_length=MAX_NOTE)
    keep: bool = False
    compare: bool = False


class Choices(BaseModel):
    """choices.json, schema 1. A run is named by its folder, relative to the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(1, alias="schema")
    choices: dict[Annotated[str, AfterValidator(_inside)], Choice] = {}


def parse_choices(content: bytes, *, where: object) -> Choices:
    """Return the choices in JSON. Raises `InputError` that begins with `where`, its origin."""
    try:
        return Choices.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]
        place = "".join(f"{part}: " for part in problem["loc"])
        raise InputError(
            f"{where} holds no choices of a gallery: {shorten(place, 100)}"
            f"{shorten(problem['msg'], 200)}; move it away, and mark runs in the gallery"
        ) from None


def marked_runs(path: Path, mark: Literal["keep", "compare"]) -> list[Path]:
    """Return the folders of the runs that a choices.json marks. Raises `InputError` for none."""
    choices = load_choices(path).choices
    folders = [path.parent / name for name, choice in choices.items() if getattr(choice, mark)]
    if not folders:
        raise InputError(
            f"{path} marks no run with '{mark}': tick it in chatter-nb gallery {path.parent} --open"
        )
    return folders


def load_choices(path: Path) -> Choices:
    """Return the choices in a file; none if there is no file. Raises `InputError` if damaged."""
    try:
        return parse_choices(path.read_bytes(), where=path)
    except FileNotFoundError:
        return Choices()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def save_choices(folder: Path, changed: Choices) -> None:
    """Merge what was chosen of some runs into `folder/choices.json`, durably.

    A run of which nothing is chosen any more leaves the file. Raises `InputError` if the file is
    damaged, which then stays, and `OutputError` if the disk does not take it.
    """
    with _saving:
        merged = load_choices(folder / CHOICES).choices | changed.choices
        chosen = {name: choice for name, choice in sorted(merged.items()) if choice != Choice()}
        values = Choices(choices=chosen).model_dump(mode="json", by_alias=True)
        write_json(folder / CHOICES, values, durable=True)
