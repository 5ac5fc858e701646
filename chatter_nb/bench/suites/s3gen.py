"""Speech tokens to samples: upstream's S3Gen one by one, against ours alone, batched and fast."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chatter_nb.audio.reading import Signal
from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.suites.workload import checkpoint_for, spread
from chatter_nb.engines.chatterbox.conditionals import Conditionals
from chatter_nb.engines.chatterbox.device import quiet_upstream, seeded
from chatter_nb.engines.chatterbox.loading import load_s3gen, load_tensors
from chatter_nb.engines.chatterbox.random_checkpoints import FILES
from chatter_nb.engines.chatterbox.s3gen import Synthesizer, TokenRow
from chatter_nb.engines.models import pick_device

CLOSE = 1e-4  # of full scale: what is promised of rows together
SPEECH_TOKENS = 6561
RATE_HZ = 24_000
ALL_FRAMES = 1 << 30  # batches of any size, where our own choice is one row at a time
WARM_UP_TOKENS = 8
Way = Callable[[list[Tensor]], list[Signal]]


def run(options: Options, progress: Progress) -> list[Result]:
    folder = checkpoint_for(options, progress)
    device = pick_device(options.device, engine=options.engine).name
    voice = Conditionals(None, load_tensors(folder / "conds.pt")["gen"])
    found: dict[str, list[Signal]] = {}
    ways = ways_of(options, folder, device, voice)
    rows = token_rows(options, device)
    for way in ways.values():
        way([row[:WARM_UP_TOKENS] for row in rows])

    def kept(name: str, way: Way) -> Callable[[], None]:
        return lambda: found.update({name: way(rows)})

    calls = {name: kept(name, way) for name, way in ways.items()}
    timings = alternate(calls, options.repeats, progress, warm_up=False)
    return [_result(name, timings, found) for name in ways if name != "upstream"]


def token_rows(options: Options, device: str) -> list[Tensor]:
    """Random tokens, (n,) each, of mixed lengths: S3Gen's time is the same whatever they say."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, SPEECH_TOKENS, (count,), generator=generator).to(device)
        for count in spread(options.chunks, options.tokens)
    ]


def ways_of(options: Options, folder: Path, device: str, voice: Conditionals) -> dict[str, Way]:
    """Upstream's calls and ours, each with an S3Gen of its own; a row's seed is its number."""

    def module(purpose: str = "") -> Any:
        meanflow = options.engine == "chatterbox-turbo"
        name = FILES[options.engine][1]
        return load_s3gen(folder, name, device, meanflow=meanflow, purpose=purpose)

    def prompt() -> dict[str, Any]:
        return voice.for_s3gen(device, options.prompt_s)

    plain, exact = module(), Synthesizer(module("bench"), precision="exact")
    batched = Synthesizer(module("bench-batched"), precision="exact")
    batched.frames_together = ALL_FRAMES
    fast = Synthesizer(module("bench-fast"), precision="fast")

    def upstream(rows: list[Tensor]) -> list[Signal]:
        return [_upstream(plain, tokens, seed, prompt()) for seed, tokens in enumerate(rows)]

    def ours(synthesizer: Synthesizer) -> Way:
        return lambda rows: synthesizer.waves(_seeded_rows(rows, device), prompt())

    def alone(rows: list[Tensor]) -> list[Signal]:
        ready = _seeded_rows(rows, device)
        return [exact.waves([row], prompt())[0] for row in ready]

    return {
        "upstream": upstream,
        "exact, one by one": alone,
        "exact, batched": ours(batched),
        "fast, as it chooses": ours(fast),
    }


def _upstream(s3gen: Any, tokens: Tensor, seed: int, prompt: dict[str, Any]) -> Signal:
    with seeded(seed), quiet_upstream(), torch.inference_mode():
        wave, _ = s3gen.inference(speech_tokens=tokens, ref_dict=prompt)
    return wave.squeeze(0).cpu().numpy()


def _seeded_rows(rows: list[Tensor], device: str) -> list[TokenRow]:
    return [
        TokenRow(tokens, torch.Generator(device).manual_seed(seed))
        for seed, tokens in enumerate(rows)
    ]


def _result(name: str, timings: dict[str, list[float]], found: dict[str, list[Signal]]) -> Result:
    apart = largest_difference(found[name], found["upstream"])
    same = None if name.startswith("fast") else apart <= CLOSE
    audio_s = sum(map(len, found["upstream"])) / RATE_HZ
    sides = {"baseline": timings["upstream"], "ours": timings[name]}
    result = compared(f"{len(found[name])} chunks, {name}", sides, same, audio_s=audio_s)
    result.figures["largest_difference"] = apart if math.isfinite(apart) else "other lengths"
    result.figures["rtf"] = {
        "baseline": result.baseline_s / audio_s,
        "ours": result.ours_s / audio_s,
    }
    return result


def largest_difference(ours: list[Signal], theirs: list[Signal]) -> float:
    """Between any two samples, of full scale; infinite where the lengths differ."""
    if [len(one) for one in ours] != [len(one) for one in theirs]:
        return float("inf")
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(one - other).max(initial=0.0)) for one, other in pairs)
