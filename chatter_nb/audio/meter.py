"""How loud a signal is: LUFS and true peak (ITU-R BS.1770-4), RMS and noise floor, as it comes.

Not here: which levels a shop asks for (`targets`), and how a file is read for it (`measuring`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SILENCE_DB = -120.0  # stands for everything below it, and for nothing to measure
HOP_S = 0.1
BLOCK_HOPS = 4  # loudness is gated in blocks of 400 ms that overlap by three quarters
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
FLOOR_HOPS = 5  # the quietest half second is the noise floor, as in Audacity's ACX Check
_LUFS_OFFSET = -0.691  # makes a 997 Hz tone of 0 dBFS in one channel -3.01 LUFS
_OVERSAMPLED_HZ = 160_000  # at least: four times 44.1 kHz and more, eight times lower rates
_TAPS = 24  # of each phase of the interpolation
_BEFORE = _TAPS // 2 - 1  # samples of its window before the sample that it starts from
_ROWS = 1024  # so few that BLAS starts no threads: on a busy machine they wait for each other


@dataclass(frozen=True)
class Loudness:
    """The levels of a signal in dB relative to full scale, none below `SILENCE_DB`.

    `rms_db` is of all samples; `lufs`, which is gated, needs 400 ms; `floor_db` is the RMS of the
    quietest half second.
    """

    duration_s: float
    channels: int
    rms_db: float
    lufs: float
    true_peak_db: float
    floor_db: float


class Meter:
    """Measures a signal of one or two channels, block by block. Ten hours take 6 MB."""

    def __init__(self, sample_rate: int, *, channels: int = 1) -> None:
        self._rate, self._channels = sample_rate, channels
        self._hop = round(sample_rate * HOP_S)
        self._filter = _k_weighting(sample_rate)
        self._state = np.zeros((2, 2, channels))
        self._between = [TruePeaks(sample_rate) for _ in range(channels)]
        self._peak = 0.0
        self._rest = np.zeros((0, channels))
        self._samples = 0
        self._powers = [np.zeros((2, 0))]  # plain and weighted, a value for each hop

    def write(self, block: np.ndarray) -> None:
        """Take samples of shape (n,) or (n, channels)."""
        channels = block.reshape(-1, self._channels)
        self._samples += len(channels)
        self._look_between(channels)
        signal = np.concatenate([self._rest, channels])
        whole = len(signal) - len(signal) % self._hop
        self._rest = signal[whole:]
        if whole:
            from scipy.signal import sosfilt  # loading it takes 0.2 s

            weighted, self._state = sosfilt(self._filter, signal[:whole], axis=0, zi=self._state)
            both = np.square([signal[:whole], weighted])
            hops = both.reshape(2, -1, self._hop * self._channels)
            self._powers.append(hops.sum(axis=2) / self._hop)

    def result(self) -> Loudness:
        """The levels of all samples. The meter takes no more."""
        self._look_between(np.zeros((TruePeaks.delay, self._channels)))
        plain, weighted = np.concatenate(self._powers, axis=1)
        energy = plain.sum() * self._hop + np.square(self._rest).sum()
        power = energy / max(1, self._samples) / self._channels
        quietest = _sliding_mean(plain, FLOOR_HOPS).min(initial=np.inf) / self._channels
        return Loudness(
            duration_s=self._samples / self._rate,
            channels=self._channels,
            rms_db=_db(power),
            lufs=_gated_lufs(_sliding_mean(weighted, BLOCK_HOPS)),
            true_peak_db=_db(self._peak**2),
            floor_db=_db(quietest if np.isfinite(quietest) else power),
        )

    def _look_between(self, channels: np.ndarray) -> None:
        for between, channel in zip(self._between, channels.T, strict=True):
            peaks = between.of(channel.astype(np.float32), above=self._peak)
            self._peak = max(self._peak, float(peaks.max(initial=0.0)))


class TruePeaks:
    """The peaks of one channel between its samples; it comes in blocks. They are `delay` late."""

    delay = _TAPS - 1 - _BEFORE

    def __init__(self, sample_rate: int) -> None:
        factor = 4 if 4 * sample_rate >= _OVERSAMPLED_HZ else 8
        # A windowed sinc for every fraction of a sample; the first is the sample itself.
        away = (np.arange(_TAPS) - _BEFORE)[:, None] - np.arange(factor) / factor
        taps = np.sinc(away) * np.i0(6 * np.sqrt(np.clip(1 - (2 * away / _TAPS) ** 2, 0, 1)))
        self._phases = (taps / taps.sum(axis=0)).astype(np.float32)
        # No value between samples is larger than the largest sample around it, times this.
        self._overshoot = float(np.abs(self._phases).sum(axis=0).max())
        self._history = np.zeros(_TAPS - 1, np.float32)

    def of(self, block: np.ndarray, *, above: float) -> np.ndarray:
        """The largest magnitude from each sample to the next, shape (n,).

        Values of at most `above` may come out as 0: where all is quiet, nothing is computed.
        """
        signal = np.concatenate([self._history, block])
        self._history = signal[len(block) :]
        counts = np.concatenate([[0], np.cumsum(np.abs(signal) * self._overshoot > above)])
        loud = np.flatnonzero(counts[_TAPS:] > counts[:-_TAPS])
        peaks = np.zeros(len(block), np.float32)
        for start in range(0, len(loud), _ROWS):
            rows = loud[start : start + _ROWS]
            windows = sliding_window_view(signal, _TAPS)[rows]
            peaks[rows] = np.abs(windows @ self._phases).max(axis=1)
        return peaks


def _k_weighting(sample_rate: int) -> np.ndarray:
    """A shelf for the head and a high-pass, as second-order sections.

    The standard gives them at 48 kHz; this is the bilinear transform of the same analog filters.
    """
    k = np.tan(np.pi * np.array([1681.974450955533, 38.13547087602444]) / sample_rate)
    q = np.array([0.7071752369554196, 0.5003270373238773])
    high = 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416 * k[0] / q[0]
    poles = np.stack([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k], axis=1)
    shelf = [high + middle + k[0] ** 2, 2 * (k[0] ** 2 - high), high - middle + k[0] ** 2]
    high_pass = 1.004995 * np.array([1, -2, 1])  # 1, -2, 1 over poles that start with 1 at 48 kHz
    return np.concatenate([[shelf, high_pass], poles], axis=1) / poles[:, :1]


def _gated_lufs(powers: np.ndarray) -> float:
    """The loudness of blocks of 400 ms, given by their power."""
    loudness = 10 * np.log10(np.maximum(powers, 1e-30)) + _LUFS_OFFSET
    heard = loudness > ABSOLUTE_GATE_LUFS
    if not heard.any():
        return SILENCE_DB
    gate = _db(powers[heard].mean()) + _LUFS_OFFSET + RELATIVE_GATE_LU
    return _db(powers[heard & (loudness > gate)].mean()) + _LUFS_OFFSET


def _sliding_mean(values: np.ndarray, count: int) -> np.ndarray:
    if len(values) < count:
        return np.zeros(0)
    return sliding_window_view(values, count).mean(axis=1)


def _db(power: float) -> float:
    return max(SILENCE_DB, 10 * float(np.log10(max(power, 1e-30))))
