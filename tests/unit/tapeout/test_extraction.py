"""Nets, devices and resistances of drawn metal, against an independent field solution."""

from __future__ import annotations

import klayout.db as kdb
import numpy as np
import pytest

import xbarspice as xb
from tests.unit.tapeout.hand_drawn import TECHNOLOGIES, hand_drawn
from tests.unit.tapeout.sheets import Sheets
from xbarspice.tapeout.drawing import draw
from xbarspice.tapeout.extraction import extract, extract_wires
from xbarspice.tapeout.extraction.extracted import LineName
from xbarspice.tapeout.extraction.fields import solve_sheet
from xbarspice.tapeout.extraction.shapes import find_overlaps
from xbarspice.tapeout.lvs import compare_layout
from xbarspice.tapeout.technology import load_technology

ROWS, COLS = 2, 3
G = np.random.default_rng(3).uniform(10e-6, 50e-6, (ROWS, COLS))


def wires_of(cell, technology, shape):
    """The resistive view of a drawing whose labels are right."""
    extracted = extract(cell, technology)
    nets = extracted.line_nets()
    rows, cols = (
        np.array([nets[LineName(kind, k)][0] for k in range(n)])
        for kind, n in zip(("WL", "BL"), shape, strict=True)
    )
    return extract_wires(extracted, rows, cols)


def field_of_line(d, sheets, kind, k):
    """Lead and segments of a line, ohm, by the field solution: 1 A from its far tip to its pad."""
    t = d.technology
    w, h = t.device.size
    if kind == "WL":
        line, cross = t.array.word_line, [(d.x(c), d.y(k)) for c in range(d.cols)]
        x, y = cross[-1]
        tip = (x + w / 2, y - line.width / 2, x + w / 2 + line.extension, y + line.width / 2)
    else:
        line, cross = t.array.bit_line, [(d.x(k), d.y(r)) for r in range(d.rows)]
        x, y = cross[0]
        tip = (x - line.width / 2, y + h / 2, x + line.width / 2, y + h / 2 + line.extension)
    metal = [m.name for m in t.metal].index(line.metal)
    V = sheets.potentials(d.pad(kind, k), metal, tip)
    at = [sheets.mean(V, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)) for x, y in cross]
    return (at[0] if kind == "WL" else at[-1]), np.abs(np.diff(at))


def narrow_word_line(d):
    """A lead and a segment with necks, and a lead with a plate beside it."""
    line, p = d.technology.array.word_line, d.technology.array.pitch
    x, y = d.x(0) + p[0] / 2, d.y(1)
    d.erase(line.metal, x - p[0] / 8, y, x + p[0] / 8, y + line.width)
    d.erase(line.metal, -2 * p[0], y - line.width, -1.5 * p[0], y - line.width / 5)
    top = d.technology.array.landing.word_line[-1]
    d.box(top, -4 * p[0] - 3.0, d.y(0), -4 * p[0] - 1.0, d.y(0) + 2.0)


@pytest.mark.parametrize("change", [lambda d: None, narrow_word_line], ids=["plain", "changed"])
@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_resistances_line_by_line_are_those_of_the_field(name, change):
    d = hand_drawn(name, G, pad_size=4.0, step=6.0)
    change(d)
    view = wires_of(d.cell, d.technology, G.shape)
    sheets = Sheets(d.cell, d.technology)
    assert view.complete
    for kind, lines, end in (("WL", view.word_lines, 0), ("BL", view.bit_lines, 1)):
        for k, line in enumerate(lines):
            lead, segments = field_of_line(d, sheets, kind, k)
            cuts = sum(part.resistance for part in line.parts if part.kind == "cut")
            assert line.leads[end] == pytest.approx(lead, rel=0.02)
            assert line.leads[end] - cuts == pytest.approx(lead - cuts, rel=0.02), "metal alone"
            assert line.segments == pytest.approx(segments, rel=0.02)
    if change is narrow_word_line:
        changed, plain = view.word_lines[1], view.word_lines[0]
        assert changed.segments[0] > 1.1 * plain.segments[0]


PLACES = {
    "moved": kdb.ICplxTrans(1.0, 0.0, False, 12345, -6780),
    "turned": kdb.ICplxTrans(1.0, 90.0, False, 0, 0),
    "mirrored": kdb.ICplxTrans(1.0, 180.0, True, -40, 11),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_nothing_depends_on_where_and_in_which_hierarchy_a_drawing_stands(name, place):
    d = hand_drawn(name, G)
    expected = compare_layout(d.layout, xb.Crossbar(G), d.technology)
    top = d.layout.create_cell("top")
    middle = d.layout.create_cell("middle")
    middle.insert(kdb.CellInstArray(d.cell.cell_index(), PLACES[place]))
    top.insert(kdb.CellInstArray(middle.cell_index(), kdb.Trans(5, 7)))
    report = compare_layout(d.layout, xb.Crossbar(G), d.technology)
    assert report.clean, [str(f) for f in report.faults]
    for R, R_expected in zip(
        report.wires.arrays().values(), expected.wires.arrays().values(), strict=True
    ):
        np.testing.assert_allclose(R, R_expected, rtol=2e-3)


def test_slanted_metal_has_the_resistance_of_straight_metal():
    d = hand_drawn("demo", G)
    expected = wires_of(d.cell, d.technology, G.shape).arrays()
    d.cell.transform(kdb.ICplxTrans(1.0, 30.0, False, 0, 0))
    turned = wires_of(d.cell, d.technology, G.shape).arrays()
    for name, R in expected.items():
        np.testing.assert_allclose(turned[name], R, rtol=0.01)


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_a_foundry_like_drawing_gives_every_line_its_own_lead(name):
    t = load_technology(name)
    array = xb.Crossbar(np.full((8, 6), 1e-4))
    report = compare_layout(draw(array, t), array, t)
    assert report.clean, [str(f) for f in report.faults]
    R = report.wires.arrays()
    assert len(np.unique(np.round(R["R_driver"], 6))) == 8
    assert max(line.branching for line in report.wires.word_lines) < 1e-9
    expected = t.segments()
    assert R["R_wl"] == pytest.approx(expected["R_wl"], rel=1e-4)
    assert R["R_bl"] == pytest.approx(expected["R_bl"], rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (2, 2)])
def test_small_arrays_have_all_their_resistances(shape):
    t, array = load_technology("demo"), xb.Crossbar(np.full(shape, 1e-4))
    report = compare_layout(draw(array, t), array, t)
    assert report.clean, [str(f) for f in report.faults]
    R = report.wires.arrays()
    assert R["R_wl"].shape == (shape[0], shape[1] - 1)
    assert R["R_bl"].shape == (shape[0] - 1, shape[1])
    assert (R["R_driver"] > 5.0).all(), "two vias alone have 6 ohm"
    assert (R["R_sense"] > 3.0).all()


def test_all_engines_solve_the_drawn_wires_alike():
    t = load_technology("sky130b")
    G = np.random.default_rng(1).uniform(10e-6, 100e-6, (6, 5))
    report = compare_layout(draw(xb.Crossbar(G), t), xb.Crossbar(G), t)
    array = xb.Crossbar(G, **report.wires.arrays())
    V_in = np.random.default_rng(2).uniform(-0.2, 0.2, (3, 6))
    answers = [
        xb.solve(array, V_in, engine=name).I_out for name in ("nodal", "surrogate", "ngspice")
    ]
    for I_out in answers[1:]:
        np.testing.assert_allclose(I_out, answers[0], rtol=1e-9, atol=1e-9 * abs(answers[0]).max())
    one_number = array.replace(**{k: float(np.mean(R)) for k, R in report.wires.arrays().items()})
    assert abs(xb.solve(one_number, V_in).I_out / answers[0] - 1).max() > 1e-6


def test_stated_resistances_are_compared_line_by_line():
    d = hand_drawn("sky130b", G)
    stated = compare_layout(d.layout, xb.Crossbar(G), d.technology).wires.arrays()
    array = xb.Crossbar(G, **stated)
    report = compare_layout(d.layout, array, d.technology)
    assert report.clean, [str(f) for f in report.faults]
    assert "the resistance of every segment and lead with the file" in report.looked_at
    # one more cut in a landing changes nothing else
    via2 = d.technology.vias["via2"]
    x, y = -4 * d.technology.array.pitch[0], d.y(1)
    half = via2.size / 2
    for metal in ("met2", "met3"):
        d.box(metal, x - 0.6, y - 0.15, x, y + 0.15)
    d.box("via2", x - 0.4 - half, y - half, x - 0.4 + half, y + half)
    report = compare_layout(d.layout, array, d.technology)
    assert [f.kind for f in report.faults] == ["wire"]
    assert report.faults[0].place.startswith("lead of word line 1: ")


def test_a_corner_is_0_5587_squares():
    bend = np.array([[0, 0], [0, 4], [1, 4], [1, 1], [4, 1], [4, 0]]) * 1000.0
    field = solve_sheet([bend], [bend[[1, 2]], bend[[4, 5]]])
    assert 1 / field.conductance[0, 0] == pytest.approx(6.5587, rel=5e-3)
    finer = solve_sheet([bend], [bend[[1, 2]], bend[[4, 5]]], fineness=4.0)
    assert 1 / finer.conductance[0, 0] == pytest.approx(6.5587, rel=1e-3)


@pytest.mark.parametrize("touching", [False, True])
@pytest.mark.parametrize("largest", [5, 60, 2000])
def test_overlaps_are_those_of_all_pairs(largest, touching):
    rng = np.random.default_rng(largest)

    def boxes(n):
        low = rng.integers(-1000, 1000, (n, 2))
        return np.concatenate(
            [low, low + np.exp(rng.uniform(0, np.log(largest), (n, 2))).astype(int) + 1], 1
        )

    a, b = boxes(120), boxes(150)
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    meets = (width > 0) & (height > 0)
    if touching:
        meets |= ((width == 0) & (height > 0)) | ((width > 0) & (height == 0))
    found = list(zip(*(v.tolist() for v in find_overlaps(a, b, touching=touching)), strict=True))
    assert sorted(found) == [tuple(pair) for pair in np.argwhere(meets).tolist()]
