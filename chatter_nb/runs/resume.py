"""The resume rule: whether a run is done, unfinished or changed, and what is used again.

A chunk or window is used again if its key is in the store (`runs.keys`). An unfinished run of the
same request resumes with its engine and its drawn seed, so that its chunks have the same keys. A
whole run is used again if its files match run.json, and if its executed notebook holds the key that
the same run would have now.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Literal

from chatter_nb.base.disk import read_json, write_json
from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import OUTPUT_FORMATS
from chatter_nb.engines.models import EngineChoice, pick_engine
from chatter_nb.engines.registry import entry
from chatter_nb.params.runs import AnyParams
from chatter_nb.runs.folder import NOTEBOOK, RunFolder
from chatter_nb.runs.record import RunRecord
from chatter_nb.runs.store import ChunkStore

State = Literal["done", "to do", "changed"]

MARK = "chatter_nb"  # the name of the mark in an executed notebook's metadata
_RESUMED = "the run to resume had it: "


def engine_and_seed(params: AnyParams, folder: RunFolder) -> tuple[EngineChoice, int]:
    """The engine and the seed of the unfinished run of the same request, else new ones."""
    unfinished = resumed(params, folder)
    if unfinished is None:
        seed = draw_seed() if params.seed < 0 else params.seed
        return pick_engine(params.engine, params.kind), seed
    if params.engine != "auto":
        return pick_engine(params.engine, params.kind), unfinished.seed
    name = unfinished.engine.name
    reason = _RESUMED + unfinished.engine.reason.removeprefix(_RESUMED)
    return EngineChoice(name, reason, entry(name, params.kind)), unfinished.seed


def resumed(params: AnyParams, folder: RunFolder) -> RunRecord | None:
    """The record of the unfinished run of the same request; None if there is none.

    A request is the same if source, `engine` and `seed` are the same.
    """
    unfinished = folder.unfinished()
    same = (*params.source_fields, "engine", "seed")
    if unfinished is None or any(
        unfinished.params.get(name) != getattr(params, name) for name in same
    ):
        return None
    return unfinished


def draw_seed() -> int:
    """A seed from the system's random source; no generator of this process is used."""
    return secrets.randbelow(2**31)


def engine_of_auto(record: RunRecord | None) -> str | None:
    """The engine that `auto` became in a run; None without a record or without `auto`."""
    return record.engine.name if record and record.params.get("engine") == "auto" else None


def state_of(folder: RunFolder, key: str, failure: str | None = None) -> tuple[State, str]:
    """The state of a run with this key, and the reason; `failure` is its last known error."""
    record = folder.record()
    unfinished = None if record and record.status == "ok" else folder.unfinished()
    if unfinished:
        reason = unfinished.error or "it was stopped"
        return "to do", f"{reason.splitlines()[0]}; it resumes"
    earlier_key = key_of_notebook(folder.path, record) if record else None
    if earlier_key is None:
        return "to do", f"failed: {failure.splitlines()[0]}" if failure else "new"
    if earlier_key != key:
        return "changed", "notebook, parameters, texts or model are not what they were"
    if not folder.is_proved():
        return "to do", "its files are not what run.json says"
    return "done", ""


def is_done(folder: RunFolder, key: str) -> bool:
    """Whether a run with this key is finished, and its files match run.json."""
    record = folder.record()
    same = record is not None and key_of_notebook(folder.path, record) == key
    return bool(key) and same and folder.is_proved()


def mark_of(record: RunRecord, key: str) -> dict[str, Any]:
    """The mark in an executed notebook's metadata, by which `key_of_notebook` knows its run."""
    return {"key": key, "run": _run_of(record)}


def carry_mark(folder: Path, before: RunRecord, after: RunRecord) -> None:
    """Make the executed notebook of a run that of its revision: a batch finds it done."""
    key = key_of_notebook(folder, before)
    if key is not None:
        values = read_json(folder / NOTEBOOK)
        values["metadata"][MARK] = mark_of(after, key)
        write_json(folder / NOTEBOOK, values)


def key_of_notebook(folder: Path, record: RunRecord) -> str | None:
    """The key of the run whose executed notebook lies in a folder.

    None if there is no such notebook, or if `record` is of another run.
    """
    values = read_json(folder / NOTEBOOK)
    try:
        mark = values["metadata"][MARK]
        return str(mark["key"]) if mark["run"] == _run_of(record) else None
    except (KeyError, TypeError):  # not from a batch, or damaged
        return None


def _run_of(record: RunRecord) -> list[str]:
    return [record.started, *(file.sha256 for file in record.files)]


def finished(folder: RunFolder) -> RunRecord | None:
    """The record of a run that ended well."""
    record = folder.record()
    return record if record and record.status == "ok" else None


def with_kept_files(
    record: RunRecord, folder: RunFolder, earlier: RunRecord | None, params: AnyParams
) -> RunRecord:
    """The record of an ok run, and in it the files of the earlier run that hold the same audio.

    They are in formats that this run was not asked for, and stay if all else was the same. A file
    that has changed since is not among them. For each output the formats that were asked for come
    first, then the others in the order of the table of formats; last a file of several outputs.
    """
    if earlier is None or not _sounds_alike(earlier, record, params):
        return record
    names = {file.name for file in record.files}
    kept = [f for f in earlier.files if f.name not in names and folder.holds(f)]
    suffixes = [row.suffix for row in OUTPUT_FORMATS.values()]
    kept.sort(key=lambda file: suffixes.index(Path(file.name).suffix))
    order = {output.name: at for at, output in enumerate(record.outputs)}
    files = sorted([*record.files, *kept], key=lambda f: order.get(Path(f.name).stem, len(order)))
    return record.model_copy(update={"files": tuple(files)})


def _sounds_alike(earlier: RunRecord, record: RunRecord, params: AnyParams) -> bool:
    """Whether two runs differ at most in their formats and subtitles."""

    def facts(run: RunRecord) -> Any:
        deciding = type(params).create(run.params).deciding() | {"formats": (), "subtitles": ()}
        keys = [(c.key, c.pause_ms) for c in run.chunks] + [(w.key, 0) for w in run.windows]
        return deciding, keys, [(o.name, o.source, o.chunks) for o in run.outputs], run.versions

    try:
        return bool(facts(earlier) == facts(record))
    except InputError:  # the parameters of another version
        return False


def kept_chunks(folder: RunFolder, store: ChunkStore) -> int:
    """The number of stored chunks that the resume of an unfinished run will use."""
    unfinished = folder.unfinished()
    return sum(map(store.has, unfinished.planned_keys)) if unfinished else 0
