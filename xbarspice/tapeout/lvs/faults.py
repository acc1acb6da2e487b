"""A fault of a drawing: its kind, its place in words, and where that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Fault", "Kind"]

Kind = Literal[
    "drawing",
    "label",
    "pin",
    "short",
    "open",
    "missing device",
    "extra device",
    "duplicate device",
    "device size",
    "device place",
    "cut",
    "wire",
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is wrong at one place of a drawing.

    Attributes:
        kind: one of `Kind`.
        place: what is wrong and where, in words.
        x, y: its centre in um; NaN where it has none.
        row, col: of the array, where the fault belongs to one.
    """

    kind: Kind
    place: str
    x: float = math.nan
    y: float = math.nan
    row: int | None = None
    col: int | None = None

    def __str__(self) -> str:
        where = f" (at {self.x:.3f}, {self.y:.3f} um)" if math.isfinite(self.x) else ""
        return f"{self.kind}: {self.place}{where}"

    def record(self) -> dict[str, Any]:
        """The fault for JSON."""
        return {
            "kind": self.kind,
            "place": self.place,
            "x_um": self.x if math.isfinite(self.x) else None,
            "y_um": self.y if math.isfinite(self.y) else None,
            "row": self.row,
            "col": self.col,
        }
