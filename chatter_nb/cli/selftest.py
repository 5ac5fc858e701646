"""`selftest`: what holds on this machine, what does not, and what it would take."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.cli.options import JsonOption


def selftest(
    engine: Annotated[str, typer.Option(help="An engine; auto: the best here.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    checkpoint: Annotated[
        str, typer.Option(help="A folder of Chatterbox' model files; else the hub's cache.")
    ] = "",
    precision: Annotated[
        str, typer.Option(help="auto, exact, fast or int8; tokens are compared in exact.")
    ] = "auto",
    minutes: Annotated[float, typer.Option(help="The most to take; less is checked then.")] = 10.0,
    outputs_dir: Annotated[str, typer.Option(help="Where selftest/ is written.")] = "outputs",
    as_json: JsonOption = False,
) -> None:
    """Check that speech here is right and measure how fast; installs and downloads nothing.

    The page selftest/selftest.html says what holds, what does not, and what was not run. Exit code
    0: nothing failed; 1: something that could run does not hold; 130: interrupted.
    """
    from chatter_nb.bench.selftest.run import selftest as run
    from chatter_nb.bench.selftest.run import summary

    if not minutes > 0:
        raise InputError(f"--minutes must be more than 0, not {minutes:g}")
    report = run(
        engine,
        device,
        checkpoint,
        precision,
        minutes,
        outputs_dir,
        lambda message: typer.echo(message, err=True),
    )
    told = json.dumps(report, ensure_ascii=False) if as_json else ""
    typer.echo(told or summary(report, resolve_path(outputs_dir)))
    if report["status"] == "failed":
        raise typer.Exit(1)
