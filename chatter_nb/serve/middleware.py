"""What every request passes before it is read: who may come in, how much may come in, how slowly.

Also the last place where an exception can become an answer, and where answers are counted. Plain
ASGI, since Starlette's base class for middleware hides a client that goes away.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

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
_FORM_SLACK = 100_000  # headers of parts, and other fields
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
        start_s, sent = time.perf_counter(), _Sent(send)
        # HEAD is GET; the server leaves out the body by the method that it was asked with itself.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            headers = Headers(scope=scope)
            self._let_in(scope, headers)
            await self._app(asked, self._limited(scope, headers, receive), sent)
        except Exception as error:
            await self._fail(scope, receive, sent, error)
        finally:
            took_s = time.perf_counter() - start_s
            self._metrics.answered(scope["method"], _route(asked), sent.status, took_s)

    async def _fail(self, scope: Scope, receive: Receive, sent: _Sent, error: Exception) -> None:
        if sent.status:  # half an answer: leaving it unfinished tells the client that it is
            # Starlette wraps what it cannot answer any more.
            cause = error.__cause__ if isinstance(error.__cause__, ChatterError) else error
            log.error("%s broke off: %s", scope["path"], problem_of(cause))
            return
        problem = problem_of(error)
        response = answer(problem, openai=scope["path"].startswith(OPENAI))
        await response(scope, receive, sent)

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
        """A page elsewhere may give its own name our address: it is then not asked for by ours."""
        if self._settings.api_key or not self._settings.is_local:
            return
        name = _name(headers.get("host", "")).lower()
        known = (*_LOCAL, self._settings.host.lower(), *self._settings.allow_hosts)
        if name not in known:
            raise Problem(
                403,
                f"Host {name[:80]!r} is not this server: call it localhost, or start it with "
                "--allow-host NAME",
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Pages of other origins may send forms anywhere: not here."""
        origin = headers.get("origin")
        if origin is None or scope["method"] in _READS or origin in self._settings.cors_origins:
            return
        if _netloc(origin) == headers.get("host", ""):
            return
        if not self._is_key_in(_written_keys(headers)):
            raise Problem(
                403,
                f"pages of {origin[:80]!r} may not send requests here: start the server with "
                "--cors-origin ORIGIN, or send its API key",
            )

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        if self._is_key_in([*_written_keys(headers), *_password(headers)]):
            return
        # What a browser opens is asked for in a way that it knows: the page, and a run's audio.
        browser = scope["method"] in _READS or scope["path"].startswith(UI)
        told = "this server wants its API key: Authorization: Bearer KEY, or X-API-Key: KEY"
        challenge = 'Basic realm="chatter-nb: any name, the API key"' if browser else "Bearer"
        raise Problem(401, told, headers={"WWW-Authenticate": challenge})

    def _is_key_in(self, given: Iterable[str]) -> bool:
        """Whether the server has a key, and it is one of these.

        Every one is compared, and each in constant time.
        """
        key = self._settings.api_key.encode()
        right = [hmac.compare_digest(one.encode(), key) for one in given]
        return bool(key) and any(right)

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """`receive`, which raises `Problem` for a body that is too large or too slow."""
        limit = self._body_bytes(scope["path"], headers)
        told = headers.get("content-length", "")
        longer = "; longer texts are jobs: POST /api/v1/jobs"
        hint = longer if limit == self._settings.limits.json_bytes else ""
        too_large = Problem(413, f"the body may have {limit:,} bytes here{hint}")
        if told.isascii() and told.isdigit() and int(told[:20]) > limit:
            raise too_large
        deadline_s = time.monotonic() + self._settings.limits.upload_timeout_s
        taken, whole = 0, False

        async def limited() -> Message:
            nonlocal taken, whole
            if whole:  # what comes now is that the client went away
                return await receive()
            left_s = deadline_s - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, left_s))
            except TimeoutError:
                raise Problem(
                    408, "the body came too slowly", headers={"Connection": "close"}
                ) from None
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > limit:
                raise too_large
            return message

        return limited

    def _body_bytes(self, path: str, headers: Headers) -> int:
        limits = self._settings.limits
        if headers.get("content-type", "").lower().startswith("multipart/"):
            return limits.upload_bytes + _FORM_SLACK
        return limits.job_json_bytes if path.endswith("/jobs") else limits.json_bytes


class Protection:
    """Middleware around all others: every answer has the headers that protect its reader."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_PROTECTION)
            await send(message)

        await self._app(scope, receive, sent)


class _Sent:
    """`send`, remembering what status went out; 0 before any."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _check_form(headers: Headers) -> None:
    """What a form says of itself: parsers fail at a boundary or a charset that is none."""
    kind, options = parse_options_header(headers.get("content-type"))
    if not kind.startswith(b"multipart/"):
        return
    if not 1 <= len(options.get(b"boundary", b"")) <= _BOUNDARY_CHARS:
        raise Problem(400, f"a form's boundary has 1 to {_BOUNDARY_CHARS} characters")
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in _FORM_CHARSETS:
        raise Problem(415, f"a form's charset cannot be {charset[:40]!r}: send utf-8, or none")


def _netloc(origin: str) -> str:
    """Name and port of an origin; "" where it is none, as of `http://[`."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(host: str) -> str:
    """Without the port."""
    bracketed, closes, _ = host.partition("]")
    return bracketed + closes if closes else host.partition(":")[0]


def _plain_path(path: str) -> str:
    """Without doubled slashes, and under /v1 without a last one: base URLs are typed by hand."""
    path = _SLASHES.sub("/", path)
    return path.rstrip("/") if path.startswith(OPENAI) else path


def _written_keys(headers: Headers) -> Iterable[str]:
    """The keys that a program has put into its headers: no browser sends these by itself."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield given.strip()
    yield headers.get("x-api-key", "")


def _password(headers: Headers) -> Iterable[str]:
    """What a browser was told once, and sends with every request from any page."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            yield base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:  # not base64, not ASCII, or no UTF-8 in it
            yield ""


def _route(scope: Scope) -> str:
    """A route's pattern; paths themselves would be as many labels as there are clients' whims."""
    if scope["path"].startswith(UI):
        return UI
    return getattr(scope.get("route"), "path", "none")
