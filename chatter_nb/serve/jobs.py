"""Jobs: long texts that go on when the server comes back, and need nobody to wait for them.

A job is a file of what was asked, `.jobs/<id>.json`, and the run's own folder. How it stands is
read off that folder: `run.json` proves what is done, kept chunks are not made again. The worker
plans it; one that ended its server twice, and no chunk came of it, is set aside.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from chatter_nb.base.disk import write_json
from chatter_nb.base.errors import Cancelled, ChatterError, OutputError
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.record import RunFolder, utc_now
from chatter_nb.runs.speech import Speech
from chatter_nb.runs.store import ChunkStore
from chatter_nb.serve.cleanup import age_s, expire, forget
from chatter_nb.serve.errors import Problem, problem_of
from chatter_nb.serve.service import Service, is_name, new_name
from chatter_nb.serve.worker import Task

log = logging.getLogger("chatter_nb.serve")

FOLDER = ".jobs"
Status = Literal["queued", "running", "done", "failed", "cancelled"]
# Not a fault of the job: no room in line, a model that does not load, a full disk. The next server
# tries again.
_PASSING = (429, 503, 507)
MAX_TRIES = 2


class _Asked(BaseModel):
    """A job's file: `error` without `ended` is why it waits, the figures how far one came.

    `tries`: how often a server began it that did not end in order, with the same chunks `kept`.
    """

    created: str
    values: dict[str, Any]
    ended: Status | None = None
    error: str | None = None
    done: int = 0
    total: int = 0
    audio_s: float = 0.0
    tries: int = 0
    kept: int = 0

    @property
    def text_chars(self) -> int:
        return len(str(self.values.get("text", "")))


@dataclass(frozen=True)
class Job:
    """A job as it stands. `done` of `total` chunks; `total` is 0 before it was begun."""

    id: str
    status: Status
    created: str
    text_chars: int
    done: int = 0
    total: int = 0
    audio_s: float = 0.0
    error: str | None = None
    files: tuple[str, ...] = ()


class Jobs:
    """The jobs of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder = service.settings.outputs / FOLDER
        self._tasks: dict[str, Task[Speech]] = {}  # those in line or in hand
        self._steps: dict[str, Progress] = {}
        # A job's file is changed by requests and by the worker: none may undo the other's change.
        self._changing = threading.Lock()

    def add(self, values: Mapping[str, Any]) -> Job:
        """Take a job. Raises for parameters that do not hold, and `Problem` 429 for too many.

        It is on disk before it is in line: what was accepted is not forgotten.
        """
        name = new_name("job")
        self._service.check_here(self._service.catalog.speech(values, name))
        self._write(name, _Asked(created=utc_now(), values=dict(values)))
        try:
            self._begin(name, values)
        except Problem:
            self._path(name).unlink(missing_ok=True)
            raise
        return self.find(name)

    def resume(self) -> int:
        """Put what an earlier server did not finish back in line; returns how many."""
        begun = 0
        for name in sorted(self._names()):
            asked = self._read(name)
            if asked is None:
                log.error("%s holds no job: it is left alone", self._path(name))
            elif self.find(name).status == "queued":
                begun += self._resumed(name, asked)
        return begun

    def _resumed(self, name: str, asked: _Asked) -> bool:
        asked = self._counted(name, asked)
        if asked.tries >= MAX_TRIES:
            told = (
                f"set aside: {asked.tries} servers ended in the middle of it, and it came no "
                f"further than {asked.kept:,} kept chunks: delete it, or ask for its text in parts"
            )
            log.error("job %s: %s", name, told)
            self._note(name, "failed", told)
            return False
        try:
            self._begin(name, asked.values, accepted=True)
        except ChatterError as error:  # a voice that is gone, another engine
            self._fail(name, error)
            return False
        return True

    def find(self, name: str) -> Job:
        """Raises `Problem` 404."""
        asked = self._read(name) if is_name(name) else None
        if asked is None:
            raise Problem(404, f"there is no job {name[:80]!r}")
        begun = self._steps.get(name)
        step = begun or asked
        record = self.folder(name).record()
        proved = record if record and record.status == "ok" else None
        chunks = len(proved.chunks) if proved else 0
        return Job(
            id=name,
            status=_status(asked.ended, proved is not None, begun is not None),
            created=asked.created,
            text_chars=asked.text_chars,
            done=chunks or step.done,
            total=chunks or step.total,
            audio_s=proved.audio_s if proved else step.audio_s,
            error=None if proved else asked.error,
            files=tuple(file.name for file in proved.files) if proved else (),
        )

    def all(self) -> list[Job]:
        """The newest first."""
        found: list[Job] = []
        for name in sorted(self._names(), reverse=True):
            with suppress(Problem):  # deleted meanwhile
                found.append(self.find(name))
        return found

    def cancel(self, name: str) -> Job:
        """Stop a job after the chunk in hand; one that has ended goes with its files.

        One that was stopped stays as long as its chunk is in hand: it still writes.
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
        return job

    def folder(self, name: str) -> RunFolder:
        return RunFolder(self._service.settings.outputs / name)

    def active(self, name: str) -> bool:
        """Whether a job is in line or in hand: such are not to expire."""
        return name in self._tasks

    def expire(self, older_than_s: float) -> None:
        """Forget jobs whose runs have gone, and remove runs; see `serve.cleanup.expire`."""
        expire(self._service, older_than_s, self.active)
        for name in list(self._names()):
            asked, old_s = self._read(name), age_s(self._path(name))
            gone = not self.active(name) and not self.folder(name).path.exists()
            if gone and asked and asked.ended and old_s is not None and old_s > older_than_s:
                self._path(name).unlink(missing_ok=True)

    def _begin(self, name: str, values: Mapping[str, Any], *, accepted: bool = False) -> None:
        params = self._service.catalog.speech(values, name)
        told = partial(self._steps.__setitem__, name)
        task = self._service.speak(
            params,
            progress=told,
            job=True,
            accepted=accepted,
            on_begin=partial(self._count, name),
        )
        self._tasks[name] = task
        task.result.add_done_callback(lambda result: self._ended(name, task))

    def _ended(self, name: str, task: Task[Speech]) -> None:
        """On the worker's thread, or where the task was cancelled."""
        try:
            if task.result.cancelled():
                return  # asked for, and noted so; or kept for the next server
            if self._service.closing:
                return self._uncount(name)
            error = task.result.exception()
            if error is None:
                self._note(name, "done")
            elif not isinstance(error, Cancelled):
                self._fail(name, error)
        finally:
            self._tasks.pop(name, None)
            self._steps.pop(name, None)

    def _fail(self, name: str, error: BaseException) -> None:
        """Note why it was not made; for good, unless it is a matter of the moment."""
        problem = problem_of(error)
        if self._service.closing:
            return
        held = isinstance(error, OutputError)  # also by an earlier server, in its last chunk
        if problem.status in _PASSING or held:
            self._note(name, None, f"{problem}; the next server tries again")
        else:
            self._note(name, "failed", str(problem))

    def _note(self, name: str, how: Status | None, error: str | None = None) -> None:
        with self._changing:
            asked = self._read(name)
            if not asked or asked.ended:
                return
            told: dict[str, Any] = {"ended": how, "error": error, "tries": 0}
            if step := self._steps.get(name):
                told |= {"done": step.done, "total": step.total, "audio_s": step.audio_s}
            try:
                self._write(name, asked.model_copy(update=told))
            except ChatterError as full:  # it will be looked at again by the next server
                log.error("job %s: %s", name, full)

    def _count(self, name: str) -> None:
        """On the worker's thread, before the text is planned: it may be the server's end."""
        with self._changing:
            if asked := self._read(name):
                asked = self._counted(name, asked)
                self._write(name, asked.model_copy(update={"tries": asked.tries + 1}))

    def _counted(self, name: str, asked: _Asked) -> _Asked:
        """With the tries since a chunk was last added to those that are kept."""
        record = self.folder(name).unfinished()
        store = ChunkStore(self._service.settings.outputs)
        kept = sum(map(store.has, record.planned_keys)) if record else 0
        tries = asked.tries if kept <= asked.kept else 0
        return asked.model_copy(update={"tries": tries, "kept": kept})

    def _uncount(self, name: str) -> None:
        """The server ends in order: that is no fault of the job."""
        with self._changing:
            asked = self._read(name)
            if asked and asked.tries and not asked.ended:
                with suppress(ChatterError):
                    self._write(name, asked.model_copy(update={"tries": 0}))

    def _names(self) -> Iterator[str]:
        return (path.stem for path in self._folder.glob("*.json") if is_name(path.stem))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read(self, name: str) -> _Asked | None:
        """None for a file that is not there, or holds no job."""
        try:
            return _Asked.model_validate_json(self._path(name).read_bytes())
        except (OSError, ValidationError):
            return None

    def _write(self, name: str, asked: _Asked) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Problem(507, f"jobs cannot be kept: {error.strerror}") from error
        write_json(self._path(name), asked.model_dump(), durable=True)


def _status(ended: Status | None, proved: bool, begun: bool) -> Status:
    """A proved run is done, whatever was noted before; but who cancelled it was told so."""
    if proved and ended != "cancelled":
        return "done"
    return ended or ("running" if begun else "queued")
