"""BSE: drift of finished devices by later writes, from the measured table."""

from __future__ import annotations

import csv
import functools
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xbarspice.devices.parameters import NOT_NEGATIVE, Range
from xbarspice.values import whole_numbers_of
from xbarspice.variability.base import Draws, Variation, named, need, where

__all__ = ["BSETable", "BiasingSchemeEffect", "bse_table"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BSETable:
    """The measured drifts: levels (Q,), quantiles (N, Q), mean and std (N,) in S, samples (N,).

    Row k belongs to k + 1 later writes.
    """

    levels: Array
    quantiles: Array
    mean: Array
    std: Array
    samples: npt.NDArray[np.intp]


@functools.cache
def bse_table() -> BSETable:
    """The empirical drift table of the package (see the head of its file for the source)."""
    path = importlib.resources.files("xbarspice.devices") / "data" / "tio2_3it_bse_quantiles.csv"
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    head, *body = csv.reader(lines)
    data = np.array(body, dtype=float)
    parts = BSETable(
        levels=np.array([float(name[1:].removesuffix("_uS")) for name in head[4:]]),
        quantiles=data[:, 4:] * 1e-6,
        mean=data[:, 2] * 1e-6,
        std=data[:, 3] * 1e-6,
        samples=data[:, 1].astype(np.intp),
    )
    for values in vars(parts).values():
        values.setflags(write=False)
    return parts


@named("bse")
@dataclass(frozen=True, kw_only=True)
class BiasingSchemeEffect(Variation):
    """BSE, the drift of finished devices while the rest of a passive array is programmed.

    The drift of a device is drawn from the measured quantiles for the number of devices that are
    programmed after it (inverse distribution function, linear between the quantiles). The device
    programmed last does not drift; beyond the last row of the table (53 later writes) that row is
    used. Do not combine it with simulated half-select disturbance: both describe the same effect.

    Args:
        order: flat indices ``row * cols + col`` of all devices in the order in which they are
            programmed; None for row by row.
        later_writes: devices of the same array that are programmed after all of these.
        beyond_4_sigma: None keeps the measured tails. A value in S replaces each drift whose size
            exceeds four standard deviations of its row; the released code uses +60e-6 there.
        scale: factor on every drift of the table, for dies that drift more or less than its dies.
    """

    source: ClassVar[str] = (
        "Drolet et al. 2023, arXiv:2305.18495; 3it-inpaqt/Hardware-Aware-Article"
    )

    ranges: ClassVar[Mapping[str, Range]] = {"later_writes": NOT_NEGATIVE, "scale": NOT_NEGATIVE}

    order: Sequence[int] | None = None
    later_writes: int = 0
    beyond_4_sigma: float | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order is not None:
            order = tuple(whole_numbers_of("order", self.order).ravel().tolist())
            need(
                sorted(order) == list(range(len(order))),
                "`order` must name every device exactly once",
                f"{len(order)} entries, {len(set(order))} of them different",
                "Pass a permutation of range(rows * cols).",
            )
            object.__setattr__(self, "order", order)

    def later(self, rows: int, cols: int) -> npt.NDArray[np.intp]:
        """Number of devices programmed after each device, (rows, cols)."""
        count = rows * cols
        rank = np.arange(count)
        if self.order is not None:
            need(
                len(self.order) == count,
                f"`order` must name all {count} devices",
                f"{len(self.order)} entries",
                "Pass one flat index a device.",
            )
            rank[np.asarray(self.order, dtype=np.intp)] = np.arange(count)
        return (count - 1 - rank + self.later_writes).reshape(rows, cols)

    def _apply(self, G: Any, draws: Draws) -> Any:
        table = bse_table()
        later = self.later(*draws.shape[-2:])
        row = np.clip(later, 1, len(table.mean)) - 1
        drift = draws.lookup(table.levels, table.quantiles, row, draws.uniform())
        if self.beyond_4_sigma is not None:
            far = abs(drift) > draws.array(4.0 * table.std[row])
            drift = where(far, draws.array(self.beyond_4_sigma), drift)
        return G + self.scale * drift * draws.array(later > 0)
