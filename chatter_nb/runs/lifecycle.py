"""The course of every run, speech or conversion: lock, begin, make, commit, record."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from shutil import rmtree
from typing import Any, ClassVar

from chatter_nb.base.errors import Cancelled, ChatterError, OutputError
from chatter_nb.base.interrupts import stop_after
from chatter_nb.base.timing import Stopwatch, added, peak_rss_mb, real_time_factor
from chatter_nb.base.version import installed_version
from chatter_nb.engines.gpu import peak_gpu_mb, reset_peak_gpu
from chatter_nb.runs.folder import CHAPTERS
from chatter_nb.runs.output import OnAudio, Sink
from chatter_nb.runs.plan import Plan
from chatter_nb.runs.record import (
    ChapterRecord,
    EngineRecord,
    FileRecord,
    LoudnessRecord,
    OutputRecord,
    RunRecord,
    Status,
    utc_now,
)
from chatter_nb.runs.resume import finished, resumed, with_kept_files
from chatter_nb.runs.speech import Speech
from chatter_nb.runs.words_file import SideFile

_VERSIONED = ("chatter_nb", "numpy", "torch", "chatterbox-tts", "papermill")


@dataclass(frozen=True)
class Progress:
    """What `progress` receives after each chunk or window: `done` of `total`, `text` says which.

    `audio_s` is the length of the audio joined so far, in seconds, pauses included.
    """

    done: int
    total: int
    audio_s: float
    text: str


OnProgress = Callable[[Progress], object]


class Run(ABC):
    """A run in progress: it makes the outputs of a plan, and keeps what its record needs."""

    stages: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        plan: Plan,
        on_progress: OnProgress | None,
        cancelled: Callable[[], bool],
        on_audio: OnAudio | None,
    ) -> None:
        self._plan = plan
        self._on_progress = on_progress or (lambda _: None)
        self._cancelled = cancelled
        self._on_audio = on_audio
        self._started = utc_now()
        self._watch = Stopwatch(self.stages)
        self._warnings = list(plan.warnings)
        self._rows: int = plan.params.rows or _rows_of_resumed(plan) or plan.engine.rows
        self._done = 0
        self._total = len(plan.pieces)
        self._earlier_samples = 0  # of outputs that are finished
        self._model_calls = 0
        self._pieces: list[Any] = []  # records of chunks or windows
        self._outputs: list[OutputRecord] = []
        self._files: list[FileRecord] = []
        self._chapters: list[ChapterRecord] = []
        self._loudness: list[LoudnessRecord] = []
        self._side_files: list[SideFile] = []
        self._ended: Sink | None = None  # the last output's

    @abstractmethod
    def make(self, output: Any, unfinished: ExitStack) -> Sink:
        """Make one output, and `_close` it. Returns its sink, to commit the files.

        `unfinished` removes them again unless they are committed.
        """

    def carry_out(self) -> RunRecord:
        """Make all outputs, move them to their places, then write run.json; returns its record.

        An error that stops the run is recorded, as failed or cancelled, and raised again.
        """
        folder = self._plan.folder
        reset_peak_gpu(self._plan.engine.device)
        earlier = finished(folder)
        folder.begin(self.record("running"))
        with ExitStack() as unfinished:
            try:
                sinks = [self.make(output, unfinished) for output in self._plan.outputs]
                self._close(None)
                with self._watch.stage("store"):
                    self._plan.store.settle()
                folder.retire()
                for sink in sinks:
                    sink.commit()
                for file in self._side_files:
                    file.commit()
            except BaseException as error:
                stopped = isinstance(error, Cancelled | KeyboardInterrupt)
                try:
                    self._plan.store.settle()
                except OutputError as second:
                    error.add_note(f"and the last {self._plan.unit} is not kept: {second}")
                try:
                    folder.end(self.record("cancelled" if stopped else "failed", _describe(error)))
                except OutputError as second:  # the disk is full: add it to the first error
                    error.add_note(f"and the failure could not be recorded: {second}")
                raise
        record = with_kept_files(self.record("ok"), folder, earlier, self._plan.params)
        folder.end(record)
        rmtree(folder.path / CHAPTERS, ignore_errors=True)  # a resume would need them
        return record

    def _sink(self, output: Any, unfinished: ExitStack) -> Sink:
        return Sink(self._plan, output, self._watch, unfinished, self._on_audio, self._ended)

    def _step(self, samples: int, text: str) -> None:
        """Report that a piece is joined, `samples` of this output in all.

        Raises `Cancelled` if the run must stop.
        """
        self._done += 1
        audio_s = (self._earlier_samples + samples) / self._plan.engine.sample_rate
        self._on_progress(Progress(self._done, self._total, audio_s, text))
        if self._done < self._total:
            self._stop_if_cancelled()

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise Cancelled(
                f"stopped after {self._done} of {self._total} {self._plan.unit}s; they are kept: "
                "run the same again to resume"
            )

    def _close(self, sink: Sink | None) -> None:
        """End an output, and finish the output before it: encoders work beside the next output."""
        if sink:
            sink.finish()
        before, self._ended = self._ended, sink
        if before:
            files, loudness, warnings = before.close()
            self._files += files
            self._loudness += loudness
            self._warnings += warnings
            self._move(loudness)

    def _move(self, loudness: Sequence[LoudnessRecord]) -> None:
        """Make the times of the last output those of its mastered file, chapter by chapter."""
        output, rate = self._outputs[-1], self._plan.engine.sample_rate
        first, own = output.first_chunk, defaultdict[str, list[LoudnessRecord]](list)
        for report in loudness:
            own[report.file].append(report)
        names = (f"{output.name}.{name}" for name in self._plan.params.formats)
        if not (mastered := next((own[name] for name in names if name in own), [])):
            return  # an m4b beside split chapters is none of theirs
        chapters = [at for at, c in enumerate(self._chapters) if c.first_chunk >= first]
        starts_s = [self._chapters[at].start_s for at in chapters] or [0.0]
        shifts_s = [r.start_s + r.head_s - s for r, s in zip(mastered, starts_s, strict=True)]
        for at, report in zip(chapters, mastered, strict=False):
            self._chapters[at] = self._chapters[at].model_copy(update={"start_s": report.start_s})
        for at, piece in enumerate(self._pieces[first:], first):
            by_s = shifts_s[bisect_right(starts_s, piece.start_s) - 1]
            times_s = {name: getattr(piece, name) + by_s for name in ("start_s", "end_s")}
            self._pieces[at] = piece.model_copy(update=times_s)
        at_seams = (bisect_right(starts_s, seam / rate) - 1 for seam in output.seams_samples)
        moved = zip(output.seams_samples, at_seams, strict=True)
        seams = tuple(seam + round(rate * shifts_s[at]) for seam, at in moved)
        ended = {"audio_s": mastered[-1].end_s, "seams_samples": seams}
        self._outputs[-1] = output.model_copy(update=ended)

    def _note_output(self, output: Any, samples: int, first: int, seams: tuple[int, ...]) -> None:
        """Keep the record of a finished output; `first` is the index of its first piece."""
        self._earlier_samples += samples
        self._outputs.append(
            OutputRecord(
                name=output.name,
                source=output.source,
                first_chunk=first,
                chunks=len(self._pieces) - first,
                audio_s=samples / self._plan.engine.sample_rate,
                seams_samples=seams,
            )
        )

    def _more(self) -> dict[str, Any]:
        """The fields of the record that only this kind of run has."""
        return {}

    def _keys(self) -> tuple[str, ...]:
        """The keys of the pieces that a resume will use."""
        return tuple(piece.key for piece in self._plan.pieces)

    def record(self, status: Status, error: str | None = None) -> RunRecord:
        """The record of the run as it is now."""
        plan, ok = self._plan, status == "ok"
        wall_s = self._watch.wall_s + plan.planning_s
        audio_s = sum(output.audio_s for output in self._outputs)
        # Positions in several files make no list.
        seams = self._outputs[0].seams_samples if len(self._outputs) == 1 else ()
        pieces: dict[str, Any] = {f"{plan.unit}s": tuple(self._pieces)}
        return RunRecord(
            kind=plan.params.kind,
            status=status,
            error=error,
            run_name=plan.params.resolved_run_name(),
            started=self._started,
            params=plan.params.model_dump(mode="json"),
            engine=_engine_record(plan, self._rows),
            seed=plan.seed,
            sample_rate=plan.engine.sample_rate,
            outputs=tuple(self._outputs),
            chapters=tuple(self._chapters),
            loudness=tuple(self._loudness),
            seams_samples=seams,
            audio_s=audio_s,
            wall_s=wall_s,
            rtf=real_time_factor(wall_s, audio_s) if audio_s else None,
            model_calls=self._model_calls,
            stages_s=added(self._watch.stages_s, plan.stages_s),
            peak_rss_mb=peak_rss_mb(),
            peak_gpu_mb=None if status == "running" else peak_gpu_mb(plan.engine.device),
            files=tuple(self._files) if ok else (),
            word_files=tuple(file.record for file in self._side_files) if ok else (),
            warnings=tuple(self._warnings),
            planned_keys=() if ok else self._keys(),
            versions=versions(),
            **pieces,
            **self._more(),
        )


def render(
    kind: Callable[..., Run],
    plan: Plan,
    on_progress: OnProgress | None,
    cancelled: Callable[[], bool] | None,
    on_audio: OnAudio | None,
) -> Speech:
    """Carry out a plan with a run of its `kind`, and return the finished speech."""
    with plan.folder.locked(), stop_after(plan.unit, cancelled) as stopped:
        record = kind(plan, on_progress, stopped, on_audio).carry_out()
    return Speech(plan.folder.path, record)


def _describe(error: BaseException) -> str:
    if isinstance(error, ChatterError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _rows_of_resumed(plan: Plan) -> int:
    """The rows that were chosen for the unfinished run that this run resumes; 0 if none were."""
    unfinished = resumed(plan.params, plan.folder)
    if unfinished is None or any(
        unfinished.params.get(name) != getattr(plan.params, name, None)
        for name in ("rows", "engine_path")
    ):
        return 0
    now, then = _engine_record(plan, unfinished.engine.rows), unfinished.engine
    same = (now.name, now.device, now.precision) == (then.name, then.device, then.precision)
    return then.rows if same else 0


def _engine_record(plan: Plan, rows: int) -> EngineRecord:
    engine, settled = plan.engine, plan.settled
    return EngineRecord(
        name=engine.name,
        reason=settled.engine.reason,
        version=engine.version,
        device=engine.device,
        device_reason=settled.device.reason,
        precision=settled.precision.name,
        rows=rows,
    )


@cache
def versions() -> dict[str, str | None]:
    """The versions of Python, of this package and of those that decide samples."""
    packages = {name: installed_version(name) for name in _VERSIONED}
    return packages | {"python": platform.python_version()}
