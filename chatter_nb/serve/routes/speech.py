"""The routes that speak and convert, and the files of a run.

A body holds the fields of a parameter class (`bodies`). A handler submits a run and waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from secrets import token_hex
from shutil import rmtree
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel

from chatter_nb.base.formats import OUTPUT_FORMATS, mime_of
from chatter_nb.pages.run_players import SOURCES, source_of
from chatter_nb.params.runs import AnyParams, ConvertParams, SpeakParams
from chatter_nb.runs.record import FileRecord
from chatter_nb.runs.speech import load_speech
from chatter_nb.serve.bodies import (
    FORM,
    JSON,
    PARTS_HELP,
    UPLOADED,
    Kind,
    form_schema,
    json_schema,
    read_body,
)
from chatter_nb.serve.bridge import result_of
from chatter_nb.serve.encoding import STREAMED
from chatter_nb.serve.errors import RESPONSES, Problem
from chatter_nb.serve.live import FORMAT, Lives
from chatter_nb.serve.outputs import UPLOADS, drop_sources, find_run, keep_all, new_name
from chatter_nb.serve.responses import check_source, file_of, live_answer, whole_answer
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Limits


class FileAnswer(FileRecord):
    """A file of a run, and its address."""

    url: str


class RunAnswer(BaseModel):
    """A finished run: `run` is its run.json, without places on the server's disk."""

    success: bool
    run: dict[str, Any]
    files: list[FileAnswer]


async def service_of(request: Request) -> Service:
    """The service of the application that handles this request."""
    service: Service = request.app.state.service
    return service


# Of a stream, unless the request says otherwise: a chunk is sent as it is made, unchecked.
_LIVE: dict[Kind, dict[str, Any]] = {SpeakParams: {"verify": "off"}, ConvertParams: {}}
Served = Annotated[Service, Depends(service_of)]
Live = Annotated[bool, Query(description="send audio chunk by chunk, as it is made")]
InParts = Annotated[bool | None, Query(description=PARTS_HELP)]


async def known_query(request: Request) -> None:
    """Raises `Problem` 422 for a query parameter that the route does not have."""
    known = [param.alias for param in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            takes = ", ".join(known) or "none"
            raise Problem(422, f"unknown query parameter {name[:80]!r}; this route takes: {takes}")


def audio_responses(more: Mapping[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """The answers of a route, for the OpenAPI document: audio, `more` media types, and errors."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {row.media_type: binary for row in STREAMED.values()}
    content[OUTPUT_FORMATS["m4b"].mime] = binary
    return {**RESPONSES, 200: {"description": "Audio", "content": {**content, **(more or {})}}}


def routes(limits: Limits) -> APIRouter:
    """The routes that speak, documented with these limits."""
    router = APIRouter(prefix="/api/v1", tags=["speech"])
    answers = audio_responses()
    answers[200]["model"] = RunAnswer  # where JSON is asked for
    spoken: dict[str, Any] = {"responses": answers, "response_class": Response}
    router.post("/tts", openapi_extra=body_of(SpeakParams, limits.text_chars), **spoken)(speak)
    router.post("/vc", openapi_extra=body_of(ConvertParams), **spoken)(convert)
    router.get("/runs/{run}/live", responses=audio_responses(), response_class=Response)(listen)
    router.get("/runs/{run}/{file}", responses=audio_responses(), response_class=Response)(
        fetch_file
    )
    return router


async def speak(request: Request, stream: Live = False, parts: InParts = None) -> Any:
    """Speak a text or a document: audio, or with `Accept: application/json` the record."""
    if parts is not None and not stream:
        raise Problem(422, "parts: of a stream; ask with stream=true, or leave it out")
    return await _answer(request, SpeakParams, stream=stream, parts=parts)


async def convert(request: Request, stream: Live = False) -> Any:
    """Say `source` again in the voice of `target`: names of recordings, or in a form files."""
    return await _answer(request, ConvertParams, stream=stream)


async def listen(run: str, request: Request) -> Response:
    """What the page hears of a run while it is made, from its beginning."""
    await request.body()  # it has none; until it is read the client is taken to be sending it
    lives: Lives = request.app.state.lives
    live = lives.of(run)
    if live is None:
        raise Problem(404, f"nothing is heard of run {run[:80]!r}: its files are what there is")
    headers = {"X-Run": run, "Cache-Control": "no-store"}
    return StreamingResponse(live.all(), media_type=STREAMED[FORMAT].media_type, headers=headers)


def fetch_file(run: str, file: str, service: Served) -> Response:
    """A file of a finished run; `source`: the recording that was converted."""
    speech = load_speech(find_run(service.settings.outputs, run).path)
    names = [record.name for record in speech.record.handed_over()]
    outputs = speech.record.outputs
    if file == SOURCES and outputs and (source := source_of(speech, outputs[0])):
        return FileResponse(source, media_type=mime_of(source))
    if file not in names:
        known = ", ".join(names) or "none"
        raise Problem(404, f"run {run} has no file {file[:80]!r}; it has: {known}")
    return file_of(speech, file)


async def _answer(
    request: Request, kind: Kind, *, stream: bool, parts: bool | None = None
) -> Response:
    body, service = await read_body(request, kind), await service_of(request)
    as_json = _wants_json(request.headers.get("accept", ""))
    if stream and as_json:
        raise Problem(422, f"stream: audio comes in pieces, {JSON} whole: choose one")
    if stream and body.values.get("wav_bits", 16) != 16:
        raise Problem(422, "wav_bits: a stream has 16; leave it out, or ask without stream")
    if stream and body.values.get("master", "none") != "none":
        raise Problem(422, "master: a chapter is mastered at its end; ask without stream")
    with ExitStack() as removal:  # of the uploads, once the run that reads them has ended

        def remove_after(run: Future[Any]) -> None:
            remove = removal.pop_all().close
            run.add_done_callback(lambda _: remove())

        folder = service.settings.outputs / UPLOADS / token_hex(8)
        name, limits = new_name("tts" if kind is SpeakParams else "vc"), service.settings.limits
        run = service.settings.outputs / name
        removal.callback(rmtree, folder, ignore_errors=True)
        removal.callback(drop_sources, run)
        values = {**(_LIVE[kind] if stream else {}), **body.values}

        def settle() -> AnyParams:
            paths = keep_all(body.uploads, folder, run, limits)
            params = service.catalog.run(kind, values, paths, name)
            service.catalog.check_marks(params, check_source(params, limits))
            return params

        limiter = service.readers if UPLOADED.keys() & body.uploads.keys() else None
        params = await to_thread.run_sync(settle, limiter=limiter)
        several = len(params.formats) > 1 or getattr(params, "split", "none") != "none"
        if several and not as_json:
            raise Problem(
                422,
                f"formats, split: an answer is one file; for more send Accept: {JSON}, fetch them",
            )
        if stream:
            format_name = params.formats[0]
            return await live_answer(
                service, params, request, format_name, on_begin=remove_after, parts=parts
            )
        task = service.submit(params)
        remove_after(task.result)
        speech = await result_of(task, request, timeout_s=limits.request_timeout_s)
        return await whole_answer(speech, as_json=as_json)


def _wants_json(accept: str) -> bool:
    """Whether a client wants JSON; a client that takes anything, or audio too, gets audio."""
    kinds = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    return JSON in kinds and "*/*" not in kinds and not any(k.startswith("audio/") for k in kinds)


def body_of(kind: Kind, longest_text: int = 0) -> dict[str, Any]:
    """The body of a route, for the OpenAPI document: JSON or a form."""
    content = {
        JSON: {"schema": json_schema(kind, longest_text=longest_text)},
        FORM: {"schema": form_schema(kind)},
    }
    return {"requestBody": {"required": True, "content": content}}
