"""LVS of hand-drawn arrays: a good one is clean, every seeded fault is named with its place."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from tests.unit.tapeout.hand_drawn import PAD, STEP, TECHNOLOGIES, hand_drawn
from xbarspice.tapeout.lvs import compare_layout

ROWS, COLS = 4, 3
G = np.random.default_rng(3).uniform(10e-6, 50e-6, (ROWS, COLS))
G[1, 2] = 0.0
SHORTS, OPENS, DEVICES, LABELS, CUTS, WIRES = {}, {}, {}, {}, {}, {}


def seeded(group, kind, words, at=None):
    """A change of a good drawing, the kind of fault that must be named, its words and place."""

    def add(change):
        group[change.__name__] = (change, kind, words, at)
        return change

    return add


def mid(d, r0, c0, r1=None, c1=None):
    """Middle between two crossings, um."""
    r1, c1 = r0 if r1 is None else r1, c0 if c1 is None else c1
    return (d.x(c0) + d.x(c1)) / 2, (d.y(r0) + d.y(r1)) / 2


def parts(d):
    """Metals of word lines, bit lines and pads, and the vias below and above."""
    t = d.technology
    wl = t.array.landing.word_line
    return wl[0], wl[2], wl[4], wl[1], wl[3]


def landing(d, kind, line):
    p = d.technology.array.pitch
    return (-4 * p[0], d.y(line)) if kind == "WL" else (d.x(line), -4 * p[1])


def around(d, name, x, y, half, draw):
    (d.box if draw else d.erase)(name, x - half, y - half, x + half, y + half)


# ---- lines that are joined


@seeded(SHORTS, "short", "word lines 1 and 2 are joined by {m1}", lambda d: mid(d, 1, 0, 2, 1))
def bar_between_word_lines(d):
    x, y = mid(d, 1, 0, 2, 1)
    p = d.technology.array.pitch
    d.box(parts(d)[0], x - p[0] / 10, y - p[1] / 2, x + p[0] / 10, y + p[1] / 2)


@seeded(SHORTS, "short", "bit lines 0 and 1 are joined by {m2}", lambda d: mid(d, 2, 0, 3, 1))
def bar_between_bit_lines(d):
    x, y = mid(d, 2, 0, 3, 1)
    p = d.technology.array.pitch
    d.box(parts(d)[1], x - p[0] / 2, y - p[1] / 10, x + p[0] / 2, y + p[1] / 10)


@seeded(
    SHORTS,
    "short",
    "word lines 2 and 3 are joined by {m3}",
    lambda d: (d.pad("WL", 3)[0], d.pad("WL", 2)[1] - STEP / 2),
)
def bar_between_two_pads(d):
    x, y = d.pad("WL", 3)
    d.box(parts(d)[2], x - 2, y, x + 2, y + STEP)


@seeded(
    SHORTS,
    "short",
    "word lines 0 and 1 are joined by {m3}",
    lambda d: (d.pad("WL", 1)[0], d.pad("WL", 1)[1] + STEP / 2),
)
def bar_over_all_word_line_pads(d):
    x, low = d.pad("WL", ROWS - 1)
    d.box(parts(d)[2], x - PAD / 2, low, x + PAD / 2, d.pad("WL", 0)[1])


@seeded(SHORTS, "short", "bit line 1 and word line 2 are joined by {v1}", lambda d: mid(d, 2, 1))
def cut_on_a_crossing(d):
    half = d.technology.vias[parts(d)[3]].size / 2
    around(d, parts(d)[3], *mid(d, 2, 1), half, True)


@seeded(SHORTS, "short", "bit line 0 and word line 3 are joined by", None)
def landing_that_reaches_a_bit_line(d):
    x, y = landing(d, "WL", 3)
    d.box(parts(d)[1], x, y - 0.1, d.x(0), y + 0.1)


@seeded(SHORTS, "short", "bit line 0 and word line 0 are joined by {m3}", None)
def word_line_pad_joined_to_a_bit_line_pad(d):
    (x0, y0), (x1, y1) = d.pad("WL", 0), d.pad("BL", 0)
    d.box(parts(d)[2], x0 - PAD, y0 - 1, x0, y0 + 1)
    d.box(parts(d)[2], x0 - PAD, y1 - 1, x0 - PAD + 2, y0 + 1)
    d.box(parts(d)[2], x0 - PAD, y1 - 1, x1, y1 + 1)


@seeded(SHORTS, "short", "word lines 1 and 2 are joined by {m1}", lambda d: mid(d, 1, 1, 2, 2))
def lines_joined_in_two_places(d):
    bar_between_word_lines(d)
    x, y = mid(d, 1, 1, 2, 2)
    p = d.technology.array.pitch
    d.box(parts(d)[0], x - p[0] / 10, y - p[1] / 2, x + p[0] / 10, y + p[1] / 2)


# ---- lines that are broken


@seeded(
    OPENS,
    "open",
    "word line 2 is open between column 0 and column 1 in {m1}",
    lambda d: mid(d, 2, 0, 2, 1),
)
def cut_word_line(d):
    around(d, parts(d)[0], *mid(d, 2, 0, 2, 1), d.technology.array.word_line.width * 0.6, False)


@seeded(
    OPENS,
    "open",
    "bit line 0 is open between row 1 and row 0 in {m2}",
    lambda d: mid(d, 0, 0, 1, 0),
)
def cut_bit_line(d):
    around(d, parts(d)[1], *mid(d, 0, 0, 1, 0), d.technology.array.bit_line.width * 0.6, False)


@seeded(
    OPENS,
    "open",
    "word line 1 is open between its label and column 0 to 1 in {m3}",
    lambda d: (d.pad("WL", 1)[0] + PAD / 2 + 2.0, d.pad("WL", 1)[1]),
)
def cut_lead(d):
    x, y = d.pad("WL", 1)
    around(d, parts(d)[2], x + PAD / 2 + 2.0, y, 1.0, False)


@seeded(
    OPENS,
    "open",
    "word line 0 is open between its label and column 0 to 2 where {v1} is missing",
    lambda d: landing(d, "WL", 0),
)
def missing_via_of_a_word_line(d):
    around(d, parts(d)[3], *landing(d, "WL", 0), 0.4, False)


@seeded(
    OPENS,
    "open",
    "word line 3 is open between its label and column 0 to 2 where {v2} is missing",
    lambda d: landing(d, "WL", 3),
)
def missing_via2_of_a_word_line(d):
    around(d, parts(d)[4], *landing(d, "WL", 3), 0.4, False)


@seeded(
    OPENS,
    "open",
    "bit line 2 is open between its label and row 0 to 3 where {v2} is missing",
    lambda d: landing(d, "BL", 2),
)
def missing_via_of_a_bit_line(d):
    around(d, parts(d)[4], *landing(d, "BL", 2), 0.4, False)


@seeded(OPENS, "open", "word line 1 reaches none of its devices", lambda d: mid(d, 1, 0, 1, 2))
def missing_word_line(d):
    p = d.technology.array.pitch
    half = d.technology.array.word_line.width * 0.6
    d.erase(parts(d)[0], -2 * p[0], d.y(1) - half, d.x(2) + p[0], d.y(1) + half)


@seeded(OPENS, "open", "label BL<1> stands on 2 nets that are not joined", None)
def label_on_two_pieces(d):
    cut_bit_line_1(d)
    d.label(parts(d)[1], "BL<1>", d.x(1), d.y(0))


def cut_bit_line_1(d):
    around(d, parts(d)[1], *mid(d, 1, 1, 2, 1), d.technology.array.bit_line.width * 0.6, False)


# ---- devices


@seeded(DEVICES, "missing device", "device at row 0, column 2", lambda d: mid(d, 0, 2))
def missing_device(d):
    around(d, "device", *mid(d, 0, 2), 0.4 * min(d.technology.array.pitch), False)


@seeded(DEVICES, "extra device", "device at row 1, column 2", lambda d: mid(d, 1, 2))
def device_at_an_empty_place(d):
    d.device(1, 2)


@seeded(
    DEVICES,
    "duplicate device",
    "a device shape is drawn on another at row 3, column 1",
    lambda d: mid(d, 3, 1),
)
def duplicate_device(d):
    d.device(3, 1)


@seeded(DEVICES, "duplicate device", "2 devices at row 0, column 0", lambda d: mid(d, 0, 0))
def device_in_two_halves(d):
    w, h = d.technology.device.size
    x, y = mid(d, 0, 0)
    d.erase("device", x - w / 8, y - h, x + w / 8, y + h)


@seeded(
    DEVICES,
    "device size",
    "device at row 2, column 0: drawn 0.01 x 0.01 um",
    lambda d: mid(d, 2, 0),
)
def device_of_10_nm(d):
    around(d, "device", *mid(d, 2, 0), 0.4 * min(d.technology.array.pitch), False)
    d.device(2, 0, size=(0.01, 0.01))


@seeded(DEVICES, "device place", "device at row 2, column 2: ", lambda d: mid(d, 2, 2))
def device_beyond_its_electrodes(d):
    t = d.technology
    d.device(2, 2, size=(t.device.size[0], t.array.pitch[1] * 0.6))


@seeded(DEVICES, "device place", "device at row 3, column 0: ", None)
def shifted_device(d):
    around(d, "device", *mid(d, 3, 0), 0.4 * min(d.technology.array.pitch), False)
    d.device(3, 0, dx=d.technology.device.size[0] / 2)


@seeded(
    DEVICES,
    "device place",
    "beside the crossing of row 0, column 1",
    lambda d: (d.x(1) + d.technology.array.pitch[0] * 0.52, d.y(0)),
)
def device_beside_its_crossing(d):
    p = d.technology.array.pitch
    around(d, "device", *mid(d, 0, 1), 0.4 * min(p), False)
    d.device(0, 1, size=(0.02, 0.02), dx=p[0] * 0.52)


@seeded(DEVICES, "device place", "its shape lies on more than one crossing", None)
def device_over_two_crossings(d):
    (x0, y), (x1, _) = mid(d, 0, 0), mid(d, 0, 1)
    d.box("device", x0, y - 0.1, x1, y + 0.1)


# ---- labels and pins


@seeded(LABELS, "label", "label of word line 1 stands where word line 2 belongs", None)
def swapped_word_line_labels(d):
    d.relabel({"WL<1>": "WL<2>", "WL<2>": "WL<1>"})


@seeded(LABELS, "label", "label of bit line 0 stands where bit line 1 belongs", None)
def swapped_bit_line_labels(d):
    d.relabel({"BL<0>": "BL<1>", "BL<1>": "BL<0>"})


@seeded(LABELS, "label", "label of bit line 0 stands where bit line 2 belongs", None)
def mirrored_bit_line_labels(d):
    d.relabel({"BL<0>": "BL<2>", "BL<2>": "BL<0>"})


@seeded(LABELS, "label", "word line 2 has no label", None)
def missing_label(d):
    d.relabel({"WL<2>": None})


@seeded(LABELS, "label", "label WL<4> names no line of the 4 x 3 array", lambda d: d.pad("WL", 3))
def label_beyond_the_array(d):
    d.relabel({"WL<3>": "WL<4>"})


@seeded(LABELS, "label", "label BL<1> stands on no {m3}", None)
def label_beside_its_pad(d):
    d.relabel({"BL<1>": None})
    x, y = d.pad("BL", 1)
    d.label(parts(d)[2], "BL<1>", x, y - PAD)


@seeded(LABELS, "pin", "label WL<0> stands on no pin shape of {m3}", lambda d: d.pad("WL", 0))
def missing_pin(d):
    x, y = d.pad("WL", 0)
    shapes = d.cell.shapes(d.layout.layer(*d.technology.metals[parts(d)[2]].pin))
    for shape in list(shapes.each()):
        if shape.bbox().contains(d.units(x, y, x, y).center()):
            shapes.erase(shape)


@seeded(
    LABELS,
    "label",
    "labels of word line 0 and word line 1 stand on one metal",
    lambda d: d.pad("WL", 1),
)
def two_labels_on_one_pad(d):
    x, y = d.pad("WL", 1)
    d.relabel({"WL<0>": None})
    d.label(parts(d)[2], "WL<0>", x + 1, y)


# ---- cuts


@seeded(CUTS, "cut", "a cut of {v2} lacks {m2} or {m3}", lambda d: d.pad("WL", 2))
def cut_without_lower_metal(d):
    around(d, parts(d)[4], *d.pad("WL", 2), d.technology.vias[parts(d)[4]].size / 2, True)


@seeded(CUTS, "cut", "a cut of {v1} lies on a device at row 3, column 2", lambda d: mid(d, 3, 2))
def cut_on_a_device(d):
    around(d, parts(d)[3], *mid(d, 3, 2), d.technology.vias[parts(d)[3]].size / 2, True)


@seeded(CUTS, "cut", "a cut of {v1} is drawn on another", lambda d: landing(d, "WL", 1))
def cut_on_a_cut(d):
    half = d.technology.vias[parts(d)[3]].size / 2
    around(d, parts(d)[3], *landing(d, "WL", 1), half, True)


# ---- resistances


@seeded(WIRES, "wire", "word line 3 is 0.05 um wide in {m1}", lambda d: mid(d, 3, 0, 3, 1))
def necked_line(d):
    x, y = mid(d, 3, 0, 3, 1)
    p, w = d.technology.array.pitch, d.technology.array.word_line.width
    d.erase(parts(d)[0], x - p[0] / 8, y - w, x + p[0] / 8, y - 0.025)
    d.erase(parts(d)[0], x - p[0] / 8, y + 0.025, x + p[0] / 8, y + w)


@seeded(
    WIRES, "wire", "word line 3, segment between column 0 and 1: ", lambda d: mid(d, 3, 0, 3, 1)
)
def narrowed_segment(d):
    x, y = mid(d, 3, 0, 3, 1)
    p, w = d.technology.array.pitch, d.technology.array.word_line.width
    d.erase(parts(d)[0], x - p[0] / 8, y + w / 4, x + p[0] / 8, y + w)


@seeded(WIRES, "wire", "bit line 1, segment between row 2 and 3: ", lambda d: mid(d, 2, 1, 3, 1))
def sliver_on_a_segment(d):
    x, y = mid(d, 2, 1, 3, 1)
    p, w = d.technology.array.pitch, d.technology.array.bit_line.width
    d.box(parts(d)[1], x, y - p[1] / 4, x + w / 2 + 0.05, y + p[1] / 4)


@seeded(WIRES, "wire", "word line 1 is 0.1 um wide in {m3}", None)
def necked_lead(d):
    x, y = d.pad("WL", 1)
    d.erase(parts(d)[2], x + PAD / 2 + 1, y + 0.05, x + PAD / 2 + 3, y + 1)
    d.erase(parts(d)[2], x + PAD / 2 + 1, y - 1, x + PAD / 2 + 3, y - 0.05)


@seeded(WIRES, "wire", "word line 0 is no chain", lambda d: mid(d, 0, 0))
def line_with_a_second_path(d):
    m1, p = parts(d)[0], d.technology.array.pitch
    y, left, right = d.y(0), d.x(0) - 1.5 * p[0], d.x(2) + 1.5 * p[0]
    top = y + 2.5 * p[1]
    for x in (left, right):
        d.box(m1, x - 0.2, y - 0.1, x + 0.2, top)
    d.box(m1, left, top, right + 0.2, top + 0.4)
    d.box(m1, d.x(2), y - 0.1, right, y + 0.1)


FAULTS = {**SHORTS, **OPENS, **DEVICES, **LABELS, **CUTS, **WIRES}


@pytest.fixture(params=TECHNOLOGIES)
def drawn(request):
    return hand_drawn(request.param, G)


def compare(d, array=None):
    return compare_layout(d.layout, array or xb.Crossbar(G), d.technology)


def texts(report):
    return [str(fault) for fault in report.faults]


def test_a_good_array_is_clean(drawn):
    report = compare(drawn)
    assert report.clean, texts(report)
    assert report.devices == np.count_nonzero(G)
    assert report.segments == ROWS * COLS + COLS * ROWS
    assert all(part.name in report.looked_at for part in drawn.technology.metal)
    R = report.wires.arrays()
    expected = drawn.technology.segments()
    assert R["R_wl"] == pytest.approx(expected["R_wl"], rel=1e-4)
    assert R["R_bl"] == pytest.approx(expected["R_bl"], rel=1e-4)
    assert np.all(np.diff(R["R_driver"]) < 0), "the top word line has the longest lead"
    assert np.all(np.diff(R["R_sense"]) > 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_with_its_place(drawn, fault):
    change, kind, words, at = FAULTS[fault]
    m1, m2, m3, v1, v2 = parts(drawn)
    change(drawn)
    report = compare(drawn)
    words = words.format(m1=m1, m2=m2, m3=m3, v1=v1, v2=v2)
    named = [f for f in report.faults if f.kind == kind and words in f.place]
    assert named, texts(report)
    if at is not None:
        x, y = at(drawn)
        reach = 6.0 if "pad" in fault else 0.6 * max(drawn.technology.array.pitch)
        far = min(np.hypot(f.x - x, f.y - y) for f in named)
        assert far <= reach, texts(report)


@pytest.mark.parametrize(("part", "kind"), [(3, "WL"), (4, "WL"), (4, "BL")])
def test_a_kind_of_line_that_is_open_everywhere_is_named_line_by_line(drawn, part, kind):
    via = parts(drawn)[part]
    count = {"WL": ROWS, "BL": COLS}[kind]
    for line in range(count):
        around(drawn, via, *landing(drawn, kind, line), 0.4, False)
    report = compare(drawn)
    words = {"WL": "word", "BL": "bit"}[kind]
    assert [f.kind for f in report.faults] == ["open"] * count
    for line in range(count):
        (fault,) = [f for f in report.faults if f.place.startswith(f"{words} line {line} is open")]
        assert f"where {via} is missing" in fault.place
        assert (fault.x, fault.y) == pytest.approx(landing(drawn, kind, line), abs=0.3)


def test_faults_of_many_kinds_are_told_apart(drawn):
    for change in (cut_lead, device_of_10_nm, duplicate_device, bar_between_bit_lines):
        change(drawn)
    kinds = {f.kind for f in compare(drawn).faults}
    assert kinds >= {"open", "device size", "duplicate device", "short"}


CHANGES = [c for c, *_ in FAULTS.values()]


@pytest.mark.parametrize("seed", range(12))
def test_no_drawing_is_an_error(drawn, seed):
    """Random boxes drawn and erased, on top of a fault: faults, never an exception."""
    rng = np.random.default_rng(seed)
    CHANGES[rng.integers(len(CHANGES))](drawn)
    names = ["device", *(p.name for p in (*drawn.technology.metal, *drawn.technology.via))]
    reach = 6 * max(drawn.technology.array.pitch)
    for _ in range(6):
        x, y = rng.uniform(-reach, reach, 2)
        w, h = rng.uniform(0.05, 3.0, 2)
        act = drawn.box if rng.random() < 0.6 else drawn.erase
        act(names[rng.integers(len(names))], x, y, x + w, y + h)
    report = compare(drawn)
    assert not report.clean
    assert all(fault.place for fault in report.faults)


def test_the_largest_array_is_compared():
    shape = (256, 256)
    d = hand_drawn("sky130b", np.ones(shape))
    report = compare_layout(d.layout, xb.Crossbar(np.ones(shape)), d.technology, wires=False)
    assert report.clean, texts(report)[:5]
    assert report.devices == 256**2
