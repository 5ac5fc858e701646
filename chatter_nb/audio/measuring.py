"""Measures a file of any format that FFmpeg decodes: its levels, codec and bit rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from chatter_nb.audio.meter import Loudness, Meter
from chatter_nb.audio.reading import RATES_HZ, check_signal
from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import DEMUXERS, READABLE

_READABLE = ",".join(["wav,flac,mp3,aiff,au,caf,w64", *DEMUXERS])
BLOCK_SAMPLES = 1 << 14


@dataclass(frozen=True)
class Measured:
    """A file's levels, and what it is. `is_constant`: its packets differ by a byte at most."""

    loudness: Loudness
    codec: str
    sample_rate: int
    bits_per_s: int
    is_constant: bool

    @property
    def format_text(self) -> str:
        """The format in words, such as "mp3, constant 192 kbit/s"."""
        rate = f"{'constant' if self.is_constant else 'about'} {self.bits_per_s / 1000:.0f} kbit/s"
        return f"{self.codec}, {rate}"


def measure_file(path: Path) -> Measured:
    """The levels of an audio file of one or two channels, in flat memory.

    Raises `InputError` for a file that is missing, empty, damaged, or no audio that can be read.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the audio files in it")
    if not path.is_file():
        raise InputError(f"recording {path} does not exist")
    options = {"format_whitelist": _READABLE}
    try:
        with path.open("rb") as file, av.open(file, container_options=options) as container:
            return _measured(container, path)
    except (OSError, ValueError) as error:  # FFmpeg's errors are of these kinds
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read recording {path}: {reason} (readable: {READABLE})"
        ) from error


def _measured(container: Any, path: Path) -> Measured:
    stream = next(iter(container.streams.audio), None)
    if stream is None or stream.channels > 2 or not RATES_HZ[0] <= stream.rate <= RATES_HZ[1]:
        raise InputError(
            f"recording {path} must hold one or two channels, at {RATES_HZ[0]} to {RATES_HZ[1]} Hz"
        )
    meter, sizes = Meter(stream.rate, channels=stream.channels), set[int]()
    for block in even_blocks(_decoded(container, stream, sizes)):
        check_signal(block.reshape(-1), where=f"recording {path}")
        meter.write(block)
    loudness = meter.result()
    if not loudness.duration_s:
        raise InputError(f"recording {path} holds no sound (0 samples)")
    codec = stream.codec_context.codec.canonical_name
    bits_per_s = stream.bit_rate or container.bit_rate
    return Measured(loudness, codec, stream.rate, bits_per_s, max(sizes) - min(sizes) <= 1)


def _decoded(container: Any, stream: Any, sizes: set[int]) -> Iterator[np.ndarray]:
    """Blocks of shape (samples, channels), float32; `sizes` receives the packets' bytes."""
    resampler = av.AudioResampler(format="flt")
    for packet in container.demux(stream):
        if packet.size:
            sizes.add(packet.size)
        for frame in packet.decode():
            for part in resampler.resample(frame):
                yield part.to_ndarray().reshape(-1, stream.channels)


def even_blocks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same samples in blocks of `BLOCK_SAMPLES`, the last shorter, however they came."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        joined = np.concatenate([rest, block]) if len(rest) else block
        whole = len(joined) // BLOCK_SAMPLES
        yield from np.split(joined[: whole * BLOCK_SAMPLES], whole) if whole else ()
        rest = joined[whole * BLOCK_SAMPLES :]
    if len(rest):
        yield rest
