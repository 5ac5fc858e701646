"""One speech run: text to audio files and the record that proves them.

`generate_tts` is the whole of it; `plan_speech` then `render_speech` are its two halves, for those
who show the plan before the work.
"""

from __future__ import annotations

from collections.abc import Callable

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import ParamError
from chatter_nb.base.interrupts import stop_after
from chatter_nb.engines.base import KNOBS, check_supported
from chatter_nb.engines.models import get_or_load_tts_model, pick_engine
from chatter_nb.engines.registry import entry
from chatter_nb.engines.watermark import load_perth, mark
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.lifecycle import Progress, carry_out
from chatter_nb.runs.settle import Estimate, check_texts, draw_seed, library_of
from chatter_nb.runs.speak_plan import SpeechPlan, estimate, plan_speech
from chatter_nb.runs.speak_run import Run, checked, options_of, request_for
from chatter_nb.runs.speech import Speech, load_speech

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


def generate_tts(
    params: SpeakParams,
    progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
    heard: Callable[[Signal], object] | None = None,
) -> Speech:
    """Speak a text into `outputs_dir/run_name`; finished chunks of an earlier run are used again.

    Raises `InputError` before any work for input that cannot be spoken, `EngineError` where a chunk
    fails, `OutputError` where the disk does, and `Cancelled` after the chunk in hand once
    `cancelled()` is true (without it: after a first Ctrl-C; a second stops at once). What is
    finished is kept, and `run.json` says what happened. `heard` is given the samples of the files
    as they come, float32 mono, chunk after chunk: for those who do not wait for the end.
    """
    return render_speech(plan_speech(params), progress, cancelled, heard)


def render_speech(
    plan: SpeechPlan,
    progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
    heard: Callable[[Signal], object] | None = None,
) -> Speech:
    """Carry out a plan; see `generate_tts`."""
    with plan.folder.locked(), stop_after("chunk", cancelled) as stopped:
        run = Run(plan, progress or (lambda _: None), stopped, heard)
        record = carry_out(plan.folder, plan.outputs, run)
    return Speech(plan.folder.path, record)


def process_one_chunk(
    text: str,
    *,
    engine: str = "auto",
    voice: str = "",
    seed: int = 0,
    language: str | None = None,
    device: str = "auto",
    checkpoint: str = "",
    precision: str = "auto",
    engine_path: str = "fast",
    **knobs: float,
) -> tuple[Signal, int]:
    """Speak one chunk and return (samples, rate in Hz): no folder, no store, no joining.

    The model stays loaded. `knobs` are the engine's (`speed=0.9`); one that it does not take is a
    `ParamError`. Chatterbox' audio is watermarked.
    """
    wrong = sorted(set(knobs) - set(KNOBS))
    if wrong:
        raise ParamError(f"{', '.join(wrong)}: no engine knob; there are: {', '.join(KNOBS)}")
    own = {"text": text, "engine": engine, "voice": voice, "seed": seed, "language": language}
    own |= {"device": device, "checkpoint": checkpoint}
    own |= {"precision": precision, "engine_path": engine_path}
    params = SpeakParams.create(own | knobs, where="process_one_chunk")
    choice = pick_engine(params.engine)
    check_supported(params, entry(choice.name).engine_class(), choice.reason)
    precision = "any" if engine_path == "upstream" else precision
    model = get_or_load_tts_model(choice.name, device, checkpoint, precision)
    check_texts([text], model, language or model.languages[0])
    own_seed = draw_seed() if params.seed < 0 else params.seed
    own_voice = model.prepare_voice(voice, library_of(params))
    request = request_for(0, text, own_seed, own_voice, model, params)
    ((_, audio, _),) = model.synthesize([request], **options_of(model, params, 1))
    checked(audio, text)
    if model.watermarked:
        audio = mark(audio, model.sample_rate, perth=load_perth(model.device))
    return audio, model.sample_rate
