"""What was extracted from a drawing; which nets are lines of an array their labels say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.tapeout.extraction.connectivity import Connectivity, Label, connect
from xbarspice.tapeout.extraction.devices import (
    Crossings,
    Devices,
    find_crossings,
    find_devices,
)
from xbarspice.tapeout.extraction.shapes import Boxes, Integers
from xbarspice.tapeout.rules.shapes import top_cells
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Extracted", "LineName", "extract", "line_name", "pick_cell"]

_LINE = re.compile(r"(WL|BL)[<\[](0|[1-9]\d{0,8})[>\]]")


class LineName(NamedTuple):
    """A word line ("WL") or bit line ("BL") and its number."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{'word' if self.kind == 'WL' else 'bit'} line {self.number}"


def line_name(text: str) -> LineName | None:
    """The line that a label names, ``WL<3>`` or ``WL[3]``; None if it names none."""
    match = _LINE.fullmatch(text)
    return LineName(match[1], int(match[2])) if match else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Extracted:
    """Both views of a drawing.

    Attributes:
        connectivity: nets over all metals and vias, and labels.
        devices: with their nets and sizes.
        crossings: places where both electrodes' metals overlap.
    """

    connectivity: Connectivity
    devices: Devices
    crossings: Crossings

    @property
    def technology(self) -> Technology:
        """The technology that was read with."""
        return self.connectivity.technology

    @property
    def dbu(self) -> float:
        """Database unit, um."""
        return self.connectivity.dbu

    def line_nets(self) -> Mapping[LineName, list[int]]:
        """Nets that carry the label of each line; more than one where a line is in pieces."""
        out: dict[LineName, list[int]] = {}
        for label in self.connectivity.labels:
            name = line_name(label.text)
            if name is not None and label.net >= 0 and label.net not in out.setdefault(name, []):
                out[name].append(label.net)
        return {name: nets for name, nets in out.items() if nets}

    def labels_of(self, net: int) -> list[Label]:
        """Labels on a net that name lines."""
        labels = self.connectivity.labels
        return [label for label in labels if label.net == net and line_name(label.text)]

    def nets_of(self, kind: str, places: str) -> Integers:
        """Net of each device or crossing on the side of the word lines ("WL") or bit lines.

        Args:
            kind: "WL" or "BL".
            places: "devices" or "crossings".
        """
        part = self.devices if places == "devices" else self.crossings
        return part.bottom_net if self.is_bottom(kind) else part.top_net

    def is_bottom(self, kind: str) -> bool:
        """Whether lines of a kind are the bottom electrode."""
        t = self.technology
        line = t.array.word_line if kind == "WL" else t.array.bit_line
        return line.metal == t.device.bottom

    def metal_of(self, kind: str) -> int:
        """Index of the metal that lines of a kind have at their devices."""
        t = self.technology
        return self.connectivity.metal(
            (t.array.word_line if kind == "WL" else t.array.bit_line).metal
        )

    def um(self, boxes: Boxes) -> tuple[np.ndarray, np.ndarray]:
        """Centres of boxes (n, 4), um."""
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 * self.dbu
        return centre[:, 0], centre[:, 1]


def extract(cell: kdb.Cell, technology: Technology) -> Extracted:
    """Extract a drawing from its geometry alone.

    Args:
        cell: of any hierarchy, at any place.
        technology: its layers.
    """
    connectivity = connect(cell, technology)
    return Extracted(
        connectivity=connectivity,
        devices=find_devices(cell, connectivity),
        crossings=find_crossings(connectivity),
    )


def pick_cell(layout: kdb.Layout, name: str | None = None) -> kdb.Cell:
    """The cell to extract: the one that is named, or the only top cell.

    Raises:
        InputError: there is no such cell, there are several top cells and no name, or a cell that
            is placed is not in the file.
    """
    cells = top_cells(layout, name)
    if len(cells) != 1:
        raise broken_rule(
            "a drawing has one top cell, or the cell is named",
            f"top cells {', '.join(cell.name for cell in cells[:8])}",
            "Name one of them, or a cell below.",
        )
    return cells[0]
