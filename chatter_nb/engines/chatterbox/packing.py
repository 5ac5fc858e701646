"""Weights in the layout that a CPU multiplies fastest: the same product but for rounding.

On a CPU `torch.nn.functional.linear` reads float32 weights as they are; oneDNN's own blocked layout
takes a quarter of the time with two rows and half with hundreds (measured on AMD EPYC with
AVX-512). Elsewhere, and where oneDNN is missing, the weights stay as they are.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

_ROWS_HINT = 64  # with hints under 64 oneDNN picks kernels that are slow from 16 rows on


class Weight:
    """A matrix (out, in): `weight(x)` is `F.linear(x, matrix, bias)`."""

    def __init__(self, matrix: Tensor, bias: Tensor | None = None) -> None:
        self._packed = _can_pack(matrix.device.type, matrix.dtype)
        self._matrix = _packed(matrix) if self._packed else matrix
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            return _multiplied(x, self._matrix, self._bias)
        return F.linear(x, self._matrix, self._bias)


def _packed(matrix: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), _ROWS_HINT)


def _multiplied(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


@cache
def _can_pack(device: str, dtype: torch.dtype) -> bool:
    """Whether oneDNN packs weights here and multiplies them correctly.

    The operators are not torch's public API, but called by its compiler; in a build without them
    weights stay as they are.
    """
    if device != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    matrix, x = torch.eye(32, dtype=dtype), torch.arange(64, dtype=dtype).reshape(2, 32)
    try:
        with torch.inference_mode():
            product = _multiplied(x, _packed(matrix), None)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.equal(product, x)
