"""What a notebook costs around its cells: Papermill's fresh kernel, against the warm one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.engines import papermill_engines

from chatter_nb.base.errors import InputError
from chatter_nb.batch.warm import WarmEngine, runner
from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.workers import Work

A_ROUND = 5
_CELLS = ("text = 'nothing but a print'", "print(text)")


def run(options: Options, progress: Progress) -> list[Result]:
    """A trivial notebook on each engine in turn; the warm-up starts the warm kernel."""
    if options.repeats < 3:
        raise InputError(f"--repeats must be at least 3 for a median, not {options.repeats}")
    papermill_engines.register("chatter-warm", WarmEngine)
    printed: dict[str | None, str] = {}

    def execute(engine: str | None) -> None:
        done = papermill.execute_notebook(
            _notebook(), None, engine_name=engine, progress_bar=False, log_output=False
        )
        printed[engine] = done.cells[-1].outputs[0].text

    try:
        execute("chatter-warm")
        execute(None)
        before, started = _footprint(), runner.status().started
        calls = {"baseline": lambda: execute(None), "ours": lambda: execute("chatter-warm")}
        timings = alternate(calls, options.repeats, progress, warm_up=False)
        figures: dict[str, Any] = {"before": before, "after": _footprint()}
        figures["kernels_started_meanwhile"] = runner.status().started - started
    finally:
        runner.shutdown()
    identical = printed[None] == printed["chatter-warm"]
    return [compared("overhead a notebook", timings, identical, **figures)]


def work(options: Options, progress: Progress) -> Work:
    """The same notebook through the warm kernel, some in a round: one alone takes 0.1 s."""
    return Work("notebooks", {"cells": list(_CELLS), "count": A_ROUND})


def _notebook() -> Any:
    cells = [nbformat.v4.new_code_cell(source) for source in _CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _footprint() -> dict[str, float | None]:
    """Descriptors, threads and memory of this process and of the warm kernel, where told."""
    pid = runner.status().pid
    return {**_of_process("runner", os.getpid()), **_of_process("kernel", pid or 0)}


def _of_process(name: str, pid: int) -> dict[str, float | None]:
    folder = Path("/proc") / str(pid)
    try:
        lines = (folder / "status").read_text(encoding="utf-8").splitlines()
        told = dict(line.partition(":")[::2] for line in lines)
        return {
            f"{name}_fds": len(list((folder / "fd").iterdir())),
            f"{name}_threads": int(told["Threads"]),
            f"{name}_rss_mb": round(int(told["VmRSS"].split()[0]) * 1024 / 1e6, 1),
        }
    except (OSError, KeyError):  # no such files but on Linux
        return {f"{name}_{figure}": None for figure in ("fds", "threads", "rss_mb")}
