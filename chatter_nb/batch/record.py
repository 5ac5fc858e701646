"""What batches know of their runs, beside the runs: batch.json, a log, and who may write there.

Whether a run is finished is not here: its own folder proves that. This is for people, for the
gallery, and for what no run's folder can tell.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chatter_nb.base.disk import read_json, write_error, write_json
from chatter_nb.base.errors import OutputError
from chatter_nb.batch.tasks import Outcome
from chatter_nb.runs.record import LOCKS, utc_now

LEDGER = "batch.json"
LOG = "batch.log"
_OF_RUN = ("status", "error", "traceback", "wall_s", "audio_s", "rtf", "worker", "attempts")
_EVERY_S = 2.0  # a ledger of thousands of runs is not written after each


class Ledger:
    """`batch.json` of a folder: one entry a run name, whichever batch it was in."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        self._written_s = 0.0
        self._values = _read(self.path)

    @property
    def engines(self) -> dict[str, str]:
        """What `auto` was resolved to here, by kind of run ("speak", "convert")."""
        return dict(self._values["engines"])

    def entry(self, name: str) -> dict[str, Any]:
        return self._values["runs"].get(name, {})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and be its only batch, or raise `OutputError`.

        The lock goes with its process, however that ends.
        """
        folder = self.path.parent
        place = folder / LOCKS / f"{LEDGER}.lock"
        lock = FileLock(place, timeout=0)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            self._values = _read(self.path)  # another batch may have ended since
            self._write()
        except Timeout:
            raise OutputError(
                f"another batch is running in {folder}: wait for it, or choose another folder"
            ) from None
        except OSError as error:
            lock.release()
            raise OutputError(
                f"cannot write to {folder}: {error.strerror}; choose another folder (--out)"
            ) from error
        except BaseException:
            lock.release()
            raise
        try:
            yield
        finally:
            lock.release()

    def begin(self, notebook: str, engines: dict[str, str], waiting: dict[str, str]) -> None:
        """A batch starts; `waiting` are its runs to do, by name, with their keys."""
        self._values.update(
            notebook=notebook, status="running", started=utc_now(), ended=None, pid=os.getpid()
        )
        self._values["engines"] |= engines
        for name, key in waiting.items():
            self._values["runs"][name] = {"key": key, "status": "waiting"}
        self._write()
        self._log(f"batch of {len(waiting)} runs begins, {notebook}")

    def note(self, outcome: Outcome) -> None:
        """A run ended."""
        entry = {name: getattr(outcome, name) for name in _OF_RUN}
        times = {"started": outcome.started, "ended": utc_now()}
        self._values["runs"].setdefault(outcome.name, {}).update(entry | times)
        told = outcome.error.splitlines()[0] if outcome.error else f"RTF {outcome.rtf or 0:.3g}"
        self._log(f"{outcome.name} {outcome.status} {outcome.wall_s:.1f} s {told}")
        if time.monotonic() - self._written_s > _EVERY_S:
            self._write()

    def end(self, status: str) -> None:
        """The batch ends: ok, failed or cancelled."""
        self._values.update(status=status, ended=utc_now())
        self._write()
        self._log(f"batch ends, {status}")

    def _log(self, line: str) -> None:
        path = self.path.parent / LOG
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{utc_now()} {line}\n")
        except OSError as error:
            raise write_error(path, error) from error

    def _write(self) -> None:
        write_json(self.path, self._values)
        self._written_s = time.monotonic()


def _read(path: Path) -> dict[str, Any]:
    """A ledger, as far as it can be read: nothing hangs on it."""
    values = read_json(path)
    if not isinstance(values, dict) or values.get("schema") != 1:
        values = {}
    engines, runs = values.get("engines"), values.get("runs")
    return {
        **values,
        "schema": 1,
        "engines": _those(engines, lambda name: isinstance(name, str)),
        "runs": _those(runs, _is_entry),
    }


def _those(values: Any, are: Callable[[Any], bool]) -> dict[str, Any]:
    """The values that are as they should be, by name; none of what is no mapping."""
    pairs = values.items() if isinstance(values, dict) else ()
    return {name: value for name, value in pairs if are(value)}


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("error"), str | None)
