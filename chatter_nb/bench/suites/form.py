"""What a person waits for on a screen: until the form is shown, until something is heard.

In a real JupyterLab, on the service's page and in a run's review, by a real browser: from a click
or a key until what was asked for is there, or plays (the event `playing`). `--kinds` chooses among
`CASES`. The baselines are the simplest cells for the task, or direct calls in this process.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Result, Turns, alternate, compared, own_clock
from chatter_nb.bench.params import SENTENCES, Options, Progress
from chatter_nb.bench.rounds import timed
from chatter_nb.bench.suites import screens
from chatter_nb.bench.suites.embedded import demo_text, first_chunk_s, text_of
from chatter_nb.bench.suites.lab import run_all, until_sound
from chatter_nb.bench.suites.screens import button
from chatter_nb.pages.review import write_review
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.edits import edit_of
from chatter_nb.runs.revise import make_line
from chatter_nb.runs.speak import generate_tts
from chatter_nb.runs.speech import Speech

TEXT = "The north wind blew. The sun came out, and everyone was warm again."
LONG_CHARS = 38_400  # 37 minutes, some 250 chunks
LINES = 5_000
_BARE_FORM = """import ipywidgets
ipywidgets.VBox([ipywidgets.Textarea('a'), ipywidgets.Button(description='Speak')])"""
_FORM = screens.FORM.format(repr(TEXT), None)
_CELL = f"""import chatter_nb as cn
from IPython.display import Audio
params = cn.SpeakParams(text={TEXT!r}, engine='hibari', outputs_dir='outputs')
Audio(filename=cn.generate_tts(params).files[0], autoplay=True)"""
_SCREENS = {"form": screens.form_page, "page": screens.service_page}
Turn = Callable[..., Turns]  # `alternate`, with its rounds
Call = Callable[[], float]


def run(options: Options, on_progress: Progress) -> list[Result]:
    """The results of all cases, or of those that the options choose."""
    turn = partial(alternate, repeats=options.repeats, on_progress=on_progress)
    return [result for kind in options.chosen(CASES) for result in CASES[kind](turn)]


def _form_ready(turn: Turn) -> list[Result]:
    """From the run of a cell until its button is there, against two plain widgets."""
    with screens.lab_page(baseline=_BARE_FORM, ours=_FORM) as (lab, page):

        def show() -> None:
            run_all(page)
            button(page, "Speak").wait_for()

        calls = {"baseline": show, "ours": show}
        turns = turn(calls, before=partial(screens.open_fresh, lab, page))
    return [compared("form ready", turns.seconds, None)]


def _first_audio(turn: Turn) -> list[Result]:
    """From the click on a form's button until it is heard, against a cell that speaks."""
    with screens.lab_page(baseline=_CELL, ours=_FORM) as (lab, page):

        def prepare(side: str) -> None:
            screens.open_fresh(lab, page, side)
            if side == "ours":
                run_all(page)
                button(page, "Speak").wait_for()

        calls = partial(until_sound, page, partial(run_all, page)), partial(_press_speak, page)
        return [_beside("first audio", turn, *calls, before=prepare)]


def _run_all(turn: Turn) -> list[Result]:
    """From *Run All Cells* until `01_speak` is heard, and the whole player that plays can be seen.

    Nobody clicks: the notebook's cell of work lets the form's player play, and scrolls to it. A
    cold kernel is there and has run nothing. A warm kernel has run all of the notebook before, and
    its finished chunks are deleted. The baseline is a cell that speaks a shorter text.
    """
    with screens.lab_page(baseline=_CELL) as (lab, page):
        notebook = resolve_path("notebooks/01_speak.ipynb").read_text(encoding="utf-8")
        notebook = notebook.replace('engine: str = \\"auto', 'engine: str = \\"hibari')
        (lab.root / "ours.ipynb").write_text(notebook, encoding="utf-8")

        def prepare(is_warm: bool, side: str) -> None:
            screens.open_fresh(lab, page, side)
            if is_warm:
                run_all(page)
                page.wait_for_function("!document.body.textContent.includes('[*]:')")
                screens.forget(lab.root / "outputs")

        call = partial(until_sound, page, partial(run_all, page), in_view=True)
        return [
            _beside(name, turn, call, call, before=partial(prepare, "warm" in name))
            for name in ("Run All to sound, cold kernel", "Run All to sound, warm kernel")
        ]


def _page_sound(turn: Turn) -> list[Result]:
    """From the reload of /ui, and from the click on Speak after it, until the sample is heard.

    The baselines are the reload until Speak can be clicked, and a direct call's first chunk.
    """
    with screens.service_page() as (page, outputs):
        text = page.get_by_label("text").first.input_value()

        def load() -> float:
            return timed(lambda: (page.reload(), button(page, "Speak").wait_for()))[0]

        def prepare(side: str) -> None:
            load()
            screens.forget(outputs)

        speak, direct = partial(_press_speak, page), partial(first_chunk_s, text, outputs / "own")
        both = partial(_beside, turn=turn, before=prepare)
        return [
            both("page: reload to sound", baseline=load, ours=lambda: load() + speak()),
            both("page: click to sound", baseline=direct, ours=speak),
        ]


def _long_text(screen: str, turn: Turn) -> list[Result]:
    """From the click on Speak until a long text is heard, against a direct call's first chunk."""
    text = text_of(LONG_CHARS)
    with _SCREENS[screen](text) as (page, outputs):

        def speak() -> float:
            seconds = _press_speak(page)
            button(page, "Cancel").click()
            page.locator(screens.BUSY).wait_for(state="detached")
            return seconds

        direct = partial(first_chunk_s, text, outputs / "own")
        name = f"{screen}: click to sound, long text"
        forget = partial(screens.forget, outputs)
        return [_beside(name, turn, direct, speak, before=lambda side: forget())]


def _edit(screen: str, turn: Turn) -> list[Result]:
    """From the key that ends an edit of a long run's line, then *make again*, until it is heard.

    The baseline makes the same line by a direct call.
    """
    with tempfile.TemporaryDirectory() as folder:
        speech = _spoken(text_of(LONG_CHARS), folder)
        middle, numbers = len(speech.record.chunks) // 2, itertools.count()
        edit = edit_of(speech.record.chunks[middle])

        def words() -> str:
            return f"Other words stand in this line, number {next(numbers)}."

        def make() -> float:
            new = edit.model_copy(update={"words": words(), "take": 0})
            return timed(lambda: make_line(speech, new))[0]

        with _SCREENS[screen](TEXT, speech) as (page, _):
            press = page.keyboard.press
            page.locator(screens.REVIEW).first.click()
            page.locator(".chatter-review .line").nth(middle).click()

            def write() -> float:
                press("e")
                press("Control+a")
                page.keyboard.insert_text(words())
                return until_sound(page, lambda: (press("Enter"), press("m")))

            return [_beside(f"{screen}: edit to sound", turn, make, write)]


def _review(turn: Turn) -> list[Result]:
    """A long run's review.html until its first line can be played, against an empty page.

    `heap_mb` is what its scripts hold; `renderer_mb` is what the browser's process for it has more
    than the process for an empty page.
    """
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        lines = (sentences * LINES)[:LINES]
        review = write_review(_spoken("\n\n".join(lines), folder))
        empty = review.with_name("empty.html")
        empty.write_text("<!doctype html><p class=open><button>Play</button>", encoding="utf-8")
        calls = {"baseline": partial(_opened, empty), "ours": partial(_opened, review)}
        turns = turn(calls, clock=lambda call: call())
    (_, empty_mb), (heap_mb, page_mb) = (turns.returned[side] for side in calls)
    figures = {"heap_mb": heap_mb, "renderer_mb": page_mb - empty_mb}
    return [compared(f"review of {LINES} lines opened", turns.seconds, None, **figures)]


def _opened(path: Path) -> tuple[float, tuple[float, float]]:
    """The seconds until a file shows its button Play, in a new browser, and `memory_mb`."""
    with screens.laptop_page() as page:
        play = page.locator(".open button:text-is('Play')")  # by its role, it would ask all lines
        seconds, _ = timed(lambda: (page.goto(path.as_uri()), play.wait_for()))
        return seconds, screens.memory_mb(page)


def _made_again(turn: Turn) -> list[Result]:
    """The whole demo text, against a line of it that the review makes again."""
    with tempfile.TemporaryDirectory() as folder:
        speech, numbers = _spoken(demo_text(), folder), itertools.count(1)
        edit = edit_of(speech.record.chunks[0])
        calls = {
            "baseline": lambda: _spoken(demo_text(), folder, seed=next(numbers)),
            "ours": lambda: make_line(speech, edit.model_copy(update={"take": next(numbers)})),
        }
        seconds = turn(calls).seconds
    return [compared("one line made again", seconds, None, audio_s=round(speech.audio_s, 1))]


def _beside(name: str, turn: Turn, baseline: Call, ours: Call, **more: Any) -> Result:
    """The comparison of calls that return their seconds, with the difference, ours − baseline."""
    turns = turn({"baseline": baseline, "ours": ours}, clock=own_clock, **more)
    result = compared(name, turns.seconds, None)
    result.figures["over_s"] = result.ours_s - result.baseline_s
    return result


def _press_speak(page: Any) -> float:
    return until_sound(page, button(page, "Speak").click)


def _spoken(text: str, folder: str, seed: int = 0) -> Speech:
    values = {"text": text, "engine": "hibari", "outputs_dir": folder, "run_name": screens.RUN}
    return generate_tts(SpeakParams.create(values | {"seed": seed}))


CASES: dict[str, Callable[[Turn], list[Result]]] = {
    "form": _form_ready,
    "speak": _first_audio,
    "line": _made_again,
    "notebook": _run_all,
    "page": _page_sound,
    "long form": partial(_long_text, "form"),
    "long page": partial(_long_text, "page"),
    "edit form": partial(_edit, "form"),
    "edit page": partial(_edit, "page"),
    "review": _review,
}
