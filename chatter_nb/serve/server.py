"""The process around the application: its port, its outputs folder, signals, and its end."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from filelock import FileLock, Timeout

from chatter_nb.base.errors import InputError, OutputError
from chatter_nb.base.screen import open_in_browser
from chatter_nb.runs.folder import LOCKS
from chatter_nb.serve.application import make_app
from chatter_nb.serve.connection import Connection
from chatter_nb.serve.errors import log
from chatter_nb.serve.middleware import UI
from chatter_nb.serve.service import CHUNK_GRACE_S, Service
from chatter_nb.serve.settings import Settings

# A worker that computes in Python keeps the event loop waiting for this long, at most. Python's
# default of 5 ms, twice a request, is as long as all the rest that HTTP adds.
SWITCH_S = 0.0005
_WAIT_S = CHUNK_GRACE_S + 3  # for a server that is about to end
_OTHER_FILES = 500  # open at once beside the connections: models, runs, uploads


def serve(settings: Settings, *, open_page: bool = False) -> None:
    """Serve until a signal. Raises `InputError`, `OutputError` or `Problem` if it cannot begin."""
    _allow_files(settings.limits.connections + _OTHER_FILES)
    with _prepared(settings) as (opened, service):
        sys.setswitchinterval(SWITCH_S)
        server = _Server(_config(settings, service), service, open_page=open_page)
        with suppress(KeyboardInterrupt):  # uvicorn has ended in order, and raises it once more
            server.run(sockets=[opened])


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Run a server in a thread of this process, for a benchmark or a test; yields its address."""
    with _prepared(settings) as (opened, service):
        address = f"http://{settings.host}:{opened.getsockname()[1]}"
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


@contextmanager
def _prepared(settings: Settings) -> Iterator[tuple[socket.socket, Service]]:
    """Do all that may fail before a client is let in; yields the bound socket and the service.

    The outputs folder is locked: two servers in a folder would do each other's jobs.
    """
    with _bound_socket(settings) as opened:
        service = Service(settings)
        lock = _take_lock(settings.outputs)
        try:
            service.catalog.import_engines()
            if settings.preload:
                service.preload()
            yield opened, service
        finally:
            lock.release()


def _allow_files(number: int) -> None:
    """Raise this process's limit of open files to `number`: many systems begin with 1,024."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        allowed = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _take_lock(outputs: Path) -> FileLock:
    """Lock the outputs folder; waits for a server that is about to end. Raises `OutputError`."""
    lock = FileLock(outputs / LOCKS / ".serve.lock")  # hidden: no run's name
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another server works in %s: waiting %.0f s for its end", outputs, _WAIT_S)
            lock.acquire(timeout=_WAIT_S)
    except Timeout:
        raise OutputError(
            f"another server works in {outputs}: end it, or choose another folder (--outputs)"
        ) from None
    except OSError as error:
        message = f"cannot write to {outputs}: {error.strerror}; choose --outputs"
        raise OutputError(message) from error
    return lock


def _bound_socket(settings: Settings) -> socket.socket:
    """A socket bound to the port. Raises `InputError` if it is taken: uvicorn would just exit."""
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


class _Server(uvicorn.Server):
    """Uvicorn's server, which stops the workers at the signal, and says where the page is."""

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
            threading.Thread(target=open_in_browser, args=(page,), daemon=True).start()

    def handle_exit(self, sig: int, frame: Any) -> None:
        # In a thread: a handler may have interrupted a holder of the locks that this takes.
        threading.Thread(target=_end, args=(self._service,), daemon=True).start()
        super().handle_exit(sig, frame)


def _end(service: Service) -> None:
    """Stop the workers while clients still wait for them, as uvicorn waits for clients."""
    service.close()
    service.join()


def _config(settings: Settings, service: Service) -> uvicorn.Config:
    # Uvicorn makes the connections itself and passes no settings to them: they are of the class.
    protocol = type("OwnConnection", (Connection,), {"limits": settings.limits, "silent": {}})
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
