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
from chatter_nb.engines.base import ChunkInfo, ChunkRequest
from chatter_nb.engines.chatterbox.adapter import KEPT, Adapter, SpokenChunk, where
from chatter_nb.engines.chatterbox.device import one_at_a_time
from chatter_nb.engines.chatterbox.splitting import say_or_split
from chatter_nb.engines.chatterbox.synthesis import Decoding, Synthesis
from chatter_nb.engines.chatterbox.t3 import TokenDecoder
from chatter_nb.engines.chatterbox.tokens import Drawn, Prompt
from chatter_nb.engines.gpu import full_float32


class FastPath:
    """Makes chunks with `decoder`, as `adapter` prepares each request."""

    def __init__(self, adapter: Adapter, decoder: TokenDecoder) -> None:
        self._adapter, self._decoder = adapter, decoder
        self._synthesis = Synthesis(adapter, decoder.device)

    def synthesize(self, requests: Sequence[ChunkRequest], rows: int) -> Iterator[SpokenChunk]:
        """See `SpeechEngine.synthesize`; `rows` chunks are decoded together."""
        for _, group in groupby(sorted(requests, key=_batch_key), key=_batch_key):
            yield from self._group(list(group), rows)

    def _group(self, requests: Sequence[ChunkRequest], rows: int) -> Iterator[SpokenChunk]:
        """Chunks of one voice and the same knobs, as they finish."""
        by_index = {request.index: request for request in requests}
        pending = _Pending(self._adapter.device)
        self._adapter.synthesizer(requests[0])  # loaded here, not in S3Gen's thread
        with self._synthesis.queue(pending.warnings.append) as queue:
            for index, decoded in self._decoded(requests, rows, pending):
                if decoded.usable:
                    finished = queue.add(by_index[index], decoded)
                    yield from map(pending.attached, finished)
                else:  # at once: later chunks wait in memory until it is there
                    audio, info = self._split(by_index[index], pending)
                    yield index, audio, pending.attach(info)
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
        )
        return pending.timed(decoding, where(first) + (" and others" if together > 1 else ""))

    def _prompt(self, request: ChunkRequest) -> Prompt:
        with located(where(request), KEPT):
            return self._adapter.prompt(request.text, request.seed, request)

    def _split(self, request: ChunkRequest, pending: _Pending) -> tuple[Signal, ChunkInfo]:
        """A chunk that did not end, made in parts, each after the part before it."""
        notes: list[str] = []

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


@dataclass
class _Pending:
    """Seconds and warnings of decoding since the last finished chunk; the next chunk gets them."""

    device: str
    tokens_s: float = 0.0
    warnings: list[str] = field(default_factory=list)

    def timed(
        self, decoding: Iterator[tuple[int, Drawn]], whose: str
    ) -> Iterator[tuple[int, Drawn]]:
        """The items of `decoding`; adds up the time that each takes. Errors name `whose`."""
        while True:
            start_s = time.perf_counter()
            with located(whose, KEPT), full_float32(self.device):
                item = next(decoding, None)
            self.tokens_s += time.perf_counter() - start_s
            if item is None:
                return
            yield item

    def attach(self, info: ChunkInfo) -> ChunkInfo:
        """`info` with the seconds and warnings, which begin anew."""
        info = replace(info, stages_s={"tokens": self.tokens_s}, warnings=tuple(self.warnings))
        self.tokens_s = 0.0
        self.warnings.clear()
        return info

    def attached(self, finished: tuple[Decoding, Signal]) -> SpokenChunk:
        (request, decoded), audio = finished
        return request.index, audio, self.attach(ChunkInfo(notes=decoded.notes(request.text)))
