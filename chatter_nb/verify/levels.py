"""How loud a chunk is in every 10 ms, against its own speech; stretches of frames."""

from __future__ import annotations

import numpy as np

from chatter_nb.audio.reading import Signal

FRAME_S = 0.01
LOUD_DB = -25.0  # against the chunk's loud speech: louder than breath, quieter than any vowel
_SPEECH_PERCENTILE = 95
_FLOOR = 1e-9


def levels_db(audio: Signal, sample_rate: int) -> np.ndarray:
    """RMS of every whole frame of 10 ms, in dB against the loud speech of the chunk."""
    samples = max(1, round(sample_rate * FRAME_S))
    frames = audio[: len(audio) // samples * samples].reshape(-1, samples)
    level = 20 * np.log10(np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1)) + _FLOOR)
    return level - np.percentile(level, _SPEECH_PERCENTILE) if len(level) else level


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of every run of True values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
