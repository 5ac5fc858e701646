"""Text to speech tokens: upstream's loop chunk by chunk, against ours with many rows.

Chunks of mixed text length and mixed token limits; the same seed for a chunk on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from unittest import mock

import pyloudnorm
import torch
from chatterbox import mtl_tts, tts, tts_turbo
from torch import Tensor

from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Options, Progress, Result, alternate, compared
from chatter_nb.bench.suites.workload import checkpoint_for, sample_texts, spread, upstream_model
from chatter_nb.engines.chatterbox.conditionals import Conditionals
from chatter_nb.engines.chatterbox.device import quiet_upstream, seeded, weights_dtype
from chatter_nb.engines.chatterbox.plain import decode
from chatter_nb.engines.chatterbox.t3 import TokenDecoder
from chatter_nb.engines.chatterbox.tokens import Prompt, Sampling
from chatter_nb.engines.models import pick_device, pick_precision
from chatter_nb.engines.registry import entry

VOICES = ("", "params/recordings/target.flac")  # the checkpoint's own first
WARM_UP_TOKENS = 4


class Sides:
    """Both ways of decoding prompts, on one upstream model and for one voice at a time."""

    def __init__(self, model: Any, options: Options) -> None:
        self.model = model
        own = entry(options.engine).engine_class().defaults
        self._sampling = Sampling(**{name: own[name] for name in asdict(Sampling()) if name in own})
        device = str(model.device)
        precision = pick_precision(options.precision, device).name
        self.exact = precision == "exact"
        self._decoder = TokenDecoder(model.t3, device, weights_dtype(device, precision))
        self._exaggeration = own.get("exaggeration", 0.0)

    def use(self, voice: str) -> None:
        """A recording, or empty for the voice that the model came with."""
        if voice:
            with quiet_upstream(), _plain_loudness():
                self.model.prepare_conditionals(str(resolve_path(voice)))
        self._voice = Conditionals(dict(vars(self.model.conds.t3)), {})

    def one_by_one(self, prompts: Sequence[Prompt]) -> dict[int, Tensor]:
        found = {}
        for prompt in prompts:
            with seeded(prompt.seed), quiet_upstream():
                decoded = decode(self.model.t3, self._cond(), prompt, self._sampling)
            found[prompt.index] = decoded.tokens.cpu()
        return found

    def together(self, prompts: Sequence[Prompt], rows: int) -> dict[int, Tensor]:
        decoded = self._decoder.decode(prompts, self._cond(), self._sampling, rows=rows)
        return {index: one.tokens.cpu() for index, one in decoded}

    def _cond(self) -> Any:
        return self._voice.for_t3(self._exaggeration, self.model.device)


def run(options: Options, progress: Progress) -> list[Result]:
    if options.voices > len(VOICES):
        raise InputError(f"--voices must be at most {len(VOICES)}, not {options.voices}")
    folder = checkpoint_for(options, progress)
    device = pick_device(options.device, engine=options.engine).name
    model = upstream_model(options.engine, folder, device)
    sides = Sides(model, options)
    rows = options.rows or options.chunks
    results: list[Result] = []
    for voice in VOICES[: options.voices]:
        sides.use(voice)
        for seed in range(options.seeds):
            prompts = prompts_of(model, options, seed)
            first = not results
            if first:
                _warm_up(sides, prompts, rows)
            name = f"{len(prompts)} chunks, {rows} rows, voice {_short(voice)}, seed {seed}"
            repeats = options.repeats if first else 1
            results.append(_pair(name, sides, prompts, rows, repeats, progress))
            if first:
                alone = prompts_of(model, options, seed, count=1)
                results.append(_pair("1 chunk, 1 row", sides, alone, 1, repeats, progress))
    return results


def prompts_of(model: Any, options: Options, seed: int, count: int = 0) -> list[Prompt]:
    """Chunks with texts and limits of mixed length; each with a seed of its own."""
    count = count or options.chunks
    texts, limits = sample_texts(), spread(count, options.tokens)
    return [
        Prompt(
            index,
            text_tokens(model, texts[index % len(texts)]).to(model.device),
            seed * 1000 + index,
            limits[index],
        )
        for index in range(count)
    ]


def text_tokens(model: Any, text: str) -> Tensor:
    """A text's tokens as upstream's `generate` makes them, shape (1, n)."""
    tokenizer, module = model.tokenizer, type(model).__module__
    if module == tts_turbo.__name__:
        return tokenizer(tts_turbo.punc_norm(text), return_tensors="pt").input_ids
    if module == mtl_tts.__name__:
        return tokenizer.text_to_tokens(mtl_tts.punc_norm(text), language_id="en")
    return tokenizer.text_to_tokens(tts.punc_norm(text))


@contextmanager
def _plain_loudness() -> Iterator[None]:
    """With numpy 2, which upstream's pins exclude, a numpy scalar makes Turbo's prompt float64."""
    meter = pyloudnorm.Meter
    measure = meter.integrated_loudness
    with mock.patch.object(
        meter, "integrated_loudness", lambda own, wave: float(measure(own, wave))
    ):
        yield


def _warm_up(sides: Sides, prompts: Sequence[Prompt], rows: int) -> None:
    """A few tokens, in the place of a whole round that takes minutes."""
    short = [Prompt(p.index, p.text_tokens, p.seed, WARM_UP_TOKENS) for p in prompts]
    sides.one_by_one(short[:1])
    sides.together(short, rows)
    sides.together(short[:1], 1)


def _pair(
    name: str, sides: Sides, prompts: Sequence[Prompt], rows: int, repeats: int, progress: Progress
) -> Result:
    found: dict[str, dict[int, Tensor]] = {}

    def kept(side: str, call: Callable[[], dict[int, Tensor]]) -> Callable[[], None]:
        return lambda: found.update({side: call()})

    calls = {
        "baseline": kept("baseline", lambda: sides.one_by_one(prompts)),
        "ours": kept("ours", lambda: sides.together(prompts, rows)),
    }
    told = lambda what: progress(f"{name}: {what}")  # noqa: E731
    timings = alternate(calls, repeats, told, warm_up=False)
    equal = [torch.equal(found["ours"][one.index], found["baseline"][one.index]) for one in prompts]
    made = {side: sum(map(len, tokens.values())) for side, tokens in found.items()}
    result = compared(name, timings, all(equal) if sides.exact else None)
    rates = {"baseline": result.baseline_s, "ours": result.ours_s}
    result.figures.update(
        tokens=made["baseline"],
        equal_chunks=f"{sum(equal)} of {len(equal)}",
        tokens_per_s={side: made[side] / seconds for side, seconds in rates.items()},
    )
    return result


def _short(voice: str) -> str:
    return resolve_path(voice).stem if voice else "built-in"
