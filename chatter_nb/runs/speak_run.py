"""A speech run in progress: chunk after chunk from the engine or the store, to the joined files.

Plain calls, one chunk at a time, to disk; `speak` decides when to start and what a failure means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from chatter_nb.audio.join import Joined, Joiner, find_edges, trim_edges
from chatter_nb.audio.reading import Signal, peak
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.errors import Cancelled, ChatterError, EngineError
from chatter_nb.base.timing import Stopwatch
from chatter_nb.engines.base import (
    ChunkInfo,
    ChunkPart,
    ChunkRequest,
    SpeechEngine,
    Voice,
    knobs_of,
)
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.keys import PlannedChunk
from chatter_nb.runs.lifecycle import Progress, run_record
from chatter_nb.runs.output import Sink
from chatter_nb.runs.parts import in_parts
from chatter_nb.runs.record import ChunkRecord, FileRecord, OutputRecord, RunRecord, Status, utc_now
from chatter_nb.runs.speak_plan import PlannedOutput, SpeechPlan

STAGES = ("load", "voice", "text", "tokens", "synthesis", "watermark", "store", "join", "write")
_SILENCE_PEAK = 1e-4  # -80 dB: no engine speaks this softly


class Run:
    """A run in progress: what has been made so far, from which its record is drawn."""

    def __init__(
        self,
        plan: SpeechPlan,
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
        self._made: dict[int, _Made] = {}  # by position in the output that is being made
        self._done = 0
        self._total = len(plan.chunks)
        one = plan.params.engine_path == "upstream"
        self._rows = 1 if one else plan.params.rows or plan.engine.rows
        self._earlier_samples = 0  # of outputs that are finished
        self._model_calls = 0
        self._chunks: list[ChunkRecord] = []
        self._outputs: list[OutputRecord] = []
        self._files: list[FileRecord] = []

    def make(self, output: PlannedOutput, unfinished: ExitStack) -> AudioWriter:
        """Make, join and write one output; see `runs.lifecycle.Work`."""
        plan, rate = self._plan, self._plan.engine.sample_rate
        sink = Sink(
            plan.folder.path,
            output.name,
            plan.params,
            self._watch,
            unfinished,
            sample_rate=rate,
            watermarked=plan.engine.watermarked,
            device=plan.engine.device,
            heard=self._heard,
        )
        self._made = {}
        joiner = Joiner(
            sink.write,
            sample_rate=rate,
            crossfade_ms=plan.params.crossfade_ms,
            chunk_end=sink.chunk_end,
        )
        for position, audio in self._finished(output, joiner):
            self._join(joiner, position, output.chunks[position], audio)
        with self._watch.stage("join"):
            joined = joiner.finish(len(output.chunks))
        files, warnings = sink.finish()
        self._files += files
        self._warnings += warnings
        self._note(output, joined)
        return sink.writer

    def _finished(self, output: PlannedOutput, joiner: Joiner) -> Iterator[tuple[int, Signal]]:
        """Each chunk's audio: kept ones as their turn comes, the rest as the engine makes them."""
        plan = self._plan
        kept, missing = self._look_up(output)
        yield from self._kept_in_turn(output, joiner, kept)
        requests = [
            request_for(
                position,
                output.chunks[position].chunk.spoken,
                output.chunks[position].seed,
                plan.voice,
                plan.engine,
                plan.params,
            )
            for position in missing
        ]
        for position, audio, info in self._watch.each(
            "synthesis", plan.engine.synthesize(requests, **self._options())
        ):
            self._keep(output.chunks[position], audio, info)
            self._made[position] = self._made_of(info, audio)
            yield position, audio
            yield from self._kept_in_turn(output, joiner, kept)

    def _options(self) -> dict[str, Any]:
        return options_of(self._plan.engine, self._plan.params, self._rows)

    def _look_up(self, output: PlannedOutput) -> tuple[set[int], list[int]]:
        """Positions of the chunks that need no model, and of those that do."""
        store, kept, missing = self._plan.store, set(), []
        with self._watch.stage("store"):
            for position, planned in enumerate(output.chunks):
                if not planned.chunk.speakable:
                    kept.add(position)
                elif store.get(planned.key) is not None:
                    store.touch(planned.key)  # now, so that no `clean` takes it before its turn
                    kept.add(position)
                else:
                    missing.append(position)
        for key in store.damaged:
            self._warnings.append(f"kept chunk {key} was damaged and is made again")
        store.damaged.clear()
        return kept, missing

    def _kept_in_turn(
        self, output: PlannedOutput, joiner: Joiner, kept: set[int]
    ) -> Iterator[tuple[int, Signal]]:
        while (position := joiner.next_index) in kept:
            planned = output.chunks[position]
            with self._watch.stage("store"):
                audio = self._from_store(position, planned)
            yield position, audio

    def _from_store(self, position: int, planned: PlannedChunk) -> Signal:
        if not planned.chunk.speakable:
            return _NOTHING
        found = self._plan.store.get(planned.key, verify=False)  # it was, when it was looked up
        if found is None:
            raise ChatterError(f"kept chunk {planned.key} vanished during the run: run again")
        audio, about = found
        parts = tuple(ChunkPart(**part) for part in about.get("parts", ()))
        self._warnings += about.get("notes", ())
        self._made[position] = self._made_of(ChunkInfo(attempts=0, parts=parts), audio)
        return audio

    def _made_of(self, info: ChunkInfo, audio: Signal) -> _Made:
        start, _ = find_edges(audio, sample_rate=self._plan.engine.sample_rate)
        return _Made(info, start if info.parts else 0)

    def _keep(self, planned: PlannedChunk, audio: Signal, info: ChunkInfo) -> None:
        self._model_calls += info.attempts
        for stage, seconds in info.stages_s.items():
            self._watch.move(seconds, source="synthesis", to=stage)
        checked(audio, planned.chunk.spoken)
        notes = [*info.notes, *_split_note(planned, info)]
        self._warnings += [*info.warnings, *notes]
        about = {
            "text": planned.chunk.spoken,
            "seed": planned.seed,
            "take": planned.take,
            "notes": notes,
            "parts": [asdict(part) for part in info.parts],
        }
        with self._watch.stage("store"):
            self._plan.store.put(planned.key, audio, about)

    def _join(self, joiner: Joiner, position: int, planned: PlannedChunk, audio: Signal) -> None:
        rate = self._plan.engine.sample_rate
        with self._watch.stage("join"):
            trimmed = trim_edges(audio, sample_rate=rate)
            joiner.add(position, trimmed, pause_ms=planned.chunk.pause_ms)
        self._done += 1
        joined_s = (self._earlier_samples + joiner.samples) / rate
        self._progress(Progress(self._done, self._total, joined_s, planned.chunk.spoken))
        if self._cancelled() and self._done < self._total:
            raise Cancelled(
                f"stopped after {self._done} of {self._total} chunks; they are kept: run the same "
                "again to resume"
            )

    def _note(self, output: PlannedOutput, joined: Joined) -> None:
        rate, first = self._plan.engine.sample_rate, len(self._chunks)
        for position, (planned, span) in enumerate(zip(output.chunks, joined.spans, strict=True)):
            made = self._made.get(position, _Made(ChunkInfo(attempts=0), 0))
            whole = ChunkRecord(
                index=len(self._chunks),
                key=planned.key,
                text=planned.chunk.text,
                start_s=span.start_samples / rate,
                end_s=span.end_samples / rate,
                pause_ms=planned.chunk.pause_ms,
                seed=planned.seed,
                take=planned.take,
                take_of=planned.take_of,
                attempts=made.info.attempts,
                cached=not made.info.attempts and planned.chunk.speakable,
            )
            self._chunks += in_parts(whole, made.info.parts, made.trimmed_samples, rate)
        self._earlier_samples += joined.samples
        self._outputs.append(
            OutputRecord(
                name=output.name,
                source=output.source,
                first_chunk=first,
                chunks=len(self._chunks) - first,
                audio_s=joined.samples / rate,
                seams_samples=joined.seams_samples,
            )
        )

    def record(self, status: Status, error: str | None = None) -> RunRecord:
        """The run as it stands."""
        return run_record(
            "speak",
            status,
            error,
            self._plan,
            self._watch,
            started=self._started,
            outputs=self._outputs,
            files=self._files,
            warnings=self._warnings,
            model_calls=self._model_calls,
            planned_keys=[planned.key for planned in self._plan.chunks],
            rows=self._rows,
            chunks=tuple(self._chunks),
        )


def request_for(
    index: int, text: str, seed: int, voice: Voice, engine: SpeechEngine, params: SpeakParams
) -> ChunkRequest:
    language = params.language or engine.languages[0]
    return ChunkRequest(index, text, seed, voice, language, knobs_of(params))


def options_of(engine: SpeechEngine, params: SpeakParams, rows: int) -> dict[str, Any]:
    """What `synthesize` is told besides the requests: only what the engine takes."""
    options = {"rows": rows, "engine_path": params.engine_path}
    return {name: value for name, value in options.items() if name in engine.takes}


def _split_note(planned: PlannedChunk, info: ChunkInfo) -> list[str]:
    if not info.parts:
        return []
    text = planned.chunk.spoken[:60]
    return [f"a chunk did not end and was made again in {len(info.parts)} parts: {text!r}"]


class _Made(NamedTuple):
    """A chunk's info, and how many samples are trimmed off its front."""

    info: ChunkInfo
    trimmed_samples: int


_NOTHING: Signal = np.zeros(0, np.float32)


def checked(audio: Signal, text: str) -> Signal:
    """An engine's audio, if it holds any sound at all: silence for words would lose them."""
    if peak(audio) < _SILENCE_PEAK:
        raise EngineError(f"the engine made only silence of {text[:60]!r}")
    return audio
