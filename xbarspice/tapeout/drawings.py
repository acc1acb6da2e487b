"""Draws every array into its folder, compares the file with the array, and places them all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xbarspice.core.array import Crossbar
from xbarspice.tapeout import floorplan, plots
from xbarspice.tapeout.drawing import draw, read, save
from xbarspice.tapeout.drawing.abstract import lef_of, verilog_of
from xbarspice.tapeout.drawing.pictures import LARGEST_PICTURE, picture
from xbarspice.tapeout.extraction.networks import SheetCache
from xbarspice.tapeout.lvs import LvsReport, compare_layout
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
    array: Crossbar,
    technology: Technology,
    folder: Path,
    cell: str,
    cache: SheetCache,
    brackets: str = "<>",
) -> tuple[LvsReport, list[Path]]:
    """Draw an array, read the file again, extract it and compare it with the array.

    Args:
        array: the array, with its pins where they are drawn.
        technology: what to draw with.
        folder: an existing folder for layout, macro, verdict and picture.
        cell: name of the layout's cell.
        cache: shapes whose resistances were solved.
        brackets: around the number of a line in its label, ``"<>"`` or ``"[]"``.
    """
    drawn = draw(array, technology, cell, brackets=brackets)
    paths = save(drawn, folder, "layout")
    handed_over = read(paths[0])  # the file is compared, not what was drawn
    report = compare_layout(handed_over, array, technology, stated=False, cache=cache)
    lvs = json.dumps(report.record(), indent=2, allow_nan=False) + "\n"
    rows, cols = array.rows, array.cols
    for file, text in (
        ("lvs.json", lvs),
        ("layout.lef", lef_of(drawn, technology, brackets)),
        ("layout.v", verilog_of(drawn, technology, rows, cols)),
    ):
        paths.append(folder / file)
        paths[-1].write_text(text, encoding="utf-8")
    if rows * cols <= LARGEST_PICTURE:
        paths.append(folder / "layout.png")
        picture(drawn, technology, paths[-1])
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
    paths = save(plan, folder, "floorplan")
    records = [asdict(place) for place in places]
    outlines = [
        {"number": site.number, **place} for site, place in zip(sites, records, strict=True)
    ]
    layers = [layer_of[site.array.name] for site in sites]
    paths.append(folder / "floorplan.png")
    beside = [asdict(place) for place in monitors]
    _save_outlines(outlines, layers, beside, paths[-1])
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


def _save_outlines(
    outlines: Sequence[dict[str, Any]],
    layers: Sequence[str],
    monitors: Sequence[dict[str, Any]],
    path: Path,
) -> None:
    """Write the picture of a floorplan."""
    from matplotlib.figure import Figure

    page = Figure(figsize=(6.4, 6.4), dpi=150, layout="constrained")
    plots.floorplan(outlines, layers, monitors, ax=page.add_subplot())
    page.savefig(path)
