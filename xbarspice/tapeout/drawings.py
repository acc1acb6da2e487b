"""Draws every array into its folder, compares the file with its netlist, and places them all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from xbarspice.core.array import Crossbar
from xbarspice.tapeout import floorplan, layout
from xbarspice.tapeout.lvs import LvsReport, cdl_of, compare_layout
from xbarspice.tapeout.manifest import Record
from xbarspice.tapeout.sites import Site
from xbarspice.tapeout.technology import Technology

__all__ = ["Placed", "draw_array", "place_arrays"]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A floorplan.

    Attributes:
        record: what the manifest says of it.
        places: of every array, um.
        files: the layout in two formats and the picture.
    """

    record: Record
    places: list[Record]
    files: list[Path]


def draw_array(
    array: Crossbar, technology: Technology, folder: Path, cell: str
) -> tuple[LvsReport, list[Path]]:
    """Draw an array, read the file again and compare it with its CDL netlist.

    Args:
        array: the array, with its pins where they are drawn.
        technology: what to draw with.
        folder: an existing folder for layout, CDL text, verdict and picture.
        cell: name of the layout's cell.
    """
    tile = array.replace(**layout.Plain.of(technology).wires())
    drawn = layout.draw(tile, technology, cell)
    paths = layout.save(drawn, folder, "layout")
    cdl = cdl_of(tile, cell)
    handed_over = layout.read(paths[0])  # the file is compared, not what was drawn
    report = compare_layout(handed_over, tile, technology, cdl)
    lvs = json.dumps(report.record(), indent=2, allow_nan=False) + "\n"
    for file, text in (("layout.cdl", cdl), ("lvs.json", lvs)):
        paths.append(folder / file)
        paths[-1].write_text(text, encoding="utf-8")
    if array.rows * array.cols <= layout.LARGEST_PICTURE:
        paths.append(folder / "layout.png")
        layout.picture(drawn, technology, paths[-1])
    return report, paths


def place_arrays(
    folder: Path,
    sites: Sequence[Site],
    technology: Technology,
    layer_of: Mapping[str, str],
    cell: str,
) -> Placed:
    """Place all drawings as cells of one layout, and draw their outlines.

    Args:
        folder: of the tapeout, with the drawing of every array in its folder.
        sites: the arrays.
        technology: of the drawings.
        layer_of: name of an array -> layer of the model.
        cell: name of the floorplan's cell.
    """
    drawings = [folder / site.folder / "layout.gds" for site in sites]
    plan, places, monitors = floorplan.compose(
        drawings, [site.cell for site in sites], technology, cell
    )
    paths = layout.save(plan, folder, "floorplan")
    records = [asdict(place) for place in places]
    outlines = [
        {"number": site.number, **place} for site, place in zip(sites, records, strict=True)
    ]
    layers = [layer_of[site.array.name] for site in sites]
    paths.append(folder / "floorplan.png")
    beside = [asdict(place) for place in monitors]
    floorplan.figure(outlines, layers, beside).savefig(paths[-1])
    box, um = plan.cell(cell).bbox(), technology.dbu
    record = {
        "cell": cell,
        "says": floorplan.SCOPE,
        "arrays": len(places),
        "width_um": box.width() * um,
        "height_um": box.height() * um,
        "spacing_um": technology.array_spacing,
        "monitors": beside,
    }
    return Placed(record=record, places=records, files=paths)
