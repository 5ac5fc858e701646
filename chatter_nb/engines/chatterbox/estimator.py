"""The estimator of upstream's flow matching: most of S3Gen's work, made faster.

The weights are upstream's. Tensors are (rows, frames, channels), and convolutions are matrix
products. All convolutions look to the left, so padding at a row's end changes earlier frames
through attention alone, which is given each row without its padding: a mask would keep a GPU's
fastest kernels away.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chatter_nb.engines.chatterbox.packing import Weight


class Estimator:
    """Upstream's `ConditionalDecoder`: it gives the slope of the flow at a point."""

    def __init__(self, estimator: Any, dtype: torch.dtype) -> None:
        self._upstream, self.dtype = estimator, dtype
        ((down, down_blocks, down_conv),) = estimator.down_blocks
        ((up, up_blocks, up_conv),) = estimator.up_blocks
        stages = [(down, down_blocks), *estimator.mid_blocks, (up, up_blocks)]
        self._time_mlps = [resnet.mlp for resnet, _ in stages]
        self._stages = [
            (_Resnet(resnet, dtype), [_Transformer(block, dtype) for block in blocks])
            for resnet, blocks in stages
        ]
        self._down, self._up = Conv(down_conv, dtype), Conv(up_conv, dtype)
        self._final = _ConvBlock(estimator.final_block, dtype)
        self._out = Conv(estimator.final_proj, dtype)

    def put_float32_away(self, device: str) -> None:
        """Move upstream's float32 weights that are here in 16 bits to another device."""
        used = {part for mlp in self._of_time() for part in mlp.modules()}
        for part in self._upstream.modules():
            if isinstance(part, (nn.Linear, nn.Conv1d)) and part not in used:
                part.to(device)

    def _of_time(self) -> list[nn.Module]:
        """Upstream's modules that `shifts` calls."""
        mixer = [self._upstream.time_embed_mixer] if self._upstream.meanflow else []
        return [self._upstream.time_mlp, *mixer, *self._time_mlps]

    def shifts(self, times: Tensor) -> list[Tensor]:
        """What the time adds at each stage: (steps, channels), for the steps between `times`."""
        upstream = self._upstream
        embedded = upstream.time_mlp(upstream.time_embeddings(times))
        time = embedded[:-1]
        if upstream.meanflow:  # it also takes the end of a step
            time = upstream.time_embed_mixer(torch.cat([time, embedded[1:]], dim=1))
        return [mlp(time).to(self.dtype) for mlp in self._time_mlps]

    def __call__(self, x: Tensor, shifts: Sequence[Tensor], lengths: Sequence[int]) -> Tensor:
        """(rows, frames, 320) to (rows, frames, 80).

        `lengths` are the rows' frames without padding. There may be twice as many rows: the second
        half has the lengths of the first.
        """
        stages = list(zip(self._stages, shifts, strict=True))
        skipped = x = _passed(stages[0], x, lengths)
        x = self._down(x)
        for stage in stages[1:-1]:
            x = _passed(stage, x, lengths)
        x = self._up(_passed(stages[-1], torch.cat([x, skipped], dim=2), lengths))
        return self._out(self._final(x))


def _passed(stage: Any, x: Tensor, lengths: Sequence[int]) -> Tensor:
    (resnet, blocks), shift = stage
    x = resnet(x, shift)
    for block in blocks:
        x = block(x, lengths)
    return x


class _Resnet:
    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self._first, self._second = _ConvBlock(block.block1, dtype), _ConvBlock(block.block2, dtype)
        self._residual = Conv(block.res_conv, dtype)

    def __call__(self, x: Tensor, shift: Tensor) -> Tensor:
        return self._second(self._first(x) + shift) + self._residual(x)


class _ConvBlock:
    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        conv, _, norm, _, self._activation = block.block
        self._conv, self._norm = Conv(conv, dtype), _as(norm, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return self._activation(self._norm(self._conv(x)))


class _Transformer:
    """diffusers' `BasicTransformerBlock` as upstream sets it up: self-attention, feed-forward."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        attention = block.attn1
        self._heads = attention.heads
        self._norm, self._norm_ff = _as(block.norm1, dtype), _as(block.norm3, dtype)
        self._qkv = joined(attention.to_q, attention.to_k, attention.to_v, dtype=dtype)
        self._out = joined(attention.to_out[0], dtype=dtype)
        self._up, self._down = (
            joined(part, dtype=dtype) for part in (block.ff.net[0].proj, block.ff.net[2])
        )

    def __call__(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        rows, n, _ = x.shape
        q, k, v = self._qkv(self._norm(x)).view(rows, n, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        attended = _rows_attended(q, k, v, lengths)
        x = x + self._out(attended.transpose(1, 2).reshape(rows, n, -1))
        return x + self._down(F.gelu(self._up(self._norm_ff(x))))


def _rows_attended(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """Attention of (rows, heads, frames, width) within each row's length; zero after it."""
    if min(lengths) == q.shape[2]:
        return _attention(q, k, v)
    attended = torch.zeros_like(q)
    for row, length in enumerate(lengths):
        own = (slice(row, None, len(lengths)), slice(None), slice(length))
        attended[own] = _attention(q[own], k[own], v[own])
    return attended


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if q.device.type != "cpu" or q.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v)
    # Torch's fused 16-bit attention takes 2.5 times as long on a CPU (2 cores with AVX-512 BF16).
    q, mixed = q * q.shape[-1] ** -0.5, torch.empty_like(v)
    for row in range(len(q)):
        for head in range(q.shape[1]):
            scores = q[row, head] @ k[row, head].T
            torch.mm(torch.softmax(scores, dim=-1), v[row, head], out=mixed[row, head])
    return mixed


class Conv:
    """A `Conv1d` over frames as a matrix product; it sees `right` frames ahead, the rest behind."""

    def __init__(self, conv: Any, dtype: torch.dtype = torch.float32, *, right: int = 0) -> None:
        (self._width,), self._right = conv.kernel_size, right
        matrix = conv.weight.detach().transpose(1, 2).flatten(1)
        self._weight = Weight(matrix.to(dtype), conv.bias.detach().to(dtype))

    def __call__(self, x: Tensor) -> Tensor:
        rows, frames, channels = x.shape
        x = F.pad(x, (0, 0, self._width - 1 - self._right, self._right)).contiguous()
        windows = (rows, frames, self._width * channels)
        return self._weight(x.as_strided(windows, (x.stride(0), channels, 1)))


def joined(*layers: Any, dtype: torch.dtype = torch.float32) -> Weight:
    """Linear layers of the same input, joined to a single layer."""
    biases = [layer.bias for layer in layers if layer.bias is not None]
    bias = torch.cat([b.detach() for b in biases]).to(dtype) if biases else None
    weights = [layer.weight.detach() for layer in layers]
    return Weight((torch.cat(weights) if len(weights) > 1 else weights[0]).to(dtype), bias)


def _as(norm: nn.LayerNorm, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    return norm if norm.weight.dtype == dtype else copy.deepcopy(norm).to(dtype)
