"""Layout and LVS: a good array is clean, and every seeded fault is reported at its place."""

from __future__ import annotations

import re

import klayout.db as kdb
import numpy as np
import pytest

import xbarspice as xb
from xbarspice.tapeout.layout import Grid, Plain, draw, save
from xbarspice.tapeout.lvs import cdl_of, compare_layout
from xbarspice.tapeout.technology import load_technology

ROWS, COLS = 5, 4


@pytest.fixture
def technology():
    return load_technology("demo")


@pytest.fixture
def array(technology):
    G = np.random.default_rng(3).uniform(100e-6, 500e-6, (ROWS, COLS))
    G[1, 2] = 0.0
    return xb.Crossbar(G, **Plain.of(technology).wires())


def report_after(array, technology, change):
    """The report on a flat drawing after `change(layout, top cell, layer function)`."""
    layout = draw(array, technology)
    top = layout.top_cell()
    top.flatten(-1, True)
    change(layout, top, lambda part: layout.layer(*part.layer))
    return compare_layout(layout, array, technology)


def erase(top, layer, box):
    shapes = top.shapes(layer)
    remaining = kdb.Region(shapes).merged() - kdb.Region(box)
    shapes.clear()
    shapes.insert(remaining)


def only(report, kind):
    assert not report.clean
    assert not report.matched, "KLayout's own comparison must see it as well"
    faults = [f for f in report.faults if f.kind == kind]
    assert faults, [str(f) for f in report.faults]
    return faults


def test_a_good_array_is_clean_and_its_wires_are_those_of_the_formula(array, technology):
    report = compare_layout(draw(array, technology), array, technology)
    assert report.clean, [str(f) for f in report.faults]
    assert report.matched
    assert report.devices == ROWS * COLS - 1
    assert report.segments == ROWS * (COLS - 1) + (ROWS - 1) * COLS + ROWS + COLS
    assert report.wires == pytest.approx(Plain.of(technology).wires(), rel=1e-12)


def test_other_dimensions_give_four_different_resistances(array, technology):
    line = technology.array.word_line.model_copy(update={"width": 1.2})
    wider = technology.model_copy(
        update={"array": technology.array.model_copy(update={"word_line": line})}
    )
    drawn = array.replace(**Plain.of(wider).wires())
    report = compare_layout(draw(drawn, wider), drawn, wider)
    assert report.clean
    assert len({round(R, 9) for R in report.wires.values()}) == 4
    assert report.wires == pytest.approx(Plain.of(wider).wires(), rel=1e-12)
    assert report.wires["R_wl"] == pytest.approx(0.5 * 2.0 / 1.2)  # sheet * pitch / width


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
def test_the_files_hold_the_drawing(array, technology, tmp_path, suffix):
    paths = save(draw(array, technology), tmp_path, "tile")
    path = next(p for p in paths if p.suffix == suffix)
    layout = kdb.Layout()
    layout.read(str(path))
    assert compare_layout(layout, array, technology).clean
    (tmp_path / "b").mkdir()
    twin = next(
        p for p in save(draw(array, technology), tmp_path / "b", "tile") if p.suffix == suffix
    )
    assert path.read_bytes() == twin.read_bytes()


def test_a_short_between_neighbours_is_found_between_its_columns(array, technology):
    grid = Grid(ROWS, COLS, technology)

    def bridge(layout, top, layer):
        x = grid.x(2) + grid.units(1.0)
        top.shapes(layer(Plain.of(technology).word_line)).insert(
            kdb.Box(x - 200, grid.y(3), x + 200, grid.y(2))
        )

    fault = only(report_after(array, technology, bridge), "short")[0]
    assert fault.place.startswith("word lines 2 and 3 are joined near column 2")
    assert (fault.x, fault.y) == pytest.approx((5.0, 3.0), abs=0.6)


def test_a_short_along_a_crossing_line_is_found(array, technology):
    grid = Grid(ROWS, COLS, technology)

    def bridge(layout, top, layer):
        top.shapes(layer(Plain.of(technology).bit_line)).insert(
            kdb.Box(grid.x(0), grid.y(4) - 100, grid.x(1), grid.y(4) + 100)
        )

    fault = only(report_after(array, technology, bridge), "short")[0]
    assert fault.place == "bit lines 0 and 1 are joined"
    assert (fault.x, fault.y) == pytest.approx((1.0, 0.0), abs=0.6)


def test_an_open_segment_is_found(array, technology):
    grid = Grid(ROWS, COLS, technology)

    def cut(layout, top, layer):
        x = grid.x(1) + grid.units(1.0)
        erase(
            top,
            layer(Plain.of(technology).word_line),
            kdb.Box(x - 100, grid.y(2) - 900, x + 100, grid.y(2) + 900),
        )

    faults = only(report_after(array, technology, cut), "open")
    assert [f.place for f in faults] == ["word line 2, wire segment after column 1"]
    assert (faults[0].x, faults[0].y) == pytest.approx((3.0, 4.0))


def test_a_missing_device_is_found(array, technology):
    grid = Grid(ROWS, COLS, technology)

    def remove(layout, top, layer):
        at = kdb.Box(grid.x(3) - 400, grid.y(0) - 400, grid.x(3) + 400, grid.y(0) + 400)
        erase(top, layer(Plain.of(technology).device), at)

    faults = only(report_after(array, technology, remove), "missing device")
    assert [f.place for f in faults] == ["device at row 0, column 3"]
    assert (faults[0].x, faults[0].y) == pytest.approx((6.0, 8.0))


def test_a_device_at_an_empty_place_is_found(array, technology):
    grid = Grid(ROWS, COLS, technology)

    def add(layout, top, layer):
        x, y = grid.x(2), grid.y(1)
        top.shapes(layer(Plain.of(technology).device)).insert(
            kdb.Box(x - 300, y - 300, x + 300, y + 300)
        )

    assert only(report_after(array, technology, add), "extra device")[0].place == (
        "device at row 1, column 2"
    )


@pytest.mark.parametrize(("kind", "a", "b"), [("WL", 1, 2), ("BL", 0, 3)])
def test_swapped_labels_are_found(array, technology, kind, a, b):
    grid = Grid(ROWS, COLS, technology)
    plain = Plain.of(technology)
    line = plain.word_line if kind == "WL" else plain.bit_line

    def swap(layout, top, layer):
        shapes = top.shapes(layout.layer(*line.label))
        for shape in list(shapes.each()):
            if shape.text.string in (f"{kind}<{a}>", f"{kind}<{b}>"):
                shapes.erase(shape)
        for name, at in ((a, b), (b, a)):
            shapes.insert(kdb.Text(f"{kind}<{name}>", kdb.Trans(*grid.pad(kind, at))))

    faults = only(report_after(array, technology, swap), "label")
    assert {f.place for f in faults} == {
        f"label {kind}<{a}> stands on {kind}<{b}>",
        f"label {kind}<{b}> stands on {kind}<{a}>",
    }


def test_a_narrow_wire_is_found_by_its_resistance(array, technology):
    grid = Grid(ROWS, COLS, technology)

    def thin(layout, top, layer):
        x, y = grid.x(0), grid.y(4) + 500
        erase(
            top, layer(Plain.of(technology).word_line), kdb.Box(x + 401, y - 300, x + 1599, y + 100)
        )

    faults = only(report_after(array, technology, thin), "value")
    assert faults[0].place.startswith("word line 4, wire segment after column 0: ")


def test_klayout_compares_with_the_cdl_text_itself(array, technology):
    cdl = re.sub(r"(Rb_2_1 \S+ \S+) 1\.0 ", r"\1 7.0 ", cdl_of(array))
    report = compare_layout(draw(array, technology), array, technology, cdl)
    assert not report.matched
    assert [f.place for f in report.faults] == [
        "bit line 1, wire segment after row 2: 1 ohm drawn, 7 ohm in the netlist"
    ]
