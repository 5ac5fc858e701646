"""A real JupyterLab with its notebook in a real browser, for the benchmark and tests of the forms.

Needs playwright and a Chromium; neither is a dependency of the package.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import UnavailableError
from chatter_nb.bench.rounds import timed
from chatter_nb.bench.servers import START_S, free_port, running

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# No requests to the network by the browser itself. A page may play sound without a click.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--autoplay-policy=no-user-gesture-required"
)
_SOUND = Path(__file__).with_name("sound.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Lab:
    """A running server; its notebooks lie below the folder `root`."""

    address: str
    token: str
    root: Path

    def url(self, notebook: str) -> str:
        """The address of a notebook, in a new workspace: without the tabs of earlier visits."""
        workspace = f"workspaces/{secrets.token_hex(4)}"
        return f"{self.address}/lab/{workspace}/tree/{notebook}?token={self.token}"

    def end_kernels(self) -> None:
        """Shut down all kernels that notebooks have left running."""
        for kernel in json.loads(self._ask("/api/kernels")):
            self._ask(f"/api/kernels/{kernel['id']}", method="DELETE")

    def _ask(self, path: str, *, method: str = "GET") -> bytes:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.address}{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            body: bytes = answer.read()
        return body


def browser_path() -> str:
    """The path of a Chromium. Raises `UnavailableError` with the command that installs Chromium."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise UnavailableError(
            f"needs a browser, none of {', '.join(BROWSERS)} is here: as root, "
            "apt-get install chromium"
        )
    return path


@contextmanager
def jupyter_lab(root: Path, *, env: dict[str, str] | None = None) -> Iterator[Lab]:
    """JupyterLab over `root`, on a free port of this machine only, ended with the block."""
    token, port = secrets.token_hex(16), free_port()
    lab = Lab(f"http://127.0.0.1:{port}", token, root)
    with tempfile.TemporaryDirectory() as folder:
        places = dict.fromkeys(("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"), folder)
        places["JUPYTERLAB_SETTINGS_DIR"] = _settings(Path(folder))
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
        command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"]
        with running("JupyterLab", command, lambda: lab._ask("/api"), places | (env or {})):
            yield lab


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
            context.set_default_timeout(START_S * 1000)
            yield context.new_page()
        finally:
            browser.close()


def open_notebook(page: Any, lab: Lab, notebook: str) -> None:
    """Show a notebook, with its kernel ready."""
    page.goto(lab.url(notebook))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.get_by_text("| Idle").wait_for()  # the indicator is idle too soon


def run_all(page: Any) -> None:
    """Choose "Run All Cells" in the menu "Run", as a person does."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.get_by_text(re.compile(r"^\[[*\d]+\]:$")).first.wait_for()


def until_sound(page: Any, act: Callable[[], object], *, in_view: bool = False) -> float:
    """The seconds from `act()` on until the page begins to play a sound.

    With `in_view`, until the whole audio element that plays is inside the window as well.
    """
    page.evaluate(_SOUND)
    heard = "window.sounding" + " && window.isInView()" * in_view
    return timed(lambda: (act(), page.wait_for_function(heard)))[0]


def _settings(folder: Path) -> str:
    """Write settings below a folder; returns their folder.

    No question about news, which would cover the page; light or dark as the browser asks.
    """
    plugin = folder / "settings" / "@jupyterlab" / "apputils-extension"
    plugin.mkdir(parents=True)
    settings: dict[str, dict[str, Any]] = {
        "notification": {"fetchNews": "false", "checkForUpdates": False},
        "themes": {"adaptive-theme": True},
    }
    for name, values in settings.items():
        path = plugin / f"{name}.jupyterlab-settings"
        path.write_text(json.dumps(values), encoding="utf-8")
    return str(folder / "settings")
