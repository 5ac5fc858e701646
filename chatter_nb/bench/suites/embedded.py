"""The embedded voice: bare hibari calls, against a whole run to a file."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from chatter_nb.audio.reading import read_audio
from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.workers import Work
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts, render_speech
from chatter_nb.runs.speak_plan import SpeechPlan, plan_speech
from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.files import read_sources

FORMAT_REPEATS = 3  # opus takes longer to encode than the text to speak
CHUNK_CHARS = SpeakParams.model_fields["chunk_chars"].default
DEMO_TEXT = "params/texts/oz_the_cyclone.txt"


def run(options: Options, progress: Progress) -> list[Result]:
    """The demo text, or its first chunks: bare hibari calls, against a whole run to one wav."""
    from hibari import Hibari

    if options.repeats < 3:
        raise InputError(f"--repeats must be at least 3 for a median, not {options.repeats}")
    with tempfile.TemporaryDirectory() as folder:
        plan, speaker = _demo_plan(options.chunks, folder), Hibari()
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


def work(options: Options, progress: Progress) -> Work:
    """The same text, whole runs to one wav."""
    return Work("speak", {"text": demo_text(options.chunks), "engine": "hibari"})


def demo_text(chunks: int) -> str:
    """The demo text; given `chunks`, its first so many, each a paragraph of its own."""
    (source,) = read_sources(resolve_path(DEMO_TEXT))
    if not chunks:
        return source.text
    found = split_chunks(clean(source.text), chunk_chars=CHUNK_CHARS)
    if chunks > len(found):
        raise InputError(f"--chunks must be at most {len(found)} for {DEMO_TEXT}, not {chunks}")
    return "\n\n".join(chunk.spoken for chunk in found[:chunks])


def _demo_plan(chunks: int, folder: str) -> SpeechPlan:
    values = {"text": demo_text(chunks), "engine": "hibari", "run_name": "bench"}
    return plan_speech(SpeakParams.create(values | {"outputs_dir": folder}))


def _bare_hibari(speaker: Any, plan: SpeechPlan) -> list[np.ndarray]:
    return [speaker(planned.chunk.spoken, seed=planned.seed) for planned in plan.chunks]
