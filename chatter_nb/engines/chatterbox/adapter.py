"""What both ways of making a chunk, `fast` and `plain`, ask of a Chatterbox engine."""

from __future__ import annotations

from typing import Any, Protocol

from chatterbox.models.t3.modules.cond_enc import T3Cond
from torch import Tensor

from chatter_nb.audio.reading import Signal
from chatter_nb.engines.base import ChunkInfo, ChunkRequest
from chatter_nb.engines.chatterbox.s3gen import Synthesizer
from chatter_nb.engines.chatterbox.tokens import Prompt, Sampling

SpokenChunk = tuple[int, Signal, ChunkInfo]  # the chunk's index, its audio, how it was made

SMALLER = "choose a smaller chunk_chars, a shorter prompt_s, or device: cpu"
KEPT = "the finished chunks are kept"


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

    def s3gen(self, request: ChunkRequest) -> Any:
        """Upstream's S3Gen that the request asks for."""

    def synthesizer(self, request: ChunkRequest) -> Synthesizer:
        """The same S3Gen, made ready for many chunks."""

    def with_end(self, tokens: Tensor) -> Tensor:
        """Speech tokens (n,) as S3Gen gets them."""


def where(request: ChunkRequest) -> str:
    """The chunk's number and first words, for messages."""
    return f"chunk {request.index}, {request.text[:60]!r}"


def flow_steps(request: ChunkRequest) -> int | None:
    """How many steps the request asks of S3Gen; None for the model's own number."""
    steps = request.knobs.get("n_cfm_timesteps")
    return None if steps is None else int(steps)
