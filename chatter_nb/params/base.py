"""The base of all parameter objects: frozen, strict, with errors that name the value and the cure.

Also the types of fields that several classes have. Not here: the fields and rules of one kind of
run (`params.runs`), or anything that needs a model.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from chatter_nb.base.disk import read_json
from chatter_nb.base.errors import ParamError, shorten, shown
from chatter_nb.base.formats import OutputName
from chatter_nb.base.hashing import digest
from chatter_nb.base.project import find_path, read_yaml, resolve_path
from chatter_nb.params.cells import cell_names

RunKind = Literal["speak", "convert"]

# A run name becomes a folder: one path component, no leading dot, nothing a shell trips over.
MAX_NAME_BYTES = 200
_MAX_PROBLEMS, _NAME_CHARS = 20, 80  # of an error
_RUN_NAME = re.compile(r"\w[\w .+-]{0,119}")
# What lies under an outputs root beside the runs, in lower case as some disks see it.
_FILES = ("batch.json", "batch.log", "index.html", "readme.md")
OWN_NAMES = {*_FILES, "voices", "compare", "timing", "uploads", "page_uploads"}
# Where a result goes and how it is made, not what it is.
NOT_DECIDING = {"outputs_dir", "run_name", "interactive", "verify_workers"}
# Fields that came after runs had names and keys: at its default, a field counts in neither.
_LATER = {"verify", "tries", "asr_model", "trim_tails"}


def _check_run_name(value: str) -> str:
    if value and (not _RUN_NAME.fullmatch(value) or value.endswith((".", " "))):
        raise ValueError(
            f"{shown(value)} cannot name a folder: use letters, digits, space and . + - _ "
            "(no path; choose the place with outputs_dir)"
        )
    if len(value.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"{shown(value)} is too long for a folder: at most {MAX_NAME_BYTES} bytes")
    if value.casefold() in OWN_NAMES:
        raise ValueError(
            f"{value!r} is a place of chatter_nb's own beside the runs: choose another run_name, "
            f"such as {value.partition('.')[0] + '-1'!r}"
        )
    return value


def _no_duplicates(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        raise ValueError(f"a format is listed twice in {shown(list(value))}")
    return value


def _check_utf8(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds bytes that are not UTF-8 text") from None
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return value


def _as_tuple(value: Any) -> Any:
    """A tuple of a list, or of "wav, mp3" as people write it; other values unchanged."""
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("[]").split(",") if part.strip()]
    return one_or_more(value)


def one_or_more(value: Any) -> Any:
    """A tuple of a list, or of a single text (of "", an empty tuple); other values unchanged."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(value) if isinstance(value, list) else value


def _check_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError(f"{shown(value)} is no device: use auto, cpu, mps, cuda or cuda:0")
    return value


# The fields that several kinds of run have, each with its range and its help. They are types, not
# fields of the base class, so that each kind can order its fields.
Text = Annotated[str, AfterValidator(_check_utf8)]
VoicesDir = Annotated[
    Text, Field(description="where voices are found by name; empty: voices/ under outputs_dir")
]
Seed = Annotated[int, Field(ge=-1, lt=2**32, description="same seed, same audio; -1 draws one")]
CfmSteps = Annotated[int, Field(ge=1, le=100)]
PromptSeconds = Annotated[float, Field(gt=0, le=30)]
Formats = Annotated[
    tuple[OutputName, ...],
    Field(min_length=1, description="audio files to write"),
    BeforeValidator(_as_tuple),
    AfterValidator(_no_duplicates),
]
WavBits = Annotated[Literal[16, 24, 32], Field(description="wav sample width; 32 is float")]
Device = Annotated[str, AfterValidator(_check_device), Field(description="where models run")]
Precision = Annotated[
    Literal["auto", "exact", "fast", "int8"],
    Field(description="exact: float32; fast: 16-bit weights; int8: on a CPU"),
]
Checkpoint = Annotated[
    Text, Field(description="a folder of model files instead of the hub's cache")
]
OutputsDir = Annotated[
    str, Field(min_length=1, description="where run folders go"), AfterValidator(_check_utf8)
]
RunName = Annotated[str, AfterValidator(_check_run_name)]
Interactive = Annotated[bool, Field(description="a person is watching; batches pass false")]


class StrictParams(BaseModel):
    """The base of all parameter objects.

    Frozen and strict: an unknown name, a wrong type, NaN or a value out of range is an error that
    names it. `None` leaves the choice to the engine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    # Pairs (injected, sample): if Papermill injects the first, the cell's second is ignored.
    _replaces: ClassVar[tuple[tuple[str, str], ...]] = ()

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        """A message for each combination of fields that is not valid. Values may have any type."""
        yield from ()

    @model_validator(mode="after")
    def _keeps_rules(self) -> Self:
        for problem in self._rules(dict(self)):
            raise ValueError(problem)  # `__init__` adds the other problems
        return self

    def __init__(self, /, **values: Any) -> None:
        """Raises `ParamError` with every problem, each with its cure."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            causes = _first_causes(error.errors())
            lines = [_explain(problem, type(self)) for problem in causes[:_MAX_PROBLEMS]]
            # pydantic checks the rules only if every field is valid
            defaults = {name: field.default for name, field in type(self).model_fields.items()}
            lines += [line for line in self._rules(defaults | values) if line not in lines]
            more = len(causes[_MAX_PROBLEMS:])
            if len(lines) > 1:
                lines.insert(0, f"{len(lines) + more:,} problems")
                lines += [f"… and {more:,} more"] if more else []
            raise ParamError("\n  ".join(lines)) from None

    @classmethod
    def create(cls, values: Mapping[str, Any], *, where: str = "parameters") -> Self:
        """The parameters of a mapping. Raises `ParamError` that begins with `where`, its origin."""
        try:
            return cls(**values)
        except ParamError as error:
            raise ParamError(f"{where}: {error}") from None

    @classmethod
    def coerce(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values with every string (of `-p`) in its field's type; YAML would guess the type."""
        return {
            name: _coerce(cls, name, value) if isinstance(value, str) else value
            for name, value in values.items()
        }

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """The parameters that a notebook's parameters cell sets; `namespace` is its `globals()`.

        A misspelt name raises `ParamError`, also if Papermill injected it, which itself only warns.
        """
        named, injected = cell_names(namespace.get("In", []), set(cls.model_fields))
        values = {name: namespace[name] for name in cls.model_fields if name in namespace}
        values |= {name: namespace.get(name) for name in named}
        for name, sample in cls._replaces:
            if name in injected and sample not in injected:
                values.pop(sample, None)
        return cls.create(values, where="the notebook's parameters")


class RunParams(StrictParams):
    """The base of the parameters of a run, which has a name and a folder for its result."""

    _unnamed: ClassVar[str] = "run"  # the beginning of a run's name if its source has no letters

    if TYPE_CHECKING:  # every kind of run declares these, in its own order
        kind: ClassVar[RunKind]
        source_fields: ClassVar[tuple[str, ...]]  # what the run is made from
        voice_field: ClassVar[str]
        engine: Any
        seed: int
        outputs_dir: str
        run_name: str

    def _named_after(self) -> str:
        """The text whose first words name a run without `run_name`."""
        return ""

    @classmethod
    def from_file(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """The parameters in a YAML file; `run_name` defaults to its stem.

        `overrides` replace values of the file; strings among them are of `-p`.
        """
        values = read_file(path) | cls.coerce(overrides or {})
        named = bool(values.get("run_name"))
        values["run_name"] = values.get("run_name") or Path(path).stem
        try:
            return cls.create(values, where=str(path))
        except ParamError as error:
            if named or "run_name: " not in str(error):
                raise
            message = f"{error}\n  it sets no run_name: the run is named after the file"
            raise ParamError(message) from None

    def deciding(self) -> dict[str, Any]:
        """The values that decide the result, as in JSON."""
        fields = type(self).model_fields
        unused = {name for name in _LATER & fields.keys() if self._is_default(name)}
        return self.model_dump(mode="json", exclude=NOT_DECIDING | unused)

    def _is_default(self, name: str) -> bool:
        return bool(getattr(self, name) == type(self).model_fields[name].default)

    def digest(self) -> str:
        """A short hash over everything that decides the result, to name runs."""
        return digest(self.deciding(), size=3)

    def resolved_run_name(self) -> str:
        """`run_name`, else the first words of the source, and a short hash."""
        if self.run_name:
            return self.run_name
        slug = "-".join(re.findall(r"\w+", self._named_after().lower()))[:32].strip("-_")
        return f"{slug or self._unnamed}-{self.digest()}"

    def run_dir(self) -> Path:
        """The run's folder, absolute."""
        return resolve_path(self.outputs_dir) / self.resolved_run_name()


def read_file(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; the path is relative to the working directory or the project.

    Of a run's record (run.json) it is the run's parameters, with the engine and the seed that it
    had: the same run again.
    """
    found = find_path(path)
    record: Any = read_json(found) if found.suffix == ".json" else None
    try:
        settled = {"engine": record["engine"]["name"], "seed": record["seed"]}
        return {**record["params"], "run_name": record["run_name"], **settled}
    except (TypeError, KeyError):  # no record
        return read_yaml(found)


def _coerce(cls: type[StrictParams], name: str, value: str) -> Any:
    field = cls.model_fields.get(name)
    if field is None or field.annotation is str or name == "formats":
        return value  # `create` reports unknown names, with the other problems
    if value.strip().lower() in ("none", "null", "") and field.default is None:
        return None
    try:
        if isinstance(field.default, dict):
            return json.loads(value)
        kind: Any = field.annotation
        number = int(value) if re.fullmatch(r"[+-]?\d+", value.strip()) else value
        return TypeAdapter(kind).validate_python(number, strict=False)
    except (ValueError, RecursionError):  # no JSON, thousands of digits, nested too deeply
        return value  # `create` names the field, the value and what it should be


def _first_causes(problems: Any) -> list[Any]:
    """The problems, without that of a list which is too short because its items are wrong."""
    items = {problem["loc"][0] for problem in problems if len(problem["loc"]) > 1}
    return [p for p in problems if p["type"] != "too_short" or p["loc"][0] not in items]


def unknown_name(name: str, known: Sequence[str]) -> str:
    """The message for an unknown parameter, with the nearest known name, or with all names."""
    near = difflib.get_close_matches(name[:_NAME_CHARS], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(known)
    return f"unknown parameter {shown(name)}: {hint}"


def _explain(problem: Any, cls: type[StrictParams]) -> str:
    """The line for a pydantic problem: name, value, what is valid."""
    parts = [part for part in problem["loc"] if isinstance(part, str)]
    name = ".".join([*parts[:1], *(shorten(part, _NAME_CHARS) for part in parts[1:])])
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        return unknown_name(parts[-1], list(cls.model_fields))
    if not name:  # a rule over several fields carries its own whole message
        return problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    message = problem["msg"].replace("Input should be", "should be")
    if problem["type"] == "string_type":
        message += "; put it in quotes"
    if problem["type"] == "dict_type":
        message += '; write {"name": "value"}'
    return f"{name}: {message} (given {shown(value)}, {type(value).__name__})"
