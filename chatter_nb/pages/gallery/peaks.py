"""A cache of small waveforms on disk: with it a page of 500 runs is rebuilt quickly.

`<folder>/.gallery/<sha256>.json` holds the peaks of the audio file with that hash. The folder can
be removed at any time; the next page fills it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from chatter_nb.audio.curves import envelope
from chatter_nb.base.disk import read_json, write_whole
from chatter_nb.base.errors import OutputError
from chatter_nb.pages.waves import FULL_SCALE, Peaks, peaks_of

CACHE = ".gallery"
BINS = 160  # a stretch for two pixels of the page's widest waveform

_SHA256 = re.compile(r"[0-9a-f]{64}")  # read from a file, it becomes a file's name: check it


class PeakStore:
    """Peaks of audio files by hash. `prune` removes the peaks that `of` has not returned."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / CACHE
        self._used: set[str] = set()

    def of(self, files: Iterable[tuple[Path, str]]) -> Peaks | None:
        """Return the peaks of the first file (path, SHA-256) that can be read, else None."""
        for path, sha256 in files:
            if _SHA256.fullmatch(sha256):
                peaks = self._read(sha256) or self._make(path, sha256)
                if peaks:
                    self._used.add(sha256)
                    return peaks
        return None

    def prune(self) -> None:
        """Remove the peaks of audio that no longer exists."""
        with suppress(OSError):  # it is only a cache
            for path in self._folder.glob("*.json"):
                if _SHA256.fullmatch(path.stem) and path.stem not in self._used:
                    path.unlink(missing_ok=True)

    def _read(self, sha256: str) -> Peaks | None:
        try:
            values = read_json(self._folder / f"{sha256}.json")
            peaks = Peaks(tuple(map(int, values["low"])), tuple(map(int, values["high"])))
        except (ValueError, TypeError, KeyError, OverflowError):  # no such file, or no peaks in it
            return None
        if not len(peaks.low) == len(peaks.high) <= BINS or peaks.loudest > FULL_SCALE:
            return None
        return peaks

    def _make(self, path: Path, sha256: str) -> Peaks | None:
        try:
            _, low, high = envelope(path, bins=BINS)
            peaks = peaks_of(low, high)
        except Exception:  # a decoder may raise anything for a damaged file: show no waveform
            return None
        content = json.dumps({"low": peaks.low, "high": peaks.high}).encode()
        with suppress(OSError, OutputError):
            self._folder.mkdir(exist_ok=True)
            write_whole(self._folder / f"{sha256}.json", content)
        return peaks
