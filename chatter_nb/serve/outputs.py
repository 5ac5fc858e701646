"""The outputs folder of a server: names of runs, look-up of a run, and removal of old files."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePath

from starlette.datastructures import UploadFile

from chatter_nb.base.errors import InputError, OutputError, shown
from chatter_nb.engines.voices import NAME
from chatter_nb.pages.run_players import SOURCES
from chatter_nb.runs.checking import REPORTS
from chatter_nb.runs.folder import LOCKS, RECORD, RunFolder
from chatter_nb.runs.store import ChunkStore
from chatter_nb.serve.bodies import LEXICON, UPLOADED
from chatter_nb.serve.errors import Problem, log
from chatter_nb.serve.settings import Limits, Settings
from chatter_nb.serve.uploads import INCOMING, keep_upload
from chatter_nb.verify.kept import KeptReports

UPLOADS = ".uploads"
PAGE_UPLOADS = "page_uploads"  # Gradio serves nothing out of hidden folders


def new_name(kind: str) -> str:
    """A name for a run of this kind (tts, vc or job), unique and hard to guess."""
    return f"{kind}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(8)}"


def is_name(name: str) -> bool:
    """Whether `new_name` may have made this name."""
    kind, _, rest = name.partition("-")
    return kind in ("tts", "vc", "job") and bool(NAME.fullmatch(name)) and len(rest) == 32


def find_run(folder: Path, name: str) -> RunFolder:
    """A run's folder by its name. Raises `Problem` 404."""
    if not is_name(name) or not (folder / name / RECORD).is_file():
        raise Problem(404, f"there is no run {name[:80]!r}")
    return RunFolder(folder / name)


def keep(part: str, upload: UploadFile, folder: Path, limits: Limits) -> Path:
    """Keep an upload of the field `part`; see `keep_upload`. Reading a document checks it."""
    name = PurePath(upload.filename or "")
    suffix = name.suffix.lower() if part in UPLOADED else ""
    noun, suffixes = UPLOADED.get(part, ("", ("",)))
    if suffix not in suffixes:
        known = ", ".join(suffixes)
        raise InputError(f"{part}: {shown(name.name)} does not end as {noun} does: {known}")
    about = {"longest_s": limits.source_s if part == "source" else limits.voice_s}
    return keep_upload(upload.file, folder, part=part, name=name.stem, suffix=suffix, **about)


def keep_all(
    uploads: Mapping[str, UploadFile], folder: Path, run: Path, limits: Limits
) -> dict[str, Path]:
    """Keep the uploads of a request: in `folder`, but a lexicon with its `run`, for its edits."""
    places = {part: run / SOURCES if part == LEXICON else folder for part in uploads}
    return {part: keep(part, file, places[part], limits) for part, file in uploads.items()}


def drop_sources(run: Path) -> None:
    """Remove the uploads that lie with a run, unless the run was made."""
    if not (run / RECORD).is_file():
        shutil.rmtree(run / SOURCES, ignore_errors=True)
        with suppress(OSError):  # it is empty where nothing was made
            run.rmdir()


def expire(settings: Settings, older_than_s: float, keep: Callable[[str], bool]) -> int:
    """Remove old runs, unless `keep(name)`, and old chunks; returns how many runs."""
    outputs, removed = settings.outputs, 0
    for run in outputs.iterdir():
        if is_name(run.name) and not keep(run.name) and _is_old(settings, run, older_than_s):
            forget(outputs, run.name)
            removed += 1
    try:
        ChunkStore(outputs).prune(older_than_s=older_than_s)
        KeptReports(outputs / REPORTS).prune(older_than_s=older_than_s)
    except OutputError as error:
        log.error("old chunks stay: %s", error)
    return removed


def tidy(settings: Settings) -> None:
    """Remove recordings that a killed server, or a page that was closed, left behind."""
    outputs = settings.outputs
    for folder in (outputs / UPLOADS, outputs / PAGE_UPLOADS, settings.voices / INCOMING):
        for path in folder.rglob("*"):
            old_s = age_s(path) if path.is_file() else None
            if old_s is not None and old_s > settings.limits.request_timeout_s:
                path.unlink(missing_ok=True)


def forget(outputs: Path, run: str) -> None:
    """Remove a run's files."""
    shutil.rmtree(outputs / run, ignore_errors=True)
    for lock in (f"{run}.lock", f"{run}.edits.lock"):
        (outputs / LOCKS / lock).unlink(missing_ok=True)


def age_s(path: Path) -> float | None:
    """Seconds since a file or a folder was last written; None where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None


def _is_old(settings: Settings, run: Path, older_than_s: float) -> bool:
    """By the age of its record. A run without a record is in hand, or a killed server left it."""
    finished_s = age_s(run / RECORD)
    if finished_s is not None:
        return finished_s > older_than_s
    begun_s = age_s(run)
    at_least_s = max(older_than_s, settings.limits.request_timeout_s)
    return begun_s is not None and begun_s > at_least_s
