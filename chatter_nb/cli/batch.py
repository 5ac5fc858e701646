"""`batch`: a notebook, headless, for many parameter files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chatter_nb.base.errors import Cancelled, ChatterError
from chatter_nb.batch.params import BatchParams
from chatter_nb.cli.options import JsonOption, SetOption, option, pairs_of, with_options

if TYPE_CHECKING:
    from chatter_nb.batch.run import BatchReport

_EXIT = {"ok": 0, "failed": ChatterError.exit_code, "cancelled": Cancelled.exit_code}

_FIELDS = BatchParams.model_fields
_HELP = {n: f"{t[:1].upper()}{t[1:]}." for n, f in _FIELDS.items() if (t := f.description)}
# The others are arguments, or have a form of their own here.
_OPTIONS = "workers ray ray_address gpus_per_worker retry_failed fresh_kernels timeout_s limit"


@with_options(
    option(name, _FIELDS[name].annotation, _FIELDS[name].default, _HELP[name])
    for name in _OPTIONS.split()
)
def batch(
    notebook: Annotated[Path, typer.Argument(help="The notebook to run.")],
    files: Annotated[
        list[str], typer.Argument(metavar="PARAMS...", help="YAML files, or patterns of them.")
    ],
    param: SetOption = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(help="name=value,value: a run for each. Several make every combination."),
    ] = None,
    out: Annotated[str, typer.Option(help="Folder of the runs, over outputs_dir.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is to do.")] = False,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Run a notebook headless, once for each parameter file, each into its run's folder.

    All of it is checked before the first run. What is done already is left alone; run the same
    again to resume.
    """
    from chatter_nb.batch.grid import parse_grid

    params = BatchParams(
        notebook=str(notebook),
        files=tuple(files),
        overrides=pairs_of(param),
        grid=parse_grid(grid or []),
        outputs_dir=out,
        interactive=False,
        **options,
    )
    _plan_and_run(params, dry_run=dry_run, as_json=as_json)


def _plan_and_run(params: BatchParams, *, dry_run: bool, as_json: bool) -> None:
    from chatter_nb.batch.run import plan_batch, run_batch
    from chatter_nb.notebook.batch_view import batch_bar, planning_bar
    from chatter_nb.pages.gallery.page import write_gallery

    plan = plan_batch(params, planning_bar(), fetch=not dry_run)
    if not as_json:
        typer.echo(str(plan))
    if dry_run:
        if as_json:
            rows = [
                {"run_name": e.task.name, "state": e.state, "why": e.why, "key": e.task.key}
                for e in plan.entries
            ]
            typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    # The output of a single run's notebook says more than a bar.
    alone = len(plan.to_do) == 1 and not as_json and not params.ray
    watch = (lambda event: None) if alone else batch_bar(plan, lines=not as_json)
    report = run_batch(plan, watch, echo=alone, gallery=write_gallery)
    typer.echo(json.dumps(_as_dict(report), ensure_ascii=False) if as_json else str(report))
    if report.status != "ok":
        raise typer.Exit(_EXIT[report.status])


def _as_dict(report: BatchReport) -> dict[str, Any]:
    """The report for machines, with a row for each run: done before, waiting, or how it ended."""
    outcomes = {outcome.name: outcome for outcome in report.outcomes}
    rows = []
    for entry in report.plan.entries:
        outcome = outcomes.get(entry.task.name)
        status = outcome.status if outcome else ("ok" if entry.state == "done" else "waiting")
        row = {
            "run_name": entry.task.name,
            "folder": str(entry.task.params.run_dir()),
            "status": status,
            "made_now": outcome is not None,
        }
        row |= {name: getattr(outcome, name, None) for name in ("error", "wall_s", "audio_s")}
        rows.append(row)
    gallery = str(report.plan.folder / "index.html")
    return {"status": report.status, "runs": rows, "gallery": gallery}
