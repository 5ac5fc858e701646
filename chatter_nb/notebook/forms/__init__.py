"""Forms in a notebook: controls for the parameters of a run, in ipywidgets 7.7 and 8.

`speak_form` and `convert_form` call the same synchronous functions as a headless run, in a worker
thread: a person can press Cancel. A headless run (`interactive: false`) has a line in the place of
the form, and loads no widgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatter_nb.params.base import RunParams
    from chatter_nb.params.runs import ConvertParams, SpeakParams
    from chatter_nb.runs.speech import Speech

__all__ = ["convert_form", "speak_form"]


def speak_form(params: SpeakParams, speech: Speech | None = None) -> Any:
    """Return a form that speaks, filled in from `params`; `speech`, if given, is its first take."""
    if not params.interactive:
        return NoForm(params)
    from chatter_nb.notebook.forms.kinds import SpeakForm

    return SpeakForm(params, speech)


def convert_form(params: ConvertParams, speech: Speech | None = None) -> Any:
    """Return a form that converts, filled in from `params`; `speech` is its first take."""
    if not params.interactive:
        return NoForm(params)
    from chatter_nb.notebook.forms.kinds import ConvertForm

    return ConvertForm(params, speech)


@dataclass(frozen=True)
class NoForm:
    """What a headless run has in the place of a form: a line, and the same `render`."""

    params: RunParams

    def __repr__(self) -> str:
        return f"interactive is off: no form; this run is {self.params.resolved_run_name()}"

    def names(self) -> Any:
        """The words that the voice guesses at, as a table; see `show.names`."""
        from chatter_nb.notebook import show

        return show.names(self.params)  # type: ignore[arg-type]

    def render(self, plan: Any, *, player: bool = True) -> Speech:
        """Make the run of a plan; print its progress and show its player, if asked for."""
        from IPython.display import display

        from chatter_nb.notebook import show
        from chatter_nb.runs.convert import render_conversion
        from chatter_nb.runs.speak import render_speech

        render: Any = render_speech if self.params.kind == "speak" else render_conversion
        speech: Speech = render(plan, progress=show.progress_lines(plan.unit))
        if player:
            display(show.player(speech))
        return speech
