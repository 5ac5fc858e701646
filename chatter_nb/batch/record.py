"""The record of the batches of a folder: `batch.json`, `batch.log`, and the lock of the folder.

The record does not decide whether a run is finished: the run's own folder proves that. The record
is for people, for the gallery, and for facts that no run's folder holds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from chatter_nb.base.disk import is_there, read_json, write_json, writing
from chatter_nb.base.errors import OutputError
from chatter_nb.batch.tasks import Outcome
from chatter_nb.runs.folder import LOCKS
from chatter_nb.runs.record import utc_now

BATCH_FILE = "batch.json"
LOG = "batch.log"
STATUSES = ("ok", "failed", "cancelled", "running", "waiting")
_COPIED = ("status", "error", "traceback", "wall_s", "audio_s", "rtf", "worker", "attempts")
_EVERY_S = 2.0  # a record of thousands of runs is not written after each


class BatchRecord:
    """`batch.json` of a folder: one entry for each run name, whichever batch the run was in."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / BATCH_FILE
        self._written_s = 0.0
        self._values = _read(self.path)

    @property
    def engines(self) -> dict[str, str]:
        """The engine that `auto` stands for in this folder, by kind of run ("speak", "convert")."""
        return dict(self._values["engines"])

    def entry(self, name: str) -> dict[str, Any]:
        """The entry of a run; empty if there is none."""
        return self._values["runs"].get(name, {})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and hold its lock while the context lasts.

        The system releases the lock when the process ends, also when it is killed. Raises
        `OutputError` if another batch holds the lock, or if the folder cannot be written.
        """
        folder = self.path.parent
        lock = FileLock(folder / LOCKS / f"{BATCH_FILE}.lock", timeout=0)
        with ExitStack() as stack:
            try:
                (folder / LOCKS).mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock.acquire())
                self._values = _read(self.path)  # another batch may have ended since
                self._write()
            except Timeout:
                raise OutputError(
                    f"another batch is running in {folder}: wait for it, or choose another folder"
                ) from None
            except OSError as error:
                raise OutputError(
                    f"cannot write to {folder}: {error.strerror}; choose another folder (--out)"
                ) from error
            yield

    def begin(self, notebook: str, engines: dict[str, str], waiting: dict[str, str]) -> None:
        """Note the start of a batch; `waiting` maps the names of its runs to their keys."""
        self._values.update(
            notebook=notebook, status="running", started=utc_now(), ended=None, pid=os.getpid()
        )
        self._values["engines"] |= engines
        for name, key in waiting.items():
            self._values["runs"][name] = {"key": key, "status": "waiting"}
        self._write()
        self._log(f"batch of {len(waiting)} runs begins, {notebook}")

    def note(self, outcome: Outcome) -> None:
        """Note the end of a run."""
        entry = self._values["runs"].setdefault(outcome.name, {})
        entry.update({name: getattr(outcome, name) for name in _COPIED})
        entry.update(started=outcome.started, ended=utc_now())
        detail = outcome.error.splitlines()[0] if outcome.error else f"RTF {outcome.rtf or 0:.3g}"
        self._log(f"{outcome.name} {outcome.status} {outcome.wall_s:.1f} s {detail}")
        if time.monotonic() - self._written_s > _EVERY_S:
            self._write()

    def end(self, status: str) -> None:
        """Note the end of the batch: ok, failed or cancelled."""
        self._values.update(status=status, ended=utc_now())
        self._write()
        self._log(f"batch ends, {status}")

    def _log(self, line: str) -> None:
        path = self.path.parent / LOG
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{utc_now()} {line}\n")

    def _write(self) -> None:
        write_json(self.path, self._values)
        self._written_s = time.monotonic()


def _read(path: Path) -> dict[str, Any]:
    """The values of a record, without those that cannot be used: no batch depends on them."""
    values = read_json(path)
    if not isinstance(values, dict) or values.get("schema") != 1:
        values = {}
    engines, entries = values.get("engines"), read_ledger(path.parent).entries
    engines = engines if isinstance(engines, dict) else {}
    return {
        **values,
        "schema": 1,
        "engines": {kind: name for kind, name in engines.items() if isinstance(name, str)},
        "runs": {name: entry.model_dump(exclude_unset=True) for name, entry in entries.items()},
    }


class Entry(BaseModel, extra="allow"):
    """A run's entry in the batch record. Unknown keys are kept: a later version wrote them."""

    status: str = ""
    error: str | None = None
    traceback: str | None = None
    wall_s: float | None = None
    audio_s: float | None = None
    rtf: float | None = None
    started: str | None = None
    ended: str | None = None


@dataclass(frozen=True)
class Ledger:
    """The readable part of `batch.json`; `problems` are sentences about the rest."""

    notebook: str = ""
    status: str = ""
    started: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_ledger(folder: Path) -> Ledger:
    """Read `batch.json`; the result is empty if there is no such file."""
    path = folder / BATCH_FILE
    if not is_there(path):
        return Ledger()
    try:
        values = read_json(path)
        runs = values["runs"]
        entries = dict(_entries(runs))
    except (TypeError, KeyError, AttributeError):
        problem = f"{BATCH_FILE} cannot be read: runs that never began are missing here"
        return Ledger(problems=(problem,))
    unreadable = [name for name in runs if name not in entries]
    head = {key: str(values.get(key) or "") for key in ("notebook", "status", "started")}
    problem = f"{BATCH_FILE} says nothing readable of: {', '.join(unreadable)}"
    return Ledger(**head, entries=entries, problems=(problem,) if unreadable else ())


def moment(iso: str | None) -> datetime | None:
    """Parse a time of a record; None for an empty or wrong text."""
    try:
        when = datetime.fromisoformat(iso or "")
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def is_plain(name: str) -> bool:
    """Return if a name that was read from a file stays inside its folder."""
    return Path(name).name == name and name not in ("", "..")


def _entries(runs: dict[str, object]) -> Iterator[tuple[str, Entry]]:
    for name, values in runs.items():
        try:
            entry = Entry.model_validate(values)
        except ValidationError:
            continue
        if entry.status in STATUSES and is_plain(name):
            yield name, entry
