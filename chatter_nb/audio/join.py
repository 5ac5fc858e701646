"""Joins chunks of audio: trims edges, crossfades cuts, adds pauses. Pure numpy.

`Joiner` takes chunks in any order and keeps in memory only those that came too early. It knows
nothing of text, engines or files: it passes samples to a function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from chatter_nb.base.errors import ChatterError

if TYPE_CHECKING:
    from chatter_nb.audio.reading import Signal

TRIM_FLOOR_DB = -50.0  # below a chunk's peak: quieter than any speech sound, louder than its hiss
TRIM_GUARD_MS = 30.0  # left around speech, so that a soft "f" or a dying vowel stays whole
TRIM_FRAME_MS = 5.0
EDGE_FADE_MS = 3.0  # against the click of a wave cut off its zero
SILENCE_BLOCK_S = 10
JOIN_AGREES = 0.6  # steady vowels made twice score 0.8 and more, unrelated hiss under 0.3
JOIN_FAINT_POWER = 1e-3  # of the loudest segment: 30 dB below it, agreement is worth half
JOIN_PLACES = 400
JOIN_PARTS = 5  # of a segment, whose power is compared
JOIN_UNSTEADY_COST = 0.4  # a shift is heard least where the sound is steady
JOIN_LAG_COST = 0.02  # at the largest lag: decides only between places that agree alike


@dataclass(frozen=True)
class Span:
    """The place of a chunk in the joined signal, in samples: [start, end)."""

    start_samples: int
    end_samples: int


@dataclass(frozen=True)
class Joined:
    """The result: a span for each chunk, a seam between each two chunks, the whole length."""

    spans: tuple[Span, ...]
    seams_samples: tuple[int, ...]
    samples: int


def trim_edges(signal: Signal, *, sample_rate: int) -> Signal:
    """Cut silence off both ends, except for a guard, and fade the new edges.

    Silence is every 5 ms frame whose peak lies more than 50 dB under the signal's peak. Of a silent
    signal nothing is returned: an array of length 0.
    """
    start, end = find_edges(signal, sample_rate=sample_rate)
    return fade_edges(signal[start:end], sample_rate=sample_rate)


def find_edges(signal: Signal, *, sample_rate: int, loudest: float = 0.0) -> tuple[int, int]:
    """Start and end of the sound in samples, guard included; (0, 0) if there is no sound.

    `loudest` is the peak of what the signal belongs to, if that may be louder.
    """
    frame = max(1, round(sample_rate * TRIM_FRAME_MS / 1000))
    peaks = np.abs(np.pad(signal, (0, -len(signal) % frame))).reshape(-1, frame).max(axis=1)
    loud = np.flatnonzero(peaks > peaks.max(initial=loudest) * 10 ** (TRIM_FLOOR_DB / 20))
    if not len(loud):
        return 0, 0
    guard = round(sample_rate * TRIM_GUARD_MS / 1000)
    start = max(0, int(loud[0]) * frame - guard)
    return start, min(len(signal), (int(loud[-1]) + 1) * frame + guard)


def louder(signal: Signal, gain_db: float) -> Signal:
    """The signal with a gain; itself if that is none."""
    return signal * np.float32(10 ** (gain_db / 20)) if gain_db else signal


def fade_edges(
    signal: Signal, *, sample_rate: int, first: bool = True, last: bool = True
) -> Signal:
    """A copy of a signal that was cut at both ends, or at the one named, faded in and out."""
    faded = signal.copy()
    fade_samples = min(round(sample_rate * EDGE_FADE_MS / 1000), len(signal) // 2)
    if fade_samples:
        angle = np.pi * (np.arange(fade_samples) + 0.5) / fade_samples
        ramp = (0.5 - 0.5 * np.cos(angle)).astype(np.float32)
        if first:
            faded[:fade_samples] *= ramp
        if last:
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


def best_join(
    tail: Signal, head: Signal, *, lags_samples: int, segment_samples: int
) -> tuple[int, int]:
    """The place and the shift (lag) at which two renderings of a stretch agree best.

    `tail`, shape (n,), is the earlier rendering; `head`, shape (n + 2 * lags_samples,), the later
    rendering with `lags_samples` more at both ends. Returns (position, lag), |lag| <= lags_samples:
    the crossfade is best centred on `tail[position]`, over `head[lags_samples + lag + position]`.

    Segments at up to `JOIN_PLACES` positions, evenly spread, are compared at every lag. The score
    2ab / (a² + b²) is 1 for equal segments and falls with a difference in shape or level. Segments
    far below the stretch's level, and unsteady segments, score little. If none agrees, the result
    is the quietest segment, with lag 0.
    """
    segment = min(segment_samples, len(tail))
    if segment < JOIN_PARTS:
        return len(tail) // 2, 0
    starts = np.unique(np.linspace(0, len(tail) - segment, JOIN_PLACES).astype(int))
    tails = sliding_window_view(tail, segment)[starts]
    heads = sliding_window_view(head, segment + 2 * lags_samples)[starts]
    tail_power = np.mean(tails.astype(np.float64) ** 2, axis=1)
    head_power = _sliding_power(head, segment)[starts[:, None] + np.arange(2 * lags_samples + 1)]
    power = tail_power[:, None] + head_power
    faint = JOIN_FAINT_POWER * power.max() + np.finfo(np.float64).tiny
    score = 2 * _correlate(heads, tails) / segment / (power + faint)
    score -= JOIN_UNSTEADY_COST * _unsteadiness(tails)[:, None]
    score -= JOIN_LAG_COST * np.abs(np.arange(-lags_samples, lags_samples + 1)) / (lags_samples + 1)
    place, lag = np.unravel_index(int(np.argmax(score)), score.shape)
    if score[place, lag] < JOIN_AGREES:
        place, lag = np.argmin(power[:, lags_samples]), np.intp(lags_samples)
    return int(starts[place]) + segment // 2, int(lag) - lags_samples


def _unsteadiness(segments: np.ndarray) -> np.ndarray:
    """Spread over mean of the power in a segment's parts: 0 for a steady sound, 2 for a click."""
    parts = [(part**2).mean(axis=1) for part in np.array_split(segments, JOIN_PARTS, axis=1)]
    return np.std(parts, axis=0) / np.maximum(np.mean(parts, axis=0), np.finfo(np.float32).tiny)


def _sliding_power(signal: Signal, samples: int) -> np.ndarray:
    """Mean square of every stretch of `samples`; shape (len(signal) - samples + 1,)."""
    sums = np.concatenate([[0.0], np.cumsum(signal.astype(np.float64) ** 2)])
    return np.maximum(sums[samples:] - sums[:-samples], 0) / samples


def _correlate(longer: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    """Dot products of each row of `shorter` with its row of `longer`, at every offset."""
    size = longer.shape[1]
    points = 1 << (size - 1).bit_length()  # no wrap-around: offsets end where `shorter` still fits
    spectrum = np.fft.rfft(longer, points) * np.conj(np.fft.rfft(shorter, points))
    return np.fft.irfft(spectrum, points)[:, : size - shorter.shape[1] + 1]


class ExactLength:
    """Passes on exactly `samples` samples: cuts off the rest, or adds silence at the end."""

    def __init__(self, write: Callable[[Signal], object], samples: int) -> None:
        self._write = write
        self._left = samples

    def write(self, block: Signal) -> None:
        block = block[: self._left]
        self._left -= len(block)
        self._write(block)

    def finish(self) -> None:
        self._write(np.zeros(self._left, np.float32))
        self._left = 0


class Joiner:
    """Joins chunks in their order, in whatever order they arrive, and passes samples on early.

    `write` receives mono float32 blocks. After a chunk with `pause_ms` 0 the next one overlaps it
    by `crossfade_ms`; otherwise silence of `pause_ms` follows. With `pause_ms` None the next one
    goes on where the chunk ends: both are pieces of a signal that is still being made. A seam is
    the sample where a chunk ends and its pause begins, or the middle of an overlap. `chunk_end` is
    called when a chunk and its pause are written, but for what is held back for an overlap.
    """

    def __init__(
        self,
        write: Callable[[Signal], object],
        *,
        sample_rate: int,
        crossfade_ms: float = 20,
        chunk_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._write = write
        self._chunk_end = chunk_end
        self._rate = sample_rate
        self._overlap = round(sample_rate * crossfade_ms / 1000)
        self._early: dict[int, tuple[Signal, float | None]] = {}
        self._tail = np.zeros(0, np.float32)  # the last samples, held back for a crossfade
        self._position = 0  # samples joined so far, the tail included
        self._spans: list[Span] = []
        self._seams: list[int] = []

    @property
    def next_index(self) -> int:
        """The index of the next chunk to join."""
        return len(self._spans)

    @property
    def samples(self) -> int:
        """The number of samples joined so far, pauses included."""
        return self._position

    def add(self, index: int, signal: Signal, *, pause_ms: float | None) -> None:
        """Take chunk `index`. An empty signal adds only its pause."""
        if index < self.next_index or index in self._early:
            raise ChatterError(f"chunk {index} was joined twice")
        self._early[index] = (signal, pause_ms)
        while self.next_index in self._early:
            self._append(*self._early.pop(self.next_index))

    def finish(self, chunks: int) -> Joined:
        """Write the held-back samples. Raises `ChatterError` unless all `chunks` came."""
        if self.next_index != chunks:
            raise ChatterError(
                f"chunk {self.next_index} of {chunks} never came (waiting: {sorted(self._early)})"
            )
        self._flush()
        return Joined(tuple(self._spans), tuple(self._seams), self._position)

    def _append(self, signal: Signal, pause_ms: float | None) -> None:
        overlap = min(len(self._tail), len(signal) // 2)
        start = self._position - overlap
        if self._spans:
            seam = start + overlap // 2 if overlap else self._spans[-1].end_samples
            self._seams.append(seam)
        self._spans.append(Span(start, start + len(signal)))
        if overlap:
            self._write(self._tail[:-overlap])
            mixed = crossfade(self._tail[-overlap:], signal[:overlap])
            signal = np.concatenate([mixed, signal[overlap:]])
        else:
            self._flush()
        self._position = start + len(signal)
        held = min(self._overlap if pause_ms == 0 else 0, len(signal) // 2)
        self._write(signal[: len(signal) - held])
        self._tail = signal[len(signal) - held :]
        self._pause(round(self._rate * (pause_ms or 0) / 1000))
        self._chunk_end()

    def _flush(self) -> None:
        self._write(self._tail)
        self._tail = self._tail[:0]

    def _pause(self, samples: int) -> None:
        self._position += samples
        block = SILENCE_BLOCK_S * self._rate
        for start in range(0, samples, block):
            self._write(np.zeros(min(block, samples - start), np.float32))
