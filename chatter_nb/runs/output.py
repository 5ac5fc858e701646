"""The way from a joiner to a run's files: watermarked where the engine asks for it, and timed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.timing import Stopwatch
from chatter_nb.engines.watermark import Watermark
from chatter_nb.runs.record import FileRecord, file_record

if TYPE_CHECKING:
    from chatter_nb.params.runs import ConvertParams, SpeakParams


class Sink:
    """One output's files. `write` and `chunk_end` are for a joiner; `finish` closes the files.

    `unfinished` takes them away again unless they are committed. `heard` is given every block that
    goes to the files; a watermark is then laid chunk by chunk, so that nobody waits a minute.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        params: SpeakParams | ConvertParams,
        watch: Stopwatch,
        unfinished: ExitStack,
        *,
        sample_rate: int,
        watermarked: bool,
        device: str = "cpu",
        heard: Callable[[Signal], object] | None = None,
    ) -> None:
        self.writer = AudioWriter(
            folder, name, params.formats, sample_rate=sample_rate, wav_bits=params.wav_bits
        )
        unfinished.enter_context(self.writer)
        self._name = name
        self._watch = watch
        self._heard = heard
        self._mark: Watermark | None = None
        if watermarked:
            with watch.stage("load"):
                self._mark = Watermark(
                    self._write, sample_rate=sample_rate, device=device, at_once=heard is not None
                )

    def write(self, block: Signal) -> None:
        if self._mark is None:
            return self._write(block)
        with self._watch.stage("watermark"):
            self._mark.write(block)

    def chunk_end(self) -> None:
        """What is written ends a chunk: a block of the watermark may end here."""
        if self._mark:
            self._mark.chunk_end()

    def finish(self) -> tuple[list[FileRecord], list[str]]:
        """The finished files, and warnings."""
        if self._mark:
            with self._watch.stage("watermark"):
                self._mark.finish()
        with self._watch.stage("write"):
            files = [file_record(part, name) for part, name in self.writer.finish()]
        if self.writer.peak <= 1:
            return files, []
        peak_db = 20 * np.log10(self.writer.peak)
        return files, [f"{self._name}: peaks reach {peak_db:+.1f} dB and were clipped"]

    def _write(self, block: Signal) -> None:
        with self._watch.stage("write"):
            self.writer.write(block)
            if self._heard:
                self._heard(block)
