"""Audio encoded as it comes, for those who listen while it is made: no seeking back, flat memory.

Not here: files of a run (`writer`), which are written whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np

from chatter_nb.audio import Signal


@dataclass(frozen=True)
class StreamFormat:
    """How a format is told in HTTP, and which of FFmpeg's muxers and encoders make it."""

    media_type: str
    container: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)


# A second a page of ogg is a second's wait for the first sound.
STREAMED = {
    "mp3": StreamFormat("audio/mpeg", "mp3", "libmp3lame", {"write_xing": "0"}),
    "opus": StreamFormat("audio/ogg", "ogg", "libopus", {"page_duration": "200000"}),
    "aac": StreamFormat("audio/aac", "adts", "aac"),
    "flac": StreamFormat("audio/flac", "flac", "flac"),
    "wav": StreamFormat("audio/wav", "wav", "pcm_s16le"),
    "pcm": StreamFormat("audio/pcm", "s16le", "pcm_s16le"),
}
_PEAK = np.float32(1 - 2**-15)  # encoders wrap, or distort, what is beyond full scale


def encodable() -> tuple[str, ...]:
    """The formats whose encoders this FFmpeg has."""
    return tuple(name for name, one in STREAMED.items() if one.codec in av.codec.codecs_available)


class StreamEncoder:
    """Gives `send` the bytes of one mono signal in a format of `STREAMED`, as they are made.

    `write` takes float32 samples at `sample_rate` Hz; `finish` sends what the encoder still holds.
    """

    def __init__(
        self, format_name: str, send: Callable[[bytes], object], *, sample_rate: int
    ) -> None:
        told = STREAMED[format_name]
        self._rate = sample_rate
        self._samples = 0
        self._container = av.open(
            _Pipe(send), "w", format=told.container, container_options=told.options
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
