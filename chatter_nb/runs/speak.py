"""One speech run: text to audio files, and the record of the run.

`generate_tts` is `plan_speech`, then `render_speech`; a caller that shows the plan calls both.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.engines.checks import check_supported
from chatter_nb.engines.models import load, pick_engine, settle
from chatter_nb.engines.recordings import PREPARATION
from chatter_nb.engines.voices import library_of
from chatter_nb.engines.watermark import marked
from chatter_nb.params.runs import KNOBS, SpeakParams
from chatter_nb.runs.choosing import check_sound
from chatter_nb.runs.content import run_key
from chatter_nb.runs.lifecycle import OnProgress, render
from chatter_nb.runs.listening import keeps_up
from chatter_nb.runs.output import OnAudio
from chatter_nb.runs.plan import check_texts
from chatter_nb.runs.resume import draw_seed
from chatter_nb.runs.roles import Role, options_of, request_for
from chatter_nb.runs.speak_plan import SpeechPlan, estimate, plan_speech
from chatter_nb.runs.speak_run import SpeechRun
from chatter_nb.runs.speech import Speech, load_speech

__all__ = [
    "Speech",
    "estimate",
    "generate_tts",
    "load_speech",
    "plan_speech",
    "process_one_chunk",
    "render_speech",
    "sample_of",
]

SENTENCE = "The harbour woke before the sun, and an old man walked down to the quay, in no hurry."


def generate_tts(
    params: SpeakParams,
    progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_audio: OnAudio | None = None,
) -> Speech:
    """Speak a text into `outputs_dir/run_name`; finished chunks of an earlier run are used again.

    `progress` is called after each chunk; `on_audio` receives the samples of the files, float32
    mono, block by block, as they are joined. Raises `InputError` before any work for input that
    cannot be spoken, `EngineError` if a chunk fails, `OutputError` if the disk fails, and
    `Cancelled` after the current chunk once `cancelled()` is true (without `cancelled`: after a
    first Ctrl-C; a second stops at once). Finished chunks are kept, and `run.json` says how the run
    ended.
    """
    return render_speech(plan_speech(params), progress, cancelled, on_audio)


def render_speech(
    plan: SpeechPlan,
    progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_audio: OnAudio | None = None,
    *,
    parts: bool | None = False,
) -> Speech:
    """Carry out a plan; see `generate_tts`.

    With `parts`, `on_audio` hears the first new chunk in parts while it is made: another rendering
    than in the files, the same for the same request (see `runs.listening`). None: if the engine is
    faster than real time, as every CUDA card should be. A run that is checked has no parts.
    """
    if parts is None:
        parts = keeps_up(plan.engine)
    return render(partial(SpeechRun, parts=parts), plan, progress, cancelled, on_audio)


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

    The model stays loaded. `knobs` are parameters of the engine (`speed=0.9`); a knob that it does
    not take raises `ParamError`. Chatterbox' audio is watermarked.
    """
    wrong = sorted(set(knobs) - set(KNOBS))
    if wrong:
        raise ParamError(f"{', '.join(wrong)}: no engine knob; there are: {', '.join(KNOBS)}")
    values = {"text": text, "engine": engine, "voice": voice, "seed": seed, "language": language}
    values |= {"device": device, "checkpoint": checkpoint, "precision": precision}
    values |= {"engine_path": engine_path, **knobs}
    params = SpeakParams.create(values, where="process_one_chunk")
    choice = pick_engine(params.engine)
    choice.entry.check_installed()
    check_supported(params, choice.entry, choice.reason)
    precision = "any" if engine_path == "upstream" else precision
    model = load(settle(choice, device, checkpoint, precision))
    check_texts(model, [text], language or model.languages[0])
    seed = draw_seed() if params.seed < 0 else params.seed
    prepared = model.prepare_voice(voice, library_of(params))
    request = request_for(0, text, seed, Role(params, prepared), model)
    renderings = list(model.synthesize([request], **options_of(model, params, 1)))
    audio = renderings[0][1]
    check_sound(audio, text)
    return marked(audio, model), model.sample_rate


def sample_of(params: SpeakParams, text: str = SENTENCE) -> tuple[SpeakParams, Speech | None]:
    """The run that says a text with the engine (not auto), voice and places of `params`.

    Also its result, if it is there already.
    """
    library = library_of(params)
    # Among the voices' encodings. Its name holds all that decides how it sounds.
    places = {"outputs_dir": str(library.cache / "samples"), "voices_dir": str(library.folder)}
    fixed = {"text": text, "seed": 1, "formats": ("mp3",), "verify": "off"}
    run = params.model_copy(update=places | fixed)
    key = run_key(f"sample {PREPARATION}", run, run.engine, fetch=False)[:16]
    run = run.model_copy(update={"run_name": f"{run.engine}-{key}"})
    with suppress(InputError):
        speech = load_speech(Path(run.outputs_dir) / run.run_name)
        if speech.record.status == "ok" and speech.files[0].is_file():
            return run, speech
    return run, None
