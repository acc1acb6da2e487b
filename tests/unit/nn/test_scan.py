"""Passes over tensors at every call of a layer: what they see is what torch sees."""

import pytest
import torch

from xbarspice.nn.scan import range_of, same_values

DTYPES = [torch.float64, torch.float32, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 7, 4096, 4097, 9000])
def test_every_single_change_of_a_number_is_seen(dtype, size):
    """One last bit anywhere, also at the ends of chunks, makes two tensors differ."""
    a = torch.linspace(0.5, 1.0, size, dtype=torch.float64).to(dtype)
    assert same_values(a, a.clone())
    for k in {0, size // 2, 4095, 4096, size - 1}:
        if k < size:
            b = a.clone()
            b[k] = torch.nextafter(b[k], torch.tensor(2.0, dtype=dtype))
            assert not same_values(a, b)
            assert not same_values(b, a)


def test_two_changes_never_cancel():
    """Two numbers that change places, and two signs that flip, are differences."""
    a = torch.arange(1.0, 6000.0)
    b = a.clone()
    b[[10, 5000]] = a[[5000, 10]]
    assert not same_values(a, b)
    b = a.clone()
    b[[64, 128]] *= -1
    assert not same_values(a, b)


def test_shapes_types_and_layouts_count():
    """Another shape or type differs; a transposed tensor equals its values, not its memory."""
    assert not same_values(torch.zeros(6), torch.zeros(2, 3))
    assert not same_values(torch.zeros(6), torch.zeros(6, dtype=torch.float64))
    a = torch.arange(6.0).reshape(2, 3)
    assert same_values(a.mT.contiguous().mT, a)
    assert not same_values(a.mT.contiguous().mT, a + 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limit", [0.3, 1.0, 100.0])
def test_range_equals_that_of_torch(dtype, limit):
    """The largest size, of either sign, and the count beyond the limit."""
    x = torch.randn(30, 3, 50, generator=torch.Generator().manual_seed(0)).to(dtype)
    for part in (x, x[:, 1:2], -x.abs(), x * 0):
        expected = float(part.abs().max()), int((part.abs() > limit).sum())
        assert range_of(part, limit) == expected


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_numbers_without_an_order(dtype):
    """Infinity is beyond every limit; a value at the limit and a NaN are not, but a NaN is seen."""
    x = torch.tensor([0.5, -1.0, 1.0], dtype=dtype)
    assert range_of(x, 1.0) == (1.0, 0)
    assert range_of(torch.cat([x, torch.tensor([-torch.inf], dtype=dtype)]), 1.0) == (torch.inf, 1)
    largest, beyond = range_of(torch.cat([x, torch.tensor([torch.nan], dtype=dtype)]), 0.75)
    assert largest != largest
    assert beyond == 2
