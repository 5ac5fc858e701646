"""`edits.json` of a run: what a person changes at places of its text, and finding them again.

An edit names its place in the shown text of an output, and the hash of the text there: after the
text has changed, it still finds its chunk. A review that a page offers has the same form. Not here:
making lines again (`runs.revise`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chatter_nb.base.disk import is_there, reading, write_error, write_json
from chatter_nb.base.errors import InputError, OutputError, shorten
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.params.types import Text
from chatter_nb.runs.folder import LOCKS, RunFolder
from chatter_nb.runs.places import PlacedChunk, Said, placed_chunks
from chatter_nb.runs.record import ChunkRecord, RunRecord

EDITS = "edits.json"
MAX_WORDS_CHARS = 2000  # as `chunk_chars`: more is not spoken in one go
_WAIT_S = 30.0
_LISTED = 20  # edits of one warning


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Edit(_Strict):
    """What a person wants at a place: other words, a certain take, a flag, a note.

    `start` and `end` are characters of the text that output `document` shows, which is the texts of
    its chunks in order. `text_sha256` is `text_hash` of the chunk's text there.
    """

    document: Text
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    text_sha256: str = Field(pattern="^[0-9a-f]{16}$")
    words: Text | None = Field(None, max_length=MAX_WORDS_CHARS)  # spoken instead
    take: int | None = Field(None, ge=0, le=1_000_000)  # kept, whatever the check says
    flag: bool = False
    note: Text = Field("", max_length=MAX_WORDS_CHARS)

    @property
    def place(self) -> tuple[str, int, int, str]:
        """What two edits of the same chunk have in common."""
        return self.document, self.start, self.end, self.text_sha256

    @property
    def is_empty(self) -> bool:
        """Whether the edit wants nothing, as after its last wish is taken back."""
        return self.words is None and self.take is None and not (self.flag or self.note)

    def __str__(self) -> str:
        return f"{self.document}, characters {self.start:,} to {self.end:,}"


class Edits(_Strict):
    """The content of edits.json, schema 1."""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)

    schema_: Literal[1] = 1
    edits: tuple[Edit, ...] = ()


def text_hash(text: str) -> str:
    """The first 16 digits of the SHA-256 of a chunk's text, by which an edit knows it."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def load_edits(path: Path) -> Edits:
    """The edits in a file, an edits.json or a review. Raises `InputError` for any other file."""
    with reading(f"the edits {path}"):
        content = path.read_bytes()
    return parse_edits(content, where=str(path))


def parse_edits(content: bytes, *, where: str) -> Edits:
    """The edits in a file's content. Raises `InputError` that begins with `where`, its origin."""
    try:
        return Edits.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InputError(f"{where} is no file of edits: {_explain(problem, content)}") from None


def edits_of_run(folder: Path, record: RunRecord | None) -> tuple[Edit, ...]:
    """The edits in a run's edits.json; without it, those of the file that the run was given."""
    if is_there(folder / EDITS):
        return load_edits(folder / EDITS).edits
    named = record.params.get("edits") if record else ""
    return load_edits(resolve_path(named)).edits if named else ()


def save_edits(folder: Path, edits: Sequence[Edit]) -> Edits:
    """Merge edits into the edits.json of a run's folder, each in place of the earlier at its place.

    An edit that wants nothing removes the earlier edit. When this returns, the file is on the disk:
    neither a kill nor a power cut loses an edit. Raises `OutputError` if the disk does not take it.
    """
    folder = folder.resolve()
    path, lock_path = folder / EDITS, folder.parent / LOCKS / f"{folder.name}.edits.lock"
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_path, timeout=_WAIT_S):
            record = RunFolder(folder).record()
            merged = merge_edits(record, edits_of_run(folder, record), edits)
            write_json(path, merged.model_dump(mode="json", by_alias=True), durable=True)
    except Timeout:
        raise OutputError(f"another program is writing {path}: try again") from None
    except OSError as error:
        raise write_error(path, error) from error
    return merged


def merge_edits(record: RunRecord | None, earlier: Iterable[Edit], later: Iterable[Edit]) -> Edits:
    """All edits, in the order of their places. Where two have one place, the later one stays.

    Places are those of the run's `record`, if the text of an edit is there.
    """
    chunks = placed_chunks(record) if record else []
    merged: dict[tuple[str, int, int, str], Edit] = {}
    for edits in (earlier, later):
        placed, lost = match_edits(chunks, edits)
        for position, edit in placed.items():
            start, end = chunks[position].start, chunks[position].end
            moved = edit.model_copy(update={"start": start, "end": end})
            merged[moved.place] = moved
        merged |= {edit.place: edit for edit in lost}
    ordered = sorted(merged.values(), key=lambda edit: edit.place)
    return Edits(edits=tuple(edit for edit in ordered if not edit.is_empty))


def edit_of(chunk: ChunkRecord) -> Edit:
    """An edit at a chunk's place that wants nothing yet. Parts of a chunk share its place."""
    text = chunk.text if chunk.source_text is None else chunk.source_text
    return Edit(
        document=chunk.document, start=chunk.start, end=chunk.end, text_sha256=text_hash(text)
    )


def next_take(chunk: ChunkRecord, edit: Edit) -> int:
    """The number of the take to make next, where `edit` is what was heard last at this chunk.

    Takes of the same words that the run has made are passed over.
    """
    others = edit.words is not None and edit.words.strip() != chunk.text.strip()
    takes = [] if others else [chunk.take, *(take.take for take in chunk.takes)]
    return 1 + max([edit.take or 0, *takes])


def match_edits(
    chunks: Sequence[PlacedChunk], edits: Iterable[Edit]
) -> tuple[dict[int, Edit], list[Edit]]:
    """The edit of each chunk, by its position, and the edits whose text is gone.

    An edit is of the chunk at its place that has its text, else of the nearest chunk in the same
    document with its text that no other edit has.
    """
    free: dict[tuple[str, str], dict[int, int]] = {}  # of document and text: start, position
    for position, placed in enumerate(chunks):
        of_text = free.setdefault((placed.document, text_hash(placed.source.text)), {})
        of_text[placed.start] = position
    matched, moved, lost = {}, [], []
    for edit in {edit.place: edit for edit in edits}.values():
        of_text = free.get((edit.document, edit.text_sha256), {})
        if edit.start in of_text:
            matched[of_text.pop(edit.start)] = edit
        else:
            moved.append(edit)
    for edit in moved:
        if of_text := free.get((edit.document, edit.text_sha256), {}):
            nearest = min(of_text, key=lambda start: abs(start - edit.start))
            matched[of_text.pop(nearest)] = edit
        else:
            lost.append(edit)
    return matched, lost


def edit_chunks(
    chunks: Sequence[PlacedChunk],
    edits: Iterable[Edit],
    clean_words: Callable[[str], str],
    said: Said = list,
) -> tuple[list[PlacedChunk], list[str]]:
    """The chunks with their edits, and notes. Pauses and borders of chunks stay as they are.

    `clean_words` treats words as the text is treated; `said` gives chunks what is said for
    their texts. Raises `InputError` that names the place.
    """
    matched, lost = match_edits(chunks, edits)
    edited, notes = list(chunks), []
    for position, edit in sorted(matched.items()):
        placed = chunks[position]
        try:
            text = placed.source.text if edit.words is None else clean_words(edit.words)
        except InputError as error:
            raise InputError(f"edits: {edit}: {error}") from error
        if edit.words is not None and placed.source.text.endswith(" "):
            text += " "
        chunk = placed.source
        if text != chunk.text:
            [chunk] = said([replace(chunk, text=text)])
        edited[position] = replace(placed, chunk=chunk, take=edit.take)
        if placed.source.speakable and not chunk.speakable:
            notes.append(f"edits: {edit}: there are no words left, only the pause after them")
    if lost:
        listed = "; ".join(map(_in_words, lost[:_LISTED]))
        more = f"; and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
        notes.append(
            f"edits: {count(len(lost), 'edit')} not used, as the text there is gone: {listed}{more}"
        )
    return edited, notes


def _in_words(edit: Edit) -> str:
    """The place of an edit, and what it wants."""
    words = f" “{shorten(edit.words, 60)}”" if edit.words else ""
    note = f" (note: {shorten(edit.note, 60)})" if edit.note else ""
    return f"{edit}{words}{note}"


def _explain(problem: Any, content: bytes) -> str:
    """The sentence for a problem of pydantic's: the place, and what is valid."""
    names = ", ".join(Edit.model_fields)
    where = problem["loc"]
    if len(where) < 3 or where[0] != "edits":
        return f"{shorten(problem['msg'], 200)}; it holds schema: 1 and edits, each with {names}"
    raw = json.loads(content)["edits"][where[1]]
    document, start = (shorten(str(raw.get(name)), 60) for name in ("document", "start"))
    place = f"edit {where[1] + 1} ({document}, character {start})"
    if "too_long" in problem["type"]:
        return (
            f"{place}: {where[2]} has {len(problem['input']):,} characters; at most "
            f"{MAX_WORDS_CHARS:,} are taken: shorten it"
        )
    return f"{place}: {shorten(where[2], 60)}: {shorten(problem['msg'], 200)}; an edit has {names}"
