"""`batch`: a notebook, headless, for many parameter files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chatter_nb.base.errors import Cancelled, ChatterError
from chatter_nb.cli.options import JsonOption, SetOption, pairs_of

if TYPE_CHECKING:
    from chatter_nb.batch.plan import BatchPlan
    from chatter_nb.batch.run import BatchReport

_EXIT = {"ok": 0, "failed": ChatterError.exit_code, "cancelled": Cancelled.exit_code}


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
    workers: Annotated[int, typer.Option(help="Processes, each with a kernel and a model.")] = 1,
    ray: Annotated[bool, typer.Option("--ray", help="Run on Ray.")] = False,
    ray_address: Annotated[
        str, typer.Option(help="A Ray cluster's; else one of this machine's own.")
    ] = "",
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="For Ray; 0.5 puts two workers on a GPU.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try what failed once more, at the end.")
    ] = False,
    fresh_kernels: Annotated[
        bool, typer.Option("--fresh-kernels", help="A new kernel for every run.")
    ] = False,
    timeout_s: Annotated[float | None, typer.Option(help="Longest that a run may take.")] = None,
    limit: Annotated[int | None, typer.Option(help="How many runs at most, this time.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is to do.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a notebook headless, once for each parameter file, each into its run's folder.

    All of it is checked before the first run. What is done already is left alone; run the same
    again to resume.
    """
    from chatter_nb.batch.grid import parse_grid
    from chatter_nb.batch.run import BatchParams, plan_batch, run_batch
    from chatter_nb.notebook.batch_view import batch_bar, planning_bar
    from chatter_nb.notebook.gallery.page import write_gallery

    params = BatchParams(
        notebook=str(notebook),
        files=tuple(files),
        overrides=pairs_of(param),
        grid=parse_grid(grid or []),
        outputs_dir=out,
        workers=workers,
        ray=ray,
        ray_address=ray_address,
        gpus_per_worker=gpus_per_worker,
        retry_failed=retry_failed,
        fresh_kernels=fresh_kernels,
        timeout_s=timeout_s,
        limit=limit,
        interactive=False,
    )
    plan = plan_batch(params, planning_bar(), fetch=not dry_run)
    if not as_json:
        typer.echo(str(plan))
    if dry_run:
        if as_json:
            typer.echo(json.dumps(_planned(plan), ensure_ascii=False))
        return
    alone = len(plan.to_do) == 1 and not (as_json or ray)  # its own output says more than a bar
    watch = (lambda event: None) if alone else batch_bar(plan, lines=not as_json)
    report = run_batch(plan, watch, echo=alone, gallery=write_gallery)
    typer.echo(json.dumps(_told(report), ensure_ascii=False) if as_json else str(report))
    if report.status != "ok":
        raise typer.Exit(_EXIT[report.status])


def _planned(plan: BatchPlan) -> list[dict[str, Any]]:
    return [
        {"run_name": one.job.name, "state": one.state, "why": one.why, "key": one.job.key}
        for one in plan.entries
    ]


def _told(report: BatchReport) -> dict[str, Any]:
    """Every run of the batch: done before, or how it ended."""
    outcomes = {outcome.name: outcome for outcome in report.outcomes}
    rows = []
    for entry in report.plan.entries:
        outcome = outcomes.get(entry.job.name)
        status = outcome.status if outcome else ("ok" if entry.state == "done" else "waiting")
        row = {"run_name": entry.job.name, "folder": str(entry.job.params.run_dir())}
        found = {name: getattr(outcome, name, None) for name in ("error", "wall_s", "audio_s")}
        rows.append({**row, "status": status, "made_now": outcome is not None, **found})
    return {
        "status": report.status,
        "runs": rows,
        "gallery": str(report.plan.folder / "index.html"),
    }
