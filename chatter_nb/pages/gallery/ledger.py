"""Reads `batch.json`, the record of a batch, as far as it can be read; a damaged part is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from chatter_nb.base.disk import read_json
from chatter_nb.batch.record import BATCH_FILE

STATUSES = ("ok", "failed", "cancelled", "running", "waiting")


class Entry(BaseModel):
    """A run's entry in the batch record. Unknown keys are ignored: a later version wrote them."""

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
    """The readable part of `batch.json`; `problems` are sentences about the rest."""

    notebook: str = ""
    status: str = ""
    started: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_ledger(folder: Path) -> BatchRecord:
    """Read `batch.json`; the result is empty if there is no such file."""
    path = folder / BATCH_FILE
    if not is_file(path):
        return BatchRecord()
    try:
        values = read_json(path)
        runs = values["runs"]
        entries = dict(_entries(runs))
    except (TypeError, KeyError, AttributeError):
        problem = f"{BATCH_FILE} cannot be read: runs that never began are missing here"
        return BatchRecord(problems=(problem,))
    unreadable = [name for name in runs if name not in entries]
    head = {key: str(values.get(key) or "") for key in ("notebook", "status", "started")}
    problem = f"{BATCH_FILE} says nothing readable of: {', '.join(unreadable)}"
    return BatchRecord(**head, entries=entries, problems=(problem,) if unreadable else ())


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


def is_file(path: Path) -> bool:
    """Return if `path` is a file; False for impossible names and for folders without permission."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _entries(runs: dict[str, object]) -> Iterator[tuple[str, Entry]]:
    for name, values in runs.items():
        try:
            entry = Entry.model_validate(values)
        except ValidationError:
            continue
        if entry.status in STATUSES and is_plain(name):
            yield name, entry
