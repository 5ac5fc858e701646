"""Notebooks run headless through Papermill, each into its run's folder.

Parameters are validated before the first notebook starts; the executed notebook is renamed into
place only after it has succeeded, so that its presence beside an ok run.json means "done".
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chatter_nb.cells import assigned
from chatter_nb.errors import ChatterError, InputError
from chatter_nb.params import AnyParams, kind_of, read_params
from chatter_nb.project import project_root
from chatter_nb.runs import NOTEBOOK, RunFolder
from chatter_nb.speech import Speech, load_speech

FAILED_NOTEBOOK = "notebook.failed.ipynb"


class NotebookError(ChatterError):
    """A notebook that did not run to its end; the message says where its pages lie."""


@dataclass(frozen=True)
class BatchRun:
    """One parameter set of a batch and what became of it."""

    params: AnyParams
    speech: Speech | None = None
    error: str = ""


def plan_batch(
    notebook: Path, files: Sequence[Path], *, overrides: Mapping[str, str], out: str = ""
) -> list[AnyParams]:
    """Check the notebook and every parameter file; all problems at once, before anything runs."""
    extra = {**overrides, "interactive": "false"} | ({"outputs_dir": out} if out else {})
    kind, problems = _look_at(notebook)
    planned = []
    for file in files:
        try:
            planned.append(kind.from_file(file, extra) if kind else read_params(file, extra))
        except InputError as error:
            problems.append(str(error))
    names = Counter(params.resolved_run_name() for params in planned)
    problems += [f"{count} runs would be named '{n}'" for n, count in names.items() if count > 1]
    if problems:
        raise InputError("\n".join(problems))
    return planned


def _look_at(notebook: Path) -> tuple[type[AnyParams] | None, list[str]]:
    """What a notebook takes, by its parameters cell (None if it has none), and its problems."""
    import nbformat

    if not notebook.is_file():
        return None, [f"notebook {notebook} does not exist"]
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except Exception as error:  # nbformat raises whatever its JSON and schema readers do
        return None, [f"{notebook} is not a notebook: {error}"]
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    return (kind_of(assigned(tagged[0])) if tagged else None), []


def run_batch(
    notebook: Path,
    planned: Sequence[AnyParams],
    *,
    done: Callable[[BatchRun], object],
    echo: bool = False,
) -> list[BatchRun]:
    """Run them one after the other; a failing one is recorded and the rest go on."""
    runs = []
    for params in planned:
        try:
            run = BatchRun(params, run_notebook(notebook, params, echo=echo))
        except Exception as error:  # whatever stops this run must not stop the others
            told = str(error) if isinstance(error, ChatterError) else repr(error)
            run = BatchRun(params, error=told)
        runs.append(run)
        done(run)
    return runs


def run_notebook(notebook: Path, params: AnyParams, *, echo: bool = False) -> Speech:
    """Execute a notebook with one parameter set in a fresh kernel, into the run's folder.

    `echo` shows what its cells print, as they run. Raises `NotebookError` if a cell fails, or if
    the notebook ends without a new and ok run.json (a dead kernel leaves every cell looking
    complete); the pages are kept as `notebook.failed.ipynb`.
    """
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    failures = (PapermillExecutionError, CellTimeoutError, DeadKernelError, NotebookError)
    folder = RunFolder(params.run_dir())
    with folder.locked():  # makes it, or says why it cannot be written
        (folder.path / NOTEBOOK).unlink(missing_ok=True)  # no pages of an earlier run beside this
    part = (
        folder.path / f".part.{NOTEBOOK}"
    )  # always the same: what a killed batch left is replaced
    stamp = folder.stamp()
    try:
        _execute(notebook, part, params, echo=echo)
        if folder.stamp() == stamp:
            raise NotebookError(f"{notebook.name} ended without a run: did its kernel die?")
        speech = load_speech(folder.path)
        if speech.record.status != "ok":
            raise NotebookError(f"{notebook.name} ended, but its run is {speech.record.status}")
    except failures as error:
        os.replace(part, folder.path / FAILED_NOTEBOOK)
        where = f"its pages: {folder.path / FAILED_NOTEBOOK}"
        raise NotebookError(f"{_reason(error)} ({where})") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, folder.path / NOTEBOOK)
    (folder.path / FAILED_NOTEBOOK).unlink(missing_ok=True)
    return speech


def _execute(notebook: Path, part: Path, params: AnyParams, *, echo: bool) -> None:
    import papermill

    # Only what was set: the notebook's own cell keeps the rest, as with plain Papermill.
    values = params.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    values["run_name"] = params.resolved_run_name()
    source, target = (  # papermill treats paths as templates for str.format: double our braces
        str(path).replace("{", "{{").replace("}", "}}") for path in (notebook.resolve(), part)
    )
    papermill.execute_notebook(
        source,
        target,
        parameters=values,
        cwd=str(project_root()),
        progress_bar=False,
        autosave_cell_every=0,
        stdout_file=sys.stdout if echo else None,
        stderr_file=sys.stderr if echo else None,
        # The kernel's socket is this machine's own: its warning of plain TCP would only frighten.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )


def _reason(error: Exception) -> str:
    name, value = getattr(error, "ename", None), getattr(error, "evalue", None)
    return f"{name}: {value}" if name else str(error)
