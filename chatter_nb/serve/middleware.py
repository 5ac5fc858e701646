"""Checks of every request before its body is read: who sends it, how large it is, how slow.

An exception becomes an answer here at the latest, and answers are counted here. Plain ASGI, since
Starlette's base class for middleware hides a client that goes away.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatter_nb.base.errors import ChatterError
from chatter_nb.serve.errors import Problem, answer, log, problem_of
from chatter_nb.serve.metrics import Metrics
from chatter_nb.serve.settings import Settings

OPENAI = "/v1/"
UI = "/ui"
HEALTH = "/api/v1/health"
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_READS = ("GET", "HEAD", "OPTIONS")
_SLASHES = re.compile("/{2,}")
_FORM_SLACK = 100_000  # bytes for the headers of parts, and other fields
_BOUNDARY_CHARS = 70  # RFC 2046, 5.1.1
_FORM_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1")
# No page, of this server or of others, shows an answer in a frame, where clicks are led astray; no
# browser takes an answer for another kind of file than it says.
_PROTECTION = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # there is none here
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope = {**scope, "path": _plain_path(scope["path"])}
        # HEAD is handled as GET; uvicorn leaves out the body by the method of the request.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        start_s = time.perf_counter()
        status = 0  # before an answer has begun

        def protect(start: Message) -> None:
            nonlocal status
            status = start["status"]
            MutableHeaders(scope=start).update(_PROTECTION)

        noted = on_start(send, protect)
        try:
            headers = Headers(scope=scope)
            self._let_in(scope, headers)
            await self._app(inner, self._limited(scope, headers, receive), noted)
        except Exception as error:
            if status:  # half an answer: the client sees that it is not finished
                # Starlette wraps an error that comes after the answer has begun.
                cause = error.__cause__ if isinstance(error.__cause__, ChatterError) else error
                log.error("%s broke off: %s", scope["path"], problem_of(cause))
            else:
                response = answer(problem_of(error), openai=scope["path"].startswith(OPENAI))
                await response(scope, receive, noted)
        finally:
            took_s = time.perf_counter() - start_s
            # A route's pattern: a label for each path would let clients make any number of labels.
            route = getattr(inner.get("route"), "path", "none")
            route = UI if scope["path"].startswith(UI) else route
            self._metrics.count_answer(scope["method"], route, status, took_s)

    def _let_in(self, scope: Scope, headers: Headers) -> None:
        limit = self._settings.limits.header_bytes
        if sum(len(name) + len(value) for name, value in headers.raw) > limit:
            raise Problem(431, f"headers may have {limit:,} bytes together")
        is_health = scope["path"] == HEALTH
        if not is_health:
            self._check_host(headers)
        self._check_origin(scope, headers)
        _check_form(headers)
        if self._settings.api_key and not is_health:
            self._check_key(scope, headers)

    def _check_host(self, headers: Headers) -> None:
        """Refuse a foreign name in `Host`: a page elsewhere may give its name our address."""
        if self._settings.api_key or not self._settings.is_local:
            return
        name = _without_port(headers.get("host", "")).lower()
        known = (*_LOCAL, self._settings.host.lower(), *self._settings.allow_hosts)
        if name not in known:
            raise Problem(
                403,
                f"Host {name[:80]!r} is not this server: call it localhost, or start it with "
                "--allow-host NAME",
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Refuse forms and calls that pages of other origins send."""
        origin = headers.get("origin")
        if origin is None or scope["method"] in _READS or origin in self._settings.cors_origins:
            return
        is_ours = origin.partition("://")[2] == headers.get("host", "")
        if not is_ours and not self._is_key_in(_keys(headers, with_password=False)):
            raise Problem(
                403,
                f"pages of {origin[:80]!r} may not send requests here: start the server with "
                "--cors-origin ORIGIN, or send its API key",
            )

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        if self._is_key_in(_keys(headers, with_password=True)):
            return
        # A browser asks its user for the password of the page, and of a run's audio.
        browser = scope["method"] in _READS or scope["path"].startswith(UI)
        challenge = 'Basic realm="chatter-nb: any name, the API key"' if browser else "Bearer"
        message = "this server wants its API key: Authorization: Bearer KEY, or X-API-Key: KEY"
        raise Problem(401, message, headers={"WWW-Authenticate": challenge})

    def _is_key_in(self, candidates: Iterable[str]) -> bool:
        """Whether the server has a key and a candidate is it; each is compared in constant time."""
        key = self._settings.api_key.encode()
        equal = [hmac.compare_digest(candidate.encode(), key) for candidate in candidates]
        return bool(key) and any(equal)

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """`receive`, which raises `Problem` for a body that is too large or too slow."""
        limit = self._body_bytes(scope["path"], headers)
        longer = "; longer texts are jobs: POST /api/v1/jobs"
        hint = longer if limit == self._settings.limits.json_bytes else ""
        too_large = Problem(413, f"the body may have {limit:,} bytes here{hint}")
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > limit:
            raise too_large
        deadline_s = time.monotonic() + self._settings.limits.upload_timeout_s
        received, is_whole = 0, False

        async def limited() -> Message:
            nonlocal received, is_whole
            if is_whole:  # what comes now is that the client went away
                return await receive()
            left_s = deadline_s - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, left_s))
            except TimeoutError:
                raise Problem(
                    408, "the body came too slowly", headers={"Connection": "close"}
                ) from None
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if received > limit:
                raise too_large
            return message

        return limited

    def _body_bytes(self, path: str, headers: Headers) -> int:
        """How many bytes the body of a request may have."""
        limits = self._settings.limits
        if headers.get("content-type", "").lower().startswith("multipart/"):
            return limits.upload_bytes + _FORM_SLACK
        return limits.job_json_bytes if path.endswith("/jobs") else limits.json_bytes


def on_start(send: Send, change: Callable[[Message], object]) -> Send:
    """`send`, which first passes the message with an answer's status and headers to `change`."""

    async def changed(message: Message) -> None:
        if message["type"] == "http.response.start":
            change(message)
        await send(message)

    return changed


def _check_form(headers: Headers) -> None:
    """Refuse a form whose boundary or charset is not valid: parsers fail at these."""
    kind, options = parse_options_header(headers.get("content-type"))
    if not kind.startswith(b"multipart/"):
        return
    if not 1 <= len(options.get(b"boundary", b"")) <= _BOUNDARY_CHARS:
        raise Problem(400, f"a form's boundary has 1 to {_BOUNDARY_CHARS} characters")
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in _FORM_CHARSETS:
        raise Problem(415, f"a form's charset cannot be {charset[:40]!r}: send utf-8, or none")


def _without_port(host: str) -> str:
    bracketed, closes, _ = host.partition("]")
    return bracketed + closes if closes else host.partition(":")[0]


def _plain_path(path: str) -> str:
    """The path with single slashes, and under /v1 without a last one: people type base URLs."""
    path = _SLASHES.sub("/", path)
    return path.rstrip("/") if path.startswith(OPENAI) else path


def _keys(headers: Headers, *, with_password: bool) -> Iterator[str]:
    """The keys in a request's headers.

    A password is no proof against foreign pages: a browser sends it with a request of any page. No
    browser sends the other headers by itself.
    """
    yield headers.get("x-api-key", "")
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield value.strip()
    if scheme.lower() == "basic" and with_password:
        with suppress(ValueError):  # not base64, not ASCII, or no UTF-8 in it
            yield base64.b64decode(value, validate=True).decode().partition(":")[2]
