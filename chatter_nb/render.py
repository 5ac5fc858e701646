"""A speech run in progress: chunk after chunk from the engine or the store, to the joined files.

Plain calls, one chunk at a time, to disk; `speak` decides when to start and what a failure means.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib import metadata

import numpy as np

from chatter_nb.audio import AudioWriter, Signal, peak
from chatter_nb.engines.base import ChunkInfo, ChunkRequest, SpeechEngine, Voice, knobs_of
from chatter_nb.errors import Cancelled, ChatterError, EngineError
from chatter_nb.identity import PlannedChunk
from chatter_nb.join import Joined, Joiner, trim_edges
from chatter_nb.params import SpeakParams
from chatter_nb.plan import PlannedOutput, SpeechPlan
from chatter_nb.runs import (
    ChunkRecord,
    EngineRecord,
    FileRecord,
    OutputRecord,
    RunRecord,
    Status,
    file_record,
    utc_now,
)
from chatter_nb.timing import Stopwatch, peak_rss_mb, real_time_factor

STAGES = ("load", "voice", "text", "tokens", "synthesis", "watermark", "store", "join", "write")
_SILENCE_PEAK = 1e-4  # -80 dB: no engine speaks this softly
_VERSIONED = ("numpy", "torch", "chatterbox-tts", "papermill")


@dataclass(frozen=True)
class Progress:
    """Told after each chunk. `audio_s` is what is joined so far, pauses included."""

    done: int
    total: int
    audio_s: float
    text: str


class Run:
    """A run in progress: what has been made so far, from which its record is drawn."""

    def __init__(
        self,
        plan: SpeechPlan,
        progress: Callable[[Progress], object],
        cancelled: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._cancelled = cancelled
        self._started = utc_now()
        self._watch = Stopwatch(STAGES)
        self._warnings = list(plan.warnings)
        self._made: dict[int, ChunkInfo] = {}  # by position in the output that is being made
        self._done = 0
        self._total = len(plan.chunks)
        self._earlier_samples = 0  # of outputs that are finished
        self._model_calls = 0
        self._chunks: list[ChunkRecord] = []
        self._outputs: list[OutputRecord] = []
        self._files: list[FileRecord] = []

    def make(self, output: PlannedOutput, unfinished: ExitStack) -> AudioWriter:
        """Make, join and write one output; its files are finished, but not yet in their places.

        `unfinished` takes them away again unless they are committed.
        """
        plan, rate = self._plan, self._plan.engine.sample_rate
        writer = AudioWriter(
            plan.folder.path,
            output.name,
            plan.params.formats,
            sample_rate=rate,
            wav_bits=plan.params.wav_bits,
        )
        unfinished.enter_context(writer)

        def write(block: Signal) -> None:
            with self._watch.stage("write"):
                writer.write(block)

        self._made = {}
        joiner = Joiner(write, sample_rate=rate, crossfade_ms=plan.params.crossfade_ms)
        for position, audio in self._finished(output, joiner):
            self._join(joiner, position, output.chunks[position], audio)
        with self._watch.stage("join"):
            joined = joiner.finish(len(output.chunks))
        with self._watch.stage("write"):
            self._files += [file_record(part, name) for part, name in writer.finish()]
        if writer.peak > 1:
            self._warnings.append(
                f"{output.name}: peaks reach {20 * np.log10(writer.peak):+.1f} dB and were clipped"
            )
        self._note(output, joined)
        return writer

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
            "synthesis", plan.engine.synthesize(requests)
        ):
            self._made[position] = info
            self._keep(output.chunks[position], audio, info)
            yield position, audio
            yield from self._kept_in_turn(output, joiner, kept)

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
                audio = self._from_store(planned) if planned.chunk.speakable else _NOTHING
            yield position, audio

    def _from_store(self, planned: PlannedChunk) -> Signal:
        found = self._plan.store.get(planned.key, verify=False)  # it was, when it was looked up
        if found is None:
            raise ChatterError(f"kept chunk {planned.key} vanished during the run: run again")
        return found[0]

    def _keep(self, planned: PlannedChunk, audio: Signal, info: ChunkInfo) -> None:
        self._model_calls += info.attempts
        checked(audio, planned.chunk.spoken)
        about = {"text": planned.chunk.spoken, "seed": planned.seed, "take": planned.take}
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
            info = self._made.get(position)
            self._chunks.append(
                ChunkRecord(
                    index=first + position,
                    key=planned.key,
                    text=planned.chunk.text,
                    start_s=span.start_samples / rate,
                    end_s=span.end_samples / rate,
                    pause_ms=planned.chunk.pause_ms,
                    seed=planned.seed,
                    take=planned.take,
                    take_of=planned.take_of,
                    attempts=info.attempts if info else 0,
                    cached=info is None and planned.chunk.speakable,
                    split_from=info.split_from if info else None,
                )
            )
        self._earlier_samples += joined.samples
        self._outputs.append(
            OutputRecord(
                name=output.name,
                source=output.source,
                first_chunk=first,
                chunks=len(output.chunks),
                audio_s=joined.samples / rate,
                seams_samples=joined.seams_samples,
            )
        )

    def record(self, status: Status, error: BaseException | None = None) -> RunRecord:
        """The run as it stands."""
        plan = self._plan
        stages_s = self._watch.stages_s | plan.stages_s
        wall_s = self._watch.wall_s + plan.planning_s
        ok = status == "ok"
        audio_s = sum(output.audio_s for output in self._outputs)
        return RunRecord(
            kind="speak",
            status=status,
            error=_describe(error) if error else None,
            run_name=plan.params.resolved_run_name(),
            started=self._started,
            params=plan.params.model_dump(mode="json"),
            engine=EngineRecord(
                name=plan.engine.name,
                reason=plan.engine_choice.reason,
                version=plan.engine.version,
                device=plan.engine.device,
                device_reason=plan.device_choice.reason,
                precision=plan.engine.precision,
                rows=plan.engine.rows,
            ),
            seed=plan.seed,
            sample_rate=plan.engine.sample_rate,
            chunks=tuple(self._chunks),
            outputs=tuple(self._outputs),
            # Of several outputs each has its own seams: positions in different files are no list.
            seams_samples=self._outputs[0].seams_samples if len(self._outputs) == 1 else (),
            audio_s=audio_s,
            wall_s=wall_s,
            rtf=real_time_factor(wall_s, audio_s) if audio_s else None,
            model_calls=self._model_calls,
            stages_s=stages_s,
            peak_rss_mb=peak_rss_mb(),
            files=tuple(self._files) if ok else (),
            warnings=tuple(self._warnings),
            planned_keys=() if ok else tuple(planned.key for planned in plan.chunks),
            versions=_versions(),
        )


def request_for(
    index: int, text: str, seed: int, voice: Voice, engine: SpeechEngine, params: SpeakParams
) -> ChunkRequest:
    language = params.language or engine.languages[0]
    return ChunkRequest(index, text, seed, voice, language, knobs_of(params))


_NOTHING: Signal = np.zeros(0, np.float32)


def checked(audio: Signal, text: str) -> Signal:
    """An engine's audio, if it holds any sound at all: silence for words would lose them."""
    if peak(audio) < _SILENCE_PEAK:
        raise EngineError(f"the engine made only silence of {text[:60]!r}")
    return audio


def _describe(error: BaseException) -> str:
    if isinstance(error, ChatterError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


@cache
def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"chatter_nb": _version("chatter_nb")}
    found["python"] = platform.python_version()
    return found | {name: _version(name) for name in _VERSIONED}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
