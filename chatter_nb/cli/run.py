"""One run without a notebook: `speak` and `convert`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chatter_nb.cli.delivery import Delivery
from chatter_nb.cli.options import FileOption, JsonOption, Params, SetOption, bar_of, params_of
from chatter_nb.cli.sources import recording_source, text_source, voice_source
from chatter_nb.params.conversion import ConvertParams, VcEngineName
from chatter_nb.params.runs import SpeakParams, TtsEngineName

if TYPE_CHECKING:
    from chatter_nb.engines.registry import EngineEntry


TextArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TEXT|FILE|-]",
        help="The words in quotes, a file of them, or - for standard input.",
    ),
]
RecordingArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RECORDING]", help="An audio file, or a folder of them."),
]
VoiceOption = Annotated[str, typer.Option(help="A voice by name, or a recording.")]
TargetOption = Annotated[str, typer.Option(help="The voice to convert to: a name or a recording.")]
SpeedOption = Annotated[str, typer.Option(metavar="NUMBER", help="Pace; 1 is the voice's own.")]
OutOption = Annotated[
    str, typer.Option(metavar="FILE|DIR/", help="A file for the result, or the folder of runs.")
]
PlayOption = Annotated[bool, typer.Option("--play", help="Play the result.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the run's page in the browser.")]


def _engine_option(names: Any) -> Any:
    """An option whose values the shell completes; `names` is the Literal of an engine parameter."""
    known = names.__args__
    return typer.Option(
        help=f"What makes the sound: {', '.join(known)}.", autocompletion=lambda: known
    )


def speak(
    text: TextArgument = None,
    voice: VoiceOption = "",
    speed: SpeedOption = "",
    engine: Annotated[str, _engine_option(TtsEngineName)] = "",
    out: OutOption = "",
    play: PlayOption = False,
    open_page: OpenOption = False,
    file: FileOption = None,
    param: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Speak a text: one run, no notebook.

    A text that names a file is that file; what looks like a file and is not there is refused.
    """
    from chatter_nb.runs.speak import plan_speech, render_speech

    given = text_source(text or []) | {"voice": voice_source(voice), "speed": speed}
    delivery = Delivery(out, play, open_page)
    given |= {"engine": engine, **delivery.params()}
    params = params_of(SpeakParams, file, param, given)
    _run(params, plan_speech, render_speech, delivery, as_json=as_json)


def convert(
    recording: RecordingArgument = None,
    target: TargetOption = "",
    engine: Annotated[str, _engine_option(VcEngineName)] = "",
    out: OutOption = "",
    play: PlayOption = False,
    open_page: OpenOption = False,
    file: FileOption = None,
    param: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Convert a recording, or a folder of them, into another voice."""
    from chatter_nb.runs.convert import plan_conversion, render_conversion

    given = recording_source(recording or []) | {"target": voice_source(target)}
    delivery = Delivery(out, play, open_page)
    given |= {"engine": engine, **delivery.params()}
    params = params_of(ConvertParams, file, param, given)
    _run(params, plan_conversion, render_conversion, delivery, as_json=as_json)


def _run(
    params: Params,
    make_plan: Callable[..., Any],
    render: Callable[..., Any],
    delivery: Delivery,
    *,
    as_json: bool,
) -> None:
    """Plan and render; print the plan and the result, or with `as_json` the record alone."""
    plan = make_plan(params, None if as_json else _announce)
    delivery.check(plan)
    if not as_json:
        typer.echo(str(plan))
    speech = render(plan, bar_of(len(plan.pieces), as_json=as_json, unit=plan.unit))
    for warning in speech.record.warnings:
        if as_json or warning not in plan.warnings:  # those are printed with the plan
            typer.echo(f"note: {warning}", err=True)
    typer.echo(speech.record.model_dump_json(by_alias=True) if as_json else str(speech))
    delivery.deliver(speech, quiet=as_json)


def _announce(engine: EngineEntry) -> None:
    typer.echo(f"loading {engine.name}: some 20 s, most of them for its libraries", err=True)
