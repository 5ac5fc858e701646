"""A true-peak limiter: it turns down what would exceed a ceiling, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from chatter_nb.audio.meter import TruePeaks
from chatter_nb.audio.reading import Signal

LOOK_AHEAD_MS = 5.0  # the gain falls so long before a peak; a shorter fall is heard as distortion
RELEASE_DB_PER_S = 60.0  # 6 dB in 100 ms: done before the next word


class Limiter:
    """Limits a mono signal to `ceiling_db` (dBTP), block by block.

    As many samples come out as went in, the last with `finish`. `deepest_db` is the largest
    reduction so far, at most 0; where there is none, samples are unchanged.
    """

    def __init__(self, sample_rate: int, *, ceiling_db: float) -> None:
        self._ceiling = 10 ** ((ceiling_db - 0.05) / 20)  # the gain moves between samples too
        self._release_db = RELEASE_DB_PER_S / sample_rate
        self._half = round(sample_rate * LOOK_AHEAD_MS / 2000)
        self._between = TruePeaks(sample_rate)
        self._delay = 2 * self._half + self._between.delay
        self._early = self._delay  # outputs still to come that lie before the signal
        self._signal = np.zeros(self._delay, np.float32)
        self._needed_db = np.zeros(2 * self._half)
        self._held_db = np.zeros(2 * self._half)
        self.deepest_db = 0.0

    def write(self, block: Signal) -> Signal:
        """Take samples, shape (n,); returns those before them that are ready."""
        signal = np.concatenate([self._signal, block])
        self._signal = signal[len(block) :]
        limited = signal[: len(block)] * self._gain(block)
        early = min(self._early, len(block))
        self._early -= early
        return limited[early:]

    def finish(self) -> Signal:
        """The last samples."""
        return self.write(np.zeros(self._delay, np.float32))

    def _gain(self, block: Signal) -> np.ndarray:
        """A smooth curve that is low enough when a peak comes; shape (n,), or 1."""
        peaks = np.maximum(self._between.of(block, above=self._ceiling), self._ceiling)
        needed_db = np.concatenate([self._needed_db, 20 * np.log10(self._ceiling / peaks)])
        self._needed_db = needed_db[len(block) :]
        if not needed_db.any() and not self._held_db.any():
            return np.ones(1, np.float32)
        lowest_db = _behind(minimum_filter1d, needed_db, 2 * self._half + 1)
        # From a low it rises in a straight line, until the next.
        rise_db = self._release_db * np.arange(1, len(block) + 1)
        risen_db = np.minimum.accumulate(lowest_db - rise_db) + rise_db
        risen_db = np.minimum(np.minimum(risen_db, self._held_db[-1] + rise_db), 0)
        held_db = np.concatenate([self._held_db, risen_db])
        self._held_db = held_db[len(block) :]
        once_db = _behind(uniform_filter1d, held_db, self._half + 1)
        gain_db = _behind(uniform_filter1d, once_db, self._half + 1)
        self.deepest_db = min(self.deepest_db, float(gain_db.min(initial=0.0)))
        return np.exp(gain_db * (np.log(10) / 20)).astype(np.float32)


def _behind(function: Callable[..., np.ndarray], values: np.ndarray, size: int) -> np.ndarray:
    """A filter over each value and the `size` - 1 before it, where there are so many."""
    return function(values, size)[size // 2 :][: len(values) - size + 1]
