"""From a task to an answer: the file of a finished run, or audio while it is made.

Shared by the routes of speech, of jobs and of OpenAI's API. The web page waits for the same tasks
in its own way.
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

from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import mime_of
from chatter_nb.params.runs import AnyParams, ConvertParams, SpeakParams
from chatter_nb.runs.speak_texts import chosen_part, read_texts
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import DOCUMENT, WITHHELD, open_names
from chatter_nb.serve.bridge import Relay
from chatter_nb.serve.encoding import STREAMED
from chatter_nb.serve.errors import Problem, about_document
from chatter_nb.serve.middleware import on_start
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Limits
from chatter_nb.serve.uploads import check_lexicon
from chatter_nb.text.files import TEXT_SUFFIXES

# Turns pieces of audio into events; the future is the run that they belong to.
Wrap = Callable[[AsyncIterator[bytes], Future[Speech]], AsyncIterator[bytes]]
EVENTS = "text/event-stream"
# Starlette sends a file in pieces, five errands of a thread at least. A file of this size is read
# in a single errand.
_AT_ONCE_BYTES = 8_000_000


class _File(FileResponse):
    """Starlette's own pieces are 64 kB, each a thread's errand: 5 ms for 20 s of wav."""

    chunk_size = 1 << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file. A Range that is not valid raises; Starlette answers in plain text."""
        await super().__call__(scope, receive, on_start(send, _check_range))


async def whole_answer(speech: Speech, *, as_json: bool) -> Response:
    """The first file of a finished run; or JSON about the run and all its files."""
    return JSONResponse(run_answer(speech)) if as_json else await _first_file(speech)


async def live_answer(
    service: Service,
    params: AnyParams,
    request: Request,
    format_name: str,
    *,
    wrap: Wrap | None = None,
    on_begin: Callable[[Future[Speech]], object] = lambda run: None,
    parts: bool | None = None,
) -> Response:
    """Audio as it is made; the run's own file where its format cannot be sent before its end.

    `wrap` turns pieces of audio into events; `on_begin` gets the future of the run; `parts` is that
    of `render_speech`.
    """
    limits = service.settings.limits
    relay = Relay(format_name, backlog_bytes=limits.backlog_bytes, parts=parts)
    task = service.submit(params, listener=relay.listener)
    on_begin(task.result)
    relay.follow(task)
    first = await relay.first(request, timeout_s=limits.request_timeout_s)
    if first:
        pieces, headers = relay.all(first), {"X-Run": params.run_name, "X-Engine": params.engine}
    elif wrap:
        speech = task.result.result()
        pieces, headers = _pieces_of(speech.files[0]), _run_headers(speech)
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
    path = speech.folder / file.name
    data = await run_in_threadpool(path.read_bytes)
    return Response(data, media_type=mime_of(path), headers=_run_headers(speech))


async def _pieces_of(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while data := await file.read(_File.chunk_size):
            yield data


def file_of(speech: Speech, name: str) -> Response:
    """A file of a run, by its name."""
    path = speech.folder / name
    return _File(
        path,
        media_type=mime_of(path),
        filename=f"{speech.record.run_name}{path.suffix}",
        content_disposition_type="inline",
        headers=_run_headers(speech),
    )


def _check_range(start: Message) -> None:
    """Raises `Problem` where Starlette begins to answer with an error."""
    if (status := start["status"]) < 400:
        return
    if size := Headers(raw=start["headers"]).get("content-range"):
        message = f"Range: the file has {size.rpartition('/')[2]} bytes"
        raise Problem(status, message, headers={"Content-Range": size})
    raise Problem(status, "Range: ask for bytes=FIRST-LAST, counted from 0")


def _run_headers(speech: Speech) -> dict[str, str]:
    """Headers about a run, for a player or a script."""
    record = speech.record
    return {
        "X-Run": record.run_name,
        "X-Engine": record.engine.name,
        "X-Seed": str(record.seed),
        "X-Audio-Seconds": f"{record.audio_s:.3f}",
    }


def run_answer(speech: Speech) -> dict[str, Any]:
    """The JSON about a run: its run.json without places on the disk, and its files' addresses."""
    record = speech.record
    run = record.model_dump(mode="json", by_alias=True)
    known = open_names(SpeakParams if record.kind == "speak" else ConvertParams)
    params = {name: value for name, value in run["params"].items() if name in known}
    for name in ("voice", "source", "target"):
        if "/" in str(params.get(name, "")):
            params[name] = "(an upload)"
    files = [
        {**file.model_dump(), "url": f"/api/v1/runs/{record.run_name}/{file.name}"}
        for file in record.handed_over()
    ]
    for output in run["outputs"]:
        output["source"] = Path(output["source"]).name
    checks = {k: v for k, v in (run["checks"] or {}).items() if k not in WITHHELD} or None
    return {"success": True, "run": {**run, "params": params, "checks": checks}, "files": files}


def check_source(params: AnyParams, limits: Limits, *, is_job: bool = False) -> str:
    """What a run speaks: its text, or of its document what is chosen; of a conversion nothing.

    Raises `Problem` 422 beyond the limit, and `InputError` for what cannot be read: a document, or
    a lexicon.
    """
    if not isinstance(params, SpeakParams):
        return ""
    for lexicon in params.lexicon:
        check_lexicon(Path(lexicon))
    name, text, path = "text", params.text, Path(params.text_file)
    if params.text_file:
        name = DOCUMENT
        if path.suffix in TEXT_SUFFIXES and path.stat().st_size > limits.job_json_bytes:
            raise Problem(422, f"{name}: up to {limits.job_json_bytes:,} bytes of text are read")
        try:
            text = chosen_part(read_texts(params)[0], params).text
        except InputError as error:
            raise about_document(error, params.text_file) from error
    check_length({name: text}, name, limits.job_text_chars if is_job else limits.text_chars)
    return text


def check_length(values: Mapping[str, Any], name: str, limit: int) -> None:
    """Raises `Problem` 422 for an empty text in the field `name`, or one longer than `limit`."""
    text = values.get(name, "")
    if isinstance(text, str) and not text.strip():
        raise Problem(422, f"{name}: there is nothing to speak")
    if isinstance(text, str) and len(text) > limit:
        raise Problem(
            422,
            f"{name}: {len(text):,} characters; up to {limit:,} are taken here. Longer texts are "
            "jobs: POST /api/v1/jobs",
        )
