"""`names`: the words of a text that a voice guesses at, heard, and put into a lexicon."""

from __future__ import annotations

from typing import Annotated

import typer

from chatter_nb.base.project import find_path, resolve_path, shown_path
from chatter_nb.base.wording import count
from chatter_nb.cli.delivery import address
from chatter_nb.cli.options import FileOption, SetOption, pairs_of, params_of
from chatter_nb.cli.sources import text_source
from chatter_nb.params.runs import SpeakParams

_Words = Annotated[list[str] | None, typer.Argument(metavar="TEXT|FILE", help="As for speak.")]
_Lexicon = Annotated[str, typer.Option(help="Its file; else the run's, or lexicon.yaml by FILE.")]
_Pls = Annotated[str, typer.Option("--pls", help="Write the lexicon there, for other programs.")]
_Say = Annotated[list[str] | None, typer.Option(help="word=respelling, put into the lexicon.")]


def names(
    words: _Words = None,
    file: FileOption = None,
    param: SetOption = None,
    most: Annotated[int, typer.Option(min=1, help="How many to list.")] = 20,
    lexicon: _Lexicon = "",
    say: _Say = None,
    pls: _Pls = "",
    samples: Annotated[bool, typer.Option("--samples", help="Make audio of each.")] = False,
) -> None:
    """List the words of a text that the voice guesses at, and put them right before the run."""
    from chatter_nb.runs.names import enter, heard, lexicon_of, names_in
    from chatter_nb.text.lexicon import read_lexicon, write_pls

    said = pairs_of(say, "--say", "word=respelling")
    params = params_of(SpeakParams, file, param, text_source(words or []))
    path = find_path(lexicon) if lexicon else lexicon_of(params)
    for line in enter(params.model_copy(update={"lexicon": (str(path),)}), said)[1] if said else ():
        typer.echo(f"{shown_path(path)}: {line}")
    if lexicon or not params.lexicon:  # a new one is made with its first word
        params = params.model_copy(update={"lexicon": (str(path),) if path.exists() else ()})
    if pls:
        entries = [entry for path in params.lexicon for entry in read_lexicon(find_path(path))]
        write_pls(entries, resolve_path(pls), params.language or "en")
        typer.echo(f"{pls}: {count(len(entries), 'word')} as PLS")
    found, told = names_in(params, most)
    for name in found:
        typer.echo(f"{name.word:20} {name.times:>6,}  {name.sounds:16} {name.sentence}")
        if samples:
            typer.echo(f"{'':20} {address(heard(params, name.word))}")
    typer.echo(told)
    if files := ",".join(map(shown_path, params.lexicon)):
        typer.echo(f"without the words of its lexicon; speak with -p lexicon={files}")
