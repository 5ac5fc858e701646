"""What all parameter objects share: frozen, strict, and errors that name the value and the cure.

Also the types of fields that several of them have. Not here: any one kind of run's own fields and
rules (`params`), or anything that needs a model.
"""

from __future__ import annotations

import difflib
import hashlib
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

from chatter_nb.base.errors import ParamError, shorten, shown
from chatter_nb.base.project import find_path, read_yaml, resolve_path
from chatter_nb.params.cells import cell_names

AudioFormat = Literal["wav", "flac", "mp3", "opus"]

# A run name becomes a folder: one path component, no leading dot, nothing a shell trips over.
MAX_NAME_BYTES = 200
_MAX_PROBLEMS, _NAME_CHARS = 20, 80  # of an error
_RUN_NAME = re.compile(r"\w[\w .+-]{0,119}")
# What lies under an outputs root beside the runs, in lower case as some disks see it.
_FILES = ("batch.json", "batch.log", "index.html", "readme.md")
OWN_NAMES = {*_FILES, "voices", "compare", "timing", "uploads", "page_uploads"}
# Where a result goes, not what it is.
NOT_DIGESTED = {"outputs_dir", "run_name", "interactive"}


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
    """A list, or "wav, mp3" as people write it."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.strip("[]").split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


def one_or_more(value: Any) -> Any:
    """A list, or one alone as people write it; nothing of an empty text."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(value) if isinstance(value, list) else value


def _check_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError(f"{shown(value)} is no device: use auto, cpu, mps, cuda or cuda:0")
    return value


# The fields that several kinds of run have, each with its range and its help. They are types, not
# fields of the base class, so that each kind puts them where they read best.
Text = Annotated[str, AfterValidator(_check_utf8)]
VoicesDir = Annotated[
    Text, Field(description="where voices are found by name; empty: voices/ under outputs_dir")
]
Seed = Annotated[int, Field(ge=-1, lt=2**32, description="same seed, same audio; -1 draws one")]
CfmSteps = Annotated[int, Field(ge=1, le=100)]
PromptSeconds = Annotated[float, Field(gt=0, le=30)]
Formats = Annotated[
    tuple[AudioFormat, ...],
    Field(min_length=1, description="audio files to write"),
    BeforeValidator(_as_tuple),
    AfterValidator(_no_duplicates),
]
WavBits = Annotated[Literal[16, 24, 32], Field(description="wav sample width; 32 is float")]
Device = Annotated[str, AfterValidator(_check_device), Field(description="where models run")]
Precision = Annotated[
    Literal["auto", "exact", "fast"], Field(description="exact: float32; fast: 16-bit weights")
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
    names it. `None` leaves a choice to what is asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    # Pairs (given, other): where Papermill injects `given`, the cell's sample of `other` yields.
    _replaces: ClassVar[tuple[tuple[str, str], ...]] = ()

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with fields together, each a whole message. Values may be of any type."""
        yield from ()

    @model_validator(mode="after")
    def _keeps_rules(self) -> Self:
        for problem in self._rules(dict(self)):
            raise ValueError(problem)  # `__init__` adds the others
        return self

    def __init__(self, /, **values: Any) -> None:
        """Raises `ParamError` with every problem, each with its cure."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            causes = _first_causes(error.errors())
            lines = [_explain(problem, type(self)) for problem in causes[:_MAX_PROBLEMS]]
            # pydantic asks for the rules only when all else is well
            defaults = {name: field.default for name, field in type(self).model_fields.items()}
            lines += [line for line in self._rules(defaults | values) if line not in lines]
            more = len(causes[_MAX_PROBLEMS:])
            raise ParamError("\n  ".join(_heading(lines, more))) from None

    @classmethod
    def create(cls, values: Mapping[str, Any], *, where: str = "parameters") -> Self:
        """Validate a mapping; an error begins with `where` it came from."""
        try:
            return cls(**values)
        except ParamError as error:
            raise ParamError(f"{where}: {error}") from None

    @classmethod
    def coerce(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Turn `-p` strings into the fields' types: by the field, not by guessing as YAML does."""
        return {
            name: _coerce(cls, name, value) if isinstance(value, str) else value
            for name, value in given.items()
        }

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """Take the parameters cell's variables out of a notebook's `globals()`.

        A misspelt name is an error, in the cell as well as from Papermill, which itself only warns.
        """
        named, injected = cell_names(namespace.get("In", []), set(cls.model_fields))
        values = {name: namespace[name] for name in cls.model_fields if name in namespace}
        values |= {name: namespace.get(name) for name in named}
        for given, other in cls._replaces:
            if given in injected and other not in injected:
                values.pop(other, None)
        return cls.create(values, where="the notebook's parameters")


class RunParams(StrictParams):
    """The base of every kind of run's parameters: it has a name, and a folder for its result."""

    _unnamed: ClassVar[str] = "run"  # begins the name of a run whose source has no letters

    if TYPE_CHECKING:  # every kind of run has these, at a place of its own
        engine: Any
        seed: int
        outputs_dir: str
        run_name: str

    def _named_after(self) -> str:
        """The words that name a run without a name."""
        return ""

    @classmethod
    def from_file(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a YAML file; `run_name` defaults to its stem. Strings in `overrides` are `-p`'s."""
        values = read_file(path) | cls.coerce(overrides or {})
        named = bool(values.get("run_name"))
        values["run_name"] = values.get("run_name") or Path(path).stem
        try:
            return cls.create(values, where=str(path))
        except ParamError as error:
            if named or "run_name: " not in str(error):
                raise
            told = f"{error}\n  it sets no run_name: the run is named after the file"
            raise ParamError(told) from None

    def digest(self) -> str:
        """A short hash of all that decides the result, for naming runs."""
        values = self.model_dump(exclude=NOT_DIGESTED)
        canonical = json.dumps(values, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(canonical.encode(), digest_size=3).hexdigest()

    def resolved_run_name(self) -> str:
        """`run_name`, else the first words of what it is made from, and a short hash."""
        if self.run_name:
            return self.run_name
        slug = "-".join(re.findall(r"\w+", self._named_after().lower()))[:32].strip("-_")
        return f"{slug or self._unnamed}-{self.digest()}"

    def run_dir(self) -> Path:
        """The run's folder, absolute."""
        return resolve_path(self.outputs_dir) / self.resolved_run_name()


def read_file(path: str | Path) -> dict[str, Any]:
    """A YAML file's mapping: from the working directory, else from the project root."""
    return read_yaml(find_path(path))


def _coerce(cls: type[StrictParams], name: str, value: str) -> Any:
    field = cls.model_fields.get(name)
    if field is None or field.annotation is str or name == "formats":
        return value  # unknown names are reported by `create`, with the others
    if value.strip().lower() in ("none", "null", "") and field.default is None:
        return None
    try:
        if isinstance(field.default, dict):
            return json.loads(value)
        kind: Any = field.annotation
        return TypeAdapter(kind).validate_python(_number(value), strict=False)
    except (ValueError, RecursionError):  # no JSON, thousands of digits, nested too deeply
        return value  # left as it is: `create` names the field, the value and what it should be


def _number(value: str) -> Any:
    return int(value) if re.fullmatch(r"[+-]?\d+", value.strip()) else value


def _heading(lines: list[str], more: int) -> list[str]:
    rest = [f"… and {more:,} more"] if more else []
    return lines if len(lines) == 1 else [f"{len(lines) + more:,} problems", *lines, *rest]


def _first_causes(problems: Any) -> list[Any]:
    """Without the complaint of a list that is empty only because its items were wrong."""
    items = {problem["loc"][0] for problem in problems if len(problem["loc"]) > 1}
    return [p for p in problems if p["type"] != "too_short" or p["loc"][0] not in items]


def unknown_name(name: str, known: Sequence[str]) -> str:
    """That there is no such parameter, and the nearest one, or all of them."""
    near = difflib.get_close_matches(name[:_NAME_CHARS], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(known)
    return f"unknown parameter {shown(name)}: {hint}"


def _explain(problem: Any, cls: type[StrictParams]) -> str:
    """One line for one pydantic problem: name, value, what is valid."""
    parts = [part for part in problem["loc"] if isinstance(part, str)]
    name = ".".join([*parts[:1], *(shorten(part, _NAME_CHARS) for part in parts[1:])])
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        return unknown_name(parts[-1], list(cls.model_fields))
    if not name:  # a rule over several fields carries its own whole message
        return problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    told = problem["msg"].replace("Input should be", "should be")
    if problem["type"] == "string_type":
        told += "; put it in quotes"
    if problem["type"] == "dict_type":
        told += '; write {"name": "value"}'
    return f"{name}: {told} (given {shown(value)}, {type(value).__name__})"
