"""What every run goes through, whatever it makes: locked, begun, made, committed, recorded."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.errors import Cancelled, ChatterError, OutputError
from chatter_nb.base.timing import Stopwatch, added, peak_rss_mb, real_time_factor
from chatter_nb.engines.models import peak_gpu_mb
from chatter_nb.runs.record import (
    EngineRecord,
    FileRecord,
    OutputRecord,
    RunFolder,
    RunRecord,
    Status,
)

if TYPE_CHECKING:
    from chatter_nb.runs.convert_plan import ConversionPlan
    from chatter_nb.runs.speak_plan import SpeechPlan

Output_contra = TypeVar("Output_contra", contravariant=True)

_VERSIONED = ("numpy", "torch", "chatterbox-tts", "papermill")


@dataclass(frozen=True)
class Progress:
    """Told after each chunk or window. `audio_s` is what is joined so far, pauses included."""

    done: int
    total: int
    audio_s: float
    text: str


class Work(Protocol[Output_contra]):
    """A run in progress."""

    def make(self, output: Output_contra, unfinished: ExitStack) -> AudioWriter:
        """Make one output; its files are finished, but not yet in their places.

        `unfinished` takes them away again unless they are committed.
        """
        ...

    def record(self, status: Status, error: str | None = None) -> RunRecord:
        """The run as it stands."""
        ...


def carry_out(
    folder: RunFolder, outputs: Sequence[Output_contra], work: Work[Output_contra]
) -> RunRecord:
    """Make all outputs, then put them in place, then prove them with run.json.

    Whatever stops it is recorded, as failed or cancelled, and raised again.
    """
    folder.begin(work.record("running"))
    with ExitStack() as unfinished:
        try:
            writers = [work.make(output, unfinished) for output in outputs]
            folder.retire()
            for writer in writers:
                writer.commit()
        except BaseException as error:
            stopped = isinstance(error, Cancelled | KeyboardInterrupt)
            told = work.record("cancelled" if stopped else "failed", _describe(error))
            _end_badly(folder, told, error)
            raise
    record = work.record("ok")
    folder.end(record)
    return record


def _end_badly(folder: RunFolder, record: RunRecord, error: BaseException) -> None:
    try:
        folder.end(record)
    except OutputError as second:  # the disk is full: say so on the error that is on its way
        error.add_note(f"and the failure could not be recorded: {second}")


def _describe(error: BaseException) -> str:
    if isinstance(error, ChatterError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def run_record(
    kind: Literal["speak", "convert"],
    status: Status,
    error: str | None,
    plan: SpeechPlan | ConversionPlan,
    watch: Stopwatch,
    *,
    started: str,
    outputs: Sequence[OutputRecord],
    files: Sequence[FileRecord],
    warnings: Sequence[str],
    model_calls: int,
    planned_keys: Sequence[str],
    rows: int,
    **pieces: Any,
) -> RunRecord:
    """A run's record; `pieces` are its chunks or its windows."""
    ok = status == "ok"
    wall_s = watch.wall_s + plan.planning_s
    audio_s = sum(output.audio_s for output in outputs)
    return RunRecord(
        kind=kind,
        status=status,
        error=error,
        run_name=plan.params.resolved_run_name(),
        started=started,
        params=plan.params.model_dump(mode="json"),
        engine=_engine_record(plan, rows),
        seed=plan.seed,
        sample_rate=plan.engine.sample_rate,
        outputs=tuple(outputs),
        # Of several outputs each has its own seams: positions in different files are no list.
        seams_samples=outputs[0].seams_samples if len(outputs) == 1 else (),
        audio_s=audio_s,
        wall_s=wall_s,
        rtf=real_time_factor(wall_s, audio_s) if audio_s else None,
        model_calls=model_calls,
        stages_s=added(watch.stages_s, plan.stages_s),
        peak_rss_mb=peak_rss_mb(),
        peak_gpu_mb=peak_gpu_mb(),
        files=tuple(files) if ok else (),
        warnings=tuple(warnings),
        planned_keys=() if ok else tuple(planned_keys),
        versions=versions(),
        **pieces,
    )


def _engine_record(plan: SpeechPlan | ConversionPlan, rows: int) -> EngineRecord:
    engine = plan.engine
    return EngineRecord(
        name=engine.name,
        reason=plan.engine_choice.reason,
        version=engine.version,
        device=engine.device,
        device_reason=plan.device_choice.reason,
        precision=plan.precision,
        rows=rows,
    )


@cache
def versions() -> dict[str, str | None]:
    """This package, Python and what decides samples, for the record."""
    found: dict[str, str | None] = {"chatter_nb": _version("chatter_nb")}
    found["python"] = platform.python_version()
    return found | {name: _version(name) for name in _VERSIONED}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
