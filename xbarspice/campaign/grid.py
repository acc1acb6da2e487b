"""Items of a campaign over a model: transfers, swept resistances and parts of its inputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

from xbarspice.campaign.results import Results
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GridItems", "count_failures", "split_points"]

Part = tuple[int, int]
"""First and last + 1 of some points."""


def split_points(
    arguments: Sequence[Tensor], size: int | None, batch: int | None
) -> list[Part | None]:
    """Points of every item; None: all of them.

    Args:
        arguments: of the model, points first.
        size: points of an item; None: all.
        batch: points that one call of the model takes, where that is fixed.

    Raises:
        InputError: the points of this model cannot be split.
    """
    if size is None:
        return [None]
    count = len(arguments[0])
    if batch is not None or any(len(a) != count for a in arguments):
        raise broken_rule(
            "points can be split where the model takes any number of them",
            "a model of fixed batch, or arguments of other lengths",
            "Leave --split out.",
        )
    return [(start, min(start + size, count)) for start in range(0, count, size)]


class GridItems(Sized):
    """Every transfer at every combination of swept values, for every part of the points.

    Args:
        engine: who solves the arrays.
        sweeps: values by name.
        transfers: how many; 0: one item without transfer errors.
        parts: of the points.

    Raises:
        InputError: a negative number of transfers.
    """

    def __init__(
        self,
        engine: str,
        sweeps: Mapping[str, Sequence[float]],
        transfers: int,
        parts: Sequence[Part | None],
    ) -> None:
        if transfers < 0:
            raise broken_rule("`transfers` must be >= 0", transfers, "Use 0 for no errors.")
        self.engine, self.parts = engine, parts
        self.grid = [
            dict(zip(sweeps, values, strict=True)) for values in itertools.product(*sweeps.values())
        ]
        self.transfers: list[int | None] = list(range(transfers)) or [None]

    def __len__(self) -> int:
        return len(self.grid) * len(self.transfers) * len(self.parts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for transfer, wires, points in itertools.product(self.transfers, self.grid, self.parts):
            item = {"engine": self.engine, "transfer": transfer, **wires}
            yield item if points is None else {**item, "points": points}


def count_failures(results: Results) -> list[str]:
    """How many items failed, by the name of the error."""
    counts: dict[str, int] = {}
    for failure in results.failures.values():
        counts[failure.error] = counts.get(failure.error, 0) + 1
    return [f"{count} x {name}" for name, count in counts.items()]
