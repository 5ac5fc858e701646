"""Reads recordings: decoded, checked, mixed to mono, resampled. `writer` writes them.

Inside the package audio is mono float32, full scale 1.0. Everything that is read passes
`check_signal` once; inner functions trust it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
import soxr

from chatter_nb.audio.containers import Opened, open_recording
from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.base.formats import READABLE

Signal = np.ndarray[tuple[int], np.dtype[np.float32]]
_Read = TypeVar("_Read")

_COPY_FRAMES = 1 << 20  # of one channel; fewer frames of many
RATES_HZ = (4_000, 384_000)  # a header's 1 Hz would be resampled to thousands of times its samples
CANCELLED_DB = -10.0  # power of the channels' mean, against that of the mean of unrelated channels
WHOLE_S = 600  # longer recordings are resampled block by block; upstream resamples the whole


def check_signal(signal: Any, *, where: str, error: type[ChatterError] = InputError) -> Signal:
    """`signal` as float32, shape (samples,). Raises `error` unless it is mono and finite."""
    array = np.asarray(signal)
    if array.ndim != 1:
        raise error(f"{where}: audio must be mono, shape (samples,), not {array.shape}")
    if not np.issubdtype(array.dtype, np.floating):
        raise error(f"{where}: audio must be floating point, not {array.dtype}")
    if not np.isfinite(peak(array)):
        bad = array.size - np.count_nonzero(np.isfinite(array))
        raise error(f"{where}: {bad} of {array.size} samples are NaN or infinite")
    return array.astype(np.float32, copy=False)


def peak(signal: np.ndarray) -> float:
    """The largest magnitude; 0 for no samples, NaN if any is. Makes no copy of the signal."""
    return max(float(signal.max()), -float(signal.min())) if len(signal) else 0.0


@dataclass(frozen=True)
class Inspected:
    """The size and peak of a recording, after one reading; `samples` are those of each channel.

    `channel` is the only channel that is used, if the channels cancel each other; see
    `read_recording`.
    """

    samples: int
    sample_rate: int
    channels: int
    peak: float
    channel: int | None = None

    @property
    def duration_s(self) -> float:
        return self.samples / self.sample_rate


def inspect_audio(path: str | Path, *, longest_s: float = math.inf) -> Inspected:
    """Read a recording to its end, in flat memory. Raises `InputError` as `read_audio` does.

    Also raises it after `longest_s` seconds, without reading more: a small file may hold days.
    """

    def inspect(mix: _Mix) -> Inspected:
        with _opened(path) as file:
            samples, top = 0, 0.0
            for block in _mono_blocks(file, path, mix):
                samples, top = samples + len(block), max(top, peak(block))
                if samples > longest_s * file.samplerate:
                    raise InputError(f"recording {path} is longer than {longest_s:g} s")
            return Inspected(samples, file.samplerate, file.channels, top, mix.channel)

    return _mixed(inspect)


@dataclass(frozen=True)
class MonoRecording:
    """A recording as mono samples. `channel` is the only channel that was used, or None for all."""

    signal: Signal
    sample_rate: int
    channel: int | None = None


def read_recording(path: str | Path, *, sample_rate: int | None = None) -> MonoRecording:
    """A recording as mono float32, its channels averaged, resampled to `sample_rate` (Hz) if given.

    If channels cancel each other (one is another upside down), only the loudest is used. Needs
    memory for the resulting signal only, except that up to `WHOLE_S` seconds are resampled as a
    whole. Raises `InputError` for a file that is missing, empty, cut off, holds NaN or infinities,
    or is no audio that libsndfile or FFmpeg can read.
    """

    def read(mix: _Mix) -> MonoRecording:
        with _opened(path) as file:
            rate = file.samplerate
            blocks = _mono_blocks(file, path, mix)
            if sample_rate in (None, rate):
                return MonoRecording(_gathered(blocks, file.frames), rate, mix.channel)
            assert sample_rate is not None
            if file.frames <= WHOLE_S * rate:
                signal = resample(_gathered(blocks, file.frames), rate, sample_rate)
            else:
                length = resampled_length(file.frames, rate, sample_rate)
                signal = _gathered(resample_blocks(blocks, rate, sample_rate), length)
            return MonoRecording(signal, sample_rate, mix.channel)

    return _mixed(read)


def read_audio(path: str | Path, *, sample_rate: int | None = None) -> tuple[Signal, int]:
    """A recording as mono float32 and its rate in Hz; see `read_recording`."""
    recording = read_recording(path, sample_rate=sample_rate)
    return recording.signal, recording.sample_rate


def mix_notes(channel: int | None, *, where: str) -> list[str]:
    """A note if only one channel of a recording is used (`channel`, from 0); else nothing."""
    if channel is None:
        return []
    return [
        f"{where}: its channels cancel each other (one is another upside down): channel "
        f"{channel + 1} alone is taken"
    ]


def resample(signal: Signal, from_hz: int, to_hz: int) -> Signal:
    """Resample band-limited (soxr, HQ) to ceil(n · to_hz / from_hz) samples, as librosa does."""
    return _of_length(
        soxr.resample(signal, from_hz, to_hz), resampled_length(len(signal), from_hz, to_hz)
    )


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """The number of samples that `resample` returns for `samples`."""
    return -(-samples * to_hz // from_hz)


def resample_blocks(blocks: Iterable[Signal], from_hz: int, to_hz: int) -> Iterator[Signal]:
    """Resample on the way, in flat memory; `resample` says to how many samples."""
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
    taken = made = 0
    for block in blocks:
        taken += len(block)
        ready = stream.resample_chunk(block)
        made += len(ready)
        yield ready
    rest = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    yield _of_length(rest, resampled_length(taken, from_hz, to_hz) - made)


def _gathered(blocks: Iterable[Signal], expected: int) -> Signal:
    """All blocks as one array; without a second copy if they hold at most `expected` samples."""
    signal = np.empty(expected, np.float32)
    filled = 0
    for block in blocks:
        if filled + len(block) > len(signal):  # an mp3's header may promise less than it holds
            signal = np.concatenate([signal, np.empty(len(signal) + len(block), np.float32)])
        signal[filled : filled + len(block)] = block
        filled += len(block)
    return signal[:filled]


def _of_length(signal: Signal, samples: int) -> Signal:
    if len(signal) < samples:
        return np.pad(signal, (0, samples - len(signal)))
    return signal[:samples]


@contextmanager
def _opened(path: str | Path) -> Iterator[Opened]:
    if not Path(path).is_file():
        raise InputError(f"recording {path} does not exist")
    try:
        with open_recording(path) as file:
            if file.is_cut_off:
                raise _cut_off(path, file.frames / file.samplerate)
            if not RATES_HZ[0] <= file.samplerate <= RATES_HZ[1]:
                raise InputError(
                    f"recording {path} has {file.samplerate} Hz; from {RATES_HZ[0]} to "
                    f"{RATES_HZ[1]} Hz are taken"
                )
            yield file
    except soundfile.LibsndfileError as error:
        reasons = f"{error.error_string} {error.__cause__} (readable: {READABLE})"
        raise InputError(f"cannot read recording {path}: {reasons}") from error
    except OSError as error:
        raise InputError(f"cannot read recording {path}: {error.strerror or error}") from error


def _cut_off(path: str | Path, there_s: float) -> InputError:
    return InputError(
        f"recording {path} is cut off: its header promises more than its {there_s:.1f} s; "
        "copy it again"
    )


def _mono_blocks(file: Opened, path: str | Path, mix: _Mix) -> Iterator[Signal]:
    read = 0
    frames = max(1, _COPY_FRAMES // file.channels)  # a file may say that it has 1024
    while len(channels := file.read(frames, dtype="float32", always_2d=True)):
        read += len(channels)
        yield check_signal(mix.of(channels), where=str(path))
    if not read:
        raise InputError(f"recording {path} holds no sound (0 samples)")
    if file.falls_short(read):
        raise _cut_off(path, read / file.samplerate)


class _Mix:
    """Mixes channels to mono: their mean, or only `channel`."""

    def __init__(self, channel: int | None = None) -> None:
        self.channel = channel
        self._powers: np.ndarray = np.zeros(1)  # of each channel
        self._mean_power = 0.0

    def of(self, channels: np.ndarray) -> Signal:
        """The mono signal of a block of shape (samples, channels)."""
        if self.channel is not None:
            return channels[:, self.channel].copy()
        mean = channels.mean(axis=1)
        if channels.shape[1] > 1:
            self._powers = self._powers + np.einsum("sc,sc->c", channels, channels)
            self._mean_power += float(np.dot(mean, mean))
        return mean

    def loudest_of_cancelled(self) -> int | None:
        """The loudest channel if the channels cancel each other in their mean; else None."""
        unrelated = float(self._powers.sum()) / len(self._powers) ** 2
        if self._mean_power < unrelated * 10 ** (CANCELLED_DB / 10):
            return int(np.argmax(self._powers))
        return None


def _mixed(read: Callable[[_Mix], _Read]) -> _Read:
    """The result of `read` for the mean of a recording's channels, or else for the loudest."""
    mix = _Mix()
    result = read(mix)
    loudest = mix.loudest_of_cancelled()
    if loudest is None:
        return result
    del result  # a long recording's memory
    return read(_Mix(loudest))
