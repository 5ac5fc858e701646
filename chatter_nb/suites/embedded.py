"""The embedded voice: bare hibari calls, against a whole run to a file."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from chatter_nb.audio import read_audio
from chatter_nb.bench import Options, Progress, Result, alternate, compared
from chatter_nb.errors import InputError
from chatter_nb.params import SpeakParams
from chatter_nb.plan import SpeechPlan, plan_speech
from chatter_nb.project import resolve_path
from chatter_nb.speak import generate_tts, render_speech

FORMAT_REPEATS = 3  # opus takes longer to encode than the text to speak
DEMO_TEXT = "params/texts/oz_the_cyclone.txt"


def run(options: Options, progress: Progress) -> list[Result]:
    """The demo text: bare hibari calls on the same chunks, against a whole run to one wav file."""
    from hibari import Hibari

    if options.repeats < 3:
        raise InputError(f"--repeats must be at least 3 for a median, not {options.repeats}")
    with tempfile.TemporaryDirectory() as folder:
        plan, speaker = _demo_plan(folder), Hibari()
        bare_audio: list[np.ndarray] = []

        def bare() -> None:
            bare_audio[:] = _bare_hibari(speaker, plan)

        def ours() -> None:
            generate_tts(plan.params)

        def forget() -> None:
            for key, _, _ in list(plan.store.entries()):
                plan.store.discard(key)

        calls = {"baseline": bare, "ours": ours}
        timings = alternate(calls, options.repeats, progress, before=forget)
        result = compared("speak to one wav", timings, _same(plan, bare_audio))
        return [result] + [_format_cost(plan, name, progress) for name in ("flac", "mp3", "opus")]


def _same(plan: SpeechPlan, bare_audio: list[np.ndarray]) -> bool:
    kept = [plan.store.get(planned.key) for planned in plan.chunks]
    return all(
        found is not None and np.array_equal(found[0], audio)
        for found, audio in zip(kept, bare_audio, strict=True)
    )


def _format_cost(plan: SpeechPlan, format_name: str, progress: Progress) -> Result:
    """Writing the finished chunks as wav, against writing them as wav and a second format."""
    both = plan_speech(plan.params.model_copy(update={"formats": ("wav", format_name)}))
    calls = {"baseline": lambda: render_speech(plan), "ours": lambda: render_speech(both)}
    timings = alternate(calls, FORMAT_REPEATS, progress)
    wav, _ = read_audio(plan.folder.path / "speech.wav")
    second, _ = read_audio(plan.folder.path / f"speech.{format_name}")
    identical = np.array_equal(wav, second) if format_name == "flac" else None
    return compared(f"finished chunks to wav, and {format_name} as well", timings, identical)


def _demo_plan(folder: str) -> SpeechPlan:
    values = {"text_file": str(resolve_path(DEMO_TEXT)), "engine": "hibari", "run_name": "bench"}
    return plan_speech(SpeakParams.create(values | {"outputs_dir": folder}))


def _bare_hibari(speaker: Any, plan: SpeechPlan) -> list[np.ndarray]:
    return [speaker(planned.chunk.spoken, seed=planned.seed) for planned in plan.chunks]
