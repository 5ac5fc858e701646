"""The store of finished chunks on disk, by key: a hash over everything that decides their samples.

A killed run resumes from the store, and after an edit only changed chunks are made again. Entries
are written under a temporary name and renamed; a damaged entry is reported and made again. Times of
words lie beside an entry if its engine knows them; without them, or if they are damaged, an entry
is whole all the same.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.words import WordTime
from chatter_nb.base.disk import is_folder, is_there, read_json, remove_old, write_whole, writing
from chatter_nb.base.write_behind import WriteBehind

FOLDER = ".chunks"
WORDS_SUFFIX = ".words.json"
ABANDONED_S = 24 * 3600  # a temporary file this old belongs to no run


class _Part(BaseModel):
    """`ChunkPart` in the JSON of an entry."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    start_samples: int
    end_samples: int


class _Entry(BaseModel):
    """The JSON of an entry, as far as it is read; other fields are for people."""

    model_config = ConfigDict(extra="allow", strict=True)

    samples: int
    crc32: int
    notes: list[str] = []
    parts: list[_Part] = []


_WORDS = TypeAdapter(tuple[WordTime, ...], config=ConfigDict(strict=True))


class ChunkStore:
    """`<outputs_dir>/.chunks/<key[:2]>/<key>.npy` (float32 mono) with `<key>.json` beside it.

    `<key>.words.json` is there if the times of the chunk's words are known.
    """

    def __init__(self, outputs_dir: Path) -> None:
        self.root = outputs_dir / FOLDER
        self.damaged: list[str] = []
        self._behind = WriteBehind(limit_bytes=0)  # a kill loses one chunk, that in flight
        self._in_flight: dict[str, tuple[Signal, dict[str, Any], tuple[WordTime, ...] | None]] = {}

    def has(self, key: str) -> bool:
        """Whether the store has a chunk; it may be damaged."""
        return key in self._in_flight or is_there(self._path(key))

    def get(self, key: str, *, verify: bool = True) -> tuple[Signal, dict[str, Any]] | None:
        """The samples of a chunk, and its JSON; None if it is missing or damaged (see `damaged`).

        `verify=False` skips the check of the samples against their CRC.
        """
        if key in self._in_flight:
            return self._in_flight[key][:2]
        if not self.has(key):
            return None
        path = self._path(key)
        try:
            entry = _Entry.model_validate_json(path.with_suffix(".json").read_bytes())
            with path.open("rb") as file:
                audio = np.lib.format.read_array(file, allow_pickle=False)
            is_valid = audio.dtype == np.float32 and audio.shape == (entry.samples,)
            if is_valid and (not verify or zlib.crc32(audio.tobytes()) == entry.crc32):
                return audio, entry.model_dump()
        except Exception:  # numpy raises nearly anything on a damaged file
            pass
        self.damaged.append(key)
        return None

    def words(self, key: str) -> tuple[WordTime, ...] | None:
        """The times of a chunk's words; None if they are not known, or damaged."""
        if key in self._in_flight:
            return self._in_flight[key][2]
        try:
            words = _WORDS.validate_json(self._words_path(key).read_bytes())
        except (OSError, ValueError):
            return None
        is_sound = all(0 <= word.start_s <= word.end_s < math.inf for word in words)
        return words if is_sound else None

    def put_words(self, key: str, words: Sequence[WordTime]) -> None:
        """Store the times of a chunk's words. Raises `OutputError` if the disk is full."""
        path = self._words_path(key)
        with writing(path):
            _make_way(path)
        write_whole(path, _WORDS.dump_json(tuple(words)))

    def put_behind(
        self,
        key: str,
        audio: Signal,
        about: Mapping[str, Any],
        words: Sequence[WordTime] | None = None,
    ) -> None:
        """Store a chunk like `put`, beside the caller's work; `get` has it at once.

        It is on disk when the next call returns, or `settle`; they raise its `OutputError`.
        """
        known = None if words is None else tuple(words)
        self._in_flight.clear()
        self._behind.add(partial(self.put, key, audio, about, known), audio.nbytes)
        self._in_flight[key] = audio, dict(about), known

    def settle(self) -> None:
        """Wait until the chunk in flight is on disk; the thread that writes it ends."""
        self._in_flight.clear()
        self._behind.finish()

    def put(
        self,
        key: str,
        audio: Signal,
        about: Mapping[str, Any],
        words: Sequence[WordTime] | None = None,
    ) -> None:
        """Store a chunk, with `about` for its JSON. Raises `OutputError` if the disk is full.

        The samples get their name last: if they exist, the entry is complete.
        """
        path = self._path(key)
        entry = {**about, "samples": len(audio), "crc32": zlib.crc32(audio.tobytes())}
        samples = io.BytesIO()  # numpy does not notice that a full disk refused the last block
        with writing(path):
            np.save(samples, audio, allow_pickle=False)
            path.parent.mkdir(parents=True, exist_ok=True)
            for place in self._files(key):
                _make_way(place)
            self._words_path(key).unlink(missing_ok=True)
        write_whole(path.with_suffix(".json"), json.dumps(entry, ensure_ascii=False).encode())
        if words is not None:
            self.put_words(key, words)
        write_whole(path, samples.getvalue())

    def entries(self) -> Iterator[tuple[str, int, float]]:
        """Key, bytes on disk and last use (unix seconds) of each chunk."""
        for path in sorted(self.root.glob("??/*.npy")):
            about, words = path.with_suffix(".json"), self._words_path(path.stem)
            with suppress(OSError):  # another process pruned it meanwhile
                size = path.stat().st_size + about.stat().st_size
                size += words.stat().st_size if words.exists() else 0
                yield path.stem, size, path.stat().st_mtime

    def keys_of(self, texts: Collection[str]) -> set[str]:
        """The keys of the chunks that speak one of these texts, whatever their voice and take."""
        paths = self.root.glob("??/*.npy") if texts else ()
        entries = {path.stem: read_json(path.with_suffix(".json")) for path in paths}
        return {k for k, about in entries.items() if about and about.get("text") in texts}

    def touch(self, key: str) -> None:
        """Set the time of a chunk's last use, for `prune`; errors of the disk are ignored."""
        with suppress(OSError):
            os.utime(self._path(key))

    def discard(self, key: str) -> None:
        """Remove a chunk. Raises `OutputError` if the store cannot be written."""
        with writing(self._path(key)):
            for path in self._files(key):
                _make_way(path)
                path.unlink(missing_ok=True)

    def prune(
        self, *, older_than_s: float | None = None, keep: Collection[str] | None = None
    ) -> tuple[int, int]:
        """Remove chunks last used before `older_than_s` and, given `keep`, not in it.

        With both arguments a chunk must meet both conditions. Returns the numbers of chunks and
        bytes removed. Half-written files of killed runs are removed too, if they are a day old.
        """
        count = size = 0
        for key, entry_bytes, used in list(self.entries()):
            old = older_than_s is None or time.time() - used > older_than_s
            if old and (keep is None or key not in keep):
                self.discard(key)
                count, size = count + 1, size + entry_bytes
        remove_old(self.root.glob("??/.*.part"), older_than_s=ABANDONED_S)
        return count, size

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.npy"

    def _words_path(self, key: str) -> Path:
        return self._path(key).with_suffix(WORDS_SUFFIX)

    def _files(self, key: str) -> tuple[Path, ...]:
        """The files of a chunk, the samples first: without them the others are no entry."""
        path = self._path(key)
        return path, path.with_suffix(".json"), self._words_path(key)


def _make_way(path: Path) -> None:
    """Remove a folder that lies in the place of a file."""
    if is_folder(path):
        shutil.rmtree(path)
