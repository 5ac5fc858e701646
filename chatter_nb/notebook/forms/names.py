"""The words that a voice guesses at, in rows: heard, respelled, and put into the lexicon."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import mime_of
from chatter_nb.base.project import shown_path
from chatter_nb.notebook.forms.controls import LABEL_WIDTH
from chatter_nb.notebook.forms.layout import button_layout, row, set_visible, with_tooltip
from chatter_nb.notebook.forms.notices import Notices
from chatter_nb.notebook.forms.review import Work
from chatter_nb.pages.players import audio_player, data_url, playing
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.names import Name, enter, heard, lexicon_of, names_in

Start = Callable[[Work], bool]
OnEntered = Callable[[SpeakParams], object]
_QUIET = "color: var(--jp-ui-font-color2, GrayText); line-height: 1.4"


class NamesForm(widgets.VBox):
    """A row for each word, and a button that puts their respellings into the lexicon.

    `start` is as for `ReviewWidget`; `on_entered` gets the parameters that use the lexicon.
    """

    def __init__(self, params: SpeakParams, start: Start, on_entered: OnEntered) -> None:
        self.params, self._start, self._on_entered = params, start, on_entered
        names, told = names_in(params)
        self.notices, self.rows = Notices(), [WordRow(name, self._hear) for name in names]
        label = f"Add to {shown_path(lexicon_of(params))}"
        self.add = widgets.Button(description=label, disabled=not names, layout=button_layout())
        self.add.on_click(lambda _: self.notices.guard(self._enter))
        super().__init__([_quiet(told), *(r.box for r in self.rows), self.add, self.notices.box])
        self.add_class("chatter-form")

    def _enter(self) -> None:
        said = {row.word: row.said.value for row in self.rows if row.said.value.strip()}
        if not said:
            raise InputError("no word has a respelling: write one, such as Shivawn for Siobhan")
        self.params, lines = enter(self.params, said)
        self._on_entered(self.params)
        path = shown_path(lexicon_of(self.params))
        self.notices.note("\n  ".join([f"written to {path}, which this run uses:", *lines]))

    def _hear(self, row: WordRow) -> None:
        said = row.said.value.strip() or row.word

        def make(cancelled: Callable[[], bool]) -> None:
            row.listen.disabled = True
            self.notices.guard(lambda: row.play(self.params, said, cancelled))
            row.listen.disabled = False

        if not self._start(make):
            self.notices.problem("a run is being made: wait for its end, or cancel it")


class WordRow:
    """The widgets of a word: its respelling, a button to hear it, and what is known of it."""

    def __init__(self, name: Name, on_listen: Callable[[WordRow], object]) -> None:
        self.word = name.word
        layout = {"flex": "0 1 24em", "min_width": "0", "width": "auto"}
        self.said = widgets.Text(placeholder="how to say it", description=name.word, layout=layout)
        self.said.style.description_width = LABEL_WIDTH
        self.listen = widgets.Button(icon="play", layout={"width": "3em", "flex": "0 0 auto"})
        with_tooltip(self.listen, f"hear {name.word}, or what is written for it")
        self.listen.on_click(lambda _: on_listen(self))
        about = " · ".join(filter(None, [f"{name.times:,} ×", name.sounds, name.sentence]))
        self.player = widgets.HTML(layout={"display": "none", "flex": "1 1 100%"})
        text = _quiet(about, flex="1 1 16em", min_width="0")
        self.box = row(self.said, self.listen, text, self.player)
        self.box.add_class("chatter-line")

    def play(self, params: SpeakParams, said: str, cancelled: Callable[[], bool]) -> None:
        """Play what is said for the word."""
        path, self.player.value = heard(params, said, cancelled), ""  # a second click plays again
        url = data_url(path.read_bytes(), mime_of(path))
        self.player.value = playing(audio_player([url], mime_of(path), said, labelled=False))
        set_visible(self.player, True)


def _quiet(text: str, **layout: str) -> Any:
    return widgets.HTML(f'<div style="{_QUIET}">{html.escape(text)}</div>', layout=layout)
