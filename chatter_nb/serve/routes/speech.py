"""The service's own routes: speak, convert, what a run made, and what the server is.

Bodies are the parameter objects (`bodies`); handlers are thin, and wait for a worker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.record import FileRecord
from chatter_nb.runs.speech import load_speech
from chatter_nb.serve.bodies import (
    FORM,
    JSON,
    Asked,
    check_names,
    form_schema,
    json_schema,
    read_body,
)
from chatter_nb.serve.encoding import STREAMED
from chatter_nb.serve.errors import RESPONSES, Problem
from chatter_nb.serve.responses import (
    AnyRun,
    check_length,
    file_of,
    hand_in,
    made_live,
    made_whole,
)
from chatter_nb.serve.service import UPLOADS, Service, find_run, new_name
from chatter_nb.serve.settings import Limits
from chatter_nb.serve.uploads import keep_upload

Kind = type[SpeakParams] | type[ConvertParams]


class FileAnswer(FileRecord):
    """A file of a run, and where it is fetched."""

    url: str


class RunAnswer(BaseModel):
    """A finished run: `run` is its run.json, without places on the server's disk."""

    success: bool
    run: dict[str, Any]
    files: list[FileAnswer]


async def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(service_of)]
Live = Annotated[bool, Query(description="send audio chunk by chunk, as it is made")]

_AUDIO: dict[str, Any] = {
    one.media_type: {"schema": {"type": "string", "format": "binary"}} for one in STREAMED.values()
}


async def known_query(request: Request) -> None:
    """Raises `Problem` 422 for a query parameter that the route does not have."""
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            told = ", ".join(known) or "none"
            raise Problem(422, f"unknown query parameter {name[:80]!r}; this route takes: {told}")


def audio_responses(*more: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """For the document: audio, and every error."""
    content = _AUDIO | {kind: schema for one in more for kind, schema in one.items()}
    return {**RESPONSES, 200: {"description": "Audio", "content": content}}


def routes(limits: Limits) -> APIRouter:
    """The routes under /api/v1, documented with these limits."""
    router = APIRouter(prefix="/api/v1", dependencies=[Depends(known_query)])
    answers = audio_responses()
    answers[200]["model"] = RunAnswer  # where JSON is asked for
    spoken: dict[str, Any] = {"responses": answers, "response_class": Response}
    router.add_api_route(
        "/tts",
        speak,
        methods=["POST"],
        tags=["speech"],
        openapi_extra=_body(SpeakParams, limits.text_chars),
        **spoken,
    )
    router.add_api_route(
        "/vc",
        convert,
        methods=["POST"],
        tags=["speech"],
        openapi_extra=_body(ConvertParams),
        **spoken,
    )
    router.add_api_route(
        "/runs/{run}/{file}",
        fetch_file,
        methods=["GET"],
        tags=["speech"],
        responses=audio_responses(),
        response_class=Response,
    )
    return router


async def speak(request: Request, service: Served, stream: Live = False) -> Any:
    """Speak a text. The answer is audio; with `Accept: application/json`, all about the run.

    In a form, `voice` may be a recording to clone.
    """
    asked = await read_body(request, SpeakParams)
    check_names(SpeakParams, asked.values)
    check_length(asked.values, "text", service.settings.limits.text_chars)
    return await _answered(request, service, SpeakParams, asked, stream=stream)


async def convert(request: Request, service: Served, stream: Live = False) -> Any:
    """Say a recording again in another voice. `source` and `target` name recordings in the voices
    folder; in a form they may be recordings themselves.
    """
    asked = await read_body(request, ConvertParams)
    return await _answered(request, service, ConvertParams, asked, stream=stream)


async def fetch_file(run: str, file: str, service: Served) -> Response:
    """A file of a finished run."""

    def found() -> Response:
        speech = load_speech(find_run(service.settings.outputs, run).path)
        if file not in (one.name for one in speech.record.files):
            names = ", ".join(one.name for one in speech.record.files) or "none"
            raise Problem(404, f"run {run} has no file {file[:80]!r}; it has: {names}")
        return file_of(speech, file)

    return await run_in_threadpool(found)


async def _answered(
    request: Request, service: Service, kind: Kind, asked: Asked, *, stream: bool
) -> Any:
    as_json = _wants_json(request.headers.get("accept", ""))
    if stream and as_json:
        raise Problem(422, f"stream: audio comes in pieces, {JSON} whole: choose one")
    if stream and asked.values.get("wav_bits", 16) != 16:
        raise Problem(422, "wav_bits: a stream has 16; leave it out, or ask without stream")
    async with _uploads(service, kind, asked.recordings) as kept:
        params = await run_in_threadpool(_params, service, kind, asked.values, kept.paths)
        if len(params.formats) > 1 and not as_json:
            raise Problem(
                422, f"formats: an answer is one file; for more send Accept: {JSON}, and fetch them"
            )
        if stream:
            return await made_live(service, params, request, params.formats[0], begun=kept.until)
        task = hand_in(service, params)
        kept.until(task.result)
        return await made_whole(service, task, request, as_json=as_json)


def _wants_json(accept: str) -> bool:
    """Whether JSON is asked for, and not among whatever else: audio is what there is to have."""
    kinds = {one.partition(";")[0].strip().lower() for one in accept.split(",")}
    return JSON in kinds and "*/*" not in kinds and not any(k.startswith("audio/") for k in kinds)


def _params(
    service: Service, kind: Kind, values: Mapping[str, Any], uploads: Mapping[str, Path]
) -> AnyRun:
    if kind is SpeakParams:
        return service.catalog.speech(values, new_name("tts"), uploads)
    return service.catalog.conversion(values, new_name("vc"), uploads)


class _Kept:
    """Uploads of one request, on our disk until the run that needs them has ended."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self._result: Future[Any] | None = None

    def until(self, result: Future[Any]) -> None:
        self._result = result

    def let_go(self) -> None:
        if self._result is None:
            return self._remove()
        self._result.add_done_callback(lambda _: self._remove())

    def _remove(self) -> None:
        for path in self.paths.values():
            path.unlink(missing_ok=True)


@asynccontextmanager
async def _uploads(
    service: Service, kind: Kind, recordings: Mapping[str, UploadFile]
) -> AsyncIterator[_Kept]:
    limits, kept = service.settings.limits, _Kept()
    folder = service.settings.outputs / UPLOADS
    try:
        for part, upload in recordings.items():
            longest_s = limits.source_s if part == "source" else limits.voice_s
            kept.paths[part] = await run_in_threadpool(
                keep_upload, upload.file, folder, part=part, longest_s=longest_s
            )
        yield kept
    finally:
        kept.let_go()


def _body(kind: Kind, longest_text: int = 0) -> dict[str, Any]:
    content = {
        JSON: {"schema": json_schema(kind, longest_text=longest_text)},
        FORM: {"schema": form_schema(kind)},
    }
    return {"requestBody": {"required": True, "content": content}}
