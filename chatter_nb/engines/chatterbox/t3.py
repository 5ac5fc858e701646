"""Text tokens to speech tokens for many chunks at once: T3 with a queue of chunks.

The row of a finished chunk takes the next chunk, so memory grows with `rows` and not with the
queue. Each chunk draws from a generator of its own and attends to its own row alone: in float32 it
gets the tokens that it would get alone, which are upstream's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import torch
from chatterbox.models.t3.modules.cond_enc import T3Cond

from chatter_nb.base.errors import OutOfMemory
from chatter_nb.engines.chatterbox.batch import Row, Rows
from chatter_nb.engines.chatterbox.device import (
    memory_explained,
    one_at_a_time,
    quiet_upstream,
    rows_that_fit,
)
from chatter_nb.engines.chatterbox.network import Network, Prefix
from chatter_nb.engines.chatterbox.sampling import Knobs
from chatter_nb.engines.chatterbox.tokens import Drawn, Prompt, Sampling

CURE = "choose a smaller chunk_chars, or device: cpu"


class TokenDecoder(Network):
    """T3 with a queue of chunks. `Network` says what happens to the given `t3`."""

    def __init__(
        self, t3: Any, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(t3, device, dtype)
        self._last_prefix: tuple[Hashable, Prefix] | None = None
        self._idle: Rows | None = None

    def decode(
        self,
        prompts: Iterable[Prompt],
        cond: T3Cond,
        sampling: Sampling,
        *,
        rows: int,
        voice: Hashable = None,
        on_note: Callable[[str], object] = lambda _: None,
        on_tokens: Callable[[Sequence[int]], object] | None = None,
    ) -> Iterator[tuple[int, Drawn]]:
        """Yield (index, tokens) of prompts as they finish; at most `rows` are decoded at a time.

        `voice` names `cond`, which is read once for successive calls of the same name. If memory
        runs out, the rows are halved, unfinished chunks begin again, and `on_note` gets a message;
        raises `OutOfMemory` if a single row does not fit. `on_tokens` gets all tokens so far of the
        first row after each block of steps.
        """
        queue = _Queue(prompts)
        batch: Rows | None = None
        while True:
            try:
                with one_at_a_time(), memory_explained(_together(rows), CURE):
                    batch = batch or self._batch(self._prefix(cond, voice), sampling, rows, on_note)
                    finished = _advance(batch, queue, on_tokens)
            except OutOfMemory as error:
                if rows == 1:
                    raise
                queue.put_back([row.prompt for row in batch.active] if batch else [])
                batch, rows = None, rows // 2
                on_note(f"{error}; went on with {_together(rows)}")
                continue
            if not finished:
                self._keep(batch)
                return
            try:
                for row in finished:
                    yield row.prompt.index, row.decoded(may_restart=self.turbo)
            except GeneratorExit:  # the caller wants no more: its rows are as good as new
                self._keep(batch)
                raise

    def _keep(self, batch: Rows) -> None:
        if self.pace.keeps:
            self._idle = batch

    def _batch(
        self, prefix: Prefix, sampling: Sampling, rows: int, on_note: Callable[[str], object]
    ) -> Rows:
        """The rows of the last call, if they fit: their graphs need not be captured again."""
        if rows > 1:
            self.backbone.pack()
        knobs = Knobs(sampling, self.device)
        idle, self._idle = self._idle, None  # a call in between makes rows of its own
        if idle and idle.serves(prefix, knobs, rows):
            idle.begin_again(prefix, knobs, rows, on_note)
            return idle
        del idle
        return Rows(self, prefix, knobs, rows, on_note)

    def rows_that_fit(self) -> int:
        """How many chunks to decode together by default."""
        lanes = 1 if self.turbo else 2
        idle_bytes = self._idle.bytes if self._idle else 0
        return rows_that_fit(self.backbone, lanes, self.pace.room, idle_bytes)

    def _prefix(self, cond: T3Cond, voice: Hashable) -> Prefix:
        if self._last_prefix is None or voice is None or self._last_prefix[0] != voice:
            with quiet_upstream(), torch.inference_mode():
                embeds = self._t3.prepare_conditioning(cond)
                self._last_prefix = voice, Prefix(self, embeds[0])
        return self._last_prefix[1]


class _Queue:
    """Prompts in order, taken from their source when they are needed."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._source = iter(prompts)
        self._waiting = deque[Prompt]()

    def first(self, count: int) -> list[Prompt]:
        while len(self._waiting) < count and (prompt := next(self._source, None)):
            self._waiting.append(prompt)
        return list(self._waiting)[:count]

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()

    def put_back(self, prompts: Sequence[Prompt]) -> None:
        self._waiting.extendleft(reversed(prompts))


@torch.inference_mode()
def _advance(
    batch: Rows, queue: _Queue, on_tokens: Callable[[Sequence[int]], object] | None
) -> list[Row]:
    """Fill the free rows and decode until chunks finish. Returns them; empty if none is left."""
    while True:
        if new := batch.fitting(queue.first(batch.free)):
            batch.admit(new)
            queue.drop(len(new))
        elif not batch.active:
            return []
        else:
            batch.step()
            if on_tokens:
                on_tokens(batch.active[0].tokens)
        if finished := batch.take_finished():
            return finished


def _together(rows: int) -> str:
    return "one chunk" if rows == 1 else f"{rows} chunks together"
