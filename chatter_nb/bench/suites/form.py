"""The form in a browser: how long until it is shown, until it speaks, until a line is made again.

In a real JupyterLab and a real browser, from the click to what is seen, each round with a kernel of
its own. The baselines are the simplest cells for the task: two plain widgets; a cell that speaks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nbformat

from chatter_nb.bench.harness import Result, alternate, compared
from chatter_nb.bench.params import Options, Progress
from chatter_nb.bench.rounds import notebook_of
from chatter_nb.bench.suites.embedded import demo_text
from chatter_nb.bench.suites.lab import Lab, browser_page, jupyter_lab, open_notebook, run_all
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.edits import edit_of
from chatter_nb.runs.revise import make_line
from chatter_nb.runs.speak import generate_tts

TEXT = "The north wind blew. The sun came out, and everyone was warm again."
_VALUES = f"text={TEXT!r}, engine='hibari', outputs_dir='outputs'"
_BARE_FORM = """import ipywidgets
ipywidgets.VBox([ipywidgets.Textarea('a'), ipywidgets.Button(description='Speak')])"""
_FORM = f"""import chatter_nb as cn
from chatter_nb.notebook import forms
forms.speak_form(cn.SpeakParams({_VALUES}))"""
_CELL = f"""import chatter_nb as cn
from chatter_nb.notebook import show
show.player(cn.generate_tts(cn.SpeakParams({_VALUES})))"""


def run(options: Options, on_progress: Progress) -> list[Result]:
    """Form ready, first audio, a line of the demo text made again."""
    return [*_in_a_browser(options.repeats, on_progress), _made_again(options.repeats, on_progress)]


def _in_a_browser(repeats: int, on_progress: Progress) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, source in (("bare", _BARE_FORM), ("form", _FORM), ("cell", _CELL)):
            nbformat.write(notebook_of([source]), root / f"{name}.ipynb")
        with jupyter_lab(root) as lab, browser_page() as page:
            return [
                _form_ready(lab, page, repeats, on_progress),
                _first_audio(lab, page, repeats, on_progress),
            ]


def _form_ready(lab: Lab, page: Any, repeats: int, on_progress: Progress) -> Result:
    """From the run of a cell until its button is there, against two plain widgets."""
    notebooks = {"baseline": "bare", "ours": "form"}

    def run_cell() -> None:
        run_all(page)
        _wait_for_button(page)

    turns = alternate(
        dict.fromkeys(notebooks, run_cell),
        repeats,
        on_progress,
        before=lambda side: _open(lab, page, notebooks[side]),
    )
    return compared("form ready", turns.seconds, None)


def _first_audio(lab: Lab, page: Any, repeats: int, on_progress: Progress) -> Result:
    """From the click on a form's button until its audio is there, against a cell that speaks."""

    def prepare(side: str) -> None:
        _open(lab, page, "form" if side == "ours" else "cell")
        if side == "ours":
            run_all(page)
            _wait_for_button(page)

    def run_cell() -> None:
        run_all(page)
        _wait_for_audio(page)

    def click() -> None:
        page.locator("button", has_text="Speak").first.click()
        _wait_for_audio(page)

    calls = {"baseline": run_cell, "ours": click}
    turns = alternate(calls, repeats, on_progress, before=prepare)
    return compared("first audio", turns.seconds, None)


def _open(lab: Lab, page: Any, notebook: str) -> None:
    """Show a notebook with a fresh kernel."""
    lab.end_kernels()
    open_notebook(page, lab, f"{notebook}.ipynb")


def _wait_for_button(page: Any) -> None:
    page.locator("button.jupyter-button", has_text="Speak").first.wait_for()


def _wait_for_audio(page: Any) -> None:
    """Wait for an audio element with as much data as playing needs."""
    page.wait_for_function(
        """() => [...document.querySelectorAll("audio")].some((audio) => {
            audio.preload = "auto";
            return audio.readyState >= 3;
        })"""
    )


def _made_again(repeats: int, on_progress: Progress) -> Result:
    """The whole demo text, against a line of it that the review makes again."""
    with tempfile.TemporaryDirectory() as folder:
        params = SpeakParams(text=demo_text(), engine="hibari", outputs_dir=folder)
        speech = generate_tts(params)
        edit = edit_of(speech.record.chunks[0])
        rounds = iter(range(1, 2 * repeats + 3))

        def whole() -> None:
            generate_tts(params.model_copy(update={"seed": next(rounds)}))

        def again() -> None:
            make_line(speech, edit.model_copy(update={"take": next(rounds)}))

        turns = alternate({"baseline": whole, "ours": again}, repeats, on_progress)
    return compared("one line made again", turns.seconds, None, audio_s=round(speech.audio_s, 1))
