"""The first sound of a stream: a chunk heard in parts, against the whole of that chunk."""

from __future__ import annotations

import tempfile
import time
from typing import Any

from chatter_nb.audio.reading import Signal
from chatter_nb.bench.harness import Result, alternate, compared
from chatter_nb.bench.params import EMBEDDED, Options, Progress
from chatter_nb.bench.rounds import timed
from chatter_nb.bench.suites.embedded import demo_text, forget, same_samples, stored
from chatter_nb.bench.suites.workload import place_for
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import render_speech
from chatter_nb.runs.speak_plan import SpeechPlan, plan_speech

CHARS = 250


def run(options: Options, on_progress: Progress) -> list[Result]:
    """A run of one chunk that nobody hears, against the wait for the first part of it.

    Both times begin with the plan: the model is loaded, the voice is ready.
    """
    with tempfile.TemporaryDirectory() as folder:
        values = _values(options, on_progress) | {"outputs_dir": folder, "run_name": "bench"}
        plan = plan_speech(SpeakParams.create(values))
        turns = alternate(
            {"baseline": lambda: _whole(plan), "ours": lambda: _first_part(plan)},
            options.repeats,
            on_progress,
            before=lambda side: forget(plan),
            warm_up=options.engine == EMBEDDED,
            clock=lambda call: call(),
        )
    same = same_samples(turns.returned["baseline"], turns.returned["ours"])
    result = compared(f"first sound of a chunk of {CHARS} characters", turns.seconds, same)
    samples = sum(map(len, turns.returned["ours"]))
    result.figures["share_of_the_chunk"] = result.ours_s / result.baseline_s
    result.figures["audio_s"] = samples / plan.engine.sample_rate
    return [result]


def _values(options: Options, on_progress: Progress) -> dict[str, Any]:
    """The parameters of a run of the demo text's first words after its headings, one chunk."""
    text = " ".join(" ".join(demo_text().split("\n\n")[2:]).split())[:CHARS]
    values: dict[str, Any] = {"text": text, "engine": EMBEDDED, "verify": "off"}
    if options.engine == EMBEDDED:
        return values
    place = place_for(options, on_progress)
    model = {"precision": options.precision, "prompt_s": options.prompt_s}
    return values | place.values | model


def _whole(plan: SpeechPlan) -> tuple[float, list[Signal]]:
    """The seconds of a whole run, and the chunk's samples."""
    return timed(lambda: render_speech(plan))[0], stored(plan)


def _first_part(plan: SpeechPlan) -> tuple[float, list[Signal]]:
    """The seconds until a listener's first sound, and the chunk's samples."""
    heard_s: list[float] = []
    begun_s = time.perf_counter()
    render_speech(
        plan, on_audio=lambda _: heard_s.append(time.perf_counter() - begun_s), parts=True
    )
    return heard_s[0], stored(plan)
