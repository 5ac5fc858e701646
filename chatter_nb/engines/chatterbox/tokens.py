"""What goes into decoding speech tokens, and what comes out of it, in both ways of decoding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Prompt:
    """A chunk to decode. `text_tokens` has shape (1, n), without start and stop tokens.

    At most `max_new_tokens` speech tokens are drawn; 25 tokens are a second.
    """

    index: int
    text_tokens: Tensor
    seed: int
    max_new_tokens: int


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn: upstream's knobs, in upstream's order.

    English and Multilingual: `cfg_weight` (0 is none), `repetition_penalty` (1 is none),
    `temperature`, `min_p` (0 is none), `top_p` (1 is all). Turbo: `temperature`, `top_k` (0 is
    all), `top_p`, `repetition_penalty`.
    """

    cfg_weight: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    min_p: float = 0.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Speech tokens, shape (n,), all valid; `ended`: the model stopped by itself.

    `note` says what is doubtful about them.
    """

    tokens: Tensor
    ended: bool
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether to make audio of it: a chunk that missed its end is babble up to the limit."""
        return self.ended and len(self.tokens) > 0

    def notes(self, text: str) -> tuple[str, ...]:
        """The note, with the text that the tokens say; empty if nothing is doubtful."""
        return (f"{text.strip()[:60]!r}: {self.note}",) if self.note else ()


@dataclass(frozen=True, kw_only=True)
class Drawn(Decoded):
    """Tokens, and the chunk's generator after them: upstream draws the chunk's noise from there."""

    generator: torch.Generator


def alignment_note(share: float) -> str:
    """The note on a chunk that upstream's alignment check ended in mid-text."""
    return f"upstream's alignment check ended it at about {share:.0%} of its text: listen to it"
