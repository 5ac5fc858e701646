"""`chatter-nb voices`: every voice that can be had, one heard, a recording added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatter_nb.base.project import resolve_path
from chatter_nb.cli.delivery import address, play
from chatter_nb.cli.options import JsonOption, seconds_of

if TYPE_CHECKING:
    from chatter_nb.engines.voices import Library

app = typer.Typer(help="List voices, hear one, add a recording.", invoke_without_command=True)
_Dir = Annotated[str, typer.Option("--dir", help="A folder of recordings.")]
_Outputs = Annotated[str, typer.Option(help="Whose voices/ it is.")]
_From = Annotated[str, typer.Option("--from", help="Its first second, such as 12s or 1.5m.")]
_To = Annotated[str, typer.Option("--to", help="Where it ends, such as 22s.")]


@app.callback()
def voices(
    context: typer.Context,
    folder: _Dir = "",
    outputs_dir: _Outputs = "outputs",
    heard: Annotated[str, typer.Option("--play", help="A voice to hear in a sentence.")] = "",
    engine: Annotated[str, typer.Option(help="The engine that speaks it.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """List the voices that `voice` and `target` can name, with what is doubtful about each.

    With --dir only the recordings there.
    """
    if context.invoked_subcommand:
        return
    library = _library(folder, outputs_dir)
    if heard:
        return _play(heard, engine, library)
    from chatter_nb.engines.offered import own_voices, survey
    from chatter_nb.engines.registry import TTS_ENGINES

    own = [] if folder else [voice for entry in TTS_ENGINES.values() for voice in own_voices(entry)]
    recordings = survey(library.folder) if folder or library.folder.is_dir() else []
    if as_json:
        rows = [voice.as_dict() for voice in (*own, *recordings)]
        return typer.echo(json.dumps(rows, ensure_ascii=False))
    for row in (*own, *recordings):
        typer.echo(str(row))
    if not recordings:
        typer.echo(
            f"no voices in {library.folder}: put recordings of 6 to 15 s there, named as you "
            "like, or: chatter-nb voices add NAME FILE"
        )


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The voice's name.")],
    file: Annotated[Path, typer.Argument(help="A recording, or a video, of one person speaking.")],
    start: _From = "",
    end: _To = "",
    folder: _Dir = "",
    outputs_dir: _Outputs = "outputs",
) -> None:
    """Keep part of a recording as a voice: by default the best ten seconds of it."""
    from chatter_nb.engines.excerpt import keep_excerpt

    given = {"--from": start, "--to": end}
    times = [seconds_of(option, text) if text else None for option, text in given.items()]
    path, start_s, end_s, notes = keep_excerpt(name, file, _library(folder, outputs_dir), *times)
    typer.echo(f"voice {name}: {start_s:.1f} to {end_s:.1f} s of {file.name}, in {path}")
    if not (start or end):
        typer.echo(
            "chosen by level, pauses, clipping and pitch; whether it is one person, listen. To "
            "choose yourself, delete that file, and add it again with --from 12s --to 22s"
        )
    for note in notes:
        typer.echo(note)


def _library(folder: str, outputs_dir: str) -> Library:
    from chatter_nb.engines.voices import CACHE, FOLDER, Library

    outputs = resolve_path(outputs_dir)
    return Library(resolve_path(folder) if folder else outputs / FOLDER, outputs / CACHE)


def _play(voice: str, engine: str, library: Library) -> None:
    from chatter_nb.engines.models import pick_engine
    from chatter_nb.engines.offered import DEFAULT_VOICE
    from chatter_nb.params.runs import SpeakParams
    from chatter_nb.runs.speak import generate_tts, sample_of

    places = {"voices_dir": str(library.folder), "outputs_dir": str(library.cache.parent)}
    voice = "" if voice == DEFAULT_VOICE else voice
    values = {"text": "-", "voice": voice, "engine": pick_engine(engine).name, **places}
    sample, kept = sample_of(SpeakParams.create(values, where="voices --play"))
    path = (kept or generate_tts(sample)).files[0]
    typer.echo(f"listen: {address(path)}")
    play(path)
