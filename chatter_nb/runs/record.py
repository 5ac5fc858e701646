"""A run's folder, and the record in it: what was made, and the hashes that prove the files.

`run.json` is written last. While a run is in progress, `run.partial.json` holds its engine and its
drawn seed, so that a killed run resumes with them.
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
from chatter_nb.runs.keys import streamed_key
from chatter_nb.verify.findings import Finding, Judgement

Status = Literal["running", "ok", "failed", "cancelled"]

LOCKS = ".locks"
RECORD = "run.json"
PARTIAL = "run.partial.json"
NOTEBOOK = "notebook.ipynb"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineRecord(_Record):
    """The engine that spoke, and why it was chosen."""

    name: str
    reason: str
    version: str
    device: str
    device_reason: str
    precision: str
    rows: int


class TakeRecord(_Record):
    """A take of a chunk that was checked. Times of its findings start with its audio, cut.

    `cuts_samples` are the spans that are left out of the take as it was made.
    """

    take: int
    key: str
    seed: int
    verdict: Judgement
    findings: tuple[Finding, ...] = ()
    cuts_samples: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


class CheckRecord(_Record):
    """How the chunks of a run were checked, and why so; a resume checks them in the same way.

    `witnesses` are their versions. The numbers count chunks: `made_again` have several takes.
    """

    level: Literal["off", "fast", "full"]
    reason: str
    asr_model: str = ""
    witnesses: dict[str, str] = {}
    checked: int = 0
    made_again: int = 0
    doubtful: int = 0


class ChunkRecord(_Record):
    """A chunk as it was made. Times are within its own output (see `OutputRecord`).

    `streamed`: who listened heard it in parts, another rendering, which is kept under a key of its
    own. `verdict` is None if it was not checked; `takes` are there if the check has something to
    say.
    """

    index: int
    key: str
    text: str
    start_s: float
    end_s: float
    pause_ms: int
    seed: int
    take: int
    take_of: str | None = None  # the key of take 0, which the parameter `takes` names
    attempts: int
    cached: bool
    split_from: int | None = None
    streamed: bool = False
    verdict: Judgement | None = None
    takes: tuple[TakeRecord, ...] = ()


class WindowRecord(_Record):
    """A window of a conversion, overlaps included. Times are within its own output."""

    index: int
    key: str
    start_s: float
    end_s: float
    cached: bool


class OutputRecord(_Record):
    """One joined signal: of the whole run, or of one file of a folder that is not merged.

    In a conversion `first_chunk` and `chunks` count windows.
    """

    name: str
    source: str
    first_chunk: int
    chunks: int
    audio_s: float
    seams_samples: tuple[int, ...]


class FileRecord(_Record):
    """Name, size and SHA-256 of a file in the run's folder, to check it later."""

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
    files: tuple[FileRecord, ...] = ()  # the audio: players, links and answers show these
    word_files: tuple[FileRecord, ...] = ()  # times of words; see `words_file`
    warnings: tuple[str, ...] = ()
    checks: CheckRecord | None = None
    planned_keys: tuple[str, ...] = ()  # of a run that is not ok: the chunks its resume will use
    stale_files: tuple[str, ...] = ()  # … and audio of earlier runs that is still in the folder
    versions: dict[str, str | None] = {}

    def chunk_keys(self) -> set[str]:
        """The keys of the stored chunks and windows that this run, or its resume, needs."""
        keys = {key for chunk in self.chunks for key in (chunk.key, chunk.take_of) if key}
        keys |= {take.key for chunk in self.chunks for take in chunk.takes}
        keys |= {streamed_key(chunk.key) for chunk in self.chunks if chunk.streamed}
        return keys | {window.key for window in self.windows} | set(self.planned_keys)

    def all_files(self) -> tuple[FileRecord, ...]:
        """Every file that the run has written, but for its record."""
        return self.files + self.word_files


class RunFolder:
    """`<outputs_dir>/<run_name>/`: one run at a time locks it, begins and ends in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stale: tuple[str, ...] = ()

    @contextmanager
    def locked(self, *, wait_s: float = 0) -> Iterator[None]:
        """Create the folder and lock it, for up to `wait_s` seconds of waiting.

        Raises `OutputError`, before any work, if another run holds the lock or if the folder cannot
        be written. The lock ends with its process. Half-written files of a killed run are removed.
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
        """The record in run.json; None if there is no valid record."""
        return _read(self.path / RECORD)

    def unfinished(self) -> RunRecord | None:
        """The record of a run to resume: killed, failed or cancelled; None if there is none."""
        partial, last = _read(self.path / PARTIAL), self.record()
        ended = last is not None and partial is not None and _settled(last) == _settled(partial)
        if partial and not (ended and partial.status == "running"):  # killed after run.json came
            return partial
        return last if last and last.status != "ok" else None

    def begin(self, record: RunRecord) -> None:
        """Write the record of a run that starts, with the earlier files that it may replace."""
        names: set[str] = set()
        for earlier in (self.record(), _read(self.path / PARTIAL)):
            if earlier:
                names.update(earlier.stale_files, (file.name for file in earlier.all_files()))
        self._stale = tuple(sorted(names))
        self._write(PARTIAL, record.model_copy(update={"stale_files": self._stale}))

    def retire(self) -> None:
        """Remove an earlier run.json, because its audio will be replaced now."""
        _take_away(self.path / RECORD)

    def end(self, record: RunRecord) -> None:
        """Write run.json. After an ok run, the audio of an earlier run is removed.

        If a run fails while the folder holds a complete run, run.json stays, and the failed run's
        record goes to run.partial.json.
        """
        if record.status != "ok":
            record = record.model_copy(update={"stale_files": self._stale})
            earlier = self.record()
            if earlier and earlier.status == "ok":
                return self._write(PARTIAL, record)
        self._write(RECORD, record)
        if record.status == "ok":
            for name in set(self._stale) - {file.name for file in record.all_files()}:
                _take_away(self.path / name)
        _take_away(self.path / PARTIAL)

    def is_proved(self) -> bool:
        """Whether run.json says ok and all its files exist, with the right sizes and hashes."""
        record = self.record()
        if not record or record.status != "ok" or not record.files:
            return False
        try:
            return all(file == file_record(self.path / file.name) for file in record.all_files())
        except (OutputError, ValueError):  # missing, or a name that no disk can have
            return False

    def stamp(self) -> int:
        """The time of the last change of run.json in nanoseconds; 0 if there is no run.json."""
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
    except (OSError, ValueError):  # missing, damaged, or of another version
        return None


def _settled(record: RunRecord) -> tuple[Any, ...]:
    """The values that differ between two runs which began in the same second (drawn seeds do)."""
    return record.started, record.seed, record.engine, record.params


def _take_away(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def file_record(path: Path, name: str = "") -> FileRecord:
    """The record of a file; `name` is its later name, if it has a temporary one now.

    Raises `OutputError` if the file cannot be read.
    """
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
    """Remove half-written files of killed runs; returns the number of bytes freed."""
    freed = 0
    for part in outputs_dir.glob(f"*/.*{PART_SUFFIX}*"):
        with suppress(OSError):  # its run ended meanwhile
            status = part.stat()
            if time.time() - status.st_mtime > older_than_s:
                part.unlink()
                freed += status.st_size
    return freed


def find_records(outputs_dir: Path) -> Iterable[tuple[Path, RunRecord]]:
    """Every readable run.json or run.partial.json under a folder of runs."""
    for name in (RECORD, PARTIAL):
        for path in sorted(outputs_dir.glob(f"**/{name}")):
            record = _read(path)
            if record:
                yield path.parent, record
