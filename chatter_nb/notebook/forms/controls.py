"""A field of the parameters as something to type into, to drag or to choose from.

What a control holds goes through the parameter object, which finds what is wrong with it: a control
checks nothing itself, and clamps nothing in silence.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from chatter_nb.params.fields import Field

OWN = "the engine's own"
LABEL_WIDTH = "12em"
# Sliders have this many steps at most; a range beyond it is typed.
_SLIDER_STEPS = 120
_HINT = "color: var(--jp-ui-font-color2, GrayText); font-size: 90%; line-height: 1.3"


class Control:
    """A field's control. `box` is what is shown, `value` what it holds, as `-p` would take it.

    `options` are what a choice offers, or what a text suggests.
    """

    def __init__(
        self, field: Field, *, own: float | None = None, options: Sequence[Any] | None = None
    ):
        self.field = field
        self.own: float | None = None
        make = _choose(field, options)
        self.inputs, self._read, self._show = make(self, options or ())
        for one in self.inputs:
            with_tooltip(one, field.hint)
        hint = widgets.HTML(f'<div style="{_HINT}">{html.escape(_hint(field))}</div>')
        hint.layout = widgets.Layout(flex="1 1 14em", min_width="0", margin="0 0 0 0.6em")
        row = widgets.HBox(self.inputs, layout=widgets.Layout(flex="1 1 30em", min_width="0"))
        row.add_class("chatter-row")
        layout = widgets.Layout(flex_flow="row wrap", align_items="center", width="100%")
        self.box = widgets.HBox([row, hint], layout=layout)
        self.box.add_class("chatter-line")

    @property
    def value(self) -> Any:
        return self._read()

    @value.setter
    def value(self, value: Any) -> None:
        self._show(value)

    def on_change(self, call: Callable[[], object]) -> None:
        for one in self.inputs:
            if not isinstance(one, widgets.Label):
                one.observe(lambda change: call(), names="value")

    def offer(self, value: str) -> None:
        """One more to choose from."""
        box = self.inputs[-1]
        box.options = (*box.options, value)

    def suggest(self, value: str) -> None:
        """Take a value, and offer it from now on."""
        self.offer(value)
        self.value = value

    def show(self, visible: bool) -> None:
        """Show the row, or take its place away."""
        self.box.layout.display = None if visible else "none"

    def engine_has(self, own: float | None) -> None:
        """What the engine uses unless it is told: where a slider starts, what an empty field says.

        A slider that is set stays where it is.
        """
        self.own = own
        slider = self.inputs[-1]
        if isinstance(slider, widgets.FloatSlider) and own is not None and self.value is None:
            slider.value = own
            self.value = None  # it moved by itself, and is not set by that
        elif isinstance(slider, widgets.Text) and self.field.optional:
            slider.placeholder = _placeholder(own)


Made = tuple[list[Any], Callable[[], Any], Callable[[Any], None]]


def with_tooltip(widget: Any, told: str) -> None:
    """ipywidgets 8 renamed it, and knows the old name only for some of its widgets."""
    name = "tooltip" if widget.has_trait("tooltip") else "description_tooltip"
    if widget.has_trait(name):
        setattr(widget, name, told)


def styled(**more: Any) -> dict[str, Any]:
    """What every control has: a label of one width, and room to grow."""
    layout = widgets.Layout(width="auto", flex="1 1 auto", min_width="0")
    return {"style": {"description_width": LABEL_WIDTH}, "layout": layout, **more}


def label_of(field: Field) -> Any:
    """A label where the inputs have none of their own, in line with those that do."""
    place = widgets.Layout(
        width=LABEL_WIDTH, flex="0 0 auto", display="flex", justify_content="flex-end"
    )
    label = widgets.Label(_label(field), layout=place)
    label.add_class("chatter-label")
    return label


def _hint(field: Field) -> str:
    return f"{field.hint}; unless set, {OWN}" if field.optional else field.hint


def _label(field: Field) -> str:
    return f"{field.label} ({field.unit})" if field.unit else field.label


def _placeholder(own: float | None) -> str:
    return OWN if own is None else f"{own:g}, {OWN}"


def _choose(
    field: Field, options: Sequence[Any] | None
) -> Callable[[Control, Sequence[Any]], Made]:
    if field.kind == "flag":
        return _three_ways if field.optional else _checkbox
    if field.kind == "number" and field.optional and _steps(field) <= _SLIDER_STEPS:
        return _slider
    if field.kind in ("integer", "number") and not field.optional:
        return _number
    if field.kind == "choice":
        return _dropdown
    if field.kind == "choices":
        return _checkboxes
    return _text if options is None else _combobox


def _steps(field: Field) -> float:
    if field.least is None or field.most is None:
        return float("inf")
    return (field.most - field.least) / _STEP


_STEP = 0.05


def _slider(control: Control, options: Sequence[Any]) -> Made:
    """The slider, and a box that says whether it is set: ticked by moving it."""
    field = control.field
    least, most = field.least or 0.0, field.most or 1.0
    least = least + _STEP if field.above else least
    is_set = widgets.Checkbox(
        False, description="set", indent=False, layout=widgets.Layout(width="4em", flex="0 0 auto")
    )
    start = min(max(1.0 if control.own is None else control.own, least), most)
    slider = widgets.FloatSlider(
        start, min=least, max=most, step=_STEP, readout_format=".2f", **styled()
    )
    slider.style.description_width = "0"

    loaded: list[float | None] = [None]

    def at(value: float | None, place: float) -> bool:
        """A browser puts a slider on its own sum of steps when it is drawn (1.0000000000000002),
        and says that it moved: nobody did that, and nothing is set by it."""
        return value is not None and abs(value - place) < slider.step / 2

    def read() -> float | None:
        if not is_set.value:
            return None
        return loaded[0] if at(loaded[0], slider.value) else round(slider.value, 6)

    def moved(change: Any) -> None:
        if not at(change["old"], change["new"]):
            is_set.value = True

    def show(value: float | None) -> None:
        if value is not None:
            slider.step = _STEP if round(value / _STEP, 6).is_integer() else 0.001
            slider.min = min(slider.min, value)  # above 0 there is room below the first step
            slider.value = loaded[0] = value
        is_set.value = value is not None

    slider.observe(moved, names="value")
    inputs = [label_of(field), is_set, slider]
    return inputs, read, show


def _number(control: Control, options: Sequence[Any]) -> Made:
    kind = widgets.IntText if control.field.kind == "integer" else widgets.FloatText
    box = kind(control.field.default, description=_label(control.field), **styled())
    return [box], lambda: box.value, lambda value: setattr(box, "value", value)


def _text(control: Control, options: Sequence[Any]) -> Made:
    """Of anything that has a text: a number that may be left open, a mapping as JSON."""
    field = control.field
    told = _placeholder(control.own) if field.optional else ""
    box = widgets.Text("", description=_label(field), placeholder=told, **styled())
    return _textual(field, box)


def _combobox(control: Control, options: Sequence[Any]) -> Made:
    field = control.field
    named = {"description": _label(field), "ensure_option": False, "options": tuple(options)}
    return _textual(field, widgets.Combobox(value="", **named, **styled()))


def _textual(field: Field, box: Any) -> Made:
    def read() -> Any:
        if field.optional and not box.value.strip():
            return None
        return (box.value or "{}") if field.kind == "mapping" else box.value

    def show(value: Any) -> None:
        if field.kind == "mapping":
            box.value = json.dumps(value, ensure_ascii=False) if value else ""
        else:
            box.value = "" if value is None else str(value)

    show(field.default)
    return [box], read, show


def _checkbox(control: Control, options: Sequence[Any]) -> Made:
    box = widgets.Checkbox(control.field.default, description=_label(control.field), **styled())
    return [box], lambda: box.value, lambda value: setattr(box, "value", value)


def _three_ways(control: Control, options: Sequence[Any]) -> Made:
    """A dropdown shows nothing for None, so that the engine's own has a word for a value."""
    own = "own"
    box, read, show = _choice(control.field, [(OWN, own), ("yes", True), ("no", False)], own)
    return (
        box,
        lambda: None if read() == own else read(),
        lambda value: show(own if value is None else value),
    )


def _dropdown(control: Control, options: Sequence[Any]) -> Made:
    field = control.field
    return _choice(field, options or [(str(one), one) for one in field.choices], field.default)


def _choice(field: Field, options: Sequence[Any], start: Any) -> Made:
    box = widgets.Dropdown(options=options, value=start, description=_label(field), **styled())
    return [box], lambda: box.value, lambda value: setattr(box, "value", value)


def _checkboxes(control: Control, options: Sequence[Any]) -> Made:
    field = control.field
    layout = widgets.Layout(width="auto", margin="0 1em 0 0")
    boxes = {
        name: widgets.Checkbox(
            name in field.default, description=str(name), indent=False, layout=layout
        )
        for name in field.choices
    }

    def show(value: Sequence[Any]) -> None:
        for name, box in boxes.items():
            box.value = name in value

    inputs = [label_of(field), *boxes.values()]
    return inputs, lambda: [name for name, box in boxes.items() if box.value], show
