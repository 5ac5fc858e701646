"""S3Gen's share of the fast path: chunks whose tokens are there, several together, to samples.

On CUDA it runs in a thread and on a stream of its own, and T3 goes on meanwhile. The thread is a
bounded exception to plain calls: it lives as long as the requests of a call, at most two batches
are under way, and errors reach the caller where a plain call would raise them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Protocol, TypeAlias

import torch

from chatter_nb.audio.reading import Signal, check_signal
from chatter_nb.base.errors import EngineError, OutOfMemory, located
from chatter_nb.engines.base import ChunkRequest
from chatter_nb.engines.chatterbox.device import memory_explained, one_at_a_time
from chatter_nb.engines.chatterbox.s3gen import TokenRow
from chatter_nb.engines.chatterbox.tokens import KEPT, SMALLER, Adapter, Drawn, flow_steps, where
from chatter_nb.engines.gpu import is_small_gpu

Decoding: TypeAlias = tuple[ChunkRequest, Drawn]  # a chunk whose tokens are there
Made: TypeAlias = tuple[list[Signal], list[str]]  # the samples of chunks, and notes for a person


class _Call(Protocol):
    """A call under way, as a `Future` is."""

    def done(self) -> bool: ...

    def result(self) -> Made: ...


class Synthesis:
    """Calls `adapter`'s S3Gen; it remembers how many chunks the device takes together.

    A GPU takes several, `beside` T3; a CPU is busy with one, and so is a GPU of 4 GB.
    """

    def __init__(self, adapter: Adapter, device: torch.device) -> None:
        self._adapter, self._device = adapter, device
        self.beside = device.type == "cuda" and not is_small_gpu(str(device))
        self.most = 8 if self.beside else 1
        # Kept for good: CUDA's libraries keep a workspace for each stream.
        self._stream = torch.cuda.Stream(device) if self.beside else None

    @contextmanager
    def queue(self, on_note: Callable[[str], object]) -> Iterator[WaveQueue]:
        """A queue for the requests of a call. No thread is left, however the block ends."""
        if not self.beside:
            yield WaveQueue(self, partial(_Later, self.made), on_note)
            return
        thread = ThreadPoolExecutor(1, "s3gen")
        try:
            yield WaveQueue(self, partial(self._submit, thread), on_note)
        finally:
            thread.shutdown(cancel_futures=True)

    def _submit(self, thread: ThreadPoolExecutor, decodings: Sequence[Decoding]) -> _Call:
        tokens_ready = torch.cuda.current_stream(self._device).record_event()
        return thread.submit(self._made_beside, decodings, tokens_ready)

    def _made_beside(self, decodings: Sequence[Decoding], tokens_ready: Any) -> Made:
        with torch.cuda.stream(self._stream):
            torch.cuda.current_stream(self._device).wait_event(tokens_ready)
            return self.made(decodings)

    def made(self, decodings: Sequence[Decoding]) -> Made:
        """The samples of chunks of the same voice and knobs. Raises `OutOfMemory`."""
        request, notes = decodings[0][0], list[str]()
        rows = [
            # A copy: another try, with fewer chunks, must draw the same numbers.
            TokenRow(self._adapter.with_end(decoded.tokens), decoded.generator.clone_state())
            for _, decoded in decodings
        ]
        what = "one chunk" if len(rows) == 1 else f"{len(rows)} chunks together"
        turn = nullcontext() if self.beside else one_at_a_time()
        with located(where(request), KEPT), turn, memory_explained(what, SMALLER):
            waves = self._adapter.synthesizer(request).waves(
                rows,
                self._adapter.decoder_prompt(request),
                flow_steps=flow_steps(request),
                on_note=notes.append,
            )
        pairs = zip(waves, decodings, strict=True)
        return [self._checked(wave, request) for wave, (request, _) in pairs], notes

    def _checked(self, wave: Signal, request: ChunkRequest) -> Signal:
        with located(where(request), KEPT):
            return check_signal(wave, where=self._adapter.name, error=EngineError)


class WaveQueue:
    """Takes chunks as T3 finishes them, gives them to `begin` in batches, and yields their samples.

    The batches grow, 1, 2, 4 … chunks: the first sound must not wait for a whole batch, nor for T3
    to finish another chunk.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        begin: Callable[[Sequence[Decoding]], _Call],
        on_note: Callable[[str], object],
    ) -> None:
        self._synthesis, self._begin, self._on_note = synthesis, begin, on_note
        self._size = 1  # of the next batch
        self._waiting: list[Decoding] = []
        self._under_way = deque[tuple[Sequence[Decoding], _Call]]()

    def add(self, request: ChunkRequest, decoded: Drawn) -> Iterator[tuple[Decoding, Signal]]:
        """Take a chunk; yield those that are ready."""
        self._waiting.append((request, decoded))
        is_first = self._size == 1
        if len(self._waiting) >= min(self._size, self._synthesis.most):
            self._begin_waiting()
            self._size *= 2
        yield from self._finished(leave=0 if is_first else 1)

    def rest(self) -> Iterator[tuple[Decoding, Signal]]:
        """Yield all others."""
        self._begin_waiting()
        yield from self._finished(leave=0)

    def _begin_waiting(self) -> None:
        if self._waiting:
            self._under_way.append((self._waiting, self._begin(self._waiting)))
            self._waiting = []

    def _finished(self, leave: int) -> Iterator[tuple[Decoding, Signal]]:
        """The chunks of batches that are done; waits while more than `leave` are under way."""
        while self._under_way and (len(self._under_way) > leave or self._under_way[0][1].done()):
            decodings, call = self._under_way.popleft()
            try:
                waves, notes = call.result()
            except OutOfMemory:
                if len(decodings) == 1:
                    raise
            else:
                for note in notes:
                    self._on_note(note)
                yield from zip(decodings, waves, strict=True)
                continue
            self._divide(decodings)

    def _divide(self, decodings: Sequence[Decoding]) -> None:
        """Begin a batch that did not fit again, in parts; later batches are as small at once."""
        if len(decodings) <= self._synthesis.most:  # else it began before they were fewer
            self._synthesis.most = len(decodings) // 2
        most = self._synthesis.most
        for start in reversed(range(0, len(decodings), most)):
            part = decodings[start : start + most]
            self._under_way.appendleft((part, self._begin(part)))
        self._on_note(
            f"the GPU's memory is too small for {len(decodings)} chunks of tokens together: "
            f"went on with {most}"
        )


class _Later:
    """A call that is made when its result is asked for, in the thread that asks."""

    def __init__(self, call: Callable[[Sequence[Decoding]], Made], decodings: Any) -> None:
        self.result = partial(call, decodings)

    def done(self) -> bool:
        return True
