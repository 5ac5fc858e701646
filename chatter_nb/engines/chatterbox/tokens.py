"""What both ways of making a chunk, `fast` and `plain`, share: what they ask of the engine.

Also what goes into decoding speech tokens, and what comes out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from chatterbox.models.t3.modules.cond_enc import T3Cond
from torch import Tensor

from chatter_nb.audio.reading import Signal
from chatter_nb.engines.base import ChunkInfo, ChunkRequest
from chatter_nb.engines.chatterbox.s3gen import Synthesizer

SpokenChunk = tuple[int, Signal, ChunkInfo]  # the chunk's index, its audio, how it was made

SMALLER = "choose a smaller chunk_chars, a shorter prompt_s, or device: cpu"
KEPT = "the finished chunks are kept"


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


class Adapter(Protocol):
    """Turns a request into what T3 and S3Gen take. All tensors it returns are on its device."""

    name: str
    device: str

    def prompt(self, text: str, seed: int, request: ChunkRequest) -> Prompt:
        """A text of a request, or a part of it, for T3."""

    def cond(self, request: ChunkRequest) -> T3Cond:
        """The request's voice for T3, a new object."""

    def sampling(self, request: ChunkRequest) -> Sampling:
        """The request's knobs for T3."""

    def decoder_prompt(self, request: ChunkRequest) -> dict[str, Any]:
        """The request's voice for S3Gen, a new dict."""

    def synthesizer(self, request: ChunkRequest) -> Synthesizer:
        """The S3Gen that the request asks for, made ready for many chunks."""

    def with_end(self, tokens: Tensor) -> Tensor:
        """Speech tokens (n,) as S3Gen gets them."""


def where(request: ChunkRequest) -> str:
    """The chunk's number and first words, for messages."""
    return f"chunk {request.index}, {request.text[:60]!r}"


def flow_steps(request: ChunkRequest) -> int | None:
    """How many steps the request asks of S3Gen; None for the model's own number."""
    steps = request.knobs.get("n_cfm_timesteps")
    return None if steps is None else int(steps)
