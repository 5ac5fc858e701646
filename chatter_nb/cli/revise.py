"""`revise`: the edits of a review applied to a finished run, and lists of lines to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import find_path
from chatter_nb.cli.options import JsonOption

if TYPE_CHECKING:
    from chatter_nb.runs.speech import Speech


def revise(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    review: Annotated[
        Path | None, typer.Argument(metavar="[REVIEW]", help="A review.json, or an edits.json.")
    ] = None,
    pickups: Annotated[
        Path | None, typer.Option(help="Write the lines to look at as CSV, for a spreadsheet.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Write them as labels for Audacity; one file an output.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Apply a review to a run: only lines with other words, or another take, are made anew.

    The edits are added to edits.json in the folder of the run, and its files are rebuilt.
    """
    from chatter_nb.runs.revise import load_revisable, pickups_csv

    if review is None and pickups is None and labels is None:
        raise InputError(f"give a review, such as: chatter-nb revise {run} review.json")
    speech = load_revisable(find_path(run))
    if review is not None:
        speech = _revised(speech, review, as_json=as_json)
    if pickups is not None:  # with the mark by which a spreadsheet knows UTF-8
        write_whole(pickups, pickups_csv(speech).encode("utf-8-sig"))
    if labels is not None:
        _write_labels(speech, labels)
    if as_json:
        typer.echo(speech.record.model_dump_json(by_alias=True))


def _revised(speech: Speech, review: Path, *, as_json: bool) -> Speech:
    from chatter_nb.cli.run import progress_bar
    from chatter_nb.runs.revise import revise

    is_watched = sys.stderr.isatty() or not as_json
    bar = progress_bar(len(speech.record.chunks)) if is_watched else None
    speech = revise(speech.folder, review, bar)
    for warning in speech.record.warnings:
        typer.echo(f"note: {warning}", err=True)
    if not as_json:
        typer.echo(str(speech))
    return speech


def _write_labels(speech: Speech, path: Path) -> None:
    from chatter_nb.runs.revise import audacity_labels

    outputs = [output.name for output in speech.record.outputs]
    for name in outputs:  # times start with each output
        own = path if len(outputs) == 1 else path.with_name(f"{path.stem}-{name}{path.suffix}")
        write_whole(own, audacity_labels(speech, name).encode())
