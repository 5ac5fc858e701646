"""The messages of a form: progress, notes and problems, as sentences without tracebacks."""

from __future__ import annotations

import html
import time
import traceback
from collections.abc import Callable

import ipywidgets as widgets

from chatter_nb.base.errors import ChatterError
from chatter_nb.base.wording import count, minutes
from chatter_nb.notebook.forms.layout import set_visible
from chatter_nb.runs.lifecycle import Progress

MAX_LINES = 20  # of a list of problems or notes
_SHORTEST_S = 0.1  # between two updates; a fast engine would send too many
_TEXT = "color: var(--jp-ui-font-color1, inherit); line-height: 1.4; white-space: pre-wrap"
_PROBLEM = f"{_TEXT}; border-left: 4px solid #d1602b; padding: 0.2em 0.8em; margin: 0.3em 0"
_NOTE = f"{_TEXT}; border-left: 4px solid #5b8fc9; padding: 0.2em 0.8em; margin: 0.3em 0"


class ProgressLine:
    """A progress bar, and a line with the finished chunks and the remaining time."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar = widgets.FloatProgress(
            0.0, min=0.0, max=1.0, layout=widgets.Layout(width="14em", flex="0 0 auto")
        )
        self._text = widgets.HTML()
        self.box = widgets.HBox(
            [self._bar, self._text],
            layout=widgets.Layout(display="none", align_items="center", flex_flow="row wrap"),
        )
        self._began_s = self._shown_s = 0.0

    def begin(self, text: str) -> None:
        self._began_s = time.monotonic()
        self._shown_s = 0.0
        self._bar.value = 0.0
        self.say(text)
        set_visible(self.box, True)

    def update(self, progress: Progress) -> None:
        """Show a run's progress; the remaining time is estimated from the finished chunks."""
        now_s = time.monotonic()
        if now_s - self._shown_s < _SHORTEST_S and progress.done < progress.total:
            return
        self._shown_s = now_s
        self._bar.value = progress.done / progress.total
        left_s = (now_s - self._began_s) / progress.done * (progress.total - progress.done)
        left = f", {minutes(left_s)} left" if progress.done < progress.total else ""
        self.say(
            f"{progress.done} of {count(progress.total, self._unit)}, "
            f"{progress.audio_s:.0f} s of audio{left}"
        )

    def end(self) -> None:
        set_visible(self.box, False)

    def say(self, text: str) -> None:
        self._text.value = f'<span role="status" style="{_TEXT}">{html.escape(text)}</span>'


class Notices:
    """The place in a form for a problem or a note."""

    def __init__(self) -> None:
        self.box = widgets.HTML(layout=widgets.Layout(display="none"))

    def clear(self) -> None:
        self.box.value = ""
        set_visible(self.box, False)

    def problem(self, text: str) -> None:
        """Show a problem, or a list of problems as a parameter object raises it."""
        self._show(f'<div role="alert" style="{_PROBLEM}">{_listed(text)}</div>')

    def note(self, text: str) -> None:
        self._show(f'<div role="status" style="{_NOTE}">{_listed(text)}</div>')

    def guard(self, call: Callable[[], object]) -> None:
        """Call what a button does, and show the error that it raises."""
        self.clear()
        try:
            call()
        except ChatterError as error:
            self.problem(str(error))
        except Exception as error:
            self.defect(error)

    def defect(self, error: Exception) -> None:
        """Show an unexpected error, with its traceback folded away for a bug report."""
        trace = "".join(traceback.format_exception(error))
        reason = html.escape(f"{type(error).__name__}: {error}")
        self._show(
            f'<div role="alert" style="{_PROBLEM}">This should not happen, and is a defect of '
            f"chatter_nb: {reason}. What is finished is kept.<details><summary>for a bug report"
            f'</summary><pre style="{_TEXT}">{html.escape(trace)}</pre></details></div>'
        )

    def _show(self, value: str) -> None:
        self.box.value = value
        set_visible(self.box, True)


def _listed(text: str) -> str:
    """Return a text as HTML: a sentence, a list of lines, or a heading with its indented lines.

    A block of `replacements:` at its end stays as it is, to be copied.
    """
    text, name, values = text.partition("\nreplacements:")
    block = f'<pre style="{_TEXT}">{html.escape(name.strip() + values)}</pre>' if name else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) <= 1:
        return html.escape(text) + block
    indented = any(line.startswith("  ") for line in text.splitlines()[1:])
    heading = html.escape(lines[0]) if indented else ""
    shown = lines[indented:]
    if len(shown) > MAX_LINES:
        shown = [*shown[:MAX_LINES], f"… and {len(shown) - MAX_LINES} more"]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in shown)
    return f'{heading}<ul style="margin: 0; padding-left: 1.2em">{items}</ul>{block}'
