"""A real Chromium for tests of pages: driven by playwright, without a network, or skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from chatter_nb.base.errors import UnavailableError
from chatter_nb.bench.suites import lab

if TYPE_CHECKING:
    from playwright.sync_api import Page


def needs_browser() -> None:
    """Skips the test where no browser can be driven, with the command that installs one."""
    pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    try:
        lab.browser_path()
    except UnavailableError as error:
        pytest.skip(str(error))


@contextmanager
def browser_page(
    *, width: int = 1280, height: int = 900, color_scheme: str = "light"
) -> "Iterator[Page]":
    """An empty page in a fresh profile, where a browser is.

    A script that fails on the page fails the test, once it is through.
    """
    needs_browser()
    faults: list[str] = []
    with lab.browser_page(width=width, height=height, color_scheme=color_scheme) as page:
        page.context.set_default_timeout(300_000)  # ms; for an event, however busy the machine
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield page
    assert not faults, f"scripts on the page failed: {faults}"
