"""A conversion in progress: windows from the engine or the store, to the joined files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from chatter_nb.audio import Signal, read_audio
from chatter_nb.engines.base import Conversion, knobs_of
from chatter_nb.errors import Cancelled, ChatterError, EngineError, OutOfMemory
from chatter_nb.execution import Progress, run_record
from chatter_nb.planning import count
from chatter_nb.runs import FileRecord, OutputRecord, RunRecord, Status, WindowRecord, utc_now
from chatter_nb.sink import Sink
from chatter_nb.timing import Stopwatch
from chatter_nb.windows import Window
from chatter_nb.writer import AudioWriter

if TYPE_CHECKING:
    from chatter_nb.convert import ConversionPlan

STAGES = ("load", "voice", "read", "tokens", "synthesis", "watermark", "store", "join", "write")


@dataclass(frozen=True)
class PlannedWindow:
    """A window and the key that names what is made of it."""

    window: Window
    key: str


@dataclass(frozen=True)
class PlannedRecording:
    """One recording to convert, and its windows."""

    name: str
    path: Path
    duration_s: float
    steps: int
    windows: tuple[PlannedWindow, ...]


class Conversions:
    """A run in progress; see `execution.Work`."""

    def __init__(
        self,
        plan: ConversionPlan,
        progress: Callable[[Progress], object],
        cancelled: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._cancelled = cancelled
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
        )
        conversion = self._begin(output)
        joiner = conversion.joiner(sink.write)
        first = len(self._windows)
        self._ahead.clear()
        for position, planned in enumerate(output.windows):
            made = self._made(output, conversion, position)
            with self._watch.stage("join"):
                joiner.add(planned.window, made)
            self._tell(output, planned, joiner.samples)
        with self._watch.stage("join"):
            seams = joiner.finish()
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
            source, _ = read_audio(output.path, sample_rate=plan.engine.source_rate)
        with self._watch.stage("tokens"):
            conversion = plan.engine.begin(
                source, plan.voice, seed=plan.seed, knobs=knobs_of(plan.params)
            )
        if conversion.steps != output.steps:
            raise EngineError(
                f"{output.path} has {conversion.steps} steps, not the planned {output.steps}: "
                "did it change meanwhile? Run again"
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
        missing = [
            at
            for at in range(position, len(output.windows))
            if at == position or not self._plan.store.has(output.windows[at].key)
        ]
        shape = conversion.shape(output.windows[position].window)
        together = list(
            takewhile(lambda at: conversion.shape(output.windows[at].window) == shape, missing)
        )[: self._rows]
        try:
            made = self._convert(output, conversion, together)
        except OutOfMemory as error:
            if len(together) == 1:
                raise
            self._rows = len(together) // 2
            self._warnings.append(f"{error}; went on with {count(self._rows, 'row')}")
            return self._make_together(output, conversion, position)
        for at, signal in zip(together, made, strict=True):
            self._ahead.add(at)
            window = output.windows[at]
            about = {"source": output.path.name, "start_s": window.window.start_s}
            with self._watch.stage("store"):
                self._plan.store.put(window.key, signal, about)

    def _convert(
        self, output: PlannedRecording, conversion: Conversion, positions: Sequence[int]
    ) -> list[Signal]:
        self._model_calls += 1
        windows = [output.windows[at].window for at in positions]
        which = " to ".join(str(at + 1) for at in dict.fromkeys([positions[0], positions[-1]]))
        where = (
            f"{output.path.name}, window {which} of {len(output.windows)} "
            f"({windows[0].start_s:.1f} to {windows[-1].end_s:.1f} s)"
        )
        try:
            with self._watch.stage("synthesis"):
                return conversion.convert(windows)
        except ChatterError as error:
            raise type(error)(f"{where}: {error}; the finished windows are kept") from error
        except Exception as error:  # whatever a model raises, a person must know where
            raise EngineError(
                f"{where}: {type(error).__name__}: {error}; the finished windows are kept"
            ) from error

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
            windows=tuple(self._windows),
        )
