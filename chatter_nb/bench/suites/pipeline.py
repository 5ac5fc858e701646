"""Text to a watermarked file: upstream's `generate` chunk by chunk, against our whole run."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np

from chatter_nb.bench.harness import Result, alternate, compared
from chatter_nb.bench.params import Options, Progress
from chatter_nb.bench.suites.workload import (
    Calls,
    Place,
    counted_calls,
    generate,
    place_for,
    seed_of,
    shorten_prompt,
    texts_that_end,
)
from chatter_nb.bench.workers import Work
from chatter_nb.engines.chatterbox.batch import Rows
from chatter_nb.engines.models import get_or_load_tts_model
from chatter_nb.engines.watermark import load_perth
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import Speech, generate_tts


def run(options: Options, on_progress: Progress) -> list[Result]:
    place = place_for(options, on_progress)
    model = place.upstream_model()
    shorten_prompt(model, options.prompt_s)
    texts = texts_that_end(model, options.chunks, options.tokens, on_progress)
    get_or_load_tts_model(place.engine, place.device, str(place.folder), options.precision)

    def theirs() -> Calls:
        with counted_calls() as counted:
            for text in texts:
                generate(model, text, seed_of(text))
        return counted

    with tempfile.TemporaryDirectory() as outputs:
        folders = (f"{outputs}/{number}" for number in itertools.count())

        def ours(texts: list[str] = texts) -> tuple[Speech, Calls]:
            """A run in a new folder without finished chunks; the reading of prompts is timed."""
            values = _run_values(texts, options, place) | {"outputs_dir": next(folders)}
            prompts = Calls()
            with mock.patch.object(Rows, "admit", prompts.timing("prompts", Rows.admit)):
                return generate_tts(SpeakParams.create(values)), prompts

        generate(model, texts[0], seed_of(texts[0]))  # warm-up; `texts_that_end` warmed T3 up
        ours(texts[:1])
        calls: dict[str, Callable[[], object]] = {"baseline": theirs, "ours": ours}
        turns = alternate(calls, options.repeats, on_progress, warm_up=False)
        speech, prompts = turns.returned["ours"]
        figures = _figures(speech, prompts, turns.returned["baseline"])
    name = f"{len(texts)} chunks, {options.prompt_s:g} s prompt"
    return [compared(name, turns.seconds, None, **figures)]


def work(options: Options, on_progress: Progress) -> Work:
    """The same texts as whole runs to one watermarked wav; upstream's model only chooses texts."""
    place = place_for(options, on_progress)
    model = place.upstream_model()
    texts = texts_that_end(model, options.chunks, options.tokens, on_progress)
    return Work("speak", _run_values(texts, options, place))


def _run_values(texts: list[str], options: Options, place: Place) -> dict[str, Any]:
    """The parameters of our run of texts. Each text is a paragraph, and hence a chunk."""
    return place.values | {
        "text": "\n\n".join(texts),
        "prompt_s": options.prompt_s,
        "precision": options.precision,
        "rows": options.rows,
        "seed": 0,
        "run_name": "bench",
        "verify": "off",
    }


def _figures(ours: Speech, prompts: Calls, theirs: Calls) -> dict[str, Any]:
    record = ours.record
    parts_s = _parts_s(record.stages_s, prompts.total_s)
    audio, rate = ours.read()
    marks = load_perth().get_watermark(audio, sample_rate=rate)
    return {
        "audio_s": record.audio_s,
        "watermark": float(np.mean(marks)),  # 1 is PerTh's mark, 0 none
        "ours_model_calls": record.model_calls,
        "baseline_model_calls": theirs.count,
        "ours_parts_s": parts_s,
        "ours_parts_share": {part: took_s / record.wall_s for part, took_s in parts_s.items()},
        "baseline_stages_s": theirs.seconds,
    }


def _parts_s(stages_s: Mapping[str, float], prompts_s: float) -> dict[str, float]:
    """The seconds of a run by part. On CUDA those of prompts are the host's: steps go on after it.

    Where S3Gen works beside T3, its part is what T3 does not hide, as the encoder's always is.
    """
    return {
        "prompts": prompts_s,
        "t3_steps": stages_s["tokens"] - prompts_s,
        "s3gen": stages_s["synthesis"],
        "watermark": stages_s["watermark"],
        "encoder": stages_s["write"],
    }
