"""The routes about the server (health, config, metrics), and about its voices.

Voices are listed, added by upload and deleted by their names; no path leaves the voices folder.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from chatter_nb.base.formats import OUTPUT_FORMATS
from chatter_nb.base.version import __version__
from chatter_nb.engines.offered import ListedVoice, own_voices, survey
from chatter_nb.engines.registry import entry
from chatter_nb.params.base import RunKind
from chatter_nb.params.fields import fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.speak import SENTENCE, sample_of
from chatter_nb.serve.bodies import Kind, open_names
from chatter_nb.serve.bridge import result_of
from chatter_nb.serve.encoding import STREAMED
from chatter_nb.serve.errors import Problem, without_folders
from chatter_nb.serve.outputs import new_name
from chatter_nb.serve.responses import file_of, whole_answer
from chatter_nb.serve.routes.speech import Served, audio_responses
from chatter_nb.serve.service import Service
from chatter_nb.serve.uploads import add_voice, remove_voice

router = APIRouter(prefix="/api/v1")
_Engine = Annotated[str, Query(description="whose; empty: the default")]


class HealthAnswer(BaseModel):
    """Whether the server lives, and how busy it is. `loaded` gives the device of each model."""

    status: str
    version: str
    uptime_s: float
    engine: str
    loaded: dict[str, str]
    waiting: dict[str, int]


@router.get("/health", tags=["server"])
async def health(service: Served) -> HealthAnswer:
    """Whether the server lives. Needs no key, and never waits for a model."""
    return HealthAnswer(
        status="stopping" if service.closing else "ok",
        version=__version__,
        uptime_s=time.monotonic() - service.started_s,
        engine=service.catalog.choice().name,
        loaded=dict(service.catalog.loaded),
        waiting=service.waiting(),
    )


@router.get("/config", tags=["server"])
async def config(service: Served) -> dict[str, Any]:
    """What a request may say: engines with their parameters, every parameter, and limits."""
    return {
        "engines": _engines(service, "speak"),
        "converters": _engines(service, "convert"),
        "formats": {"files": list(OUTPUT_FORMATS), "streamed": list(STREAMED)},
        "parameters": {"tts": _fields(SpeakParams), "vc": _fields(ConvertParams)},
        "limits": vars(service.settings.limits),
    }


@router.get(
    "/metrics",
    tags=["server"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: Served) -> Response:
    """Counters for Prometheus."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _engines(service: Service, kind: RunKind) -> dict[str, Any]:
    choice = service.catalog.choice(kind)
    return {
        "default": choice.name,
        "reason": choice.reason,
        "served": {
            name: {"takes": dict(engine.knobs)}
            for name, engine in service.catalog.engines(kind).items()
        },
    }


def _fields(kind: Kind) -> list[dict[str, Any]]:
    fields = fields_of(kind)
    return [
        {"name": name, "help": fields[name].hint, "default": fields[name].default}
        for name in open_names(kind)
    ]


# -- voices


class RecordingAnswer(BaseModel):
    """A recording in the voices folder."""

    name: str
    duration_s: float | None


class OfferedAnswer(BaseModel):
    """A voice of an engine. `sample` is the address of a sentence in it; null with a problem."""

    name: str
    about: str
    problem: str
    doubts: list[str]
    sample: str | None


class VoicesAnswer(BaseModel):
    """The voices of an engine, and the recordings in the voices folder."""

    engine: str
    voices: list[str]
    recordings: list[RecordingAnswer]
    offered: list[OfferedAnswer]


class VoiceAnswer(BaseModel):
    """A voice that was added or deleted; `notes` say what is doubtful about a new recording."""

    success: bool = True
    name: str
    notes: list[str] = []


@router.get("/voices", tags=["voices"])
async def voices(service: Served, engine: _Engine = "") -> VoicesAnswer:
    """The names that `voice`, `source` and `target` may hold."""
    catalog, name = service.catalog, _speaking(service, engine)

    def answer() -> VoicesAnswer:
        folder = catalog.library.folder
        found = {voice.name: voice for voice in survey(folder)} if folder.is_dir() else {}
        # Two files of one name are in the survey by their whole names.
        recordings = [found.get(known, ListedVoice(known)) for known in catalog.recordings()]
        offered = recordings if catalog.clones(name) else []
        return VoicesAnswer(
            engine=name,
            voices=catalog.voices(name),
            recordings=[
                RecordingAnswer(name=each.name, duration_s=each.duration_s) for each in recordings
            ],
            offered=_offered(service, name, [each for each in offered if each.about]),
        )

    return await run_in_threadpool(answer)


_HEARD: dict[str, Any] = {"response_class": Response, "responses": audio_responses()}


@router.get("/voices/{name}/sample", tags=["voices"], **_HEARD)
async def sample(name: str, request: Request, service: Served, engine: _Engine = "") -> Response:
    """A sentence in a voice, the same for all. It is made once and kept."""
    values = {"text": SENTENCE, "voice": name, "engine": _speaking(service, engine)}
    asked = await run_in_threadpool(service.catalog.speech, values, new_name("tts"))
    params, kept = await run_in_threadpool(sample_of, asked)
    if kept:
        return file_of(kept, kept.record.files[0].name)
    timeout_s = service.settings.limits.request_timeout_s
    speech = await result_of(service.submit(params), request, timeout_s=timeout_s)
    return await whole_answer(speech, as_json=False)


def _speaking(service: Service, engine: str) -> str:
    """The name of an engine that speaks here. Raises `Problem` 404."""
    name = engine or service.catalog.choice().name
    if name not in (known := service.catalog.engines()):
        raise Problem(404, f"no engine {name[:80]!r} speaks here; there is: {', '.join(known)}")
    return name


def _offered(service: Service, engine: str, recordings: list[ListedVoice]) -> list[OfferedAnswer]:
    is_here = service.catalog.has_files(entry(engine))
    own = own_voices(entry(engine), checkpoint=service.settings.machine.get("checkpoint", ""))

    def answer(voice: ListedVoice) -> OfferedAnswer:
        address = f"/api/v1/voices/{voice.name}/sample?engine={engine}"
        return OfferedAnswer(
            name=voice.name,
            about=voice.about.strip(),
            problem=without_folders(voice.problem),
            doubts=list(voice.notes),
            sample=address if is_here and not voice.problem else None,
        )

    return [answer(voice) for voice in (*own, *recordings)]


@router.post("/voices", tags=["voices"], status_code=201)
async def add(
    request: Request,
    service: Served,
    name: Annotated[str, Form(json_schema_extra={"pattern": r"^[A-Za-z0-9_-]{1,64}$"})],
    file: Annotated[UploadFile, File(description="6 to 15 s of one person speaking")],
) -> VoiceAnswer:
    """Keep a recording as a voice."""
    if unknown := sorted(set(await request.form()) - {"name", "file"}):
        raise Problem(422, f"unknown field {unknown[0][:80]!r}; known: name, file")
    longest_s, library = service.settings.limits.voice_s, service.catalog.library
    notes = await run_in_threadpool(add_voice, name, file.file, library, longest_s=longest_s)
    return VoiceAnswer(name=name, notes=notes)


@router.delete("/voices/{name}", tags=["voices"])
def remove(name: str, service: Served) -> VoiceAnswer:
    """Delete a recording. Runs that used it stay."""
    remove_voice(name, service.catalog.library)
    return VoiceAnswer(name=name)
