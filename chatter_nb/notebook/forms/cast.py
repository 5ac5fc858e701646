"""The cast of a text in a form: a row for each speaker, with name, voice and pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets as widgets

from chatter_nb.notebook.forms.controls import WIDE, Control, Options, label_widget, offer
from chatter_nb.notebook.forms.layout import row as in_row
from chatter_nb.notebook.forms.layout import with_tooltip
from chatter_nb.params.cast import Member

_OWN = "the run's voice"


class _Row:
    """A speaker. What a row has no widget for, such as aliases, is kept as it was loaded."""

    def __init__(self, number: int, name: str, member: Member, options: Options) -> None:
        values = member.model_dump()
        voice, speed = values.pop("voice", ""), values.pop("speed", None)
        self._beside = values
        self.name = widgets.Text(name, placeholder="name", layout=_narrow("6em"))
        self.voice = widgets.Dropdown(layout=_narrow("8em"))
        pace = "" if speed is None else f"{speed:g}"
        self.speed = widgets.Text(pace, placeholder="pace", layout=_narrow("3em"))
        self.remove = widgets.Button(description="✕", layout=widgets.Layout(width="2.5em"))
        self.choose_from(options, voice)
        for what in ("name", "voice", "speed"):
            with_tooltip(getattr(self, what), f"{what} of speaker {number}")
        with_tooltip(self.remove, f"remove speaker {number}")
        self.box = in_row(self.name, self.voice, self.speed, self.remove)

    def choose_from(self, options: Options, voice: str) -> None:
        offer(self.voice, options, voice, "", _OWN)

    def names(self) -> tuple[str, ...]:
        return (self.name.value, *self._beside.get("aliases", ()))

    def value(self) -> dict[str, Any]:
        """Return what is set. Its checks are the parameter object's."""
        pace = self.speed.value.strip()
        speed = {"speed": _number(pace)} if pace else {}
        voice = {"voice": self.voice.value} if self.voice.value else {}
        return {**self._beside, **speed, **voice}


class CastRows(Control):
    """A row for each speaker; buttons add a row, or `find` the names that the text uses."""

    def _inputs(self, options: Options) -> list[Any]:
        self._options, self._rows = options, list[_Row]()
        self._calls: list[Callable[[], object]] = []
        self._box = widgets.VBox()
        self.add, self.find = (
            widgets.Button(description=text, icon=icon, layout=widgets.Layout(width="auto"))
            for text, icon in (("Add a speaker", "plus"), ("Find speakers", "search"))
        )
        self.add.on_click(lambda _: self._add("", Member()))
        return [label_widget(self.field), self.add, self.find]

    def _side_by_side(self) -> Any:
        label, *buttons = self.inputs
        layout = self.shared.layout(flex="1 1 18em", min_width="0")
        column = widgets.VBox([self._box, in_row(*buttons)], layout=layout)
        line = widgets.HBox([label, column], layout=self.shared.layout(**WIDE))
        line.add_class("chatter-row")
        return line

    def _read(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for row in self._rows:
            name = row.name.value
            while name in values:  # the parameter object tells that a name is there twice
                name += " "
            if row.value() or name.strip():  # else just added
                values[name] = row.value()
        return values

    def _show(self, value: Mapping[str, Member]) -> None:
        self._rows = []
        for name, member in value.items():
            self._add(name, member)
        self._changed()

    def choose_from(self, options: Options) -> None:
        self._options = options
        for row in self._rows:
            row.choose_from(options, row.voice.value)

    def propose(self, names: Iterable[str]) -> None:
        """Add a row for each name that no speaker has."""
        known = {name.casefold() for row in self._rows for name in row.names()}
        for name in names:
            if name.casefold() not in known:
                self._add(name, Member())

    def on_change(self, call: Callable[[], object]) -> None:
        self._calls.append(call)

    def _add(self, name: str, member: Member) -> None:
        row = _Row(len(self._rows) + 1, name, member, self._options)
        self._rows.append(row)
        row.remove.on_click(lambda _: self._remove(row))
        for widget in (row.name, row.voice, row.speed):
            widget.observe(lambda _: self._changed(), names="value")
        self._changed()

    def _remove(self, row: _Row) -> None:
        self._rows.remove(row)
        self._changed()

    def _changed(self) -> None:
        self._box.children = [row.box for row in self._rows]
        for call in self._calls:
            call()


def _narrow(basis: str) -> Any:
    return widgets.Layout(width="auto", flex=f"1 1 {basis}", min_width="0", max_width="16em")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
