"""Text to a watermarked file: upstream's `generate` chunk by chunk, against our whole run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.suites.overhead import seed_of
from chatter_nb.bench.suites.workload import (
    Calls,
    checkpoint_for,
    counted_calls,
    generate,
    shorten_prompt,
    texts_that_end,
    upstream_model,
)
from chatter_nb.bench.workers import Work
from chatter_nb.engines.models import get_or_load_tts_model, pick_device
from chatter_nb.engines.watermark import load_perth
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import Speech, generate_tts


def run(options: Options, progress: Progress) -> list[Result]:
    folder = checkpoint_for(options, progress)
    device = pick_device(options.device, engine=options.engine).name
    model = upstream_model(options.engine, folder, device)
    shorten_prompt(model, options.prompt_s)
    texts = texts_that_end(model, options.chunks, options.tokens, seed_of, progress)
    get_or_load_tts_model(options.engine, device, str(folder), options.precision)
    calls: list[Calls] = []

    def theirs() -> None:
        with counted_calls() as counted:
            for text in texts:
                generate(model, text, seed_of(text))
        calls.append(counted)

    with tempfile.TemporaryDirectory() as outputs:
        ours = OurRuns(texts, options, device, folder, Path(outputs))
        generate(model, texts[0], seed_of(texts[0]))  # warm-up; T3 is warm from looking for texts
        ours.warm_up()
        timings = alternate(
            {"baseline": theirs, "ours": ours}, options.repeats, progress, warm_up=False
        )
        figures = _figures(ours.last, calls[-1])
    name = f"{len(texts)} chunks, {options.prompt_s:g} s prompt"
    return [compared(name, timings, None, **figures)]


def work(options: Options, progress: Progress) -> Work:
    """The same texts, whole runs to one watermarked wav; upstream's model only chooses them."""
    folder = checkpoint_for(options, progress)
    device = pick_device(options.device, engine=options.engine).name
    model = upstream_model(options.engine, folder, device)
    texts = texts_that_end(model, options.chunks, options.tokens, seed_of, progress)
    return Work("speak", run_values(texts, options, device, folder))


def run_values(texts: list[str], options: Options, device: str, folder: Path) -> dict[str, Any]:
    """The parameters of our run of some texts, each a paragraph and so a chunk."""
    return {
        "text": "\n\n".join(texts),
        "engine": options.engine,
        "device": device,
        "checkpoint": str(folder),
        "prompt_s": options.prompt_s,
        "precision": options.precision,
        "rows": options.rows,
        "seed": 0,
        "run_name": "bench",
    }


class OurRuns:
    """Whole runs to one wav, each in a folder of its own: nothing is found finished."""

    def __init__(
        self, texts: list[str], options: Options, device: str, folder: Path, outputs: Path
    ) -> None:
        self._values = run_values(texts, options, device, folder)
        self._first, self._outputs, self._count = texts[0], outputs, 0
        self.last: Speech

    def __call__(self) -> None:
        self.last = self._run(self._values)

    def warm_up(self) -> None:
        self._run(self._values | {"text": self._first})

    def _run(self, values: dict[str, Any]) -> Speech:
        self._count += 1
        own = {"outputs_dir": str(self._outputs / str(self._count))}
        return generate_tts(SpeakParams.create(values | own))


def _figures(ours: Speech, theirs: Calls) -> dict[str, Any]:
    record = ours.record
    return {
        "audio_s": record.audio_s,
        "watermark": watermark_of(ours),
        "ours_model_calls": record.model_calls,
        "baseline_model_calls": theirs.count,
        "ours_stages_s": record.stages_s,
        "baseline_stages_s": theirs.seconds,
    }


def watermark_of(speech: Speech) -> float:
    """What PerTh finds in a run's file: 1 is its mark, 0 none."""
    audio, rate = speech.read()
    return float(np.mean(load_perth().get_watermark(audio, sample_rate=rate)))
