"""Joining: edges trimmed, cuts crossfaded, pauses laid, written as it goes. Pure numpy.

`Joiner` takes chunks in any order and keeps in memory only those that came too early. It knows
nothing of text, engines or files: it is given a function that takes samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chatter_nb.errors import ChatterError

if TYPE_CHECKING:
    from chatter_nb.audio import Signal

TRIM_FLOOR_DB = -50.0  # below a chunk's peak: quieter than any speech sound, louder than its hiss
TRIM_GUARD_MS = 30.0  # kept around speech, so that a soft "f" or a dying vowel stays whole
TRIM_FRAME_MS = 5.0
EDGE_FADE_MS = 3.0  # against the click of a wave cut off its zero
SILENCE_BLOCK_S = 10


@dataclass(frozen=True)
class Span:
    """Where a chunk lies in the joined signal, in samples: [start, end)."""

    start_samples: int
    end_samples: int


@dataclass(frozen=True)
class Joined:
    """The result: a span a chunk, a seam between each two chunks, the whole length."""

    spans: tuple[Span, ...]
    seams_samples: tuple[int, ...]
    samples: int


def trim_edges(
    signal: Signal,
    *,
    sample_rate: int,
    floor_db: float = TRIM_FLOOR_DB,
    guard_ms: float = TRIM_GUARD_MS,
) -> Signal:
    """Cut silence off both ends but for a guard, and fade the new edges.

    Silence is every 5 ms frame whose peak lies more than `-floor_db` dB under the signal's peak. A
    signal of nothing but silence comes back empty.
    """
    frame = max(1, round(sample_rate * TRIM_FRAME_MS / 1000))
    peaks = np.abs(np.pad(signal, (0, -len(signal) % frame))).reshape(-1, frame).max(axis=1)
    loud = np.flatnonzero(peaks > peaks.max(initial=0.0) * 10 ** (floor_db / 20))
    if not len(loud):
        return signal[:0]
    guard = round(sample_rate * guard_ms / 1000)
    start = max(0, loud[0] * frame - guard)
    end = min(len(signal), (loud[-1] + 1) * frame + guard)
    return _fade_edges(signal[start:end], round(sample_rate * EDGE_FADE_MS / 1000))


def _fade_edges(signal: Signal, fade_samples: int) -> Signal:
    faded = signal.copy()
    fade_samples = min(fade_samples, len(signal) // 2)
    if fade_samples:
        ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade_samples) + 0.5) / fade_samples)).astype(
            np.float32
        )
        faded[:fade_samples] *= ramp
        faded[-fade_samples:] *= ramp[::-1]
    return faded


def crossfade(tail: Signal, head: Signal) -> Signal:
    """`tail` fading out under `head` fading in, both shape (n,): constant power throughout.

    Sine and cosine gains keep the power of *unrelated* signals; equal signals would swell by 3 dB.
    Dividing by sqrt(1 + r sin 2a), r the measured correlation in [0, 1], keeps both: it is 1 at
    r = 0, and at r = 1 the gains add up to 1 (since (cos a + sin a)² = 1 + sin 2a).
    """
    angle = (np.arange(len(tail)) + 0.5) / max(1, len(tail)) * (np.pi / 2)
    power = float(np.dot(tail, tail)) * float(np.dot(head, head))
    correlation = float(np.dot(tail, head)) / np.sqrt(power) if power > 0 else 0.0
    scale = np.sqrt(1 + np.clip(correlation, 0, 1) * np.sin(2 * angle))
    return ((tail * np.cos(angle) + head * np.sin(angle)) / scale).astype(np.float32)


class Joiner:
    """Joins chunks in their order, however they arrive, and passes samples on as it goes.

    `write` receives mono float32 blocks. After a chunk with `pause_ms` 0 the next one overlaps it
    by `crossfade_ms`; otherwise silence of that length follows. A seam is the sample where a chunk
    ends and its pause begins, or the middle of an overlap.
    """

    def __init__(
        self, write: Callable[[Signal], object], *, sample_rate: int, crossfade_ms: float = 20
    ) -> None:
        self._write = write
        self._rate = sample_rate
        self._overlap = round(sample_rate * crossfade_ms / 1000)
        self._early: dict[int, tuple[Signal, float]] = {}
        self._tail = np.zeros(0, np.float32)  # the last samples, held back for a crossfade
        self._position = 0  # samples joined so far, the tail included
        self._spans: list[Span] = []
        self._seams: list[int] = []

    @property
    def next_index(self) -> int:
        """The chunk that is waited for."""
        return len(self._spans)

    @property
    def samples(self) -> int:
        """What is joined so far, pauses included."""
        return self._position

    def add(self, index: int, signal: Signal, *, pause_ms: float) -> None:
        """Take chunk `index`. An empty signal takes no time but its pause."""
        if index < self.next_index or index in self._early:
            raise ChatterError(f"chunk {index} was joined twice")
        self._early[index] = (signal, pause_ms)
        while self.next_index in self._early:
            self._append(*self._early.pop(self.next_index))

    def finish(self, chunks: int) -> Joined:
        """Write what was held back. Raises unless all `chunks` came: none is silently left out."""
        if self.next_index != chunks:
            raise ChatterError(
                f"chunk {self.next_index} of {chunks} never came (waiting: {sorted(self._early)})"
            )
        self._flush()
        return Joined(tuple(self._spans), tuple(self._seams), self._position)

    def _append(self, signal: Signal, pause_ms: float) -> None:
        overlap = min(len(self._tail), len(signal) // 2)
        start = self._position - overlap
        if self._spans:
            seam = start + overlap // 2 if overlap else self._spans[-1].end_samples
            self._seams.append(seam)
        self._spans.append(Span(start, start + len(signal)))
        if overlap:
            self._write(self._tail[: len(self._tail) - overlap])
            mixed = crossfade(self._tail[len(self._tail) - overlap :], signal[:overlap])
            signal = np.concatenate([mixed, signal[overlap:]])
        else:
            self._flush()
        self._position = start + len(signal)
        self._hold_back(signal, 0 if pause_ms else self._overlap)
        self._pause(round(self._rate * pause_ms / 1000))

    def _hold_back(self, signal: Signal, samples: int) -> None:
        kept = min(samples, len(signal) // 2)
        self._write(signal[: len(signal) - kept])
        self._tail = signal[len(signal) - kept :]

    def _flush(self) -> None:
        self._write(self._tail)
        self._tail = self._tail[:0]

    def _pause(self, samples: int) -> None:
        self._position += samples
        block = SILENCE_BLOCK_S * self._rate
        for start in range(0, samples, block):
            self._write(np.zeros(min(block, samples - start), np.float32))
