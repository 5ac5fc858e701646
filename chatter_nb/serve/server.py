"""The application put together, and the process around it: begin, signals, end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from filelock import FileLock, Timeout
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse, Response

from chatter_nb import __version__
from chatter_nb.errors import ChatterError, InputError, OutputError
from chatter_nb.planning import count
from chatter_nb.runs import LOCKS
from chatter_nb.serve import api, api_about, api_jobs, api_voices, openai
from chatter_nb.serve.connection import Connection
from chatter_nb.serve.gate import OPENAI, UI, Gate
from chatter_nb.serve.jobs import Jobs
from chatter_nb.serve.problems import CODES, Problem, answer, problem_of
from chatter_nb.serve.service import CHUNK_GRACE_S, PAGE_UPLOADS, Service
from chatter_nb.serve.settings import Settings
from chatter_nb.serve.sweeping import tidy

log = logging.getLogger("chatter_nb.serve")

# A worker that computes in Python keeps the event loop waiting for so long, at most; Python's own
# 5 ms, twice a request, are as long as all the rest that HTTP adds.
SWITCH_S = 0.0005
_SWEEP_S = 60.0
_WAIT_S = CHUNK_GRACE_S + 3  # for a server that is about to end


def make_app(settings: Settings, service: Service | None = None) -> FastAPI:
    """The ASGI application. `service` is made here unless it is given."""
    service = service or Service(settings)
    jobs = Jobs(service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if begun := await run_in_threadpool(jobs.resume):
            log.info("%s left by the server before", count(begun, "job"))
        sweeping = asyncio.ensure_future(_sweep(service, jobs))
        yield
        sweeping.cancel()
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
        api.routes(settings.limits),
        api_about.router,
        api_voices.router,
        api_jobs.routes(settings.limits),
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
            expose_headers=["X-Run", "X-Engine", "X-Seed", "X-Audio-Seconds", "Retry-After"],
        )
    return app


@contextmanager
def _prepared(service: Service) -> Iterator[None]:
    """What may fail, before anybody is let in; the outputs folder is held for this server alone.

    Two would do each other's jobs. One that is about to end is waited for.
    """
    outputs = service.settings.outputs
    lock = FileLock(outputs / LOCKS / "serve.lock", timeout=_WAIT_S)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another server works in {outputs}: end it, or choose another folder (--outputs)"
        ) from None
    except OSError as error:
        told = f"cannot write to {outputs}: {error.strerror}; choose --outputs"
        raise OutputError(told) from error
    try:
        service.catalog.import_engines()
        if service.settings.preload:
            service.preload()
        yield
    finally:
        lock.release()


def _listening(settings: Settings) -> socket.socket:
    """Raises `InputError` where the port is another's: uvicorn would end the process."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    opened = socket.socket(family)
    try:
        if os.name != "nt":  # there it would share the port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((settings.host, settings.port))
    except OSError as error:
        opened.close()
        raise InputError(
            f"cannot listen on {settings.host} at port {settings.port}: {error.strerror}; choose "
            "another --port, or 0 for any that is free"
        ) from error
    return opened


async def _sweep(service: Service, jobs: Jobs) -> None:
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
            told = f"there is nothing at {request.url.path[:200]}"
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


class _Server(uvicorn.Server):
    """A signal stops the workers after their chunk at once, not only when all clients have gone."""

    def __init__(self, config: uvicorn.Config, service: Service, *, open_page: bool) -> None:
        super().__init__(config)
        self._service, self._open_page = service, open_page

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        settings, choice = self._service.settings, self._service.catalog.choice()
        port = sockets[0].getsockname()[1]
        page = f"http://{'localhost' if settings.is_local else settings.host}:{port}{UI}"
        log.info("%s speaks at %s; Ctrl-C ends it", choice, page)
        if self._open_page:
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

    def handle_exit(self, sig: int, frame: Any) -> None:
        # In a thread: a handler may have interrupted a holder of the locks that this takes.
        threading.Thread(target=_end, args=(self._service,), daemon=True).start()
        super().handle_exit(sig, frame)


def _end(service: Service) -> None:
    """Begin to end while clients are still waiting: uvicorn waits for them first."""
    service.close()
    service.join()


def serve(settings: Settings, *, open_page: bool = False) -> None:
    """Serve until a signal. Raises `InputError`, `OutputError` or `Problem` if it cannot begin."""
    with _listening(settings) as opened:
        service = Service(settings)
        with _prepared(service):
            sys.setswitchinterval(SWITCH_S)
            server = _Server(_config(settings, service), service, open_page=open_page)
            with suppress(KeyboardInterrupt):  # uvicorn has ended in order, and raises it once more
                server.run(sockets=[opened])


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """A server in a thread of this process, for a benchmark or a notebook; its address."""
    with _listening(settings) as opened:
        address = f"http://{settings.host}:{opened.getsockname()[1]}"
        service = Service(settings)
        with _prepared(service):
            server = uvicorn.Server(_config(settings, service))
            thread = threading.Thread(target=server.run, args=([opened],), daemon=True)
            thread.start()
            try:
                while not server.started:
                    if not thread.is_alive():
                        raise OutputError(f"no server could be started at {address}")
                    time.sleep(0.02)
                yield address
            finally:
                server.should_exit = True
                _end(service)
                thread.join()


def _config(settings: Settings, service: Service) -> uvicorn.Config:
    # Uvicorn makes the connections itself, and hands nothing on to them.
    protocol = type("OwnConnection", (Connection,), {"limits": settings.limits})
    return uvicorn.Config(
        make_app(settings, service),
        host=settings.host,
        port=settings.port,
        http=protocol,
        ws="none",
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.limits.connections,
        h11_max_incomplete_event_size=settings.limits.header_bytes,
        timeout_graceful_shutdown=round(CHUNK_GRACE_S) + 1,
        timeout_keep_alive=30,
    )
