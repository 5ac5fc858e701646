"""The real server in a process of its own, on a free port, for tests that call it from outside."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from conftest import ROOT

from chatter_nb.serve.settings import Settings

START_S = 600.0  # torch, gradio and a busy machine; who ends before is told at once


@dataclass(frozen=True)
class Server:
    """A running server: its address, its process, and what it wrote to stdout and stderr."""

    url: str
    process: subprocess.Popen
    log: Path
    folder: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


def settings_in(folder: Path, **values) -> Settings:
    """Of a server in this process; no page, which takes seconds to build."""
    places = {"outputs_dir": str(folder / "out"), "voices_dir": str(folder / "voices")}
    return Settings(**{"engine": "hibari", "web_page": False} | places | values)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(true, *, within_s: float = 300.0):
    """Ask until the answer is something; that."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s")


@contextmanager
def serving(
    folder: Path, *args: str, page: bool = False, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`chatter-nb serve` with outputs and voices under `folder`; killed at the end if it lives."""
    port, log = free_port(), folder / "server.log"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "chatter_nb.cli", "serve", "--port", str(port)]
    command += ["--outputs", str(folder / "out"), "--voices", str(folder / "voices"), *args]
    if not page:  # it takes seconds to build
        command.append("--no-page")
    with log.open("a") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=file, stderr=file
        )
    server = Server(f"http://127.0.0.1:{port}", process, log, folder)
    try:
        _wait_for(server)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_for(server: Server) -> None:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended: {server.log.read_text()}")
        try:
            urlopen(f"{server.url}/api/v1/health", timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the server did not begin within {START_S:g} s: {server.log.read_text()}")
