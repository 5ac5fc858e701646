"""The cast of a text in a form: a row for each speaker, with name, voice and pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from chatter_nb.notebook.forms import layout
from chatter_nb.notebook.forms.controls import WIDE, Control, Options, label_widget, offer
from chatter_nb.params.cast import Member


class _Row:
    """A speaker. What a row has no widget for, such as aliases, is kept as it was loaded."""

    def __init__(self, number: int, name: str, member: Member, options: Options) -> None:
        values = member.model_dump()
        voice, speed = values.pop("voice", ""), values.pop("speed", None)
        self._beside = values
        self.name = widgets.Text(name, placeholder="name", layout=_narrow("6em"))
        self.voice = widgets.Dropdown(layout=_narrow("8em"))
        pace = "" if speed is None else str(speed)
        self.speed = widgets.Text(pace, placeholder="pace", layout=_narrow("3em"))
        self.remove = widgets.Button(description="✕", layout=widgets.Layout(width="2.5em"))
        self.choose_from(options, voice)
        for what in ("name", "voice", "speed"):
            layout.with_tooltip(getattr(self, what), f"{what} of speaker {number}")
        layout.with_tooltip(self.remove, f"remove speaker {number}")
        self.box = layout.row(self.name, self.voice, self.speed, self.remove)

    def choose_from(self, options: Options, voice: str) -> None:
        offer(self.voice, options, voice, "", "the run's voice")

    def value(self) -> dict[str, Any]:
        """Return what is set. Its checks are the parameter object's."""
        pace = self.speed.value.strip()
        number = float(pace) if pace.replace(".", "", 1).isdecimal() else pace
        speed = {"speed": number} if pace else {}
        voice = {"voice": self.voice.value} if self.voice.value else {}
        return {**self._beside, **speed, **voice}


class CastRows(Control):
    """A row for each speaker; the button `add` adds one."""

    def _inputs(self, options: Options) -> list[Any]:
        self._options, self._rows = options, list[_Row]()
        self._calls: list[Callable[[], object]] = []
        self._box = widgets.VBox()
        wide = widgets.Layout(width="auto", align_self="flex-start")
        self.add = widgets.Button(description="Add a speaker", icon="plus", layout=wide)
        self.add.on_click(lambda _: self._add("", Member()))
        return [label_widget(self.field), self.add]

    def _side_by_side(self) -> Any:
        label, add = self.inputs
        column = widgets.VBox([self._box, add])
        column.layout = self.shared.layout(flex="1 1 18em", min_width="0")
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
