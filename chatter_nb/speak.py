"""One speech run: text to audio files and the record that proves them.

`generate_tts` is the whole of it; `plan_speech` then `render_speech` are its two halves, for those
who show the plan before the work. Plain calls from top to bottom, chunk after chunk, to disk.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np

from chatter_nb.audio import AudioWriter, Signal, peak, read_audio
from chatter_nb.engines.base import ChunkInfo, ChunkRequest, knobs_of
from chatter_nb.errors import Cancelled, ChatterError, EngineError, InputError, OutputError
from chatter_nb.join import Joined, Joiner, trim_edges
from chatter_nb.models import get_or_load_tts_model
from chatter_nb.params import SpeakParams
from chatter_nb.plan import Estimate, PlannedChunk, PlannedOutput, SpeechPlan, estimate, plan_speech
from chatter_nb.runs import (
    ChunkRecord,
    EngineRecord,
    FileRecord,
    OutputRecord,
    RunFolder,
    RunRecord,
    Status,
    file_record,
    utc_now,
)
from chatter_nb.timing import Stopwatch, peak_rss_mb, real_time_factor

__all__ = [
    "Estimate",
    "Progress",
    "Speech",
    "estimate",
    "generate_tts",
    "load_speech",
    "plan_speech",
    "process_one_chunk",
    "render_speech",
]

STAGES = ("load", "voice", "tokens", "synthesis", "watermark", "store", "join", "write")
_SILENCE_PEAK = 1e-4  # -80 dB: no engine speaks this softly
_VERSIONED = ("numpy", "torch", "chatterbox-tts", "papermill")


@dataclass(frozen=True)
class Progress:
    """Told after each chunk. `audio_s` is what is joined so far, pauses included."""

    done: int
    total: int
    audio_s: float
    text: str


@dataclass(frozen=True)
class Speech:
    """A finished run: its folder and its record."""

    folder: Path
    record: RunRecord

    @property
    def files(self) -> list[Path]:
        """The audio files, one a format and output."""
        return [self.folder / file.name for file in self.record.files]

    @property
    def audio_s(self) -> float:
        return self.record.audio_s

    @property
    def rtf(self) -> float | None:
        return self.record.rtf

    def read(self, name: str = "") -> tuple[Signal, int]:
        """The samples and rate (Hz) of a file of this run, by default its first."""
        return read_audio(self.folder / (name or self.record.files[0].name))

    def __str__(self) -> str:
        record = self.record
        faster = f", {1 / record.rtf:.0f} times faster than real time" if record.rtf else ""
        made = f"{record.model_calls} of {len(record.chunks)} chunks made anew"
        files = ", ".join(str(path) for path in self.files)
        return (
            f"{record.engine.name} spoke {record.audio_s:.1f} s of audio in "
            f"{record.wall_s:.1f} s{faster}; {made}\n{files}"
        )


def generate_tts(
    params: SpeakParams,
    progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Speech:
    """Speak a text into `outputs_dir/run_name`; finished chunks of an earlier run are used again.

    Raises `InputError` before any work for input that cannot be spoken, `EngineError` where a chunk
    fails, `OutputError` where the disk does, and `Cancelled` after the chunk in hand once
    `cancelled()` is true. What is finished is kept, and `run.json` says what happened.
    """
    return render_speech(plan_speech(params), progress, cancelled)


def render_speech(
    plan: SpeechPlan,
    progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Speech:
    """Carry out a plan; see `generate_tts`."""
    plan.folder.make()
    run = _Run(plan, progress or (lambda _: None), cancelled or (lambda: False))
    plan.folder.begin(run.record("running"))
    try:
        for output in plan.outputs:
            run.make(output)
    except BaseException as error:
        stopped = isinstance(error, Cancelled | KeyboardInterrupt)
        _end_badly(plan.folder, run.record("cancelled" if stopped else "failed", error), error)
        raise
    record = run.record("ok")
    plan.folder.end(record)
    return Speech(plan.folder.path, record)


def process_one_chunk(
    text: str, *, engine: str = "auto", voice: str = "", seed: int = 0, **knobs: float
) -> tuple[Signal, int]:
    """Speak one chunk and return (samples, rate in Hz): no folder, no store, no joining.

    The model stays loaded. `knobs` are the engine's (`speed=0.9`).
    """
    params = SpeakParams.create({"text": text, "engine": engine, "voice": voice, **knobs})
    model = get_or_load_tts_model(params.engine)
    model.check_text(text)
    request = ChunkRequest(
        0, text, seed, model.prepare_voice(voice), model.languages[0], knobs_of(params)
    )
    ((_, audio, _),) = model.synthesize([request])
    return _checked(audio, text), model.sample_rate


def load_speech(folder: str | Path) -> Speech:
    """A finished run, from its folder. Raises `InputError` if it holds no run.json."""
    record = RunFolder(Path(folder)).record()
    if record is None:
        raise InputError(f"{folder} holds no readable run.json")
    return Speech(Path(folder), record)


class _Run:
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
        self._made: dict[str, ChunkInfo] = {}  # by key: what this run had the model make
        self._done = 0
        self._samples = 0
        self._model_calls = 0
        self._chunks: list[ChunkRecord] = []
        self._outputs: list[OutputRecord] = []
        self._files: list[FileRecord] = []

    def make(self, output: PlannedOutput) -> None:
        """Make, join and write one output, then commit its files."""
        plan, rate = self._plan, self._plan.engine.sample_rate
        with AudioWriter(
            plan.folder.path,
            output.name,
            plan.params.formats,
            sample_rate=rate,
            wav_bits=plan.params.wav_bits,
        ) as writer:

            def write(block: Signal) -> None:
                with self._watch.stage("write"):
                    writer.write(block)

            joiner = Joiner(write, sample_rate=rate, crossfade_ms=plan.params.crossfade_ms)
            for position, audio in self._finished(output, joiner):
                self._join(joiner, position, output.chunks[position], audio)
            with self._watch.stage("join"):
                joined = joiner.finish(len(output.chunks))
            with self._watch.stage("write"):
                paths = writer.commit()
        if writer.peak > 1:
            self._warnings.append(
                f"{output.name}: peaks reach {20 * np.log10(writer.peak):+.1f} dB and were clipped"
            )
        self._note(output, joined, paths)

    def _finished(self, output: PlannedOutput, joiner: Joiner) -> Iterator[tuple[int, Signal]]:
        """Each chunk's audio: kept ones as their turn comes, the rest as the engine makes them."""
        kept, missing = self._look_up(output)
        yield from self._kept_in_turn(output, joiner, kept)
        requests = [self._request(position, output.chunks[position]) for position in missing]
        made = self._plan.engine.synthesize(requests)
        for position, audio, info in self._watch.each("synthesis", made):
            planned = output.chunks[position]
            self._keep(planned, audio, info)
            yield position, audio
            yield from self._kept_in_turn(output, joiner, kept)

    def _look_up(self, output: PlannedOutput) -> tuple[set[int], list[int]]:
        """Positions of the chunks that need no model, and of those that do."""
        store, kept, missing = self._plan.store, set(), []
        with self._watch.stage("store"):
            for position, planned in enumerate(output.chunks):
                if not planned.chunk.speakable or store.get(planned.key) is not None:
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
        found = self._plan.store.get(planned.key)
        if found is None:
            raise OutputError(f"kept chunk {planned.key} vanished during the run: run again")
        self._plan.store.touch(planned.key)
        return found[0]

    def _request(self, position: int, planned: PlannedChunk) -> ChunkRequest:
        plan = self._plan
        language = plan.params.language or plan.engine.languages[0]
        return ChunkRequest(
            position,
            planned.chunk.spoken,
            planned.seed,
            plan.voice,
            language,
            knobs_of(plan.params),
        )

    def _keep(self, planned: PlannedChunk, audio: Signal, info: ChunkInfo) -> None:
        self._model_calls += info.attempts
        self._made[planned.key] = info
        _checked(audio, planned.chunk.spoken)
        with self._watch.stage("store"):
            self._plan.store.put(
                planned.key,
                audio,
                {"text": planned.chunk.spoken, "seed": planned.seed, "take": planned.take},
            )

    def _join(self, joiner: Joiner, position: int, planned: PlannedChunk, audio: Signal) -> None:
        rate = self._plan.engine.sample_rate
        with self._watch.stage("join"):
            trimmed = trim_edges(audio, sample_rate=rate)
            joiner.add(position, trimmed, pause_ms=planned.chunk.pause_ms)
        self._done += 1
        self._samples += len(trimmed) + round(rate * planned.chunk.pause_ms / 1000)
        total = len(self._plan.chunks)
        self._progress(Progress(self._done, total, self._samples / rate, planned.chunk.spoken))
        if self._cancelled() and self._done < total:
            raise Cancelled(
                f"stopped after {self._done} of {total} chunks; they are kept: run the same again "
                "to resume"
            )

    def _note(self, output: PlannedOutput, joined: Joined, paths: list[Path]) -> None:
        rate, first = self._plan.engine.sample_rate, len(self._chunks)
        for planned, span in zip(output.chunks, joined.spans, strict=True):
            info = self._made.get(planned.key)
            self._chunks.append(
                ChunkRecord(
                    index=len(self._chunks),
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
        with self._watch.stage("write"):
            self._files += [file_record(path) for path in paths]

    def record(self, status: Status, error: BaseException | None = None) -> RunRecord:
        """The run as it stands."""
        plan = self._plan
        stages_s = self._watch.stages_s | plan.stages_s
        wall_s = self._watch.wall_s + sum(plan.stages_s.values())
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
            seams_samples=tuple(s for output in self._outputs for s in output.seams_samples),
            audio_s=audio_s,
            wall_s=wall_s,
            rtf=real_time_factor(wall_s, audio_s) if audio_s else None,
            model_calls=self._model_calls,
            stages_s=stages_s,
            peak_rss_mb=peak_rss_mb(),
            files=tuple(self._files),
            warnings=tuple(self._warnings),
            versions=_versions(),
        )


_NOTHING: Signal = np.zeros(0, np.float32)


def _checked(audio: Signal, text: str) -> Signal:
    """An engine's audio, if it holds any sound at all: silence for words would lose them."""
    if peak(audio) < _SILENCE_PEAK:
        raise EngineError(f"the engine made only silence of {text[:60]!r}")
    return audio


def _describe(error: BaseException) -> str:
    if isinstance(error, ChatterError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _end_badly(folder: RunFolder, record: RunRecord, error: BaseException) -> None:
    try:
        folder.end(record)
    except OutputError as second:  # the disk is full: say so on the error that is on its way
        error.add_note(f"and the failure could not be recorded: {second}")


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
