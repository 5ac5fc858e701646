"""Reads by FFmpeg what libsndfile cannot: recordings of phones, the sound of videos.

Not here: what is done with the samples, and files whose header is wrong (`containers`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np

from chatter_nb.base.formats import DEMUXERS

_SAMPLES_A_BYTE = 8  # of an mp4, by its header alone: AAC at 44.1 kHz and 64 kbit/s has 5.5
_PASSED_SAMPLES = 1 << 18  # at a time
# No address is opened, and no playlist.
_ONLY = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": "file"}
_PADDING_S = 0.25  # an mp4's length counts the codec's own padding, at both ends


class Decoded:
    """A recording, or the first sound of a video, decoded by FFmpeg; else as `StraightOn`.

    `format` is the demuxer's name. `frames` of an mp4 is its header's, which counts padding at its
    end too; all other headers guess, so that the samples are counted. Raises `OSError` for what
    FFmpeg cannot read.
    """

    is_cut_off = False

    def __init__(self, path: str | Path) -> None:
        import av  # loads FFmpeg: 0.06 s

        self._path, self._errors = Path(path), (av.FFmpegError, ValueError)
        with self._explained():
            self._container: Any = av.open(
                f"file:{path}", container_options=_ONLY, metadata_errors="replace"
            )
            self._stream = stream = next(iter(self._container.streams.audio), None)
            if stream is None or not stream.codec_context:
                raise OSError("there is no sound in it that can be decoded")
            first = next(self._container.decode(stream), None)
        if first is None:
            raise OSError("there is no sound in it")
        self._resampler = av.AudioResampler(format="flt")
        self.format = self._container.format.name.partition(",")[0]
        # A header may say half the rate of what is decoded.
        self.samplerate, self.channels = first.sample_rate, first.layout.nb_channels
        self._unit = float(stream.time_base or 0) * self.samplerate  # in samples
        self._promised = round((stream.duration or 0) * self._unit) if self.format == "mov" else 0
        self._rest = np.zeros((0, self.channels), np.float32)
        self._blocks = self._decode(0, first)

    @cached_property
    def frames(self) -> int:
        """Samples of each channel: an mp4's header's, or counted; see `StraightOn.frames`."""
        if 0 < self._promised <= _SAMPLES_A_BYTE * self._path.stat().st_size:
            return self._promised
        with Decoded(self._path) as file:
            return sum(map(len, file._blocks))

    def falls_short(self, read: int) -> bool:
        """Whether these samples, read to the end, are fewer than the header promises."""
        return read < self._promised - _PADDING_S * self.samplerate

    def read(self, frames: int, *, dtype: str, always_2d: bool = True) -> np.ndarray:
        """The next samples, float32, shape (samples, channels); fewer at the end."""
        blocks, ready = [self._rest], len(self._rest)
        while ready < frames and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            ready += len(block)
        joined = np.concatenate(blocks)
        self._rest = joined[frames:]
        return joined[:frames]

    def seek(self, frames: int) -> None:
        """Go on with this sample. Half a second before it is decoded too, as AAC needs.

        Of other formats than mp4 all before it is decoded: their times are too coarse.
        """
        if self.format == "mov":
            early = max(0, frames - self.samplerate // 2)
            with self._explained():
                self._container.seek(int(early / self._unit), stream=self._stream)
            self._blocks, self._rest = self._decode(frames), self._rest[:0]
            return
        self.close()
        Decoded.__init__(self, self._path)
        while frames and len(passed := self.read(min(frames, _PASSED_SAMPLES), dtype="float32")):
            frames -= len(passed)

    def _decode(self, first: int, *begun: Any) -> Iterator[np.ndarray]:
        """The samples from the sample `first` on; `begun` is a frame that is decoded already."""
        end = 0
        with self._explained():
            try:
                for frame in chain(begun, self._container.decode(self._stream)):
                    start = round((frame.pts or 0) * self._unit) if self.format == "mov" else end
                    for part in self._resampler.resample(frame):
                        block = part.to_ndarray().reshape(-1, self.channels)
                        end = start + len(block)
                        yield block[max(0, first - start) :]
            except self._errors:
                if not self.falls_short(end):  # else the last packet is cut, and the reader is told
                    raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise OSError(getattr(error, "strerror", None) or str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()
