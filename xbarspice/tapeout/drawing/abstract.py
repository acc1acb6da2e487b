"""What place and route knows of an array: its LEF macro, and a Verilog module without a body.

Both describe the cell with lines, devices and landings; a pin is the top metal of a landing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from xbarspice.tapeout.drawing.die import core_name
from xbarspice.tapeout.drawing.klayout import klayout_db
from xbarspice.tapeout.technology import Technology

if TYPE_CHECKING:
    import klayout.db as kdb

__all__ = ["lef_of", "verilog_of"]


def lef_of(layout: kdb.Layout, technology: Technology, brackets: str = "<>") -> str:
    """The macro of a drawing in LEF 5.8; its metals outside the pins are obstructions.

    Args:
        layout: what `draw` gives.
        technology: of the drawing.
        brackets: as drawn.
    """
    cell = layout.cell(core_name(layout.top_cell().name, technology))
    box, dbu = cell.bbox(), layout.dbu

    def um(*values: int) -> str:
        return " ".join(f"{value * dbu:.{_digits(dbu)}f}" for value in values)

    lines = [
        "VERSION 5.8 ;",
        f'BUSBITCHARS "{brackets}" ;',
        'DIVIDERCHAR "/" ;',
        "",
        f"MACRO {cell.name}",
        "  CLASS BLOCK ;",
        "  ORIGIN 0 0 ;",
        f"  FOREIGN {cell.name} {um(box.left, box.bottom)} ;",
        f"  SIZE {um(box.width())} BY {um(box.height())} ;",
    ]
    pins = list(_pins(layout, technology, cell))
    for name, metal, pin in pins:
        b = pin.moved(-box.left, -box.bottom)
        lines += [
            f"  PIN {name}",
            "    DIRECTION INOUT ;",
            "    USE SIGNAL ;",
            "    PORT",
            f"      LAYER {metal} ;",
            f"        RECT {um(b.left, b.bottom, b.right, b.top)} ;",
            "    END",
            f"  END {name}",
        ]
    lines.append("  OBS")
    for metal in technology.metal:
        shapes = klayout_db().Region(cell.begin_shapes_rec(layout.layer(*metal.layer))).merged()
        shapes -= klayout_db().Region([pin for _, on, pin in pins if on == metal.name])
        if not shapes.is_empty():
            lines.append(f"    LAYER {metal.name} ;")
        for part in shapes.moved(-box.left, -box.bottom).decompose_trapezoids_to_region().each():
            b = part.bbox()
            lines.append(f"      RECT {um(b.left, b.bottom, b.right, b.top)} ;")
    lines += ["  END", f"END {cell.name}", "", "END LIBRARY", ""]
    return "\n".join(lines)


def _digits(dbu: float) -> int:
    return max(0, -math.floor(math.log10(dbu) + 1e-9))


def _pins(
    layout: kdb.Layout, technology: Technology, cell: kdb.Cell
) -> Iterator[tuple[str, str, kdb.Box]]:
    """Name, metal and box of every pin: the plate under its label."""
    kdb = klayout_db()
    landing = technology.array.landing
    for name in dict.fromkeys((landing.word_line[-1], landing.bit_line[-1])):
        metal = technology.metals[name]
        shapes = kdb.Region(cell.begin_shapes_rec(layout.layer(*metal.layer))).merged()
        for shape in cell.shapes(layout.layer(*(metal.label or metal.layer))).each():
            if shape.is_text():
                at = kdb.Point(shape.text.x, shape.text.y)
                plate = next(p.bbox() for p in shapes.each() if p.inside(at))
                yield shape.text.string, name, plate


def verilog_of(layout: kdb.Layout, technology: Technology, rows: int, cols: int) -> str:
    """A module with the pins of the array and no body, for a netlist that instantiates it."""
    name = core_name(layout.top_cell().name, technology)
    return (
        f"// {rows} word lines, {cols} bit lines; drawn in {name}, technology "
        f"{technology.name}\n"
        "(* blackbox *)\n"
        f"module {name} (\n"
        f"    inout [{rows - 1}:0] WL,\n"
        f"    inout [{cols - 1}:0] BL\n"
        ");\n"
        "endmodule\n"
    )
