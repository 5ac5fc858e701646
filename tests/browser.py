"""A real Chromium for tests of pages: driven by playwright, without a network, or skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from chatter_nb.base.errors import UnavailableError
from chatter_nb.bench.suites import lab

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAIT_MS = 300_000  # for an event, however busy the machine


def needs_browser() -> None:
    """Skips the test where no browser can be driven, with the command that installs one."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    sync_api.expect.set_options(timeout=WAIT_MS)  # else 5 s
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
        page.context.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield page
    assert not faults, f"scripts on the page failed: {faults}"


def axe_violations(page: "Page", include: str = "") -> list[str]:
    """What breaks a WCAG rule of level A or AA, a sentence each: on the page, or in an element.

    `include` is the CSS selector of the element, which is there already.
    """
    sync_playwright = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    rules = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    if include:
        assert page.locator(include).count(), f"nothing on the page is {include}"
    results = sync_playwright.Axe().run(page, include or None, options)
    return [
        f"{rule['id']}: {rule['help']}: {' '.join(node['target'])}: {node['failureSummary']}"
        for rule in results.response["violations"]
        for node in rule["nodes"]
    ]
