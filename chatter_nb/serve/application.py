"""The application put together: routes, the gate, errors as answers, the page, the sweeping.

Not here: the process around it (`server`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse, Response

from chatter_nb.base.errors import ChatterError
from chatter_nb.base.version import __version__
from chatter_nb.base.wording import count
from chatter_nb.serve.cleanup import tidy
from chatter_nb.serve.errors import CODES, Problem, answer, problem_of
from chatter_nb.serve.jobs import Jobs
from chatter_nb.serve.middleware import OPENAI, UI, Gate, Protection
from chatter_nb.serve.routes import about, openai, speech, voices
from chatter_nb.serve.routes import jobs as job_routes
from chatter_nb.serve.service import PAGE_UPLOADS, Service
from chatter_nb.serve.settings import Settings

log = logging.getLogger("chatter_nb.serve")

_SWEEP_S = 60.0
# What a page elsewhere may read of an answer, besides its body.
_EXPOSED = ["X-Run", "X-Engine", "X-Seed", "X-Audio-Seconds", "Retry-After", openai.IGNORED]


def make_app(settings: Settings, service: Service | None = None) -> FastAPI:
    """The ASGI application. `service` is made here unless it is given."""
    service = service or Service(settings)
    jobs = Jobs(service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tending = asyncio.ensure_future(_tend(service, jobs))
        yield
        tending.cancel()
        service.close()
        if not await run_in_threadpool(service.join):
            log.warning("a chunk takes longer: it is made again by the next server")

    app = FastAPI(
        title="chatter_nb",
        version=__version__,
        description="Text to speech and voice conversion: Chatterbox, and voices that need none.",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.service, app.state.jobs = service, jobs
    for router in (
        speech.routes(settings.limits),
        about.router,
        voices.router,
        job_routes.routes(settings.limits),
        openai.routes(settings.limits),
    ):
        app.include_router(router)
    _add_errors(app)
    if settings.web_page:
        _add_page(app, service)
    app.add_middleware(Gate, settings=settings, metrics=service.metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
        )
    app.add_middleware(Protection)
    return app


async def _tend(service: Service, jobs: Jobs) -> None:
    """Jobs that were left are taken up while the server listens already; then old files go."""
    try:
        if begun := await run_in_threadpool(jobs.resume):
            log.info("%s left by the server before", count(begun, "job"))
    except Exception as error:
        log.error("jobs left by the server before stay: %s", error)
    older_than_s = service.settings.expire_after_s
    while True:
        try:
            await run_in_threadpool(tidy, service)
            if older_than_s is not None:
                await run_in_threadpool(jobs.expire, older_than_s)
        except Exception as error:  # one odd file must not end it for all others
            log.error("old files stay: %s", error)
        await asyncio.sleep(_SWEEP_S)


def _add_errors(app: FastAPI) -> None:
    def answered(request: Request, problem: Problem) -> Response:
        return answer(problem, openai=request.url.path.startswith(OPENAI))

    async def ours(request: Request, error: Exception) -> Response:
        return answered(request, problem_of(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code if error.status_code in CODES else 400
        told = str(error.detail)
        if status == 404:
            path = request.url.path
            told = f"there is nothing at {path[:200]}"
            if path.startswith(("/audio/", "/models")):
                told += f"; OpenAI's routes begin with /v1: {path[:200]} is /v1{path[:200]}"
        headers = dict(error.headers or {})
        if status == 405 and (allowed := _methods(app, request)):
            headers["Allow"] = allowed
            told = f"{request.url.path[:200]} does not take {request.method}: use {allowed}"
        return answered(request, Problem(status, told, headers=headers))

    async def fields(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        told = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return answered(request, Problem(422, "\n".join(told)))

    app.add_exception_handler(ChatterError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, fields)


def _methods(app: FastAPI, request: Request) -> str:
    """All methods of a path; Starlette tells those of its first route alone."""
    path = getattr(request.scope.get("route"), "path", "")
    return ", ".join(name.upper() for name in app.openapi()["paths"].get(path, ()))


def _add_page(app: FastAPI, service: Service) -> None:
    # Gradio asks home for news where it is imported, unless it is told before.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(service.settings.outputs / PAGE_UPLOADS)
    from chatter_nb.serve.ui import add_page

    add_page(app, service)

    @app.get("/", include_in_schema=False)
    async def home() -> Response:
        return RedirectResponse(UI)
