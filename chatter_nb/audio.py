"""Audio on its way in: read, checked, resampled. `writer` is for the way out.

Inside the package audio is mono float32, full scale 1.0. Everything that comes in passes
`check_signal` once; inner functions trust it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from chatter_nb.errors import ChatterError, InputError

Signal = np.ndarray[tuple[int], np.dtype[np.float32]]

_COPY_FRAMES = 1 << 20  # of one channel; fewer frames of many
_PLAUSIBLE_SAMPLES = 1 << 36  # eighteen days at 44.1 kHz
WHOLE_S = 600  # up to so long a recording is resampled whole, sample for sample as upstream does
_CUT_OFF = re.compile(r"data : \d+ \(should be \d+\)")  # libsndfile's log of a short wav


def check_signal(signal: Any, *, where: str, error: type[ChatterError] = InputError) -> Signal:
    """`signal` as mono float32, shape (samples,). Raises `error` unless it is finite."""
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
    """What a recording holds, read through once. `samples` at `sample_rate`, in each channel."""

    samples: int
    sample_rate: int
    channels: int
    peak: float

    @property
    def duration_s(self) -> float:
        return self.samples / self.sample_rate


def inspect_audio(path: str | Path, *, longest_s: float = math.inf) -> Inspected:
    """Read a recording through, in flat memory; raises as `read_audio` does.

    Beyond `longest_s` it is an `InputError`, and no more of it is read: a small file may unfold to
    days.
    """
    with _opened(path) as file:
        samples, top = 0, 0.0
        for block in _mono_blocks(file, path):
            samples, top = samples + len(block), max(top, peak(block))
            if samples > longest_s * file.samplerate:
                raise InputError(f"recording {path} is longer than {longest_s:g} s")
        return Inspected(samples, file.samplerate, file.channels, top)


def read_audio(path: str | Path, *, sample_rate: int | None = None) -> tuple[Signal, int]:
    """A recording as mono float32 and its rate in Hz; channels averaged, resampled if asked.

    Needs memory for the mono signal only, not for its channels, nor, where it is long, for its
    own rate. Raises `InputError` for a file that is missing, empty, cut off, holds NaN or
    infinities, or is no audio libsndfile can read.
    """
    with _opened(path) as file:
        rate = file.samplerate
        blocks = _mono_blocks(file, path)
        if sample_rate in (None, rate):
            return _gathered(blocks, file.frames), rate
        assert sample_rate is not None
        if file.frames <= WHOLE_S * rate:
            return resample(_gathered(blocks, file.frames), rate, sample_rate), sample_rate
        return _resampled_on_the_way(blocks, file.frames, rate, sample_rate), sample_rate


def resample(signal: Signal, from_hz: int, to_hz: int) -> Signal:
    """Band-limited resampling (soxr, HQ), length ceil(n · to_hz / from_hz): librosa's own."""
    return _of_length(
        soxr.resample(signal, from_hz, to_hz), resampled_length(len(signal), from_hz, to_hz)
    )


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """How many samples `resample` makes of so many."""
    return -(-samples * to_hz // from_hz)


def _resampled_on_the_way(
    blocks: Iterator[Signal], frames: int, from_hz: int, to_hz: int
) -> Signal:
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
    samples = 0

    def made() -> Iterator[Signal]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    signal = _gathered(made(), resampled_length(frames, from_hz, to_hz) + 1)
    return _of_length(signal, resampled_length(samples, from_hz, to_hz))


def _gathered(blocks: Iterable[Signal], expected: int) -> Signal:
    """All blocks as one array; without a second copy where there are no more than `expected`."""
    # A streamed flac does not know its length: libsndfile says 2⁶³ - 1.
    signal = np.empty(expected if expected < _PLAUSIBLE_SAMPLES else 0, np.float32)
    filled = 0
    for block in blocks:
        if filled + len(block) > len(signal):  # an mp3's header may promise less than it holds
            signal = np.concatenate([signal, np.empty(len(signal) + len(block), np.float32)])
        signal[filled : filled + len(block)] = block
        filled += len(block)
    return signal[:filled]


def _of_length(signal: Signal, samples: int) -> Signal:
    return (
        np.pad(signal[:samples], (0, samples - len(signal)))
        if len(signal) < samples
        else signal[:samples]
    )


@contextmanager
def _opened(path: str | Path) -> Iterator[StraightOn]:
    if not Path(path).is_file():
        raise InputError(f"recording {path} does not exist")
    try:
        with StraightOn(path) as file:
            if _CUT_OFF.search(file.extra_info):
                raise InputError(
                    f"recording {path} is cut off: its header promises more than its "
                    f"{file.frames / file.samplerate:.1f} s; copy it again"
                )
            yield file
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"cannot read recording {path}: {error.error_string} "
            f"(readable: {', '.join(soundfile.available_formats())})"
        ) from error


def _mono_blocks(file: StraightOn, path: str | Path) -> Iterator[Signal]:
    read = 0
    frames = max(1, _COPY_FRAMES // file.channels)  # a file may say that it has 1024
    while len(channels := file.read(frames, dtype="float32", always_2d=True)):
        read += len(channels)
        yield check_signal(channels.mean(axis=1), where=str(path))
    if not read:
        raise InputError(f"recording {path} holds no sound (0 samples)")


class StraightOn(soundfile.SoundFile):
    """A file read from front to back. soundfile seeks after every read of a seekable file, at which
    libsndfile's mp3 decoder loses its place and prints an error."""

    def seekable(self) -> bool:
        return False
