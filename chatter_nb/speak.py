"""One speech run: text to audio files and the record that proves them.

`generate_tts` is the whole of it; `plan_speech` then `render_speech` are its two halves, for those
who show the plan before the work.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chatter_nb.audio import Signal, read_audio
from chatter_nb.engines.base import KNOBS, check_supported
from chatter_nb.errors import Cancelled, InputError, OutputError, ParamError
from chatter_nb.models import get_or_load_tts_model, pick_engine
from chatter_nb.params import SpeakParams
from chatter_nb.plan import Estimate, SpeechPlan, draw_seed, estimate, plan_speech
from chatter_nb.render import Progress, Run, checked, request_for
from chatter_nb.runs import RECORD, RunFolder, RunRecord

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
        pace = f", {1 / record.rtf:.1f} × real time" if record.rtf else ""
        made = sum(chunk.attempts > 0 for chunk in record.chunks)
        names = ", ".join([*(path.name for path in self.files), RECORD])
        return (
            f"{record.engine.name} spoke {record.audio_s:.1f} s of audio in "
            f"{record.wall_s:.1f} s{pace}; {made} of {len(record.chunks)} chunks made anew\n"
            f"{self.folder}: {names}"
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
    with plan.folder.locked(), ExitStack() as unfinished:
        run = Run(plan, progress or (lambda _: None), cancelled or (lambda: False))
        plan.folder.begin(run.record("running"))
        try:
            writers = [run.make(output, unfinished) for output in plan.outputs]
            plan.folder.retire()
            for writer in writers:
                writer.commit()
        except BaseException as error:
            stopped = isinstance(error, Cancelled | KeyboardInterrupt)
            _end_badly(plan.folder, run.record("cancelled" if stopped else "failed", error), error)
            raise
        record = run.record("ok")
        plan.folder.end(record)
    return Speech(plan.folder.path, record)


def process_one_chunk(
    text: str,
    *,
    engine: str = "auto",
    voice: str = "",
    seed: int = 0,
    language: str | None = None,
    **knobs: float,
) -> tuple[Signal, int]:
    """Speak one chunk and return (samples, rate in Hz): no folder, no store, no joining.

    The model stays loaded. `knobs` are the engine's (`speed=0.9`); one that it does not take is a
    `ParamError`.
    """
    wrong = sorted(set(knobs) - set(KNOBS))
    if wrong:
        raise ParamError(f"{', '.join(wrong)}: no engine knob; there are: {', '.join(KNOBS)}")
    own = {"text": text, "engine": engine, "voice": voice, "seed": seed, "language": language}
    params = SpeakParams.create(own | knobs, where="process_one_chunk")
    choice = pick_engine(params.engine)
    model = get_or_load_tts_model(choice.name)
    check_supported(params, model, choice.reason)
    model.check_text(text)
    own_seed = draw_seed() if params.seed < 0 else params.seed
    request = request_for(0, text, own_seed, model.prepare_voice(voice), model, params)
    ((_, audio, _),) = model.synthesize([request])
    return checked(audio, text), model.sample_rate


def load_speech(folder: str | Path) -> Speech:
    """A finished run, from its folder. Raises `InputError` if it holds no run.json."""
    record = RunFolder(Path(folder)).record()
    if record is None:
        raise InputError(f"{folder} holds no readable run.json")
    return Speech(Path(folder), record)


def _end_badly(folder: RunFolder, record: RunRecord, error: BaseException) -> None:
    try:
        folder.end(record)
    except OutputError as second:  # the disk is full: say so on the error that is on its way
        error.add_note(f"and the failure could not be recorded: {second}")
