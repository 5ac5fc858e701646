"""Audio on its way out: encoded, and written so that no half file is ever seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile

from chatter_nb.audio.reading import Signal, peak
from chatter_nb.base.disk import check_way, part_path, remove, write_error
from chatter_nb.base.errors import OutputError

FORMATS = ("wav", "flac", "mp3", "opus")
OPUS_RATES_HZ = (8000, 12_000, 16_000, 24_000, 48_000)

_CONTAINERS: dict[str, dict[str, str]] = {
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}
_WAV_SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}
_WAV_DTYPES = {16: "int16", 24: "int32", 32: "float32"}
# Integer files get integers made here: libsndfile scales floats one way for wav, another for flac.
_FULL_SCALE = {"PCM_16": 2**15, "PCM_24": 2**23}

# A wav's sizes are 32-bit: 4 GiB, less a megabyte for its headers. Beyond, the file becomes RF64.
WAV_LIMIT_BYTES = 2**32 - 2**20
_COPY_FRAMES = 1 << 20


class AudioWriter:
    """Writes one mono signal to several formats at once, block by block, in flat memory.

    Files grow under a temporary name beside their place; `finish` closes them, `commit` renames
    them all, leaving the `with` block without it removes them. Raises `OutputError` when the
    place cannot be written or is full.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        formats: Sequence[str],
        *,
        sample_rate: int,
        wav_bits: int = 16,
    ) -> None:
        if "opus" in formats and sample_rate not in OPUS_RATES_HZ:
            raise OutputError(f"opus has no {sample_rate} Hz: it takes {OPUS_RATES_HZ}")
        self._sinks = []
        self.samples = 0
        self.peak = 0.0
        try:
            for format_name in formats:
                path = folder / f"{stem}.{format_name}"
                self._sinks.append(_Sink(path, format_name, sample_rate, wav_bits))
        except OutputError:
            self.abort()
            raise

    def write(self, block: Signal) -> None:
        """Append samples to every file; beyond full scale they are clipped (see `peak`)."""
        if not len(block):
            return
        self.samples += len(block)
        self.peak = max(self.peak, peak(block))
        for sink in self._sinks:
            sink.write(block)

    def finish(self) -> list[tuple[Path, str]]:
        """Close every file and check that all the samples are in it.

        Returns where each is until `commit`, and the name that it will have.
        """
        for sink in self._sinks:
            sink.close(self.samples)
        return [(sink.part, sink.path.name) for sink in self._sinks]

    def commit(self) -> list[Path]:
        """Move the finished files to their places."""
        for sink in self._sinks:
            try:
                os.replace(sink.part, sink.path)
            except OSError as error:
                raise write_error(sink.path, error) from error
        return [sink.path for sink in self._sinks]

    def abort(self) -> None:
        """Remove what was written."""
        for sink in self._sinks:
            sink.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()  # after `commit` there is nothing left under a temporary name


class _Sink:
    """One file under its temporary name. A wav that outgrows its format goes on as RF64."""

    def __init__(self, path: Path, format_name: str, sample_rate: int, wav_bits: int) -> None:
        check_way(path)
        self.path = path
        self.part = part_path(path)
        self._rate = sample_rate
        self._wav_bits = wav_bits if format_name == "wav" else None
        self._bytes = 0
        container = _CONTAINERS.get(format_name) or self._wav("WAV")
        self._file = self._open(self.part, container)

    def write(self, block: Signal) -> None:
        if self._wav_bits:
            self._bytes += len(block) * self._wav_bits // 8
            if self._bytes > WAV_LIMIT_BYTES and self._file.format == "WAV":
                self._go_on_as_rf64()
        try:
            self._file.write(_quantise(block, self._file.subtype))
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            raise write_error(self.path, error) from error

    def close(self, samples: int) -> None:
        try:
            self._file.close()
            found = soundfile.info(str(self.part)).frames
        except (soundfile.LibsndfileError, OSError) as error:
            raise write_error(self.path, error) from error
        if found != samples:
            raise write_error(self.path, f"{found} of {samples} samples arrived")

    def discard(self) -> None:
        with suppress(soundfile.LibsndfileError, OSError):  # it is thrown away
            self._file.close()
        remove(self.part)

    def _wav(self, container: str) -> dict[str, str]:
        return {"format": container, "subtype": _WAV_SUBTYPES[self._wav_bits or 16]}

    def _open(self, path: Path, container: dict[str, str]) -> soundfile.SoundFile:
        try:
            return soundfile.SoundFile(path, "w", self._rate, 1, **container)
        except (soundfile.LibsndfileError, OSError) as error:
            raise write_error(self.path, error) from error

    def _go_on_as_rf64(self) -> None:
        """Copy what is there into an RF64 file, sample for sample, and continue in it."""
        wav = part_path(self.path)
        dtype = _WAV_DTYPES[self._wav_bits or 16]
        try:
            self._file.close()
            os.replace(self.part, wav)
            self._file = self._open(self.part, self._wav("RF64"))
            with soundfile.SoundFile(wav) as written:
                for block in written.blocks(_COPY_FRAMES, dtype=dtype):
                    self._file.write(block)
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            raise write_error(self.path, error) from error
        finally:
            remove(wav)


def _quantise(block: Signal, subtype: str) -> np.ndarray:
    """Samples as the file holds them: rounded to its integers, clipped at full scale."""
    if subtype not in _FULL_SCALE:
        return np.clip(block, -1, 1) if subtype != "FLOAT" else block
    scale = _FULL_SCALE[subtype]
    steps = block * np.float32(scale)
    np.clip(np.rint(steps, out=steps), -scale, scale - 1, out=steps)
    if subtype == "PCM_16":
        return steps.astype(np.int16)
    return steps.astype(np.int32) << 8  # soundfile takes 24 bits in the upper part of an int32
