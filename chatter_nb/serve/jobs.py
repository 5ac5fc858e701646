"""Jobs: runs of long texts that nobody waits for, and that go on after a restart of the server.

A job is a file of its parameters, `.jobs/<id>.json`, and the folder of its run. The state of a job
is read from that folder: `run.json` proves a finished run, and kept chunks are not made again. A
job is set aside where two servers ended in the middle of it and no chunk was kept in between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from chatter_nb.base.disk import write_json
from chatter_nb.base.errors import Cancelled, ChatterError, OutputError
from chatter_nb.engines.registry import entry
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.outline import language_notes
from chatter_nb.runs.record import utc_now
from chatter_nb.runs.resume import finished, kept_chunks
from chatter_nb.runs.speech import Speech
from chatter_nb.runs.store import ChunkStore
from chatter_nb.serve.errors import Problem, log, problem_of
from chatter_nb.serve.offers import NO_UPLOADS
from chatter_nb.serve.outputs import (
    age_s,
    drop_sources,
    expire,
    forget,
    is_name,
    keep_all,
    new_name,
)
from chatter_nb.serve.responses import check_source
from chatter_nb.serve.service import Service
from chatter_nb.serve.worker import Task

FOLDER = ".jobs"
Status = Literal["queued", "running", "done", "failed", "cancelled"]
# Not a fault of the job: no room in line, a model that does not load, a full disk. The next server
# tries again.
_PASSING = (429, 503, 507)
MAX_TRIES = 2


class _JobRecord(BaseModel):
    """The file of a job. `values` are the parameters of the request, `uploads` its files by field.

    `error` without `ended` says why the job waits. `done`, `total` and `audio_s` are the progress
    of the last try. `tries` counts the servers that began the job and did not end in order, since
    the number of chunks in the store last grew; `kept` is that number.
    """

    created: str
    values: dict[str, Any]
    uploads: dict[str, Path] = {}
    text_chars: int = 0
    notes: list[str] = []
    ended: Status | None = None
    error: str | None = None
    done: int = 0
    total: int = 0
    audio_s: float = 0.0
    tries: int = 0
    kept: int = 0


class JobAnswer(BaseModel):
    """A job as it stands: `done` of `total` chunks are finished, `audio_s` seconds of audio."""

    id: str
    status: str
    created: str
    text_chars: int
    done: int
    total: int  # 0 before it was begun
    audio_s: float
    error: str | None
    notes: list[str]  # on the text's language; once it is done, all notes of the run
    files: list[str]
    url: str


class Jobs:
    """The jobs of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder = service.settings.outputs / FOLDER
        self._tasks: dict[str, Task[Speech]] = {}  # those in line or in hand
        self._steps: dict[str, Progress] = {}
        # Requests and the worker change a job's file: the lock keeps each change whole.
        self._changing = threading.Lock()
        for folder in self._folder.glob("*/"):  # of a server that was killed
            if not self._path(folder.name).exists():
                rmtree(folder, ignore_errors=True)

    def add(self, values: dict[str, Any], uploads: Mapping[str, Any] = NO_UPLOADS) -> JobAnswer:
        """Accept a job: on disk before it is in line. Raises `InputError`, or `Problem` 429."""
        name, catalog = new_name("job"), self._service.catalog
        limits = self._service.settings.limits
        try:
            folder = self._folder / name
            paths = keep_all(uploads, folder, self.folder(name).path, limits)
            params = catalog.speech(values, name, paths)
            catalog.check_here(params)
            text = check_source(params, limits, is_job=True)
            catalog.check_marks(params, text)
            notes = language_notes(text, params, entry(params.engine))
            about = {"created": utc_now(), "values": values, "text_chars": len(text)}
            self._write(name, _JobRecord(uploads=paths, notes=notes, **about))
            self._begin(name, params)
        except BaseException:
            self._path(name).unlink(missing_ok=True)
            rmtree(self._folder / name, ignore_errors=True)
            drop_sources(self.folder(name).path)
            raise
        return self.find(name)

    def resume(self) -> int:
        """Put the unfinished jobs of an earlier server back in line; returns how many."""
        begun = 0
        for name in sorted(self._names()):
            record = self._read(name)
            if record is None:
                log.error("%s holds no job: it is left alone", self._path(name))
            elif self.find(name).status == "queued":
                begun += self._resume(name, record)
        return begun

    def _resume(self, name: str, record: _JobRecord) -> bool:
        record = self._counted(name, record)
        if record.tries >= MAX_TRIES:
            reason = (
                f"set aside: {record.tries} servers ended in the middle of it, and it came no "
                f"further than {record.kept:,} kept chunks: delete it, or ask for its text in parts"
            )
            log.error("job %s: %s", name, reason)
            self._note(name, "failed", reason)
            return False
        try:
            params = self._service.catalog.speech(record.values, name, record.uploads)
            self._begin(name, params, accepted=True)
        except ChatterError as error:  # a voice that is gone, another engine
            self._fail(name, error)
            return False
        return True

    def find(self, name: str) -> JobAnswer:
        """A job by its name. Raises `Problem` 404."""
        record = self._read(name) if is_name(name) else None
        if record is None:
            raise Problem(404, f"there is no job {name[:80]!r}")
        step = self._steps.get(name)
        progress = step or record
        run = finished(self.folder(name))
        chunks = len(run.chunks) if run else 0
        # A finished run is done, but a cancelled job stays cancelled: the client was told so.
        is_done = run and record.ended != "cancelled"
        return JobAnswer(
            id=name,
            status="done" if is_done else record.ended or ("running" if step else "queued"),
            created=record.created,
            text_chars=record.text_chars or len(str(record.values.get("text", ""))),
            done=chunks or progress.done,
            total=chunks or progress.total,
            audio_s=run.audio_s if run else progress.audio_s,
            error=None if run else record.error,
            notes=list(run.warnings) if run else record.notes,
            files=[file.name for file in run.handed_over()] if run else [],
            url=f"/api/v1/jobs/{name}",
        )

    def all(self) -> list[JobAnswer]:
        """All jobs, the newest first."""
        jobs: list[JobAnswer] = []
        for name in sorted(self._names(), reverse=True):
            with suppress(Problem):  # deleted meanwhile
                jobs.append(self.find(name))
        return jobs

    def cancel(self, name: str) -> JobAnswer:
        """Stop a job after the chunk in hand; delete a job that has ended, and its files.

        A cancelled job stays as long as its chunk is in hand: the chunk still writes files.
        """
        job = self.find(name)
        if job.status in ("queued", "running"):
            self._note(name, "cancelled")
            if task := self._tasks.get(name):
                task.cancel()
            return self.find(name)
        if job.status == "cancelled" and self.active(name):
            return job
        forget(self._service.settings.outputs, name)
        self._path(name).unlink(missing_ok=True)
        rmtree(self._folder / name, ignore_errors=True)
        return job

    def folder(self, name: str) -> RunFolder:
        """The folder of a job's run."""
        return RunFolder(self._service.settings.outputs / name)

    def active(self, name: str) -> bool:
        """Whether a job is in line or in hand; such a job must not expire."""
        return name in self._tasks

    def expire(self, older_than_s: float) -> None:
        """Remove old runs (see `serve.outputs.expire`), and old jobs whose runs are gone."""
        expire(self._service.settings, older_than_s, self.active)
        for name in list(self._names()):
            record, old_s = self._read(name), age_s(self._path(name))
            gone = not self.active(name) and not self.folder(name).path.exists()
            if gone and record and record.ended and old_s is not None and old_s > older_than_s:
                self._path(name).unlink(missing_ok=True)

    def _begin(self, name: str, params: SpeakParams, *, accepted: bool = False) -> None:
        task = self._service.submit(
            params,
            on_progress=partial(self._steps.__setitem__, name),
            job=True,
            accepted=accepted,
            # On the worker's thread before the text is planned: planning may end the server.
            on_begin=lambda: self._change(name, lambda job: self._counted(name, job, more=1)),
        )
        self._tasks[name] = task
        task.result.add_done_callback(lambda result: self._on_end(name, task))

    def _on_end(self, name: str, task: Task[Speech]) -> None:
        """Runs on the worker's thread, or on the thread that cancelled the task."""
        try:
            if task.result.cancelled():
                return  # by a request, and noted; or kept for the next server
            error = task.result.exception()
            if self._service.closing:  # the server ends in order: no fault of the job
                with suppress(ChatterError):
                    self._change(name, lambda record: record.model_copy(update={"tries": 0}))
            elif error is None:
                self._note(name, "done")
            elif not isinstance(error, Cancelled):
                self._fail(name, error)
        finally:
            self._tasks.pop(name, None)
            self._steps.pop(name, None)

    def _fail(self, name: str, error: BaseException) -> None:
        """Note the error. The job has failed, unless the next server may succeed."""
        problem = problem_of(error)
        if self._service.closing:
            return
        held = isinstance(error, OutputError)  # also by an earlier server, in its last chunk
        if problem.status in _PASSING or held:
            self._note(name, None, f"{problem}; the next server tries again")
        else:
            self._note(name, "failed", str(problem))

    def _note(self, name: str, status: Status | None, error: str | None = None) -> None:
        changes: dict[str, Any] = {"ended": status, "error": error, "tries": 0}
        if step := self._steps.get(name):
            changes |= {"done": step.done, "total": step.total, "audio_s": step.audio_s}
        try:
            self._change(name, lambda record: record.model_copy(update=changes))
        except ChatterError as full:  # the next server looks at the job again
            log.error("job %s: %s", name, full)
        if status:
            rmtree(self._folder / name, ignore_errors=True)

    def _counted(self, name: str, record: _JobRecord, *, more: int = 0) -> _JobRecord:
        """The record with the chunks kept by now, and the tries since their number last grew."""
        kept = kept_chunks(self.folder(name), ChunkStore(self._service.settings.outputs))
        tries = record.tries if kept <= record.kept else 0
        return record.model_copy(update={"tries": tries + more, "kept": kept})

    def _change(self, name: str, change: Callable[[_JobRecord], _JobRecord]) -> None:
        """Change the file of a job that has not ended."""
        with self._changing:
            record = self._read(name)
            if record and not record.ended:
                self._write(name, change(record))

    def _names(self) -> Iterator[str]:
        return (path.stem for path in self._folder.glob("*.json") if is_name(path.stem))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read(self, name: str) -> _JobRecord | None:
        """None for a file that is missing, or holds no job."""
        try:
            return _JobRecord.model_validate_json(self._path(name).read_bytes())
        except (OSError, ValidationError):
            return None

    def _write(self, name: str, record: _JobRecord) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Problem(507, f"jobs cannot be kept: {error.strerror}") from error
        write_json(self._path(name), record.model_dump(mode="json"), durable=True)
