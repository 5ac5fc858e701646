"""The border between a browser and Gradio: the routes and functions that the page may reach.

Gradio brings some eighty routes. Some copy any file of this machine that a call names, and serve
the copy; some fetch an address. The page needs the eleven routes below; all others are 404. A call
of a function is read, checked and written anew, so that Gradio sees nothing that this module did
not write.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatter_nb.serve.errors import Problem
from chatter_nb.serve.middleware import UI, on_start
from chatter_nb.serve.outputs import PAGE_UPLOADS
from chatter_nb.serve.settings import Settings

# What a browser reads: the page, its scripts and styles, its uploads, and the progress of calls.
READ = re.compile(
    r"/?|/theme\.css|/(?:assets|static)(?:/[\w-][\w.-]*)+|/gradio_api/(?:"
    r"heartbeat/\w+|queue/data|upload_progress|file=(?P<upload>.+))"
)
QUEUED, AT_ONCE, UPLOAD = "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/upload"
_UPLOADS = (gr.Audio, gr.File, gr.UploadButton)  # components whose value is a file
_SESSION = re.compile(r"\w{1,64}")
_CALL_KEYS = ("data", "fn_index", "session_hash", "trigger_id")  # Gradio's other keys are dropped


def mount_page(app: FastAPI, page: gr.Blocks, settings: Settings, **look: Any) -> None:
    """Mount Gradio's page on the application at `UI`, behind the border."""
    page.queue(max_size=settings.max_queue)
    # Gradio asks which files it may touch only once it has launched, which a mounted page never
    # does. The border lets none through; this is the second lock.
    page.has_launched = True
    gr.mount_gradio_app(
        app,
        page,
        path=UI,
        max_file_size=settings.limits.upload_bytes,
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        **look,
    )
    mount = next(route for route in app.routes if isinstance(route, Mount) and route.path == UI)
    mount.app = PageBorder(mount.app, page, settings.outputs / PAGE_UPLOADS)


class PageBorder:
    """ASGI middleware around Gradio's application. Raises `Problem` for what it refuses."""

    def __init__(self, app: ASGIApp, page: gr.Blocks, uploads: Path) -> None:
        self._app, self._uploads = app, uploads.resolve()
        # Which inputs of a function take an upload, by the function's route and number.
        self._functions: dict[str, dict[int, list[bool]]] = {QUEUED: {}, AT_ONCE: {}}
        for number, function in page.fns.items():
            if function.fn:  # others run in the browser
                route = QUEUED if function.queue else AT_ONCE
                takes = [isinstance(block, _UPLOADS) for block in function.inputs]
                self._functions[route][number] = takes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(UI)
        if scope["method"] == "POST" and path in self._functions:
            body = self._call(path, await Request(scope, receive).body())
            scope, receive = _with_body(scope, body), _replayed(body, receive)
        elif not self._passes(scope["method"], path):
            raise Problem(404, f"there is nothing at {scope['path'][:200]}")
        await self._app(scope, receive, on_start(send, _drop_cors))

    def _passes(self, method: str, path: str) -> bool:
        if method == "POST":
            return path == UPLOAD
        match = READ.fullmatch(path) if method == "GET" else None
        return match is not None and (match["upload"] is None or self._is_upload(match["upload"]))

    def _is_upload(self, path: Any) -> bool:
        """Whether a path is a file that came in through the page's upload."""
        try:
            place = Path(path).resolve(strict=True)
        except (TypeError, ValueError, OSError, RuntimeError):  # no path, NUL, no file, a loop
            return False
        return place.is_file() and place.is_relative_to(self._uploads)

    def _call(self, route: str, body: bytes) -> bytes:
        """The body of a function's call, with checked values only."""
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
            self._upload(value) if is_upload else _plain(value)
            for value, is_upload in zip(values, takes, strict=True)
        ]
        return json.dumps(call).encode()

    def _upload(self, value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        path = value.get("path") if isinstance(value, dict) else None
        if not self._is_upload(path):
            raise Problem(422, "data: a file is uploaded here first; no path, no address")
        return {"path": path, "meta": {"_type": "gradio.FileData"}}


def _plain(value: Any) -> Any:
    """A text, a number, a switch, or a list of these: nothing that Gradio takes for a file."""
    values = value if isinstance(value, list) else [value]
    if not all(item is None or isinstance(item, str | int | float) for item in values):
        raise Problem(422, "data: only texts, numbers and switches, and lists of these")
    return value


def _with_body(scope: Scope, body: bytes) -> Scope:
    """The scope of a request with this JSON body in place of its own."""
    new = {b"content-type": b"application/json", b"content-length": b"%d" % len(body)}
    headers = [(name, value) for name, value in scope["headers"] if name not in new]
    return {**scope, "headers": [*headers, *new.items()]}


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive`, which gives the body first, and later that the client went away."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return left.pop() if left else await receive()

    return replayed


def _drop_cors(message: Message) -> None:
    """Remove Gradio's headers that let pages of other origins in: the server decides that."""
    message["headers"] = [
        (name, value)
        for name, value in message["headers"]
        if not name.startswith(b"access-control")
    ]
