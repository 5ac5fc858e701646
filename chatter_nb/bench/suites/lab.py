"""A real JupyterLab, its notebook in a real browser: for the benchmark of the forms, and its tests.

Needs playwright and a Chromium; neither is a dependency of the package.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import UnavailableError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Quiet, and nothing it would ask the network for by itself. A click may start the sound.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--autoplay-policy=no-user-gesture-required"
)
START_S = 60


@dataclass(frozen=True)
class Lab:
    """A running server, below whose `root` its notebooks lie."""

    address: str
    token: str
    root: Path

    def url(self, notebook: str) -> str:
        """The lab with one notebook, in a workspace of its own: no tabs of another visit."""
        workspace = f"workspaces/{secrets.token_hex(4)}"
        return f"{self.address}/lab/{workspace}/tree/{notebook}?token={self.token}"

    def end_kernels(self) -> None:
        """Shut down what notebooks have left running."""
        for kernel in json.loads(self._ask("/api/kernels")):
            self._ask(f"/api/kernels/{kernel['id']}", method="DELETE")

    def _ask(self, path: str, *, method: str = "GET") -> bytes:
        headers = {"Authorization": f"token {self.token}"}
        asked = urllib.request.Request(f"{self.address}{path}", method=method, headers=headers)
        with urllib.request.urlopen(asked, timeout=START_S) as answer:
            body: bytes = answer.read()
        return body


def browser_path() -> str:
    """Where a Chromium is. Raises `UnavailableError` with the command that installs one."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise UnavailableError(
            f"needs a browser, none of {', '.join(BROWSERS)} is here: as root, "
            "apt-get install chromium"
        )
    return found


@contextmanager
def jupyter_lab(root: Path, *, env: dict[str, str] | None = None) -> Iterator[Lab]:
    """JupyterLab over `root`, on a free port of this machine only, ended with the block."""
    token, port = secrets.token_hex(16), _free_port()
    with tempfile.TemporaryDirectory() as own, (Path(own) / "log").open("w+b") as log:
        places = dict.fromkeys(("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"), own)
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
        command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"]
        places["JUPYTERLAB_SETTINGS_DIR"] = _settings(Path(own))
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **places, **(env or {})}
        )
        lab = Lab(f"http://127.0.0.1:{port}", token, root)
        try:
            _wait_for(lab, process, Path(log.name))
            yield lab
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def browser_page(
    *, width: int = 1280, height: int = 900, color_scheme: str = "light"
) -> Iterator[Any]:
    """An empty playwright page in a fresh profile."""
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        try:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=color_scheme,  # type: ignore[arg-type]
            )
            yield context.new_page()
        finally:
            browser.close()


def open_notebook(page: Any, lab: Lab, notebook: str) -> None:
    """Show a notebook, with its kernel ready."""
    page.goto(lab.url(notebook))
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=START_S * 1000)
    page.get_by_text("| Idle").wait_for(timeout=START_S * 1000)  # the indicator is idle too soon


def run_all(page: Any) -> None:
    """As a person does: the menu Run, and in it Run All Cells."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.get_by_text(re.compile(r"^\[[*\d]+\]:$")).first.wait_for()


def _settings(folder: Path) -> str:
    """No question about news, which would lie over the page; light or dark as the browser asks."""
    plugin = folder / "settings" / "@jupyterlab" / "apputils-extension"
    plugin.mkdir(parents=True)
    told: dict[str, dict[str, Any]] = {
        "notification": {"fetchNews": "false", "checkForUpdates": False},
        "themes": {"adaptive-theme": True},
    }
    for name, values in told.items():
        path = plugin / f"{name}.jupyterlab-settings"
        path.write_text(json.dumps(values), encoding="utf-8")
    return str(folder / "settings")


def _wait_for(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        if process.poll() is not None:
            break
        try:
            lab._ask("/api")
            return
        except OSError:
            time.sleep(0.1)
    raise UnavailableError(f"JupyterLab did not start: {log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
