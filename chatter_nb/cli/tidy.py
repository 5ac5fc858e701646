"""Small commands around the runs: `check`, `doctor`, `selftest`, `clean`, `fetch`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.cli.options import JsonOption, seconds_of


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files.")],
    as_json: JsonOption = False,
) -> None:
    """Check parameter files, and the texts they name, without speaking. Says every problem."""
    from chatter_nb.runs.check import check_file

    findings = {str(file): check_file(file) for file in files}
    problems = {name: of_file.problems for name, of_file in findings.items()}
    if as_json:
        typer.echo(json.dumps(problems, ensure_ascii=False))
    else:
        for name, of_file in findings.items():
            verdict = "" if of_file.problems else "ok"
            typer.echo("\n  ".join([f"{name}: {verdict}", *of_file.problems, *of_file.notes]))
    if any(problems.values()):
        raise typer.Exit(2)


def doctor(
    load: Annotated[
        bool, typer.Option("--load", help="Load torch and PerTh too, to see whether they work.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is installed, which engine and device a run would use, and what to install."""
    from chatter_nb.setup.doctor import examine

    report = examine(load=load)
    typer.echo(json.dumps(report.as_dict(), ensure_ascii=False) if as_json else str(report))
    if not report.can_speak:
        raise typer.Exit(1)


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
    on_note = partial(typer.echo, err=True)
    report = run(engine, device, checkpoint, precision, minutes, outputs_dir, on_note)
    told = json.dumps(report, ensure_ascii=False) if as_json else ""
    typer.echo(told or summary(report, resolve_path(outputs_dir)))
    if report["status"] == "failed":
        raise typer.Exit(1)


def clean(
    older_than: Annotated[
        str, typer.Option(help="Only chunks last used so long ago: 30d, 12h.")
    ] = "",
    unused: Annotated[
        bool, typer.Option("--unused", help="Only chunks that no run needs.")
    ] = False,
    outputs_dir: Annotated[str, typer.Option(help="The folder of the runs.")] = "outputs",
    as_json: JsonOption = False,
) -> None:
    """Prune the store of finished chunks. Without options it only says what is there."""
    from chatter_nb.runs.checking import REPORTS
    from chatter_nb.runs.folder import find_records, remove_leftovers
    from chatter_nb.runs.revise import keys_of_edits
    from chatter_nb.runs.store import ABANDONED_S, ChunkStore
    from chatter_nb.verify.kept import KeptReports

    folder = resolve_path(outputs_dir)
    store = ChunkStore(folder)
    age_s = seconds_of("--older-than", older_than) if older_than else None
    if age_s is None and not unused:
        sizes = [size for _, size, _ in store.entries()]
        result = {"chunks": len(sizes), "bytes": sum(sizes), "removed": 0}
        message = (
            f"{len(sizes)} chunks, {sum(sizes) / 1e6:.1f} MB in {store.root}; "
            "to remove some: --unused, --older-than 30d"
        )
    else:
        needed: set[str] = set()
        for run, record in find_records(folder):
            if unused or record.status != "ok":
                needed |= record.chunk_keys() | keys_of_edits(run, record)
        count, size = store.prune(older_than_s=age_s, keep=needed)
        size += remove_leftovers(folder, older_than_s=ABANDONED_S)
        if age_s is not None:
            size += KeptReports(folder / REPORTS).prune(older_than_s=age_s)
        result = {"removed": count, "bytes": size}
        message = f"removed {count} chunks, {size / 1e6:.1f} MB, from {store.root}"
    typer.echo(json.dumps(result) if as_json else message)


def fetch(
    model: Annotated[str, typer.Argument(help="Which model: chatterbox, chatterbox-turbo, …")],
) -> None:
    """Download a model's files ahead of time (1 to 3 GB), or say that they are here."""
    from chatter_nb.engines.checkpoints import fetch

    typer.echo(f"{model}: {fetch(model)}")
