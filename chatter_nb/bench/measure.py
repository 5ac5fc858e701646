"""Measuring ours alone: a suite's workload run whole, again and again, for the history.

In a process of its own, so that its peak of memory is its own. Not here: what a workload is
(`bench.suites`), one round of it (`rounds`), upstream beside ours (`harness`), two
commits (`regress`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import InputError
from chatter_nb.base.hashing import digest
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.checkout import commit_of
from chatter_nb.bench.harness import Options, cpu_name, versions
from chatter_nb.bench.history import Measurement, Round, earlier
from chatter_nb.bench.ranks import LEAST_SAMPLES
from chatter_nb.bench.suites import SUITES, WITHOUT_A_MODEL, options_for, work_of
from chatter_nb.bench.verdict import compare
from chatter_nb.bench.workers import Work, Worker, own_tree
from chatter_nb.engines.models import pick_device
from chatter_nb.engines.voices import FOLDER, content_hash
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.record import utc_now

Progress = Callable[[str], object]
FIRST = "first measurement: nothing to compare with"
_WORKLOAD_BYTES = 8
_NAME_FILES = ("text_file", "voice", "source", "target", "checkpoint")


@dataclass(frozen=True)
class Measured:
    """Rounds of one piece of work, the warm-up left out.

    `load_s` is what loading took in the warm-up, with the imports that it needs; None where there
    is nothing to load.
    """

    load_s: float | None
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Workload:
    """A suite's piece of work, and all that tells it from others."""

    suite: str
    options: dict[str, Any]  # but for `repeats`, which is no part of the work
    work: Work
    key: str
    device: str


def measure(
    suite: str,
    given: Mapping[str, Any] | None = None,
    repeats: int = LEAST_SAMPLES,
    progress: Progress = lambda told: None,
) -> Measurement:
    """Run a suite's workload: a warm-up, then `repeats` timed rounds of ours.

    `given` are the suite's options. Raises `InputError` for those it does not take, or fewer than 5
    repeats, before any work; `EngineError` where a round fails.
    """
    workload = workload_of(suite, given or {}, repeats, progress)
    measured = measure_work(workload.work, repeats, progress)
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
        load_s=measured.load_s,
        rounds=measured.rounds,
    )


def measure_run(
    params: SpeakParams | ConvertParams,
    repeats: int = LEAST_SAMPLES,
    progress: Progress = lambda told: None,
) -> Measured:
    """Time one run: a warm-up, then `repeats` rounds, in a process and a folder of their own.

    All of it is made in every round, whatever the parameters' own `outputs_dir` holds. Memory is
    the process's peak so far. Raises what a worker meets as `InputError` or `EngineError`.
    """
    values = params.model_dump(mode="json", exclude={"outputs_dir", "run_name"})
    # The voices stay where they are: they would be looked for under the temporary outputs.
    values["voices_dir"] = params.voices_dir or str(resolve_path(params.outputs_dir) / FOLDER)
    kind = "convert" if isinstance(params, ConvertParams) else "speak"
    return measure_work(Work(kind, values | {"run_name": "timed"}), repeats, progress)


def told(measurement: Measurement, history: Sequence[Measurement]) -> str:
    """A measurement against the latest one before it that is comparable, in a sentence."""
    before = earlier(history, measurement)
    if not before:
        return FIRST
    latest = before[-1]
    verdict = compare(latest.judged_s, measurement.judged_s)
    return f"{verdict.sentence}, against {latest.label} of {latest.recorded}"


def workload_of(
    suite: str, given: Mapping[str, Any], repeats: int, progress: Progress = lambda told: None
) -> Workload:
    """A suite's workload for some options, settled. Raises `InputError`, see `measure`."""
    options = options_for(suite, given)
    if repeats < LEAST_SAMPLES:
        raise InputError(
            f"--repeats must be at least {LEAST_SAMPLES} to tell a change from noise, not {repeats}"
        )
    work = work_of(suite, options, progress)
    takes = [name for name in SUITES[suite].takes if name != "repeats"]
    chosen = {name: getattr(options, name) for name in takes}
    return Workload(suite, chosen, work, _key(work), _device(suite, options))


def measure_work(work: Work, repeats: int, progress: Progress) -> Measured:
    """A warm-up and `repeats` rounds of a piece of work."""
    with Worker(work, own_tree()) as worker:
        progress("warm-up")
        first, rounds = worker.round(), []
        for number in range(1, repeats + 1):
            progress(f"round {number} of {repeats}")
            rounds.append(worker.round())
    loading = work.kind in ("speak", "convert")
    return Measured(first.stages_s.get("load") if loading else None, tuple(rounds))


def machine() -> str:
    """The processor, how many cores of it this process may use, and a limit to its threads."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS")  # of OpenMP, and so of torch and NumPy's BLAS
    return f"{cpu_name()}, {cores} cores" + (f", {limit} threads" if limit else "")


def _device(suite: str, options: Options) -> str:
    if suite in WITHOUT_A_MODEL:
        return "cpu"
    choice = pick_device(options.device, engine=options.engine)
    return "cpu" if choice.name == "cpu" else str(choice)  # a GPU with its name


def _key(work: Work) -> str:
    """A hash of a piece of work. What it reads counts by its content, not by where it lies."""
    values = dict(work.values)
    for name in _NAME_FILES:
        path = resolve_path(values[name]) if values.get(name) else None
        if path and path.exists():
            values[name] = _content(path)
    return digest([work.kind, values], size=_WORKLOAD_BYTES)


def _content(path: Path) -> Any:
    """A file's hash; of a folder, such as a checkpoint of 3 GB, its files' names and sizes."""
    if path.is_file():
        return content_hash(path)
    return sorted([one.name, one.stat().st_size] for one in path.iterdir() if one.is_file())
