"""Executes one notebook with one set of parameters into the folder of its run.

`batch.plan` decides which tasks there are; `batch.executors` and `batch.ray` decide which process
performs a task, and when.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import format_exc
from typing import Any, Literal

from chatter_nb.base.disk import free_disk_bytes, write_error
from chatter_nb.base.errors import ChatterError
from chatter_nb.base.project import project_root
from chatter_nb.batch import warm
from chatter_nb.params.runs import AnyParams
from chatter_nb.runs.folder import NOTEBOOK, RunFolder
from chatter_nb.runs.record import utc_now
from chatter_nb.runs.resume import MARK, is_done, mark_of
from chatter_nb.runs.speech import Speech, load_speech

FAILED_NOTEBOOK = "notebook.failed.ipynb"
ENGINE = "chatter-warm"

_ORPHAN_S = 15  # the kernel of a killed batch holds the lock of its run for some seconds more
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STOPPED = ("KeyboardInterrupt", "Cancelled")  # the errors of a cell that was interrupted
_DIED = "DeadKernelError"
_TIMED_OUT = "CellTimeoutError"
_NO_ROOM_BYTES = 1 << 20

Status = Literal["ok", "failed", "cancelled"]


@dataclass(frozen=True)
class Task:
    """A notebook to execute, in plain values: a task is sent to other processes and machines."""

    notebook: Path  # absolute
    params: AnyParams
    key: str = ""  # of the run; written into the executed notebook, to recognise a changed run
    timeout_s: float | None = None  # for the whole notebook
    fresh: bool = False  # in a new kernel
    echo: bool = False  # show what the cells print while they run

    @property
    def name(self) -> str:
        """The name of its run, and of the run's folder."""
        return self.params.resolved_run_name()

    def is_done(self) -> bool:
        """Whether its run is finished, proved, and has the same key."""
        return is_done(RunFolder(self.params.run_dir()), self.key)


@dataclass(frozen=True)
class Outcome:
    """The result of a task."""

    name: str
    status: Status
    started: str
    wall_s: float
    worker: str
    error: str | None = None
    traceback: str | None = None
    audio_s: float | None = None
    rtf: float | None = None
    attempts: int = 1
    disk_full: bool = False  # the disk is full: the other tasks would fail too


class NotebookError(ChatterError):
    """Raised when a notebook did not run to its end; the message names its executed pages."""

    def __init__(self, message: str, *, kind: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.kind = kind  # the name of the exception that ended it
        self.traceback = traceback


def perform(task: Task) -> Outcome:
    """Execute a task. Every error but `KeyboardInterrupt` becomes a part of the outcome.

    A task whose kernel died is tried once more, from its finished chunks.
    """
    first = _perform(task)
    if first.status != "failed" or _DIED not in (first.error or ""):
        return first
    return replace(_perform(task), attempts=2)


def _perform(task: Task) -> Outcome:
    started, since_s = utc_now(), time.perf_counter()
    result: dict[str, Any]
    try:
        speech = run_notebook(task)
        result = {"status": "ok", "audio_s": speech.audio_s, "rtf": speech.rtf}
    except NotebookError as error:
        status = "cancelled" if error.kind in _STOPPED else "failed"
        result = {"status": status, "error": str(error), "traceback": error.traceback or None}
    except Exception as error:  # the failure of a task, whatever it is, must not stop the others
        message = str(error) if isinstance(error, ChatterError) else repr(error)
        if isinstance(error, OSError):
            message = str(write_error(Path(error.filename or task.params.run_dir()), error))
        result = {"status": "failed", "error": message, "traceback": format_exc()}
    if result["status"] == "failed":
        no_room = free_disk_bytes(task.params.run_dir()) < _NO_ROOM_BYTES
        result["disk_full"] = no_room or "disk full" in result["error"]
    wall_s = time.perf_counter() - since_s
    return Outcome(name=task.name, started=started, wall_s=wall_s, worker=worker_name(), **result)


def worker_name(pid: int | None = None) -> str:
    """ "machine:pid", the name of a process for people; by default of this process."""
    return f"{platform.node()}:{pid or os.getpid()}"


def run_notebook(task: Task) -> Speech:
    """Execute a task's notebook in the warm kernel of this process, into the run's folder.

    Returns the run that the notebook made. Raises `NotebookError` if a cell fails, if the kernel
    dies, if the time is over, or if the notebook ends without a new run.json whose status is ok.
    The executed pages of a notebook that failed are kept as `notebook.failed.ipynb`.
    """
    from papermill.exceptions import PapermillExecutionError

    folder = RunFolder(task.params.run_dir())
    with folder.locked(wait_s=_ORPHAN_S):  # makes the folder, or raises why it cannot be written
        (folder.path / NOTEBOOK).unlink(missing_ok=True)  # the pages of an earlier run
    # Always the same name, so that the file of a killed batch is replaced.
    part = folder.path / f".part.{NOTEBOOK}"
    stamp = folder.stamp()
    try:
        _execute(task, part)
        speech = _new_run(task, folder, stamp)
        _mark(part, task, speech)
    except (PapermillExecutionError, NotebookError) as error:
        pages = folder.path / FAILED_NOTEBOOK
        os.replace(part, pages)
        raise _notebook_error(error, pages, task) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, folder.path / NOTEBOOK)
    (folder.path / FAILED_NOTEBOOK).unlink(missing_ok=True)
    return speech


def _execute(task: Task, part: Path) -> None:
    import papermill
    from papermill.engines import papermill_engines

    # Papermill knows the entry point of an installed package, and none of a bare checkout.
    papermill_engines.register(ENGINE, warm.WarmEngine)
    if task.fresh:
        warm.shutdown()
    ends_s = time.monotonic() + task.timeout_s if task.timeout_s else None
    values = task.params.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    values["run_name"] = task.name
    papermill.execute_notebook(
        _plain(task.notebook),
        _plain(part),
        # Only the values that were set: for the others the notebook has its own, as in Papermill.
        parameters=values,
        engine_name=ENGINE,
        cwd=str(project_root()),
        progress_bar=False,
        request_save_on_cell_execute=False,
        autosave_cell_every=0,
        stdout_file=sys.stdout if task.echo else None,
        stderr_file=sys.stderr if task.echo else None,
        # The seconds that a cell may take: those that are left of the notebook's.
        timeout_func=(lambda cell: max(1.0, ends_s - time.monotonic())) if ends_s else None,
    )


def _plain(path: Path) -> str:
    """A path for Papermill, which takes paths as templates of `str.format`: braces are doubled."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _new_run(task: Task, folder: RunFolder, stamp: int) -> Speech:
    if folder.stamp() == stamp:
        raise NotebookError(f"{task.notebook.name} ended without a run: nothing wrote run.json")
    speech = load_speech(folder.path)
    if speech.record.status != "ok":
        raise NotebookError(f"{task.notebook.name} ended, but its run is {speech.record.status}")
    return speech


def _mark(pages: Path, task: Task, speech: Speech) -> None:
    """Write the mark of the run into its executed pages, before they get their final name."""
    values = json.loads(pages.read_text(encoding="utf-8"))
    values["metadata"][MARK] = mark_of(speech.record, task.key)
    text = json.dumps(values, ensure_ascii=False, indent=1)
    pages.write_text(text + "\n", encoding="utf-8")


def _notebook_error(error: Any, pages: Path, task: Task) -> NotebookError:
    kind = getattr(error, "ename", "")
    reason = ": ".join(filter(None, (kind, error.evalue))) if kind else str(error)
    if kind == _TIMED_OUT and task.timeout_s:
        reason = f"not finished after {task.timeout_s:g} s (--timeout-s); its chunks are kept"
    lines = "\n".join(getattr(error, "traceback", None) or [])
    message = f"{_ANSI.sub('', reason)} (its pages: {pages})"
    return NotebookError(message, kind=kind, traceback=_ANSI.sub("", lines))
