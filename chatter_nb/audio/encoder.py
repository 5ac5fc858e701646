"""Encodes a mono signal by FFmpeg, as it comes, in flat memory: to a file, or to a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
import numpy as np

from chatter_nb.audio.reading import Signal

_PEAK = np.float32(1 - 2**-15)  # encoders wrap, or distort, what is beyond full scale


class Encoder:
    """Writes a mono signal with FFmpeg's muxer `container` (and its `options`) and encoder `codec`.

    `place` is a path, an open file, which stays open, or a function that takes bytes. `write` takes
    float32 samples at `sample_rate` Hz; `close` writes what the encoder still holds. `bits_per_s` 0
    is the encoder's own choice. Raises `OSError` if the file cannot be written.
    """

    def __init__(
        self,
        place: Path | BinaryIO | Callable[[bytes], object],
        container: str,
        codec: str,
        *,
        sample_rate: int,
        bits_per_s: int = 0,
        options: dict[str, str] | None = None,
    ) -> None:
        self._rate = sample_rate
        self._samples = 0
        self._is_open = True
        self._file = place.open("wb") if isinstance(place, Path) else None
        file = self._file or (_Pipe(place) if callable(place) else place)
        self._container = av.open(file, "w", format=container, container_options=options or {})
        self._stream: Any = self._container.add_stream(
            codec, rate=sample_rate, layout="mono", bit_rate=bits_per_s
        )

    def write(self, block: Signal) -> None:
        if not len(block):
            return
        clipped = np.clip(block, -_PEAK, _PEAK)
        frame = av.AudioFrame.from_ndarray(clipped[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += len(block)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds, and close the file; again, it does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        finally:
            if self._file:
                self._file.close()


class _Pipe:
    """A file for FFmpeg that passes what is written to a function."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send

    def write(self, data: Any) -> int:
        self._send(bytes(data))
        return len(data)


CodecName = Literal["m4b", "mp3", "opus"]
# No stamp of the time, no version and no random number in the file: the same again.
BITEXACT = {"fflags": "bitexact"}


@dataclass(frozen=True)
class Codec:
    """How the chapters of a book are encoded. The bit rates are of mono speech."""

    container: str
    encoder: str
    bits_per_s: int
    best_bits_per_s: int  # where a shop asks for it
    rates_hz: tuple[int, ...]
    level_db: float = 0.0  # of what comes out: LAME scales by 0.95 to 0.97

    def rate_for(self, rate: int) -> int:
        """The rate in Hz of a file whose samples have `rate`: the next that the codec has."""
        return min((known for known in self.rates_hz if known >= rate), default=self.rates_hz[-1])

    def encode(self, blocks: Iterable[Signal], path: Path, *, rate: int, is_best: bool) -> None:
        """Encode a chapter to a file without tags. Raises `OSError` if it cannot be written."""
        with closing(self.open(path, rate=rate, is_best=is_best)) as encoder:
            for block in blocks:
                encoder.write(block)

    def open(self, path: Path, *, rate: int, is_best: bool = False) -> Encoder:
        """An encoder of samples at `rate` Hz, one of `rates_hz`, to a file without tags."""
        bits = self.best_bits_per_s if is_best else self.bits_per_s
        return Encoder(
            path, self.container, self.encoder, sample_rate=rate, bits_per_s=bits, options=BITEXACT
        )


_MPEG_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
CODECS: dict[CodecName, Codec] = {
    "m4b": Codec("mp4", "aac", 64_000, 128_000, _MPEG_RATES_HZ),
    "mp3": Codec("mp3", "libmp3lame", 96_000, 192_000, _MPEG_RATES_HZ, level_db=-0.35),
    "opus": Codec("ogg", "libopus", 48_000, 48_000, (16_000, 24_000, 48_000)),
}
