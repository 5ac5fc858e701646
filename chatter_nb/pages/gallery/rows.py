"""Reads a folder of runs into rows, from each run's own record and from the batch record.

Where the two records differ, this module decides which is right. A damaged file becomes a sentence
in its row, never an error: it must not hide the other runs. `assets/` holds the look of a row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from chatter_nb.base.disk import is_folder, is_there
from chatter_nb.base.formats import output_format_of, play_rank
from chatter_nb.batch.record import BATCH_FILE, Entry, Ledger, is_plain, moment, read_ledger
from chatter_nb.batch.tasks import FAILED_NOTEBOOK
from chatter_nb.pages.doubts import Doubt, doubts_of, is_checked
from chatter_nb.pages.gallery.peaks import PeakStore
from chatter_nb.pages.waves import Peaks
from chatter_nb.runs.folder import PARTIAL, RECORD, RunFolder
from chatter_nb.runs.record import FileRecord, RunRecord
from chatter_nb.text.files import natural_key

PAGES = {"page.html": "page", "review.html": "review", RECORD: RECORD, PARTIAL: PARTIAL}

# Folders under outputs_dir, and whose runs are in them. The gallery of all outputs leaves them out:
# the service's are shown in its page and may be thousands. Each has a gallery of its own.
APART = {"serve": "of the service", "compare": "that 05_compare speaks as samples"}

_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # a notebook's tracebacks are coloured

_RESUMES = "under way, or killed: the same run again goes on from there"
_UNREADABLE = "run.json cannot be read: it is damaged, or of another version"
_NEVER_BEGAN = f"the notebook failed before its run began: {FAILED_NOTEBOOK} says where"
_GONE = "the batch recorded it as ok, but its folder holds no run.json"


@dataclass(frozen=True)
class Link:
    """A link to a file of a run; `href` is relative to the page."""

    href: str
    label: str
    mime: str = ""


@dataclass(frozen=True)
class Player:
    """An output of a run: its files, the smallest first, and its waveform."""

    name: str
    audio_s: float | None
    files: tuple[Link, ...] = ()
    peaks: Peaks | None = None
    problem: str = ""


@dataclass(frozen=True)
class Row:
    """A run; `name` is its folder, relative to the page.

    `record` describes the audio on disk, else the last attempt; None without either.
    """

    name: str
    status: str
    reason: str
    traceback: str
    earlier: bool  # the audio is from an earlier attempt, which was ok
    record: RunRecord | None
    entry: Entry | None
    players: tuple[Player, ...]
    links: tuple[Link, ...]

    @property
    def audio_s(self) -> float | None:
        return self._positive("audio_s")

    @property
    def wall_s(self) -> float | None:
        return self._positive("wall_s")

    @property
    def rtf(self) -> float | None:
        return self._positive("rtf")

    @property
    def started(self) -> str:
        return self.record.started if self.record else (self.entry and self.entry.started) or ""

    @property
    def voice(self) -> str:
        """The voice that speaks; for a conversion its target."""
        if self.record is None:
            return ""
        name = "target" if self.record.kind == "convert" else "voice"
        return str(self.record.params.get(name) or "")

    @property
    def doubtful(self) -> int | None:
        """The number of chunks in doubt; None if no chunk was checked."""
        return len(self.doubts) if self.record and is_checked(self.record) else None

    @cached_property
    def doubts(self) -> list[Doubt]:
        return doubts_of(self.record) if self.record else []

    def _positive(self, name: str) -> float | None:
        """Return a number of the record or the entry if it is positive and finite, else None."""
        value = getattr(self.record or self.entry, name, None)
        return value if value and 0 < value < inf else None


def read_rows(folder: Path, ledger: Ledger, store: PeakStore) -> list[Row]:
    """Return a row for each folder with a record and each entry of the ledger.

    A folder inside that is no run but holds runs, such as that of a batch, adds its rows:
    "batch/crow"; not so a folder that `is_apart`. The rows are sorted by name, 2 before 10.
    """
    inner = [path for path in folder.iterdir() if _may_hold_runs(path) and not is_apart(path)]
    rows = [*_rows_in(folder, ledger, store)]
    for path in inner:
        with suppress(OSError):  # a folder that may not be looked into
            rows += _rows_in(path, read_ledger(path), store, within=f"{path.name}/")
    return sorted(rows, key=lambda row: (natural_key(row.name), row.name))


def _rows_in(folder: Path, ledger: Ledger, store: PeakStore, *, within: str = "") -> Iterator[Row]:
    names = {path.name for path in folder.iterdir() if is_folder(path) and _is_run(path)}
    for name in names | set(ledger.entries):
        yield _row(folder / name, within + name, ledger, store)


def is_apart(path: Path) -> bool:
    """Return if a folder holds runs of a program's own, which no person has asked for by name.

    A folder of that name that is a run, or holds a batch, is a person's.
    """
    return path.name in APART and not any(is_there(path / name) for name in (RECORD, BATCH_FILE))


def _may_hold_runs(path: Path) -> bool:
    return is_folder(path) and not path.name.startswith(".") and not _is_run(path)


def _is_run(path: Path) -> bool:
    names = (RECORD, PARTIAL, FAILED_NOTEBOOK)
    return not path.name.startswith(".") and any(is_there(path / name) for name in names)


def _row(path: Path, name: str, ledger: Ledger, store: PeakStore) -> Row:
    folder = RunFolder(path)
    entry = ledger.entries.get(path.name)
    record = folder.record()
    attempt = folder.unfinished() if is_there(path / PARTIAL) else record
    shown = record if record and record.status == "ok" else attempt or record
    status, reason = _status_on_disk(path, attempt or record)
    if entry and _ledger_knows_better(entry, attempt or record, ledger):
        status, reason = entry.status, entry.error or ""
        if status == "ok" and shown is None:
            status, reason = "failed", _GONE
        if status == "waiting" and entry.started and not entry.ended:
            status, reason = "running", _RESUMES
    traceback = entry.traceback if entry and entry.status == status else None
    return Row(
        name=name,
        status=status,
        reason=reason,
        traceback=_TERMINAL_CODES.sub("", traceback or ""),
        earlier=bool(shown and shown.status == "ok" and status != "ok"),
        record=shown,
        entry=entry,
        players=tuple(_players(path, name, shown, store)) if shown else (),
        links=tuple(_links(path, name)),
    )


def _status_on_disk(path: Path, last: RunRecord | None) -> tuple[str, str]:
    """Return status and reason from the files in the run's folder."""
    if last is None:
        return "failed", _UNREADABLE if is_there(path / RECORD) else _NEVER_BEGAN
    return last.status, _RESUMES if last.status == "running" else last.error or ""


def _ledger_knows_better(entry: Entry, last: RunRecord | None, ledger: Ledger) -> bool:
    """Return if the entry of the ledger is newer than the folder's own record.

    A run can be repeated by hand after its batch: then the folder is newer. A notebook can fail
    after its run was ok: then the entry is newer. A waiting run has at most a record from before.
    """
    began = moment(last.started) if last else None
    if began is None:
        return True
    if entry.status == "waiting":
        when = moment(entry.started or ledger.started)
        return ledger.status == "running" and when is not None and began < when
    when = moment(entry.ended or entry.started)
    return entry.status != "ok" and (when is None or began <= when)


def _players(folder: Path, run: str, record: RunRecord, store: PeakStore) -> Iterator[Player]:
    lengths_s = {output.name: output.audio_s for output in record.outputs}
    outputs: dict[str, list[FileRecord]] = {}
    for file in record.files:
        if output_format_of(file.name) and is_plain(file.name):
            outputs.setdefault(Path(file.name).stem, []).append(file)
    for name, files in outputs.items():
        peaks, present, problem = _look_at(folder, files, store)
        links = tuple(_audio_link(run, file) for file in present)
        yield Player(name, lengths_s.get(name), links, peaks, problem)


def _look_at(
    folder: Path, files: list[FileRecord], store: PeakStore
) -> tuple[Peaks | None, list[FileRecord], str]:
    """Return an output's waveform, its files that are there, the smallest first, and a problem."""
    present = [file for file in files if is_there(folder / file.name)]
    if not present:
        return None, [], f"{files[0].name} is not there any more"
    changed = [file for file in present if (folder / file.name).stat().st_size != file.bytes]
    whole = [file for file in present if file not in changed]
    whole.sort(key=lambda file: play_rank(file.name), reverse=True)
    peaks = store.of((folder / file.name, file.sha256) for file in whole)
    problem = f"{changed[0].name} has changed since its run" if changed else ""
    if not peaks and not problem:
        problem = f"{whole[0].name} cannot be read: it is damaged"
    return peaks, sorted(present, key=lambda file: play_rank(file.name)), problem


def _audio_link(run: str, file: FileRecord) -> Link:
    row = output_format_of(file.name)
    label = f"{Path(file.name).suffix[1:]} {_size(file.bytes)}"
    return Link(_href(run, file.name), label, row.source_type if row else "")


def _links(folder: Path, run: str) -> Iterator[Link]:
    """Return links to what a browser shows of a run: its pages and its records."""
    for name, label in PAGES.items():
        if is_there(folder / name):
            yield Link(_href(run, name), label)


def _href(run: str, name: str) -> str:
    """Return a quoted path, relative to the page; a `#`, `?` or `%` would change it."""
    parts = (*PurePosixPath(run).parts, name)
    return "/".join(quote(os.fsencode(part), safe="") for part in parts)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.0f} kB"
