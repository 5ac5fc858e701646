"""The record of a run: what was made, and the hashes that prove the files."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from chatter_nb.base.errors import OutputError
from chatter_nb.base.hashing import streamed_key
from chatter_nb.verify.findings import Finding, Judgement

WORDS = ".words.json"  # the end of a file's name
Status = Literal["running", "ok", "failed", "cancelled"]


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
    """A chunk as it was made. Times are within its own output (see `OutputRecord`), which is, if
    mastered, its file in the first of `formats`.

    `streamed`: who listened heard it in parts, another rendering, which is kept under a key of its
    own. `verdict` is None if it was not checked; `takes` are there if the check has something to
    say. `start` and `end` are its place, in characters, in the text that output `document` shows;
    `chapter` is its number in the contents, 0 before the first, None in a text without chapters;
    `place` is the document and the element that it comes from. `speaker` is "" for the narrator;
    `reason` tells who decided so: a mark, a label, or words of the text.
    `source_text` is the text there if `text` is not: before an edit, or of the whole chunk of which
    this is a part. `spoken` is what the voice was given, if it is not `text`. `unspoken` is what no
    voice could speak of `text` (of all parts, in the first).
    """

    index: int
    key: str
    text: str
    document: str = ""
    start: int = 0
    end: int = 0
    source_text: str | None = None
    chapter: int | None = None
    place: str = ""
    speaker: str = ""
    mood: str = ""
    reason: str = ""
    spoken: str | None = None
    unspoken: str = ""
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


class SpeakerRecord(_Record):
    """A speaker in a mood: voice, number of chunks, and how much louder these are made."""

    name: str
    mood: str = ""
    voice: str
    chunks: int
    gain_db: float = 0.0


class UnsureRecord(_Record):
    """A quote that is the narrator's, since no rule knows its speaker; its place as of a chunk."""

    document: str
    start: int
    end: int
    text: str
    reason: str


class WindowRecord(_Record):
    """A window of a conversion, overlaps included. Times are within its own output."""

    index: int
    key: str
    speaker: str = ""  # whose stretches it covers, from the first to the last, in a dialogue
    start_s: float
    end_s: float
    cached: bool


class StretchRecord(_Record):
    """Where one speaks in a dialogue that was converted. Times are of the audio before mastering.

    `speaker` may be "narrator"; without a `target` the sound stayed.
    """

    output: str
    speaker: str
    target: str | None
    start_s: float
    end_s: float


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


class ChapterRecord(_Record):
    """A chapter: its title, its first chunk, and the start of its audio within its output."""

    title: str
    first_chunk: int
    start_s: float


class LoudnessRecord(_Record):
    """A mastered chapter, silent for `head_s`, in its file; and `audio.mastering.ChapterReport`."""

    file: str
    chapter: str
    start_s: float
    end_s: float = 0.0
    head_s: float = 0.0
    target: str
    gain_db: float
    limited_db: float
    tries: int
    before: dict[str, float]
    after: dict[str, float]
    failures: tuple[str, ...]
    notch_hz: float | None = None


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
    stretches: tuple[StretchRecord, ...] = ()
    speakers: tuple[SpeakerRecord, ...] = ()  # of a run with several
    unsure: tuple[UnsureRecord, ...] = ()
    outputs: tuple[OutputRecord, ...] = ()
    chapters: tuple[ChapterRecord, ...] = ()
    loudness: tuple[LoudnessRecord, ...] = ()
    seams_samples: tuple[int, ...] = ()
    audio_s: float = 0.0
    wall_s: float = 0.0
    rtf: float | None = None
    model_calls: int = 0
    stages_s: dict[str, float] = {}  # "store" and "write": the time that the run waits for them
    peak_rss_mb: float | None = None
    peak_gpu_mb: float | None = None
    files: tuple[FileRecord, ...] = ()  # the audio: players, links and answers show these
    word_files: tuple[FileRecord, ...] = ()  # times of words, see `words_file`, and subtitles
    warnings: tuple[str, ...] = ()
    checks: CheckRecord | None = None
    planned_keys: tuple[str, ...] = ()  # of a run that is not ok: the chunks its resume will use
    stale_files: tuple[str, ...] = ()  # … and audio of earlier runs that is still in the folder
    versions: dict[str, str | None] = {}

    def chunk_keys(self) -> set[str]:
        """The keys of the stored chunks and windows that this run, or its resume, needs.

        Those of what may have been heard of a chunk in parts are among them.
        """
        keys = {key for chunk in self.chunks for key in (chunk.key, chunk.take_of) if key}
        keys |= {take.key for chunk in self.chunks for take in chunk.takes}
        keys |= {window.key for window in self.windows} | set(self.planned_keys)
        return keys | set(map(streamed_key, keys))

    def handed_over(self) -> list[FileRecord]:
        """The files that a person takes along: all but the times of words."""
        return [file for file in self.all_files() if not file.name.endswith(WORDS)]

    def all_files(self) -> tuple[FileRecord, ...]:
        """Every file that the run has written, but for its record."""
        return self.files + self.word_files


def with_places(record: RunRecord) -> RunRecord:
    """The record with the places of its chunks, which records of earlier versions do not have."""
    if all(chunk.document for chunk in record.chunks):
        return record
    chunks = list(record.chunks)
    for output in record.outputs:
        first, start = output.first_chunk, 0
        own = record.chunks[first : first + output.chunks]
        for _, group in groupby(
            own, key=lambda c: c.index if c.split_from is None else c.split_from
        ):
            parts = list(group)
            text = "".join(part.text for part in parts)
            place = {"document": output.name, "start": start, "end": start + len(text)}
            place |= {} if parts[0].split_from is None else {"source_text": text}
            chunks[first : first + len(parts)] = [p.model_copy(update=place) for p in parts]
            first, start = first + len(parts), start + len(text)
    return record.model_copy(update={"chunks": tuple(chunks)})


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
