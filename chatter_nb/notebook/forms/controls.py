"""Controls of a form: widgets in which a person types, drags or chooses a parameter's value.

A control checks nothing and clamps nothing: the parameter object checks the values of all controls.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from chatter_nb.notebook.forms.layout import Shared, with_tooltip
from chatter_nb.params.fields import Field
from chatter_nb.params.pairs import pairs_text

OWN = "the engine's own"
KEEP = object()  # leave the value as it is
LABEL_WIDTH = "12em"
STEP = 0.05  # of a slider
_HINT = "color: var(--jp-ui-font-color2, GrayText); font-size: 90%; line-height: 1.3"
WIDE = {"flex": "1 1 30em", "min_width": "0"}

Options = Sequence[Any] | None


class Control:
    """The control of a field: `box` is the widget to show, `value` its value, as `-p` takes it.

    Each subclass is a kind of input. `options` are the choices of a dropdown, or suggested texts.
    """

    def __init__(self, field: Field, shared: Shared, options: Options = None) -> None:
        self.field, self.shared = field, shared
        self.inputs = self._inputs(options)
        for widget in self.inputs:
            with_tooltip(widget, field.hint)
        hint = widgets.HTML(
            f'<div style="{_HINT}">{html.escape(self._hint())}</div>',
            layout=shared.layout(flex="1 1 14em", min_width="0", margin="0 0 0 0.6em"),
            style=shared.style(widgets.HTML),
        )
        layout = widgets.Layout(flex_flow="row wrap", align_items="center", width="100%")
        self.box = widgets.HBox([self._side_by_side(), hint], layout=layout)
        self.box.add_class("chatter-line")

    def _inputs(self, options: Options) -> list[Any]:
        """Return the widgets of the control; the last widget holds the value."""
        raise NotImplementedError

    def _side_by_side(self) -> Any:
        """Return the widget of the inputs: a row if there are several."""
        if len(self.inputs) == 1:
            return self.inputs[0]
        row = widgets.HBox(self.inputs, layout=self.shared.layout(**WIDE))
        row.add_class("chatter-row")
        return row

    def _styled(self, kind: type[widgets.Widget]) -> dict[str, Any]:
        """Return the style and layout of an input with a label: labels of one width."""
        return {
            "style": self.shared.style(kind, description_width=LABEL_WIDTH),
            "layout": self.shared.layout(width="auto", **WIDE),
        }

    def _hint(self) -> str:
        return f"{self.field.hint}; unless set, {OWN}" if self.field.optional else self.field.hint

    @property
    def value(self) -> Any:
        return self._read()

    @value.setter
    def value(self, value: Any) -> None:
        self._show(value)

    def _read(self) -> Any:
        return self.inputs[-1].value

    def _show(self, value: Any) -> None:
        self.inputs[-1].value = value

    def on_change(self, call: Callable[[], object]) -> None:
        """Call `call()` after each change of the value."""
        for widget in self.inputs:
            if not isinstance(widget, widgets.Label):
                widget.observe(lambda change: call(), names="value")

    def choose_from(self, options: Options) -> None:
        """Offer these choices, if the control is a list of names; see `Names`."""

    def show_default(self, default: float | None) -> None:
        """Show the engine's own value where no value is set."""


class Plain(Control):
    """A required number, or a checkbox."""

    def _inputs(self, options: Options) -> list[Any]:
        kinds = {"integer": widgets.IntText, "number": widgets.FloatText, "flag": widgets.Checkbox}
        kind = kinds[self.field.kind]
        return [kind(self.field.default, description=_label(self.field), **self._styled(kind))]


class Slider(Control):
    """A slider. At the engine's own value it sets nothing, unless that value was loaded."""

    _loaded: float | None = None  # all digits of a loaded value: a slider only has steps

    def _hint(self) -> str:
        return self.field.hint

    def _inputs(self, options: Options) -> list[Any]:
        least, most = self.field.least or 0.0, self.field.most or 1.0
        least = least + STEP if self.field.above else least
        self._default = min(max(1.0, least), most)
        limits = {"min": least, "max": most, "step": STEP}
        named = {"readout_format": ".2f", "description": _label(self.field)}
        styled = self._styled(widgets.FloatSlider)
        self._slider = widgets.FloatSlider(self._default, **limits, **named, **styled)
        return [self._slider]

    def _read(self) -> Any:
        at = self._slider.value
        if self._is_at(self._loaded, at):
            return self._loaded
        return None if self._is_at(self._default, at) else round(at, 6)

    def _show(self, value: Any) -> None:
        self._loaded = value
        if value is not None:
            self._slider.step = STEP if round(value / STEP, 6).is_integer() else 0.001
            # A value can be below the first step.
            self._slider.min = min(self._slider.min, value)
        self._slider.value = self._default if value is None else value

    def show_default(self, default: float | None) -> None:
        """Move the slider to the engine's own value, unless a value is set."""
        if default is not None:
            is_unset = self.value is None
            self._default = default
            if is_unset:
                self._slider.value = default

    def _is_at(self, value: float | None, place: float) -> bool:
        """Return if `value` and `place` are the same step.

        A browser that draws a slider moves it to a sum of steps such as 1.0000000000000002, and
        reports a move. That sets no value.
        """
        return value is not None and abs(value - place) < self._slider.step / 2


class Text(Control):
    """A text field: names, an optional number, or a mapping, with a line for each pair."""

    def _inputs(self, options: Options) -> list[Any]:
        named = {"description": _label(self.field)}
        if self.field.kind == "mapping":
            is_words = self.field.name == "replacements"
            named["placeholder"] = "Siobhan = Shivawn" if is_words else "name = value"
            return [widgets.Textarea("", rows=2, **named, **self._styled(widgets.Textarea))]
        named["placeholder"] = _placeholder(None) if self.field.optional else ""
        start = self._as_text(self.field.default)
        return [widgets.Text(start, **named, **self._styled(widgets.Text))]

    def _read(self) -> Any:
        text = self.inputs[-1].value
        if self.field.optional and not text.strip():
            return None
        return text

    def _show(self, value: Any) -> None:
        self.inputs[-1].value = self._as_text(value)

    def show_default(self, default: float | None) -> None:
        """Show the engine's own value in an empty field."""
        if self.field.optional:
            self.inputs[-1].placeholder = _placeholder(default)

    def _as_text(self, value: Any) -> str:
        if self.field.kind == "mapping":
            return pairs_text(value)
        if isinstance(value, list | tuple):
            return ", ".join(value)
        return "" if value is None else str(value)


class Dropdown(Control):
    """One of a field's choices, or of `options` instead."""

    def _inputs(self, options: Options) -> list[Any]:
        options = options or [(str(choice), choice) for choice in self.field.choices]
        return [self._dropdown(options, self.field.default)]

    def _dropdown(self, options: Sequence[Any], start: Any) -> Any:
        named = {"options": options, "description": _label(self.field)}
        return widgets.Dropdown(value=start, **named, **self._styled(widgets.Dropdown))


class Names(Dropdown):
    """A list of names to choose from; a value that is not among them is added to it."""

    def _hint(self) -> str:
        return self.field.help.partition(";")[0]

    def _inputs(self, options: Options) -> list[Any]:
        self._own = "the run's voice" if self.field.name == "narrator" else OWN
        labelled = _labelled(options, self.field.default, self._own)
        return [self._dropdown(labelled, self.field.default)]

    def _show(self, value: Any) -> None:
        self.choose_from(
            [option for option in self.inputs[-1].options if option[1] is not None], value
        )

    def choose_from(self, options: Options, value: Any = KEEP) -> None:
        box = self.inputs[-1]
        offer(box, options, box.value if value is KEEP else value, self.field.default, self._own)


def offer(box: Any, options: Options, value: Any, default: Any, own: str) -> None:
    """Fill a dropdown; a value that is not among the options is added to them."""
    labelled = _labelled(options, default, own)
    if value not in [name for _, name in labelled]:
        labelled.append((str(value), value))
    if list(box.options) != labelled:
        box.options = labelled
    box.value = value


def _labelled(options: Options, default: Any, own: str) -> list[tuple[str, Any]]:
    """Return (label, value) of each option, the default first, which is called `own`."""
    pairs = [item if isinstance(item, tuple) else (str(item), item) for item in options or ()]
    return [(own, default), *(pair for pair in pairs if pair[1] != default)]


class ThreeWays(Dropdown):
    """Yes, no, or the engine's own: a dropdown shows nothing for None, so "own" stands for it."""

    def _inputs(self, options: Options) -> list[Any]:
        return [self._dropdown([(OWN, "own"), ("yes", True), ("no", False)], "own")]

    def _read(self) -> Any:
        chosen = self.inputs[-1].value
        return None if chosen == "own" else chosen

    def _show(self, value: Any) -> None:
        self.inputs[-1].value = "own" if value is None else value


class Checkboxes(Control):
    """Any number of a field's choices."""

    def _inputs(self, options: Options) -> list[Any]:
        looks = {
            "layout": self.shared.layout(width="auto", margin="0 1em 0 0"),
            "style": self.shared.style(widgets.Checkbox),
        }
        self._boxes = {
            name: widgets.Checkbox(
                name in self.field.default, description=str(name), indent=False, **looks
            )
            for name in self.field.choices
        }
        return [label_widget(self.field), *self._boxes.values()]

    def _read(self) -> Any:
        return [name for name, box in self._boxes.items() if box.value]

    def _show(self, value: Any) -> None:
        for name, box in self._boxes.items():
            box.value = name in value


def label_widget(field: Field) -> Any:
    """Return a label for inputs without one, in line with the labels of the other inputs."""
    place = widgets.Layout(
        width=LABEL_WIDTH, flex="0 0 auto", display="flex", justify_content="flex-end"
    )
    label = widgets.Label(_label(field), layout=place)
    label.add_class("chatter-label")
    return label


def _label(field: Field) -> str:
    return f"{field.label} ({field.unit})" if field.unit else field.label


def _placeholder(default: float | None) -> str:
    return OWN if default is None else f"{default:g}, {OWN}"
