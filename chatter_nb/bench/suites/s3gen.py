"""Speech tokens to samples: upstream's S3Gen one by one, against ours one by one, batched, fast."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chatter_nb.audio.reading import Signal
from chatter_nb.bench.harness import Result, Turns, alternate, compared
from chatter_nb.bench.params import Options, Progress
from chatter_nb.bench.suites.workload import Place, place_for, spread
from chatter_nb.engines.chatterbox.conditionals import Conditionals
from chatter_nb.engines.chatterbox.device import quiet_upstream, seeded
from chatter_nb.engines.chatterbox.loading import load_s3gen, load_tensors
from chatter_nb.engines.chatterbox.random_checkpoints import FILES
from chatter_nb.engines.chatterbox.s3gen import Synthesizer, TokenRow

CLOSE = 1e-4  # of full scale: the promised largest difference of a batch
SPEECH_TOKENS = 6561
RATE_HZ = 24_000
ALL_FRAMES = 1 << 30  # a batch of any size on a CPU, where our own choice is a row at a time
WARM_UP_TOKENS = 8
Way = Callable[[list[Tensor]], list[Signal]]


def run(options: Options, on_progress: Progress) -> list[Result]:
    place = place_for(options, on_progress)
    ways = ways_of(options, place)
    rows = token_rows(options, place.device)
    for way in ways.values():
        way([row[:WARM_UP_TOKENS] for row in rows])
    calls = {name: partial(way, rows) for name, way in ways.items()}
    turns = alternate(calls, options.repeats, on_progress, warm_up=False)
    return [_result(name, turns) for name in ways if name != "upstream"]


def token_rows(options: Options, device: str) -> list[Tensor]:
    """Random tokens, (n,) each, of mixed lengths: S3Gen's time does not depend on the tokens."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, SPEECH_TOKENS, (count,), generator=generator).to(device)
        for count in spread(options.chunks, options.tokens)
    ]


def ways_of(options: Options, place: Place) -> dict[str, Way]:
    """Upstream's calls and ours; a row's seed is its number.

    There are two S3Gens, 1 GB each: ours folds weights that upstream computes in every call.
    """
    voice = Conditionals(None, load_tensors(place.folder / "conds.pt")["gen"])
    device = place.device
    name, meanflow = FILES[place.engine][1], place.engine == "chatterbox-turbo"
    plain, own = (
        load_s3gen(place.folder, name, device, meanflow=meanflow, purpose=purpose)
        for purpose in ("", "bench")
    )
    exact, fast = Synthesizer(own, precision="exact"), Synthesizer(own, precision="fast")
    batched = copy.copy(exact)
    batched.frames_together = exact.frames_together or ALL_FRAMES

    def prompt() -> dict[str, Any]:
        return voice.for_s3gen(device, options.prompt_s)

    def upstream(rows: list[Tensor]) -> list[Signal]:
        return [_upstream(plain, tokens, seed, prompt()) for seed, tokens in enumerate(rows)]

    def one_by_one(rows: list[Tensor]) -> list[Signal]:
        return [exact.waves([row], prompt())[0] for row in _seeded_rows(rows, device)]

    def together(synthesizer: Synthesizer, rows: list[Tensor]) -> list[Signal]:
        return synthesizer.waves(_seeded_rows(rows, device), prompt())

    return {
        "upstream": upstream,
        "exact, one by one": one_by_one,
        "exact, batched": partial(together, batched),
        "fast, as it chooses": partial(together, fast),
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


def _result(name: str, turns: Turns) -> Result:
    ours, theirs = turns.returned[name], turns.returned["upstream"]
    difference = largest_difference(ours, theirs)
    same = None if name.startswith("fast") else difference <= CLOSE
    audio_s = sum(map(len, theirs)) / RATE_HZ
    sides = turns.pair("upstream", name)
    result = compared(f"{len(ours)} chunks, {name}", sides, same, audio_s=audio_s)
    result.figures["largest_difference"] = (
        difference if math.isfinite(difference) else "other lengths"
    )
    result.figures["rtf"] = {
        "baseline": result.baseline_s / audio_s,
        "ours": result.ours_s / audio_s,
    }
    return result


def largest_difference(ours: list[Signal], theirs: list[Signal]) -> float:
    """The largest difference of two samples, of full scale; infinite where the lengths differ."""
    if [len(wave) for wave in ours] != [len(wave) for wave in theirs]:
        return float("inf")
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(our - their).max(initial=0.0)) for our, their in pairs)
