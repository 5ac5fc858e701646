"""A folder of runs as rows: what each run's own record and the batch's ledger say of it.

Reads, and decides only who is right where the two differ. Damaged files are told, never raised:
one of them must not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from pydantic import BaseModel, ValidationError

from chatter_nb.base.disk import is_folder, read_json
from chatter_nb.batch.record import LEDGER
from chatter_nb.batch.tasks import FAILED_NOTEBOOK
from chatter_nb.runs.record import NOTEBOOK, PARTIAL, RECORD, RunFolder, RunRecord
from chatter_nb.text.files import natural_key

STATUSES = ("ok", "failed", "cancelled", "running", "waiting")

_RESUMES = "under way, or killed: the same run again goes on from there"
_UNREADABLE = "run.json cannot be read: it is damaged, or of another version"
_NEVER_BEGAN = "the notebook failed before its run began; see its pages"
_GONE = "the batch recorded it as ok, but its folder holds no run.json"


class Entry(BaseModel):
    """What the ledger says of a run; unknown keys are a later version's."""

    status: str = ""
    error: str | None = None
    traceback: str | None = None
    wall_s: float | None = None
    audio_s: float | None = None
    rtf: float | None = None
    started: str | None = None
    ended: str | None = None


@dataclass(frozen=True)
class BatchRecord:
    """batch.json, as far as it can be read; `problems` says what cannot."""

    notebook: str = ""
    status: str = ""
    started: str = ""
    ended: str = ""
    entries: dict[str, Entry] | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A run. `record` is of the audio that is there, else of the last attempt; None if neither."""

    name: str
    folder: Path
    status: str
    reason: str = ""
    traceback: str = ""
    earlier: bool = False  # the audio is an earlier attempt's
    record: RunRecord | None = None
    entry: Entry | None = None

    @property
    def audio_s(self) -> float | None:
        return _length(self.record or self.entry, "audio_s")

    @property
    def wall_s(self) -> float | None:
        return _length(self.record or self.entry, "wall_s")

    @property
    def rtf(self) -> float | None:
        return _length(self.record or self.entry, "rtf")

    @property
    def started(self) -> str:
        return self.record.started if self.record else (self.entry and self.entry.started) or ""

    @property
    def notebook(self) -> Path | None:
        """The executed notebook, or the pages of one that failed; the later of the two."""
        found = [self.folder / name for name in (NOTEBOOK, FAILED_NOTEBOOK)]
        there = [path for path in found if is_there(path)]
        return max(there, key=lambda path: path.stat().st_mtime_ns, default=None)


def read_rows(folder: Path, ledger: BatchRecord) -> list[Row]:
    """A row a run, by name, 2 before 10: every folder with a record, every entry of the ledger."""
    entries = ledger.entries or {}
    folders = {path.name for path in folder.iterdir() if is_folder(path) and _is_run(path)}
    rows = [_row(folder, name, entries.get(name), ledger) for name in folders | set(entries)]
    return sorted(rows, key=lambda row: (natural_key(row.name), row.name))


def read_ledger(folder: Path) -> BatchRecord:
    """The batch's ledger; empty if there is none."""
    path = folder / LEDGER
    if not is_there(path):
        return BatchRecord()
    try:
        values = read_json(path)
        runs = values["runs"]
        entries = dict(_entries(runs))
    except (TypeError, KeyError, AttributeError):
        told = f"{LEDGER} cannot be read: runs that failed before they began are missing here"
        return BatchRecord(problems=(told,))
    bad = [name for name in runs if name not in entries]
    head = {key: str(values.get(key) or "") for key in ("notebook", "status", "started", "ended")}
    problems = (f"{LEDGER} says nothing readable of: {', '.join(bad)}",) if bad else ()
    return BatchRecord(**head, entries=entries, problems=problems)


def is_plain(name: str) -> bool:
    """Whether a name out of a file leads to nothing outside the folder it belongs to."""
    return Path(name).name == name and name not in ("", "..")


def is_there(path: Path) -> bool:
    """Whether `path` is a file; also for names that no disk can have, and folders closed to us."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def moment(iso: str | None) -> datetime | None:
    """A time as records and ledgers write it; None for nothing, or nonsense."""
    try:
        when = datetime.fromisoformat(iso or "")
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _length(told: object, name: str) -> float | None:
    """A positive number out of a file, if it is one."""
    value = getattr(told, name, None)
    return value if value and 0 < value < inf else None


def _entries(runs: dict[str, object]) -> Iterator[tuple[str, Entry]]:
    for name, values in runs.items():
        try:
            entry = Entry.model_validate(values)
        except ValidationError:
            continue
        if entry.status in STATUSES and is_plain(name):
            yield name, entry


def _is_run(path: Path) -> bool:
    names = (RECORD, PARTIAL, FAILED_NOTEBOOK)
    return not path.name.startswith(".") and any(is_there(path / name) for name in names)


def _row(parent: Path, name: str, entry: Entry | None, ledger: BatchRecord) -> Row:
    folder = RunFolder(parent / name)
    record = folder.record()
    attempt = folder.unfinished() if is_there(folder.path / PARTIAL) else record
    shown = record if record and record.status == "ok" else attempt or record
    status, reason = _own_word(folder.path, attempt or record)
    if entry and _ledger_knows_better(entry, attempt or record, ledger):
        status, reason = entry.status, entry.error or ""
        if status == "ok" and shown is None:
            status, reason = "failed", _GONE
        if status == "waiting" and entry.started and not entry.ended:
            status, reason = "running", _RESUMES
    traceback = entry.traceback if entry and entry.status == status else None
    earlier = bool(shown and shown.status == "ok" and status != "ok")
    return Row(name, folder.path, status, reason, traceback or "", earlier, shown, entry)


def _own_word(path: Path, last: RunRecord | None) -> tuple[str, str]:
    """Status and reason, by what lies in the run's folder."""
    if last is None:
        return "failed", _UNREADABLE if is_there(path / RECORD) else _NEVER_BEGAN
    return last.status, _RESUMES if last.status == "running" else last.error or ""


def _ledger_knows_better(entry: Entry, last: RunRecord | None, ledger: BatchRecord) -> bool:
    """Whether the entry is later than the folder's own record, and adds to it.

    A run that is made anew by hand is later than its batch. A notebook can fail after its run was
    ok. A run that waits has, if anything, a record of before its batch.
    """
    began = moment(last.started) if last else None
    if began is None:
        return True
    if entry.status == "waiting":
        told = moment(entry.started or ledger.started)
        return ledger.status == "running" and told is not None and began < told
    told = moment(entry.ended or entry.started)
    return entry.status != "ok" and (told is None or began <= told)
