"""The way from a joiner to the files of one output: watermark, encoding, and their seconds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.timing import Stopwatch
from chatter_nb.engines.watermark import Watermark
from chatter_nb.runs.plan import Plan
from chatter_nb.runs.record import FileRecord, file_record

OnAudio = Callable[[Signal], object]


class Marked:
    """The way of samples to `write`, past the watermark if the engine's audio carries one.

    With `at_once` somebody is listening: see `Watermark`.
    """

    def __init__(
        self, plan: Plan, write: Callable[[Signal], object], watch: Stopwatch, *, at_once: bool
    ) -> None:
        self._plain, self._watch = write, watch
        self._mark: Watermark | None = None
        engine = plan.engine
        if engine.watermarked:
            with watch.stage("load"):
                self._mark = Watermark(
                    write, sample_rate=engine.sample_rate, device=engine.device, at_once=at_once
                )

    def write(self, block: Signal) -> None:
        """Take samples, mono float32."""
        if self._mark is None:
            self._plain(block)
            return
        with self._watch.stage("watermark"):
            self._mark.write(block)

    def chunk_end(self) -> None:
        """Note that a chunk ends here: a block of the watermark may end too."""
        if self._mark:
            with self._watch.stage("watermark"):
                self._mark.chunk_end()

    def finish(self) -> None:
        """Pass on the last samples."""
        if self._mark:
            with self._watch.stage("watermark"):
                self._mark.finish()


class Sink(Marked):
    """The files of one output. A joiner calls `write` and `chunk_end`; then come `finish`, `close`.

    `unfinished` removes the files again unless they are committed. `on_audio` receives every block
    that goes to the files; with it the watermark is laid chunk by chunk, so that the first block
    does not come a minute late. Formats are encoded beside the run: its stage "write" is the time
    that the run waits for them.
    """

    def __init__(
        self,
        plan: Plan,
        name: str,
        watch: Stopwatch,
        unfinished: ExitStack,
        on_audio: OnAudio | None,
    ) -> None:
        params, rate = plan.params, plan.engine.sample_rate
        self.writer = AudioWriter(
            plan.folder.path, name, params.formats, sample_rate=rate, wav_bits=params.wav_bits
        )
        unfinished.enter_context(self.writer)
        self._name, self._on_audio = name, on_audio
        super().__init__(plan, self._write, watch, at_once=on_audio is not None)

    def close(self) -> tuple[list[FileRecord], list[str]]:
        """Wait for the encoders, and close the files. Returns their records, and warnings."""
        with self._watch.stage("write"):
            files = [file_record(part, name) for part, name in self.writer.finish()]
        if self.writer.peak <= 1:
            return files, []
        peak_db = 20 * np.log10(self.writer.peak)
        return files, [f"{self._name}: peaks reach {peak_db:+.1f} dB and were clipped"]

    def _write(self, block: Signal) -> None:
        with self._watch.stage("write"):
            self.writer.write(block)
            if self._on_audio:
                self._on_audio(block)
