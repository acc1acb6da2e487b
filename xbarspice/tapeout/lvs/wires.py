"""Metal and cuts of a drawing: narrow places, cuts that do not connect, resistances, order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.extraction.connectivity import polygon_at
from xbarspice.tapeout.extraction.extracted import Extracted, LineName, line_name
from xbarspice.tapeout.extraction.wires import LineWires, WireView
from xbarspice.tapeout.lvs.faults import Fault
from xbarspice.tapeout.lvs.lines import Lines

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = [
    "SEGMENT_TOLERANCE",
    "STATED_TOLERANCE",
    "cut_faults",
    "narrow_places",
    "order_faults",
    "segment_faults",
    "stated_faults",
]

Floats = npt.NDArray[np.float64]

SEGMENT_TOLERANCE = 0.01
"""Relative difference of a segment from ``sheet * pitch / width`` that is a fault."""
STATED_TOLERANCE = 1e-4
"""Relative difference of a resistance from the one in the file that is a fault."""


def cut_faults(extracted: Extracted, lines: Lines) -> Iterator[Fault]:
    """Cuts that lack a metal, lie on a device, or are drawn twice."""
    d, dbu = extracted.devices, extracted.dbu
    for via, cuts in zip(extracted.technology.via, extracted.connectivity.cuts, strict=True):
        lone = [cuts.shapes.polygons[k].bbox() for k in cuts.floating().tolist()]
        for words, boxes in (
            (f"a cut of {via.name} lacks {via.lower} or {via.upper}", lone),
            (f"a cut of {via.name} lies on a device", cuts.on_device),
            (f"a cut of {via.name} is drawn on another", cuts.repeated),
        ):
            for box in boxes:
                near = np.flatnonzero(
                    (d.boxes[:, 0] < box.right)
                    & (d.boxes[:, 2] > box.left)
                    & (d.boxes[:, 1] < box.top)
                    & (d.boxes[:, 3] > box.bottom)
                )
                number = {}
                if len(near) and lines.row[near[0]] >= 0 and lines.col[near[0]] >= 0:
                    number = {"row": int(lines.row[near[0]]), "col": int(lines.col[near[0]])}
                    more = f" at row {number['row']}, column {number['col']}"
                else:
                    more = ""
                at = {"x": box.center().x * dbu, "y": box.center().y * dbu}
                yield Fault(kind="cut", place=words + more, **at, **number)


def narrow_places(extracted: Extracted, lines: Lines) -> Iterator[Fault]:
    """Places of the lines' nets that are narrower than the metal may be."""
    kdb, con = klayout_db(), extracted.connectivity
    nets = {int(net): LineName("WL", k) for k, net in enumerate(lines.rows) if net >= 0}
    nets |= {int(net): LineName("BL", k) for k, net in enumerate(lines.cols) if net >= 0}
    for metal, shapes, owner in zip(
        extracted.technology.metal, con.metals, con.net_of, strict=True
    ):
        members = [k for k, net in enumerate(owner.tolist()) if net in nets]
        region = kdb.Region([shapes.polygons[k] for k in members])
        narrow = region.width_check(round(metal.width / con.dbu))
        places: set[tuple[int, float, float]] = set()
        for pair in narrow.each():
            box = pair.bbox()
            polygon = _polygon_at(extracted, con.metals.index(shapes), box)
            line = nets.get(int(owner[polygon])) if polygon >= 0 else None
            width = pair.distance() * con.dbu
            at = box.center().x * con.dbu, box.center().y * con.dbu
            number = {} if line is None else {"row" if line.kind == "WL" else "col": line.number}
            words = f"{line or 'a line'} is {width:.6g} um wide in {metal.name}, at least "
            words += f"{metal.width:g} is the rule"
            if (polygon, *at) not in places:
                places.add((polygon, *at))
                yield Fault(kind="wire", place=words, x=at[0], y=at[1], **number)


def _polygon_at(extracted: Extracted, metal: int, box: kdb.Box) -> int:
    """Polygon of a metal at a box, -1 for none."""
    shapes = extracted.connectivity.metals[metal]
    for x, y in ((box.left, box.bottom), (box.right, box.top), (box.center().x, box.center().y)):
        k = polygon_at(shapes, x, y)
        if k >= 0:
            return k
    return -1


def order_faults(extracted: Extracted, view: WireView) -> Iterator[Fault]:
    """Crossings that do not follow each other along the lines as their labels count.

    Word lines meet the bit lines from 0 on, seen from their pad, bit lines the last row first. A
    label that stands on another line shows here.
    """
    for kind, of_lines, cross, last_first in (
        ("WL", view.word_lines, "BL", False),
        ("BL", view.bit_lines, "WL", True),
    ):
        orders = {tuple(w.order.tolist()) for w in of_lines if w is not None}
        for order in sorted(orders):
            expected = sorted(order, reverse=last_first)
            wrong = [(a, b) for a, b in zip(order, expected, strict=True) if a != b]
            for number, place in wrong:
                name = LineName(cross, number)
                line = LineName(cross, place)
                at = _label_at(extracted, name)
                words = f"label of {name} stands where {line} belongs, counted along the "
                words += f"{'word' if kind == 'WL' else 'bit'} lines from their pads"
                axis = {"row" if cross == "WL" else "col": number}
                yield Fault(kind="label", place=words, x=at[0], y=at[1], **axis)


def _label_at(extracted: Extracted, name: LineName) -> tuple[float, float]:
    """Place of a line's label, um."""
    for label in extracted.connectivity.labels:
        if line_name(label.text) == name:
            return label.x * extracted.dbu, label.y * extracted.dbu
    return float("nan"), float("nan")


def segment_faults(extracted: Extracted, view: WireView, places: Floats) -> Iterator[Fault]:
    """Segments that are not of the technology's width and pitch, lines that are no chain."""
    expected = extracted.technology.segments()
    for name, line in _each_line(view):
        R = expected["R_wl" if name.kind == "WL" else "R_bl"]
        if line.branching > SEGMENT_TOLERANCE:
            words = f"{name} is no chain: metal joins places of it past others"
            yield _on_line(name, places, words)
        wrong = np.abs(line.segments - R) > SEGMENT_TOLERANCE * R
        for k in np.flatnonzero(wrong).tolist():
            words = f"{line.segments[k]:.6g} ohm drawn, {R:.6g} by the technology"
            yield _on_segment(name, k, places, words)


def stated_faults(view: WireView, crossbar: Crossbar, places: Floats) -> Iterator[Fault]:
    """Resistances that are others than those of the array's file."""
    shape = crossbar.rows, crossbar.cols
    stated = {
        "R_wl": np.broadcast_to(crossbar.R_wl, (shape[0], shape[1] - 1)),
        "R_bl": np.broadcast_to(crossbar.R_bl, (shape[0] - 1, shape[1])),
        "R_driver": np.broadcast_to(crossbar.R_driver, (shape[0],)),
        "R_sense": np.broadcast_to(crossbar.R_sense, (shape[1],)),
    }
    for name, line in _each_line(view):
        k = name.number
        word = name.kind == "WL"
        segments = stated["R_wl"][k] if word else stated["R_bl"][:, k]
        lead = stated["R_driver"][k] if word else stated["R_sense"][k]
        drawn = line.leads[0] if word else line.leads[1]
        if not np.isclose(drawn, lead, rtol=STATED_TOLERANCE, atol=0):
            words = f"lead of {name}: {drawn:.6g} ohm drawn, {lead:.6g} in the file"
            yield _on_line(name, places, words)
        same = np.isclose(line.segments, segments, rtol=STATED_TOLERANCE, atol=0)
        for j in np.flatnonzero(~same).tolist():
            pair = f"{line.segments[j]:.6g} ohm drawn, {segments[j]:.6g} in the file"
            yield _on_segment(name, j, places, pair)


def _each_line(view: WireView) -> Iterator[tuple[LineName, LineWires]]:
    for kind, lines in (("WL", view.word_lines), ("BL", view.bit_lines)):
        for k, line in enumerate(lines):
            if line is not None:
                yield LineName(kind, k), line


def _segment(name: LineName, k: int) -> str:
    cross = "column" if name.kind == "WL" else "row"
    return f"{name}, segment between {cross} {k} and {k + 1}"


def _on_segment(name: LineName, k: int, places: Floats, words: str) -> Fault:
    """A fault of the segment behind a crossing."""
    ends = places[name.number, k : k + 2] if name.kind == "WL" else places[k : k + 2, name.number]
    x, y = (float(v) for v in ends.mean(axis=0))
    row, col = (name.number, k) if name.kind == "WL" else (k, name.number)
    return Fault(kind="wire", place=f"{_segment(name, k)}: {words}", x=x, y=y, row=row, col=col)


def _on_line(name: LineName, places: Floats, words: str) -> Fault:
    """A fault of a whole line or its lead, at the crossing next to its pad."""
    x, y = (
        float(v) for v in (places[name.number, 0] if name.kind == "WL" else places[-1, name.number])
    )
    number = {"row" if name.kind == "WL" else "col": name.number}
    return Fault(kind="wire", place=words, x=x, y=y, **number)
