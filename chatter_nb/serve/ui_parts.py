"""What the page is made of: a control for a field, a recording, sentences, players."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from textwrap import shorten
from typing import Any

import gradio as gr

from chatter_nb.base.wording import minutes
from chatter_nb.params.fields import Field
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.responses import told_of

_TEXT_LINES = 8
_BEGINNING = 80  # characters of a text that tell it from others


def recording(label: str, *, visible: bool = True) -> gr.Audio:
    """A recording by upload or microphone."""
    sources: list[Any] = ["upload", "microphone"]
    told: dict[str, Any] = {"label": label, "type": "filepath", "visible": visible}
    return gr.Audio(sources=sources, editable=False, **told)


def control(field: Field, choices: list[str] | None, *, visible: bool = True) -> Any:
    """What a field is set with. `choices` are those of this server, where they are its own.

    Left alone, an optional one stays None: the engine's own.
    """
    told: dict[str, Any] = {"label": _label(field), "info": field.hint, "visible": visible}
    if choices is not None:
        return gr.Dropdown(choices=choices, value=choices[0], **told)
    if field.kind == "choices":
        return gr.CheckboxGroup(choices=list(field.choices), value=field.default, **told)
    if field.kind == "choice":
        return gr.Dropdown(choices=list(field.choices), value=field.default, **told)
    if field.kind == "flag":
        return _flag(field, told)
    if field.kind in ("integer", "number") and field.optional:  # Gradio's own shows None as 0
        return gr.Textbox(value="", placeholder="the engine's own", **told)
    if field.kind in ("integer", "number"):
        whole = 0 if field.kind == "integer" else None
        return gr.Number(value=field.default, precision=whole, **told)
    if field.kind == "mapping":
        example = json.dumps({"name": "value"})
        return gr.Textbox(value="", placeholder=example, **told)
    lines = _TEXT_LINES if field.name == "text" else 1
    return gr.Textbox(value=field.default or "", lines=lines, **told)


def _flag(field: Field, told: dict[str, Any]) -> Any:
    if not field.optional:
        return gr.Checkbox(value=field.default, **told)
    choices: list[Any] = [("the engine's own", None), ("on", True), ("off", False)]
    return gr.Dropdown(choices=choices, value=None, **told)


def _label(field: Field) -> str:
    return f"{field.label} ({field.unit})" if field.unit else field.label


def sentence(told: str) -> str:
    """What went wrong, for the page."""
    return f'<p class="status wrong" role="alert">{escape(told)}</p>'


def steps(told: Sequence[tuple[float, Progress]]) -> str:
    """How far it is, of what was told at which second; with the time left by the pace so far."""
    if not told:
        return '<p class="status" role="status">waiting for the model …<progress></progress></p>'
    (first_s, first), (last_s, step) = told[0], told[-1]
    about = f"{step.done} of {step.total} chunks, {step.audio_s:.0f} s of audio"
    left = "; writing" if step.done == step.total else ""
    if step.done > first.done and not left:
        pace_s = (last_s - first_s) / (step.done - first.done)
        left = f"; {minutes(pace_s * (step.total - step.done))} left"
    bar = f'<progress value="{step.done}" max="{step.total}"></progress>'
    return f'<p class="status" role="status">{about}{left}{bar}</p>'


def player(speech: Speech, values: dict[str, Any]) -> str:
    """A finished run: what it is of, a player, every file to download."""
    record, files = speech.record, told_of(speech)["files"]
    text = shorten(str(values.get("text") or "a recording"), _BEGINNING, placeholder=" …")
    voice = values.get("voice") or values.get("target") or "default"
    about = (
        f"{record.engine.name}, voice {voice}, seed {record.seed}; {record.audio_s:.1f} s of audio"
        f" in {record.wall_s:.1f} s"
    )
    links = "".join(
        f'<a href="{escape(one["url"])}" download>{escape(one["name"])}</a>' for one in files
    )
    first = escape(files[0]["url"])
    notes = "".join(f"<p>Note: {escape(one)}</p>" for one in record.warnings)
    return (
        f'<div class="take"><p>{escape(text)}</p><p class="dim">{escape(about)}</p>{notes}'
        f'<audio controls preload="metadata" src="{first}"></audio><p>{links}</p></div>'
    )
