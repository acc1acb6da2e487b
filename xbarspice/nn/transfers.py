"""One transfer of the weights after another on the arrays of a converted model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from xbarspice.nn.layers import products_of
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.product import Product
from xbarspice.nn.through import running

__all__ = ["program_each"]

DEVICES = 1_000_000
"""Devices that are drawn and reduced together, at most."""
TOGETHER = 64
"""Transfers that are drawn and reduced together, at most."""


def program_each(circuit: nn.Module, numbers: Sequence[int]) -> Iterator[int]:
    """Let the arrays hold one transfer after another, as `program` does, and yield its number.

    Linear arrays that the surrogate solves are reduced for many transfers in one call, so that
    thousands of forward passes cost little more than those of the plain model. When the loop ends
    the arrays hold what they held before.

    Args:
        circuit: a converted model, in evaluation mode.
        numbers: of the transfers; the same number gives the same errors as with `program`.
    """
    products = products_of(circuit)
    matrices = [product.matrix for product in products]
    before = [matrix.transfer for matrix in matrices]
    devices = sum(product.matrix.size(product.weight)[1] for product in products)
    together = max(min(TOGETHER, DEVICES // max(devices, 1)), 1)
    try:
        for start in range(0, len(numbers), together):
            chunk = numbers[start : start + together]
            maps = [_maps(product, matrices, chunk) for product in products]
            for k, number in enumerate(chunk):
                for product, of_chunk in zip(products, maps, strict=True):
                    product.matrix.transfer, affine = number, of_chunk[k]
                    if affine is not None:
                        product.matrix.cache(product, affine)
                yield number
    finally:
        for matrix, transfer in zip(matrices, before, strict=True):
            matrix.transfer = transfer


def _maps(
    product: Product, matrices: Sequence[ArrayMatrix], numbers: Sequence[int]
) -> Sequence[tuple[Tensor, Tensor | None] | None]:
    """The affine map of each transfer; None where it is no such map, or always the same."""
    matrix = product.matrix
    if (
        running().by_tile
        or not matrix.is_affine
        or matrix.config.variation is None
        or matrix.conductances is not None
    ):
        return [None] * len(numbers)
    states = []
    with torch.no_grad():
        for number in numbers:
            for each in matrices:  # a folded array draws for both of its matrices
                each.transfer = number
            states.append(matrix.program(product.weight, product.bias, training=False))
        return matrix.reduce(states)
