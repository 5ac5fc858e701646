"""Measures a stretch of speech: loudness, pace, long-term spectrum. It draws nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import numpy as np

from chatter_nb.audio.reading import Signal

FRAME_MS = 20.0  # shorter than a syllable, longer than a pitch period
PAUSE_DB = 40.0  # a frame this far below the loudest frame is a pause, or noise in a pause
MIN_LUFS_S = 0.4  # the length of a block in BS.1770, which measures nothing shorter
FFT_MS = 64.0  # resolves a low voice's harmonics, which the bands then add up
BANDS_HZ = 1000 * 2.0 ** (np.arange(-13, 14) / 3)  # third octaves, 50 Hz to 20 kHz
SILENCE_DB = -120.0


@dataclass(frozen=True)
class Spectrum:
    """Mean power in dB of full scale, in third octaves around `bands_hz`; both (bands,)."""

    bands_hz: np.ndarray
    level_db: np.ndarray


@dataclass(frozen=True)
class Acoustics:
    """The numbers of a stretch of audio. `letters_per_s` is None where no text is known."""

    audio_s: float
    speech_s: float
    loudness: float  # in `loudness_unit()`
    letters_per_s: float | None
    spectrum: Spectrum


def measure(signal: Signal, rate_hz: int, text: str = "") -> Acoustics:
    """Measure `signal`, mono, shape (samples,). The pace counts letters and digits of `text`."""
    active = speech_frames(signal, rate_hz)
    speech_s = float(active.sum()) * FRAME_MS / 1000
    letters = sum(character.isalnum() for character in text)
    return Acoustics(
        audio_s=len(signal) / rate_hz,
        speech_s=speech_s,
        loudness=loudness(signal, rate_hz),
        letters_per_s=letters / speech_s if letters and speech_s else None,
        spectrum=spectrum(signal, rate_hz),
    )


def loudness_unit() -> str:
    """Return "LUFS" where pyloudnorm is installed, else "dB": the mean level outside pauses."""
    return "LUFS" if _has_pyloudnorm() else "dB"


def loudness(signal: Signal, rate_hz: int) -> float:
    """Return the loudness in `loudness_unit()`, without the pauses; -120 for silence."""
    if _has_pyloudnorm() and len(signal) >= MIN_LUFS_S * rate_hz:
        import pyloudnorm

        return max(SILENCE_DB, float(pyloudnorm.Meter(rate_hz).integrated_loudness(signal)))
    frames = _frames(signal, rate_hz)[speech_frames(signal, rate_hz)]
    return _db(float(np.mean(frames**2))) if frames.size else SILENCE_DB


def speech_frames(signal: Signal, rate_hz: int) -> np.ndarray:
    """Return (frames,): is a frame of 20 ms less than 40 dB below the loudest frame?"""
    power = np.mean(_frames(signal, rate_hz) ** 2, axis=1)
    loudest = float(power.max(initial=0))
    return power > max(loudest * 10 ** (-PAUSE_DB / 10), 10 ** (SILENCE_DB / 10))


def spectrum(signal: Signal, rate_hz: int) -> Spectrum:
    """Return the mean spectrum over time, up to the highest band below half the sample rate."""
    from scipy.signal import welch

    size = min(max(16, len(signal)), 2 ** round(np.log2(FFT_MS / 1000 * rate_hz)))
    padded = np.pad(signal, (0, max(0, size - len(signal))))
    hz, power = welch(padded, rate_hz, nperseg=size, scaling="density")
    upper_hz = BANDS_HZ * 2 ** (1 / 6)
    bands_hz = BANDS_HZ[upper_hz <= rate_hz / 2]
    edges_hz = np.append(bands_hz * 2 ** (-1 / 6), bands_hz[-1] * 2 ** (1 / 6))
    # A band's power is a difference of integrals: the lowest bands are narrower than `hz` steps.
    total = np.append(0, np.cumsum(power) * (hz[1] - hz[0]))
    upto = np.interp(edges_hz, np.append(0, hz + (hz[1] - hz[0]) / 2), total)
    return Spectrum(bands_hz, np.array([_db(float(level)) for level in np.diff(upto)]))


def _frames(signal: Signal, rate_hz: int) -> np.ndarray:
    """Cut into whole frames, shape (frames, samples); a signal below 20 ms is a single frame."""
    size = min(max(1, len(signal)), round(FRAME_MS / 1000 * rate_hz))
    whole = len(signal) // size * size
    return np.asarray(signal[:whole], np.float64).reshape(-1, size)


def _db(power: float) -> float:
    return max(SILENCE_DB, 10 * float(np.log10(max(power, 1e-20))))


@cache
def _has_pyloudnorm() -> bool:
    return find_spec("pyloudnorm") is not None
