"""What a Chatterbox model knows of a chunk, for both ways of making it: `fast` and `plain`."""

from __future__ import annotations

from typing import Any, Protocol

from chatterbox.models.t3.modules.cond_enc import T3Cond
from torch import Tensor

from chatter_nb.audio.reading import Signal
from chatter_nb.engines.base import ChunkInfo, ChunkRequest
from chatter_nb.engines.chatterbox.s3gen import Synthesizer
from chatter_nb.engines.chatterbox.tokens import Decoded, Prompt, Sampling

Made = tuple[int, Signal, ChunkInfo]

SMALLER = "choose a smaller chunk_chars, a shorter prompt_s, or device: cpu"
KEPT = "the finished chunks are kept"


class Script(Protocol):
    """English, Multilingual or Turbo. All tensors it gives are on its device."""

    name: str
    device: str

    def prompt(self, text: str, seed: int, request: ChunkRequest) -> Prompt:
        """A text of a request, or a part of it, for T3."""
        ...

    def cond(self, request: ChunkRequest) -> T3Cond:
        """The request's voice for T3, a new object."""
        ...

    def sampling(self, request: ChunkRequest) -> Sampling:
        """The request's knobs for T3."""
        ...

    def decoder_prompt(self, request: ChunkRequest) -> dict[str, Any]:
        """The request's voice for S3Gen, a new dict."""
        ...

    def s3gen(self, request: ChunkRequest) -> Any:
        """Upstream's S3Gen that the request asks for."""
        ...

    def synthesizer(self, request: ChunkRequest) -> Synthesizer:
        """… made ready for many chunks."""
        ...

    def with_end(self, tokens: Tensor) -> Tensor:
        """Speech tokens (n,) as S3Gen gets them."""
        ...


def delivery(request: ChunkRequest) -> str:
    """Requests for which this is the same can be made together."""
    return f"{request.voice.content_hash} {sorted(request.knobs.items())}"


def where(request: ChunkRequest) -> str:
    return f"chunk {request.index}, {request.text[:60]!r}"


def flow_steps(request: ChunkRequest) -> int | None:
    steps = request.knobs.get("n_cfm_timesteps")
    return None if steps is None else int(steps)


def usable(decoded: Decoded) -> bool:
    """A chunk that missed its end is babble up to the limit: never used."""
    return decoded.ended and len(decoded.tokens) > 0


def told_of(text: str, decoded: Decoded) -> tuple[str, ...]:
    return (f"{text.strip()[:60]!r}: {decoded.note}",) if decoded.note else ()
