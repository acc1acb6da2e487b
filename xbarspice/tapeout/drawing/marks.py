"""Alignment marks and text of a die, in the uppermost metal that is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.errors import broken_rule
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.drawing.places import Rectangle, cuts_of, plates_of
from xbarspice.tapeout.drawing.sheet import Sheet
from xbarspice.tapeout.technology import Technology
from xbarspice.tapeout.technology.landing import stack
from xbarspice.tapeout.technology.layers import Metal

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["draw_mark", "draw_text", "top_metal"]

_ALONE = 1e3
"""Distance to a next stack that leaves any number of cuts room, um."""


def top_metal(technology: Technology) -> Metal:
    """The metal that a needle touches, or the uppermost one of a landing."""
    landing = technology.array.landing
    order = [metal.name for metal in technology.metal]
    names = [landing.word_line[-1], landing.bit_line[-1]]
    names += [technology.pads.top] if technology.pads else []
    return technology.metals[max(names, key=order.index)]


def draw_mark(layout: kdb.Layout, technology: Technology, name: str) -> kdb.Cell:
    """A cross of ``die.marks`` um around the origin, its arms a fifth as wide."""
    sheet, metal = Sheet(layout, name, technology), top_metal(technology)
    step = 2 * sheet.units(technology.grid)
    size = sheet.units(technology.die.marks)
    arm = max(size // 5 // step * step, sheet.units(metal.width))
    sheet.box(metal.name, Rectangle.around(0, 0, size, arm))
    sheet.box(metal.name, Rectangle.around(0, 0, arm, size))
    _contact(sheet, metal)
    return sheet.cell


def draw_text(layout: kdb.Layout, technology: Technology, name: str, text: str) -> kdb.Cell:
    """A text about ``die.text_height`` um high, its lower left corner at the origin.

    Raises:
        InputError: the letters would break the rules of the metal.
    """
    kdb, sheet, metal = klayout_db(), Sheet(layout, name, technology), top_metal(technology)
    font = kdb.TextGenerator.default_generator()
    capital = font.dheight() - font.dline_width()
    step = technology.grid / font.ddesign_grid()  # so that every corner lies on the grid
    times = max(round(technology.die.text_height / capital / step), 1) * step
    shapes = font.text(text, technology.dbu, times).merged()
    box = shapes.bbox()
    grid = sheet.units(technology.grid)
    shapes.move(-(box.left // grid) * grid, -(box.bottom // grid) * grid)
    narrow = shapes.width_check(sheet.units(metal.width)).count()
    close = shapes.space_check(sheet.units(metal.space)).count()
    small = shapes.with_area(0, round(metal.area / technology.dbu**2), False).count()
    if narrow or close or small:
        raise broken_rule(
            f"letters of die.text_height = {technology.die.text_height:g} um must obey width, "
            f"space and area of {metal.name}",
            f"{narrow} too narrow, {close} too close, {small} too small",
            "Raise die.text_height.",
        )
    sheet.cell.shapes(layout.layer(*metal.layer)).insert(shapes)
    _contact(sheet, metal)
    return sheet.cell


def _contact(sheet: Sheet, metal: Metal) -> None:
    """A cut with a plate below in every shape of a metal that must not float."""
    kdb, technology = klayout_db(), sheet.technology
    via = next((via for via in technology.via if via.upper == metal.name), None)
    if not metal.needs_contact or via is None:
        return
    lower = technology.metals[via.lower]
    land = stack(technology, (lower.name, via.name, metal.name), lower.width, _ALONE, 0.0)
    parts = [*plates_of(technology, land), *cuts_of(technology, land)]
    plate = land.plates[-1]
    grid = sheet.units(technology.grid)
    inside = sheet.units(max(plate.along, plate.across)) // 2 + grid
    for shape in kdb.Region(sheet.cell.shapes(sheet.layout.layer(*metal.layer))).merged().each():
        centres = kdb.Region(shape).sized(-inside)
        if centres.is_empty():
            raise broken_rule(
                f"letters and marks in {metal.name} must hold a cut of {via.name}",
                "strokes that are too narrow",
                "Raise die.text_height or die.marks.",
            )
        place = next(next(centres.each()).each_point_hull())
        sheet.parts(parts, place.x // grid * grid, place.y // grid * grid)
