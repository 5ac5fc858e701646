"""Keys and values of the sequences that are decoded, and the two ways to attend to them.

`Ragged` attends to each sequence alone and reads no more than there is: prompts, and steps on a
CPU. `Padded` attends to all at once, up to a common length: a step on a GPU, where starting a
kernel costs more than reading padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import pad_sequence

from chatter_nb.engines.chatterbox.graphs import Pace


class Layers(Protocol):
    """What a cache must know of a transformer."""

    device: torch.device
    dtype: torch.dtype
    depth: int
    heads: int
    head_width: int


class Cache:
    """Keys and values of `rows` sequences of at most `capacity` positions.

    `data` has the shape (layers, rows, 2 · heads, capacity, width), keys before values: a sequence
    is copied by a single call.
    """

    def __init__(self, like: Layers, rows: int, capacity: int) -> None:
        self._like, self._rows = like, rows
        self.data = self._new(capacity)

    @property
    def capacity(self) -> int:
        return self.data.shape[3]

    @property
    def bytes(self) -> int:
        return self.data.nbytes

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` positions. If memory runs out, nothing has changed."""
        data = self._new(capacity)
        data[:, :, :, : self.capacity] = self.data
        self.data = data

    def copy(self, source: slice, target: slice, length: int, *, of: Cache | None = None) -> None:
        """Copy the first `length` positions of rows, from this cache or the cache `of`."""
        self.data[:, target, :, :length] = (of or self).data[:, source, :, :length]

    def _new(self, capacity: int) -> Tensor:
        like = self._like
        shape = like.depth, self._rows, 2 * like.heads, capacity, like.head_width
        return torch.zeros(shape, device=like.device, dtype=like.dtype)


class Place(Protocol):
    """Where a batch of tokens stands in caches: at `positions`, shape (n,).

    There may be more positions than tokens: those are of no sequence (see `Backbone.tile`).
    """

    positions: Tensor

    def attended(self, layer: int, queries: Tensor, keys_values: Tensor) -> Tensor:
        """Store (n, 2 · heads, width); return what `queries` (n, heads, width) attend to.

        Each position sees itself and the positions of its sequence before it.
        """
        ...

    def weights(self, layer: int, head: int, queries: Tensor, lanes: int) -> Tensor:
        """The attention of one head, after `attended`, for batches of a token a sequence.

        For every group of `lanes` sequences its first: (groups, the longest length), in float32.
        """
        ...


@dataclass(frozen=True)
class Part:
    """The positions [start, start + count) of the sequences `rows` of a cache."""

    cache: Cache
    rows: slice
    start: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.count

    @property
    def lanes(self) -> int:
        return self.rows.stop - self.rows.start

    def keys_values(self, layer: int, first: int = 0) -> Tensor:
        return self.cache.data[layer, self.rows, :, first : self.end]

    def mask(self) -> Tensor | None:
        """What is added to scores, shape (count, end); None where every position may be seen."""
        if self.count == 1:
            return None
        data = self.cache.data
        hidden = torch.full((self.count, self.end), -torch.inf, dtype=data.dtype)
        return hidden.triu_(self.start + 1).to(data.device)


class Ragged:
    """Parts of sequences, their tokens one after the other. `tile`: see `Backbone`."""

    def __init__(self, parts: Sequence[Part], tile: int = 1) -> None:
        self._masked = [(part, part.mask()) for part in parts]
        numbers = [
            number for part in parts for number in [*range(part.start, part.end)] * part.lanes
        ]
        numbers += [0] * (-len(numbers) % tile)
        self.positions = torch.tensor(numbers, device=parts[0].cache.data.device)

    def attended(self, layer: int, queries: Tensor, keys_values: Tensor) -> Tensor:
        mixed = torch.zeros_like(queries)
        first = 0
        for part, mask in self._masked:
            tokens = slice(first, first + part.lanes * part.count)
            shape = part.lanes, part.count, -1, queries.shape[-1]
            part.keys_values(layer, part.start)[:] = keys_values[tokens].view(shape).transpose(1, 2)
            keys, values = part.keys_values(layer).chunk(2, dim=1)
            own = queries[tokens].view(shape).transpose(1, 2)
            seen = F.scaled_dot_product_attention(own, keys, values, attn_mask=mask)
            mixed[tokens].view(shape)[:] = seen.transpose(1, 2)
            first = tokens.stop
        return mixed.flatten(1)

    def weights(self, layer: int, head: int, queries: Tensor, lanes: int) -> Tensor:
        rows: list[Tensor] = []
        first = 0
        for part, _ in self._masked:
            keys = part.keys_values(layer)[::lanes, head].float()
            own = queries[first : first + part.lanes : lanes, head, :, None].float()
            rows += (keys @ own)[:, :, 0].unbind()
            first += part.lanes
        scores = [(row / math.sqrt(queries.shape[-1])).softmax(dim=-1) for row in rows]
        return pad_sequence(scores, batch_first=True)


class Padded:
    """A token of each of a cache's first sequences. Attention reads `span` positions of each."""

    def __init__(self, cache: Cache, positions: Tensor, span: int, tile: int = 1) -> None:
        self._cache, self._at, self._span = cache, positions, span
        self._numbers = torch.arange(len(positions), device=positions.device)
        self.positions = F.pad(positions, (0, -len(positions) % tile))
        self._later = torch.arange(span, device=positions.device) > positions[:, None]
        shown = torch.zeros(self._later.shape, device=positions.device, dtype=cache.data.dtype)
        self._mask = shown.masked_fill(self._later, -torch.inf)[:, None, None]

    def attended(self, layer: int, queries: Tensor, keys_values: Tensor) -> Tensor:
        count, stored = len(self._at), self._cache.data[layer]
        stored[self._numbers, :, self._at] = keys_values[:count]
        keys, values = stored[:count, :, : self._span].chunk(2, dim=1)
        with _one_kernel(queries.device):
            mixed = F.scaled_dot_product_attention(
                queries[:count, :, None], keys, values, attn_mask=self._mask
            )
        return F.pad(mixed[:, :, 0].flatten(1), (0, 0, 0, len(queries) - count))

    def weights(self, layer: int, head: int, queries: Tensor, lanes: int) -> Tensor:
        rows = slice(0, len(self._at), lanes)
        keys = self._cache.data[layer, rows, head, : self._span].float()
        scores = (keys @ queries[rows, head, :, None].float())[:, :, 0]
        scores = scores / math.sqrt(queries.shape[-1])
        return scores.masked_fill(self._later[rows], -torch.inf).softmax(dim=-1)


def _one_kernel(device: torch.device) -> AbstractContextManager[object]:
    """On CUDA, kernels whose result does not depend on how far beyond its length a row is read."""
    if device.type != "cuda":
        return nullcontext()
    return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


class Shared:
    """A cache for all rows, each of `lanes` sequences. `before_move` is called before it grows."""

    def __init__(
        self, like: Layers, rows: int, lanes: int, pace: Pace, before_move: Callable[[], object]
    ) -> None:
        self._cache = Cache(like, rows * lanes, pace.room)
        self._lanes, self._pace, self._before_move = lanes, pace, before_move

    @property
    def bytes(self) -> int:
        return self._cache.bytes

    def begin(self, number: int, length: int) -> None:
        """Make room for a new chunk of `length` positions in the row `number`."""
        self.reach({number: length})

    def reach(self, lengths: Mapping[int, int]) -> int:
        """Make room for so many positions in rows; returns the span that a step attends to."""
        span = _rounded(max(lengths.values()), self._pace.span)
        if span > self._cache.capacity:
            self._before_move()
            self._cache.grow(_rounded(span, self._pace.room))
        return span

    def lanes(self, number: int) -> tuple[Cache, slice]:
        """Where the sequences of the row `number` lie."""
        return self._cache, slice(number * self._lanes, (number + 1) * self._lanes)

    def move(self, source: int, target: int, length: int) -> None:
        """Give the row `source` the number `target`; it is `length` positions long."""
        if source != target:
            self._cache.copy(self.lanes(source)[1], self.lanes(target)[1], length)

    def step(self, positions: Tensor, span: int, tile: int) -> Place:
        """The place of the next tokens of the first rows, at `positions`, shape (rows,)."""
        return Padded(self._cache, positions.repeat_interleave(self._lanes), span, tile)


class Apart:
    """A cache for each row, with room for what its own chunk needs: a row as `Shared` has it."""

    def __init__(self, like: Layers, lanes: int, pace: Pace) -> None:
        self._like, self._lanes, self._room = like, lanes, pace.room
        self._caches: dict[int, Cache] = {}

    @property
    def bytes(self) -> int:
        return sum(cache.bytes for cache in self._caches.values())

    def begin(self, number: int, length: int) -> None:
        self._caches[number] = Cache(self._like, self._lanes, _rounded(length + 1, self._room))

    def reach(self, lengths: Mapping[int, int]) -> int:
        for number, length in lengths.items():
            if length > self._caches[number].capacity:
                self._caches[number].grow(_rounded(length, self._room))
        return 0  # there is no common span

    def lanes(self, number: int) -> tuple[Cache, slice]:
        return self._caches[number], slice(0, self._lanes)

    def move(self, source: int, target: int, length: int) -> None:
        self._caches[target] = self._caches[source]
        del self._caches[source]

    def step(self, positions: Tensor, span: int, tile: int) -> Place:
        ends = enumerate(positions.tolist())
        return Ragged([Part(*self.lanes(number), start, 1) for number, start in ends], tile)


def _rounded(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
