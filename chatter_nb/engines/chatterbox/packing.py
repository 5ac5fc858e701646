"""Weights in the layout that a CPU multiplies fastest: the same product but for rounding.

On a CPU `torch.nn.functional.linear` reads float32 weights as they are; oneDNN's own blocked layout
takes half of the time from four lanes on (measured on AMD EPYC with AVX-512). Elsewhere, and where
oneDNN is missing, the weights stay as they are. In int8 the weights are others, and so is the
product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from chatter_nb.base.errors import UnavailableError
from chatter_nb.engines.chatterbox.device import total_bytes

Product = Callable[[Tensor], Tensor]

_ROWS_HINT = 64  # with hints under 64 oneDNN picks kernels that are slow from 16 rows on
_ONE_ROW = 2  # lanes at most
_BOTH_LAYOUTS_BYTES = 15 << 30  # a machine sold with 16 GB: weights twice leave it half
# Activations beside int8 weights: two digits to base 128, stored as 64 + digit, which is at most
# 128. Without VNNI a processor adds two products of 128 · 127 in 16 bits, and more would not fit.
_BASE, _ZERO = 128, 64
_LARGEST = 63 * _BASE + 63


def product(matrices: Sequence[Tensor], bias: Tensor | None = None, *, int8: bool) -> Product:
    """T3's linear layers of the same input, joined to one; `int8` rounds their weights."""
    if int8:
        return Int8Weight(_joined(matrices), bias)
    if _reads_pages(matrices[0], bias):
        return RowWeight(matrices)
    return Weight(_joined(matrices), bias)


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


class RowWeight:
    """Matrices of the same input, read as they are for a single row, and packed for several.

    A single row is fastest with the matrices as they are, which are a checkpoint file's own pages:
    until `pack` is called there is no second copy in memory. After that a machine with memory for
    both layouts goes on to use the pages for single rows.
    """

    def __init__(self, matrices: Sequence[Tensor]) -> None:
        self._matrices = tuple(matrices)
        self._packed: Tensor | None = None

    def pack(self) -> None:
        """Prepare for steps of several rows."""
        if self._packed is None:
            self._packed = _packed(_joined(self._matrices))
            if not _keeps_both():
                self._matrices = ()

    def __call__(self, x: Tensor) -> Tensor:
        few = x.numel() <= _ONE_ROW * x.shape[-1]
        if self._packed is not None and not (few and self._matrices):
            return _multiplied(x, self._packed, None)
        has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
        multiply = _transposed if few and not has_avx512 else _multiplied
        return torch.cat([multiply(x, matrix, None) for matrix in self._matrices], dim=-1)


class Int8Weight:
    """A matrix (out, in) in int8, with a scale for each output; the activations keep 14 bits.

    Sums of products are exact integers, so a lane's result does not depend on other lanes.
    """

    def __init__(self, matrix: Tensor, bias: Tensor | None = None) -> None:
        if not _can_multiply_int8():
            raise UnavailableError(
                "precision 'int8' needs torch's int8 products, which give wrong numbers on this "
                "processor or are missing: choose exact or fast"
            )
        self._packed, self._bias = _int8(matrix), bias

    def __call__(self, x: Tensor) -> Tensor:
        product = _multiplied_int8(x, self._packed)
        return product if self._bias is None else product + self._bias


def _joined(matrices: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(matrices)) if len(matrices) > 1 else matrices[0]


def _packed(matrix: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), _ROWS_HINT)


def _transposed(x: Tensor, matrix: Tensor, _: None) -> Tensor:
    """`F.linear` by the kernel that is fastest with two lanes where AVX-512 is missing."""
    lanes = x.flatten(0, -2)
    return (matrix @ lanes.T).T.unflatten(0, x.shape[:-1])


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


def _reads_pages(matrix: Tensor, bias: Tensor | None) -> bool:
    plain = bias is None and matrix.is_contiguous() and matrix.dtype == torch.float32
    return plain and _can_pack(matrix.device.type, matrix.dtype)


@cache
def _keeps_both() -> bool:
    return total_bytes() >= _BOTH_LAYOUTS_BYTES


def _int8(matrix: Tensor) -> object:
    """The matrix rounded to 127 steps of each output's largest weight, as torch packs it."""
    scales = matrix.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    zeros = torch.zeros(len(scales), dtype=torch.long)
    quantised = torch.quantize_per_channel(matrix.float(), scales.float(), zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantised, None)


def _multiplied_int8(x: Tensor, packed: object) -> Tensor:
    """Each lane is scaled by its largest number, split into digits, multiplied, joined again."""
    lanes = x.flatten(0, -2)
    unit = lanes.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny) / _LARGEST
    whole = (lanes / unit).round_()
    high = (whole / _BASE).round_()
    digits = torch.cat([high, whole - high * _BASE])
    multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
    high, low = multiply(digits, 1.0, _ZERO, packed).chunk(2)
    return ((high * _BASE + low) * unit).unflatten(0, x.shape[:-1])


@cache
def _can_multiply_int8() -> bool:
    """Whether torch has the product and gets its largest numbers right, where 16 bits may end."""
    x, matrix = torch.ones(2, 256), torch.ones(32, 256)
    x[1, ::2] = -1
    try:
        with torch.inference_mode():
            product = _multiplied_int8(x, _int8(matrix))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    expected = torch.tensor([[256.0], [0.0]]).expand_as(product)
    return torch.allclose(product, expected, atol=1e-3)
