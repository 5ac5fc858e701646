"""A run's folder: what is in it, and the record that proves it.

`run.json` is written last; while a run is under way `run.partial.json` holds what it settled on
(its engine, its drawn seed), so that a killed run resumes as it began.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from chatter_nb.base.disk import PART_SUFFIX, check_way, part_path, remove, write_error, write_json
from chatter_nb.base.errors import OutputError

Status = Literal["running", "ok", "failed", "cancelled"]

LOCKS = ".locks"
RECORD = "run.json"
PARTIAL = "run.partial.json"
NOTEBOOK = "notebook.ipynb"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineRecord(_Record):
    """Who spoke, and why."""

    name: str
    reason: str
    version: str
    device: str
    device_reason: str
    precision: str
    rows: int


class ChunkRecord(_Record):
    """A chunk as it was made. Times are within its own output (see `OutputRecord`)."""

    index: int
    key: str
    text: str
    start_s: float
    end_s: float
    pause_ms: int
    seed: int
    take: int
    take_of: str | None = None  # the key of its take 0, which `takes` goes by
    attempts: int
    cached: bool
    split_from: int | None = None


class WindowRecord(_Record):
    """A window of a conversion, overlaps included. Times are within its own output."""

    index: int
    key: str
    start_s: float
    end_s: float
    cached: bool


class OutputRecord(_Record):
    """One joined signal: the whole run's, or one file's of a folder that is not merged.

    `first_chunk` and `chunks` count windows where the run is a conversion.
    """

    name: str
    source: str
    first_chunk: int
    chunks: int
    audio_s: float
    seams_samples: tuple[int, ...]


class FileRecord(_Record):
    """A file in the run's folder, by which it can be checked."""

    name: str
    bytes: int
    sha256: str


class RunRecord(_Record):
    """run.json, schema 1."""

    model_config = ConfigDict(  # `schema` is a name of pydantic's own: the field has a `_`
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.rstrip("_"),
        populate_by_name=True,
    )

    schema_: Literal[1] = 1
    kind: Literal["speak", "convert"]
    status: Status
    error: str | None = None
    run_name: str
    started: str
    params: dict[str, Any]
    engine: EngineRecord
    seed: int
    sample_rate: int
    chunks: tuple[ChunkRecord, ...] = ()
    windows: tuple[WindowRecord, ...] = ()
    outputs: tuple[OutputRecord, ...] = ()
    seams_samples: tuple[int, ...] = ()
    audio_s: float = 0.0
    wall_s: float = 0.0
    rtf: float | None = None
    model_calls: int = 0
    stages_s: dict[str, float] = {}
    peak_rss_mb: float | None = None
    peak_gpu_mb: float | None = None
    files: tuple[FileRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    planned_keys: tuple[str, ...] = ()  # of a run that is not ok: the chunks its resume will use
    stale_files: tuple[str, ...] = ()  # … and audio of earlier runs that is still in the folder
    versions: dict[str, str | None] = {}

    def chunk_keys(self) -> set[str]:
        """The kept chunks that this run, or its resume, is made of."""
        made = {key for chunk in self.chunks for key in (chunk.key, chunk.take_of) if key}
        return made | {window.key for window in self.windows} | set(self.planned_keys)


class RunFolder:
    """`<outputs_dir>/<run_name>/`: made, locked, begun and ended by one run at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stale: tuple[str, ...] = ()

    @contextmanager
    def locked(self, *, wait_s: float = 0) -> Iterator[None]:
        """Make the folder and hold it alone, or raise `OutputError`: before the work, not after it.

        The lock goes with its process, however that ends; `wait_s` is how long to wait for it. What
        a killed run left half written is removed.
        """
        lock = FileLock(self.path.parent / LOCKS / f"{self.path.name}.lock", timeout=wait_s)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            Path(lock.lock_file).parent.mkdir(exist_ok=True)
            lock.acquire()
            for part in self.path.glob(f".*{PART_SUFFIX}"):
                remove(part)
            trial = part_path(self.path / "writable")
            trial.touch()
            trial.unlink()
        except Timeout:
            raise OutputError(
                f"another run is writing to {self.path}: wait for it, or choose another run_name"
            ) from None
        except OSError as error:
            raise OutputError(
                f"cannot write to {self.path}: {error.strerror}; choose another outputs_dir"
            ) from error
        try:
            check_way(self.path / RECORD)
            check_way(self.path / PARTIAL)
            yield
        finally:
            lock.release()

    def record(self) -> RunRecord | None:
        """The finished record, if there is a valid one."""
        return _read(self.path / RECORD)

    def unfinished(self) -> RunRecord | None:
        """The record of a run to resume: killed in mid-run, failed or cancelled."""
        partial, last = _read(self.path / PARTIAL), self.record()
        ended = last is not None and partial is not None and _settled(last) == _settled(partial)
        if partial and not (ended and partial.status == "running"):  # killed after run.json came
            return partial
        return last if last and last.status != "ok" else None

    def begin(self, record: RunRecord) -> None:
        """Note what a run settled on before it starts, and which earlier audio it may replace."""
        earlier = [found for found in (self.record(), _read(self.path / PARTIAL)) if found]
        names = {file.name for found in earlier for file in found.files}
        names.update(name for found in earlier for name in found.stale_files)
        self._stale = tuple(sorted(names))
        self._write(PARTIAL, record.model_copy(update={"stale_files": self._stale}))

    def retire(self) -> None:
        """Take an earlier run.json away: from here on, it would prove audio that is replaced."""
        _take_away(self.path / RECORD)

    def end(self, record: RunRecord) -> None:
        """Write run.json. After an ok run, audio that an earlier one left here is removed.

        A run that ends badly over a complete one leaves that as it was, proof and all, and says
        how it ended in run.partial.json.
        """
        if record.status != "ok":
            record = record.model_copy(update={"stale_files": self._stale})
            earlier = self.record()
            if earlier and earlier.status == "ok":
                return self._write(PARTIAL, record)
        self._write(RECORD, record)
        if record.status == "ok":
            for name in set(self._stale) - {file.name for file in record.files}:
                _take_away(self.path / name)
        _take_away(self.path / PARTIAL)

    def is_proved(self) -> bool:
        """Whether run.json says ok and every file of it is there, with its size and hash."""
        record = self.record()
        if not record or record.status != "ok" or not record.files:
            return False
        try:
            return record.files == tuple(file_record(self.path / f.name) for f in record.files)
        except (OutputError, ValueError):  # not there, or no name that a disk can have
            return False

    def stamp(self) -> int:
        """Changes whenever run.json is written; 0 without one."""
        try:
            return (self.path / RECORD).stat().st_mtime_ns
        except OSError:
            return 0

    def _write(self, name: str, record: RunRecord) -> None:
        values = record.model_dump(mode="json", by_alias=True)
        write_json(self.path / name, values, durable=name == RECORD)


def _read(path: Path) -> RunRecord | None:
    try:
        return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or not (any more) a record of ours
        return None


def _settled(record: RunRecord) -> tuple[Any, ...]:
    """What tells runs apart that began in one second: among all else, a seed that was drawn."""
    return record.started, record.seed, record.engine, record.params


def _take_away(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def file_record(path: Path, name: str = "") -> FileRecord:
    """A file's name (or the one that it will have), size and SHA-256. Raises `OutputError`."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
    except OSError as error:
        raise OutputError(f"cannot read {path} back: {error.strerror}") from error
    return FileRecord(name=name or path.name, bytes=size, sha256=sha256)


def utc_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def remove_leftovers(outputs_dir: Path, *, older_than_s: float) -> int:
    """Remove what killed runs left half written in their folders; returns the bytes freed."""
    freed = 0
    for part in outputs_dir.glob(f"*/.*{PART_SUFFIX}*"):
        with suppress(OSError):  # its run ended meanwhile
            about = part.stat()
            if time.time() - about.st_mtime > older_than_s:
                part.unlink()
                freed += about.st_size
    return freed


def find_records(outputs_dir: Path) -> Iterable[tuple[Path, RunRecord]]:
    """Every readable run.json or run.partial.json under a folder of runs."""
    for name in (RECORD, PARTIAL):
        for path in sorted(outputs_dir.glob(f"**/{name}")):
            record = _read(path)
            if record:
                yield path.parent, record
