"""A run's folder: one run at a time, begun and ended so that a killed run is known and resumed.

`run.json` is written last. While a run is in progress, `run.partial.json` holds its engine and its
drawn seed, so that a killed run resumes with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chatter_nb.base.disk import (
    PART_SUFFIX,
    check_way,
    part_path,
    remove,
    remove_old,
    write_json,
    writing,
)
from chatter_nb.base.errors import OutputError
from chatter_nb.runs.record import FileRecord, RunRecord, file_record, with_places

LOCKS = ".locks"
RECORD = "run.json"
PARTIAL = "run.partial.json"
NOTEBOOK = "notebook.ipynb"
CHAPTERS = ".chapters"  # mastered ones, until the run is ok


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
        return all(map(self.holds, record.all_files()))

    def holds(self, file: FileRecord) -> bool:
        """Whether a file is there, with the size and the hash of its record."""
        try:
            return file == file_record(self.path / file.name)
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
        return with_places(RunRecord.model_validate_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # missing, damaged, or of another version
        return None


def _settled(record: RunRecord) -> tuple[Any, ...]:
    """The values that differ between two runs which began in the same second (drawn seeds do)."""
    return record.started, record.seed, record.engine, record.params


def _take_away(path: Path) -> None:
    with writing(path):
        path.unlink(missing_ok=True)


def remove_leftovers(outputs_dir: Path, *, older_than_s: float) -> int:
    """Remove half-written files of killed runs; returns the number of bytes freed."""
    return remove_old(outputs_dir.glob(f"*/.*{PART_SUFFIX}*"), older_than_s=older_than_s)


def find_records(outputs_dir: Path) -> Iterable[tuple[Path, RunRecord]]:
    """Every readable run.json or run.partial.json under a folder of runs."""
    for name in (RECORD, PARTIAL):
        for path in sorted(outputs_dir.glob(f"**/{name}")):
            record = _read(path)
            if record:
                yield path.parent, record
