"""T3's two transformers, Llama and GPT-2, over caches whose sequences have their own lengths.

The layers are the models' layers, written out: the tokens of many sequences share each product, and
a CPU gets weights in the layout that it multiplies fastest. In float32 the results are upstream's
up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chatter_nb.engines.chatterbox.cache import Place
from chatter_nb.engines.chatterbox.device import most_rows
from chatter_nb.engines.chatterbox.packing import Product, RowWeight, product

CONTEXT = 8192  # positions that rotary tables are made for: conditioning, text and speech

Spy = Callable[[int, Tensor], None]  # called with a layer's number and its queries


class Backbone:
    """A transformer whose weights are on `device`, in `dtype`; beside int8 the rest is float32.

    Products are of a multiple of `tile` tokens, filled up with tokens of no sequence, so that the
    kernel, and in 16 bits its rounding, is the same for few tokens and for many (up to a tile).
    """

    depth: int
    heads: int
    head_width: int

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._int8, self._products = dtype == torch.int8, list[Product]()
        self.device, self.dtype = device, torch.float32 if self._int8 else dtype
        # On CUDA as many tokens as the most rows there have; a CPU only has a kernel for 1 token.
        tile = 2 * most_rows(device) if device.type == "cuda" else 2
        self.tile = tile if self.dtype.itemsize == 2 else 1

    def __call__(self, embeds: Tensor, place: Place, spy: Spy | None = None) -> Tensor:
        """Hidden states in float32 of tokens, both of shape (n, width)."""
        x = self._layered(self.filled(embeds.to(self.dtype)), place, spy)
        return x[: len(embeds)].float()

    def filled(self, x: Tensor) -> Tensor:
        """`x` of shape (n, width) with n raised to a multiple of `tile`."""
        return F.pad(x, (0, 0, 0, -len(x) % self.tile))

    def _layered(self, x: Tensor, place: Place, spy: Spy | None) -> Tensor:
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

    def _layered(self, x: Tensor, place: Place, spy: Spy | None) -> Tensor:
        turn = self._cos[place.positions][:, None], self._sin[place.positions][:, None]
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normed(x, layer.before_attention))
            queries, keys_values = self._turned(qkv, turn)
            x = x + layer.out(place.attended(number, queries, keys_values))
            if spy:
                spy(number, queries)
            gate, up = layer.gate_up(self._normed(x, layer.before_mlp)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        return self._normed(x, self._norm)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self._eps)

    def _turned(self, qkv: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(n, 3 · heads · width) to queries (n, heads, width) and keys with values, both turned."""
        qkv = qkv.view(len(qkv), 3 * self.heads, self.head_width)
        plain, values = qkv.split([2 * self.heads, self.heads], dim=1)
        first, second = plain.chunk(2, dim=-1)
        turned = plain * turn[0] + torch.cat([-second, first], dim=-1) * turn[1]
        queries, keys = turned.chunk(2, dim=1)
        return queries, torch.cat([keys, values], dim=1)


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

    def _layered(self, x: Tensor, place: Place, spy: Spy | None) -> Tensor:
        x = x + self._positions[place.positions]
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normed(x, layer.before_attention))
            qkv = qkv.view(len(x), 3 * self.heads, self.head_width)
            queries, keys_values = qkv.split([self.heads, 2 * self.heads], dim=1)
            x = x + layer.out(place.attended(number, queries, keys_values))
            inner = F.gelu(layer.up(self._normed(x, layer.before_mlp)), approximate="tanh")
            x = x + layer.down(inner)
        return self._normed(x, self._norm)

    def _normed(self, x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), *norm, self._eps)


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
