"""Finished chunks on disk, by the hash of all that determines their samples.

A killed run resumes from here, and an edit makes again only what it touched. Entries are written
under a temporary name and renamed; a damaged one is reported and made again.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from chatter_nb.audio.reading import Signal
from chatter_nb.base.disk import is_folder, is_there, part_path, remove, write_error

FOLDER = ".chunks"
ABANDONED_S = 24 * 3600  # a temporary file this old belongs to no run


class _Part(BaseModel):
    """`ChunkPart`, as an entry holds it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    start_samples: int
    end_samples: int


class _Entry(BaseModel):
    """What is read of an entry's JSON; the rest is for people."""

    model_config = ConfigDict(extra="allow", strict=True)

    samples: int
    crc32: int
    notes: list[str] = []
    parts: list[_Part] = []


class ChunkStore:
    """`<outputs_dir>/.chunks/<key[:2]>/<key>.npy` (float32 mono) with `<key>.json` beside it."""

    def __init__(self, outputs_dir: Path) -> None:
        self.root = outputs_dir / FOLDER
        self.damaged: list[str] = []

    def has(self, key: str) -> bool:
        """Whether a chunk is there, undamaged or not."""
        return is_there(self._path(key))

    def get(self, key: str, *, verify: bool = True) -> tuple[Signal, dict[str, Any]] | None:
        """A chunk and what is known of it; None if it is not there or damaged (see `damaged`)."""
        if not self.has(key):
            return None
        path = self._path(key)
        try:
            entry = _Entry.model_validate_json(path.with_suffix(".json").read_bytes())
            with path.open("rb") as file:
                audio = np.lib.format.read_array(file, allow_pickle=False)
            sound = audio.dtype == np.float32 and audio.shape == (entry.samples,)
            if sound and (not verify or zlib.crc32(audio.tobytes()) == entry.crc32):
                return audio, entry.model_dump()
        except Exception:  # a damaged file can make numpy raise nearly anything
            self.damaged.append(key)
            return None
        self.damaged.append(key)
        return None

    def put(self, key: str, audio: Signal, about: Mapping[str, Any]) -> None:
        """Keep a chunk. Raises `OutputError` if the disk does not take it.

        The samples are renamed into place last: where they are, the entry is whole.
        """
        path = self._path(key)
        entry = {**about, "samples": len(audio), "crc32": zlib.crc32(audio.tobytes())}
        part = part_path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(entry, ensure_ascii=False), encoding="utf-8")
            _make_way(path.with_suffix(".json"))
            os.replace(part, path.with_suffix(".json"))
            samples = io.BytesIO()  # numpy itself does not notice a last block that is not taken
            np.save(samples, audio, allow_pickle=False)
            part.write_bytes(samples.getbuffer())
            _make_way(path)
            os.replace(part, path)
        except OSError as error:
            told = write_error(path, error)
            remove(part)
            raise told from error

    def entries(self) -> Iterator[tuple[str, int, float]]:
        """Key, bytes on disk and last use (unix seconds) of each chunk."""
        for path in sorted(self.root.glob("??/*.npy")):
            about = path.with_suffix(".json")
            with suppress(OSError):  # another process pruned it meanwhile
                size = path.stat().st_size + about.stat().st_size
                yield path.stem, size, path.stat().st_mtime

    def touch(self, key: str) -> None:
        """Note that a chunk was used, for `prune`; a store that cannot be written stays as is."""
        with suppress(OSError):
            os.utime(self._path(key))

    def discard(self, key: str) -> None:
        """Remove one chunk. Raises `OutputError` where the store cannot be written."""
        try:
            for path in (self._path(key), self._path(key).with_suffix(".json")):
                _make_way(path)
                path.unlink(missing_ok=True)
        except OSError as error:
            raise write_error(self._path(key), error) from error

    def prune(
        self, *, older_than_s: float | None = None, keep: Collection[str] | None = None
    ) -> tuple[int, int]:
        """Remove chunks last used before `older_than_s` and, given `keep`, not in it.

        Both conditions must hold when both are given. Returns (chunks, bytes) removed. Leftovers of
        killed runs go too, when they are older than a day.
        """
        count = size = 0
        for key, entry_bytes, used in list(self.entries()):
            old = older_than_s is None or time.time() - used > older_than_s
            if old and (keep is None or key not in keep):
                self.discard(key)
                count, size = count + 1, size + entry_bytes
        for part in self.root.glob("??/.*.part"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > ABANDONED_S:
                    part.unlink()
        return count, size

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.npy"


def _make_way(path: Path) -> None:
    """Remove a folder that lies in a file's place: damage like any other."""
    if is_folder(path):
        shutil.rmtree(path)
