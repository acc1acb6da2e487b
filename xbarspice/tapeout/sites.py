"""An array in a tapeout: its cell, its folder, its pins, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import READ
from xbarspice.mapping.physical_array import PhysicalArray
from xbarspice.netlist.records import describe_device, g_hash

__all__ = [
    "ARRAYS",
    "Site",
    "array_layers",
    "array_record",
    "drawn_array",
]

ARRAYS = "arrays"
"""Folder that holds a folder for every array."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """One physical array in a tapeout.

    Attributes:
        array: the array.
        cell: name of its cell in layout and netlists.
        folder: of its files, relative to the tapeout; letters, digits and ``_`` only.
    """

    array: PhysicalArray
    cell: str
    folder: str

    @property
    def number(self) -> str:
        """Its number in the model, as its folder has it."""
        return self.folder.rpartition("/")[2].partition("_")[0]


def drawn_array(array: PhysicalArray) -> Crossbar:
    """An array with its pins where they are drawn: word lines left, bit lines at the bottom."""
    wires = array.tiles[0].read.wires(array.crossbar.wires)
    return array.crossbar.replace(ends=READ, **wires)


def array_record(site: Site) -> dict[str, Any]:
    """What the manifest says of an array."""
    crossbar = site.array.crossbar
    return {
        "array": site.array.name,
        "cell": site.cell,
        "folder": site.folder,
        "shape": [crossbar.rows, crossbar.cols],
        "devices": int(np.count_nonzero(crossbar.G)),
        "device": describe_device(crossbar),
        "reads": [tile.name for tile in site.array.tiles],
        "G_sha256": g_hash(crossbar),
    }


def array_layers(layers: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Layer of every array by their names; of an array with several reads that of the first.

    Args:
        layers: what `circuit_sites.layers_record` gives.
    """
    out: dict[str, str] = {}
    for layer in layers:
        for matrix in layer["matrices"]:
            for tile in matrix["tiles"]:
                out.setdefault(tile["array"], layer["layer"])
    return out
