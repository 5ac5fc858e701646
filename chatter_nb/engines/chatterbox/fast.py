"""The fast way from requests to samples: rows of T3 together, then S3Gen for those that finished.

In float32 the tokens are upstream's, and so are the random numbers after them: a chunk's samples
are what upstream makes of the same seed, up to rounding, whatever was made beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TypeVar

import torch
from chatterbox.models.s3gen import S3GEN_SR

from chatter_nb.audio.reading import Signal, check_signal
from chatter_nb.base.errors import EngineError, OutOfMemory, located
from chatter_nb.engines.base import ChunkInfo, ChunkRequest
from chatter_nb.engines.chatterbox.adapter import (
    KEPT,
    SMALLER,
    Made,
    Script,
    delivery,
    flow_steps,
    told_of,
    usable,
    where,
)
from chatter_nb.engines.chatterbox.device import memory_told, one_at_a_time
from chatter_nb.engines.chatterbox.s3gen import TokenRow
from chatter_nb.engines.chatterbox.splitting import say_or_split
from chatter_nb.engines.chatterbox.t3 import TokenDecoder
from chatter_nb.engines.chatterbox.tokens import Drawn, Prompt

Item = TypeVar("Item")


class FastPath:
    """The `decoder` of one model, whose `script` says what a request becomes."""

    def __init__(self, script: Script, decoder: TokenDecoder) -> None:
        self._script, self._decoder = script, decoder
        # A GPU is given several finished chunks at once; a CPU is busy with one.
        self._waves_together = 8 if decoder.device.type == "cuda" else 1

    def synthesize(self, requests: Sequence[ChunkRequest], rows: int) -> Iterator[Made]:
        """See `SpeechEngine.synthesize`; `rows` chunks are decoded together."""
        for _, alike in groupby(sorted(requests, key=delivery), key=delivery):
            yield from self._alike(list(alike), rows)

    def _alike(self, requests: Sequence[ChunkRequest], rows: int) -> Iterator[Made]:
        """Requests of one voice and the same knobs, as they finish."""
        by_index = {request.index: request for request in requests}
        waiting: list[tuple[ChunkRequest, Drawn]] = []
        owed = _Owed()
        for index, decoded in self._decoded(requests, rows, owed):
            request = by_index[index]
            if not usable(decoded):  # at once: later chunks wait in memory until it is there
                audio, info = self._split(request, owed)
                yield index, audio, owed.paid(info)
                continue
            waiting.append((request, decoded))
            if len(waiting) >= self._waves_together:
                yield from self._waves(waiting, owed)
                waiting = []
        yield from self._waves(waiting, owed)

    def _decoded(
        self, requests: Sequence[ChunkRequest], rows: int, owed: _Owed
    ) -> Iterator[tuple[int, Drawn]]:
        first = requests[0]
        together = min(rows, len(requests))
        with one_at_a_time():
            cond = self._script.cond(first)
        decoding = self._decoder.decode(
            [self._prompt(request) for request in requests],  # all of them before any work
            cond,
            self._script.sampling(first),
            rows=together,
            voice=delivery(first),
            told=owed.warnings.append,
        )
        return owed.timed(decoding, where(first) + (" and others" if together > 1 else ""))

    def _prompt(self, request: ChunkRequest) -> Prompt:
        with located(where(request), KEPT):
            return self._script.prompt(request.text, request.seed, request)

    def _waves(self, finished: Sequence[tuple[ChunkRequest, Drawn]], owed: _Owed) -> Iterator[Made]:
        """Samples of chunks that ended; half as many at once where the memory is too small."""
        made = self._try(finished)
        if made is None:
            owed.warnings.append(
                f"the GPU's memory is too small for {len(finished)} chunks of tokens together: "
                "went on with half of them"
            )
            middle = len(finished) // 2
            yield from self._waves(finished[:middle], owed)
            yield from self._waves(finished[middle:], owed)
            return
        for (request, decoded), audio in zip(finished, made, strict=True):
            info = ChunkInfo(notes=told_of(request.text, decoded))
            yield request.index, audio, owed.paid(info)

    def _try(self, finished: Sequence[tuple[ChunkRequest, Drawn]]) -> list[Signal] | None:
        """The samples, or None where fewer chunks must be tried at once."""
        try:
            return self._samples(finished) if finished else []
        except OutOfMemory:
            if len(finished) == 1:
                raise
        return None

    def _samples(self, finished: Sequence[tuple[ChunkRequest, Drawn]]) -> list[Signal]:
        request = finished[0][0]
        rows = [
            # A copy: another try, with fewer chunks, must draw the same numbers.
            TokenRow(self._script.with_end(decoded.tokens), _copied(decoded.generator))
            for _, decoded in finished
        ]
        synthesizer = self._script.synthesizer(request)
        what = "one chunk" if len(rows) == 1 else f"{len(rows)} chunks together"
        with located(where(request), KEPT), memory_told(what, SMALLER), one_at_a_time():
            made = synthesizer.waves(
                rows, self._script.decoder_prompt(request), flow_steps=flow_steps(request)
            )
        return [
            self._checked(audio, request)
            for audio, (request, _) in zip(made, finished, strict=True)
        ]

    def _checked(self, audio: Signal, request: ChunkRequest) -> Signal:
        with located(where(request), KEPT):
            return check_signal(audio, where=self._script.name, error=EngineError)

    def _split(self, request: ChunkRequest, owed: _Owed) -> tuple[Signal, ChunkInfo]:
        """A chunk that did not end, made in parts, one after the other."""
        notes: list[str] = []

        def say(text: str, seed: int) -> Signal | None:
            if (text, seed) == (request.text.strip(), request.seed):
                return None  # it is what did not end
            part = replace(request, text=text, seed=seed)
            ((_, decoded),) = self._decoded([part], 1, owed)
            if not usable(decoded):
                return None
            notes.extend(told_of(text, decoded))
            return self._samples([(part, decoded)])[0]

        audio, info = say_or_split(
            request.text, request.seed, say, sample_rate=S3GEN_SR, language=request.language
        )
        return audio, replace(info, notes=tuple(notes))


def _copied(generator: torch.Generator) -> torch.Generator:
    copy = torch.Generator(generator.device)
    copy.set_state(generator.get_state())
    return copy


@dataclass
class _Owed:
    """What decoding cost and said since a chunk was last handed over: the next one carries it."""

    tokens_s: float = 0.0
    warnings: list[str] = field(default_factory=list)

    def timed(self, items: Iterator[Item], whose: str) -> Iterator[Item]:
        """The items, the time each takes to come added up; errors say whose they are."""
        while True:
            start_s = time.perf_counter()
            with located(whose, KEPT):
                item = next(items, None)
            self.tokens_s += time.perf_counter() - start_s
            if item is None:
                return
            yield item

    def paid(self, info: ChunkInfo) -> ChunkInfo:
        told = replace(info, stages_s={"tokens": self.tokens_s}, warnings=tuple(self.warnings))
        self.tokens_s = 0.0
        self.warnings.clear()
        return told
