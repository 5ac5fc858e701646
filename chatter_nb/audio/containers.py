"""Opens a recording's file, even if its header gives a wrong length: by libsndfile, or FFmpeg.

A header is believed only as far as the file confirms it. Not here: what is done with the samples.
"""

from __future__ import annotations

import io
import re
import struct
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

import soundfile

if TYPE_CHECKING:
    from chatter_nb.audio.decoded import Decoded

Opened: TypeAlias = "StraightOn | Decoded"

# The length in a header that was written into a pipe: 0; of ffmpeg all ones; of others the largest
# signed number, of sox a little less, in aiff 0x7F000000; sometimes less a few bytes for headers.
_OPEN_BYTES = (0x7F000000, 0x7FFFFFFF, 0xFFFFFFFF, 2**64 - 1)
_OPEN_WITHIN_BYTES = 4096
_MAX_CHUNKS = 1000  # before the samples
_RF64_LENGTH_AT = 28  # in `ds64`, always its first chunk
# Mono samples that a byte of a file may hold, by its header alone: mp3 at 24 kbit/s has 8.
_SAMPLES_A_BYTE = 8
_COUNTED_SAMPLES = 1 << 18  # of all channels, at a time
# libsndfile's log, where a header and its file disagree.
_DISAGREE = re.compile(r"(?:data|riff|Riff size|Data Size|SSND) *: (\d+) \(should be (\d+)\)")


class StraightOn(soundfile.SoundFile):
    """A recording's file, read from front to back; an open length means the end of the file.

    It is not seekable: soundfile seeks after every read of a seekable file, and then libsndfile's
    mp3 decoder loses its place and prints an error.
    """

    _mended: _Mended | None = None  # for a close after a failed open

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._mended = _mended(self._path)
        super().__init__(self._mended or path)

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        super().close()
        if self._mended:
            self._mended.close()

    @cached_property
    def frames(self) -> int:
        """Samples of each channel: by the header, or counted if the file is too small for them.

        A streamed flac does not know its length (libsndfile says 2⁶³ - 1), and headers lie.
        """
        promised = int(super().frames)
        if promised <= _SAMPLES_A_BYTE * self._path.stat().st_size:
            return promised
        with StraightOn(self._path) as file:
            block_frames = _COUNTED_SAMPLES // file.channels
            return sum(iter(lambda: len(file.read(block_frames, dtype="float32")), 0))

    @property
    def is_cut_off(self) -> bool:
        """Whether the header promises more than the file holds, and its length is not open."""
        lengths = [(int(a), int(b)) for a, b in _DISAGREE.findall(self.extra_info)]
        return any(promised > actual and not _is_open(promised) for promised, actual in lengths)

    def falls_short(self, read: int) -> bool:
        """Whether a flac has fewer samples than it promises: libsndfile tells only a cut frame."""
        return self.format == "FLAC" and read < self.frames


def open_recording(path: str | Path) -> Opened:
    """A recording's file. Raises `OSError`, or libsndfile's error with FFmpeg's as its cause."""
    from chatter_nb.audio.decoded import Decoded

    try:
        return StraightOn(path)
    except soundfile.LibsndfileError as error:
        try:
            return Decoded(path)
        except OSError as reason:
            raise error from reason


def _is_open(length: int) -> bool:
    near = (abs(length - known) <= _OPEN_WITHIN_BYTES for known in _OPEN_BYTES)
    return length == 0 or any(near)


class _Mended(io.FileIO):
    """A file, read as if it had other bytes at one place."""

    def __init__(self, path: Path, at: int, instead: bytes) -> None:
        super().__init__(path)
        self._at, self._instead = at, instead

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        count = super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        for place, byte in enumerate(self._instead, self._at - start):
            if 0 <= place < count:
                view[place] = byte
        return count


def _mended(path: Path) -> _Mended | None:
    """A wav, RF64 or caf of open length, read with its true length; None for all other files.

    libsndfile takes the length 0 of a wav for an empty file, and refuses caf that ffmpeg streams.
    """
    with path.open("rb") as file:
        head = file.read(12)
        order: Literal["little", "big"] = "little"
        if head[:4] == b"caff":
            start, order = _samples_start(file, ">4sQ", at=8), "big"
            at, width = start - 8, 8
        elif head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            start = _samples_start(file, "<4sI", at=12)
            at, width = (start - 4, 4) if head[:4] == b"RIFF" else (_RF64_LENGTH_AT, 8)
        else:
            return None
        if not start:
            return None
        promised = int.from_bytes(_bytes(file, at, width), order)
        actual = path.stat().st_size - start
        is_empty = promised == 0 and _is_chunk(_bytes(file, start, 8), actual)
        if is_empty or not _is_open(promised) or actual >> 8 * width:
            return None
        return _Mended(path, at, actual.to_bytes(width, order))


def _samples_start(file: BinaryIO, header: str, *, at: int) -> int:
    """The position of a file's samples, after its other chunks; 0 if there are none."""
    size = struct.calcsize(header)
    for _ in range(_MAX_CHUNKS):
        beginning = _bytes(file, at, size)
        if len(beginning) < size:
            return 0
        name, length = struct.unpack(header, beginning)
        if name == b"data":
            return at + size
        at += size + length + (length % 2 if header[0] == "<" else 0)
    return 0


def _is_chunk(beginning: bytes, available: int) -> bool:
    """Whether the bytes after an empty `data` chunk are another chunk, not samples."""
    name, length = beginning[:4], int.from_bytes(beginning[4:8], "little")
    return len(beginning) == 8 and name.isalnum() and length + 8 <= available


def _bytes(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(min(at, file.seek(0, io.SEEK_END)))  # a header's place may be beyond any file
    return file.read(count)
