"""Small crossbars drawn by hand, and their schematics, for tests of decks."""

from __future__ import annotations

import klayout.db as kdb

PITCH, HALF_DEVICE, END = 0.68, 0.16, 0.19
AREA = "0.1024p"


def draw(
    path,
    *,
    rows=2,
    cols=3,
    width=0.32,
    cell="xb",
    absent=(),
    size=HALF_DEVICE,
    names=None,
    labels=True,
):
    """A crossbar of two metals (68/20, 69/20) with ReRAM (201/20) at its crossings."""
    layout = kdb.Layout()
    layout.dbu = 0.001
    top = layout.create_cell(cell)
    x = [col * PITCH for col in range(cols)]
    y = [(rows - 1 - row) * PITCH for row in range(rows)]

    def box(layer, *corners):
        top.shapes(layout.layer(*layer)).insert(kdb.DBox(*corners))

    def label(layer, name, at):
        if not labels:
            return
        name = (names or {}).get(name, name)
        top.shapes(layout.layer(*layer)).insert(kdb.DText(name, kdb.DTrans(kdb.DVector(*at))))

    for row, at in enumerate(y):
        box((68, 20), -1.5, at - width / 2, x[-1] + END, at + width / 2)
        label((68, 5), f"WL<{row}>", (-1.4, at))
    for col, at in enumerate(x):
        box((69, 20), at - 0.16, -1.5, at + 0.16, y[0] + END)
        label((69, 5), f"BL<{col}>", (at, -1.4))
    for row in range(rows):
        for col in range(cols):
            if (row, col) not in absent:
                a, b = x[col], y[row]
                box((201, 20), a - size, b - size, a + size, b + size)
    layout.write(str(path))
    return path


def schematic(path, *, rows=2, cols=3, cell="xb", area=AREA):
    """Every line a net, every crossing a device."""
    pins = [f"WL<{row}>" for row in range(rows)] + [f"BL<{col}>" for col in range(cols)]
    devices = [
        f"Xd_{row}_{col} WL<{row}> BL<{col}> reram_cell area_ox={area}"
        for row in range(rows)
        for col in range(cols)
    ]
    lines = ["* crossbar", f".subckt {cell} {' '.join(pins)}", *devices, f".ends {cell}", ""]
    path.write_text("\n".join(lines))
    return path
