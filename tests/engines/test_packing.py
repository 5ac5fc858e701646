"""Products of T3's weights: read as they are for a row, packed for several, and in int8."""

import gc
import weakref

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from chatter_nb.base.errors import UnavailableError  # noqa: E402
from chatter_nb.engines.chatterbox import packing  # noqa: E402
from chatter_nb.engines.chatterbox.packing import Int8Weight, RowWeight, product  # noqa: E402

ONE_ROW = [(1, 1, 64), (2, 1, 64), (2, 64), (1, 70, 64)]
SEVERAL_ROWS = [(4, 1, 64), (16, 1, 64), (5, 64), (3, 9, 64)]

needs_packing = pytest.mark.skipif(
    not packing._can_pack("cpu", torch.float32), reason="oneDNN does not pack here"
)
needs_int8 = pytest.mark.skipif(
    not packing._can_multiply_int8(), reason="no int8 products on this processor"
)


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def matrices(*outs):
    torch.manual_seed(1)
    return [torch.randn(out, 64) for out in outs]


def numbers(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def close(weight, x, parts):
    torch.testing.assert_close(weight(x), F.linear(x, torch.cat(parts)), rtol=1e-4, atol=1e-4)


@needs_packing
@pytest.mark.parametrize("shape", ONE_ROW + SEVERAL_ROWS)
@pytest.mark.parametrize("wide", [False, True], ids=["AVX2", "AVX-512"])
def test_a_product_is_the_plain_product_in_each_layout(shape, wide, monkeypatch):
    capability = "AVX512" if wide else "AVX2"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    parts = matrices(32, 48)
    weight = product(parts, int8=False)
    assert isinstance(weight, RowWeight)
    close(weight, numbers(shape), parts)
    weight.pack()
    close(weight, numbers(shape), parts)


@needs_packing
@pytest.mark.parametrize("shape", ONE_ROW + SEVERAL_ROWS)
def test_a_single_row_reads_the_files_pages_and_needs_no_second_copy(shape):
    """A changed page changes the next product: what is multiplied is the page itself."""
    parts = matrices(32)
    weight = product(parts, int8=False)
    close(weight, numbers(shape), parts)
    parts[0].mul_(2)
    close(weight, numbers(shape), parts)


@needs_packing
@pytest.mark.parametrize("both", [False, True])
def test_several_rows_pack_the_weights_and_a_small_machine_lets_the_pages_go(both, monkeypatch):
    monkeypatch.setattr(packing, "_keeps_both", lambda: both)
    parts = matrices(32)
    pages, plain = weakref.ref(parts[0]), parts[0].clone()
    weight = product(parts, int8=False)
    weight.pack()
    del parts
    gc.collect()
    assert (pages() is not None) == both
    for shape in ONE_ROW + SEVERAL_ROWS:
        close(weight, numbers(shape), [plain])


def test_only_float32_weights_of_a_cpu_wait_for_several_rows():
    (matrix,) = matrices(32)
    assert not isinstance(product([matrix.bfloat16()], int8=False), RowWeight)
    assert not isinstance(product([matrix.to("meta")], int8=False), RowWeight)
    assert not isinstance(product([matrix.T], int8=False), RowWeight)
    assert not isinstance(product([matrix], torch.zeros(32), int8=False), RowWeight)


@needs_int8
@pytest.mark.parametrize("shape", ONE_ROW + SEVERAL_ROWS)
def test_int8_rounds_the_weights_and_hardly_the_activations(shape):
    """Beside a float64 product of the rounded weights: 1e-4 of it, measured.

    It is 3e-4 where a channel is a hundred times the others and takes the digits for itself.
    """
    parts, bias = matrices(32, 48), torch.linspace(-1, 1, 80)
    matrix, x = torch.cat(parts), numbers(shape)
    scales = matrix.abs().amax(dim=1, keepdim=True) / 127
    rounded = ((matrix / scales).round() * scales).double()
    ours = Int8Weight(matrix, bias)(x)
    assert_near(ours - bias, F.linear(x.double(), rounded), 2e-4)
    x[..., 3] *= 100
    assert_near(Int8Weight(matrix)(x), F.linear(x.double(), rounded), 6e-4)


def assert_near(ours, expected, bound):
    assert ((ours - expected).norm() / expected.norm()).item() < bound


@needs_int8
def test_an_int8_product_of_a_lane_is_the_same_bits_in_any_company():
    weight = product(matrices(32, 48), int8=True)
    x = numbers((16, 1, 64))
    together = weight(x)
    for lane in range(16):
        assert torch.equal(weight(x[lane : lane + 1]), together[lane : lane + 1])


@needs_int8
def test_int8_does_not_saturate():
    """The largest weights times the largest digits of either sign, at any length of a sum."""
    for sign in (1.0, -1.0):
        x = torch.full((1, 4096), sign)
        torch.testing.assert_close(
            Int8Weight(torch.ones(16, 4096))(x), torch.full((1, 16), sign * 4096)
        )
    silent = Int8Weight(torch.ones(16, 64))(torch.zeros(2, 64))
    assert torch.equal(silent, torch.zeros(2, 16))


def test_a_processor_without_int8_products_says_what_to_choose(monkeypatch):
    monkeypatch.setattr(packing, "_can_multiply_int8", lambda: False)
    with pytest.raises(UnavailableError, match=r"'int8' needs .*: choose exact or fast"):
        product(matrices(32), int8=True)
