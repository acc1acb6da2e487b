"""A measured die in a model: the array that it is, and points that judge."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from xbarspice.calibration.bench import Points
from xbarspice.calibration.die import Die, Thresholds
from xbarspice.calibration.measured import MeasuredArray
from xbarspice.core.errors import broken_rule
from xbarspice.nn import arrays

__all__ = ["find_site", "split_points"]


def find_site(
    circuit: nn.Module, die: Die, name: str | None, *, above: float, below: float
) -> MeasuredArray:
    """The array of a model that a die is.

    Args:
        circuit: a model on arrays.
        die: as it was measured.
        name: of the array; None: the only one of the die's size, else the only one that fits on it.
        above, below: factors of G_max and G_min beyond which a device counts as stuck.

    Raises:
        InputError: there is none of its name that it has room for, or several and no name.
    """
    rows, cols = die.G.shape
    every = arrays(circuit)
    fitting = {a.name: a for a in every if a.crossbar.rows <= rows and a.crossbar.cols <= cols}
    equal = [name for name, a in fitting.items() if a.crossbar.G.shape == (rows, cols)]
    names = (equal or list(fitting)) if name is None else [n for n in fitting if n == name]
    if len(names) != 1:
        sizes = [f"{a.name} {a.crossbar.rows}x{a.crossbar.cols}" for a in every[:10]]
        raise broken_rule(
            f"a die of {rows} x {cols} must hold one array of the model, as large or smaller",
            f"{len(names)} of {name or 'its arrays'} that fit, among {', '.join(sizes)}",
            "Name one with --array, or map the model onto smaller arrays.",
        )
    array = fitting[names[0]]
    mapping = array.tiles[0].config
    limits = Thresholds(G_min=mapping.G_min, G_max=mapping.G_max, above=above, below=below)
    return MeasuredArray(array=array, die=die, limits=limits, file="")


def split_points(arguments: tuple[Tensor, ...], y: np.ndarray | None) -> tuple[Points, Points]:
    """Every other point chooses the lines, the rest judges.

    Args:
        arguments: of the model, points first.
        y: classes, (points,).

    Raises:
        InputError: there are too few points, or no classes.
    """
    sizes = [len(a) if a.ndim else 1 for a in arguments]
    count = sizes[0] if sizes else 0
    usual = all(a.ndim and len(a) == count for a in arguments)
    if y is None or count < 4 or not usual:
        raise broken_rule(
            "a model on a die is judged by points with classes, 4 or more",
            f"{count} points, classes {'missing' if y is None else 'given'}",
            "Give --inputs with x and y: every other point chooses the lines, the rest judges.",
        )
    first, second = (Points(arguments=tuple(a[k::2] for a in arguments), y=y[k::2]) for k in (0, 1))
    return first, second
