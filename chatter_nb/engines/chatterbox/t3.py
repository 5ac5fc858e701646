"""Text tokens to speech tokens, many chunks at once: T3 made ready, and the queue of its rows.

A finished chunk's row takes the next chunk, so that memory follows `rows` and not the queue. Each
chunk draws from a generator of its own and attends to its own row alone: in float32 it gets the
tokens that it would get alone, which are upstream's.
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
    free_bytes,
    memory_told,
    one_at_a_time,
    quiet_upstream,
)
from chatter_nb.engines.chatterbox.network import Network, Prefix
from chatter_nb.engines.chatterbox.sampling import Knobs
from chatter_nb.engines.chatterbox.tokens import Drawn, Prompt, Sampling

CURE = "choose a smaller chunk_chars, or device: cpu"
_LONG_CHUNK = 800  # positions: the voice, 300 of text, 18 s of speech


class TokenDecoder(Network):
    """T3 and the queue of its rows; see `Network` for what becomes of the object that is given."""

    def __init__(
        self, t3: Any, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(t3, device, dtype)
        self._kept: tuple[Hashable, Prefix] | None = None
        self._idle: Rows | None = None

    def decode(
        self,
        prompts: Iterable[Prompt],
        cond: T3Cond,
        sampling: Sampling,
        *,
        rows: int,
        voice: Hashable = None,
        told: Callable[[str], object] = lambda _: None,
    ) -> Iterator[tuple[int, Drawn]]:
        """(index, tokens) of the prompts as they finish, at most `rows` of them in hand at a time.

        `voice` names what `cond` says, so that it is read once in a row of calls. Where memory runs
        out the rows are halved, the unfinished chunks begin again, and `told` hears of it;
        `OutOfMemory` is raised if one row alone does not fit.
        """
        queue = _Queue(prompts)
        batch: Rows | None = None
        while True:
            try:
                with one_at_a_time(), memory_told(_together(rows), CURE):
                    batch = batch or self._batch(self._prefix(cond, voice), sampling, rows, told)
                    finished = _advance(batch, queue)
            except OutOfMemory as error:
                if rows == 1:
                    raise
                queue.put_back([row.prompt for row in batch.active] if batch else [])
                batch, rows = None, rows // 2
                told(f"{error}; went on with {_together(rows)}")
                continue
            if not finished:
                if self.pace.keeps:
                    self._idle = batch
                return
            for row in finished:
                yield row.prompt.index, row.decoded(twice_is_bad=not self.turbo)

    def _batch(
        self, prefix: Prefix, sampling: Sampling, rows: int, told: Callable[[str], object]
    ) -> Rows:
        """The last call's, if it fits: its graphs need not be captured again."""
        knobs = Knobs(sampling, self.device)
        idle, self._idle = self._idle, None  # taken: a call in between makes its own
        if idle and idle.serves(prefix, knobs, rows):
            idle.begin_again(knobs, told)
            return idle
        del idle
        return Rows(self, prefix, knobs, rows, told)

    def rows_that_fit(self) -> int:
        """How many chunks to decode together: as half of the free memory holds, if they are long.

        On a GPU a step takes hardly longer for 16 than for one; on a CPU 8 already keep it busy.
        """
        own, lanes = self.backbone, 1 if self.turbo else 2
        a_position = 2 * own.depth * own.heads * own.head_width * own.dtype.itemsize
        free = free_bytes(self.device) + (self._idle.bytes if self._idle else 0)
        fitting = free // 2 // (lanes * _LONG_CHUNK * a_position)
        return max(1, min(16 if self.device.type == "cuda" else 8, fitting))

    def _prefix(self, cond: T3Cond, voice: Hashable) -> Prefix:
        if self._kept is None or voice is None or self._kept[0] != voice:
            with quiet_upstream(), torch.inference_mode():
                embeds = self._t3.prepare_conditioning(cond)
                self._kept = voice, Prefix(self, embeds)
        return self._kept[1]


class _Queue:
    """Prompts in their order, taken from their source as they are needed."""

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
def _advance(batch: Rows, queue: _Queue) -> list[Row]:
    """Fill the free rows and decode until some are finished; empty if nothing is left."""
    while True:
        if new := queue.first(batch.free):
            batch.admit(new)
            queue.drop(len(new))
        elif not batch.active:
            return []
        else:
            batch.step()
        if finished := batch.take_finished():
            return finished


def _together(rows: int) -> str:
    return "one chunk" if rows == 1 else f"{rows} chunks together"
