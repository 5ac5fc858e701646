"""The screens of the suite `form` in a browser: notebooks in JupyterLab, the service's page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nbformat

from chatter_nb.bench.harness import megabytes, process_status
from chatter_nb.bench.rounds import STORE, notebook_of
from chatter_nb.bench.suites.lab import Lab, browser_page, jupyter_lab, open_notebook, run_all
from chatter_nb.bench.suites.serve import serving
from chatter_nb.runs.speech import Speech

RUN = "tts-20260101-000000-0123456789abcdef"  # a name as the service gives it
# Selectors that hold on both screens: what shows the lines of a run, and a run in hand.
REVIEW = ".history summary, button.jupyter-button:has-text('line by line')"
BUSY = ".now progress, button.jupyter-button.mod-primary:disabled"
laptop_page = partial(browser_page, width=1400, height=900)
FORM = """import chatter_nb as cn
from chatter_nb.notebook import forms
forms.speak_form(cn.SpeakParams(text={}, engine='hibari', outputs_dir='outputs'), {})"""


@contextmanager
def lab_page(**sources: str) -> Iterator[tuple[Lab, Any]]:
    """JupyterLab over notebooks of one cell each, by name, and a page for it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, source in sources.items():
            nbformat.write(notebook_of([source]), root / f"{name}.ipynb")
        with jupyter_lab(root) as lab, laptop_page() as page:
            yield lab, page


@contextmanager
def form_page(text: str, speech: Speech | None = None) -> Iterator[tuple[Any, Path]]:
    """A form with a text, and with a copy of a finished run; yields its page and its outputs."""
    take = f"cn.load_speech('outputs/{RUN}')" if speech else None
    with lab_page(form=FORM.format("open('text.txt').read()", take)) as (lab, page):
        (lab.root / "text.txt").write_text(text, encoding="utf-8")
        open_fresh(lab, page, "form")
        if speech:
            shutil.copytree(speech.folder, lab.root / "outputs" / RUN)
        run_all(page)
        button(page, "Speak").wait_for()
        yield page, lab.root / "outputs"


@contextmanager
def service_page(text: str = "", speech: Speech | None = None) -> Iterator[tuple[Any, Path]]:
    """The same on the service's page; without a text, with its sample text."""
    with tempfile.TemporaryDirectory() as folder:
        if speech:
            shutil.copytree(speech.folder, Path(folder) / "served" / RUN)
        with serving(Path(folder)) as server, laptop_page() as page:
            page.goto(f"http://127.0.0.1:{server.port}/ui")
            button(page, "Speak").wait_for()
            if text:
                page.get_by_label("text").first.fill(text)
            yield page, server.outputs


def open_fresh(lab: Lab, page: Any, notebook: str) -> None:
    """Show a notebook with a kernel that has run nothing, and without outputs."""
    lab.end_kernels()
    shutil.rmtree(lab.root / "outputs", ignore_errors=True)
    open_notebook(page, lab, f"{notebook}.ipynb")


def button(page: Any, name: str) -> Any:
    """A form's or the service page's button, once it can be clicked."""
    return page.locator(":is(.jupyter-button, .go button):visible:enabled", has_text=name).first


def forget(outputs: Path) -> None:
    """Delete the finished chunks, which a run would use again."""
    shutil.rmtree(outputs / STORE, ignore_errors=True)


def memory_mb(page: Any) -> tuple[float, float]:
    """What a page's scripts hold, and its process' memory, in MB of 10⁶ bytes. Linux only."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap_mb = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    browser = page.context.browser.new_browser_cdp_session()
    processes = browser.send("SystemInfo.getProcessInfo")["processInfo"]
    # A spare process stands by: the page's is the largest.
    renderers = [process["id"] for process in processes if process["type"] == "renderer"]
    return heap_mb, max(megabytes(process_status(pid)["VmRSS"]) for pid in renderers)
