"""Encoding of audio while it is made, in flat memory. `audio.writer` writes the files of runs."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

import av

from chatter_nb.audio.encoder import Encoder
from chatter_nb.audio.reading import Signal
from chatter_nb.base.formats import OUTPUT_FORMATS


@dataclass(frozen=True)
class StreamFormat:
    """A format's media type, and FFmpeg's muxer (`container`) and encoder (`codec`) for it."""

    media_type: str
    container: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)


# The names of OpenAI's API, in its order.
StreamName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
# A second a page of ogg is a second's wait for the first sound. Without FFmpeg's name in it a wav's
# header has the 44 bytes that simple clients skip.
STREAMED: dict[str, StreamFormat] = {
    "mp3": StreamFormat(OUTPUT_FORMATS["mp3"].mime, "mp3", "libmp3lame", {"write_xing": "0"}),
    "opus": StreamFormat(
        OUTPUT_FORMATS["opus"].mime, "ogg", "libopus", {"page_duration": "200000"}
    ),
    "aac": StreamFormat("audio/aac", "adts", "aac"),
    "flac": StreamFormat(OUTPUT_FORMATS["flac"].mime, "flac", "flac"),
    "wav": StreamFormat(OUTPUT_FORMATS["wav"].mime, "wav", "pcm_s16le", {"fflags": "bitexact"}),
    "pcm": StreamFormat("audio/pcm", "s16le", "pcm_s16le"),
}


def encodable() -> tuple[str, ...]:
    """The formats whose encoders this FFmpeg has."""
    available = av.codec.codecs_available
    return tuple(name for name, streamed in STREAMED.items() if streamed.codec in available)


def is_streamable(format_name: str, *, pieces: int) -> bool:
    """Whether a signal of so many `pieces` can be sent before its end is known.

    A flac or m4b begins with its length; libsndfile opens no flac without it. A streamed wav says
    0xFFFFFFFF, "to the end of the file"; a wav of one piece does not need to.
    """
    return format_name not in ("flac", "m4b") and (format_name != "wav" or pieces > 1)


def encoded(format_name: str, signal: Signal, *, sample_rate: int) -> bytes:
    """A signal as a whole file, whose header holds its length."""
    file = io.BytesIO()
    encoder = StreamEncoder(format_name, file, sample_rate=sample_rate)
    encoder.write(signal)
    encoder.close()
    return file.getvalue()


class StreamEncoder(Encoder):
    """Writes a mono signal in a format of `STREAMED`, to a file or as bytes to a function."""

    def __init__(
        self, format_name: str, place: Callable[[bytes], object] | BinaryIO, *, sample_rate: int
    ) -> None:
        streamed = STREAMED[format_name]
        super().__init__(
            place,
            streamed.container,
            streamed.codec,
            sample_rate=sample_rate,
            options=streamed.options,
        )
