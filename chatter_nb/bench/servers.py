"""A server in a process of its own, for the benchmarks that time a server from outside."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from chatter_nb.base.errors import UnavailableError

START_S = 300  # a server that fails ends sooner; a busy machine takes its time
END_S = 10
_LOG_CHARS = 2000


def free_port() -> int:
    """A TCP port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    ask: Callable[[], object],
    env: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Start a server, wait until it answers, and end it with the block.

    `ask` sends the server a request; it raises `OSError` until the server listens. `env` is
    added to this process' environment. Raises `UnavailableError` with the end of what the server
    printed if it does not start.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **(env or {})}
        )
        try:
            if not _answered(process, ask):
                log.seek(0)
                last = log.read().decode(errors="replace")[-_LOG_CHARS:]
                raise UnavailableError(f"{name} did not start: {last}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answered(process: subprocess.Popen[bytes], ask: Callable[[], object]) -> bool:
    """Whether the server answers in time; False if it ended or took longer than `START_S`."""
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and process.poll() is None:
        try:
            ask()
            return True
        except OSError:
            time.sleep(0.05)
    return False
