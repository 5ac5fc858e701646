"""Encodes audio and writes it to files, so that nobody sees half a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import soundfile

from chatter_nb.audio.reading import Signal, peak
from chatter_nb.base.disk import check_way, part_path, remove, write_error, writing
from chatter_nb.base.errors import OutputError
from chatter_nb.base.formats import PLAIN_FORMATS, Format, OutputName
from chatter_nb.base.write_behind import WriteBehind

_WAV_SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}
_WAV_DTYPES = {16: "int16", 24: "int32", 32: "float32"}
# Integer files get integers made here: libsndfile scales floats one way for wav, another for flac.
_FULL_SCALE = {"PCM_16": 2**15, "PCM_24": 2**23}

# A wav's sizes are 32-bit: 4 GiB, less a megabyte for its headers. Beyond, the file becomes RF64.
WAV_LIMIT_BYTES = 2**32 - 2**20
_COPY_FRAMES = 1 << 20
_BEHIND_BYTES = 1 << 24  # samples that wait for an encoder: 3 minutes at 24 kHz
# What libsndfile's files have; its libopus encodes the same at a quarter of the speed.
_OPUS_BITS_PER_S = 36_000


class AudioWriter:
    """Writes one mono signal to several formats at once, block by block, in flat memory.

    Each format is encoded in a thread of its own: `write` returns at once, unless an encoder is 16
    MB behind. Files grow under temporary names in `folder`; `finish` closes them, `commit` renames
    them all, and the end of the `with` block removes files that were not committed, and ends the
    threads. Raises `OutputError` if the folder cannot be written or the disk is full: at the next
    `write`, or at `finish`.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        formats: Sequence[OutputName],
        *,
        sample_rate: int,
        wav_bits: int = 16,
    ) -> None:
        rows = [PLAIN_FORMATS[name] for name in formats]
        for row in rows:
            if row.rates_hz and sample_rate not in row.rates_hz:
                raise OutputError(f"{row.name} has no {sample_rate} Hz: it takes {row.rates_hz}")
        self._sinks = []
        self.samples = 0
        self.peak = 0.0
        try:
            for row in rows:
                path = folder / f"{stem}{row.suffix}"
                self._sinks.append(_Sink(path, row, sample_rate, wav_bits))
        except OutputError:
            self.abort()
            raise

    def write(self, block: Signal) -> None:
        """Append samples to every file; beyond full scale they are clipped (see `peak`).

        The array must stay as it is: it may be read later.
        """
        if not len(block):
            return
        self.samples += len(block)
        self.peak = max(self.peak, peak(block))
        for sink in self._sinks:
            sink.write(block)

    def finish(self) -> list[tuple[Path, str]]:
        """Close every file and check that it holds all samples.

        Returns the temporary path of each file, and the name that `commit` will give it.
        """
        for sink in self._sinks:
            sink.close(self.samples)
        for sink in self._sinks:
            sink.wait()
        return [(sink.part, sink.path.name) for sink in self._sinks]

    def commit(self) -> list[Path]:
        """Give the finished files their names; returns their paths."""
        for sink in self._sinks:
            with writing(sink.path):
                os.replace(sink.part, sink.path)
        return [sink.path for sink in self._sinks]

    def abort(self) -> None:
        """Remove the temporary files."""
        for sink in self._sinks:
            sink.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.abort()  # after `commit` there is nothing left under a temporary name


class _Sink:
    """One file under its temporary name, and the thread that encodes it.

    A wav that becomes too large for wav becomes RF64.
    """

    def __init__(self, path: Path, row: Format, sample_rate: int, wav_bits: int) -> None:
        check_way(path)
        self.path = path
        self.part = part_path(path)
        self._rate = sample_rate
        self._wav_bits = wav_bits if row.name == "wav" else None
        self._subtype = _WAV_SUBTYPES[self._wav_bits] if self._wav_bits else row.subtype
        self._bytes = 0
        self._file = self._open(row.container)
        self._behind = WriteBehind(_BEHIND_BYTES)

    def write(self, block: Signal) -> None:
        self._behind.add(partial(self._write, block), block.nbytes)

    def close(self, samples: int) -> None:
        """Close the file when all is written; `wait` waits for it."""
        self._behind.add(partial(self._close, samples), 0)

    def wait(self) -> None:
        self._behind.finish()

    def discard(self) -> None:
        self._behind.abort()
        with suppress(soundfile.LibsndfileError, OSError):  # its content does not matter
            self._file.close()
        remove(self.part)

    def _write(self, block: Signal) -> None:
        if self._wav_bits:
            self._bytes += len(block) * self._wav_bits // 8
            if self._bytes > WAV_LIMIT_BYTES and self._file.format == "WAV":
                self._go_on_as_rf64()
        with writing(self.path, soundfile.LibsndfileError, AssertionError):
            self._file.write(_quantise(block, self._subtype))

    def _close(self, samples: int) -> None:
        with writing(self.path, soundfile.LibsndfileError):
            self._file.close()
            arrived = soundfile.info(str(self.part)).frames
        if arrived != samples:
            raise write_error(self.path, f"{arrived} of {samples} samples arrived")

    def _open(self, container: str) -> Any:
        """The open file: libsndfile's, or FFmpeg's with the same `write` and `close`."""
        try:
            if self._subtype == "OPUS":
                return self._open_opus()
            return soundfile.SoundFile(
                self.part, "w", self._rate, 1, subtype=self._subtype, format=container
            )
        except (soundfile.LibsndfileError, OSError) as error:
            failure = write_error(self.path, error)
            remove(self.part)
            raise failure from error

    def _open_opus(self) -> Any:
        from chatter_nb.audio.encoder import BITEXACT, Encoder  # loads FFmpeg: 0.06 s

        rate, bits = self._rate, _OPUS_BITS_PER_S
        return Encoder(
            self.part, "ogg", "libopus", sample_rate=rate, bits_per_s=bits, options=BITEXACT
        )

    def _go_on_as_rf64(self) -> None:
        """Copy the samples into an RF64 file, unchanged, and continue in it."""
        wav = part_path(self.path)
        dtype = _WAV_DTYPES[self._wav_bits or 16]
        try:
            self._file.close()
            os.replace(self.part, wav)
            self._file = self._open("RF64")
            with soundfile.SoundFile(wav) as written:
                for block in written.blocks(_COPY_FRAMES, dtype=dtype):
                    self._file.write(block)
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            raise write_error(self.path, error) from error
        finally:
            remove(wav)


def _quantise(block: Signal, subtype: str) -> np.ndarray:
    """The samples as a file of this subtype holds them: rounded, clipped at full scale."""
    if subtype not in _FULL_SCALE:
        return np.clip(block, -1, 1) if subtype != "FLOAT" else block
    scale = _FULL_SCALE[subtype]
    steps = block * np.float32(scale)
    np.clip(np.rint(steps, out=steps), -scale, scale - 1, out=steps)
    if subtype == "PCM_16":
        return steps.astype(np.int16)
    return steps.astype(np.int32) << 8  # soundfile takes 24 bits in the upper part of an int32
