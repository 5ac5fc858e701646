"""What the server tells of itself: alive, what may be asked of it, and counters."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from chatter_nb.audio.writer import FORMATS
from chatter_nb.base.version import __version__
from chatter_nb.params.fields import fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.serve.bodies import open_names
from chatter_nb.serve.encoding import STREAMED
from chatter_nb.serve.errors import RESPONSES
from chatter_nb.serve.metrics import CONTENT_TYPE_LATEST
from chatter_nb.serve.routes.speech import Kind, Served, known_query
from chatter_nb.serve.service import Service

router = APIRouter(
    prefix="/api/v1", tags=["server"], responses=RESPONSES, dependencies=[Depends(known_query)]
)


class HealthAnswer(BaseModel):
    """Alive, and how busy. `loaded` says where each model is."""

    status: str
    version: str
    uptime_s: float
    engine: str
    loaded: dict[str, str]
    waiting: dict[str, int]


_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/health")
async def health(service: Served) -> HealthAnswer:
    """Whether the server lives. Needs no key, and never waits for a model."""
    return HealthAnswer(
        status="stopping" if service.closing else "ok",
        version=__version__,
        uptime_s=time.monotonic() - service.started_s,
        engine=service.catalog.choice().name,
        loaded=dict(service.loaded),
        waiting=service.waiting(),
    )


@router.get("/config")
async def config(service: Served) -> JSONResponse:
    """What a request may say: engines, what each takes, every parameter's range, and limits."""
    return JSONResponse(
        {
            "engines": _engines(service, convert=False),
            "converters": _engines(service, convert=True),
            "formats": {"files": list(FORMATS), "streamed": list(STREAMED)},
            "parameters": {"tts": _told(SpeakParams), "vc": _told(ConvertParams)},
            "limits": vars(service.settings.limits),
        }
    )


@router.get("/metrics", response_class=Response, responses=_TEXT)
async def metrics(service: Served) -> Response:
    """Counters for Prometheus."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _engines(service: Service, *, convert: bool) -> dict[str, Any]:
    choice = service.catalog.choice(convert=convert)
    return {
        "default": choice.name,
        "reason": choice.reason,
        "served": {
            name: {"takes": dict(one.knobs)}
            for name, one in service.catalog.engines(convert=convert).items()
        },
    }


def _told(kind: Kind) -> list[dict[str, Any]]:
    fields = fields_of(kind)
    return [
        {"name": name, "help": fields[name].hint, "default": fields[name].default}
        for name in open_names(kind)
    ]
