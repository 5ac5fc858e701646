"""What the page shows of a run, as HTML: its progress, its error, its player."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import shorten
from typing import Any

from chatter_nb.base.wording import minutes
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.responses import run_answer

_TITLE_CHARS = 80  # of a text, in the history


def sentence(error: str) -> str:
    """An error as HTML."""
    return f'<p class="status wrong" role="alert">{escape(error)}</p>'


def progress_html(steps: Sequence[tuple[float, Progress]]) -> str:
    """The progress of a run as HTML, with the time left at the pace so far.

    `steps` are pairs: seconds of a clock, and the progress at that time.
    """
    if not steps:
        return '<p class="status" role="status">waiting for the model …<progress></progress></p>'
    (first_s, first), (last_s, step) = steps[0], steps[-1]
    about = f"{step.done} of {step.total} chunks, {step.audio_s:.0f} s of audio"
    left = "; writing" if step.done == step.total else ""
    if step.done > first.done and not left:
        pace_s = (last_s - first_s) / (step.done - first.done)
        left = f"; {minutes(pace_s * (step.total - step.done))} left"
    bar = f'<progress value="{step.done}" max="{step.total}"></progress>'
    return f'<p class="status" role="status">{about}{left}{bar}</p>'


def player(speech: Speech, values: dict[str, Any]) -> str:
    """A finished run as HTML: its text, its figures, a player, and links to its files."""
    record, files = speech.record, run_answer(speech)["files"]
    text = shorten(str(values.get("text") or "a recording"), _TITLE_CHARS, placeholder=" …")
    voice = values.get("voice") or values.get("target") or "default"
    about = (
        f"{record.engine.name}, voice {voice}, seed {record.seed}; {record.audio_s:.1f} s of audio"
        f" in {record.wall_s:.1f} s"
    )
    links = "".join(
        f'<a href="{escape(file["url"])}" download>{escape(file["name"])}</a>' for file in files
    )
    first = escape(files[0]["url"])
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in record.warnings)
    return (
        f'<div class="take"><p>{escape(text)}</p><p class="dim">{escape(about)}</p>{notes}'
        f'<audio controls preload="metadata" src="{first}"></audio><p>{links}</p></div>'
    )
