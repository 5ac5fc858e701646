"""From a request's parameters to an answer: a file of a finished run, or audio while it is made.

What `api` and `openai` have in common; the web page waits for the same tasks in its own way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.record import RunRecord
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import WITHHELD
from chatter_nb.serve.bridge import Relay, result_of
from chatter_nb.serve.encoding import STREAMED
from chatter_nb.serve.errors import Problem
from chatter_nb.serve.service import Listener, Service
from chatter_nb.serve.worker import Task

AnyRun = SpeakParams | ConvertParams
# Pieces of audio as events; the future is the run that they are of.
Wrap = Callable[[AsyncIterator[bytes], Future[Speech]], AsyncIterator[bytes]]
EVENTS = "text/event-stream"
# A file read at once is one errand of a thread; Starlette's own way of files is five.
_AT_ONCE_BYTES = 8_000_000


class _File(FileResponse):
    """Starlette's own pieces are 64 kB, each a thread's errand: 5 ms for 20 s of wav."""

    chunk_size = 1 << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette answers a Range that is none, or beyond the file, in plain text."""

        async def checked(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                raise _bad_range(message["status"], Headers(raw=message["headers"]))
            await send(message)

        await super().__call__(scope, receive, checked)


def hand_in(service: Service, params: AnyRun, listener: Listener | None = None) -> Task[Speech]:
    """Give a run to its worker. Raises `Problem` 429 where the line is full."""
    if isinstance(params, SpeakParams):
        return service.speak(params, listener=listener)
    return service.convert(params, listener=listener)


async def made_whole(
    service: Service, task: Task[Speech], request: Request, *, as_json: bool
) -> Response:
    """The finished file, or all about the run and where its files are."""
    timeout_s = service.settings.limits.request_timeout_s
    speech = await result_of(task, request, timeout_s=timeout_s)
    if as_json:
        return JSONResponse(told_of(speech))
    return await _first_file(speech)


async def made_live(
    service: Service,
    params: AnyRun,
    request: Request,
    format_name: str,
    *,
    wrap: Wrap | None = None,
    begun: Callable[[Future[Speech]], object] = lambda result: None,
) -> Response:
    """Audio as it is made; the run's own file where its format cannot be sent before its end.

    `wrap` puts its pieces into events; `begun` is given what will be the run.
    """
    limits = service.settings.limits
    relay = Relay(format_name, backlog_bytes=limits.backlog_bytes)
    task = hand_in(service, params, relay.listener)
    begun(task.result)
    relay.follow(task)
    first = await relay.first(request, timeout_s=limits.request_timeout_s)
    if first:
        pieces, headers = relay.all(first), {"X-Run": params.run_name, "X-Engine": params.engine}
    elif wrap:
        speech = task.result.result()
        pieces, headers = _pieces_of(speech.files[0]), _about(speech)
    else:
        return await _first_file(task.result.result())
    headers["Cache-Control"] = "no-store"
    if wrap:
        return StreamingResponse(wrap(pieces, task.result), media_type=EVENTS, headers=headers)
    media_type = STREAMED[format_name].media_type
    return StreamingResponse(pieces, media_type=media_type, headers=headers)


async def _first_file(speech: Speech) -> Response:
    file = speech.record.files[0]
    if file.bytes > _AT_ONCE_BYTES:
        return file_of(speech, file.name)
    data = await run_in_threadpool((speech.folder / file.name).read_bytes)
    media_type = STREAMED[file.name.rpartition(".")[2]].media_type
    return Response(data, media_type=media_type, headers=_about(speech))


async def _pieces_of(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while data := await file.read(_File.chunk_size):
            yield data


def file_of(speech: Speech, name: str) -> Response:
    """A file of a run, with what a player or a script wants to know in headers."""
    record = speech.record
    format_name = name.rpartition(".")[2]
    return _File(
        speech.folder / name,
        media_type=STREAMED[format_name].media_type,
        filename=f"{record.run_name}.{format_name}",
        content_disposition_type="inline",
        headers=_about(speech),
    )


def _bad_range(status: int, headers: Headers) -> Problem:
    if size := headers.get("content-range"):
        told = f"Range: the file has {size.rpartition('/')[2]} bytes"
        return Problem(status, told, headers={"Content-Range": size})
    return Problem(status, "Range: ask for bytes=FIRST-LAST, counted from 0")


def _about(speech: Speech) -> dict[str, str]:
    """What a player or a script wants to know, in headers."""
    record = speech.record
    return {
        "X-Run": record.run_name,
        "X-Engine": record.engine.name,
        "X-Seed": str(record.seed),
        "X-Audio-Seconds": f"{record.audio_s:.3f}",
    }


def told_of(speech: Speech) -> dict[str, Any]:
    """A run for a client: run.json without what is the server's own, and where its files are."""
    record = speech.record
    told = public(record)
    files = [
        {**file.model_dump(), "url": f"/api/v1/runs/{record.run_name}/{file.name}"}
        for file in record.files
    ]
    return {"success": True, "run": told, "files": files}


def public(record: RunRecord) -> dict[str, Any]:
    """run.json without places on the server's disk."""
    told = record.model_dump(mode="json", by_alias=True)
    told["params"] = {k: v for k, v in told["params"].items() if k not in WITHHELD}
    for name in ("voice", "source", "target"):
        if "/" in str(told["params"].get(name, "")):
            told["params"][name] = "(an upload)"
    return told


def check_length(values: Mapping[str, Any], name: str, limit: int) -> None:
    """Raises `Problem` 422 for a text that is empty, or too long here: such wants to be a job."""
    text = values.get(name, "")
    if isinstance(text, str) and not text.strip():
        raise Problem(422, f"{name}: there is nothing to speak")
    if isinstance(text, str) and len(text) > limit:
        raise Problem(
            422,
            f"{name}: {len(text):,} characters; up to {limit:,} are taken here. Longer texts are "
            "jobs: POST /api/v1/jobs",
        )
