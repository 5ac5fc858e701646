"""A real Chromium for tests of pages: driven by playwright, without a network, or skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Quiet, and nothing it would ask the network for by itself.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


@contextmanager
def browser_page(
    *, width: int = 1280, height: int = 900, color_scheme: str = "light"
) -> "Iterator[Page]":
    """An empty page in a fresh profile; skips the test where there is no browser to open it in.

    A script that fails on the page fails the test, once it is through.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is installed")
    faults: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        try:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=color_scheme
            )
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            yield page
        finally:
            browser.close()
    assert not faults, f"scripts on the page failed: {faults}"
