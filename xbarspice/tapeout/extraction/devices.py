"""Devices of a drawing: the device layer between both electrodes, with its drawn size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xbarspice.tapeout.extraction.connectivity import Connectivity, region_of
from xbarspice.tapeout.extraction.shapes import Boxes, Integers, Shapes, overlaps_of

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["Crossings", "Devices", "find_crossings", "find_devices"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossings:
    """Places where the metals of both electrodes overlap, on different nets.

    Attributes:
        boxes: outlines, (n, 4), database units.
        bottom, top: polygon of each metal, (n,).
        bottom_net, top_net: nets of these, (n,).
    """

    boxes: Boxes
    bottom: Integers
    top: Integers
    bottom_net: Integers
    top_net: Integers


@dataclass(frozen=True, kw_only=True, eq=False)
class Devices:
    """Every device that was drawn.

    Attributes:
        boxes: outlines of what lies between both electrodes, (n, 4), database units.
        area: of that, um^2, (n,).
        drawn_area: of the whole shape on the device layer, um^2, (n,).
        drawn: outline of that shape, (n, 4).
        shape: its number; two devices of one shape have the same, (n,).
        bottom, top: polygon of each electrode's metal, (n,).
        bottom_net, top_net: nets of these, (n,).
        stray: outlines of shapes on the device layer that lie between no two electrodes, (m, 4).
        repeated: outlines of places where the device layer is drawn more than once, (k, 4).
    """

    boxes: Boxes
    area: npt.NDArray[np.float64]
    drawn_area: npt.NDArray[np.float64]
    drawn: Boxes
    shape: Integers
    bottom: Integers
    top: Integers
    bottom_net: Integers
    top_net: Integers
    stray: Boxes
    repeated: Boxes

    def __len__(self) -> int:
        return len(self.boxes)


def find_crossings(connectivity: Connectivity) -> Crossings:
    """Overlaps of the electrodes' metals on different nets."""
    region = _between(connectivity)
    shapes = Shapes.of(region, "crossing")
    bottom, top = _electrodes(connectivity, shapes)
    nets = _nets(connectivity, bottom, top)
    apart = nets[0] != nets[1]
    return Crossings(
        boxes=_outlines(shapes)[apart],
        bottom=bottom[apart],
        top=top[apart],
        bottom_net=nets[0][apart],
        top_net=nets[1][apart],
    )


def find_devices(cell: kdb.Cell, connectivity: Connectivity) -> Devices:
    """Everything on the device layer.

    Args:
        cell: the drawing.
        connectivity: of it.
    """
    region = region_of(cell, connectivity.technology.device.layer)
    repeated = Shapes.of(region.merged(False, 2), "repeated")
    drawn = Shapes.of(region, "device")
    merged = region.merged()
    shapes = Shapes.of(merged & _between(connectivity), "device")
    bottom, top = _electrodes(connectivity, shapes)
    owner = np.zeros(len(shapes.polygons), dtype=np.int64)
    whole, part = overlaps_of(drawn, shapes)
    owner[part] = whole
    outlines, um2 = _outlines(drawn), connectivity.dbu**2
    drawn_area = np.array([p.area() for p in drawn.polygons], dtype=np.float64) * um2
    nets = _nets(connectivity, bottom, top)
    return Devices(
        boxes=_outlines(shapes),
        area=np.array([p.area() for p in shapes.polygons], dtype=np.float64) * um2,
        drawn_area=drawn_area[owner],
        drawn=outlines[owner],
        shape=owner,
        bottom=bottom,
        top=top,
        bottom_net=nets[0],
        top_net=nets[1],
        stray=outlines[np.setdiff1d(np.arange(len(drawn.polygons)), owner)],
        repeated=_outlines(repeated),
    )


def _between(connectivity: Connectivity) -> kdb.Region:
    """Where the metals of both electrodes overlap."""
    import klayout.db as kdb

    device = connectivity.technology.device
    bottom, top = (
        kdb.Region(connectivity.metals[connectivity.metal(name)].polygons)
        for name in (device.bottom, device.top)
    )
    return bottom & top


def _electrodes(connectivity: Connectivity, shapes: Shapes) -> tuple[Integers, Integers]:
    """Polygons of the bottom and top metal at every shape; each lies on one of each."""
    device, out = connectivity.technology.device, []
    for name in (device.bottom, device.top):
        metal, number = overlaps_of(connectivity.metals[connectivity.metal(name)], shapes)
        polygon = np.full(len(shapes.polygons), -1, dtype=np.int64)
        polygon[number] = metal
        out.append(polygon)
    return out[0], out[1]


def _nets(connectivity: Connectivity, bottom: Integers, top: Integers) -> tuple[Integers, Integers]:
    device = connectivity.technology.device
    return (
        connectivity.net_of[connectivity.metal(device.bottom)][bottom],
        connectivity.net_of[connectivity.metal(device.top)][top],
    )


def _outlines(shapes: Shapes) -> Boxes:
    """Bounding box of every polygon, (n, 4)."""
    out = np.zeros((len(shapes.polygons), 4), dtype=np.int64)
    if len(out):
        low = np.full((len(out), 2), np.iinfo(np.int64).max)
        high = np.full((len(out), 2), np.iinfo(np.int64).min)
        np.minimum.at(low, shapes.owner, shapes.boxes[:, :2])
        np.maximum.at(high, shapes.owner, shapes.boxes[:, 2:])
        out = np.concatenate([low, high], axis=1)
    return out
