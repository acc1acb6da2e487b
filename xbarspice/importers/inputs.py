"""Inputs of a model from a file: arrays of any shape, with the classes of the points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.core.files import check_file
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array
from xbarspice.core.values import labels_of
from xbarspice.importers.archive import read_npz
from xbarspice.tables import read_grid

TABLES = (".csv", ".tsv", ".txt", ".dat", ".xlsx", ".xls", ".ods", ".parquet")
"""Files of inputs that are read as tables."""

if TYPE_CHECKING:
    from xbarspice.importers.model import TensorSpec

__all__ = ["draw_inputs", "random_inputs", "read_inputs"]


def read_inputs(path: Path, specs: Sequence[TensorSpec]) -> tuple[Any, np.ndarray | None]:
    """Inputs and, if the file holds them, classes.

    Args:
        path: ``.npz`` with `x` for a model of one input, or with one array an input under its own
            name; `y` are the classes, (points,). Or a table that `xbarspice.tables` reads
            (``.csv``, ``.txt``, ``.xlsx``, ``.parquet``, ...) with one point a row, for a model of
            one input (points, width); one column more than that is the class.
        specs: what is known of the model's inputs; nothing means one input.

    Returns:
        The array, or the arrays by the names of the inputs; and the classes or None.

    Raises:
        InputError: the file is damaged, or lacks an input or has one too many.
    """
    check_file(path, "the inputs file")
    if path.suffix.lower() in TABLES:
        return _read_table(path, specs)
    arrays = read_npz(path)
    names = [spec.name for spec in specs]
    y = None if "y" in names else arrays.pop("y", None)
    if len(names) <= 1 and set(arrays) == {"x"}:
        return arrays["x"], _labels(path, arrays, y)
    if names and set(arrays) == set(names):
        labels = _labels(path, arrays, y)
        return (arrays if len(names) > 1 else arrays[names[0]]), labels
    required = "x" if len(names) <= 1 else ", ".join(names)
    raise broken_rule(
        f"the inputs file of this model must hold {required} (and y, the classes)",
        f"{', '.join(sorted(arrays)) or 'none of them'} in `{path.name}`",
        f"Save them with np.savez(path, {required.split(', ')[0]}=..., y=...).",
    )


def _read_table(path: Path, specs: Sequence[TensorSpec]) -> tuple[np.ndarray, np.ndarray | None]:
    remedy = "Save the inputs with np.savez(path, x=..., y=...)."
    if len(specs) != 1 or len(specs[0].shape) != 2 or not isinstance(specs[0].shape[1], int):
        raise broken_rule(
            "a table holds inputs of a model of one input (points, width)",
            ", ".join(f"{s.name} {s.shape}" for s in specs) or "a model that does not tell it",
            remedy,
        )
    width = specs[0].shape[1]
    grid = read_grid(path)
    table = grid.values
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        raise broken_rule(
            f"`{path.name}` must hold a number in every cell",
            f"{len(bad)} cells without one, the first in line {grid.lines[bad[0][0]]}",
            "Complete or remove these points.",
        )
    if table.shape[1] == width + 1:
        x = table[:, :width]
        return x, _labels(path, {"x": x}, table[:, width])
    return table, _labels(path, {"x": table}, None)


def random_inputs(specs: Sequence[TensorSpec], points: int, rng: np.random.Generator) -> Any:
    """Random inputs in [0, 1] of the model's shapes, as `read_inputs` gives them.

    Raises:
        InputError: the file does not tell the inputs' shapes, or they are no real numbers.
    """
    shapes_known = all(
        "float" in spec.dtype and all(isinstance(n, int) for n in spec.shape[1:]) for spec in specs
    )
    if not specs or not shapes_known or not all(spec.shape for spec in specs):
        raise broken_rule(
            "random inputs need inputs of one real number a place and of known shape",
            ", ".join(f"{s.name} {s.dtype} {s.shape}" for s in specs) or "no description of them",
            "Pass --inputs x.npz.",
        )
    arrays = {spec.name: rng.random((points, *spec.shape[1:])) for spec in specs}  # type: ignore[arg-type]
    return arrays if len(specs) > 1 else arrays[specs[0].name]


def draw_inputs(
    shape: Sequence[int], points: int, seed: int, *, low: float = 0.0, high: float = 1.0
) -> Array:
    """Inputs (points, *shape) drawn uniformly from [low, high].

    Args:
        shape: of one input.
        points: how many.
        seed: of the draw.
        low, high: its range.

    Raises:
        InputError: no point, or an empty range.
    """
    if points < 1 or not low < high:
        raise broken_rule(
            "random inputs need at least one point and low < high",
            f"{points} points in [{low:g}, {high:g}]",
            "Raise --random, or set verify.low and verify.high.",
        )
    return child_rng(seed, "inputs").uniform(low, high, size=(points, *shape))


def _labels(
    path: Path, arrays: Mapping[str, np.ndarray], y: np.ndarray | None
) -> np.ndarray | None:
    """The classes of the points; refuses inputs that are no real numbers, and no points at all."""
    for name, values in arrays.items():
        if values.dtype.kind not in "iufb":
            kind = "complex numbers" if values.dtype.kind == "c" else str(values.dtype)
            raise broken_rule(
                f"`{name}` of {path.name} must hold real numbers", kind, "Save them as such."
            )
        if not np.isfinite(values).all():
            raise broken_rule(
                f"`{name}` of {path.name} must be finite", "NaN or infinity", "Clean the data."
            )
    points = len(first) if (first := next(iter(arrays.values()))).ndim else 1
    if not points:
        raise broken_rule(
            f"`{path.name}` must hold at least one point", "none", "Save some inputs."
        )
    return None if y is None else labels_of(f"class labels of {path.name}", y, points, low=-1)
