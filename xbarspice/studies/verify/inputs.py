"""Inputs of a verification: given, test set, random and found by search, each with its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xbarspice.config import child_rng
from xbarspice.errors import InputError, broken_rule
from xbarspice.mapping import MappedNetwork
from xbarspice.network import Network, read_npz
from xbarspice.studies.verify.subject import SingleArray
from xbarspice.values import array_of, labels_of

__all__ = ["NO_CLASS", "Inputs", "box", "joined", "random_inputs", "read_inputs"]

Array = npt.NDArray[np.float64]

NO_CLASS = -1
"""Class of a point whose class nobody knows; it counts in no accuracy."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Points with classes and origins.

    Attributes:
        x: (points, inputs); volts for a single array.
        y: classes, (points,), `NO_CLASS` where there is none; None without any class.
        origin: where each point comes from, one word a point.
    """

    x: Array
    y: npt.NDArray[np.intp] | None
    origin: tuple[str, ...]

    @staticmethod
    def of(x: Array, y: npt.ArrayLike | None, origin: str) -> Inputs:
        """Points that all come from one place."""
        points = array_of("x", x, rank=2)
        labels = None if y is None else labels_of("y", y, len(points), low=NO_CLASS)
        return Inputs(x=points, y=labels, origin=(origin,) * len(points))


def joined(parts: Sequence[Inputs]) -> Inputs:
    """Several sets of inputs as one, in order."""
    labelled = any(part.y is not None for part in parts)
    y = [np.full(len(p.x), NO_CLASS) if p.y is None else p.y for p in parts]
    return Inputs(
        x=np.concatenate([part.x for part in parts]),
        y=np.concatenate(y).astype(np.intp) if labelled else None,
        origin=tuple(word for part in parts for word in part.origin),
    )


def read_inputs(path: Path, network: Network) -> tuple[Array, npt.NDArray[np.intp] | None]:
    """Points and classes from a file.

    Args:
        path: ``.npz`` with x (points, inputs) and perhaps y (points,); or ``.csv`` of numbers with
            one point a row. A CSV with exactly one column more than the network has inputs holds
            the class in its last column.
        network: what the points are for.

    Returns:
        x (points, inputs), at least one point, and y (points,) or None.

    Raises:
        InputError: the file is missing or damaged, the shapes do not fit, or a class is no class
            of the network: a whole number from 0.
    """
    if not path.is_file():
        raise broken_rule("the inputs file must exist", str(path), "Check the path.")
    remedy = "Save them with np.savez(path, x=..., y=...)."
    width = network.sizes[0]
    if path.suffix == ".npz":
        data = read_npz(path)
        if "x" not in data or set(data) - {"x", "y"}:
            raise broken_rule(f"`{path.name}` must hold x, and may hold y", sorted(data), remedy)
        x, y = data["x"], data.get("y")
    else:
        try:
            table = np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8-sig")
        except (ValueError, OSError, RuntimeError) as error:
            raise InputError(
                f"the inputs must be an .npz with x (and y) or a .csv of numbers; {path.name}: "
                f"{error}. {remedy}"
            ) from error
        labelled = table.shape[1] == width + 1
        x, y = (table[:, :width], table[:, width]) if labelled else (table, None)
    x = network.inputs(x)
    if not len(x):
        raise broken_rule(f"`{path.name}` must hold at least one point", "none", remedy)
    if y is None:
        return x, None
    labels = labels_of(f"class labels of {path.name}", y, len(x))
    classes = max(network.sizes[-1], 2)
    if labels.max() >= classes:
        raise broken_rule(
            f"class labels of {path.name} must lie below {classes}, the network's classes",
            int(labels.max()),
            "Count classes from 0; leave a column out that is no class.",
        )
    return x, labels


def full_scale(mapped: MappedNetwork) -> float:
    """The largest usual input: 1 for a network, the read voltage (V) for a single array."""
    return mapped.V_read if isinstance(mapped, SingleArray) else 1.0


def random_inputs(mapped: MappedNetwork, points: int, seed: int) -> Inputs:
    """Uniform inputs in [0, 1], or in [0, V_read] for a single array."""
    draws = child_rng(seed, "inputs").random((points, mapped.network.sizes[0]))
    return Inputs.of(draws * full_scale(mapped), None, "random")


def box(
    mapped: MappedNetwork, given: Inputs | None, low: float | None, high: float | None
) -> tuple[Array, Array]:
    """Bounds of the search, each (inputs,): as asked, else those of the given inputs.

    Without given inputs the box is [0, 1], or [0, V_read] for a single array.
    """
    width = mapped.network.sizes[0]
    if given is None or not len(given.x):
        bounds = np.zeros(width), np.full(width, full_scale(mapped))
    else:
        bounds = given.x.min(axis=0), given.x.max(axis=0)
        flat = bounds[0] == bounds[1]  # one given point spans no box
        bounds = (
            np.where(flat, np.minimum(bounds[0], 0), bounds[0]),
            np.where(flat, np.maximum(bounds[1], full_scale(mapped)), bounds[1]),
        )
    lower = bounds[0] if low is None else np.full(width, low)
    upper = bounds[1] if high is None else np.full(width, high)
    return lower, np.maximum(upper, lower)
