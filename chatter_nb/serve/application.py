"""Builds the ASGI application: routes, middleware, answers to errors, the page, and its sweeping.

Not here: the process around it (`server`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse, Response

from chatter_nb.base.errors import ChatterError
from chatter_nb.base.version import __version__
from chatter_nb.base.wording import count
from chatter_nb.serve.errors import CODES, RESPONSES, Problem, answer, log, problem_of
from chatter_nb.serve.jobs import Jobs
from chatter_nb.serve.live import Lives
from chatter_nb.serve.middleware import OPENAI, UI, Gate
from chatter_nb.serve.outputs import PAGE_UPLOADS, tidy
from chatter_nb.serve.routes import about, openai, review, speech
from chatter_nb.serve.routes import jobs as job_routes
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Settings

_SWEEP_S = 60.0
# The headers of an answer that a page of another origin may read.
_EXPOSED = ["X-Run", "X-Engine", "X-Seed", "X-Audio-Seconds", "Retry-After", openai.IGNORED]


def make_app(settings: Settings, service: Service | None = None) -> FastAPI:
    """The ASGI application, with a new service unless `service` is passed."""
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
    app.state.service, app.state.jobs, app.state.lives = service, jobs, Lives()
    limits = settings.limits
    # The review comes first: its address looks like that of a run's file.
    for router in (review.router, speech.routes(limits), about.router, job_routes.routes(limits)):
        app.include_router(router, responses=RESPONSES, dependencies=[Depends(speech.known_query)])
    app.include_router(openai.routes(limits))
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
    return app


async def _tend(service: Service, jobs: Jobs) -> None:
    """Resume the jobs of an earlier server while this server listens; then remove old files."""
    try:
        if begun := await run_in_threadpool(jobs.resume):
            log.info("%s left by the server before", count(begun, "job"))
    except Exception as error:
        log.error("jobs left by the server before stay: %s", error)
    older_than_s = service.settings.expire_after_s
    while True:
        try:
            await run_in_threadpool(tidy, service.settings)
            if older_than_s is not None:
                await run_in_threadpool(jobs.expire, older_than_s)
        except Exception as error:  # an odd file must not end the sweeping
            log.error("old files stay: %s", error)
        await asyncio.sleep(_SWEEP_S)


def _add_errors(app: FastAPI) -> None:
    """Answer every exception in the envelope of errors."""

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            problem = _http_problem(app, request, error)
        elif isinstance(error, RequestValidationError):
            faults = error.errors()
            lines = [f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in faults]
            problem = Problem(422, "\n".join(lines))
        else:
            problem = problem_of(error)
        return answer(problem, openai=request.url.path.startswith(OPENAI))

    for kind in (ChatterError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, handle)


def _http_problem(app: FastAPI, request: Request, error: HTTPException) -> Problem:
    """An error of Starlette or FastAPI, with a sentence that helps."""
    status = error.status_code if error.status_code in CODES else 400
    path, detail = request.url.path[:200], str(error.detail)
    headers = dict(error.headers or {})
    if status == 404:
        detail = f"there is nothing at {path}"
        if path.startswith(("/audio/", "/models")):
            detail += f"; OpenAI's routes begin with /v1: {path} is /v1{path}"
    # All methods of a path; Starlette lists those of the path's first route only.
    pattern = getattr(request.scope.get("route"), "path", "")
    allowed = ", ".join(name.upper() for name in app.openapi()["paths"].get(pattern, ()))
    if status == 405 and allowed:
        headers["Allow"] = allowed
        detail = f"{path} does not take {request.method}: use {allowed}"
    return Problem(status, detail, headers=headers)


def _add_page(app: FastAPI, service: Service) -> None:
    # Gradio reads these where it is imported; without the first it sends statistics home.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(service.settings.outputs / PAGE_UPLOADS)
    from chatter_nb.serve.ui import add_page

    add_page(app, service)
    app.get("/", include_in_schema=False)(lambda: RedirectResponse(UI))
