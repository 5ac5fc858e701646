"""Small waveforms for the gallery, kept on disk so that a page of 500 runs is rebuilt quickly.

`<folder>/.gallery/<sha256>.json` holds the peaks of the audio file with that hash. The folder can
be removed at any time; it only saves work.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from chatter_nb.audio.curves import envelope
from chatter_nb.base.disk import part_path, read_json

CACHE = ".gallery"
BINS = 160  # a stretch every two pixels of the page's widest waveform
FULL_SCALE = 127  # peaks are whole numbers: half the bytes, and finer than a pixel
HEIGHT = 48  # of the drawing, in its own units
QUIETEST = 0.05 * FULL_SCALE  # silence is not blown up

_SHA256 = re.compile(r"[0-9a-f]{64}")  # it becomes a file's name, and comes out of a file


@dataclass(frozen=True)
class Peaks:
    """Lowest and highest sample of each stretch, ±127 at full scale; both as long as the other."""

    low: tuple[int, ...]
    high: tuple[int, ...]

    @property
    def loudest(self) -> int:
        return max(
            (max(-low, high) for low, high in zip(self.low, self.high, strict=True)), default=0
        )


class PeakStore:
    """Peaks of audio files by their hash; what was not asked for again is removed by `prune`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / CACHE
        self._used: set[str] = set()

    def of(self, files: Iterable[tuple[Path, str]]) -> Peaks | None:
        """The peaks of the first file (path, SHA-256) that can be read; None if none can."""
        for path, sha256 in files:
            if _SHA256.fullmatch(sha256):
                peaks = self._read(sha256) or self._make(path, sha256)
                if peaks:
                    return peaks
        return None

    def prune(self) -> None:
        """Remove the peaks of audio that is gone."""
        with suppress(OSError):  # it is only a cache
            for path in self._folder.glob("*.json"):
                if _SHA256.fullmatch(path.stem) and path.stem not in self._used:
                    path.unlink(missing_ok=True)

    def _read(self, sha256: str) -> Peaks | None:
        try:
            values = read_json(self._folder / f"{sha256}.json")
            peaks = Peaks(tuple(map(int, values["low"])), tuple(map(int, values["high"])))
        except (ValueError, TypeError, KeyError, OverflowError):  # not there, or not peaks
            return None
        if not len(peaks.low) == len(peaks.high) <= BINS or peaks.loudest > FULL_SCALE:
            return None
        self._used.add(sha256)
        return peaks

    def _make(self, path: Path, sha256: str) -> Peaks | None:
        try:
            _, low, high = envelope(path, bins=BINS)
            peaks = Peaks(_whole(low), _whole(high))
        except Exception:  # whatever a decoder raises on a damaged file: the page does without
            return None
        self._used.add(sha256)
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            target = self._folder / f"{sha256}.json"
            part = part_path(target)
            part.write_text(json.dumps({"low": peaks.low, "high": peaks.high}), encoding="ascii")
            os.replace(part, target)
        return peaks


def outline(peaks: Peaks, *, full: float) -> str:
    """An SVG path around the signal, as high as `HEIGHT` where it reaches `full`.

    Along the top, then back along the bottom, a unit a stretch, in relative whole numbers: a
    kilobyte a waveform.
    """
    if len(peaks.low) < 2:
        return ""
    scale = (HEIGHT / 2 - 1) / max(full, QUIETEST)
    top = [round(HEIGHT / 2 - max(0, high) * scale) for high in peaks.high]
    bottom = [round(HEIGHT / 2 - min(0, low) * scale) + 1 for low in peaks.low]  # silence: a line
    there, back = _line(top, 1), _line(bottom[::-1], -1)
    return f"M0 {top[0]}l{there}v{bottom[-1] - top[-1]}l{back}z"


def _line(levels: Sequence[int], step: int) -> str:
    pairs = " ".join(f"{step} {two - one}" for one, two in pairwise(levels))
    return pairs.replace(" -", "-")


def _whole(levels: np.ndarray) -> tuple[int, ...]:
    whole = np.rint(np.clip(np.nan_to_num(levels), -1, 1) * FULL_SCALE)
    return tuple(int(level) for level in whole)
