"""The takes of a form, side by side."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from chatter_nb.base.errors import shorten
from chatter_nb.notebook import show
from chatter_nb.notebook.forms.layout import set_visible
from chatter_nb.pages.gallery.differing import NOTHING, in_words
from chatter_nb.params.base import NOT_DECIDING, RunParams
from chatter_nb.params.fields import fields_of
from chatter_nb.runs.speech import Speech

MAX_TAKES = 8  # the page holds their audio; an older take is removed, its folder stays
MAX_VALUE = 60  # characters

Guard = Callable[[Callable[[], object]], None]  # calls its argument, and shows the errors


@dataclass(frozen=True)
class Take:
    """The result of a press of the button: the parameters and the speech."""

    number: int
    params: RunParams
    speech: Speech
    player: str  # HTML that holds the audio


class Takes:
    """Cards of takes, the newest first. `use(params)` loads a take's settings into the form."""

    def __init__(self, use: Callable[[RunParams], object], guard: Guard) -> None:
        self._use, self._guard = use, guard
        self._takes: list[Take] = []
        self._count = 0
        self._title = widgets.HTML()
        self._cards = widgets.HBox([], layout=widgets.Layout(flex_flow="row wrap", width="100%"))
        # A single take stays hidden: the form shows it above.
        self.box = widgets.VBox([self._title, self._cards], layout=widgets.Layout(display="none"))

    @property
    def all(self) -> Sequence[Take]:
        """Oldest first."""
        return tuple(self._takes)

    def add(self, params: RunParams, speech: Speech) -> Take:
        """Add a take; it replaces an earlier take with the same settings and the same audio."""
        same = [take for take in self._takes if _same(take, params, speech)]
        self._count += not same
        number = same[0].number if same else self._count
        take = Take(number, params, speech, show.player(speech).data)
        others = [other for other in self._takes if other not in same]
        self._takes = [*others, take][-MAX_TAKES:]
        self._draw()
        return take

    def remove(self, take: Take) -> None:
        self._takes = [other for other in self._takes if other is not take]
        self._draw()

    def _draw(self) -> None:
        differing = _differing([take.params for take in self._takes])
        self._cards.children = [self._card(take, differing) for take in reversed(self._takes)]
        self._title.value = "<b>Takes, side by side</b>: only what differs between them is told"
        set_visible(self.box, len(self._takes) > 1)

    def _card(self, take: Take, differing: Sequence[str]) -> Any:
        use = widgets.Button(description="Use these settings", layout=widgets.Layout(width="auto"))
        remove = widgets.Button(description="Remove", layout=widgets.Layout(width="auto"))
        use.on_click(lambda _: self._guard(lambda: self._use(take.params)))
        remove.on_click(lambda _: self._guard(lambda: self.remove(take)))
        page = widgets.HTML(_caption(take, differing) + take.player)
        layout = widgets.Layout(
            border="1px solid rgba(128, 128, 128, 0.4)",
            padding="0.5em",
            margin="0.3em",
            width="24em",
            max_width="100%",
        )
        buttons = widgets.HBox([use, remove], layout=widgets.Layout(flex_flow="row wrap"))
        return widgets.VBox([page, buttons], layout=layout)


def _same(take: Take, params: RunParams, speech: Speech) -> bool:
    """Return if a take is the same as a new run; the notebook's cell uses another folder name."""
    earlier, now = ([f.sha256 for f in run.record.files] for run in (take.speech, speech))
    return (take.params == params and earlier == now) or take.speech.folder == speech.folder


def _caption(take: Take, differing: Sequence[str]) -> str:
    record = take.speech.record
    pace = f", {record.wall_s:.1f} s of work" if record.wall_s else ""
    title = f"<b>Take {take.number}</b>: {record.audio_s:.1f} s, {record.engine.name}{pace}"
    fields = fields_of(type(take.params))
    lines = [f"{fields[name].label}: {_short(take, name) or NOTHING}" for name in differing]
    return "<br>".join([title, *(html.escape(line) for line in lines)])


def _short(take: Take, name: str) -> str:
    if name == "takes":  # its keys are hashes: show the numbers of chunks instead
        return ", ".join(f"chunk {c.index}: {c.take}" for c in take.speech.record.chunks if c.take)
    return shorten(in_words(getattr(take.params, name)), MAX_VALUE)


def _differing(runs: Sequence[RunParams]) -> list[str]:
    """Return the names of the parameters that differ and that influence the audio."""
    names = [name for run in runs[:1] for name in type(run).model_fields]
    return [
        name
        for name in names
        if name not in NOT_DECIDING and len({repr(getattr(run, name)) for run in runs}) > 1
    ]
