"""The routes that OpenAI's clients call: speech, and the lists of models and voices.

Fields and events follow OpenAI's public API reference, "Create speech"; the lists under /v1/audio
follow Open WebUI.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from chatter_nb.base.errors import ChatterError
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import JSON, json_of
from chatter_nb.serve.encoding import STREAMED, encoded
from chatter_nb.serve.errors import OPENAI_RESPONSES, problem_of
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
from chatter_nb.serve.responses import EVENTS, check_length, live_answer
from chatter_nb.serve.routes.speech import Served, audio_responses
from chatter_nb.serve.settings import Limits

IGNORED = "X-Ignored"
SILENCE_S = 0.5  # for a text without a letter or a digit
_SILENCE_HZ = 24_000
_TOKENS_PER_S = 25  # of speech, as Chatterbox counts them


class ModelAnswer(BaseModel):
    """A model, in OpenAI's list of models."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelsAnswer(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer]


class AudioName(BaseModel):
    """A model or a voice, in Open WebUI's lists."""

    id: str
    name: str


def routes(limits: Limits) -> APIRouter:
    """The routes under /v1."""
    router = APIRouter(prefix="/v1", tags=["openai"])
    body = {"required": True, "content": {JSON: {"schema": body_schema(limits.text_chars)}}}
    events = {EVENTS: {"schema": {"type": "string"}}}
    router.post(
        "/audio/speech",
        openapi_extra={"requestBody": body},
        responses={**audio_responses(events), **OPENAI_RESPONSES},
        response_class=Response,
    )(speech)
    router.get("/models", responses=OPENAI_RESPONSES)(models)
    router.get("/models/{model:path}", responses=OPENAI_RESPONSES)(model_named)
    router.get("/audio/models", responses=OPENAI_RESPONSES)(audio_models)
    router.get("/audio/voices", responses=OPENAI_RESPONSES)(audio_voices)
    return router


async def speech(request: Request, service: Served) -> Any:
    """Speak `input`; audio comes chunk by chunk, as bytes or (`stream_format: sse`) as events.

    flac, and wav of one chunk, come whole. Fields that are passed over are named in `X-Ignored`.
    """
    try:
        values = await json_of(request)
        check_length(values, "input", service.settings.limits.text_chars)
        order = await run_in_threadpool(order_of, values, service.catalog)
        if order.is_silent:
            response = await _silence(order)
        else:
            wrap = partial(_events, order.params.text) if order.as_events else None
            response = await live_answer(
                service, order.params, request, order.format_name, wrap=wrap, parts=order.parts
            )
    except ChatterError as error:
        raise refusal(error) from error
    if order.ignored:
        response.headers[IGNORED] = ", ".join(order.ignored)
    return response


def models(service: Served) -> ModelsAnswer:
    """The engines served here, and OpenAI's names; a model that works here comes first."""
    names = model_names(service.catalog)
    return ModelsAnswer(data=[model_named(name, service) for name in names])


def model_named(model: str, service: Served) -> ModelAnswer:
    """A model by its name; OpenAI's names may end with a date."""
    engine = engine_named(model, service.catalog)
    if engine is None:
        raise no_model(model, service.catalog, status=404)
    owner = "resemble-ai" if TTS_ENGINES[engine].files else "hibari-tts"
    return ModelAnswer(id=model, owned_by=owner)


def audio_models(service: Served) -> dict[str, list[AudioName]]:
    """The models, in Open WebUI's form."""
    return {"models": _named(model_names(service.catalog))}


def audio_voices(service: Served) -> dict[str, list[AudioName]]:
    """The voices of the default engine, and OpenAI's names."""
    catalog = service.catalog
    return {"voices": _named(voice_names(catalog.choice().name, catalog))}


def _named(names: list[str]) -> list[AudioName]:
    return [AudioName(id=name, name=name) for name in names]


async def _silence(order: Order) -> Response:
    """The answer to a text without letters: a short silence, and no run."""
    zeros = np.zeros(round(SILENCE_S * _SILENCE_HZ), np.float32)
    data = await run_in_threadpool(encoded, order.format_name, zeros, sample_rate=_SILENCE_HZ)
    media_type = STREAMED[order.format_name].media_type
    if order.as_events:
        media_type, data = EVENTS, _delta(data) + _done(order.params.text, SILENCE_S)
    headers = {"X-Audio-Seconds": f"{SILENCE_S:.3f}"}
    return Response(data, media_type=media_type, headers=headers)


async def _events(
    text: str, pieces: AsyncIterator[bytes], run: Future[Speech]
) -> AsyncIterator[bytes]:
    """Audio as server-sent events. Where an error ends the audio, the last event is the error."""
    try:
        async for data in pieces:
            yield _delta(data)
    except Exception as error:
        problem = problem_of(error)
        yield _event("error", message=str(problem), code=problem.code.lower())
        return
    yield _done(text, run.result().audio_s)


def _delta(data: bytes) -> bytes:
    return _event("speech.audio.delta", audio=base64.b64encode(data).decode())


def _done(text: str, audio_s: float) -> bytes:
    """The last event. Engines count no tokens: a character is one, a second is `_TOKENS_PER_S`."""
    read, spoken = len(text), round(audio_s * _TOKENS_PER_S)
    usage = {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}
    return _event("speech.audio.done", usage=usage)


def _event(kind: str, **values: Any) -> bytes:
    return f"data: {json.dumps({'type': kind, **values})}\n\n".encode()
