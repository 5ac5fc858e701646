"""The base of all parameter objects: frozen, strict, with errors that name the value and the cure.

Not here: the types of fields (`params.types`), the fields and rules of one kind of run
(`params.runs`), or anything that needs a model.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from chatter_nb.base.disk import read_json
from chatter_nb.base.errors import ParamError, shorten, shown
from chatter_nb.base.hashing import digest
from chatter_nb.base.project import find_path, read_yaml, resolve_path
from chatter_nb.params.cells import cell_names
from chatter_nb.params.pairs import CURE

RunKind = Literal["speak", "convert"]

_MAX_PROBLEMS, _NAME_CHARS = 20, 80  # of an error
# Where a result goes and how it is made, not what it is.
NOT_DECIDING = {"outputs_dir", "run_name", "interactive", "verify_workers"}
# Fields that came after runs had names and keys: at its default, a field counts in neither.
_LATER = {"verify", "tries", "asr_model", "trim_tails", "edits"}
_LATER |= {"chapters", "skip", "clean", "unspeakable"}
_LATER |= {"split", "master", "title", "author", "read_by", "cover", "date", "description"}
_LATER |= {"lexicon", "normalize", "cast", "narrator", "quotes", "moods", "labels"}
_LATER |= {"subtitles", "read_along", "room_tone", "head_s", "tail_s", "sample_rate"}


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
        later = _LATER & fields.keys()
        unused = {name for name in later if getattr(self, name) == fields[name].default}
        return self.model_dump(mode="json", exclude=NOT_DECIDING | unused)

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
    if field is None or field.annotation is str or name in ("formats", "subtitles", "lexicon"):
        return value  # `create` reports unknown names, with the other problems
    if value.strip().lower() in ("none", "null", "") and field.default is None:
        return None
    try:
        kind: Any = field.annotation
        number = int(value) if re.fullmatch(r"[+-]?\d+", value.strip()) else value
        typed = TypeAdapter(kind).validate_python(number, strict=False)
        return number if isinstance(number, int) and isinstance(typed, float) else typed
    except ValueError:  # thousands of digits, or a mapping, which its type reads
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


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The class of the items of a mapping, if it is one of ours."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_inner, get_args(annotation))), None)


def _explain(problem: Any, cls: type[StrictParams]) -> str:
    """The line for a pydantic problem: name, value, what is valid."""
    parts = [part for part in problem["loc"] if isinstance(part, str)]
    name = ".".join([*parts[:1], *(shorten(part, _NAME_CHARS) for part in parts[1:])])
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        inner = _inner(cls.model_fields[parts[0]].annotation) if len(parts) > 1 else None
        where = f"{name.rpartition('.')[0]}: " if inner else ""
        return where + unknown_name(parts[-1], list((inner or cls).model_fields))
    if not name:  # a rule over several fields carries its own whole message
        return problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    message = problem["msg"].replace("Input should be", "should be")
    is_word = problem["type"] == "literal_error" and isinstance(value, bool)  # YAML's on, off, no
    if problem["type"] == "string_type" or is_word:
        message += "; put it in quotes"
    if problem["type"] == "dict_type":
        message += f"; {CURE}"
    if problem["type"] == "model_type":
        inner = _inner(cls.model_fields[parts[0]].annotation) or cls
        message = f"should be {{name: value}} with names of: {', '.join(inner.model_fields)}"
    return f"{name}: {message} (given {shown(value)}, {type(value).__name__})"
