"""What a notebook costs around its cells: Papermill's fresh kernel, against the warm kernel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import papermill
from papermill.engines import papermill_engines

from chatter_nb.batch.warm import WarmEngine, runner
from chatter_nb.bench.harness import Result, alternate, compared, megabytes, process_status
from chatter_nb.bench.params import Options, Progress
from chatter_nb.bench.rounds import notebook_of
from chatter_nb.bench.workers import Work

NOTEBOOKS_A_ROUND = 5
_CELLS = ("text = 'nothing but a print'", "print(text)")


def run(options: Options, on_progress: Progress) -> list[Result]:
    """A trivial notebook on each engine in turn; the warm-up starts the warm kernel."""
    papermill_engines.register("chatter-warm", WarmEngine)

    def execute(engine: str | None) -> str:
        notebook = papermill.execute_notebook(
            notebook_of(_CELLS), None, engine_name=engine, progress_bar=False, log_output=False
        )
        return notebook.cells[-1].outputs[0].text

    calls = {"baseline": lambda: execute(None), "ours": lambda: execute("chatter-warm")}
    try:
        for call in calls.values():
            call()
        before, started = _footprint(), runner.status().started
        turns = alternate(calls, options.repeats, on_progress, warm_up=False)
        figures: dict[str, Any] = {"before": before, "after": _footprint()}
        figures["kernels_started_meanwhile"] = runner.status().started - started
    finally:
        runner.shutdown()
    identical = turns.returned["baseline"] == turns.returned["ours"]
    return [compared("overhead a notebook", turns.seconds, identical, **figures)]


def work(options: Options, on_progress: Progress) -> Work:
    """The same notebook through the warm kernel, several times a round: once takes 0.1 s."""
    return Work("notebooks", {"cells": list(_CELLS), "count": NOTEBOOKS_A_ROUND})


def _footprint() -> dict[str, float | None]:
    """Descriptors, threads and memory of this process and of the warm kernel.

    Values are None on systems without /proc.
    """
    values: dict[str, float | None] = {}
    for name, pid in (("runner", os.getpid()), ("kernel", runner.status().pid or 0)):
        status = process_status(pid)
        is_known = "VmRSS" in status
        files = Path(f"/proc/{pid}/fd")
        values[f"{name}_fds"] = len(list(files.iterdir())) if is_known else None
        values[f"{name}_threads"] = int(status["Threads"]) if is_known else None
        values[f"{name}_rss_mb"] = round(megabytes(status["VmRSS"]), 1) if is_known else None
    return values
