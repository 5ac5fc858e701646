"""The border between a browser and Gradio: which of its routes and functions the page may reach.

Gradio brings some eighty routes. Some copy any file of this machine that a call names, and serve
the copy; some fetch an address. The page needs eleven: they stand here, all others are 404. A call
of a function is read, checked and written anew, so that Gradio sees nothing that this module did
not write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatter_nb.serve.errors import Problem
from chatter_nb.serve.middleware import UI

# What a browser reads of the page: itself, its scripts and styles, and the progress of its calls.
READ = re.compile(
    r"/?|/theme\.css|/(?:assets|static)(?:/[\w-][\w.-]*)+|/gradio_api/(?:"
    r"heartbeat/\w+|queue/data|upload_progress|file=(?P<upload>.+))"
)
QUEUED, AT_ONCE, UPLOAD = "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/upload"
_SESSION = re.compile(r"\w{1,64}")
_CALL_KEYS = ("data", "fn_index", "session_hash", "trigger_id")  # of Gradio's; all others go


class PageBorder:
    """ASGI middleware around Gradio's application. What is refused raises `Problem`."""

    def __init__(self, app: ASGIApp, page: gr.Blocks, uploads: Path) -> None:
        self._app, self._uploads = app, uploads.resolve()
        # By route and number: which inputs of the page's functions take a recording.
        self._functions: dict[str, dict[int, list[bool]]] = {QUEUED: {}, AT_ONCE: {}}
        for number, function in page.fns.items():
            route = QUEUED if function.queue else AT_ONCE
            takes = [isinstance(block, gr.Audio) for block in function.inputs]
            self._functions[route][number] = takes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(UI)
        if scope["method"] == "POST" and path in self._functions:
            body = self._call(path, await Request(scope, receive).body())
            scope, receive = _with_body(scope, body), _replayed(body, receive)
        elif not self._passes(scope["method"], path):
            raise Problem(404, f"there is nothing at {scope['path'][:200]}")
        await self._app(scope, receive, _without_cors(send))

    def _passes(self, method: str, path: str) -> bool:
        if method == "POST":
            return path == UPLOAD
        found = READ.fullmatch(path) if method == "GET" else None
        return found is not None and (found["upload"] is None or self._is_upload(found["upload"]))

    def _is_upload(self, path: Any) -> bool:
        """Whether it is a file that came in through the page's own upload."""
        try:
            place = Path(path).resolve(strict=True)
        except (TypeError, ValueError, OSError, RuntimeError):  # no path, NUL, none there, a loop
            return False
        return place.is_file() and place.is_relative_to(self._uploads)

    def _call(self, route: str, body: bytes) -> bytes:
        """The call of a page's function that the body asks for, of checked values alone."""
        try:
            call = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Problem(400, "the call is not JSON") from error
        call = {key: call.get(key) for key in _CALL_KEYS} if isinstance(call, dict) else {}
        number, session, values = call.get("fn_index"), call.get("session_hash"), call.get("data")
        takes = self._functions[route].get(number) if type(number) is int else None
        if takes is None:
            raise Problem(404, f"fn_index: the page has no function {str(number)[:80]!r} here")
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            raise Problem(422, "session_hash: letters and digits, at most 64")
        if not isinstance(values, list) or len(values) != len(takes):
            raise Problem(422, f"data: a list of {len(takes)} values")
        if type(call["trigger_id"]) is not int:
            call["trigger_id"] = None
        call["data"] = [
            self._recording(value) if is_recording else _plain(value)
            for value, is_recording in zip(values, takes, strict=True)
        ]
        return json.dumps(call).encode()

    def _recording(self, value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        path = value.get("path") if isinstance(value, dict) else None
        if not self._is_upload(path):
            raise Problem(422, "data: a recording is uploaded here first; no file, no address")
        return {"path": path, "meta": {"_type": "gradio.FileData"}}


def _plain(value: Any) -> Any:
    """Text, a number, a switch, or a list of such: nothing that Gradio could take for a file."""
    values = value if isinstance(value, list) else [value]
    if not all(item is None or isinstance(item, str | int | float) for item in values):
        raise Problem(422, "data: only texts, numbers and switches, and lists of these")
    return value


def _with_body(scope: Scope, body: bytes) -> Scope:
    told = {b"content-type": b"application/json", b"content-length": b"%d" % len(body)}
    kept: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return {**scope, "headers": [*((n, v) for n, v in kept if n not in told), *told.items()]}


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives the body first, then what comes: that the client went away."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return left.pop() if left else await receive()

    return replayed


def _without_cors(send: Send) -> Send:
    """`send` without Gradio's own leave for pages of other origins: the server gives that."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                pair for pair in message["headers"] if not pair[0].startswith(b"access-control")
            ]
            message = {**message, "headers": kept}
        await send(message)

    return sent
