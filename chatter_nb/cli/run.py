"""One run without a notebook: `speak` and `convert`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from chatter_nb.cli.options import FileOption, JsonOption, SetOption, params_of
from chatter_nb.params.runs import ConvertParams, SpeakParams

if TYPE_CHECKING:
    from chatter_nb.runs.speech import Speech


def speak(file: FileOption = None, param: SetOption = None, as_json: JsonOption = False) -> None:
    """Speak a text: one run, no notebook."""
    from chatter_nb.notebook.show import progress_bar
    from chatter_nb.runs.speak import render_speech
    from chatter_nb.runs.speak_plan import plan_speech

    params = params_of(SpeakParams, file, param)
    _announce(params.engine, as_json)
    plan = plan_speech(params)
    if not as_json:
        typer.echo(str(plan))
    bar = progress_bar(len(plan.chunks)) if sys.stderr.isatty() or not as_json else None
    _tell(render_speech(plan, bar), plan.warnings, as_json)


def convert(file: FileOption = None, param: SetOption = None, as_json: JsonOption = False) -> None:
    """Convert a recording, or a folder of them, into another voice."""
    from chatter_nb.notebook.show import progress_bar
    from chatter_nb.runs.convert import plan_conversion, render_conversion

    params = params_of(ConvertParams, file, param)
    _announce(params.engine, as_json)
    plan = plan_conversion(params)
    if not as_json:
        typer.echo(str(plan))
    watched = sys.stderr.isatty() or not as_json
    bar = progress_bar(len(plan.windows), unit="window") if watched else None
    _tell(render_conversion(plan, bar), plan.warnings, as_json)


def _announce(engine: str, as_json: bool) -> None:
    """Before half a minute of silence."""
    if engine.startswith("chatterbox") and not as_json:
        typer.echo(f"loading {engine}: some 20 s, most of them for its libraries", err=True)


def _tell(speech: Speech, told: Sequence[str], as_json: bool) -> None:
    for warning in speech.record.warnings:
        if as_json or warning not in told:  # the plan's are told before the run
            typer.echo(f"note: {warning}", err=True)
    typer.echo(speech.record.model_dump_json(by_alias=True) if as_json else str(speech))
