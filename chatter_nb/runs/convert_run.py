"""A conversion in progress: windows from the engine or the store, to the joined files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import islice, takewhile

from chatter_nb.audio.join import ExactLength
from chatter_nb.audio.reading import Signal, read_recording
from chatter_nb.audio.windows import Window
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.errors import (
    Cancelled,
    ChatterError,
    EngineError,
    InputError,
    OutOfMemory,
    located,
)
from chatter_nb.base.timing import Stopwatch
from chatter_nb.base.wording import count
from chatter_nb.engines.base import Conversion, knobs_of
from chatter_nb.engines.voices import content_hash
from chatter_nb.runs.convert_plan import ConversionPlan, PlannedRecording, PlannedWindow
from chatter_nb.runs.lifecycle import Progress, run_record
from chatter_nb.runs.output import Sink
from chatter_nb.runs.record import (
    FileRecord,
    OutputRecord,
    RunRecord,
    Status,
    WindowRecord,
    utc_now,
)

STAGES = ("load", "voice", "read", "tokens", "synthesis", "watermark", "store", "join", "write")


class Conversions:
    """A run in progress; see `runs.lifecycle.Work`."""

    def __init__(
        self,
        plan: ConversionPlan,
        progress: Callable[[Progress], object],
        cancelled: Callable[[], bool],
        heard: Callable[[Signal], object] | None = None,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._cancelled = cancelled
        self._heard = heard
        self._started = utc_now()
        self._watch = Stopwatch(STAGES)
        self._warnings = list(plan.warnings)
        self._rows = plan.params.rows or plan.engine.rows
        self._ahead: set[int] = set()  # windows of this output that this run has made
        self._done = 0
        self._joined_s = 0.0
        self._model_calls = 0
        self._windows: list[WindowRecord] = []
        self._outputs: list[OutputRecord] = []
        self._files: list[FileRecord] = []

    def make(self, output: PlannedRecording, unfinished: ExitStack) -> AudioWriter:
        """Convert, join and write one recording."""
        plan = self._plan
        sink = Sink(
            plan.folder.path,
            output.name,
            plan.params,
            self._watch,
            unfinished,
            sample_rate=plan.engine.sample_rate,
            watermarked=plan.engine.watermarked,
            device=plan.engine.device,
            heard=self._heard,
        )
        conversion = self._begin(output)
        exact = ExactLength(sink.write, output.samples)
        joiner = conversion.joiner(exact.write)
        first = len(self._windows)
        self._ahead.clear()
        for position, planned in enumerate(output.windows):
            made = self._made(output, conversion, position)
            with _located(output, [planned.window]), self._watch.stage("join"):
                joiner.add(planned.window, made)
            self._tell(output, planned, joiner.samples)
        with self._watch.stage("join"):
            seams = joiner.finish()
            exact.finish()
        files, warnings = sink.finish()
        self._files += files
        self._warnings += warnings
        audio_s = sink.writer.samples / plan.engine.sample_rate
        self._joined_s += audio_s
        self._outputs.append(
            OutputRecord(
                name=output.name,
                source=str(output.path.name),
                first_chunk=first,
                chunks=len(output.windows),
                audio_s=audio_s,
                seams_samples=seams,
            )
        )
        return sink.writer

    def _begin(self, output: PlannedRecording) -> Conversion:
        plan = self._plan
        with self._watch.stage("read"):
            heard = read_recording(output.path, sample_rate=plan.engine.source_rate)
            is_changed = content_hash(output.path, channel=heard.channel) != output.content_hash
        if is_changed:  # its windows are named by what it was
            raise InputError(f"{output.path} changed since the run was planned: run again")
        with self._watch.stage("tokens"):
            conversion = plan.engine.begin(
                heard.signal, plan.voice, seed=plan.seed, knobs=knobs_of(plan.params)
            )
        if conversion.steps != output.steps:
            raise EngineError(
                f"{output.path} has {conversion.steps} steps, not the planned {output.steps}"
            )
        return conversion

    def _made(self, output: PlannedRecording, conversion: Conversion, position: int) -> Signal:
        """A window's result: kept, made already with an earlier one, or made now."""
        planned = output.windows[position]
        kept = self._kept(planned.key)
        cached = kept is not None and position not in self._ahead
        self._note(planned.window, planned.key, cached=cached)
        if kept is None:
            self._make_together(output, conversion, position)
            kept = self._kept(planned.key)
        if kept is None:
            raise ChatterError(f"kept window {planned.key} vanished during the run: run again")
        return kept

    def _kept(self, key: str) -> Signal | None:
        store = self._plan.store
        with self._watch.stage("store"):
            found = store.get(key)
            if store.damaged:
                self._warnings.append(f"kept window {key} was damaged and is made again")
                store.damaged.clear()
            if found:
                store.touch(key)
        return found[0] if found else None

    def _make_together(
        self, output: PlannedRecording, conversion: Conversion, position: int
    ) -> None:
        """Make a window, and with it those after it that are missing too and of its shape."""
        windows, store = output.windows, self._plan.store
        shape = conversion.shape(windows[position].window)
        missing = (
            at
            for at in range(position, len(windows))
            if at == position or not store.has(windows[at].key)
        )
        alike = takewhile(lambda at: conversion.shape(windows[at].window) == shape, missing)
        together = list(islice(alike, self._rows))
        made = self._try(output, conversion, together)
        if made is None:
            return self._make_together(output, conversion, position)
        for at, signal in zip(together, made, strict=True):
            self._ahead.add(at)
            about = {"source": output.path.name, "start_s": windows[at].window.start_s}
            with self._watch.stage("store"):
                store.put(windows[at].key, signal, about)

    def _try(
        self, output: PlannedRecording, conversion: Conversion, positions: Sequence[int]
    ) -> list[Signal] | None:
        """The windows, or None if fewer must be tried at once: the rows are halved, and it is told.

        The error is gone before the next attempt, and with it what it held.
        """
        self._model_calls += 1
        windows = [output.windows[at].window for at in positions]
        try:
            with _located(output, windows), self._watch.stage("synthesis"):
                return conversion.convert(windows)
        except OutOfMemory:
            if len(positions) == 1:
                raise
        self._rows = len(positions) // 2
        self._warnings.append(
            f"the GPU's memory is too small for {count(len(positions), 'row')}: went on with "
            f"{self._rows}"
        )
        return None

    def _note(self, window: Window, key: str, *, cached: bool) -> None:
        self._windows.append(
            WindowRecord(
                index=len(self._windows),
                key=key,
                start_s=window.start_s,
                end_s=window.end_s,
                cached=cached,
            )
        )

    def _tell(self, output: PlannedRecording, planned: PlannedWindow, samples: int) -> None:
        self._done += 1
        total = len(self._plan.windows)
        joined_s = self._joined_s + samples / self._plan.engine.sample_rate
        window = planned.window
        told = f"{output.path.name}, {window.start_s:.0f} to {window.end_s:.0f} s"
        self._progress(Progress(self._done, total, joined_s, told))
        if self._cancelled() and self._done < total:
            raise Cancelled(
                f"stopped after {self._done} of {total} windows; they are kept: run the same again "
                "to resume"
            )

    def record(self, status: Status, error: str | None = None) -> RunRecord:
        """The run as it stands."""
        return run_record(
            "convert",
            status,
            error,
            self._plan,
            self._watch,
            started=self._started,
            outputs=self._outputs,
            files=self._files,
            warnings=self._warnings,
            model_calls=self._model_calls,
            planned_keys=[planned.key for planned in self._plan.windows],
            rows=self._rows,
            windows=tuple(self._windows),
        )


def _located(output: PlannedRecording, windows: Sequence[Window]) -> AbstractContextManager[None]:
    """Errors say which windows, and where in the recording, they are about."""
    numbers = dict.fromkeys(str(window.index + 1) for window in (windows[0], windows[-1]))
    where = (
        f"{output.path.name}, window {' to '.join(numbers)} of {len(output.windows)} "
        f"({windows[0].start_s:.1f} to {windows[-1].end_s:.1f} s)"
    )
    return located(where, "the finished windows are kept")
