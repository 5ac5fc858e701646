"""What a form says: how far it is, what it made, what is wrong. Sentences, never a traceback."""

from __future__ import annotations

import html
import time
from collections.abc import Callable

import ipywidgets as widgets

from chatter_nb.base.wording import count, minutes
from chatter_nb.runs.lifecycle import Progress

MAX_LINES = 20  # of a list of problems
_SHORTEST_S = 0.1  # between two updates: more would flood the browser on a fast engine
_TEXT = "color: var(--jp-ui-font-color1, inherit); line-height: 1.4; white-space: pre-wrap"
_PROBLEM = f"{_TEXT}; border-left: 4px solid #d1602b; padding: 0.2em 0.8em; margin: 0.3em 0"
_NOTE = f"{_TEXT}; border-left: 4px solid #5b8fc9; padding: 0.2em 0.8em; margin: 0.3em 0"


class ProgressLine:
    """A bar by chunk, and the time that is left."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar = widgets.FloatProgress(
            0.0, min=0.0, max=1.0, layout=widgets.Layout(width="14em", flex="0 0 auto")
        )
        self._told = widgets.HTML()
        self.box = widgets.HBox(
            [self._bar, self._told],
            layout=widgets.Layout(display="none", align_items="center", flex_flow="row wrap"),
        )
        self._began_s = self._shown_s = 0.0

    def begin(self, told: str) -> None:
        self._began_s = time.monotonic()
        self._shown_s = 0.0
        self._bar.value = 0.0
        self._say(told)
        self.box.layout.display = None

    def update(self, progress: Progress) -> None:
        """For `progress=`; the remaining time goes by the chunks that are done."""
        now_s = time.monotonic()
        if now_s - self._shown_s < _SHORTEST_S and progress.done < progress.total:
            return
        self._shown_s = now_s
        self._bar.value = progress.done / progress.total
        left_s = (now_s - self._began_s) / progress.done * (progress.total - progress.done)
        left = f", {minutes(left_s)} left" if progress.done < progress.total else ""
        self._say(
            f"{progress.done} of {count(progress.total, self._unit)}, "
            f"{progress.audio_s:.0f} s of audio{left}"
        )

    def say(self, told: str) -> None:
        self._say(told)

    def end(self) -> None:
        self.box.layout.display = "none"

    def _say(self, told: str) -> None:
        self._told.value = f'<span role="status" style="{_TEXT}">{html.escape(told)}</span>'


class Notices:
    """The place for what went wrong, or for what there is to know."""

    def __init__(self) -> None:
        self.box = widgets.HTML(layout=widgets.Layout(display="none"))

    def clear(self) -> None:
        self.box.value = ""
        self.box.layout.display = "none"

    def problem(self, told: str) -> None:
        """One problem is a sentence; several, as parameter objects list them, are a list."""
        self._show(f'<div role="alert" style="{_PROBLEM}">{_listed(told)}</div>')

    def note(self, told: str) -> None:
        self._show(f'<div role="status" style="{_NOTE}">{_listed(told)}</div>')

    def defect(self, error: Exception, trace: str) -> None:
        """What no one foresaw: said plainly, with what a bug report needs folded away."""
        told = html.escape(f"{type(error).__name__}: {error}")
        self._show(
            f'<div role="alert" style="{_PROBLEM}">This should not happen, and is a defect of '
            f"chatter_nb: {told}. What is finished is kept.<details><summary>for a bug report"
            f'</summary><pre style="{_TEXT}">{html.escape(trace)}</pre></details></div>'
        )

    def _show(self, value: str) -> None:
        self.box.value = value
        self.box.layout.display = None


def _listed(told: str) -> str:
    """A heading and its indented lines (`params.base`), or lines of equal rank, or a sentence."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    if len(lines) <= 1:
        return html.escape(told)
    indented = any(line.startswith("  ") for line in told.splitlines()[1:])
    heading = html.escape(lines[0]) if indented else ""
    shown = lines[indented:]
    if len(shown) > MAX_LINES:
        shown = [*shown[:MAX_LINES], f"… and {len(shown) - MAX_LINES} more"]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in shown)
    return f'{heading}<ul style="margin: 0; padding-left: 1.2em">{items}</ul>'


def guarded(notices: Notices, call: Callable[[], object]) -> None:
    """Carry out what a button does; its errors are told where the form tells them."""
    import traceback

    from chatter_nb.base.errors import ChatterError

    try:
        call()
    except ChatterError as error:
        notices.problem(str(error))
    except Exception as error:
        notices.defect(error, traceback.format_exc())
