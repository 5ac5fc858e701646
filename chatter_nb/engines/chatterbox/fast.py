"""The fast way from requests to samples: rows of T3 together, then S3Gen for finished chunks.

In float32 the tokens are upstream's, and so are the random numbers after them. A chunk's samples
are what upstream makes of the same seed, up to rounding, whichever chunks were made beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch
from chatterbox.models.s3gen import S3GEN_SR

from chatter_nb.audio.reading import Signal, check_signal
from chatter_nb.base.errors import EngineError, OutOfMemory, located
from chatter_nb.engines.base import ChunkInfo, ChunkRequest, OnPart
from chatter_nb.engines.chatterbox.adapter import (
    KEPT,
    SMALLER,
    Adapter,
    SpokenChunk,
    flow_steps,
    where,
)
from chatter_nb.engines.chatterbox.device import memory_explained, one_at_a_time
from chatter_nb.engines.chatterbox.parts import Parts
from chatter_nb.engines.chatterbox.s3gen import TokenRow
from chatter_nb.engines.chatterbox.splitting import say_or_split
from chatter_nb.engines.chatterbox.t3 import TokenDecoder
from chatter_nb.engines.chatterbox.tokens import Drawn, Prompt

Decoding = tuple[ChunkRequest, Drawn]  # a chunk whose tokens are there


class FastPath:
    """Makes chunks with `decoder`, as `adapter` prepares each request."""

    def __init__(self, adapter: Adapter, decoder: TokenDecoder) -> None:
        self._adapter, self._decoder = adapter, decoder
        # A GPU is given several finished chunks at once; a CPU is busy with one.
        self._waves_together = 8 if decoder.device.type == "cuda" else 1

    def synthesize(
        self, requests: Sequence[ChunkRequest], rows: int = 1, on_part: OnPart | None = None
    ) -> Iterator[SpokenChunk]:
        """See `SpeechEngine.synthesize`; `rows` chunks are decoded together."""
        if on_part and requests:
            yield from self._group(requests[:1], 1, on_part)
            requests = requests[1:]
        for _, of_a_kind in groupby(sorted(requests, key=_batch_key), key=_batch_key):
            for group in _ramp(list(of_a_kind), rows if on_part else 1):
                yield from self._group(group, rows)

    def _group(
        self, requests: Sequence[ChunkRequest], rows: int, on_part: OnPart | None = None
    ) -> Iterator[SpokenChunk]:
        """Chunks of one voice and the same knobs, as they finish."""
        by_index = {request.index: request for request in requests}
        waiting: list[Decoding] = []
        pending = _Pending()
        if on_part:
            pending.parts = Parts(self._adapter, requests[0], on_part)
        for index, decoded in self._decoded(requests, rows, pending):
            request = by_index[index]
            if not decoded.usable:  # at once: later chunks wait in memory until it is there
                audio, info = self._split(request, pending)
                yield index, audio, pending.attach(info)
                continue
            with located(where(request), KEPT):
                pending.finish_parts(decoded)
            waiting.append((request, decoded))
            if len(waiting) >= self._waves_together:
                yield from self._waves(waiting, pending)
                waiting = []
        yield from self._waves(waiting, pending)

    def _decoded(
        self, requests: Sequence[ChunkRequest], rows: int, pending: _Pending
    ) -> Iterator[tuple[int, Drawn]]:
        first = requests[0]
        together = min(rows, len(requests))
        with one_at_a_time():
            cond = self._adapter.cond(first)
        decoding = self._decoder.decode(
            [self._prompt(request) for request in requests],  # all of them before any work
            cond,
            self._adapter.sampling(first),
            rows=together,
            voice=_batch_key(first),
            on_note=pending.warnings.append,
            on_tokens=pending.parts.grow if pending.parts else None,
        )
        return pending.timed(decoding, where(first) + (" and others" if together > 1 else ""))

    def _prompt(self, request: ChunkRequest) -> Prompt:
        with located(where(request), KEPT):
            return self._adapter.prompt(request.text, request.seed, request)

    def _waves(self, decodings: Sequence[Decoding], pending: _Pending) -> Iterator[SpokenChunk]:
        """Audio of chunks that ended; half as many at once where the memory is too small."""
        waves = self._try(decodings)
        if waves is None:
            pending.warnings.append(
                f"the GPU's memory is too small for {len(decodings)} chunks of tokens together: "
                "went on with half of them"
            )
            middle = len(decodings) // 2
            yield from self._waves(decodings[:middle], pending)
            yield from self._waves(decodings[middle:], pending)
            return
        for (request, decoded), audio in zip(decodings, waves, strict=True):
            info = ChunkInfo(notes=decoded.notes(request.text))
            yield request.index, audio, pending.attach(info)

    def _try(self, decodings: Sequence[Decoding]) -> list[Signal] | None:
        """The chunks' audio, or None where fewer chunks must be tried at once."""
        try:
            return self._samples(decodings) if decodings else []
        except OutOfMemory:
            if len(decodings) == 1:
                raise
        return None

    def _samples(self, decodings: Sequence[Decoding]) -> list[Signal]:
        request = decodings[0][0]
        rows = [
            # A copy: another try, with fewer chunks, must draw the same numbers.
            TokenRow(self._adapter.with_end(decoded.tokens), _copied(decoded.generator))
            for _, decoded in decodings
        ]
        synthesizer = self._adapter.synthesizer(request)
        what = "one chunk" if len(rows) == 1 else f"{len(rows)} chunks together"
        with located(where(request), KEPT), memory_explained(what, SMALLER), one_at_a_time():
            waves = synthesizer.waves(
                rows, self._adapter.decoder_prompt(request), flow_steps=flow_steps(request)
            )
        return [
            self._checked(audio, request)
            for audio, (request, _) in zip(waves, decodings, strict=True)
        ]

    def _checked(self, audio: Signal, request: ChunkRequest) -> Signal:
        with located(where(request), KEPT):
            return check_signal(audio, where=self._adapter.name, error=EngineError)

    def _split(self, request: ChunkRequest, pending: _Pending) -> tuple[Signal, ChunkInfo]:
        """A chunk that did not end, made in parts, each after the part before it."""
        notes: list[str] = []
        pending.parts = None  # who has heard some of it hears all of it from its beginning

        def say(text: str, seed: int) -> Signal | None:
            if (text, seed) == (request.text.strip(), request.seed):
                return None  # it is what did not end
            part = replace(request, text=text, seed=seed)
            ((_, decoded),) = self._decoded([part], 1, pending)
            if not decoded.usable:
                return None
            notes.extend(decoded.notes(text))
            return self._samples([(part, decoded)])[0]

        with located(where(request), KEPT):
            audio, info = say_or_split(
                request.text, request.seed, say, sample_rate=S3GEN_SR, language=request.language
            )
        return audio, replace(info, notes=tuple(notes))


def _batch_key(request: ChunkRequest) -> str:
    """Requests of the same key can be made together."""
    return f"{request.voice.content_hash} {sorted(request.knobs.items())}"


def _ramp(requests: Sequence[ChunkRequest], rows: int) -> Iterator[Sequence[ChunkRequest]]:
    """Groups of 2, 4, 8 … requests while these are less than `rows`, and one of the rest."""
    size = 2
    while size < rows and len(requests) > size:
        yield requests[:size]
        requests, size = requests[size:], 2 * size
    yield requests


def _copied(generator: torch.Generator) -> torch.Generator:
    copy = torch.Generator(generator.device)
    copy.set_state(generator.get_state())
    return copy


@dataclass
class _Pending:
    """What belongs to the next chunk that finishes: seconds and warnings of decoding, its parts."""

    tokens_s: float = 0.0
    warnings: list[str] = field(default_factory=list)
    parts: Parts | None = None
    in_parts: bool = False

    def timed(
        self, decoding: Iterator[tuple[int, Drawn]], whose: str
    ) -> Iterator[tuple[int, Drawn]]:
        """The items of `decoding`; adds up the time that each takes. Errors name `whose`."""
        while True:
            start_s, before_s = time.perf_counter(), self._parts_s
            with located(whose, KEPT):
                item = next(decoding, None)
            self.tokens_s += time.perf_counter() - start_s - (self._parts_s - before_s)
            if item is None:
                return
            yield item

    def finish_parts(self, decoded: Drawn) -> None:
        """Make the rest of the parts, if there are any."""
        self.in_parts = self.parts.finish(decoded.tokens) if self.parts else False

    @property
    def _parts_s(self) -> float:
        return self.parts.spent_s if self.parts else 0.0

    def attach(self, info: ChunkInfo) -> ChunkInfo:
        """`info` with all this, which begins anew."""
        info = replace(
            info,
            stages_s={"tokens": self.tokens_s},
            warnings=tuple(self.warnings),
            in_parts=self.in_parts,
        )
        self.tokens_s, self.parts, self.in_parts = 0.0, None, False
        self.warnings.clear()
        return info
