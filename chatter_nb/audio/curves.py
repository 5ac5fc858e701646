"""Measures an audio file for a plot: its envelope and its pitch, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chatter_nb.audio.containers import Opened, open_recording
from chatter_nb.audio.reading import Signal

READ_SAMPLES = 1 << 18
# 60 s hold some 3000 voiced frames: a median moves by less than 1 Hz with more of them.
PITCH_S = 60.0
PITCH_HZ = (60.0, 700.0)  # from a low voice to a child's
FRAME_MS = 10.0
MIN_VOICED_SHARE = 0.05  # half of speech is voiced; below, in noise, a pitch is chance


def duration_s(path: Path) -> float:
    """The length of a file in seconds."""
    with open_recording(path) as file:
        return file.frames / file.samplerate


def envelope(
    path: Path, *, start_s: float = 0.0, end_s: float | None = None, bins: int = 1600
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The envelope of a file from `start_s` to `end_s`, in flat memory; channels are averaged.

    Returns three arrays of one value for each of at most `bins` stretches: the times of their
    middles in seconds, their lowest and their highest samples.
    """
    with open_recording(path) as file:
        rate = file.samplerate
        first = min(round(start_s * rate), file.frames)
        last = file.frames if end_s is None else min(round(end_s * rate), file.frames)
        step = max(1, -(-(last - first) // bins))
        if first:
            file.seek(first)
        block = step * max(1, READ_SAMPLES // step)
        parts = [
            extremes(_mono(file, min(block, last - start)), step)
            for start in range(first, last, block)
        ]
    low, high = np.concatenate([np.zeros((2, 0), np.float32), *parts], axis=1)
    return (first + (np.arange(len(low)) + 0.5) * step) / rate, low, high


def stretch(path: Path, *, start_s: float, end_s: float) -> tuple[Signal, int]:
    """The samples of a file (mono float32) from `start_s` to `end_s`, and their rate in Hz."""
    with open_recording(path) as file:
        first, last = (min(round(s * file.samplerate), file.frames) for s in (start_s, end_s))
        if first:
            file.seek(first)
        return _mono(file, last - first), file.samplerate


@dataclass(frozen=True)
class PitchTrack:
    """The pitch in Hz at `times_s`, NaN if a frame has none; both of shape (frames,)."""

    times_s: np.ndarray
    f0_hz: np.ndarray

    @property
    def median_hz(self) -> float | None:
        """The median pitch of the voiced frames; None if they are too few."""
        voiced = self.f0_hz[np.isfinite(self.f0_hz)]
        enough = len(voiced) > MIN_VOICED_SHARE * len(self.f0_hz)
        return float(np.median(voiced)) if enough else None


def pitch_track(path: Path, *, longest_s: float = PITCH_S) -> PitchTrack:
    """The pitch of a file's first `longest_s` seconds."""
    with open_recording(path) as file:
        rate = file.samplerate
        return pitch_of(_mono(file, min(file.frames, round(longest_s * rate))), rate)


def pitch_of(signal: Signal, rate: int) -> PitchTrack:
    """The pitch of a signal at `rate` Hz, by WORLD's DIO and StoneMask."""
    import pyworld

    signal = signal.astype(np.float64)
    low_hz, high_hz = PITCH_HZ
    rough, times_s = pyworld.dio(
        signal, rate, f0_floor=low_hz, f0_ceil=high_hz, frame_period=FRAME_MS
    )
    f0_hz = pyworld.stonemask(signal, rough, times_s, rate)
    return PitchTrack(times_s, np.where(f0_hz > 0, f0_hz, np.nan))


def _mono(file: Opened, samples: int) -> np.ndarray:
    return file.read(samples, dtype="float32", always_2d=True).mean(axis=1)


def extremes(samples: np.ndarray, step: int) -> np.ndarray:
    """Lowest and highest sample of each stretch of `step`, shape (2, stretches)."""
    starts = np.arange(0, len(samples), max(1, step))
    return np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)])
