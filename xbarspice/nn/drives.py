"""What a model's inputs do to its arrays: line voltages, evenly chosen among all of its reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from xbarspice.core.types import Array
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.origin import outputs_of
from xbarspice.nn.through import observe_drives

__all__ = ["EvenDrives", "even_drives"]


class EvenDrives:
    """Line voltages of every matrix: at most so many, evenly spread over all of its reads.

    A convolution is read once a place and a recurrent layer once a step, so a few inputs make
    thousands of reads; of these a multiple of a power of two is kept while the model runs.

    Attributes:
        most: vectors a matrix at most.
        count: reads seen, by matrix.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count: dict[str, int] = {}
        self._stride: dict[str, int] = {}
        self._sample: dict[str, Array] = {}

    def __call__(self, matrix: ArrayMatrix, volts: Tensor) -> None:
        """Take the line voltages (vectors, groups, lines) of one call."""
        name, before = matrix.name, self.count.get(matrix.name, 0)
        stride = self._stride.get(name, 1)
        part = volts[-before % stride :: stride].cpu().numpy().astype(np.float64)
        sample = np.concatenate([self._sample[name], part]) if name in self._sample else part
        while len(sample) > 2 * self.most:
            sample, stride = sample[::2], 2 * stride
        self.count[name] = before + len(volts)
        self._stride[name], self._sample[name] = stride, sample.copy()

    def volts(self) -> dict[str, Array]:
        """By name of the matrix: line voltages, V, (vectors, groups, lines), in the order read."""
        out = {}
        for name, sample in self._sample.items():
            size = min(self.most, len(sample))
            out[name] = sample[np.linspace(0, len(sample) - 1, size).round().astype(int)]
        return out


def even_drives(
    circuit: nn.Module, arguments: tuple[Any, ...], most: int
) -> tuple[EvenDrives, tuple[Tensor, ...]]:
    """Run a model on its arrays through the surrogate.

    Args:
        circuit: a converted model.
        arguments: what it is called with.
        most: vectors a matrix at most.

    Returns:
        The drives, and the model's outputs.
    """
    drives = EvenDrives(most)
    with observe_drives(drives):
        outputs = outputs_of(circuit, arguments)
    return drives, outputs
