"""T3's two transformers, Llama and GPT-2, over a key-value cache whose rows have their own lengths.

The layers are the models' layers, written out: rows of a batch may have different lengths, the
cache stays in its place, and a CPU gets weights in the layout that it multiplies fastest. In
float32 the results are upstream's up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chatter_nb.engines.chatterbox.packing import Product, RowWeight, product

CONTEXT = 8192  # positions that rotary tables are made for: conditioning, text and speech


class Cache:
    """Keys and values of `rows` sequences, each layer's of shape (rows, heads, capacity, width)."""

    def __init__(self, like: Backbone, rows: int, capacity: int) -> None:
        self.capacity = capacity
        self._new = lambda room: torch.zeros(
            rows, like.heads, room, like.head_width, device=like.device, dtype=like.dtype
        )
        self.keys = [self._new(capacity) for _ in range(like.depth)]
        self.values = [self._new(capacity) for _ in range(like.depth)]

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` positions, layer by layer, to need little memory twice.

        If memory runs out halfway, some layers have more room than `self.capacity`.
        """
        for layers in (self.keys, self.values):
            for number, old in enumerate(layers):
                layers[number] = self._new(capacity)
                layers[number][:, :, : self.capacity] = old[:, :, : self.capacity]
        self.capacity = capacity

    @property
    def bytes(self) -> int:
        return sum(layer.nbytes for layer in [*self.keys, *self.values])

    def copy(self, source: slice, target: slice, length: int, *, of: Cache | None = None) -> None:
        """Copy the first `length` positions of rows, from this cache or the cache `of`."""
        of = of or self
        for mine, theirs in zip([*self.keys, *self.values], [*of.keys, *of.values], strict=True):
            mine[target, :, :length] = theirs[source, :, :length]


@dataclass(frozen=True)
class Place:
    """Where a batch stands in a cache: at `positions`, shape (rows, n), of its `rows`.

    `rows` is a slice or a tensor of row numbers. Attention reads the first `span` positions of a
    row; each position sees itself and the positions before it.
    """

    cache: Cache
    rows: slice | Tensor
    positions: Tensor
    span: int

    def mask(self) -> Tensor:
        seen = torch.arange(self.span, device=self.positions.device)
        return (seen <= self.positions[:, :, None])[:, None]

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (rows, heads, n, width); return all keys and values up to `span`."""
        numbers = self._row_numbers()
        all_keys, all_values = self.cache.keys[layer], self.cache.values[layer]
        all_keys[numbers, :, self.positions] = keys.transpose(1, 2)
        all_values[numbers, :, self.positions] = values.transpose(1, 2)
        return all_keys[self.rows, :, : self.span], all_values[self.rows, :, : self.span]

    def _row_numbers(self) -> Tensor:
        if isinstance(self.rows, Tensor):
            return self.rows[:, None]
        where = self.positions.device
        return torch.arange(self.rows.start, self.rows.stop, device=where)[:, None]


# Called with a layer's number, its queries and the keys they look at.
Spy = Callable[[int, Tensor, Tensor], None]


class Backbone:
    """A transformer whose weights are on `device`, in `dtype`; beside int8 the rest is float32."""

    depth: int
    heads: int
    head_width: int

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._int8, self._products = dtype == torch.int8, list[Product]()
        self.device, self.dtype = device, torch.float32 if self._int8 else dtype

    def __call__(self, embeds: Tensor, place: Place, spy: Spy | None = None) -> Tensor:
        """Hidden states in float32, of the shape of `embeds`: (rows, n, width)."""
        raise NotImplementedError

    def pack(self) -> None:
        """Prepare a CPU's weights for steps of several rows."""
        for weight in self._products:
            if isinstance(weight, RowWeight):
                weight.pack()

    def plain(self, tensor: Tensor) -> Tensor:
        """An upstream weight on this transformer's device, in its type."""
        return tensor.detach().to(device=self.device, dtype=self.dtype)

    def norm(self, module: Any) -> tuple[Tensor, Tensor]:
        return self.plain(module.weight), self.plain(module.bias)

    def weight(self, *linears: Any) -> Product:
        """Linear layers of the same input, joined to a single layer."""
        joined = product([self.plain(linear.weight) for linear in linears], int8=self._int8)
        self._products.append(joined)
        return joined

    def transposed(self, conv: Any) -> Product:
        """GPT-2 keeps its weights as (in, out)."""
        return product([self.plain(conv.weight).t()], self.plain(conv.bias), int8=self._int8)


def backbone(t3: Any, device: torch.device, dtype: torch.dtype) -> Backbone:
    """The transformer of an upstream T3, whose own weights stay as they are."""
    return (Gpt2 if t3.is_gpt else Llama)(t3.tfmr, device, dtype)


class Llama(Backbone):
    """The transformer of English and Multilingual."""

    def __init__(self, tfmr: Any, device: torch.device, dtype: torch.dtype) -> None:
        config = tfmr.config
        super().__init__(device, dtype)
        self.depth = len(tfmr.layers)
        self.heads, self.head_width = config.num_attention_heads, config.head_dim
        if config.num_key_value_heads != self.heads:
            raise NotImplementedError("keys and values shared by several heads")
        self._layers = [_LlamaLayer(layer, self) for layer in tfmr.layers]
        self._norm = self.plain(tfmr.norm.weight)
        self._eps = config.rms_norm_eps
        cos, sin = tfmr.rotary_emb(torch.zeros(1, 1, 1), torch.arange(CONTEXT)[None])
        self._cos, self._sin = self.plain(cos[0]), self.plain(sin[0])

    def __call__(self, embeds: Tensor, place: Place, spy: Spy | None = None) -> Tensor:
        x, mask = embeds.to(self.dtype), place.mask()
        turn = self._cos[place.positions][:, :, None], self._sin[place.positions][:, :, None]
        for number, layer in enumerate(self._layers):
            normed = self._normed(x, layer.before_attention)
            queries, keys, values = self._split(layer.qkv(normed), turn)
            all_keys, all_values = place.put(number, keys, values)
            if spy:
                spy(number, queries, all_keys)
            x = x + layer.out(_attended(queries, all_keys, all_values, mask))
            gate, up = layer.gate_up(self._normed(x, layer.before_mlp)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        return self._normed(x, self._norm).float()

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self._eps)

    def _split(self, qkv: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """(rows, n, 3 · heads · width) to three of (rows, heads, n, width), two of them turned."""
        rows, count, _ = qkv.shape
        qkv = qkv.view(rows, count, 3 * self.heads, self.head_width)
        turned, values = qkv.split([2 * self.heads, self.heads], dim=2)
        first, second = turned.chunk(2, dim=-1)
        turned = turned * turn[0] + torch.cat([-second, first], dim=-1) * turn[1]
        queries, keys = turned.transpose(1, 2).chunk(2, dim=1)
        return queries, keys, values.transpose(1, 2)


class Gpt2(Backbone):
    """The transformer of Turbo."""

    def __init__(self, tfmr: Any, device: torch.device, dtype: torch.dtype) -> None:
        config = tfmr.config
        super().__init__(device, dtype)
        self.depth, self.heads = len(tfmr.h), config.n_head
        self.head_width = config.n_embd // config.n_head
        self._layers = [_Gpt2Layer(layer, self) for layer in tfmr.h]
        self._norm = self.norm(tfmr.ln_f)
        self._positions = self.plain(tfmr.wpe.weight)
        self._eps = config.layer_norm_epsilon

    def __call__(self, embeds: Tensor, place: Place, spy: Spy | None = None) -> Tensor:
        x, mask = embeds.to(self.dtype) + self._positions[place.positions], place.mask()
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normed(x, layer.before_attention))
            qkv = qkv.view(*x.shape[:2], 3 * self.heads, self.head_width).transpose(1, 2)
            queries, keys, values = qkv.chunk(3, dim=1)
            x = x + layer.out(_attended(queries, *place.put(number, keys, values), mask))
            inner = F.gelu(layer.up(self._normed(x, layer.before_mlp)), approximate="tanh")
            x = x + layer.down(inner)
        return self._normed(x, self._norm).float()

    def _normed(self, x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), *norm, self._eps)


def _attended(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """The result of attention, (rows, n, heads · width)."""
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)


class _LlamaLayer:
    def __init__(self, layer: Any, make: Backbone) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.before_attention = make.plain(layer.input_layernorm.weight)
        self.qkv = make.weight(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = make.weight(attention.o_proj)
        self.before_mlp = make.plain(layer.post_attention_layernorm.weight)
        self.gate_up = make.weight(mlp.gate_proj, mlp.up_proj)
        self.down = make.weight(mlp.down_proj)


class _Gpt2Layer:
    def __init__(self, layer: Any, make: Backbone) -> None:
        self.before_attention, self.before_mlp = make.norm(layer.ln_1), make.norm(layer.ln_2)
        self.qkv = make.transposed(layer.attn.c_attn)
        self.out = make.transposed(layer.attn.c_proj)
        self.up, self.down = make.transposed(layer.mlp.c_fc), make.transposed(layer.mlp.c_proj)
