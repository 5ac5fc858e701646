"""What is removed in time: old runs and chunks, and recordings that nobody needs any more."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from chatter_nb.base.errors import OutputError
from chatter_nb.runs.record import LOCKS, RECORD
from chatter_nb.runs.store import ChunkStore
from chatter_nb.serve.service import PAGE_UPLOADS, UPLOADS, Service, is_name
from chatter_nb.serve.uploads import INCOMING

log = logging.getLogger("chatter_nb.serve")


def expire(service: Service, older_than_s: float, keep: Callable[[str], bool]) -> int:
    """Remove runs and kept chunks last written so long ago, but for those to `keep` by name."""
    outputs, removed = service.settings.outputs, 0
    for run in outputs.iterdir():
        if is_name(run.name) and not keep(run.name) and _is_old(service, run, older_than_s):
            forget(outputs, run.name)
            removed += 1
    try:
        ChunkStore(outputs).prune(older_than_s=older_than_s)
    except OutputError as error:
        log.error("old chunks stay: %s", error)
    return removed


def tidy(service: Service) -> None:
    """Remove recordings that a killed server, or a page that was closed, left behind."""
    outputs, voices = service.settings.outputs, service.catalog.library.folder
    for folder in (outputs / UPLOADS, outputs / PAGE_UPLOADS, voices / INCOMING):
        for path in folder.rglob("*"):
            left_s = age_s(path) if path.is_file() else None
            if left_s is not None and left_s > service.settings.limits.request_timeout_s:
                path.unlink(missing_ok=True)


def forget(outputs: Path, run: str) -> None:
    """Remove a run's files."""
    shutil.rmtree(outputs / run, ignore_errors=True)
    (outputs / LOCKS / f"{run}.lock").unlink(missing_ok=True)


def age_s(path: Path) -> float | None:
    """Seconds since a file or a folder was last written; None where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None


def _is_old(service: Service, run: Path, older_than_s: float) -> bool:
    """By its record; one without is in hand, or what a killed server left."""
    proved_s = age_s(run / RECORD)
    if proved_s is not None:
        return proved_s > older_than_s
    begun_s = age_s(run)
    at_least_s = max(older_than_s, service.settings.limits.request_timeout_s)
    return begun_s is not None and begun_s > at_least_s
