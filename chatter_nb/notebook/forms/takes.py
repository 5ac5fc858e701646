"""The takes of a form, side by side: what was made, with the settings that differ between them."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from chatter_nb.notebook import show
from chatter_nb.notebook.gallery.differing import NOTHING, told
from chatter_nb.params.base import NOT_DIGESTED, RunParams
from chatter_nb.params.fields import fields_of
from chatter_nb.runs.speech import Speech

MAX_TAKES = 8  # each holds its audio in the page; the oldest goes, its folder stays
MAX_VALUE = 60  # characters


@dataclass(frozen=True)
class Take:
    """One press of the button: what was asked for, and what came of it."""

    number: int
    params: RunParams
    speech: Speech
    player: str  # HTML, with the audio in it: made once


class Takes:
    """Cards of takes, the newest first. `use(params)` puts a take's settings back."""

    def __init__(
        self,
        use: Callable[[RunParams], object],
        guard: Callable[[Callable[[], object]], None],
    ) -> None:
        self._use, self._guard = use, guard
        self._takes: list[Take] = []
        self._made = 0
        self._title = widgets.HTML()
        self._cards = widgets.HBox([], layout=widgets.Layout(flex_flow="row wrap", width="100%"))
        # A single take is what the form shows above it.
        self.box = widgets.VBox([self._title, self._cards], layout=widgets.Layout(display="none"))

    @property
    def all(self) -> Sequence[Take]:
        """Oldest first."""
        return tuple(self._takes)

    def add(self, params: RunParams, speech: Speech) -> Take:
        """Keep a take; the same settings once more take the place of the earlier ones."""
        same = [one for one in self._takes if _same(one, params, speech)]
        self._made += not same
        number = same[0].number if same else self._made
        take = Take(number, params, speech, show.player(speech).data)
        self._takes = [one for one in self._takes if one not in same] + [take]
        self._takes = self._takes[-MAX_TAKES:]
        self._draw()
        return take

    def remove(self, take: Take) -> None:
        self._takes = [one for one in self._takes if one is not take]
        self._draw()

    def _draw(self) -> None:
        differing = _differing([one.params for one in self._takes])
        self._cards.children = [self._card(one, differing) for one in reversed(self._takes)]
        self._title.value = "<b>Takes, side by side</b>: only what differs between them is told"
        self.box.layout.display = None if len(self._takes) > 1 else "none"

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
    """Also where the notebook's cell made the earlier one, in a folder of its own name."""
    heard = [[file.sha256 for file in one.record.files] for one in (take.speech, speech)]
    made_again = take.params == params and heard[0] == heard[1]
    return made_again or take.speech.folder == speech.folder


def _caption(take: Take, differing: Sequence[str]) -> str:
    record = take.speech.record
    pace = f", {record.wall_s:.1f} s of work" if record.wall_s else ""
    title = f"<b>Take {take.number}</b>: {record.audio_s:.1f} s, {record.engine.name}{pace}"
    lines = [f"{name}: {_short(take, name) or NOTHING}" for name in differing]
    return "<br>".join([title, *(html.escape(line) for line in lines)])


def _short(take: Take, name: str) -> str:
    if name == "takes":  # keys say nothing to a person
        return ", ".join(f"chunk {c.index}: {c.take}" for c in take.speech.record.chunks if c.take)
    value = told(getattr(take.params, name))
    return value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}…"


def _differing(every: Sequence[RunParams]) -> list[str]:
    names = fields_of(type(every[0])) if every else {}
    return [
        name
        for name in names
        if name not in NOT_DIGESTED and len({repr(getattr(one, name)) for one in every}) > 1
    ]
