"""The controls of the web page: one for each parameter, drawn from its field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from chatter_nb.params.cast import SPEEDS
from chatter_nb.params.fields import Field
from chatter_nb.params.pairs import pairs_text
from chatter_nb.params.types import MASTERED

Choices = Sequence[str | tuple[str, Any]]
_OWN = "the engine's own"
# What stands in an empty field of pairs.
_EXAMPLES = {"cast": "Fox = heart, or {Fox: {voice: heart, speed: 1.2}}"}
_EXAMPLES |= {"moods": "{angry: {speed: 1.1, gain_db: 2}}"}


def control(
    field: Field, choices: Choices | None, value: Any = None, *, visible: bool = True
) -> Any:
    """The control of a field; `choices` are the server's, where it has some for the field.

    An optional field that nobody sets stays None, which is the engine's default. `value` stands in
    the control at first, instead of the field's default.
    """
    label = f"{field.label} ({field.unit})" if field.unit else field.label
    plain: dict[str, Any] = {"label": label, "visible": visible}
    shown = {**plain, "info": field.hint}
    value = field.default if value is None else value
    if choices is not None:
        return gr.Dropdown(choices=list(choices), value=value or first(choices), **plain)
    if field.name == "speed":  # 1 is the voice's own, as None
        return gr.Slider(*SPEEDS, value=1, step=0.05, **plain)
    if field.name == "text":
        return gr.Textbox(value=value, lines=5, max_lines=12, **plain)
    if field.kind in ("integer", "number"):  # Gradio's own shows None as 0
        whole = 0 if field.kind == "integer" else None
        whose = "the target's" if field.name in MASTERED else _OWN
        own = {"value": "", "placeholder": whose} | shown
        return gr.Textbox(**own) if field.optional else gr.Number(value, precision=whole, **shown)
    if field.kind == "choices":
        return gr.CheckboxGroup(choices=list(field.choices), value=value, **shown)
    if field.kind == "choice":
        return gr.Dropdown(choices=list(field.choices), value=value, **shown)
    if field.kind == "flag" and field.optional:
        switch: Choices = [(_OWN, None), ("on", True), ("off", False)]
        return gr.Dropdown(choices=list(switch), value=None, **shown)
    if field.kind == "flag":
        return gr.Checkbox(value=value, **shown)
    if field.kind == "mapping":
        example = _EXAMPLES.get(field.name, "Siobhan = Shivawn")
        return gr.Textbox(value="", lines=2, placeholder=example, **shown)
    return gr.Textbox(value=value or "", **shown)


def shown(field: Field, value: Any) -> Any:
    """A parameter's value as its control holds it."""
    if field.kind == "mapping":
        return pairs_text(value)
    if field.name == "speed":
        return 1 if value is None else value
    if field.optional and field.kind in ("integer", "number"):
        return "" if value is None else str(value)
    return value


def first(choices: Choices) -> Any:
    """The value of the first choice."""
    return choices[0] if isinstance(choices[0], str) else choices[0][1]


def holds(block: Any, value: Any, choices: Choices | None) -> bool:
    """Whether a control can show this value, which may come from an earlier version's page."""
    if choices is not None:
        return value in [choice if isinstance(choice, str) else choice[1] for choice in choices]
    if isinstance(block, gr.Dropdown | gr.CheckboxGroup):
        known = [choice[1] for choice in block.choices]
        values = value if isinstance(block, gr.CheckboxGroup) else [value]
        return isinstance(values, list) and all(item in known for item in values)
    if isinstance(block, gr.Slider):
        return isinstance(value, int | float) and block.minimum <= value <= block.maximum
    if isinstance(block, gr.Checkbox):
        return isinstance(value, bool)
    return isinstance(value, str if isinstance(block, gr.Textbox) else int | float)
