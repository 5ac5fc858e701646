"""The form under a person's hands: how long until it is there, until it speaks, until it re-joins.

In a real JupyterLab and a real browser, from the click to what is seen, each round with a kernel of
its own. Beside each, the least that could be done instead: two plain widgets; a cell that speaks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.suites.lab import Lab, browser_page, jupyter_lab, open_notebook, run_all
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts

TEXT = "The north wind blew. The sun came out, and everyone was warm again."
LONG_TEXT = "params/texts/oz_the_cyclone.txt"  # 347 s of audio
_VALUES = f"text={TEXT!r}, engine='hibari', outputs_dir='outputs'"
_BARE_FORM = """import ipywidgets
ipywidgets.VBox([ipywidgets.Textarea('a'), ipywidgets.Button(description='Speak')])"""
_FORM = f"""import chatter_nb as cn
from chatter_nb.notebook import forms
forms.speak_form(cn.SpeakParams({_VALUES}))"""
_CELL = f"""import chatter_nb as cn
from chatter_nb.notebook import show
show.player(cn.generate_tts(cn.SpeakParams({_VALUES})))"""


def run(options: Options, progress: Progress) -> list[Result]:
    """Form ready, first audio, one chunk of the demo text made again."""
    if options.repeats < 3:
        raise InputError(f"--repeats must be at least 3 for a median, not {options.repeats}")
    return [*_in_a_browser(options.repeats, progress), _made_again(options.repeats, progress)]


def _in_a_browser(repeats: int, progress: Progress) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, source in (("bare", _BARE_FORM), ("form", _FORM), ("cell", _CELL)):
            _write(root / f"{name}.ipynb", source)
        with jupyter_lab(root) as lab, browser_page() as page:
            visit = _Visit(lab, page)
            ready = _ways(visit, "bare", "form", _button_is_there)
            first = _ways(visit, "cell", "form", _audio_is_there)
            steps = visit.ready_to_run, visit.ready_to_speak
            return [
                compared("form ready", _timed_alone(ready, steps[0], repeats, progress), None),
                compared("first audio", _timed_alone(first, steps[1], repeats, progress), None),
            ]


class _Visit:
    """A page that shows one notebook after another, each with a fresh kernel."""

    def __init__(self, lab: Lab, page: Any) -> None:
        self.page, self._lab = page, lab

    def ready_to_run(self, notebook: str) -> Callable[[], None]:
        """Open it; returns what remains: running it."""
        self._lab.end_kernels()
        open_notebook(self.page, self._lab, f"{notebook}.ipynb")
        return lambda: run_all(self.page)

    def ready_to_speak(self, notebook: str) -> Callable[[], None]:
        """… and, of a form, all but the click."""
        go = self.ready_to_run(notebook)
        if notebook != "form":
            return go
        go()
        _button_is_there(self.page)
        return lambda: self.page.locator("button", has_text="Speak").first.click()


def _ways(
    visit: _Visit, baseline: str, ours: str, seen: Callable[[Any], None]
) -> dict[str, tuple[str, Callable[[], None]]]:
    return {
        "baseline": (baseline, lambda: seen(visit.page)),
        "ours": (ours, lambda: seen(visit.page)),
    }


def _timed_alone(
    ways: dict[str, tuple[str, Callable[[], None]]],
    prepare: Callable[[str], Callable[[], None]],
    repeats: int,
    progress: Progress,
) -> dict[str, list[float]]:
    """Time what comes after the preparation, side by side."""
    waiting: dict[str, Callable[[], None]] = {}
    order = iter(list(ways) * (repeats + 1))

    def before() -> None:
        side = next(order)
        waiting[side] = prepare(ways[side][0])

    def call(side: str) -> Callable[[], None]:
        def act() -> None:
            waiting[side]()
            ways[side][1]()

        return act

    return alternate({side: call(side) for side in ways}, repeats, progress, before=before)


def _button_is_there(page: Any) -> None:
    page.locator("button.jupyter-button", has_text="Speak").first.wait_for()


def _audio_is_there(page: Any) -> None:
    """As much of it as playing needs."""
    page.wait_for_function(
        """() => [...document.querySelectorAll("audio")].some((one) => {
            one.preload = "auto";
            return one.readyState >= 3;
        })"""
    )


def _made_again(repeats: int, progress: Progress) -> Result:
    """The demo text, whole, against one chunk of it made again by the form, joined and shown."""
    from chatter_nb.notebook.forms import speak_form

    with tempfile.TemporaryDirectory() as folder:
        text = resolve_path(LONG_TEXT).read_text(encoding="utf-8")
        params = SpeakParams(text=text, engine="hibari", outputs_dir=folder)
        form = speak_form(params, generate_tts(params))
        rounds = iter(range(repeats + 1))

        def whole() -> None:
            other = params.model_copy(update={"seed": 1 + next(rounds)})
            form.takes.add(other, generate_tts(other))

        def again() -> None:
            form.chunks.ask()
            form.wait()

        timings = alternate({"baseline": whole, "ours": again}, repeats, progress)
        audio_s = form.takes.all[-1].speech.audio_s
    return compared("one chunk made again", timings, None, audio_s=round(audio_s, 1))


def _write(path: Path, source: str) -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
