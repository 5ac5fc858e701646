"""The fast way from requests to samples: rows of T3 together, then S3Gen for finished chunks.

In float32 the tokens are upstream's, and so are the random numbers after them. A chunk's samples
are what upstream makes of the same seed, up to rounding, whichever chunks were made beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from chatterbox.models.s3gen import S3GEN_SR

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import located
from chatter_nb.engines.base import ChunkInfo, ChunkRequest, OnPart
from chatter_nb.engines.chatterbox.device import one_at_a_time
from chatter_nb.engines.chatterbox.parts import Parts
from chatter_nb.engines.chatterbox.splitting import say_or_split
from chatter_nb.engines.chatterbox.synthesis import Decoding, Synthesis
from chatter_nb.engines.chatterbox.t3 import TokenDecoder
from chatter_nb.engines.chatterbox.tokens import KEPT, Adapter, Drawn, Prompt, SpokenChunk, where
from chatter_nb.engines.gpu import full_float32


class FastPath:
    """Makes chunks with `decoder`, as `adapter` prepares each request."""

    def __init__(self, adapter: Adapter, decoder: TokenDecoder) -> None:
        self._adapter, self._decoder = adapter, decoder
        self._synthesis = Synthesis(adapter, decoder.device)

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
        pending = _Pending(self._adapter.device)
        if on_part:
            with located(where(requests[0]), KEPT):
                pending.parts = Parts(self._adapter, requests[0], on_part)
        self._adapter.synthesizer(requests[0])  # loaded here, not in S3Gen's thread
        with self._synthesis.queue(pending.warnings.append) as queue:
            for index, decoded in self._decoded(requests, rows, pending):
                if not decoded.usable:  # at once: later chunks wait in memory until it is there
                    audio, info = self._split(by_index[index], pending)
                    yield index, audio, pending.attach(info)
                    continue
                with located(where(by_index[index]), KEPT):
                    pending.finish_parts(decoded)
                yield from map(pending.attached, queue.add(by_index[index], decoded))
            yield from map(pending.attached, queue.rest())

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
            (audio,), warnings = self._synthesis.made([(part, decoded)])
            pending.warnings.extend(warnings)
            return audio

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


@dataclass
class _Pending:
    """What belongs to the next chunk that finishes: seconds and warnings of decoding, its parts."""

    device: str
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
            with located(whose, KEPT), full_float32(self.device):
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

    def attached(self, finished: tuple[Decoding, Signal]) -> SpokenChunk:
        (request, decoded), audio = finished
        return request.index, audio, self.attach(ChunkInfo(notes=decoded.notes(request.text)))
