"""The mp3, opus and m4b of an output that have chapters, tags or a target of loudness.

A file without a target is encoded as its samples come, so that its times are those of the record. A
mastered chapter is measured first: its samples go to a spool, and the chapter is mastered behind
the run, while the next one is spoken.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import asdict, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import av

from chatter_nb.audio.book_file import MOST_IN_OGG, Tags, write_book
from chatter_nb.audio.encoder import CODECS, CodecName
from chatter_nb.audio.mastering import master_chapter
from chatter_nb.audio.reading import Signal
from chatter_nb.audio.targets import TARGETS, Target
from chatter_nb.base.disk import check_way, part_path, read_json, remove, write_json, writing
from chatter_nb.base.errors import InputError
from chatter_nb.base.hashing import digest
from chatter_nb.base.write_behind import WriteBehind
from chatter_nb.params.runs import AnyParams
from chatter_nb.runs.book_plan import PlannedChapter, is_of_book
from chatter_nb.runs.folder import CHAPTERS
from chatter_nb.runs.record import LoudnessRecord

_BEHIND_BYTES = 1 << 24  # samples that wait for an encoder: 3 minutes at 24 kHz
_HASH_BYTES = 16


class BookFile(Protocol):
    """A way from samples to files. `finish` returns temporary paths and later names."""

    def write(self, block: Signal) -> None: ...
    def end_chapter(self) -> None: ...
    def finish(self) -> tuple[list[tuple[Path, str]], list[LoudnessRecord]]: ...
    def commit(self) -> None: ...
    def discard(self) -> None: ...


def book_files(params: AnyParams, folder: Path, output: Any, rate: int) -> list[BookFile]:
    """The files of an output that are not written as plain samples; see `is_of_book`."""
    names = [name for name in CODECS if name in params.formats and is_of_book(params, output, name)]
    chapters, tags = output.chapters or (PlannedChapter(output.name, 0),), Tags(**vars(output.tags))
    if "opus" in names and len(chapters) > MOST_IN_OGG:
        raise InputError(f"opus holds {MOST_IN_OGG} chapters, not {len(chapters)}: choose m4b")
    if names and params.master != "none":
        target = target_of(params)
        return [Mastered(folder, output.name, names, chapters, tags, target, rate)]
    return [Streamed(folder, output.name, name, chapters, tags, rate) for name in names]


def target_of(params: AnyParams) -> Target:
    """The target of mastering, with what the parameters change of it."""
    target = TARGETS[params.master]
    changes: dict[str, Any] = {name: getattr(params, name) for name in ("head_s", "tail_s")}
    changes["sample_rate"] = params.sample_rate
    if params.room_tone != "auto":
        changes["room_tone"] = params.room_tone == "on"
    return replace(target, **{name: v for name, v in changes.items() if v is not None})


class _Files:
    """Temporary files of an output by the names that they get."""

    def __init__(self, folder: Path, stem: str, names: list[CodecName]) -> None:
        self._paths = {name: folder / f"{stem}.{name}" for name in names}
        for path in self._paths.values():
            check_way(path)
        self._parts = {name: part_path(path) for name, path in self._paths.items()}
        self._behind = WriteBehind(_BEHIND_BYTES)

    def commit(self) -> None:
        """Give the finished files their names."""
        for name, path in self._paths.items():
            with writing(path):
                os.replace(self._parts[name], path)

    def _named(self) -> list[tuple[Path, str]]:
        return [(self._parts[name], path.name) for name, path in self._paths.items()]


class Streamed(_Files):
    """One file, encoded in a thread as its samples come; at the end it gets marks and tags."""

    def __init__(
        self,
        folder: Path,
        stem: str,
        name: CodecName,
        chapters: tuple[PlannedChapter, ...],
        tags: Tags,
        rate: int,
    ) -> None:
        super().__init__(folder, stem, [name])
        self._name, self._chapters, self._tags, self._rate = name, chapters, tags, rate
        self._path, self._part = self._paths[name], self._parts[name]
        self._raw = part_path(self._path)
        self._samples, self._starts = 0, [0]
        if CODECS[name].rate_for(rate) != rate:
            raise InputError(f"{name} has no {rate} Hz: set master, or choose another format")
        with writing(self._path):
            self._encoder = CODECS[name].open(self._raw, rate=rate)

    def write(self, block: Signal) -> None:
        self._samples += len(block)
        with writing(self._path):
            self._behind.add(partial(self._encoder.write, block), block.nbytes)

    def end_chapter(self) -> None:
        self._starts.append(self._samples)

    def finish(self) -> tuple[list[tuple[Path, str]], list[LoudnessRecord]]:
        with writing(self._path):
            self._behind.finish()
            self._encoder.close()
        starts_s = [start / self._rate for start in self._starts]
        titles = [chapter.title for chapter in self._chapters]
        marks_s = list(zip(titles, starts_s, strict=True))
        write_book([("", self._raw)], self._part, self._name, self._tags, marks_s)
        remove(self._raw)
        return self._named(), []

    def discard(self) -> None:
        self._behind.abort()
        with suppress(OSError):
            self._encoder.close()
        remove(self._raw)
        remove(self._part)


class Mastered(_Files):
    """The files of an output whose chapters are mastered; `folder` keeps those that are done."""

    def __init__(
        self,
        folder: Path,
        stem: str,
        names: list[CodecName],
        chapters: tuple[PlannedChapter, ...],
        tags: Tags,
        target: Target,
        rate: int,
    ) -> None:
        super().__init__(folder, stem, names)
        self._kept, self._tags = folder / CHAPTERS, tags
        self._target, self._rate = target, rate
        self._titles = [chapter.title for chapter in chapters]
        self._made: dict[CodecName, list[tuple[Path, dict[str, Any]]]] = {n: [] for n in names}
        self._behind = WriteBehind(0)  # one chapter is mastered while the next is spooled
        self._spools: set[Path] = set()
        self._begin()

    def write(self, block: Signal) -> None:
        samples = block.astype("<f4", copy=False).tobytes()
        self._hash.update(samples)
        with writing(self._spool):
            self._file.write(samples)

    def end_chapter(self) -> None:
        self._end()
        self._begin()

    def finish(self) -> tuple[list[tuple[Path, str]], list[LoudnessRecord]]:
        self._end()
        self._behind.finish()
        records = []
        for name, made in self._made.items():
            chapters = [(title, path) for title, (path, _) in zip(self._titles, made, strict=True)]
            starts_s = write_book(chapters, self._parts[name], name, self._tags)
            file = self._paths[name].name
            records += [
                LoudnessRecord(file=file, chapter=title, start_s=start_s, **report)
                for title, start_s, (_, report) in zip(self._titles, starts_s, made, strict=True)
            ]
        return self._named(), records

    def discard(self) -> None:
        self._behind.abort()
        self._file.close()
        for path in (*self._spools, *self._parts.values()):
            remove(path)

    def _begin(self) -> None:
        """Open the spool of a chapter."""
        self._spool = part_path(self._kept.with_name("spool"))
        self._spools.add(self._spool)
        self._hash = blake2b(digest_size=_HASH_BYTES)
        with writing(self._spool):
            self._kept.mkdir(exist_ok=True)
            self._file = self._spool.open("wb")

    def _end(self) -> None:
        with writing(self._spool), closing(self._file):
            self._file.flush()
        self._behind.add(partial(self._master, self._spool, self._hash.hexdigest()), 1)

    def _master(self, spool: Path, samples_hash: str) -> None:
        """Master the chapter in `spool`, unless a run before did so with the same samples."""
        for name, made in self._made.items():
            settings = [samples_hash, asdict(self._target), self._rate, name, av.__version__]
            path = self._kept / f"{digest(settings, size=_HASH_BYTES)}.{name}"
            report = read_json(path.with_suffix(".json")) if path.exists() else None
            if report is None:
                mastered = master_chapter(
                    spool, path, self._target, sample_rate=self._rate, codec_name=name
                )
                report = asdict(mastered)
                write_json(path.with_suffix(".json"), report)
            made.append((path, report))
        remove(spool)
