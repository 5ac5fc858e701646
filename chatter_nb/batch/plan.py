"""A batch decided before it starts: its runs, which of them are done, and all that is wrong.

Everything that can be found without making a sample is found here, for all runs at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.project import find_path, resolve_path
from chatter_nb.base.wording import count
from chatter_nb.batch.grid import expand, find_files
from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.record import Ledger
from chatter_nb.batch.tasks import Job, key_of_pages
from chatter_nb.engines import registry
from chatter_nb.engines.models import pick_engine
from chatter_nb.params.cells import assigned
from chatter_nb.params.runs import AnyParams, ConvertParams, kind_of
from chatter_nb.runs.check import check_params
from chatter_nb.runs.content import code_digest, run_key
from chatter_nb.runs.record import RunFolder
from chatter_nb.runs.settle import Problems

State = Literal["done", "to do", "changed"]
Watch = Callable[[int, int, str], object]  # how many are looked at, of how many, which one now
PickEngine = Callable[[bool], str]  # what `auto` stands for, whether it converts


@dataclass(frozen=True)
class Entry:
    """One run of a batch: what to execute, and whether it needs to be."""

    job: Job
    state: State
    why: str = ""


@dataclass(frozen=True)
class BatchPlan:
    """All that `run_batch` needs, and what to tell a person first (`str(plan)`)."""

    params: BatchParams
    folder: Path
    notebook: Path
    entries: tuple[Entry, ...]
    engines: dict[str, str]  # what `auto` stands for, by kind of run

    @property
    def to_do(self) -> list[Entry]:
        """What this batch will run, in that order: runs that share a model come together."""
        waiting = [entry for entry in self.entries if entry.state != "done"]
        groups = list(dict.fromkeys(_model_of(entry) for entry in waiting))
        waiting.sort(key=lambda entry: groups.index(_model_of(entry)))
        return waiting[: self.params.limit]

    def counts(self) -> dict[State, int]:
        found = Counter(entry.state for entry in self.entries)
        return {state: found[state] for state in ("done", "to do", "changed")}

    def __str__(self) -> str:
        counts = self.counts()
        told = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
        lines = [
            f"notebook: {self.notebook.name}, {count(len(self.entries), 'run')}: {told}",
            f"results: {self.folder}",
        ]
        if self.engines:
            lines.insert(1, f"engine: auto is {', '.join(self.engines.values())} here")
        waiting = len(self.entries) - counts["done"]
        if self.params.limit and self.params.limit < waiting:
            lines.append(f"limit: {self.params.limit} of {waiting} this time")
        width = max((len(entry.job.name) for entry in self.entries), default=0)
        shown = [entry for entry in self.entries if entry.state != "done"]
        lines += [f"  {one.job.name:{width}}  {one.state}: {one.why}" for one in shown[:_SHOWN]]
        if len(shown) > _SHOWN:
            lines.append(f"  … and {len(shown) - _SHOWN} more")
        return "\n".join(lines)


_SHOWN = 30


def _model_of(entry: Entry) -> tuple[Any, ...]:
    params = entry.job.params
    convert = isinstance(params, ConvertParams)
    return (convert, params.engine, params.device, params.checkpoint, params.precision)


def plan_batch(
    params: BatchParams,
    watch: Watch = lambda done, total, name: None,
    *,
    pick: PickEngine | None = None,
    fetch: bool = True,
) -> BatchPlan:
    """Check the notebook and every run, and find out which of them are done.

    `pick` says what `auto` stands for where the runs will be made, if that is to be settled
    otherwise; `fetch` downloads model files that are not here. Raises `InputError` with every
    problem there is.
    """
    problems = Problems()
    notebook = find_path(params.notebook).resolve()
    look = problems.of(lambda: _look_at(notebook))
    if look is not None and not params.ray:  # there, machines differ
        problems.of(partial(_check_kernel, notebook, look.kernel))
    extra = {**params.overrides, "interactive": False}
    if params.outputs_dir:
        extra["outputs_dir"] = params.outputs_dir
    files = find_files(params.files, problems)
    made = expand(look.kind if look else None, files, extra, params.grid, problems)
    problems.found += _names_twice(made)
    folder = problems.of(lambda: _common_folder(made))
    if look is None or folder is None:
        problems.raise_any()
        raise InputError("there is nothing to run")
    settle = pick or partial(_pick_engine, params)
    planner = _Planner(params, notebook, look.code, Ledger(folder), settle, fetch)
    entries = []
    for number, one in enumerate(made):
        watch(number, len(made), one.resolved_run_name())
        planned = problems.of(partial(planner.entry, one))
        entries += [planned] if planned else []
    watch(len(made), len(made), "")
    problems.raise_any()
    return BatchPlan(params, folder, notebook, tuple(entries), planner.engines)


def _pick_engine(params: BatchParams, convert: bool) -> str:
    if params.ray:
        from chatter_nb.batch.ray.cluster import pick_engine as pick_there

        return pick_there(params, convert)
    return pick_engine(convert=convert).name


class _Planner:
    """Settles one run after the other."""

    def __init__(
        self,
        params: BatchParams,
        notebook: Path,
        code: str,
        ledger: Ledger,
        pick: PickEngine,
        fetch: bool,
    ) -> None:
        self._params = params
        self._notebook = notebook
        self._code = code
        self._pick = pick
        self._fetch = fetch
        self._pinned = {
            kind: name
            for kind, name in ledger.engines.items()
            if name in registry.entries(convert=kind == "convert")
        }
        self._ledger = ledger
        self._now: dict[str, str] = {}
        self.engines: dict[str, str] = {}

    def entry(self, params: AnyParams) -> Entry:
        engine, params = self._engine(params)
        key = run_key(self._code, params, engine, fetch=self._fetch)
        state, why = self._state(params, key)
        if state != "done":
            self._check(params.model_copy(update={"engine": engine}))
        job = Job(
            notebook=self._notebook,
            params=params,
            key=key,
            timeout_s=self._params.timeout_s,
            fresh=self._params.fresh_kernels,
        )
        return Entry(job, state, why)

    def _engine(self, params: AnyParams) -> tuple[str, AnyParams]:
        """The engine of a run, and its parameters: with that engine, if `auto` would differ now.

        A run that began, or is done, stays with the engine that it began with; the rest of a batch
        with what the batch settled on.
        """
        if params.engine != "auto":
            return params.engine, params
        folder = RunFolder(params.run_dir())
        unfinished = folder.unfinished()
        if unfinished and unfinished.params.get("engine") == "auto":
            return unfinished.engine.name, params  # its resume takes it, drawn seed and all
        kind = "convert" if isinstance(params, ConvertParams) else "speak"
        if kind not in self.engines:
            now = self._pick(kind == "convert")
            self._now[kind] = now
            self.engines[kind] = self._pinned.get(kind, now)
        record = folder.record()
        began = record is not None and record.params.get("engine") == "auto"
        engine = record.engine.name if record and began else self.engines[kind]
        if engine == self._now[kind] and not self._params.ray:  # there, machines may differ
            return engine, params
        return engine, params.model_copy(update={"engine": engine})

    def _state(self, params: AnyParams, key: str) -> tuple[State, str]:
        folder = RunFolder(params.run_dir())
        record = folder.record()
        unfinished = None if record and record.status == "ok" else folder.unfinished()
        if unfinished:
            told = unfinished.error or "it was stopped"
            return "to do", f"{told.splitlines()[0]}; it resumes"
        pages = key_of_pages(folder.path, record) if record else None
        if pages is None:
            error = self._ledger.entry(params.resolved_run_name()).get("error")
            return "to do", f"failed: {error.splitlines()[0]}" if error else "new"
        if pages != key:
            return "changed", "notebook, parameters, texts or model are not what they were"
        if not folder.is_proved():
            return "to do", "its files are not what run.json says"
        return "done", ""

    def _check(self, params: AnyParams) -> None:
        """Raises `InputError` with all that would stop the run."""
        found = check_params(params)
        here = [] if self._params.ray_address else found.notes  # elsewhere, machines differ
        if found.problems or here:
            name = params.resolved_run_name()
            raise InputError("\n".join(f"{name}: {told}" for told in [*found.problems, *here]))


@dataclass(frozen=True)
class _Look:
    kind: type[AnyParams] | None  # what the parameters cell takes; None if there is none
    code: str
    kernel: str


def _look_at(notebook: Path) -> _Look:
    import nbformat

    if not notebook.is_file():
        raise InputError(f"notebook {notebook} does not exist")
    try:
        pages = nbformat.read(notebook, as_version=4)
        code = [cell for cell in pages.cells if cell.cell_type == "code"]
        tagged = [cell for cell in pages.cells if "parameters" in cell.metadata.get("tags", [])]
        kernel = pages.metadata.get("kernelspec", {}).get("name", "")
    except Exception as error:  # nbformat raises whatever its JSON and schema readers do
        told = shorten(str(error), 500)
        raise InputError(f"{notebook} is not a notebook: {told}") from error
    kind = kind_of(assigned(tagged[0].source)) if tagged else None
    return _Look(kind, code_digest([cell.source for cell in code]), kernel)


def _check_kernel(notebook: Path, name: str) -> None:
    """Raises `InputError` if no kernel of that name is installed."""
    from jupyter_client.kernelspec import KernelSpecManager

    installed = sorted(KernelSpecManager().find_kernel_specs())
    if name.lower() not in installed:  # as Jupyter compares them
        asks = f"asks for the kernel '{name}', which is not here" if name else "names no kernel"
        raise InputError(
            f"{notebook.name} {asks}; there is: {', '.join(installed) or 'none'}. Choose one of "
            "them in JupyterLab (Kernel, Change Kernel), and save the notebook"
        )


def _names_twice(made: Iterable[AnyParams]) -> list[str]:
    # As a file system may see them, that tells no upper from lower case.
    names = Counter(params.resolved_run_name().casefold() for params in made)
    return [
        f"{number} runs would be named '{name}': give them run_names of their own"
        for name, number in names.items()
        if number > 1
    ]


def _common_folder(made: Iterable[AnyParams]) -> Path | None:
    folders = list(dict.fromkeys(resolve_path(params.outputs_dir) for params in made))
    if len(folders) > 1:
        told = ", ".join(map(str, folders))
        raise InputError(f"the runs would go to several folders ({told}): choose one with --out")
    return folders[0] if folders else None
