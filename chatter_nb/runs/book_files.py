"""The mp3, opus and m4b of an output that have chapters, tags or a target of loudness.

A file without a target is encoded as its samples come, so that its times are those of the record. A
mastered chapter is measured first: its samples go to a spool, and the chapter is mastered behind
the run, while the next one is spoken.
"""

from __future__ import annotations

import os
from collections.abc import Container
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import av

from chatter_nb.audio.book_file import write_book
from chatter_nb.audio.curves import duration_s
from chatter_nb.audio.encoder import BITEXACT, CODECS, CodecName, Encoder
from chatter_nb.audio.mastering import master_chapter
from chatter_nb.audio.reading import Signal
from chatter_nb.audio.targets import TARGETS, Target
from chatter_nb.base.disk import check_way, part_path, read_json, remove, write_json, writing
from chatter_nb.base.errors import InputError
from chatter_nb.base.hashing import digest
from chatter_nb.base.write_behind import WriteBehind
from chatter_nb.params.runs import AnyParams
from chatter_nb.runs.folder import CHAPTERS
from chatter_nb.runs.record import LoudnessRecord

_BEHIND_BYTES = 1 << 24  # samples that wait for an encoder: 3 minutes at 24 kHz
READ_ALONG_BITS_PER_S = 64_000
Finished = tuple[list[tuple[Path, str]], list[LoudnessRecord]]  # temporary paths, later names


def book_files(
    params: AnyParams, folder: Path, output: Any, rate: int, formats: Container[str]
) -> list[Streamed | Mastered]:
    """The files of an output in those `formats` for which `book_plan.is_of_book` is true."""
    names = [name for name in CODECS if name in formats]
    if names and params.master != "none":
        return [Mastered(folder, output, names, rate, _target(params))]
    return [Streamed(folder, output, name, rate) for name in names]


def _target(params: AnyParams) -> Target:
    """The target, with what the parameters change."""
    room_tone = {"on": True, "off": False}.get(params.room_tone)
    given: dict[str, Any] = {"room_tone": room_tone, "made_hz": params.sample_rate}
    given |= {"head_s": params.head_s, "tail_s": params.tail_s}
    given = {name: value for name, value in given.items() if value is not None}
    return replace(TARGETS[params.master], **given)


class _Files:
    """Files of an output under temporary names, and the thread that encodes."""

    _open: Any  # what is being written

    def __init__(self, folder: Path, output: Any, names: list[CodecName], limit_bytes: int) -> None:
        self._paths = {name: folder / f"{output.name}.{name}" for name in names}
        for path in self._paths.values():
            check_way(path)
        self._parts = {name: part_path(path) for name, path in self._paths.items()}
        self._named = [(self._parts[name], path.name) for name, path in self._paths.items()]
        self._temporary = set(self._parts.values())
        self._behind = WriteBehind(limit_bytes)
        self._titles = [chapter.title for chapter in output.chapters] or [output.name]
        # Of a document without a title, as many texts are, the file's name.
        title = output.tags.title or (Path(output.source).stem if output.chapters else "")
        self._tags = replace(output.tags, title=title)

    def commit(self) -> None:
        """Give the finished files their names."""
        for name, path in self._paths.items():
            with writing(path):
                os.replace(self._parts[name], path)

    def discard(self) -> None:
        """Remove all temporary files."""
        self._behind.abort()
        with suppress(OSError):
            self._open.close()
        for path in self._temporary:
            remove(path)


class Streamed(_Files):
    """One file, encoded in a thread as its samples come; at the end it gets marks and tags."""

    def __init__(self, folder: Path, output: Any, name: CodecName, rate: int) -> None:
        super().__init__(folder, output, [name], _BEHIND_BYTES)
        self._name, self._path, self._rate = name, self._paths[name], rate
        self._raw = part_path(self._path)
        self._temporary.add(self._raw)
        self._samples, self._starts_s = 0, [0.0]
        if CODECS[name].rate_for(rate) != rate:
            raise InputError(f"{name} has no {rate} Hz: set master, or choose another format")
        with writing(self._path):
            self._open = CODECS[name].open(self._raw, rate=rate)

    def write(self, block: Signal) -> None:
        self._samples += len(block)
        with writing(self._path):
            self._behind.add(partial(self._open.write, block), block.nbytes)

    def end_chapter(self) -> None:
        self._starts_s.append(self._samples / self._rate)

    def finish(self) -> Finished:
        with writing(self._path):
            self._behind.finish()
            self._open.close()
        marks_s = list(zip(self._titles, self._starts_s, strict=True))
        write_book([("", self._raw)], self._parts[self._name], self._name, self._tags, marks_s)
        return self._named, []


class Tracks(_Files):
    """The mp3s of a book that reads along, one a chapter, under temporary names to the end."""

    def __init__(self, folder: Path, output: Any, rate: int) -> None:
        super().__init__(folder, output, [], _BEHIND_BYTES)
        self._path, self._rate, self._samples = folder / f"{output.name}.epub", rate, 0
        check_way(self._path)
        self._open, self._part = ExitStack(), self._path
        self.ends_s = {self._path: 0.0}  # in the signal; the first is where it begins

    def write(self, block: Signal) -> None:
        self._samples += len(block)
        with writing(self._path):
            if self._part in self.ends_s:
                self._part = part_path(self._path)
                self._temporary.add(self._part)
                sound: Any = {"sample_rate": self._rate, "bits_per_s": READ_ALONG_BITS_PER_S}
                self._open = Encoder(self._part, "mp3", "libmp3lame", options=BITEXACT, **sound)
            self._behind.add(partial(self._open.write, block), block.nbytes)

    def finish(self) -> Finished:
        if self._part not in self.ends_s:
            with writing(self._path):
                self._behind.finish()
                self._open.close()
            self.ends_s[self._part] = self._samples / self._rate
        return [], []

    end_chapter = finish


class Mastered(_Files):
    """The files of an output whose chapters are mastered; the run's folder keeps those done."""

    def __init__(
        self, folder: Path, output: Any, names: list[CodecName], rate: int, target: Target
    ) -> None:
        super().__init__(folder, output, names, 0)  # one is mastered while the next is spooled
        self._kept, self._target, self._rate = folder / CHAPTERS, target, rate
        self._made: dict[CodecName, list[tuple[Path, dict[str, Any]]]] = {n: [] for n in names}
        self._begin()

    def write(self, block: Signal) -> None:
        samples = block.astype("<f4", copy=False).tobytes()
        self._hash.update(samples)
        with writing(self._spool):
            self._open.write(samples)

    def end_chapter(self) -> None:
        self._end()
        self._begin()

    def finish(self) -> Finished:
        self._end()
        self._behind.finish()
        records = []
        for name, made in self._made.items():
            chapters = [(title, path) for title, (path, _) in zip(self._titles, made, strict=True)]
            starts_s = write_book(chapters, self._parts[name], name, self._tags)
            ends_s = [*starts_s[1:], duration_s(self._parts[name])]
            rows = zip(self._titles, starts_s, ends_s, made, strict=True)
            records += [
                LoudnessRecord(
                    file=self._paths[name].name,
                    chapter=title,
                    start_s=start_s,
                    end_s=end_s,
                    **report,
                )
                for title, start_s, end_s, (_, report) in rows
            ]
        return self._named, records

    def _begin(self) -> None:
        """Open the spool of a chapter."""
        self._spool = part_path(self._kept.with_name("spool"))
        self._temporary.add(self._spool)
        self._hash = blake2b(digest_size=16)
        with writing(self._spool):
            self._kept.mkdir(exist_ok=True)
            self._open = self._spool.open("wb")

    def _end(self) -> None:
        with writing(self._spool):
            self._open.close()
        self._behind.add(partial(self._master, self._spool, self._hash.hexdigest()), 1)

    def _master(self, spool: Path, samples_hash: str) -> None:
        """Master the chapter in `spool`, unless a run before did so with the same samples."""
        for name, made in self._made.items():
            settings = [samples_hash, asdict(self._target), self._rate, name, av.__version__]
            path = self._kept / f"{digest(settings, size=16)}.{name}"
            about = path.with_suffix(".json")
            if not (path.exists() and read_json(about)):
                report = master_chapter(
                    spool, path, self._target, sample_rate=self._rate, codec_name=name
                )
                write_json(about, asdict(report))
            made.append((path, read_json(about)))
        remove(spool)
