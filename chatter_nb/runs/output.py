"""The way from a joiner to the files of one output: watermark, encoding, and their seconds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from chatter_nb.audio.reading import Signal
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.timing import Stopwatch
from chatter_nb.engines.watermark import Watermark
from chatter_nb.runs.book_plan import is_of_book
from chatter_nb.runs.plan import Plan
from chatter_nb.runs.record import FileRecord, LoudnessRecord, file_record

if TYPE_CHECKING:
    from chatter_nb.runs.book_files import Mastered, Streamed, Tracks

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
    """The files of one output. A joiner calls `write` and `chunk_end`; then `finish`, `close`.

    `unfinished` removes the files again unless they are committed. `on_audio` receives every block
    that goes to the files, unmastered, and the watermark is laid chunk by chunk, so that the first
    does not come a minute late. The run's stage "write" is its time of waiting for encoders. The
    files of an output's `whole` go from sink to sink; they are those of its last chapter.
    """

    def __init__(
        self,
        plan: Plan,
        output: Any,
        watch: Stopwatch,
        unfinished: ExitStack,
        on_audio: OnAudio | None,
        before: Sink | None = None,
    ) -> None:
        self._output, self._on_audio = output, on_audio
        params, rate, folder = plan.params, plan.engine.sample_rate, plan.folder.path
        plain = [name for name in params.formats if not is_of_book(params, output, name)]
        self.writer = AudioWriter(
            folder, output.name, plain, sample_rate=rate, wav_bits=params.wav_bits
        )
        unfinished.enter_context(self.writer)
        self._books: list[Streamed | Mastered | Tracks] = []
        self._shared: list[Streamed | Mastered] = []
        self.tracks: Tracks | None = None
        if getattr(params, "read_along", False):
            from chatter_nb.runs.book_files import Tracks  # loads FFmpeg: 0.06 s

            self.tracks = Tracks(folder, output, rate)
        if others := {*params.formats} - {*plain}:
            from chatter_nb.runs.book_files import book_files

            undivided = others & {"m4b"} if output.whole else set[str]()
            self._books += book_files(params, folder, output, rate, others - undivided)
            if before and before._output.whole is output.whole:
                self._shared = before._shared
            else:
                self._shared = book_files(params, folder, output.whole, rate, undivided)
        self._books += filter(None, [self.tracks])
        for book in [*self._books, *self._shared]:
            unfinished.callback(book.discard)
        self._chunks, self._firsts = 0, {chapter.first for chapter in output.chapters[1:]}
        super().__init__(plan, self._write, watch, at_once=on_audio is not None)

    def chunk_end(self) -> None:
        """Note that a chunk ends here, and with it perhaps a chapter."""
        super().chunk_end()
        self._chunks += 1
        if self._chunks in self._firsts:
            if self._mark:
                with self._watch.stage("watermark"):
                    self._mark.begin_anew()
            with self._watch.stage("write"):
                for book in self._books:
                    book.end_chapter()

    def finish(self) -> None:
        """Pass on the last samples, and end the chapter of the files that are shared."""
        super().finish()
        if self._shared and self._output.chunks[-1] is self._output.whole.chunks[-1]:
            self._books += self._shared
            return
        with self._watch.stage("write"):
            for book in self._shared:
                book.end_chapter()

    def close(self) -> tuple[list[FileRecord], list[LoudnessRecord], list[str]]:
        """Wait for the encoders, and close the files. Returns records and warnings."""
        with self._watch.stage("write"):
            parts, loudness = self.writer.finish(), list[LoudnessRecord]()
            for book in self._books:
                made, reports = book.finish()
                parts, loudness = [*parts, *made], [*loudness, *reports]
            files = [file_record(part, name) for part, name in parts]
        missed = [report for report in loudness if report.failures]
        warnings = [f"{r.file}, {r.chapter}: {r.target}: {'; '.join(r.failures)}" for r in missed]
        if self.writer.peak > 1 and not loudness:
            peak_db = 20 * np.log10(self.writer.peak)
            warnings.append(f"{self._output.name}: peaks reach {peak_db:+.1f} dB and were clipped")
        return files, loudness, warnings

    def commit(self) -> None:
        """Give the finished files their names."""
        self.writer.commit()
        for book in self._books:
            book.commit()

    def _write(self, block: Signal) -> None:
        with self._watch.stage("write"):
            self.writer.write(block)
            for book in [*self._books, *self._shared]:
                book.write(block)
            if self._on_audio:
                self._on_audio(block)
