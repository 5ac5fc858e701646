"""Audio encoded as it comes, for those who listen while it is made: no seeking back, flat memory.

Not here: files of a run (`writer`), which are written whole.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import av
import numpy as np

from chatter_nb.audio.reading import Signal


@dataclass(frozen=True)
class StreamFormat:
    """How a format is told in HTTP, and which of FFmpeg's muxers and encoders make it."""

    media_type: str
    container: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)


# A second a page of ogg is a second's wait for the first sound. Without FFmpeg's name in it a wav's
# header has the 44 bytes that simple clients skip.
STREAMED = {
    "mp3": StreamFormat("audio/mpeg", "mp3", "libmp3lame", {"write_xing": "0"}),
    "opus": StreamFormat("audio/ogg", "ogg", "libopus", {"page_duration": "200000"}),
    "aac": StreamFormat("audio/aac", "adts", "aac"),
    "flac": StreamFormat("audio/flac", "flac", "flac"),
    "wav": StreamFormat("audio/wav", "wav", "pcm_s16le", {"fflags": "bitexact"}),
    "pcm": StreamFormat("audio/pcm", "s16le", "pcm_s16le"),
}
_PEAK = np.float32(1 - 2**-15)  # encoders wrap, or distort, what is beyond full scale


def encodable() -> tuple[str, ...]:
    """The formats whose encoders this FFmpeg has."""
    return tuple(name for name, one in STREAMED.items() if one.codec in av.codec.codecs_available)


def is_streamable(format_name: str, *, pieces: int) -> bool:
    """Whether a signal of so many pieces is sent before its end is known.

    A flac begins with its length, and libsndfile opens none that leaves it out. A streamed wav says
    0xFFFFFFFF, "to the end of the file"; one of a single piece does not need to.
    """
    return format_name != "flac" and (format_name != "wav" or pieces > 1)


def encoded(format_name: str, signal: Signal, *, sample_rate: int) -> bytes:
    """A whole file: its header holds its length."""
    file = io.BytesIO()
    encoder = StreamEncoder(format_name, file, sample_rate=sample_rate)
    encoder.write(signal)
    encoder.finish()
    return file.getvalue()


class StreamEncoder:
    """Writes one mono signal in a format of `STREAMED`: to a file, or as bytes to a function.

    `write` takes float32 samples at `sample_rate` Hz; `finish` sends what the encoder still holds.
    """

    def __init__(
        self, format_name: str, place: Callable[[bytes], object] | BinaryIO, *, sample_rate: int
    ) -> None:
        told = STREAMED[format_name]
        self._rate = sample_rate
        self._samples = 0
        self._container = av.open(
            _Pipe(place) if callable(place) else place,
            "w",
            format=told.container,
            container_options=told.options,
        )
        self._stream: Any = self._container.add_stream(told.codec, rate=sample_rate, layout="mono")

    def write(self, block: Signal) -> None:
        if not len(block):
            return
        clipped = np.clip(block, -_PEAK, _PEAK)
        frame = av.AudioFrame.from_ndarray(clipped[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += len(block)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


class _Pipe:
    """A place that can only be written to."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send

    def write(self, data: Any) -> int:
        self._send(bytes(data))
        return len(data)
