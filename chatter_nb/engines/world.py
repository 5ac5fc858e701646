"""The embedded conversion: WORLD, a vocoder that takes speech apart into pitch, timbre and breath.

It moves a source's pitch and broad timbre towards the target's, on any CPU and much faster than
real time. It is not a clone: accent, intonation and the detail of a voice stay the source's, and
the vocoder adds a buzz.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyworld

from chatter_nb.audio.reading import Signal, resample
from chatter_nb.audio.windows import Window
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.base.version import installed_version
from chatter_nb.engines.aligned import MARGIN_SAMPLES, RATE_HZ, STEP_SAMPLES, AlignedJoiner
from chatter_nb.engines.base import Voice
from chatter_nb.engines.registry import VC_ENGINES

if TYPE_CHECKING:
    from chatter_nb.engines.voices import Library

REVISION = 1  # of how windows are made here: with another revision, kept windows are made anew
FRAME_MS = 5.0
FFT_SIZE = 1024  # the least that resolves WORLD's lowest pitch, 71 Hz, at this rate
BIN_HZ = RATE_HZ / FFT_SIZE

CONTEXT_SAMPLES = RATE_HZ // 2  # analysed on both sides of a window, so that the pitch settles

SOURCE_S, SOURCE_EXCERPTS = 60, 12
TARGET_S, TARGET_EXCERPTS = 30, 1
MIN_TARGET_S = 1.0
MIN_VOICED_FRAMES = 20  # 0.1 s: below, a pitch is chance

PITCH_HZ = (60.0, 700.0)
MAX_PITCH_SHIFT = 1.25 * np.log(2)  # in log f0: 1.25 octaves, from a low voice to a child's
PITCH_RANGE_RATIO = (0.5, 2.0)
WARPS = np.exp(np.linspace(np.log(0.85), np.log(1.18), 34))  # vocal tracts differ by as much
WARP_BAND_HZ = (200.0, 5000.0)  # the formants; below lies the pitch, above the consonants
WARP_COST_DB = 1.0  # for a warp by a factor e: of warps that fit alike, the smaller wins
SMOOTH_HZ = 600.0  # broader than a formant: tone colour, not vowels
MAX_COLOUR_DB = 9.0

_DB = 10 / np.log(10)  # log power to dB


@dataclass(frozen=True)
class Profile:
    """Measurements of a speaker: mean and spread of log f0 (f0 in Hz), mean log power spectrum.

    `voiced` counts the measured frames; if it is 0, the other figures mean nothing.
    """

    voiced: int
    log_f0_mean: float
    log_f0_std: float
    envelope: np.ndarray


class WorldConverter:
    """`ConvertEngine` over `pyworld`. It draws no random numbers: a seed changes nothing."""

    name = "world"
    sample_rate = RATE_HZ
    source_rate = RATE_HZ
    accepts = VC_ENGINES[name].accepts
    device = "cpu"
    precision = "exact"
    watermarked = False
    min_voice_s: float | None = MIN_TARGET_S
    needs_voice = True
    rows = 1
    typical_rtf = 0.1  # 2-core server CPU: 0.08, and 2 s to measure a long source

    def __init__(self, *, device: str = "cpu", checkpoint: str = "") -> None:
        # `pyworld-prebuilt` is the same package, built for more machines.
        version = installed_version("pyworld-prebuilt") or installed_version("pyworld")
        self.version = f"{version}+r{REVISION}"

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """Measure a target recording; a second is enough, ten are better."""
        if not voice:
            raise ParamError(
                "engine 'world' has no voice of its own: it needs a target recording, "
                "by its name in the library or its path (target)"
            )
        recording = library.recording(voice, min_s=MIN_TARGET_S, heard_s=TARGET_S)
        signal = resample(recording.signal, recording.sample_rate, RATE_HZ)
        profile = measure(_excerpts(signal, TARGET_S, TARGET_EXCERPTS))
        if not profile.voiced:
            raise InputError(
                f"voice {recording.path.name}: no voiced speech found in its first {TARGET_S} s; "
                "give a recording of one person speaking"
            )
        return Voice(recording.name, recording.content_hash, profile, recording.notes)

    def steps(self, samples: int) -> int:
        return -(-samples // STEP_SAMPLES)

    def begin(
        self, source: Signal, voice: Voice, *, seed: int, knobs: Mapping[str, float | int]
    ) -> WorldConversion:
        speaker = measure(_excerpts(source, SOURCE_S, SOURCE_EXCERPTS))
        return WorldConversion(source, self.steps(len(source)), Change.between(speaker, voice.data))


@dataclass(frozen=True)
class Change:
    """The change of every frame of a recording, the same in all windows.

    log f0 becomes `centre + stretch * (log f0 - source_centre)`; the spectrum is stretched along
    frequency by `warp` and multiplied by `exp(colour)`, its power kept.
    """

    source_centre: float
    centre: float
    stretch: float
    warp: float
    colour: np.ndarray

    @classmethod
    def between(cls, speaker: Profile, target: Profile) -> Change:
        """The change from `speaker` to `target`, within bounds; none for a source without voice."""
        if not speaker.voiced:
            return cls(0.0, 0.0, 1.0, 1.0, np.zeros(FFT_SIZE // 2 + 1))
        shift = np.clip(target.log_f0_mean - speaker.log_f0_mean, -MAX_PITCH_SHIFT, MAX_PITCH_SHIFT)
        stretch = np.clip(target.log_f0_std / max(speaker.log_f0_std, 1e-3), *PITCH_RANGE_RATIO)
        warp = _likeliest_warp(speaker.envelope, target.envelope)
        colour = _smooth(target.envelope - _stretch(speaker.envelope, warp))
        bound = MAX_COLOUR_DB / _DB
        bounded = np.clip(colour - np.mean(colour), -bound, bound)
        centre = speaker.log_f0_mean
        return cls(centre, centre + float(shift), float(stretch), warp, bounded)

    def pitch(self, f0: np.ndarray) -> np.ndarray:
        """f0 in Hz, 0 where unvoiced, shape (frames,)."""
        moved = np.zeros_like(f0)
        voiced = f0 > 0
        log_f0 = self.centre + self.stretch * (np.log(f0[voiced]) - self.source_centre)
        moved[voiced] = np.clip(np.exp(log_f0), *PITCH_HZ)
        return moved

    def spectrum(self, power: np.ndarray) -> np.ndarray:
        """Power spectra, shape (frames, bins); each keeps its total power."""
        changed = np.exp(_stretch(np.log(power), self.warp) + self.colour)
        changed *= power.sum(axis=1, keepdims=True) / changed.sum(axis=1, keepdims=True)
        return changed


class WorldConversion:
    """`Conversion` of a source. Each window is made alone, from its own part of the source."""

    def __init__(self, source: Signal, steps: int, change: Change) -> None:
        self.steps = steps
        self._source = source
        self._change = change

    def shape(self, window: Window) -> int:
        """Every window has a shape of its own: windows are made separately."""
        return window.index

    def convert(self, windows: Sequence[Window]) -> list[Signal]:
        """Each window's samples, with `MARGIN_SAMPLES` more before and after them."""
        return [self._converted(window) for window in windows]

    def _converted(self, window: Window) -> Signal:
        start, end = window.start * STEP_SAMPLES, window.end * STEP_SAMPLES
        heard = _slice(self._source, start - CONTEXT_SAMPLES, end + CONTEXT_SAMPLES)
        signal, change = heard.astype(np.float64), self._change
        f0, times, power = _analyse(signal)
        breath = _stretch(pyworld.d4c(signal, f0, times, RATE_HZ, fft_size=FFT_SIZE), change.warp)
        pitch, spectrum = change.pitch(f0), change.spectrum(power)
        converted = pyworld.synthesize(pitch, spectrum, breath, RATE_HZ, FRAME_MS)
        first = CONTEXT_SAMPLES - MARGIN_SAMPLES
        return converted[first : first + end - start + 2 * MARGIN_SAMPLES].astype(np.float32)

    def joiner(self, write: Callable[[Signal], object]) -> AlignedJoiner:
        return AlignedJoiner(write)


def measure(excerpts: list[Signal]) -> Profile:
    """The speaker's profile over the voiced frames of all excerpts."""
    pitches, spectra = [], []
    for excerpt in excerpts:
        f0, _, power = _analyse(excerpt.astype(np.float64))
        pitches.append(np.log(f0[f0 > 0]))
        spectra.append(np.log(power[f0 > 0]))
    log_f0, log_power = np.concatenate(pitches), np.concatenate(spectra)
    if len(log_f0) < MIN_VOICED_FRAMES:
        return Profile(0, 0.0, 0.0, np.zeros(FFT_SIZE // 2 + 1))
    return Profile(
        len(log_f0), float(np.mean(log_f0)), float(np.std(log_f0)), log_power.mean(axis=0)
    )


def _analyse(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f0 in Hz (0: unvoiced), the frames' times in s, power spectra of shape (frames, bins).

    DIO and StoneMask take a tenth of Harvest's time.
    """
    rough, times = pyworld.dio(signal, RATE_HZ, frame_period=FRAME_MS)
    f0 = pyworld.stonemask(signal, rough, times, RATE_HZ)
    power = pyworld.cheaptrick(signal, f0, times, RATE_HZ, fft_size=FFT_SIZE)
    return f0, times, power


def _excerpts(signal: Signal, total_s: int, count: int) -> list[Signal]:
    """At most `total_s` of a signal: all of it, or `count` evenly spaced pieces."""
    if len(signal) <= total_s * RATE_HZ:
        return [_slice(signal, 0, max(len(signal), FFT_SIZE))]
    length = total_s * RATE_HZ // count
    starts = np.linspace(0, len(signal) - length, count).astype(int)
    return [signal[start : start + length] for start in starts]


def _slice(signal: Signal, start: int, end: int) -> Signal:
    """`signal[start:end]` with silence where it has no samples."""
    inside = signal[max(start, 0) : max(end, 0)]
    before = max(0, -start)
    return np.pad(inside, (before, end - start - before - len(inside)))


def _stretch(spectrum: np.ndarray, warp: float) -> np.ndarray:
    """Move bin k to bin k * warp; shape (..., bins). The top bin fills bins beyond it."""
    bins = spectrum.shape[-1]
    place = np.minimum(np.arange(bins) / warp, bins - 1)
    below = np.minimum(place.astype(int), bins - 2)
    share = place - below
    lower, upper = (np.take(spectrum, at, axis=-1) for at in (below, below + 1))
    return lower + (upper - lower) * share


def _smooth(spectrum: np.ndarray) -> np.ndarray:
    """A log spectrum, shape (bins,), without detail finer than `SMOOTH_HZ`."""
    half = round(SMOOTH_HZ / BIN_HZ)
    kernel = np.hanning(2 * half + 1)
    return np.convolve(np.pad(spectrum, half, mode="edge"), kernel / kernel.sum(), mode="valid")


def _likeliest_warp(speaker: np.ndarray, target: np.ndarray) -> float:
    """The warp that makes the speaker's mean log spectrum most like the target's.

    Tilt and level do not count.
    """
    band = slice(*(round(hz / BIN_HZ) for hz in WARP_BAND_HZ))
    position = np.linspace(-1, 1, band.stop - band.start)

    def unlikeness(warp: float) -> float:
        difference = (_stretch(speaker, warp) - target)[band]
        difference = difference - np.polyval(np.polyfit(position, difference, 1), position)
        return float(np.std(difference)) * _DB + WARP_COST_DB * abs(float(np.log(warp)))

    return float(min(WARPS, key=unlikeness))
