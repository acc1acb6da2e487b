"""Resistances of an array's lines, segment by segment and lead by lead, from the drawn metal.

A line is a chain from its pad over its crossings. With 1 A into the last of them and the pad at 0 V
the potentials of the crossings differ by the resistances of the segments between them, and the
first of them is that of the lead: metal, cuts and the spreading in pad and bends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.extraction.connectivity import Connectivity, Label
from xbarspice.tapeout.extraction.extracted import Extracted
from xbarspice.tapeout.extraction.networks import (
    Contact,
    Part,
    Probe,
    SheetCache,
    transfer_resistances,
)
from xbarspice.tapeout.extraction.shapes import Integers
from xbarspice.tapeout.technology import Corner

__all__ = ["LineWires", "WireView", "extract_wires", "find_crossings_of"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LineWires:
    """One line.

    Attributes:
        segments: between neighbouring crossings, in the order of their numbers, ohm.
        leads: from a pad to the first and to the last crossing, ohm; NaN where there is no pad. A
            line with one crossing and one pad has the same on both sides.
        order: numbers of the crossings as they follow each other from the pad.
        branching: largest difference to a chain, of the sum of the segments; where a line branches
            or has two paths, segments alone do not describe it.
        parts: straight pieces, shapes and cuts.
    """

    segments: Floats
    leads: tuple[float, float]
    order: Integers
    branching: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class WireView:
    """The lines of an array.

    Attributes:
        word_lines, bit_lines: in their order; None where a line cannot be followed.
    """

    word_lines: tuple[LineWires | None, ...]
    bit_lines: tuple[LineWires | None, ...]

    @property
    def complete(self) -> bool:
        """Whether every line has all its segments and a pad where `Crossbar` needs it.

        That is at column 0 for word lines and at the last row for bit lines.
        """
        ends = [
            w is not None and np.isfinite([w.leads[0], *w.segments]).all() for w in self.word_lines
        ]
        ends += [
            b is not None and np.isfinite([b.leads[1], *b.segments]).all() for b in self.bit_lines
        ]
        return all(ends)

    def arrays(self) -> dict[str, Floats]:
        """Resistances of a `complete` view in ohm, as `Crossbar` takes them.

        ``R_wl`` (rows, cols - 1), ``R_bl`` (rows - 1, cols), ``R_driver`` (rows,), ``R_sense``
        (cols,).
        """
        words = [line for line in self.word_lines if line is not None]
        bits = [line for line in self.bit_lines if line is not None]
        return {
            "R_wl": np.stack([line.segments for line in words]),
            "R_bl": np.stack([line.segments for line in bits], axis=1),
            "R_driver": np.array([line.leads[0] for line in words]),
            "R_sense": np.array([line.leads[1] for line in bits]),
        }


def find_crossings_of(
    extracted: Extracted, rows: Integers, cols: Integers
) -> tuple[Integers, Integers]:
    """Device and crossing of every row and column.

    Args:
        extracted: a drawing.
        rows, cols: net of every word line and bit line, -1 where there is none.

    Returns:
        Index among the devices and among the crossings, (rows, cols) each, -1 where there is none;
        of several the one that is nearest to where its row's and column's others lie.
    """
    devices = _at_lines(extracted, "devices", rows, cols, None)
    boxes = extracted.devices.boxes
    centre = np.full((*devices.shape, 2), np.nan)
    held = devices >= 0
    centre[held] = (boxes[devices[held], :2] + boxes[devices[held], 2:]) / 2
    return devices, _at_lines(extracted, "crossings", rows, cols, centre)


def _at_lines(
    extracted: Extracted, places: str, rows: Integers, cols: Integers, centre: Floats | None
) -> Integers:
    count = extracted.connectivity.count
    number = {}
    for kind, nets in (("WL", rows), ("BL", cols)):
        lookup = np.full(count + 1, -1, dtype=np.int64)
        lookup[nets[nets >= 0]] = np.flatnonzero(nets >= 0)
        number[kind] = lookup[extracted.nets_of(kind, places)]
    inside = np.flatnonzero((number["WL"] >= 0) & (number["BL"] >= 0))
    r, c = number["WL"][inside], number["BL"][inside]
    out = np.full((len(rows), len(cols)), -1, dtype=np.int64)
    if centre is None:
        out[r[::-1], c[::-1]] = inside[::-1]
        return out
    boxes = extracted.crossings.boxes[inside]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    expected = _expected(centre)[r, c]
    far = np.hypot(*(middle - np.where(np.isnan(expected), middle, expected)).T)
    order = np.argsort(-far, kind="stable")
    out[r[order], c[order]] = inside[order]
    return out


def _expected(centre: Floats) -> Floats:
    """Places of all crossings from those of the devices: each on its row and on its column.

    Rows and columns lie along two directions, whichever these are.
    """
    rows, cols = centre.shape[:2]
    held = np.isfinite(centre[..., 0])
    r, c = np.nonzero(held)
    if len(r) < 3:
        return centre
    plane = np.stack([np.ones(len(r)), r, c], axis=1)
    fit, *_ = np.linalg.lstsq(plane, centre[held], rcond=None)
    R, C = np.mgrid[:rows, :cols]
    return np.where(held[..., None], centre, fit[0] + R[..., None] * fit[1] + C[..., None] * fit[2])


def extract_wires(
    extracted: Extracted,
    rows: Integers,
    cols: Integers,
    corner: Corner = "typ",
    temperature: float | None = None,
    cache: SheetCache | None = None,
) -> WireView:
    """The resistive view of an array.

    Args:
        extracted: a drawing.
        rows, cols: net of every word line and bit line, -1 where there is none.
        corner, temperature: of the resistances; degrees Celsius.
        cache: solved shapes, to use for several arrays.
    """
    devices, crossings = find_crossings_of(extracted, rows, cols)
    boxes = np.full((*devices.shape, 4), -1, dtype=np.int64)
    boxes[crossings >= 0] = extracted.crossings.boxes[crossings[crossings >= 0]]
    boxes[devices >= 0] = extracted.devices.boxes[devices[devices >= 0]]
    held = (devices >= 0) | (crossings >= 0)
    R = extracted.technology.at(corner, temperature)
    cache = {} if cache is None else cache
    lines = []
    for kind, nets in (("WL", rows), ("BL", cols)):
        bottom = extracted.is_bottom(kind)
        polygon = np.full(devices.shape, -1, dtype=np.int64)
        for part, index in ((extracted.crossings, crossings), (extracted.devices, devices)):
            of_part = part.bottom if bottom else part.top
            polygon[index >= 0] = of_part[index[index >= 0]]
        view = [
            (b, h, p)
            for b, h, p in zip(
                *(v if kind == "WL" else v.swapaxes(0, 1) for v in (boxes, held, polygon)),
                strict=True,
            )
        ]
        metal = extracted.metal_of(kind)
        out: list[LineWires | None] = []
        for net, (box, known, owner) in zip(nets.tolist(), view, strict=True):
            probes = [
                Probe(metal, int(owner[k]), tuple(box[k].tolist())) for k in np.flatnonzero(known)
            ]
            labels = extracted.labels_of(net)
            if net < 0 or not labels or not known.all():
                out.append(None)
                continue
            contacts = _outermost([contact_of(extracted.connectivity, x) for x in labels])
            Z, parts = transfer_resistances(extracted.connectivity, net, contacts, probes, R, cache)
            out.append(_chain(Z, len(contacts) - 1, parts))
        lines.append(tuple(out))
    return WireView(word_lines=lines[0], bit_lines=lines[1])


def contact_of(connectivity: Connectivity, label: Label) -> Contact:
    """Where current enters at a label: the pin's shape, or a square half as wide as the metal."""
    kdb = klayout_db()
    shape = connectivity.metals[label.metal].polygons[label.polygon]
    spot = kdb.Region(kdb.Box(label.x - 1, label.y - 1, label.x + 1, label.y + 1))
    pins = connectivity.pins[label.metal].interacting(spot) & kdb.Region(shape)
    for pin in pins.each():
        return Contact(label.metal, label.polygon, pin)
    half = _room(connectivity, label) // 2
    square = kdb.Box(label.x - half, label.y - half, label.x + half, label.y + half)
    return Contact(label.metal, label.polygon, kdb.Polygon(square))


def _outermost(contacts: list[Contact]) -> list[Contact]:
    """The pads among the pins of a line: a pin on the way from a pad to the line is no end.

    Pads are the pins with the largest area, up to a factor of 2.
    """
    areas = [contact.shape.area() for contact in contacts]
    return [c for c, area in zip(contacts, areas, strict=True) if area >= max(areas) / 2]


def _room(connectivity: Connectivity, label: Label) -> int:
    """Half the width of the metal around a label, database units."""
    metal = connectivity.metals[label.metal]
    b = metal.boxes[metal.owner == label.polygon]
    holds = (
        (b[:, 0] <= label.x) & (label.x <= b[:, 2]) & (b[:, 1] <= label.y) & (label.y <= b[:, 3])
    )
    box = b[holds][0]
    return max(int(min(box[2] - box[0], box[3] - box[1])) // 2, 2)


def _chain(Z: Floats, contacts: int, parts: Sequence[Part]) -> LineWires:
    """A line from the potentials of its further contacts and its crossings, ``Z``."""
    far, own = Z[contacts:, contacts:], np.diag(Z)[contacts:]
    n = len(far)
    last = int(np.nanargmax(own)) if np.isfinite(own).any() else 0
    first_at_0 = bool(far[0, last] <= far[n - 1, last])
    order = np.argsort(far[:, last], kind="stable")
    potential = far[:, last]
    segments = np.abs(np.diff(potential))
    lead = float(far[order[0], order[-1]])
    ends = [lead, lead if n == 1 else float("nan")]
    if contacts:  # the pad at the other end
        ends[1] = float(np.nanmax(np.diag(Z)[:contacts]) - potential.max())
    if not first_at_0:
        ends.reverse()
    steps = np.minimum.outer(potential, potential)
    off = ~np.eye(n, dtype=bool)
    branching = np.abs(far - steps)[off].max(initial=0.0) / max(segments.sum(), 1e-30)
    return LineWires(
        segments=segments,
        leads=(ends[0], ends[1]),
        order=order,
        branching=float(branching),
        parts=tuple(parts),
    )
