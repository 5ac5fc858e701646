"""Reads the body of OpenAI's speech API: its fields, and its names for models and voices.

A field that this server does not know is passed over and listed (`Order.ignored`); a wrong value is
an error with the field's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from chatter_nb.base.errors import ChatterError
from chatter_nb.engines.offered import DEFAULT_VOICE
from chatter_nb.engines.registry import entry
from chatter_nb.params.cast import SPEEDS
from chatter_nb.params.runs import KNOBS, SpeakParams, knobs_of
from chatter_nb.serve.bodies import PARTS_HELP
from chatter_nb.serve.encoding import StreamName, encodable
from chatter_nb.serve.errors import Problem, problem_of
from chatter_nb.serve.offers import Catalog
from chatter_nb.serve.outputs import new_name

# OpenAI's names for its models, here for the default engine. Each engine has its name as well.
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
# OpenAI's voices. Each is the recording of that name, where it exists and the engine clones voices;
# else the engine's built-in voice.
VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
    *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
)
_DATED = re.compile(rf"({'|'.join(MODELS)})(-\d{{4}}(-\d\d-\d\d)?)?")  # tts-1-1106
# Fields beyond OpenAI's: the knobs of engines, and whether the speech is checked.
CHECK_FIELDS = ("verify", "tries", "trim_tails")
ENGINE_FIELDS = ("seed", *(name for name in KNOBS if name != "speed"), *CHECK_FIELDS)
_OPENAI_NAMES = {"text": "input", "formats": "response_format"}  # by the parameter's name
_IGNORED_CHARS = 40  # of the name of a field that is passed over


def _word(value: Any) -> Any:
    """A word in small letters without blanks around it; None for an empty word."""
    return value.strip().lower() or None if isinstance(value, str) else value


def _number(value: Any) -> Any:
    """A number that some clients send as text; None for an empty text."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def _id(value: Any) -> Any:
    """A voice's name out of `{"id": name}`, which newer clients send."""
    return value["id"] if isinstance(value, dict) and "id" in value else value


def _any_of(*schemas: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [*schemas, {"type": "null"}]})


_TEXT = {"type": "string"}
_ID = {"type": ["string", "null"]}
_VOICE = {"type": "object", "properties": {"id": _ID}, "required": ["id"]}

_FormatName = Annotated[StreamName | None, BeforeValidator(_word), _any_of(_TEXT)]
_Stream = Annotated[Literal["audio", "sse"] | None, BeforeValidator(_word), _any_of(_TEXT)]
_Speed = Annotated[float | None, BeforeValidator(_number), _any_of({"type": "number"}, _TEXT)]
_Voice = Annotated[str | None, BeforeValidator(_id), _any_of(_TEXT, _VOICE)]


class SpeechBody(BaseModel):
    """The body of `POST /v1/audio/speech`. Null or empty is as if left out."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    input: Annotated[str, Field(min_length=1)]
    model: str | None = Field(None, description="the default engine if left out")
    voice: _Voice = Field(None, description="by name, or as {id}; the engine's if left out")
    response_format: _FormatName = Field(None, description="mp3 if left out, opus aac flac wav pcm")
    speed: _Speed = Field(None, description="1 if left out; the nearest in the engine's range")
    parts: bool | None = Field(None, description=PARTS_HELP)
    stream_format: _Stream = Field(None, description="audio if left out: its bytes; sse: events")


@dataclass(frozen=True)
class Order:
    """What a body asks for: the run, how its audio is sent, and which fields are passed over."""

    params: SpeakParams
    format_name: str
    as_events: bool
    parts: bool | None
    ignored: tuple[str, ...]

    @property
    def is_silent(self) -> bool:
        """Whether the text has no letter and no digit, like "👍" or "...", which chats send."""
        return not any(map(str.isalnum, self.params.text))


def body_schema(text_chars: int) -> dict[str, Any]:
    """The schema of a body, with the knobs of the engines and the longest text."""
    schema, fields = SpeechBody.model_json_schema(), SpeakParams.model_json_schema()["properties"]
    null = {"type": "null"}
    schema["properties"] |= {name: {"anyOf": [fields[name], null]} for name in ENGINE_FIELDS}
    schema["properties"]["input"]["maxLength"] = text_chars
    return schema


def order_of(values: Mapping[str, Any], catalog: Catalog) -> Order:
    """The order in a body's JSON object. Raises `Problem` 400 or `ParamError` for a wrong value."""
    body = _body_of(values)
    format_name = body.response_format or "mp3"
    if format_name not in encodable():
        message = f"response_format: {format_name} has no encoder here; {', '.join(encodable())}"
        raise Problem(400, message, param="response_format")
    filled = {name for name, value in values.items() if value is not None}
    extra = filled - SpeechBody.model_fields.keys()
    knobs = {name: values[name] for name in extra if name in ENGINE_FIELDS}
    unchecked = {"verify": "off"}  # unless asked for: a client waits for the first sound
    params = catalog.speech({**unchecked, **knobs, **_params_of(body, catalog)}, new_name("tts"))
    catalog.check_marks(params, params.text)
    accepted = entry(params.engine).accepts
    not_taken = [name for name in knobs_of(params) if name not in accepted]
    params = params.model_copy(update=dict.fromkeys(not_taken))
    unknown = sorted(
        quote(name, errors="replace")[:_IGNORED_CHARS] for name in extra - knobs.keys()
    )
    ignored = [*unknown, *not_taken]
    if params.speed not in (None, body.speed):
        ignored.append(f"speed={body.speed:g} (it is {params.speed:g})")
    as_events = body.stream_format == "sse"
    return Order(params, format_name, as_events, body.parts, tuple(ignored))


def _params_of(body: SpeechBody, catalog: Catalog) -> dict[str, Any]:
    """OpenAI's fields as fields of `SpeakParams`."""
    engine, voice = _speaker(body, catalog)
    values: dict[str, Any] = {"text": body.input, "engine": engine, "voice": voice}
    if body.response_format == "flac":  # sent as the run's own file
        values["formats"] = ["flac"]
    if body.speed not in (None, 1.0):
        values["speed"] = min(max(body.speed, SPEEDS[0]), SPEEDS[1])
    return values


def _body_of(values: Mapping[str, Any]) -> SpeechBody:
    """Raises `Problem` 400 for wrong fields: its text lists all, its `param` is the first."""
    fields = {name: values[name] for name in SpeechBody.model_fields if name in values}
    try:
        return SpeechBody.model_validate(fields)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults]
        raise Problem(400, "\n".join(lines), param=str(faults[0]["loc"][0])) from None


def _speaker(body: SpeechBody, catalog: Catalog) -> tuple[str, str]:
    """Engine and voice. Where `voice` is empty, `model` may name a voice: some clients do that."""
    model, name = body.model or "", body.voice or ""
    engine, default = engine_named(model, catalog), catalog.choice().name
    if engine is None and not name and (voice := _voice(model, default, catalog)):
        return default, voice
    if engine is None:
        raise no_model(model, catalog)
    voice = _voice(name, engine, catalog)
    if voice is None:
        known = ", ".join(voice_names(engine, catalog))
        raise Problem(400, f"no voice {name[:80]!r}; there is: {known}", param="voice")
    return engine, voice


def engine_named(model: str, catalog: Catalog) -> str | None:
    """The engine of a model's name: `tts-1`, `openai/tts-1-1106`, `hibari`, ""; else None."""
    name = _plain(model).rpartition("/")[2]
    if not name or _DATED.fullmatch(name):
        return catalog.choice().name
    return name if name in catalog.engines() else None


def no_model(model: str, catalog: Catalog, *, status: int = 400) -> Problem:
    """The error for a model that does not exist; it lists the models."""
    known = ", ".join(model_names(catalog))
    return Problem(status, f"no model {model[:80]!r}; there is: {known}", param="model")


def model_names(catalog: Catalog) -> list[str]:
    """Engines and OpenAI's names; last the engines whose model is not on this machine."""
    default = catalog.choice().name
    others = {name: engine for name, engine in catalog.engines().items() if name != default}
    here = [name for name, engine in others.items() if catalog.has_files(engine)]
    return [default, *MODELS, *here, *(name for name in others if name not in here)]


def voice_names(engine: str, catalog: Catalog) -> list[str]:
    """The voices of an engine, and OpenAI's names."""
    return list(dict.fromkeys((*catalog.voices(engine), *VOICES)))


def _voice(name: str, engine: str, catalog: Catalog) -> str | None:
    """The engine's voice of that name; its built-in voice for "" and OpenAI's names; else None."""
    known = catalog.voices(engine)
    plain = {_plain(voice): voice for voice in reversed(known)}
    named = {**dict.fromkeys(VOICES, DEFAULT_VOICE), **plain, "": DEFAULT_VOICE}
    return name if name in known else named.get(_plain(name))


def _plain(name: str) -> str:
    """A name in small letters, without blanks and without a recording's suffix."""
    return "".join(name.split()).lower().removesuffix(".wav")


def refusal(error: ChatterError) -> Problem:
    """An error as OpenAI's clients expect it: 400 with the field's name for a wrong value.

    An error that does not begin with a field's name is about the text.
    """
    problem = problem_of(error)
    if problem.status not in (404, 422):
        return problem
    first, _, rest = str(problem).removeprefix("request: ").partition(":")
    name = _OPENAI_NAMES.get(first, first)
    if name not in (*SpeechBody.model_fields, *ENGINE_FIELDS):
        return Problem(400, str(problem), param="input")
    return Problem(400, f"{name}:{rest}", param=name)
