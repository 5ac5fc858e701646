"""Errors as HTTP answers: a status, a code and one JSON envelope; never a traceback."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from chatter_nb.base.errors import Cancelled, ChatterError, InputError, OutputError

log = logging.getLogger("chatter_nb.serve")  # for all modules of this room

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "RESOURCE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    416: "RANGE_NOT_SATISFIABLE",
    422: "VALIDATION_ERROR",
    429: "QUEUE_FULL",
    431: "HEADERS_TOO_LARGE",
    500: "GENERATION_ERROR",
    503: "MODEL_LOAD_ERROR",
    504: "TIMEOUT",
    507: "DISK_FULL",
}
_MAX_DETAIL_CHARS = 4_000


class ErrorAnswer(BaseModel):
    """The JSON object of every error of this service."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[False]
    error: str
    detail: str
    error_code: str
    timestamp: str


class OpenAiError(BaseModel):
    """The object that OpenAI's clients read under `error`."""

    model_config = ConfigDict(extra="forbid")

    message: str
    type: str
    param: str | None
    code: str


class OpenAiErrorAnswer(ErrorAnswer):
    """The JSON object of an error under /v1."""

    error: OpenAiError  # type: ignore[assignment]


# For the OpenAPI document: any route may meet these.
RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorAnswer, "description": HTTPStatus(code).phrase} for code in CODES
}
OPENAI_RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {**response, "model": OpenAiErrorAnswer} for code, response in RESPONSES.items()
}


class Problem(ChatterError):
    """An error as an answer: a sentence, and the wrong field (`param`) for OpenAI's clients."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.param = param
        self.code = code or CODES[status]
        self.headers = dict(headers or {})


def not_ready(detail: str) -> Problem:
    """The answer where a model did not load: the next request tries again."""
    return Problem(503, detail, headers={"Retry-After": "30"})


def shutting_down() -> Problem:
    """The answer to a request that the end of the server cuts off."""
    message = "the server is shutting down: what is finished is kept, ask again when it is back"
    return Problem(503, message, code="SHUTTING_DOWN", headers={"Retry-After": "30"})


def problem_of(error: BaseException) -> Problem:
    """Any exception as an answer, without the server's folders; a surprise is logged whole."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClientDisconnect):
        return Problem(408, "the client went away in the middle of its body")
    if isinstance(error, OutputError):
        log.error("cannot write: %s", error)
        if str(error).startswith("disk full"):
            return Problem(507, "the server's disk is full")
        return Problem(500, "the server cannot write its files")
    if isinstance(error, InputError):
        return Problem(422, str(error))
    if isinstance(error, Cancelled):
        return Problem(503, str(error), code="CANCELLED")
    if isinstance(error, ChatterError):
        log.error("a request failed: %s", error)
        return Problem(500, without_folders(str(error)))
    log.error("a request failed", exc_info=error)
    return Problem(500, f"{type(error).__name__}: see the server's log")


def about_document(error: InputError, path: str) -> InputError:
    """An error about an uploaded document, which its sender knows as `text_file`."""
    return InputError(f"text_file: {str(error).replace(f'{Path(path).parent}/', '')}")


def without_folders(message: str) -> str:
    """The message with paths of this machine cut to file names; URLs stay."""
    return re.sub(r"(?<![\w:/])/(?:[^\s/:'\",]+/)+", "", message)


def answer(problem: Problem, *, openai: bool = False) -> Response:
    """The JSON envelope; with `openai`, `error` is an object, as OpenAI's clients expect."""
    phrase, detail = HTTPStatus(problem.status).phrase, str(problem)
    if len(detail) > _MAX_DETAIL_CHARS:  # a line for each fault of a body: there may be thousands
        detail = detail[:_MAX_DETAIL_CHARS] + " …"
    body: dict[str, Any] = {
        "success": False,
        "error": phrase,
        "detail": detail,
        "error_code": problem.code,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if openai:
        kind = "invalid_request_error" if problem.status < 500 else "server_error"
        code = problem.code.lower()
        body["error"] = {"message": detail, "type": kind, "param": problem.param, "code": code}
    # A text's lone surrogates come back in a message, and UTF-8 has no bytes for them: they stay
    # escaped, as JSON writes them too.
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(content, problem.status, problem.headers, media_type="application/json")
