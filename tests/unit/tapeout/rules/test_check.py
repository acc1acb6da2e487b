"""The rule check of any layout: hierarchy, units, windows, what it refuses and what it says."""

from __future__ import annotations

import json

import klayout.db as kdb
import numpy as np
import pytest

import xbarspice as xb
from tests.unit.tapeout.rules.drawn import (
    FAULTS,
    HALF,
    PITCH,
    clean,
    insert,
    judge,
    layout_of,
    only_met1_needs_contact,
    put,
)
from xbarspice.tapeout import load_technology
from xbarspice.tapeout.drawing.marks import draw_mark, draw_text
from xbarspice.tapeout.rules import Rule, check_file, check_layout, rules_of
from xbarspice.tapeout.rules import check as check_module
from xbarspice.tapeout.rules.density import find_dense, find_sparse
from xbarspice.tapeout.rules.page import sentence
from xbarspice.tapeout.rules.shapes import Shapes
from xbarspice.tapeout.technology import packaged

SKY = only_met1_needs_contact()
NECK = FAULTS[0].parts


def technology_of(folder, name, *edits):
    """A packaged technology with some texts replaced, whose upper metals may float."""
    text = packaged(name)
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "t.toml"
    path.write_text(text)
    return only_met1_needs_contact(load_technology(path))


def broken(parts, technology=SKY):
    return check_layout(layout_of(parts), technology).broken


def changed(change):
    parts = clean()
    change(parts)
    return parts


def test_a_violation_says_what_stands_there_and_where():
    (violation,) = check_layout(layout_of(NECK), SKY).violations
    assert violation.measured == pytest.approx(0.05)
    assert (violation.rule, violation.cell, violation.limit) == ("met1.width", "TOP", 0.14)
    assert violation.box == (-0.6, -0.025, -0.4, 0.025)
    assert violation.text == (
        "met1.width: 0.05 um, limit 0.14 um, at (-0.6, -0.025; -0.4, 0.025) um in TOP"
    )


MEASURED = {
    "a short distance": {"met1.space": 0.1},
    "a small hole": {"met3.space": 0.2},
    "a neighbour of wide metal": {"met3.wide.space": 0.35},
    "corners that touch": {"met3.width": 0.0, "met3.space": 0.0},
    "a small shape": {"met2.area": 0.04},
    "an edge off the grid": {"met3.grid": 0.002},
    "metal without a via": {"met1.contact": 0.0},
    "a long cut": {"via.size": 0.18},
    "two cuts too close": {"via.space": 0.1},
    "a cut at the edge of its metals": {"via.enclosure.met1": 0.035, "via.enclosure.met2": 0.035},
    "a cut beside its line": {"via.enclosure.met1": -0.15, "via.enclosure.met1.two": 0.0},
    "one of two opposite sides": {"via2.enclosure.met2.two": 0.06},
    "a lead that ends early": {"via2.enclosure.met3": 0.05},
    "a device of 10 nm": {"device.width": 0.01},
    "a device twice": {"device.touching": 2.0},
    "two devices that touch": {"device.touching": 2.0},
    "a word line flush with its last device": {"device.overhang.met1": 0.0},
    "a via on a device": {"device.excludes.via": 0.15},
}


@pytest.mark.parametrize("name", MEASURED)
def test_the_measured_values_are_those_of_the_drawing(name):
    fault = next(f for f in FAULTS if f.name == name)
    violations = check_layout(layout_of(fault.parts), SKY).violations
    for rule, value in MEASURED[name].items():
        assert value in [pytest.approx(v.measured) for v in violations if v.rule == rule]


def test_what_just_keeps_a_rule_is_clean():
    plate = ("met3", (10.0, 0.0, 13.0, 4.0))
    assert broken(changed(put(plate, ("met3", (13.3, 0.0, 14.3, 1.0))))) == {}
    assert broken(changed(put(("met2", (10.0, 0.0, 10.26, 0.26))))) == {}  # 0.0676 um^2
    diagonal = ("met3", (10.0, 0.0, 11.0, 1.0)), ("met3", (11.18, 1.24, 12.0, 2.0))
    assert broken(changed(put(*diagonal))) == {}  # 0.3 um from corner to corner
    nearer = ("met3", (10.0, 0.0, 11.0, 1.0)), ("met3", (11.175, 1.24, 12.0, 2.0))
    assert set(broken(changed(put(*nearer)))) == {"met3.space"}


def test_a_thin_triangle_and_a_path_are_shapes_as_others():
    layout = layout_of(clean())
    shapes = layout.top_cell().shapes(layout.layer(69, 20))
    shapes.insert(kdb.DPolygon([kdb.DPoint(10, 0), kdb.DPoint(12, 0), kdb.DPoint(12, 0.2)]))
    assert set(check_layout(layout, SKY).broken) == {"met2.width"}
    layout = layout_of(clean())
    shapes = layout.top_cell().shapes(layout.layer(69, 20))
    shapes.insert(kdb.DPath([kdb.DPoint(10, 0), kdb.DPoint(12, 0)], 0.12))
    assert check_layout(layout, SKY).broken == {"met2.width": 1}


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
def test_a_fault_in_a_turned_and_repeated_cell_is_found_at_its_places(suffix, tmp_path):
    layout = kdb.Layout()
    layout.dbu = 0.001
    cell, top = layout.create_cell("PART"), layout.create_cell("CHIP")
    insert(cell, NECK)
    turn = kdb.DTrans(1, True, 50.0, -30.0)
    top.insert(
        kdb.DCellInstArray(cell.cell_index(), turn, kdb.DVector(20, 0), kdb.DVector(0, 10), 2, 3)
    )
    layout.write(str(tmp_path / f"chip{suffix}"))
    report = check_file(tmp_path / f"chip{suffix}", SKY)
    assert report.broken == {"met1.width": 6}
    assert report.cells == ("CHIP",)
    middle = turn * kdb.DPoint(-0.5, 0.0)
    expected = sorted((middle.x + 20 * k, middle.y + 10 * m) for k in range(2) for m in range(3))
    places = sorted(
        ((v.box[0] + v.box[2]) / 2, (v.box[1] + v.box[3]) / 2) for v in report.violations
    )
    np.testing.assert_allclose(places, expected, atol=1e-6)
    report = check_file(tmp_path / f"chip{suffix}", SKY, "PART")
    assert [v.box for v in report.violations] == [(-0.6, -0.025, -0.4, 0.025)]


def test_shapes_of_a_cell_meet_those_of_the_cell_above():
    """Half a cut in each of two cells is one cut; two lines that are fine alone are too close."""
    layout = kdb.Layout()
    layout.dbu = 0.001
    top, left, right = (layout.create_cell(name) for name in ("TOP", "LEFT", "RIGHT"))
    parts = clean()
    layer, (a, b, c, d) = parts.pop("via0")
    insert(left, {"half": (layer, (a, b, -1.2, d))})
    insert(right, {"half": (layer, (-1.2, b, c, d)), "line": ("met1", (-0.9, 0.25, -0.3, 0.42))})
    insert(top, parts)
    for cell in (left, right):
        top.insert(kdb.CellInstArray(cell.cell_index(), kdb.Trans()))
    report = check_layout(layout, SKY)
    assert set(report.broken) == {"met1.space", "met1.contact"}


def test_every_top_cell_is_checked_and_named():
    layout = layout_of(clean())
    insert(layout.create_cell("ALSO"), NECK)
    report = check_layout(layout, SKY)
    assert report.cells == ("ALSO", "TOP")
    assert [v.cell for v in report.violations] == ["ALSO"]
    assert check_layout(layout, SKY, "TOP").clean
    with pytest.raises(xb.errors.InputError, match=r"must name a cell.*top cells are ALSO, TOP"):
        check_layout(layout, SKY, "NONE")


@pytest.mark.parametrize("dbu", [0.0005, 0.001, 0.0025, 0.005])
def test_the_database_unit_of_a_file_is_its_own_affair(dbu):
    if dbu == 0.0025:
        with pytest.raises(xb.errors.InputError, match="must be multiples of one another"):
            check_layout(layout_of(clean(), dbu=dbu), SKY)
        return
    assert check_layout(layout_of(clean(), dbu=dbu), SKY).clean
    (violation,) = check_layout(layout_of(NECK, dbu=dbu), SKY).violations
    assert violation.measured == pytest.approx(0.05)
    assert violation.box == (-0.6, -0.025, -0.4, 0.025)


def test_half_a_database_unit_of_the_technology_is_off_the_grid():
    parts = changed(lambda p: p.update(lead0=("met3", (-2.0, -0.17, -1.0005, 0.17))))
    report = check_layout(layout_of(parts, dbu=0.0005), SKY)
    assert set(report.broken) == {"met3.grid"}
    assert report.violations[0].measured == pytest.approx(0.0005)


def test_what_no_rule_sees_is_said():
    layout = layout_of(clean())
    top = layout.top_cell()
    for layer in ((68, 16), (68, 5), (99, 3), (99, 3)):
        top.shapes(layout.layer(*layer)).insert(kdb.Box(0, 0, 100, 100))
    top.shapes(layout.layer(69, 20)).insert(kdb.Box(9000, 0, 9000, 5000))
    report = check_layout(layout, SKY)
    assert report.clean
    empty, unknown = report.notices
    assert unknown.startswith("2 shapes of TOP and the cells below it are on layer 99/3, which")
    assert empty.startswith("1 shapes of TOP and the cells below it on layer 69/20 have no area")


def test_a_layout_of_another_technology_is_no_clean_one():
    layout = kdb.Layout()
    layout.create_cell("TOP").shapes(layout.layer(1, 0)).insert(kdb.Box(0, 0, 10, 10))
    with pytest.raises(xb.errors.InputError, match="hold shapes on the layers of the technology"):
        check_layout(layout, SKY)
    with pytest.raises(xb.errors.InputError, match="must hold a cell; received none"):
        check_layout(kdb.Layout(), SKY)


def test_a_cell_that_is_missing_in_the_file_is_refused(tmp_path):
    layout = layout_of(clean())
    top, part = layout.top_cell(), layout.create_cell("PART")
    top.insert(kdb.CellInstArray(part.cell_index(), kdb.Trans()))
    part.ghost_cell = True  # its place is written, its content is not
    layout.write(str(tmp_path / "top.gds"))
    with pytest.raises(xb.errors.InputError, match="must be in its file; received places of PART"):
        check_file(tmp_path / "top.gds", SKY)


def test_an_array_without_measure_is_refused_before_it_fills_the_memory():
    layout = layout_of(clean())
    part, top = layout.top_cell(), layout.create_cell("CHIP")
    steps = kdb.DVector(20, 0), kdb.DVector(0, 20), 30000, 30000
    top.insert(kdb.DCellInstArray(part.cell_index(), kdb.DTrans(), *steps))
    with pytest.raises(xb.errors.InputError, match="at most 10000000 shapes; received 29700000000"):
        check_layout(layout, SKY)
    assert check_layout(layout, SKY, "TOP").clean


@pytest.mark.parametrize("content", [b"", b"text", b"\x00\x06\x00\x02\x00\x07"])
def test_a_file_that_is_no_layout_is_refused(content, tmp_path):
    (tmp_path / "a.gds").write_bytes(content)
    with pytest.raises(xb.errors.InputError, match="must be a GDSII or OASIS file"):
        check_file(tmp_path / "a.gds", SKY)


def test_many_places_are_counted_and_some_are_listed(monkeypatch):
    monkeypatch.setattr(check_module, "LISTED", 2)
    parts = changed(lambda p: [p.pop(f"device{k}{m}") for k in range(3) for m in range(3)])
    parts |= {f"x{k}": ("met2", (10.0 + k, 0.0, 10.2 + k, 0.2)) for k in range(5)}
    report = check_layout(layout_of(parts), SKY)
    assert report.broken == {"met2.area": 5}
    assert [v.box[0] for v in report.violations] == [10.0, 11.0]
    record = json.loads(json.dumps(report.record(), allow_nan=False))
    assert not record["clean"]
    assert record["broken"] == {"met2.area": 5}
    assert len(record["violations"]) == 2


# -- densities


def random_region(rng):
    """Boxes and triangles in 100 x 70 um."""
    region = kdb.Region()
    for x, y in rng.integers(0, [90_000, 60_000], (60, 2)).tolist():
        w, h = rng.integers(500, 10_000, 2).tolist()
        region.insert(kdb.Box(x, y, x + w, y + h))
    region.insert(kdb.Polygon([kdb.Point(0, 0), kdb.Point(40_000, 0), kdb.Point(0, 70_000)]))
    return region


@pytest.mark.parametrize(("side", "step"), [(30.0, 10.0), (30.0, 7.0), (64.0, 64.0), (200.0, 50.0)])
def test_shares_of_windows_are_those_of_each_window_alone(side, step):
    layout = kdb.Layout()
    layout.dbu = 0.001
    top = layout.create_cell("TOP")
    top.shapes(layout.layer(69, 20)).insert(random_region(np.random.default_rng(3)))
    shapes = Shapes(layout, top, SKY)
    rule = Rule(
        name="d",
        kind="largest density",
        layer="met2",
        limit=-1.0,
        unit="",
        above=side,
        step=step,
        words="",
    )
    windows = list(find_dense(rule, shapes))
    merged, extent = shapes.merged("met2"), shapes.extent()
    for box, share in windows:
        alone = (merged & kdb.Region(box)).area() / box.area()
        assert share == pytest.approx(alone, abs=1e-5)  # cut slopes end on database units
    if side < 70:
        union = kdb.Region([box for box, _ in windows]).merged()
        assert union.bbox() == extent
        assert (kdb.Region(extent) - union).is_empty()
        assert all(box.inside(extent) for box, _ in windows)
        assert len(list(find_sparse(rule, shapes))) == 0
    else:
        assert len(windows) == 1


DENSE = ("density = {window = 700.0, step = 70.0, max = 0.70}     # [L] MAXIMUMDENSITY",)


def test_density_is_judged_in_windows_here_and_in_the_application(tmp_path):
    technology = technology_of(
        tmp_path,
        "sky130b",
        (DENSE[0], "density = {window = 4.0, step = 1.0, min = 0.05, max = 0.4}"),
    )
    parts = clean() | {
        "plate": ("met1", (6.0, -2.0, 9.0, 1.0)),
        "frame": ("met3", (19.0, -2.0, 20.0, 5.0)),
    }
    layout = layout_of(parts)
    report = check_layout(layout, technology)
    assert set(report.broken) == {"met1.contact", "met1.density.max", "met1.density.min"}
    dense = [v for v in report.violations if v.rule == "met1.density.max"]
    assert max(v.measured for v in dense) == pytest.approx(9 / 16)
    assert all(v.box[0] < 9 and v.box[2] > 6 for v in dense)
    sparse = [v for v in report.violations if v.rule == "met1.density.min"]
    assert {round(v.measured, 6) for v in sparse} >= {0.0}
    layout.write(str(tmp_path / "a.gds"))
    items = judge(tmp_path / "a.gds", "TOP", tmp_path, technology)
    assert set(items) == set(report.broken)
    for rule in ("met1.density.max", "met1.density.min"):
        boxes = sorted(v.box for v in report.violations if v.rule == rule)
        assert sorted(place.box for place in items[rule].places) == boxes


def test_a_smallest_density_that_no_window_fits_is_not_said_to_hold(tmp_path):
    technology = technology_of(
        tmp_path, "sky130b", (DENSE[0], "density = {window = 700.0, step = 70.0, min = 0.3}")
    )
    report = check_layout(layout_of(clean()), technology)
    assert report.clean
    assert report.notices == ("met1.density.min was not checked: TOP is smaller than a window",)
    record = report.record()
    assert record["unchecked"] == [{"rule": "met1.density.min", "cell": "TOP"}]
    assert record["rules"] == len(rules_of(technology)) - 1
    assert sentence(record).endswith("broken on TOP; not checked: met1.density.min")
    two = layout_of(clean())
    insert(two.create_cell("LARGE"), {"plate": ("met1", (0.0, 0.0, 800.0, 800.0))})
    record = check_layout(two, technology).record()
    assert record["rules"] == len(rules_of(technology))
    assert sentence(record).endswith("not checked on some of them: met1.density.min")


def test_windows_without_number_are_refused(tmp_path):
    technology = technology_of(
        tmp_path, "sky130b", (DENSE[0], "density = {window = 0.01, step = 0.005, max = 0.7}")
    )
    parts = clean() | {"far": ("met3", (900.0, 900.0, 901.0, 901.0))}
    with pytest.raises(xb.errors.InputError, match=r"met1\.density\.max must ask for at most"):
        check_layout(layout_of(parts), technology)


# -- pads, the foundry's cell, other technologies


def test_the_opening_of_a_pad_keeps_its_distance_to_the_edge(tmp_path):
    demo = load_technology("demo")
    pad = {"pad": ("m3", (0.0, 0.0, 60.0, 60.0)), "hole": ("pads.opening", (5.0, 5.0, 55.0, 55.0))}
    assert check_layout(layout_of(pad, "demo"), demo).clean
    pad["hole"] = "pads.opening", (5.0, 4.0, 55.0, 55.0)
    layout = layout_of(pad, "demo")
    report = check_layout(layout, demo)
    assert report.broken == {"pads.opening.enclosure": 1}
    assert report.violations[0].measured == pytest.approx(4.0)
    layout.write(str(tmp_path / "pad.gds"))
    assert set(judge(tmp_path / "pad.gds", "TOP", tmp_path, demo, ".drc")) == set(report.broken)


def test_the_via_of_the_foundrys_cell_may_lie_on_its_device(tmp_path):
    (tmp_path / "cell.gds").write_bytes(b"")
    technology = technology_of(
        tmp_path,
        "sky130b",
        ('bottom = "met1"', 'cell = {file = "cell.gds", name = "reram"}\nbottom = "met1"'),
    )
    layout = kdb.Layout()
    layout.dbu = 0.001
    top, cell = layout.create_cell("TOP"), layout.create_cell("reram")
    cut = {"cut": ("via", (-0.075, -0.075, 0.075, 0.075))}
    parts = clean()
    insert(cell, cut | {"device": parts.pop("device11")} | {"device": clean()["device00"]})
    insert(top, parts)
    top.insert(kdb.DCellInstArray(cell.cell_index(), kdb.DTrans(PITCH, PITCH)))
    assert check_layout(layout, technology).clean
    assert set(check_layout(layout, SKY).broken) == {"device.excludes.via"}
    layout.write(str(tmp_path / "a.gds"))
    assert judge(tmp_path / "a.gds", "TOP", tmp_path, technology) == {}
    insert(top, cut)
    report = check_layout(layout, technology)
    assert set(report.broken) == {"device.excludes.via"}
    layout.write(str(tmp_path / "a.gds"))
    assert set(judge(tmp_path / "a.gds", "TOP", tmp_path, technology)) == set(report.broken)
    flat = layout_of(clean() | cut)
    (notice,) = check_layout(flat, technology).notices
    assert notice.startswith("the layout has no cell reram")


def test_devices_that_may_touch_are_not_refused(tmp_path):
    technology = technology_of(
        tmp_path, "sky130b", ("overhang = 0.03", "touching = true\noverhang = 0.03")
    )
    fault = next(f for f in FAULTS if f.name == "two devices that touch")
    assert broken(fault.parts, technology) == {}


# -- what was found before there were rules


def one_via_and_one_pad(pitch=PITCH, count=16):
    """An array as it was drawn from one `via` and one `pad`: met3 and via2 also on met1 lines."""
    half, cut, land, out = HALF, 0.1, 0.2, -1.5
    last = (count - 1) * pitch + half
    parts = {}
    for k in range(count):
        a = k * pitch
        parts[f"wl{k}"] = "met1", (out, a - half, last, a + half)
        parts[f"bl{k}"] = "met2", (a - half, out, a + half, last)
        x = out + 0.3
        for name, (u, v) in (("w", (x, a)), ("b", (a, x))):
            parts[f"{name}cut{k}"] = "via2", (u - cut, v - cut, u + cut, v + cut)
            wide, high = (0.6, land - 0.01) if name == "w" else (land - 0.01, 0.6)
            parts[f"{name}pad{k}"] = "met3", (u - wide, v - high, u + wide, v + high)
        for m in range(count):
            b = m * pitch
            parts[f"device{k}_{m}"] = "device", (b - half, a - half, b + half, a + half)
    return parts


def test_one_via_and_one_pad_for_both_directions_break_rules_at_every_line():
    """Such a technology was 'LVS clean', open at all 16 word lines, with 65 violations."""
    report = check_layout(layout_of(one_via_and_one_pad()), SKY)
    assert report.broken["met1.contact"] == 16  # word lines that reach no via
    assert report.broken["via2.enclosure.met2"] == 16  # cuts that stand on nothing
    assert report.broken["device.overhang.met1"] == 16  # ends flush with the last device
    assert report.broken["device.overhang.met2"] == 16
    flush = [v.box for v in report.violations if v.rule == "device.overhang.met1"]
    assert {box[2] for box in flush} == {round(15 * PITCH + HALF, 6)}
    bare = [v.box for v in report.violations if v.rule == "via2.enclosure.met2"]
    assert {box[0] for box in bare} == {-1.3}


def test_an_off_grid_pitch_is_found_at_lines_and_devices():
    report = check_layout(layout_of(one_via_and_one_pad(pitch=0.682)), SKY)
    assert {"met1.grid", "met2.grid", "device.grid", "via2.grid"} <= set(report.broken)
    assert report.broken["device.grid"] == 4 * 16 * 16 - 4 * sum(
        1 for k in range(16) for m in range(16) if 2 * k % 5 == 0 and 2 * m % 5 == 0
    )


def test_no_metal_of_sky130b_may_float_and_its_marks_do_not(tmp_path):
    """SkyWater's deck (m1.x to m5.x) found a mark and letters of met5 without a cut."""
    technology = load_technology("sky130b")
    assert all(metal.needs_contact for metal in technology.metal)
    for cell in (draw_mark, lambda *args: draw_text(*args, "XB-16x16 8")):
        layout = kdb.Layout()
        layout.dbu = technology.dbu
        cell(layout, technology, "part")
        assert not check_layout(layout, technology).violations
        for shape in list(
            layout.top_cell().shapes(layout.layer(*technology.vias["via4"].layer)).each()
        ):
            shape.delete()
        assert set(check_layout(layout, technology).broken) == {"met4.contact", "met5.contact"}
