"""Logits to the next tokens of many rows; each row draws from a generator of its own.

PyTorch computes `torch.multinomial(p, 1)` as `argmax(p / q)`, with q drawn from an exponential
distribution (Distributions.cpp). Rows that have drawn their q separately can be sampled together,
and get the tokens that they would get alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from chatter_nb.engines.chatterbox.tokens import Sampling

NOT_A_TOKEN = -1  # if the probabilities are not numbers


class Steps(NamedTuple):
    """The steps of sampling; other steps need another captured graph."""

    guided: bool
    penalised: bool
    min_p: bool
    top_k: int
    top_p: bool


class Knobs:
    """The values of a `Sampling` as tensors, to change the values in a captured graph."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self.steps = Steps(
            guided=sampling.cfg_weight != 0,
            penalised=sampling.repetition_penalty != 1,
            min_p=sampling.min_p > 0,
            top_k=sampling.top_k,
            top_p=sampling.top_p < 1,
        )
        drawing = sampling.temperature, sampling.min_p, 1 - sampling.top_p
        values = [sampling.cfg_weight, sampling.repetition_penalty, *drawing]
        self._values = torch.tensor(values, device=device)
        self.cfg_weight, self.penalty, *others = self._values.unbind()
        self.temperature, self.min_p, self.beyond = others

    def become(self, other: Knobs) -> None:
        """Take the values of other knobs with the same `steps`."""
        self._values.copy_(other._values)


class Noise:
    """What rows draw from their own generators: `values`, shape (block, rows, vocabulary).

    In blocks of several steps the next block's are drawn while the device still runs this one, and
    what a row that ended has not used is taken back: its generator is where upstream's would be.
    """

    def __init__(self, block: int, rows: int, vocabulary: int, device: torch.device) -> None:
        self.values = torch.ones(block, rows, vocabulary, device=device)
        self._scratch = torch.ones(vocabulary, device=device)
        self._block = block
        # By row, the state of its generator before it drew a block: this one, and the next.
        self._now: dict[int, Tensor] = {}
        self._next: dict[int, Tensor] = {}

    def first(self, row: int, generator: torch.Generator) -> None:
        """Draw a new row's first."""
        self.values[0, row].exponential_(generator=generator)

    def draw(self, generators: Sequence[torch.Generator]) -> None:
        """Draw a block for the first rows, as far as that has not been done ahead."""
        for row, generator in enumerate(generators):
            if row in self._next:
                continue
            if self._block > 1:
                self._next[row] = generator.get_state()
            for step in range(self._block):
                self.values[step, row].exponential_(generator=generator)

    def draw_ahead(self, generators: Sequence[torch.Generator]) -> None:
        """Draw the next block: call it when the steps of this one have been started."""
        self._now, self._next = self._next, {}
        if self._block > 1:
            self.draw(generators)

    def take_back(self, row: int, generator: torch.Generator, used: int) -> None:
        """Leave a row's generator as it is after the `used` steps of this block."""
        if row in self._now:
            generator.set_state(self._now[row])
            for _ in range(used):
                self._scratch.exponential_(generator=generator)

    def move(self, source: int, target: int) -> None:
        """Give the row `source` the number `target`."""
        if source in self._next:
            self.values[:, target] = self.values[:, source]
            self._next[target] = self._next[source]
            del self._next[source]

    def forget(self) -> None:
        """Call it when other chunks begin in all rows."""
        self._next = {}


def guided(logits: Tensor, knobs: Knobs) -> Tensor:
    """Logits (2 · rows, vocabulary), each row before its textless twin, to (rows, vocabulary)."""
    if not knobs.steps.guided:
        return logits
    cond, uncond = logits[0::2], logits[1::2]
    return cond + knobs.cfg_weight * (cond - uncond)


def draw(logits: Tensor, seen: Tensor, noise: Tensor, knobs: Knobs, *, turbo: bool) -> Tensor:
    """The next tokens, shape (rows,), of logits (rows, vocabulary).

    `seen` marks the tokens that the repetition penalty applies to; `noise` is drawn from an
    exponential distribution of rate 1. A row whose probabilities are not numbers gets
    `NOT_A_TOKEN`.
    """
    if turbo:
        logits = _within_top_k(logits / knobs.temperature, knobs)
        logits = _penalised(_within_top_p(logits, knobs), seen, knobs)
    else:
        logits = _penalised(logits, seen, knobs) / knobs.temperature
        logits = _within_top_p(_above_min_p(logits, knobs), knobs)
    probabilities = torch.softmax(logits, dim=-1)
    tokens = (probabilities / noise).argmax(dim=-1)
    return tokens.masked_fill(probabilities.sum(dim=-1).isnan(), NOT_A_TOKEN)


def _penalised(logits: Tensor, seen: Tensor, knobs: Knobs) -> Tensor:
    if not knobs.steps.penalised:
        return logits
    weighed = torch.where(logits < 0, logits * knobs.penalty, logits / knobs.penalty)
    return torch.where(seen, weighed, logits)


def _above_min_p(logits: Tensor, knobs: Knobs) -> Tensor:
    """Exclude tokens whose probability is less than `min_p` times the highest probability."""
    if not knobs.steps.min_p:
        return logits
    probabilities = torch.softmax(logits, dim=-1)
    least = knobs.min_p * probabilities.amax(dim=-1, keepdim=True)
    return logits.masked_fill(probabilities < least, -torch.inf)


def _within_top_k(logits: Tensor, knobs: Knobs) -> Tensor:
    if not 0 < knobs.steps.top_k < logits.shape[-1]:
        return logits
    least = logits.topk(knobs.steps.top_k, dim=-1).values[:, -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def _within_top_p(logits: Tensor, knobs: Knobs) -> Tensor:
    """Exclude the least likely tokens beyond a total of `top_p`; the likeliest always stays."""
    if not knobs.steps.top_p:
        return logits
    rising, order = logits.sort(dim=-1)
    beyond = rising.softmax(dim=-1).cumsum(dim=-1) <= knobs.beyond
    beyond[:, -1:].fill_(False)
    return logits.masked_fill(beyond.scatter(1, order, beyond), -torch.inf)
