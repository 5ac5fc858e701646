"""One conversion run: recordings to the same words in another voice, and the record of the run.

`convert_voice` is `plan_conversion`, then `render_conversion`. A run takes each window from the
store or the engine, and joins the windows into files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import islice, takewhile
from typing import Any

import numpy as np

from chatter_nb.audio.join import ExactLength
from chatter_nb.audio.reading import Signal, read_recording
from chatter_nb.audio.windows import Window
from chatter_nb.base.errors import ChatterError, EngineError, InputError, OutOfMemory, located
from chatter_nb.base.wording import count
from chatter_nb.engines.base import Conversion
from chatter_nb.engines.voices import content_hash
from chatter_nb.params.runs import ConvertParams, knobs_of
from chatter_nb.runs.convert_cast import cut, cut_length, lay, place_s
from chatter_nb.runs.convert_plan import ConversionPlan, PlannedRecording, plan_conversion
from chatter_nb.runs.lifecycle import OnProgress, Run, render
from chatter_nb.runs.output import OnAudio, Sink
from chatter_nb.runs.record import WindowRecord
from chatter_nb.runs.speech import Speech

__all__ = ["ConversionPlan", "convert_voice", "plan_conversion", "render_conversion"]


def convert_voice(
    params: ConvertParams,
    progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_audio: OnAudio | None = None,
) -> Speech:
    """Convert into `outputs_dir/run_name`; finished windows of an earlier run are used again.

    `on_audio` receives the samples of the files, block by block, as they are joined. Raises
    `InputError` before any work for recordings that cannot be converted, `EngineError` that names
    the window that failed, and `Cancelled` after the current window once `cancelled()` is true.
    Finished windows are kept, and `run.json` says how the run ended.
    """
    return render_conversion(plan_conversion(params), progress, cancelled, on_audio)


def render_conversion(
    plan: ConversionPlan,
    progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_audio: OnAudio | None = None,
) -> Speech:
    """Carry out a plan; see `convert_voice`."""
    return render(ConversionRun, plan, progress, cancelled, on_audio)


class ConversionRun(Run):
    """A conversion in progress."""

    stages = ("load", "voice", "read", "tokens", "synthesis", "watermark", "store", "join", "write")
    _plan: ConversionPlan

    def __init__(self, plan: ConversionPlan, *args: Any) -> None:
        super().__init__(plan, *args)
        self._rendered: set[int] = set()  # windows of this output that this run has made

    def make(self, output: PlannedRecording, unfinished: ExitStack) -> Sink:
        """Convert, join and write one recording."""
        sink = self._sink(output, unfinished)
        first, source = len(self._pieces), self._read(output)
        if output.stretches:
            seams = self._converted(output, source, sink)
        else:
            seams = self._convert(output, source, ExactLength(sink.write, output.samples))
        self._close(sink)
        self._note_output(output, sink.writer.samples, first, seams)
        return sink

    def _converted(self, output: PlannedRecording, source: Signal, sink: Sink) -> tuple[int, ...]:
        """Convert a dialogue, speaker by speaker, and write it. Returns its seams."""
        engine, mixed = self._plan.engine, source
        rate = engine.sample_rate
        if rate != engine.source_rate:
            mixed = read_recording(output.path, sample_rate=rate).signal
        seams = {round(stretch.start_s * rate) for stretch in output.stretches[1:]}
        for part in output.parts:
            blocks: list[Signal] = []
            exact = ExactLength(blocks.append, cut_length(len(mixed), part.stretches, rate))
            own = cut(source, part.stretches, engine.source_rate)
            inner = self._convert(part, own, exact)
            seams |= {round(rate * place_s(seam / rate, part.stretches)) for seam in inner}
            lay(mixed, np.concatenate(blocks), part.stretches, rate)
        sink.write(mixed)
        return tuple(sorted(seams))

    def _convert(
        self, output: PlannedRecording, source: Signal, exact: ExactLength
    ) -> tuple[int, ...]:
        """Convert a recording, or a part of one, and pass it on. Returns its seams."""
        conversion = self._begin(output, source)
        joiner = conversion.joiner(exact.write)
        self._rendered.clear()
        for position, planned in enumerate(output.windows):
            audio = self._audio(output, conversion, position)
            window = planned.window
            with _located(output, [window]), self._watch.stage("join"):
                joiner.add(window, audio)
            start_s, end_s = _times_s(output, window)
            self._step(joiner.samples, f"{output.source}, {start_s:.0f} to {end_s:.0f} s")
        with self._watch.stage("join"):
            seams = joiner.finish()
            exact.finish()
        return seams

    def _read(self, output: PlannedRecording) -> Signal:
        with self._watch.stage("read"):
            recording = read_recording(output.path, sample_rate=self._plan.engine.source_rate)
            content = content_hash(output.path, channel=recording.channel)
        if content != output.content_hash:  # the windows' keys are of the old content
            raise InputError(f"{output.path} changed since the run was planned: run again")
        return recording.signal

    def _begin(self, output: PlannedRecording, source: Signal) -> Conversion:
        plan = self._plan
        with self._watch.stage("tokens"):
            conversion = plan.engine.begin(
                source, output.voice, seed=plan.seed, knobs=knobs_of(plan.params)
            )
        if conversion.steps != output.steps:
            raise EngineError(
                f"{output.path} has {conversion.steps} steps, not the planned {output.steps}"
            )
        return conversion

    def _audio(self, output: PlannedRecording, conversion: Conversion, position: int) -> Signal:
        """The result of a window: from the store, or converted now."""
        planned = output.windows[position]
        audio = self._stored(planned.key)
        start_s, end_s = _times_s(output, planned.window)
        self._pieces.append(
            WindowRecord(
                index=len(self._pieces),
                key=planned.key,
                speaker=output.stretches[0].speaker if output.stretches else "",
                start_s=start_s,
                end_s=end_s,
                cached=audio is not None and position not in self._rendered,
            )
        )
        if audio is None:
            self._convert_together(output, conversion, position)
            audio = self._stored(planned.key)
        if audio is None:
            raise ChatterError(f"kept window {planned.key} vanished during the run: run again")
        return audio

    def _more(self) -> dict[str, Any]:
        return {"stretches": tuple(s for output in self._plan.outputs for s in output.stretches)}

    def _stored(self, key: str) -> Signal | None:
        store = self._plan.store
        with self._watch.stage("store"):
            entry = store.get(key)
            if store.damaged:
                self._warnings.append(f"kept window {key} was damaged and is made again")
                store.damaged.clear()
            if entry is None:
                return None
            store.touch(key)
            return entry[0]

    def _convert_together(
        self, output: PlannedRecording, conversion: Conversion, position: int
    ) -> None:
        """Convert a window, with later windows that are missing too and have the same shape."""
        windows, store = output.windows, self._plan.store
        shape = conversion.shape(windows[position].window)
        missing = (
            at
            for at in range(position, len(windows))
            if at == position or not store.has(windows[at].key)
        )
        alike = takewhile(lambda at: conversion.shape(windows[at].window) == shape, missing)
        together = list(islice(alike, self._rows))
        signals = self._try(output, conversion, together)
        if signals is None:
            return self._convert_together(output, conversion, position)
        for at, signal in zip(together, signals, strict=True):
            self._rendered.add(at)
            about = {"source": output.path.name, "start_s": windows[at].window.start_s}
            with self._watch.stage("store"):
                store.put_behind(windows[at].key, signal, about)

    def _try(
        self, output: PlannedRecording, conversion: Conversion, positions: Sequence[int]
    ) -> list[Signal] | None:
        """The converted windows. None if the GPU's memory is too small: then the rows are halved.

        It returns before the next attempt, so that the error frees the memory that it holds.
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


def _times_s(output: PlannedRecording, *windows: Window) -> tuple[float, float]:
    """Where windows begin and end in their recording."""
    start_s, end_s = windows[0].start_s, windows[-1].end_s
    return place_s(start_s, output.stretches), place_s(end_s, output.stretches)


def _located(output: PlannedRecording, windows: Sequence[Window]) -> AbstractContextManager[None]:
    """Errors inside the block name the windows, and their place in the recording."""
    numbers = dict.fromkeys(str(window.index + 1) for window in (windows[0], windows[-1]))
    start_s, end_s = _times_s(output, *windows)
    where = (
        f"{output.path.name}, window {' to '.join(numbers)} of {len(output.windows)} "
        f"({start_s:.1f} to {end_s:.1f} s)"
    )
    return located(where, "the finished windows are kept")
