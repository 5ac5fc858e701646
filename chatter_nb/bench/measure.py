"""Measuring ours alone: a suite's workload run whole, again and again, for the history.

The work runs in a process of its own, whose peak of memory is the work's alone. Not here: what a
workload is (`bench.suites`), one round of it (`rounds`), upstream beside ours (`harness`), two
commits (`regress`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import InputError
from chatter_nb.base.hashing import digest
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import cpu_name, versions
from chatter_nb.bench.history import Measurement, earlier
from chatter_nb.bench.params import LEAST_SAMPLES, SUITES, Options, Progress, options_for
from chatter_nb.bench.suites import work_of
from chatter_nb.bench.verdict import compare
from chatter_nb.bench.workers import Work, Worker, commit_of, own_tree
from chatter_nb.engines.models import pick_device
from chatter_nb.engines.voices import content_hash
from chatter_nb.runs.record import utc_now

FIRST = "first measurement: nothing to compare with"
_WORKLOAD_BYTES = 8
_FILE_VALUES = ("text_file", "voice", "source", "target", "checkpoint")


@dataclass(frozen=True)
class Workload:
    """A suite's piece of work, with everything that distinguishes it from other work."""

    suite: str
    options: dict[str, Any]  # without `repeats`, which is no part of the work
    work: Work
    key: str
    device: str


def measure(
    suite: str,
    chosen: Mapping[str, Any] | None = None,
    repeats: int = LEAST_SAMPLES,
    on_progress: Progress = lambda message: None,
) -> Measurement:
    """Run a suite's workload: a warm-up, then `repeats` timed rounds of ours.

    `chosen` are options of the suite by name. Raises `InputError` before any work for an option
    that the suite does not take, or for fewer than 5 repeats; `EngineError` where a round fails.
    """
    workload = workload_of(suite, chosen or {}, repeats, on_progress)
    with Worker(workload.work, own_tree()) as worker:
        on_progress("warm-up")
        warm_up, rounds = worker.round(), []
        for number in range(1, repeats + 1):
            on_progress(f"round {number} of {repeats}")
            rounds.append(worker.round())
    is_run = workload.work.kind in ("speak", "convert")
    commit, dirty = commit_of(own_tree())
    return Measurement(
        recorded=utc_now(),
        suite=suite,
        workload=workload.key,
        options=workload.options,
        machine=machine(),
        device=workload.device,
        versions=versions(),
        commit=commit,
        dirty=dirty,
        load_s=warm_up.stages_s.get("load") if is_run else None,
        rounds=tuple(rounds),
    )


def against_history(measurement: Measurement, history: Sequence[Measurement]) -> str:
    """A sentence: the measurement compared with the latest comparable one of the history."""
    before = earlier(history, measurement)
    if not before:
        return FIRST
    latest = before[-1]
    verdict = compare(latest.judged_s, measurement.judged_s)
    return f"{verdict.sentence}, against {latest.label} of {latest.recorded}"


def workload_of(
    suite: str, chosen: Mapping[str, Any], repeats: int, on_progress: Progress
) -> Workload:
    """The workload of a suite for the chosen options. Raises `InputError`, see `measure`."""
    options = options_for(suite, chosen)
    if repeats < LEAST_SAMPLES:
        raise InputError(
            f"--repeats must be at least {LEAST_SAMPLES} to tell a change from noise, not {repeats}"
        )
    work = work_of(suite, options, on_progress)
    names = [name for name in SUITES[suite].defaults if name != "repeats"]
    values = {name: getattr(options, name) for name in names}
    return Workload(suite, values, work, _key(work), _device(suite, options))


def machine() -> str:
    """The processor, how many cores of it this process may use, and a limit to its threads."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS")  # of OpenMP, hence of torch and NumPy's BLAS
    return f"{cpu_name()}, {cores} cores" + (f", {limit} threads" if limit else "")


def _device(suite: str, options: Options) -> str:
    if not SUITES[suite].has_model:
        return "cpu"
    choice = pick_device(options.device, engine=options.engine)
    return "cpu" if choice.name == "cpu" else str(choice)  # a GPU with its name


def _key(work: Work) -> str:
    """A hash of a piece of work. A file counts by its content, not by its place."""
    values = dict(work.values)
    for name in _FILE_VALUES:
        path = resolve_path(values[name]) if values.get(name) else None
        if path and path.exists():
            values[name] = _content(path)
    return digest([work.kind, values], size=_WORKLOAD_BYTES)


def _content(path: Path) -> Any:
    """A file's hash; of a folder, such as a checkpoint of 3 GB, its files' names and sizes."""
    if path.is_file():
        return content_hash(path)
    return sorted([file.name, file.stat().st_size] for file in path.iterdir() if file.is_file())
