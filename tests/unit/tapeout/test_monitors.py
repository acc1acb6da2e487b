"""Monitors, marks and text of a die, and what place and route knows of an array."""

from __future__ import annotations

import re

import klayout.db as kdb
import pytest

import xbarspice as xb
from tests.unit.tapeout.geometry import broken, nets, region
from tests.unit.tapeout.test_drawing import array, change
from xbarspice.tapeout import floorplan
from xbarspice.tapeout.drawing import draw, save
from xbarspice.tapeout.drawing.abstract import lef_of, verilog_of
from xbarspice.tapeout.drawing.marks import draw_mark, draw_text
from xbarspice.tapeout.drawing.monitors import draw_monitors
from xbarspice.tapeout.technology.loading import NAMES


def monitors(technology):
    """A layout with all monitors and their cells by kind."""
    layout = kdb.Layout()
    layout.dbu = technology.dbu
    cells = draw_monitors(layout, technology, "die")
    return layout, {cell.name.removeprefix("die__"): cell for cell in cells}


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_of_monitor_is_drawn_and_connects_its_pads(name):
    technology = change(name, die__monitors={"devices": 3})
    layout, cells = monitors(technology)
    chains = [f"chain_{via.name}" for via in technology.via]
    lines = ["kelvin_word_line", "kelvin_bit_line"]
    assert list(cells) == [*lines, "device_0", "device_1", "device_2", *chains]
    for kind, cell in cells.items():
        pins = {"k": ("F1", "F2", "S1", "S2"), "d": ("BL", "WL"), "c": ("A", "B")}[kind[0]]
        names = [f"{kind}_{pin}" for pin in pins]
        joined = [",".join(names)] if kind[0] in "kc" else names  # devices are no conductors
        assert nets(layout, technology, cell) == joined
    assert draw_monitors(layout, change(name, die__monitors=None), "none") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_is_open_without_one_of_its_cuts_and_counts_them(name):
    technology = change(name, die__monitors={"devices": 0, "lines": False})
    layout, cells = monitors(technology)
    for via in technology.via:
        cell = cells[f"chain_{via.name}"]
        shapes = cell.shapes(layout.layer(*via.layer))
        row = [s for s in shapes.each() if 10000 < s.bbox().center().x < 70000]
        assert len(row) >= 20
        middle = row[len(row) // 2]
        box = middle.box
        shapes.erase(middle)
        assert nets(layout, technology, cell) == [f"{cell.name[5:]}_A", f"{cell.name[5:]}_B"]
        shapes.insert(box)


def test_a_kelvin_line_is_one_pitch_of_pads_long_between_its_taps():
    technology = change("sky130b", die__monitors={"devices": 0, "chains": False})
    layout, cells = monitors(technology)
    cell = cells["kelvin_word_line"]
    bars = [s.bbox() for s in cell.shapes(layout.layer(68, 20)).each() if s.bbox().width() > 5000]
    assert [(b.width(), b.height()) for b in bars] == [(240000, 320)]
    cuts = region(layout, (68, 44), cell)
    middles = sorted({round(s.bbox().center().x, -4) for s in cuts.each()})
    assert middles == [0, 80000, 160000, 240000]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (6, 9)])
def test_a_die_obeys_the_rules_and_keeps_everything_apart(name, shape, tmp_path):
    technology = change(name, die__monitors={})
    files = []
    for k in range(3):
        path = tmp_path / str(k)
        path.mkdir()
        files.append(save(draw(array(*shape), technology, f"moons_a{k}"), path, "layout")[0])
    cells = [f"moons_a{k}" for k in range(3)]
    plan, places, beside = floorplan.compose(files, cells, technology, "moons_floorplan")
    assert [place.cell for place in places] == cells
    assert len(beside) == 4 + len(technology.via)
    assert broken(plan, technology) == {}
    boxes = [kdb.DBox(p.left, p.bottom, p.right, p.top) for p in (*places, *beside)]
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            near = a.enlarged(technology.array_spacing - 1e-6, technology.array_spacing - 1e-6)
            assert not near.overlaps(b)
    assert all(cell.name.startswith("moons_") for cell in plan.each_cell())
    marks = [i for i in plan.top_cell().each_inst() if i.cell.name == "moons_floorplan__mark"]
    corners = {(i.bbox().center().x, i.bbox().center().y) for i in marks}
    outline = plan.top_cell().bbox()
    assert len(corners) == 4
    for instance in marks:
        box = instance.bbox()
        assert box.left == outline.left or box.right == outline.right
        assert box.bottom == outline.bottom or box.top == outline.top


def test_text_is_written_by_the_rules_or_refused():
    technology = change("sky130b")
    layout = kdb.Layout()
    layout.dbu = technology.dbu
    cell = draw_text(layout, technology, "text", "moons_A1 2026 <x>")
    assert broken(layout, technology) == {}
    assert cell.bbox().height() == pytest.approx(30000, rel=0.1)
    with pytest.raises(xb.errors.InputError, match=r"die\.text_height = 1 um must obey width"):
        draw_text(layout, change("sky130b", die__text_height=1.0), "small", "moons")


def test_a_mark_is_a_cross():
    technology = change("sky130b")
    layout = kdb.Layout()
    layout.dbu = technology.dbu
    cell = draw_mark(layout, technology, "mark")
    shape = region(layout, (72, 20), cell)
    assert shape.bbox() == kdb.Box(-20000, -20000, 20000, 20000)
    assert shape.area() == 2 * 40000 * 8000 - 8000**2


@pytest.mark.parametrize("brackets", ["<>", "[]"])
@pytest.mark.parametrize("pads", [True, False])
def test_the_macro_has_the_pins_where_they_are_drawn(brackets, pads, tmp_path):
    """KLayout reads the LEF file; every pin lies on the drawn metal and touches no obstruction."""
    without = {} if pads else {"pads": None, "die__monitors": None}
    technology = change("sky130b", **without)
    drawing = draw(array(5, 3), technology, "moons_a0", brackets=brackets)
    core = drawing.cell("moons_a0__array" if pads else "moons_a0")
    (tmp_path / "array.lef").write_text(lef_of(drawing, technology, brackets))
    options = kdb.LoadLayoutOptions()
    options.lefdef_config.dbu = 0.001
    macro = kdb.Layout()
    macro.read(str(tmp_path / "array.lef"), options)
    cell = macro.cell(core.name)
    layers = {macro.get_info(k).name: k for k in macro.layer_indexes()}
    metal = region(drawing, (70, 20), core)
    shift = core.bbox().p1 - kdb.Point(0, 0)
    pins = kdb.Region(cell.begin_shapes_rec(layers["met3.PIN"]))
    labels = {
        s.text.string: kdb.Point(s.text.x, s.text.y)
        for s in cell.shapes(layers["met3.LABEL"]).each()
    }
    left, right = brackets
    assert sorted(labels) == sorted(
        [f"WL{left}{r}{right}" for r in range(5)] + [f"BL{left}{c}{right}" for c in range(3)]
    )
    assert pins.count() == 8
    assert (pins.moved(shift) ^ metal).is_empty()
    for k, part in enumerate(("met1", "met2")):
        obstruction = kdb.Region(cell.begin_shapes_rec(layers[f"{part}.OBS"])).merged()
        drawn = region(drawing, technology.metal[k].layer, core)
        assert (obstruction.moved(shift) ^ drawn).is_empty()
    drawn_labels = {
        s.text.string: kdb.Point(s.text.x, s.text.y)
        for s in core.shapes(drawing.layer(70, 5)).each()
    }
    for name, at in drawn_labels.items():
        pin = next(p for p in pins.each() if p.inside(at - shift))
        assert pin.inside(labels[name])


def test_the_verilog_stub_has_the_buses_of_the_array():
    technology = change("sky130b")
    text = verilog_of(draw(array(5, 3), technology, "moons_a0"), technology, 5, 3)
    assert re.search(r"module moons_a0__array \(\s*inout \[4:0\] WL,\s*inout \[2:0\] BL", text)
