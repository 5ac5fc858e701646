"""What a run is asked to do: one frozen object for YAML, notebook cell, form, HTTP and manifest.

Not here: anything that needs a model, or reads the text itself.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

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

from chatter_nb.cells import cell_names
from chatter_nb.errors import ParamError
from chatter_nb.project import read_yaml, resolve_path

AudioFormat = Literal["wav", "flac", "mp3", "opus"]
TtsEngineName = Literal[
    "auto", "hibari", "chatterbox", "chatterbox-multilingual", "chatterbox-turbo"
]

# A run name becomes a folder: one path component, no leading dot, nothing a shell trips over.
MAX_NAME_BYTES = 200
_RUN_NAME = re.compile(r"\w[\w .+-]{0,119}")


def _check_run_name(value: str) -> str:
    if value and (not _RUN_NAME.fullmatch(value) or value.endswith((".", " "))):
        raise ValueError(
            f"{value!r} cannot name a folder: use letters, digits, space and . + - _ "
            "(no path; choose the place with outputs_dir)"
        )
    if len(value.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"{value!r} is too long for a folder: at most {MAX_NAME_BYTES} bytes")
    return value


def _check_patterns(value: dict[str, str]) -> dict[str, str]:
    for pattern in value:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return value


def _check_words(value: dict[str, str]) -> dict[str, str]:
    if any(not word.strip() for word in value):
        raise ValueError("a word to replace cannot be empty")
    return value


def _no_duplicates(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        raise ValueError(f"a format is listed twice in {list(value)}")
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


def _check_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError(f"{value!r} is no device: use auto, cpu, mps, cuda or cuda:0")
    return value


_Pause = Annotated[int, Field(ge=0, le=60_000, json_schema_extra={"unit": "ms"})]
_Text = Annotated[str, AfterValidator(_check_utf8)]
_Take = Annotated[int, Field(ge=0, le=1_000_000)]


class SpeakParams(BaseModel):
    """Everything that decides what a text sounds like and where the result goes.

    Frozen and strict: an unknown name, a wrong type, NaN or a value out of range is an error that
    names it. `None` stands for the engine's own default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    text: _Text = Field("", description="the text to speak")
    text_file: _Text = Field("", description="a .txt or .md file, or a folder of them, to speak")
    merge: bool = Field(True, description="a folder of texts becomes one output, or one each")
    remove_references: bool = Field(False, description="drop [12] and superscript footnote numbers")
    replacements: Annotated[dict[str, str], AfterValidator(_check_words)] = Field(
        {}, description="whole words to say differently; a lower-case word matches any case"
    )
    regex_replacements: Annotated[dict[str, str], AfterValidator(_check_patterns)] = Field(
        {}, description="regular expressions to replace, Python's syntax"
    )
    engine: TtsEngineName = Field("auto", description="what speaks; auto takes the best present")
    language: str | None = Field(None, description="language code such as en", max_length=16)
    voice: _Text = Field("", description="a voice by name, or a recording; empty: the engine's own")
    seed: int = Field(0, ge=-1, lt=2**32, description="same seed, same audio; -1 draws one")
    chunk_chars: int = Field(280, ge=20, le=2000, description="longest text spoken in one go")
    sentence_pause_ms: _Pause = Field(250, description="silence between chunks of a paragraph")
    paragraph_pause_ms: _Pause = Field(600, description="silence after a paragraph")
    chapter_pause_ms: _Pause = Field(1500, description="silence after a chapter")
    crossfade_ms: int = Field(20, ge=0, le=60, description="overlap where a sentence had to be cut")
    exaggeration: float | None = Field(None, ge=0, le=2, description="emotional intensity")
    cfg_weight: float | None = Field(None, ge=0, le=2, description="how closely to follow the text")
    temperature: float | None = Field(None, gt=0, le=5, description="variation between takes")
    min_p: float | None = Field(None, ge=0, le=1, description="drop tokens below this share of p")
    top_p: float | None = Field(None, gt=0, le=1, description="keep tokens up to this total p")
    top_k: int | None = Field(None, ge=1, le=10_000, description="keep the k likeliest tokens")
    repetition_penalty: float | None = Field(None, ge=1, le=10, description="1 is none")
    max_new_tokens: int | None = Field(None, ge=1, le=4096, description="25 tokens a second")
    n_cfm_timesteps: int | None = Field(None, ge=1, le=100, description="steps from token to mel")
    prompt_s: float | None = Field(None, gt=0, le=30, description="voice prompt used, seconds")
    speed: float | None = Field(None, ge=0.5, le=2, description="pace; 1 is the voice's own")
    formats: Annotated[
        tuple[AudioFormat, ...], BeforeValidator(_as_tuple), AfterValidator(_no_duplicates)
    ] = Field(("wav",), min_length=1, description="audio files to write")
    wav_bits: Literal[16, 24, 32] = Field(16, description="wav sample width; 32 is float")
    takes: dict[str, _Take] = Field({}, description="chunk key: take, to make a chunk again")
    device: Annotated[str, AfterValidator(_check_device)] = Field(
        "auto", description="where models run"
    )
    precision: Literal["auto", "exact", "fast"] = Field("auto", description="exact or fast maths")
    rows: int = Field(0, ge=0, le=1024, description="chunks decoded together; 0 is automatic")
    checkpoint: _Text = Field("", description="a folder of model files instead of the hub's cache")
    outputs_dir: _Text = Field("outputs", min_length=1, description="where run folders go")
    run_name: Annotated[str, AfterValidator(_check_run_name)] = Field(
        "", description="the run's folder; empty: named after the file or the text"
    )
    interactive: bool = Field(True, description="a person is watching; batches pass false")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if problem := _source_problem(self.text, self.text_file):
            raise ValueError(problem)
        return self

    def __init__(self, /, **values: Any) -> None:
        """Raises `ParamError` with every problem, each with its cure."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            lines = [_explain(problem, type(self)) for problem in error.errors()]
            source = _source_problem(values.get("text"), values.get("text_file"))
            if source and source not in lines:  # pydantic asks for it only when all else is well
                lines.append(source)
            raise ParamError("\n  ".join(_heading(lines))) from None

    @classmethod
    def create(cls, values: Mapping[str, Any], *, where: str = "parameters") -> Self:
        """Validate a mapping; an error begins with `where` it came from."""
        try:
            return cls(**values)
        except ParamError as error:
            raise ParamError(f"{where}: {error}") from None

    @classmethod
    def from_file(cls, path: str | Path, overrides: Mapping[str, str] | None = None) -> Self:
        """Read a YAML file; `run_name` defaults to its stem. `overrides` are `-p` strings."""
        found = path if Path(path).exists() else resolve_path(path)
        values = read_yaml(found)
        values.setdefault("run_name", Path(path).stem)
        values.update(cls.coerce(overrides or {}))
        return cls.create(values, where=str(path))

    @classmethod
    def coerce(cls, strings: Mapping[str, str]) -> dict[str, Any]:
        """Turn `-p` strings into the fields' types: by the field, not by guessing as YAML does."""
        return {name: _coerce(cls, name, value) for name, value in strings.items()}

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """Take the parameters cell's variables out of a notebook's `globals()`.

        A misspelt name is an error, in the cell as well as from Papermill, which itself only warns.
        A `text_file` that Papermill injects replaces the cell's sample `text`, and the other way
        round.
        """
        named, injected = cell_names(namespace.get("In", []), set(cls.model_fields))
        values = {name: namespace[name] for name in cls.model_fields if name in namespace}
        values |= {name: namespace.get(name) for name in named}
        for given, other in (("text_file", "text"), ("text", "text_file")):
            if given in injected and other not in injected:
                values.pop(other, None)
        return cls.create(values, where="the notebook's parameters")

    def digest(self) -> str:
        """A short hash of all that decides the result, for naming runs."""
        values = self.model_dump(exclude={"outputs_dir", "run_name", "interactive"})
        canonical = json.dumps(values, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(canonical.encode(), digest_size=3).hexdigest()

    def resolved_run_name(self) -> str:
        """`run_name`, else the text file's stem or the text's first words, and a short hash."""
        if self.run_name:
            return self.run_name
        source = Path(self.text_file).stem if self.text_file else self.text
        slug = "-".join(re.findall(r"\w+", source.lower()))[:32].strip("-_")
        return f"{slug or 'speech'}-{self.digest()}"

    def run_dir(self) -> Path:
        """The run's folder, absolute."""
        return resolve_path(self.outputs_dir) / self.resolved_run_name()


def _coerce(cls: type[SpeakParams], name: str, value: str) -> Any:
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
    except (ValidationError, json.JSONDecodeError):
        return value  # left as it is: `create` names the field, the value and what it should be


def _number(value: str) -> Any:
    return int(value) if re.fullmatch(r"[+-]?\d+", value.strip()) else value


def _source_problem(text: Any, text_file: Any) -> str:
    """What is wrong with where the text comes from, if anything."""
    if text and text_file:
        return f"text and text_file are both set (text_file={text_file!r}): keep one"
    if not text_file and (not text or (isinstance(text, str) and not text.strip())):
        return "there is nothing to speak: set text or text_file"
    return ""


def _heading(lines: list[str]) -> list[str]:
    return lines if len(lines) == 1 else [f"{len(lines)} problems", *lines]


def _explain(problem: Any, cls: type[SpeakParams]) -> str:
    """One line for one pydantic problem: name, value, what is valid."""
    name = ".".join(str(part) for part in problem["loc"])
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, cls.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(cls.model_fields)
        return f"unknown parameter '{name}': {hint}"
    if not name:  # a rule over several fields carries its own whole message
        return problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    told = problem["msg"].replace("Input should be", "should be")
    if problem["type"] == "string_type":
        told += "; put it in quotes"
    if problem["type"] == "dict_type":
        told += '; write {"name": "value"}'
    return f"{name}: {told} (given {value!r}, {type(value).__name__})"
