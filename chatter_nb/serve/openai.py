"""The routes that OpenAI's clients call: speech, and the list of models.

What cannot be honoured is refused by name; nothing is passed over. The fields and events are those
of OpenAI's public API reference, "Create speech".
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.errors import ParamError
from chatter_nb.params import SpeakParams
from chatter_nb.serve.api import Served, audio_responses
from chatter_nb.serve.bodies import JSON, json_of
from chatter_nb.serve.catalog import Catalog
from chatter_nb.serve.encoding import encodable
from chatter_nb.serve.problems import OPENAI_RESPONSES, Problem, problem_of
from chatter_nb.serve.service import new_name
from chatter_nb.serve.settings import Limits
from chatter_nb.serve.speaking import check_length, made_live
from chatter_nb.serve.uploads import DEFAULT_VOICE

# OpenAI's names for its own. Here they are the default engine; each engine has its name as well.
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
# OpenAI's voices. Each is a recording of that name, where the engine clones and there is one; else
# the engine's own voice.
VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx"),
    *("sage", "shimmer", "verse"),
)
EVENTS = "text/event-stream"
Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class SpeechBody(BaseModel):
    """The body of `POST /v1/audio/speech`. Null is as if left out: some clients send all fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str
    input: Annotated[str, Field(min_length=1)]
    voice: Annotated[str, Field(min_length=1)]
    instructions: str | None = Field(None, description="refused: no engine here follows any")
    response_format: Format | None = Field(None, description="mp3 if left out")
    speed: float | None = Field(None, ge=0.25, le=4.0, description="1 if left out")
    stream_format: Literal["audio", "sse"] | None = Field(
        None, description="audio if left out: its bytes; sse: events"
    )

    @property
    def format_name(self) -> Format:
        return self.response_format or "mp3"


class ModelAnswer(BaseModel):
    """A model, as OpenAI tells it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelsAnswer(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer]


def routes(limits: Limits) -> APIRouter:
    """The routes under /v1."""
    router = APIRouter(prefix="/v1", tags=["openai"])
    schema = SpeechBody.model_json_schema()
    schema["properties"]["input"]["maxLength"] = limits.text_chars
    body = {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}
    events = {EVENTS: {"schema": {"type": "string"}}}
    router.add_api_route(
        "/audio/speech",
        speech,
        methods=["POST"],
        openapi_extra=body,
        responses={**audio_responses(events), **OPENAI_RESPONSES},
        response_class=Response,
    )
    router.add_api_route("/models", models, methods=["GET"], responses=OPENAI_RESPONSES)
    router.add_api_route(
        "/models/{model}", model_named, methods=["GET"], responses=OPENAI_RESPONSES
    )
    return router


async def speech(request: Request, service: Served) -> Any:
    """Speak `input`; audio comes chunk by chunk, as bytes or (`stream_format: sse`) as events."""
    body = _body(await json_of(request))
    check_length({"input": body.input}, "input", service.settings.limits.text_chars)
    params = await run_in_threadpool(_params, body, service.catalog)
    if body.stream_format == "sse":
        return await made_live(
            service, params, request, body.format_name, wrap=_events, media_type=EVENTS
        )
    return await made_live(service, params, request, body.format_name)


async def models(service: Served) -> ModelsAnswer:
    """The engines served here, and OpenAI's names for the default one."""
    return ModelsAnswer(data=_models(service.catalog))


async def model_named(model: str, service: Served) -> ModelAnswer:
    """One of them."""
    found = [one for one in _models(service.catalog) if one.id == model]
    if not found:
        raise _no_model(model, service.catalog)
    return found[0]


def _body(values: dict[str, Any]) -> SpeechBody:
    try:
        return SpeechBody.model_validate(values)
    except ValidationError as error:
        raise ParamError(_explained(error)) from None


def _explained(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        name = ".".join(map(str, problem["loc"]))[:80]
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown field '{name}'; known: {', '.join(SpeechBody.model_fields)}")
        else:
            lines.append(f"{name}: {problem['msg']}")
    return "\n".join(lines)


def _params(body: SpeechBody, catalog: Catalog) -> SpeakParams:
    return catalog.speech(_values(body, catalog), new_name("tts"))


def _values(body: SpeechBody, catalog: Catalog) -> dict[str, Any]:
    """The body as parameters of ours. Raises for what cannot be honoured."""
    if body.instructions:
        raise ParamError("instructions: no engine here follows any; leave it out")
    if body.format_name not in encodable():
        known = ", ".join(encodable())
        raise ParamError(f"response_format: {body.format_name} has no encoder here; {known}")
    engine = _engine(body.model, catalog)
    values = {"text": body.input, "engine": engine, "voice": _voice(body.voice, engine, catalog)}
    return values if body.speed in (None, 1.0) else values | {"speed": body.speed}


def _engine(model: str, catalog: Catalog) -> str:
    if model in MODELS:
        return catalog.choice().name
    if model not in catalog.engines():
        raise _no_model(model, catalog)
    return model


def _voice(voice: str, engine: str, catalog: Catalog) -> str:
    known = catalog.voices(engine)
    if voice in known:
        return voice
    if voice in VOICES:
        return DEFAULT_VOICE
    told = ", ".join([*known, *(name for name in VOICES if name not in known)])
    raise Problem(404, f"no voice {voice[:80]!r}; there is: {told}")


def _models(catalog: Catalog) -> list[ModelAnswer]:
    ours = [ModelAnswer(id=name, owned_by=_owner(name)) for name in catalog.engines()]
    default = _owner(catalog.choice().name)
    return ours + [ModelAnswer(id=name, owned_by=default) for name in MODELS]


def _owner(engine: str) -> str:
    return "resemble-ai" if TTS_ENGINES[engine].files else "hibari-tts"


def _no_model(model: str, catalog: Catalog) -> Problem:
    known = ", ".join(one.id for one in _models(catalog))
    return Problem(404, f"no model {model[:80]!r}; there is: {known}")


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Audio as server-sent events. What breaks it off is an event too, then the stream ends."""
    try:
        async for data in pieces:
            yield _event("speech.audio.delta", audio=base64.b64encode(data).decode())
    except Exception as error:
        problem = problem_of(error)
        yield _event("error", message=str(problem), code=problem.code.lower())
        return
    yield _event("speech.audio.done")


def _event(kind: str, **values: Any) -> bytes:
    return f"data: {json.dumps({'type': kind, **values})}\n\n".encode()
