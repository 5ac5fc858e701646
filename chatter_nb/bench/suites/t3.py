"""Text to speech tokens: upstream's loop chunk by chunk, against ours with many rows.

The chunks have texts of mixed length and mixed token limits; a chunk's seed is the same on both
sides. Another precision is timed beside exact too (the figure `exact_s`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any
from unittest import mock

import pyloudnorm
import torch
from chatterbox import mtl_tts, tts, tts_turbo
from torch import Tensor

from chatter_nb.base.errors import InputError
from chatter_nb.base.project import resolve_path
from chatter_nb.bench.harness import Result, alternate, compared
from chatter_nb.bench.params import Options, Progress
from chatter_nb.bench.suites.workload import Calls, place_for, sample_texts, spread
from chatter_nb.engines.chatterbox.batch import Rows
from chatter_nb.engines.chatterbox.conditionals import Conditionals
from chatter_nb.engines.chatterbox.device import quiet_upstream, seeded, t3_dtype
from chatter_nb.engines.chatterbox.plain import decode
from chatter_nb.engines.chatterbox.t3 import TokenDecoder
from chatter_nb.engines.chatterbox.tokens import Prompt, Sampling
from chatter_nb.engines.models import pick_precision
from chatter_nb.engines.registry import entry

VOICES = ("", "params/recordings/target.flac")  # "": the voice of the checkpoint
WARM_UP_TOKENS = 4
QUEUE_TOKENS = 155  # a chunk of the long queue, on average: 3 to 9 s of speech


class Sides:
    """Both ways to decode prompts, on a common upstream model and for a voice at a time."""

    def __init__(self, model: Any, options: Options) -> None:
        self.model = model
        knobs = entry(options.engine).engine_class().defaults
        names = asdict(Sampling()).keys() & knobs.keys()
        self._sampling = Sampling(**{name: knobs[name] for name in names})
        device = str(model.device)
        precision = pick_precision(options.precision, device).name
        self.exact = precision == "exact"
        self.decoder = TokenDecoder(model.t3, device, t3_dtype(device, precision))
        self._exact = self.decoder if self.exact else TokenDecoder(model.t3, device)
        self._exaggeration = knobs.get("exaggeration", 0.0)

    def use(self, voice: str) -> None:
        """Choose the voice: a recording's path, or "" for the voice that the model came with."""
        if voice:
            with quiet_upstream(), _plain_loudness():
                self.model.prepare_conditionals(str(resolve_path(voice)))
        self._voice = Conditionals(dict(vars(self.model.conds.t3)), {})

    def one_by_one(self, prompts: Sequence[Prompt]) -> dict[int, Tensor]:
        """Upstream's loop; returns each prompt's tokens by its index."""
        tokens = {}
        for prompt in prompts:
            with seeded(prompt.seed), quiet_upstream():
                decoded = decode(self.model.t3, self._cond(), prompt, self._sampling)
            tokens[prompt.index] = decoded.tokens.cpu()
        return tokens

    def together(
        self,
        prompts: Sequence[Prompt],
        rows: int,
        *,
        exact: bool = False,
        on_note: Callable[[str], object] = lambda _: None,
    ) -> dict[int, Tensor]:
        """Our decoder, or the exact one; returns each prompt's tokens by its index."""
        decoder = self._exact if exact else self.decoder
        calls = Calls()
        with mock.patch.object(Rows, "admit", calls.timing("prompts", Rows.admit)):
            results = dict(
                decoder.decode(prompts, self._cond(), self._sampling, rows=rows, on_note=on_note)
            )
        self.prompts_s = calls.total_s  # of the latest call
        return {index: decoded.tokens.cpu() for index, decoded in results.items()}

    def voice_positions(self) -> int:
        """How many positions the voice takes, before a chunk's text."""
        with torch.inference_mode():
            return self.model.t3.prepare_conditioning(self._cond()).shape[1]

    def _cond(self) -> Any:
        return self._voice.for_t3(self._exaggeration, self.model.device)


def run(options: Options, on_progress: Progress) -> list[Result]:
    if options.voices > len(VOICES):
        raise InputError(f"--voices must be at most {len(VOICES)}, not {options.voices}")
    model = place_for(options, on_progress).upstream_model()
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
            of_voice = f"voice {resolve_path(voice).stem if voice else 'built-in'}, seed {seed}"
            name = f"{len(prompts)} chunks, {rows} rows, {of_voice}"
            repeats = options.repeats if first else 1
            results.append(_compare(name, sides, prompts, rows, repeats, on_progress))
            if first:
                single = prompts_of(model, options, seed, count=1)
                results.append(_compare("1 chunk, 1 row", sides, single, 1, repeats, on_progress))
    if options.queue:
        del sides  # two decoders would be one too many for the memory
        results.append(_long_queue(model, options, on_progress))
    return results


def _long_queue(model: Any, options: Options, on_progress: Progress) -> Result:
    """Enough chunks to keep all rows busy. Upstream decodes a sample of them, one by one.

    Its time is that of the sample, times all tokens by the sample's: it grows with the tokens, and
    all of them would take up to an hour.
    """
    _never_end(model.t3)
    sides = Sides(model, options)
    sides.use("")
    rows = options.rows or sides.decoder.rows_that_fit()
    long = replace(options, tokens=QUEUE_TOKENS)
    prompts = sorted(
        prompts_of(model, long, 0, count=rows * options.queue), key=lambda p: p.max_new_tokens
    )
    few, most = prompts[0].max_new_tokens, prompts[-1].max_new_tokens
    sample = [prompts[at] for at in sorted({0, len(prompts) // 2, len(prompts) - 1})]
    prompts.sort(key=lambda prompt: prompt.index)
    _warm_up(sides, prompts[:rows], rows)
    name = f"long queue: {len(prompts)} chunks of {few} to {most} tokens, {rows} rows"
    return _compare(name, sides, prompts, rows, options.repeats, on_progress, sample=sample)


def _never_end(t3: Any) -> None:
    """Chunks of upstream's model, and of decoders made of it, go on up to their limits."""
    head = t3.speech_head
    bias = torch.zeros(head.out_features, device=head.weight.device)
    bias[t3.hp.stop_speech_token] = -1e6
    head.bias = torch.nn.Parameter(bias if head.bias is None else head.bias.detach() + bias)


def prompts_of(model: Any, options: Options, seed: int, count: int = 0) -> list[Prompt]:
    """`count` chunks, or as many as the options say, each with its own text, limit and seed."""
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
    """Make pyloudnorm return Python floats in the block.

    With numpy 2, which upstream's pins exclude, a numpy scalar makes Turbo's prompt float64.
    """
    meter = pyloudnorm.Meter
    measure = meter.integrated_loudness
    with mock.patch.object(
        meter, "integrated_loudness", lambda self, wave: float(measure(self, wave))
    ):
        yield


def _warm_up(sides: Sides, prompts: Sequence[Prompt], rows: int) -> None:
    """Decode a few tokens on both sides; a whole round as warm-up would take minutes."""
    short = [replace(prompt, max_new_tokens=WARM_UP_TOKENS) for prompt in prompts]
    sides.one_by_one(short[:1])
    sides.together(short, rows)
    sides.together(short[:1], 1)
    if not sides.exact:
        sides.together(short, rows, exact=True)


def _compare(
    name: str,
    sides: Sides,
    prompts: Sequence[Prompt],
    rows: int,
    repeats: int,
    on_progress: Progress,
    *,
    sample: Sequence[Prompt] = (),
) -> Result:
    """Both sides in turn; upstream decodes the `sample` of the prompts, if there is one."""
    timed = sample or prompts
    calls = {
        "baseline": lambda: sides.one_by_one(timed),
        "ours": lambda: sides.together(prompts, rows),
    }
    if not sides.exact:
        calls["exact"] = lambda: sides.together(prompts, rows, exact=True)
    turns = alternate(
        calls, repeats, lambda message: on_progress(f"{name}: {message}"), warm_up=False
    )
    theirs, ours = (turns.returned[side] for side in ("baseline", "ours"))
    equal = [torch.equal(ours[prompt.index], theirs[prompt.index]) for prompt in timed]
    tokens = {side: sum(map(len, turns.returned[side].values())) for side in ("baseline", "ours")}
    if sample:
        share = tokens["baseline"] / tokens["ours"]
        turns.seconds["baseline"] = [each / share for each in turns.seconds["baseline"]]
        tokens["baseline"] = tokens["ours"]
    result = compared(name, turns.seconds, all(equal) if sides.exact else None)
    rates = {"baseline": result.baseline_s, "ours": result.ours_s}
    result.figures.update(
        tokens=tokens["baseline"],
        equal_chunks=f"{sum(equal)} of {len(equal)}",
        tokens_per_s={side: tokens[side] / seconds for side, seconds in rates.items()},
        prompts_share=sides.prompts_s / turns.seconds["ours" if sides.exact else "exact"][-1],
    )
    if sample:
        result.figures["upstream_timed"] = f"{len(sample)} of {len(prompts)} chunks"
    if not sides.exact:
        result.figures["exact_s"] = statistics.median(turns.seconds["exact"])
    return result
