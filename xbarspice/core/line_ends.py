"""What the ends of word and bit lines are connected to, and the resistances along the lines."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Flags
from xbarspice.core.wires import WIRES, Resistance

__all__ = [
    "READ",
    "End",
    "EndSpec",
    "Ends",
    "LineEnds",
    "along",
    "at_ends",
    "by_role",
    "places",
    "voltage_loop",
]


class End(enum.StrEnum):
    """What one end of a line is connected to."""

    DRIVEN = "driven"
    SENSED = "sensed"
    FLOATING = "floating"


EndSpec = str | End | Sequence[str | End]


def _ends(name: str, spec: EndSpec, count: int) -> npt.NDArray[np.object_]:
    words = [spec] * count if isinstance(spec, str) else list(spec)
    if len(words) != count:
        raise broken_rule(
            f"`{name}` must name one end, or one a line ({count})",
            f"{len(words)} values",
            "Pass a single word for all lines, or one word a line.",
        )
    try:
        return np.array([End(e) for e in words], dtype=object)
    except ValueError:
        raise broken_rule(
            f"`{name}` must consist of {[e.value for e in End]}", words, "Use one of these words."
        ) from None


@dataclass(frozen=True, kw_only=True)
class LineEnds:
    """What the two ends of every word line and bit line are connected to.

    Each side is one word for all its lines, or a sequence of one word a line:
    ``"driven"``, ``"sensed"`` or ``"floating"``. The default is read mode.
    """

    wl_left: EndSpec = End.DRIVEN
    wl_right: EndSpec = End.FLOATING
    bl_top: EndSpec = End.FLOATING
    bl_bottom: EndSpec = End.SENSED

    def __post_init__(self) -> None:
        for side, spec in vars(self).copy().items():
            if not isinstance(spec, str):
                object.__setattr__(self, side, tuple(spec))  # ends can be looked up

    @property
    def sides(self) -> tuple[EndSpec, EndSpec, EndSpec, EndSpec]:
        """The four sides: left, right, top, bottom."""
        return self.wl_left, self.wl_right, self.bl_top, self.bl_bottom

    def word_lines(self, rows: int) -> npt.NDArray[np.object_]:
        """`End` of the left and right end of every word line, shape (rows, 2)."""
        sides = [_ends("wl_left", self.wl_left, rows), _ends("wl_right", self.wl_right, rows)]
        return np.stack(sides, axis=1)

    def bit_lines(self, cols: int) -> npt.NDArray[np.object_]:
        """`End` of the top and bottom end of every bit line, shape (cols, 2)."""
        sides = [_ends("bl_top", self.bl_top, cols), _ends("bl_bottom", self.bl_bottom, cols)]
        return np.stack(sides, axis=1)


READ = LineEnds()
Ends = npt.NDArray[np.object_]
"""`End` of both ends of every line, (lines, 2)."""
_RESISTIVE = (End.DRIVEN, End.SENSED)
"""Ends with a resistance, in the order of the last two of `WIRES`."""


def sides(lines: tuple[Ends, Ends], end: End) -> list[tuple[int, int, Flags]]:
    """Sides with such ends, in order: 0 or 1 for word or bit lines, which end, which lines."""
    every = [(kind, k, lines[kind][:, k] == end) for kind in (0, 1) for k in (0, 1)]
    return [side for side in every if side[2].any()]


def places(lines: tuple[Ends, Ends]) -> dict[str, tuple[int, ...]]:
    """Shapes of the segments and line ends that each of `WIRES` stands for.

    Args:
        lines: ends of the word lines (rows, 2) and of the bit lines (cols, 2).
    """
    rows, cols = (len(ends) for ends in lines)
    ends = ((sum(len(where) for _, _, where in sides(lines, end)),) for end in _RESISTIVE)
    return dict(zip(WIRES, ((rows, cols - 1), (rows - 1, cols), *ends), strict=True))


def along(lines: tuple[Ends, Ends], R_wl: Resistance, R_bl: Resistance) -> tuple[Array, Array]:
    """`Crossbar.segment_resistances`, ohm."""
    rows, cols = (len(ends) for ends in lines)
    shapes = (rows, cols - 1), (rows - 1, cols)
    wl, bl = (
        R if isinstance(R, np.ndarray) else np.broadcast_to(R, shape)
        for R, shape in zip((R_wl, R_bl), shapes, strict=True)
    )
    return wl, bl


def at_ends(
    lines: tuple[Ends, Ends], R_driver: Resistance, R_sense: Resistance
) -> tuple[Array, Array]:
    """`Crossbar.end_resistances`, ohm."""
    wires = (R_driver, R_sense)
    leads = [R.shape[:-1] if isinstance(R, np.ndarray) else () for R in wires]
    lead = np.broadcast_shapes(*leads)
    wl, bl = (np.full((*lead, len(ends), 2), np.inf) for ends in lines)
    for end, R in zip(_RESISTIVE, wires, strict=True):
        first = 0
        for kind, k, where in sides(lines, end):
            out = (wl, bl)[kind][..., k]
            some = slice(first, first + where.size)
            out[...] = np.where(where, R[..., some] if isinstance(R, np.ndarray) else R, out)
            first += where.size
    wl.setflags(write=False)
    bl.setflags(write=False)
    return wl, bl


def by_role(lines: tuple[Ends, Ends], end: End, wl: Array, bl: Array) -> Array:
    """Values of all ends in the order of `R_driver` (or `R_sense`); 0 at ends of another role.

    Args:
        lines: ends of the word lines (rows, 2) and of the bit lines (cols, 2).
        end: driven or sensed.
        wl, bl: values of the ends, (..., rows, 2) and (..., cols, 2).
    """
    parts = [np.where(where, (wl, bl)[kind][..., k], 0.0) for kind, k, where in sides(lines, end)]
    return np.concatenate(parts or [wl[..., :0, 0]], axis=-1)


def voltage_loop(ends: Ends, at_end: Array, segments: Array) -> int | None:
    """The first line that joins a driver and a sense node without any resistance; None: none does.

    Args:
        ends: of lines of one kind, (lines, 2).
        at_end, segments: their resistances, ohm, (..., lines, 2) and (..., lines, segments).
    """
    joined = (ends == End.DRIVEN).any(axis=1) & (ends == End.SENSED).any(axis=1)
    if not joined.any():
        return None
    loop = joined & (at_end.sum(axis=-1) + segments.sum(axis=-1) == 0)
    return int(np.argwhere(loop)[0, -1]) if loop.any() else None
