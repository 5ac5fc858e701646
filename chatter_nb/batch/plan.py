"""The plan of a batch: its runs, which of them are done, and every problem with its input.

A problem that can be recognised before the first sample is made is reported here, for all runs at
once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import InputError, Problems, shorten
from chatter_nb.base.project import find_path, resolve_path, shown_path
from chatter_nb.base.wording import count
from chatter_nb.batch.grid import expand, find_files
from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.record import BatchRecord
from chatter_nb.batch.tasks import Task
from chatter_nb.engines import registry
from chatter_nb.engines.models import pick_engine
from chatter_nb.params.base import RunKind
from chatter_nb.params.cells import assigned
from chatter_nb.params.runs import AnyParams, kind_of
from chatter_nb.runs.check import check_params
from chatter_nb.runs.content import code_digest, run_key
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.resume import State, engine_of_auto, state_of

OnProgress = Callable[[int, int, str], object]  # runs checked, runs in all, the name of this run
_SHOWN = 30  # runs that are listed when a plan is printed


@dataclass(frozen=True)
class Entry:
    """One run of a batch: its task, whether the task must be performed, and the reason."""

    task: Task
    state: State
    why: str = ""


@dataclass(frozen=True)
class BatchPlan:
    """What `run_batch` performs; `str(plan)` is its summary for people."""

    params: BatchParams
    folder: Path
    notebook: Path
    entries: tuple[Entry, ...]
    engines: dict[str, str]  # the engine that `auto` stands for, by kind of run

    @property
    def to_do(self) -> list[Entry]:
        """The runs that this batch will perform, in order: runs that share a model are adjacent."""
        waiting = [entry for entry in self.entries if entry.state != "done"]
        groups = list(dict.fromkeys(_model_of(entry) for entry in waiting))
        waiting.sort(key=lambda entry: groups.index(_model_of(entry)))
        return waiting[: self.params.limit]

    def counts(self) -> dict[State, int]:
        """The number of runs in each state."""
        numbers = Counter(entry.state for entry in self.entries)
        return {state: numbers[state] for state in ("done", "to do", "changed")}

    def __str__(self) -> str:
        counts = self.counts()
        states = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
        lines = [
            f"notebook: {self.notebook.name}, {count(len(self.entries), 'run')}: {states}",
            f"results: {shown_path(self.folder)}",
        ]
        if self.engines:
            lines.insert(1, f"engine: auto is {', '.join(self.engines.values())} here")
        waiting = len(self.entries) - counts["done"]
        if self.params.limit and self.params.limit < waiting:
            lines.append(f"limit: {self.params.limit} of {waiting} this time")
        width = max((len(entry.task.name) for entry in self.entries), default=0)
        entries = [entry for entry in self.entries if entry.state != "done"]
        lines += [f"  {e.task.name:{width}}  {e.state}: {e.why}" for e in entries[:_SHOWN]]
        if len(entries) > _SHOWN:
            lines.append(f"  … and {len(entries) - _SHOWN} more")
        return "\n".join(lines)


def _model_of(entry: Entry) -> tuple[Any, ...]:
    params = entry.task.params
    return (params.kind, params.engine, params.device, params.checkpoint, params.precision)


def plan_batch(
    params: BatchParams,
    on_progress: OnProgress = lambda done, total, name: None,
    *,
    fetch: bool = True,
) -> BatchPlan:
    """Check the notebook and every run, and find out which runs are done.

    `on_progress` is called before each run is checked, and after the last. `fetch` downloads
    missing model files. Raises `InputError` with every problem of the batch.
    """
    problems = Problems()
    notebook = find_path(params.notebook).resolve()
    facts = problems.of(partial(_facts_of, notebook))
    if facts is not None and not params.ray:  # the machines of a cluster may have other kernels
        problems.of(partial(_check_kernel, notebook, facts.kernel))
    extra = {**params.overrides, "interactive": False}
    if params.outputs_dir:
        extra["outputs_dir"] = params.outputs_dir
    files = find_files(params.files, problems)
    runs = expand(facts.kind if facts else None, files, extra, params.grid, problems)
    problems.of(partial(_check_names, runs))
    folder = problems.of(partial(_common_folder, runs))
    if facts is None or folder is None:
        problems.raise_any()
        raise InputError("there is nothing to run")
    planner = _Planner(params, notebook, facts.code, BatchRecord(folder), fetch)
    entries = []
    for number, run in enumerate(runs):
        on_progress(number, len(runs), run.resolved_run_name())
        entries.append(problems.of(partial(planner.entry, run)))
    on_progress(len(runs), len(runs), "")
    problems.raise_any()
    return BatchPlan(params, folder, notebook, tuple(entries), planner.engines)


def _pick_engine(params: BatchParams, kind: RunKind) -> str:
    """The engine that `auto` stands for, on this machine or on the Ray cluster."""
    if params.ray:
        from chatter_nb.batch.ray.cluster import pick_engine as pick_there

        return pick_there(params, kind)
    return pick_engine(kind=kind).name


@dataclass
class _Planner:
    """Makes the entry of one run after the other."""

    params: BatchParams
    notebook: Path
    code: str  # the digest of the notebook's code
    record: BatchRecord
    fetch: bool
    picked: dict[str, str] = field(default_factory=dict)  # by kind, what `auto` is today
    engines: dict[str, str] = field(default_factory=dict)  # by kind, what it is in this batch

    def entry(self, params: AnyParams) -> Entry:
        engine, params = self._engine(params)
        key = run_key(self.code, params, engine, fetch=self.fetch)
        failure = self.record.entry(params.resolved_run_name()).get("error")
        state, why = state_of(RunFolder(params.run_dir()), key, failure)
        if state != "done":
            self._check(params.model_copy(update={"engine": engine}))
        timeout_s, fresh = self.params.timeout_s, self.params.fresh_kernels
        return Entry(Task(self.notebook, params, key, timeout_s, fresh), state, why)

    def _engine(self, params: AnyParams) -> tuple[str, AnyParams]:
        """The engine of a run, and the run's parameters.

        `auto` in the parameters is replaced if it would mean another engine where the run is made.
        A run that has begun or is done keeps its engine; the others get the engine that the batch
        chose when it was run first.
        """
        if params.engine != "auto":
            return params.engine, params
        folder = RunFolder(params.run_dir())
        if resumed := engine_of_auto(folder.unfinished()):
            return resumed, params
        kind = params.kind
        if kind not in self.engines:
            self.picked[kind] = _pick_engine(self.params, kind)
            pinned = self.record.engines.get(kind)
            if pinned not in registry.entries(kind):  # an engine of another version
                pinned = None
            self.engines[kind] = pinned or self.picked[kind]
        engine = engine_of_auto(folder.record()) or self.engines[kind]
        if engine == self.picked[kind] and not self.params.ray:  # a cluster's machines may differ
            return engine, params
        return engine, params.model_copy(update={"engine": engine})

    def _check(self, params: AnyParams) -> None:
        """Raise `InputError` with every reason that would stop the run."""
        check = check_params(params)
        # Notes are about this machine; a cluster's machines may differ.
        notes = [] if self.params.ray_address else check.notes
        if check.problems or notes:
            name = params.resolved_run_name()
            raise InputError("\n".join(f"{name}: {line}" for line in [*check.problems, *notes]))


@dataclass(frozen=True)
class _Facts:
    """What a plan needs to know of a notebook."""

    kind: type[AnyParams] | None  # of its parameters; None without a parameters cell
    code: str  # a digest
    kernel: str


def _facts_of(notebook: Path) -> _Facts:
    import nbformat

    if not notebook.is_file():
        raise InputError(f"notebook {notebook} does not exist")
    try:
        pages = nbformat.read(notebook, as_version=4)
        code = [cell for cell in pages.cells if cell.cell_type == "code"]
        tagged = [cell for cell in pages.cells if "parameters" in cell.metadata.get("tags", [])]
        kernel = pages.metadata.get("kernelspec", {}).get("name", "")
    except Exception as error:  # nbformat raises whatever its JSON and schema readers do
        reason = f"{shorten(str(error), 500)} (the notebook is given first)"
        raise InputError(f"{notebook} is not a notebook: {reason}") from error
    kind = kind_of(assigned(tagged[0].source)) if tagged else None
    return _Facts(kind, code_digest([cell.source for cell in code]), kernel)


def _check_kernel(notebook: Path, name: str) -> None:
    """Raise `InputError` if no kernel of that name is installed."""
    from jupyter_client.kernelspec import KernelSpecManager

    installed = sorted(KernelSpecManager().find_kernel_specs())
    if name.lower() not in installed:  # as Jupyter compares them
        asks = f"asks for the kernel '{name}', which is not here" if name else "names no kernel"
        raise InputError(
            f"{notebook.name} {asks}; there is: {', '.join(installed) or 'none'}. Choose one of "
            "them in JupyterLab (Kernel, Change Kernel), and save the notebook"
        )


def _check_names(runs: Iterable[AnyParams]) -> None:
    """Raise `InputError` with every name of two runs."""
    # Some file systems do not distinguish capital from small letters.
    numbers = Counter(params.resolved_run_name().casefold() for params in runs)
    lines = [
        f"{number} runs would be named '{name}': give them run_names of their own"
        for name, number in numbers.items()
        if number > 1
    ]
    if lines:
        raise InputError("\n".join(lines))


def _common_folder(runs: Iterable[AnyParams]) -> Path | None:
    """The folder that all runs go to; None without runs. Raises `InputError` for several."""
    folders = list(dict.fromkeys(resolve_path(params.outputs_dir) for params in runs))
    if len(folders) > 1:
        names = ", ".join(map(str, folders))
        raise InputError(f"the runs would go to several folders ({names}): choose one with --out")
    return folders[0] if folders else None
