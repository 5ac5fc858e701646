"""One notebook with one parameter set, executed into its run's folder.

Not here: which jobs there are (`batch.plan`) and who performs them when (`batch.executors`,
`batch.ray`).
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

from chatter_nb.base.disk import free_disk_bytes, read_json, write_error
from chatter_nb.base.errors import ChatterError
from chatter_nb.base.project import project_root
from chatter_nb.params.runs import AnyParams
from chatter_nb.runs.record import NOTEBOOK, RunFolder, RunRecord, utc_now
from chatter_nb.runs.speech import Speech, load_speech

FAILED_NOTEBOOK = "notebook.failed.ipynb"
ENGINE = "chatter-warm"
MARK = "chatter_nb"  # our place in an executed notebook's metadata

_ORPHAN_S = 15  # a killed batch's kernel ends within seconds of it, and lets go of its run
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STOPPED = ("KeyboardInterrupt", "Cancelled")  # how a cell ends that was interrupted
_DIED = "DeadKernelError"
_TIMED_OUT = "CellTimeoutError"
_NO_ROOM_BYTES = 1 << 20

Status = Literal["ok", "failed", "cancelled"]


@dataclass(frozen=True)
class Job:
    """What to execute. Plain values: a job travels to other processes and machines."""

    notebook: Path  # absolute
    params: AnyParams
    key: str = ""  # of the run; in the pages' metadata, it tells later whether they still hold
    timeout_s: float | None = None  # for the whole notebook
    fresh: bool = False  # in a kernel of its own
    echo: bool = False  # show what the cells print, as they run

    @property
    def name(self) -> str:
        return self.params.resolved_run_name()


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

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
    hopeless: bool = False  # the disk is full: the other jobs would fail too


class NotebookError(ChatterError):
    """A notebook that did not run to its end; the message says where its pages lie."""

    def __init__(self, told: str, *, kind: str = "", traceback: str = "") -> None:
        super().__init__(told)
        self.kind = kind  # the name of the exception that ended it
        self.traceback = traceback


def perform(job: Job) -> Outcome:
    """Execute a job. Whatever happens to it is in the outcome; `KeyboardInterrupt` is not caught.

    A job whose kernel died is tried once more: its finished chunks are kept.
    """
    first = _perform(job)
    if first.status != "failed" or _DIED not in (first.error or ""):
        return first
    return replace(_perform(job), attempts=2)


def _perform(job: Job) -> Outcome:
    started, since_s = utc_now(), time.perf_counter()
    found: dict[str, Any]
    try:
        speech = run_notebook(job)
        found = {"status": "ok", "audio_s": speech.audio_s, "rtf": speech.rtf}
    except NotebookError as error:
        status = "cancelled" if error.kind in _STOPPED else "failed"
        found = {"status": status, "error": str(error), "traceback": error.traceback or None}
    except Exception as error:  # one job's failure, whatever it is, must not stop the others
        told = str(error) if isinstance(error, ChatterError) else repr(error)
        if isinstance(error, OSError):
            told = str(write_error(Path(error.filename or job.params.run_dir()), error))
        found = {"status": "failed", "error": told, "traceback": format_exc()}
    return Outcome(
        name=job.name,
        started=started,
        wall_s=time.perf_counter() - since_s,
        worker=f"{platform.node()}:{os.getpid()}",
        hopeless=found["status"] == "failed" and _is_full(job, found["error"]),
        **found,
    )


def _is_full(job: Job, told: str) -> bool:
    return "disk full" in told or free_disk_bytes(job.params.run_dir()) < _NO_ROOM_BYTES


def run_notebook(job: Job) -> Speech:
    """Execute a job's notebook in the warm kernel of this process, into the run's folder.

    Raises `NotebookError` if a cell fails, the kernel dies or the time is up, or if the notebook
    ends without a new and ok run.json; the pages are kept as `notebook.failed.ipynb`.
    """
    from papermill.exceptions import PapermillExecutionError

    folder = RunFolder(job.params.run_dir())
    with folder.locked(wait_s=_ORPHAN_S):  # makes it, or says why it cannot be written
        (folder.path / NOTEBOOK).unlink(missing_ok=True)  # no pages of an earlier run beside this
    # Always the same name: what a killed batch left there is replaced.
    part = folder.path / f".part.{NOTEBOOK}"
    stamp = folder.stamp()
    try:
        _execute(job, part)
        speech = _new_run(job, folder, stamp)
        _mark(part, job, speech)
    except (PapermillExecutionError, NotebookError) as error:
        pages = folder.path / FAILED_NOTEBOOK
        os.replace(part, pages)
        raise _told(error, pages, job) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, folder.path / NOTEBOOK)
    (folder.path / FAILED_NOTEBOOK).unlink(missing_ok=True)
    return speech


def _execute(job: Job, part: Path) -> None:
    import papermill
    from papermill.engines import papermill_engines

    from chatter_nb.batch.warm import WarmEngine, runner

    # By its entry point it is known where the package is installed; from a bare checkout it is not.
    papermill_engines.register(ENGINE, WarmEngine)
    if job.fresh:
        runner.shutdown()
    ends_s = time.monotonic() + job.timeout_s if job.timeout_s else None
    values = job.params.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    values["run_name"] = job.name
    papermill.execute_notebook(
        _plain(job.notebook),
        _plain(part),
        # Only what was set: the notebook's own cell keeps the rest, as with plain Papermill.
        parameters=values,
        engine_name=ENGINE,
        cwd=str(project_root()),
        progress_bar=False,
        request_save_on_cell_execute=False,
        autosave_cell_every=0,
        stdout_file=sys.stdout if job.echo else None,
        stderr_file=sys.stderr if job.echo else None,
        # A cell has what is left of the notebook's time.
        timeout_func=(lambda cell: max(1.0, ends_s - time.monotonic())) if ends_s else None,
    )


def _plain(path: Path) -> str:
    """Papermill takes paths as templates for `str.format`: double our braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _new_run(job: Job, folder: RunFolder, stamp: int) -> Speech:
    if folder.stamp() == stamp:
        raise NotebookError(f"{job.notebook.name} ended without a run: nothing wrote run.json")
    speech = load_speech(folder.path)
    if speech.record.status != "ok":
        raise NotebookError(f"{job.notebook.name} ended, but its run is {speech.record.status}")
    return speech


def _mark(pages: Path, job: Job, speech: Speech) -> None:
    """Note in its pages which run they are of: they are renamed into place with it."""
    values = json.loads(pages.read_text(encoding="utf-8"))
    values["metadata"][MARK] = {"key": job.key, "run": _run_of(speech.record)}
    text = json.dumps(values, ensure_ascii=False, indent=1)
    pages.write_text(text + "\n", encoding="utf-8")


def _run_of(record: RunRecord) -> list[str]:
    return [record.started, *(file.sha256 for file in record.files)]


def key_of_pages(folder: Path, record: RunRecord) -> str | None:
    """The key of the run whose executed notebook lies in a folder.

    None if there is none, or if the folder's record is of another run: one without a notebook, say.
    """
    values = read_json(folder / NOTEBOOK)
    try:
        mark = values["metadata"][MARK]
        return str(mark["key"]) if mark["run"] == _run_of(record) else None
    except (KeyError, TypeError):  # none of ours, or damaged
        return None


def is_done(job: Job) -> bool:
    """Whether a job's run is finished, proved, and what the job would make."""
    folder = RunFolder(job.params.run_dir())
    record = folder.record()
    same = record is not None and key_of_pages(folder.path, record) == job.key
    return bool(job.key) and same and folder.is_proved()


def _told(error: Any, pages: Path, job: Job) -> NotebookError:
    kind = getattr(error, "ename", "")
    reason = ": ".join(filter(None, (kind, error.evalue))) if kind else str(error)
    if kind == _TIMED_OUT and job.timeout_s:
        reason = f"not finished after {job.timeout_s:g} s (--timeout-s); its chunks are kept"
    lines = "\n".join(getattr(error, "traceback", None) or [])
    told = f"{_ANSI.sub('', reason)} (its pages: {pages})"
    return NotebookError(told, kind=kind, traceback=_ANSI.sub("", lines))
