"""One run without a notebook: `speak` and `convert`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from chatter_nb.cli.options import FileOption, JsonOption, Params, SetOption, params_of
from chatter_nb.params.runs import ConvertParams, SpeakParams


def speak(file: FileOption = None, param: SetOption = None, as_json: JsonOption = False) -> None:
    """Speak a text: one run, no notebook."""
    from chatter_nb.runs.speak import plan_speech, render_speech

    _run(params_of(SpeakParams, file, param), plan_speech, render_speech, as_json=as_json)


def convert(file: FileOption = None, param: SetOption = None, as_json: JsonOption = False) -> None:
    """Convert a recording, or a folder of them, into another voice."""
    from chatter_nb.runs.convert import plan_conversion, render_conversion

    params = params_of(ConvertParams, file, param)
    _run(params, plan_conversion, render_conversion, as_json=as_json)


def _run(
    params: Params,
    make_plan: Callable[[Params], Any],
    render: Callable[..., Any],
    *,
    as_json: bool,
) -> None:
    """Plan and render; print the plan and the result, or with `as_json` the record alone."""
    from chatter_nb.notebook.show import progress_bar

    if params.engine.startswith("chatterbox") and not as_json:
        message = f"loading {params.engine}: some 20 s, most of them for its libraries"
        typer.echo(message, err=True)
    plan = make_plan(params)
    if not as_json:
        typer.echo(str(plan))
    is_watched = sys.stderr.isatty() or not as_json
    bar = progress_bar(len(plan.pieces), unit=plan.unit) if is_watched else None
    speech = render(plan, bar)
    for warning in speech.record.warnings:
        if as_json or warning not in plan.warnings:  # those are printed with the plan
            typer.echo(f"note: {warning}", err=True)
    typer.echo(speech.record.model_dump_json(by_alias=True) if as_json else str(speech))
