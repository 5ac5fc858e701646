"""The routes that OpenAI's clients call: speech, and the lists of models and voices.

The fields and events are those of OpenAI's public API reference, "Create speech"; the lists under
/v1/audio are Open WebUI's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from chatter_nb.base.errors import ChatterError
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import JSON, json_of
from chatter_nb.serve.encoding import STREAMED, encoded
from chatter_nb.serve.errors import OPENAI_RESPONSES, problem_of
from chatter_nb.serve.offers import Catalog
from chatter_nb.serve.openai_body import (
    Order,
    body_schema,
    engine_named,
    model_names,
    no_model,
    order_of,
    refusal,
    voice_names,
)
from chatter_nb.serve.responses import EVENTS, check_length, made_live
from chatter_nb.serve.routes.speech import Served, audio_responses
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Limits

IGNORED = "X-Ignored"
SILENCE_S = 0.5  # for a text without a letter or a digit
_SILENCE_HZ = 24_000
_TOKENS_PER_S = 25  # of speech, as Chatterbox counts them


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


class AudioName(BaseModel):
    """A model or a voice, as Open WebUI lists it."""

    id: str
    name: str


class AudioModelsAnswer(BaseModel):
    """All models."""

    models: list[AudioName]


class AudioVoicesAnswer(BaseModel):
    """All voices of the default engine."""

    voices: list[AudioName]


def routes(limits: Limits) -> APIRouter:
    """The routes under /v1."""
    router = APIRouter(prefix="/v1", tags=["openai"])
    body = {"required": True, "content": {JSON: {"schema": body_schema(limits.text_chars)}}}
    events = {EVENTS: {"schema": {"type": "string"}}}
    router.add_api_route(
        "/audio/speech",
        speech,
        methods=["POST"],
        openapi_extra={"requestBody": body},
        responses={**audio_responses(events), **OPENAI_RESPONSES},
        response_class=Response,
    )
    lists: dict[str, Callable[..., Any]] = {
        "/models": models,
        "/models/{model:path}": model_named,
        "/audio/models": audio_models,
        "/audio/voices": audio_voices,
    }
    for path, route in lists.items():
        router.add_api_route(path, route, methods=["GET"], responses=OPENAI_RESPONSES)
    return router


async def speech(request: Request, service: Served) -> Any:
    """Speak `input`; audio comes chunk by chunk, as bytes or (`stream_format: sse`) as events.

    flac, and wav of one chunk, come whole. Fields that are passed over are named in `X-Ignored`.
    """
    try:
        asked = await json_of(request)
        check_length(asked, "input", service.settings.limits.text_chars)
        order = await run_in_threadpool(order_of, asked, service.catalog)
        response = await _spoken(order, request, service)
    except ChatterError as error:
        raise refusal(error) from error
    if order.ignored:
        response.headers[IGNORED] = ", ".join(order.ignored)
    return response


def models(service: Served) -> ModelsAnswer:
    """The engines served here, and OpenAI's names for the default one; first those that work."""
    return ModelsAnswer(
        data=[_model(name, service.catalog) for name in model_names(service.catalog)]
    )


def model_named(model: str, service: Served) -> ModelAnswer:
    """One of them; OpenAI's own may have a date."""
    return _model(model, service.catalog)


def audio_models(service: Served) -> AudioModelsAnswer:
    """The models again."""
    return AudioModelsAnswer(models=_named(model_names(service.catalog)))


def audio_voices(service: Served) -> AudioVoicesAnswer:
    """The voices of the default engine, and OpenAI's names."""
    catalog = service.catalog
    return AudioVoicesAnswer(voices=_named(voice_names(catalog.choice().name, catalog)))


def _named(names: list[str]) -> list[AudioName]:
    return [AudioName(id=name, name=name) for name in names]


def _model(name: str, catalog: Catalog) -> ModelAnswer:
    engine = engine_named(name, catalog)
    if engine is None:
        raise no_model(name, catalog, status=404)
    owner = "resemble-ai" if TTS_ENGINES[engine].files else "hibari-tts"
    return ModelAnswer(id=name, owned_by=owner)


async def _spoken(order: Order, request: Request, service: Service) -> Response:
    if order.is_silent:
        return await _silence(order)

    def events(pieces: AsyncIterator[bytes], result: Future[Speech]) -> AsyncIterator[bytes]:
        return _events(pieces, order.params.text, lambda: result.result().audio_s)

    wrap = events if order.as_events else None
    return await made_live(service, order.params, request, order.format_name, wrap=wrap)


async def _silence(order: Order) -> Response:
    """A short silence, and no run: nothing was spoken, and nothing is kept."""
    zeros = np.zeros(round(SILENCE_S * _SILENCE_HZ), np.float32)
    data = await run_in_threadpool(encoded, order.format_name, zeros, sample_rate=_SILENCE_HZ)
    headers = {"X-Audio-Seconds": f"{SILENCE_S:.3f}"}
    if not order.as_events:
        return Response(data, media_type=STREAMED[order.format_name].media_type, headers=headers)

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    events = _events(pieces(), order.params.text, lambda: SILENCE_S)
    return StreamingResponse(events, media_type=EVENTS, headers=headers)


async def _events(
    pieces: AsyncIterator[bytes], text: str, audio_s: Callable[[], float]
) -> AsyncIterator[bytes]:
    """Audio as server-sent events. What breaks it off is an event too, then the stream ends."""
    try:
        async for data in pieces:
            yield _event("speech.audio.delta", audio=base64.b64encode(data).decode())
    except Exception as error:
        problem = problem_of(error)
        yield _event("error", message=str(problem), code=problem.code.lower())
        return
    yield _event("speech.audio.done", usage=_usage(text, audio_s()))


def _usage(text: str, audio_s: float) -> dict[str, int]:
    """A character counts as a token, and `_TOKENS_PER_S` a second: no engine tells its own."""
    spoken = round(audio_s * _TOKENS_PER_S)
    return {
        "input_tokens": len(text),
        "output_tokens": spoken,
        "total_tokens": len(text) + spoken,
    }


def _event(kind: str, **values: Any) -> bytes:
    return f"data: {json.dumps({'type': kind, **values})}\n\n".encode()
