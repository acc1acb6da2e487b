"""The drawing: it obeys the rules of its technology, connects what it must, and nothing else."""

from __future__ import annotations

import klayout.db as kdb
import numpy as np
import pytest
from matplotlib.figure import Figure

import xbarspice as xb
from tests.unit.tapeout.geometry import broken, nets, region
from xbarspice.core.errors import InputError
from xbarspice.tapeout.drawing import KINDS, Places, Rectangle, draw, pin_name, read, save
from xbarspice.tapeout.drawing.fanout import fan_out
from xbarspice.tapeout.drawing.pictures import has_leads, picture
from xbarspice.tapeout.technology import Technology, load_technology
from xbarspice.tapeout.technology.loading import NAMES

ONE = {"word_line": ["left"], "bit_line": ["bottom"]}
TWO = {"word_line": ["left", "top"], "bit_line": ["bottom", "right"]}


def change(name, **values):
    """A packaged technology with other entries, as ``array__dummies=2``."""
    tree = load_technology(name).model_dump(mode="json")
    for path, value in values.items():
        *tables, key = path.split("__")
        place = tree
        for table in tables:
            place = place[table]
        place[key] = value
    return Technology.model_validate(tree)


def rectangle(box):
    return Rectangle(box.left, box.bottom, box.right, box.top)


def array(rows, cols, absent=()):
    G = np.full((rows, cols), 1e-4)
    for place in absent:
        G[place] = 0.0
    return xb.Crossbar(G, R_wl=1.0, R_bl=1.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sides", [ONE, TWO, {**TWO, "bit_line": ["bottom"]}])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (9, 4), (16, 16), (40, 33)])
def test_a_drawing_obeys_every_rule_of_its_technology(name, sides, shape):
    technology = change(name, pads__sides=sides)
    assert broken(draw(array(*shape), technology), technology) == {}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "entries",
    [
        {"array__dummies": 2},
        {"pads": None, "die__monitors": None},
        {"pads": None, "die__monitors": None, "array__dummies": 1},
        {"lead__current": 0.85e-3},
        {"lead__resistance": 40.0},
        {"lead__width": 2.0},
    ],
)
def test_variants_of_a_technology_are_drawn_by_their_rules(name, entries):
    technology = change(name, **entries)
    assert broken(draw(array(7, 9, absent=[(0, 0), (3, 8)]), technology), technology) == {}


def test_a_rule_that_is_stricter_than_the_drawing_is_seen():
    """The check of these tests sees what it must."""
    technology = load_technology("sky130b")
    drawing = draw(array(3, 3), technology)
    strict = technology.model_copy(
        update={
            "metal": tuple(m.model_copy(update={"space": 0.37}) for m in technology.metal),
            "via": tuple(v.model_copy(update={"size": 0.3, "space": 0.3}) for v in technology.via),
            "device": technology.device.model_copy(update={"overhang": 0.05, "space": 0.5}),
        }
    )
    names = set(broken(drawing, strict))
    assert {"met1.space", "met2.space", "met3.space", "via.size", "via2.space"} <= names
    assert {"device.overhang.met1", "device.overhang.met2", "device.space"} <= names


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sides", [ONE, TWO])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (16, 16), (21, 6)])
def test_every_line_is_one_net_with_one_name(name, sides, shape):
    """Of the whole and of the array alone; joined lines would have a name of two."""
    technology = change(name, pads__sides=sides)
    drawing = draw(array(*shape), technology)
    lines = [pin_name("WL", r) for r in range(shape[0])]
    lines += [pin_name("BL", c) for c in range(shape[1])]
    assert nets(drawing, technology) == sorted(lines)
    assert nets(drawing, technology, drawing.cell("crossbar__array")) == sorted(lines)


def test_dummy_lines_are_nets_without_a_name():
    technology = change("sky130b", array__dummies=2)
    drawing = draw(array(3, 4), technology)
    assert len(nets(drawing, technology)) == 7
    plain = draw(array(3, 4), load_technology("sky130b"))
    for k, more in ((0, 4), (1, 4)):  # word lines on met1, bit lines on met2
        layer = technology.metal[k].layer
        landings = 3 if k else 0
        assert region(plain, layer).count() == (4 if k else 3) + landings
        assert region(drawing, layer).count() == (4 if k else 3) + more + landings + 4 * k


@pytest.mark.parametrize("absent", [[], [(0, 0)], [(1, 2), (2, 0), (2, 3)]])
def test_devices_stand_at_the_crossings_where_one_is_present(absent):
    technology = load_technology("sky130b")
    drawing = draw(array(3, 4, absent), technology)
    places = Places(rows=3, cols=4, technology=technology)
    seen = [
        cell
        for shape in region(drawing, technology.device.layer)
        for cell in places.crossings(rectangle(shape.bbox()))
    ]
    expected = [(r, c) for r in range(3) for c in range(4) if (r, c) not in absent]
    assert sorted(seen) == expected
    size = region(drawing, technology.device.layer).area() * technology.dbu**2
    assert size == pytest.approx(0.32 * 0.32 * len(expected))


@pytest.mark.parametrize("brackets", ["<>", "[]"])
def test_pads_carry_pins_and_labels_in_the_order_of_the_lines(brackets):
    technology = change("sky130b", pads__sides=ONE)
    drawing = draw(array(4, 3), technology, "moons_a0", brackets=brackets)
    metal = technology.metals["met5"]
    texts = {
        s.text.string: (s.text.x, s.text.y)
        for s in drawing.top_cell().shapes(drawing.layer(*metal.label)).each()
    }
    left, right = brackets
    heights = [texts[f"WL{left}{r}{right}"][1] for r in range(4)]
    assert np.diff(heights).tolist() == [-80000] * 3
    assert np.diff([texts[f"BL{left}{c}{right}"][0] for c in range(3)]).tolist() == [80000] * 2
    pins = kdb.Region(drawing.top_cell().shapes(drawing.layer(*metal.pin)))
    assert pins.count() == len(texts) == 7
    assert {(p.bbox().width(), p.bbox().height()) for p in pins.each()} == {(60000, 60000)}
    with pytest.raises(xb.errors.InputError, match="`brackets` must be one of"):
        draw(array(2, 2), technology, brackets="()")


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
def test_equal_drawings_are_equal_files_and_every_cell_has_the_name_of_the_design(suffix, tmp_path):
    technology = load_technology("sky130b")
    texts = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths = save(draw(array(5, 4), technology, "moons_a0"), tmp_path / folder, "tile")
        path = next(p for p in paths if p.suffix == suffix)
        texts.append(path.read_bytes())
        assert all(cell.name.startswith("moons_a0") for cell in read(path).each_cell())
        assert broken(read(path), technology) == {}
    assert texts[0] == texts[1]


def test_leads_keep_their_resistance_and_carry_their_current():
    limit = 20.0
    technology = change("sky130b", lead__resistance=limit, lead__current=0.85e-3)
    places = Places(rows=16, cols=16, technology=technology)
    for kind in KINDS:
        leads = fan_out(places, kind).leads
        assert 0.9 * limit < max(lead.resistance for lead in leads) <= limit
        assert min(lead.width for lead in leads) >= 0.3
    wider = Places(rows=16, cols=16, technology=change("sky130b"))
    assert max(x.resistance for x in fan_out(wider, "WL").leads) < limit
    with pytest.raises(xb.errors.InputError, match=r"lead\.resistance = 9 ohm must suffice"):
        draw(array(16, 16), change("sky130b", lead__resistance=9.0))
    with pytest.raises(xb.errors.InputError, match=r"met3\.current: a lead between two lines"):
        draw(array(3, 3), technology, current=2.7e-3)


def test_the_estimate_of_a_lead_is_near_a_count_of_its_squares():
    """Each straight box between two bends, from its own edges; bends make less than a fifth."""
    technology = change("sky130b", pads__sides=ONE)
    places = Places(rows=16, cols=16, technology=technology)
    fan, sheet = fan_out(places, "WL"), technology.at("typ").sheet["met3"]
    cuts = 9.0 / 2 + 3.41 / 2 + 3.41 / 9 + 0.38 / 9
    for lead in fan.leads[:-3]:
        narrow, lane, arm = lead.boxes
        squares = (narrow.right - lane.right) / (narrow.top - narrow.bottom)
        squares += (arm.bottom - narrow.top) / (lane.right - lane.left)
        squares += (lane.left - (arm.left + 30000)) / (arm.top - arm.bottom)
        assert lead.resistance == pytest.approx(cuts + sheet * squares, rel=0.2)


def foundry_cell(folder, size=320, name="reram_cell", dbu=0.001, more=0):
    """A cell like a foundry's: device, both metals and a cut, with the origin at a corner."""
    layout = kdb.Layout()
    layout.dbu = dbu
    cell = layout.create_cell(name)
    for layer, box in (
        ((201, 20), kdb.Box(0, 0, size, size)),
        ((68, 20), kdb.Box(0, 30, 320 + more, 290)),
        ((69, 20), kdb.Box(30, 0, 290, 320)),
        ((68, 44), kdb.Box(85, 85, 235, 235)),
    ):
        cell.shapes(layout.layer(*layer)).insert(box)
    layout.write(str(folder / "cell.gds"))
    return {"file": str(folder / "cell.gds"), "name": "reram_cell"}


def test_a_foundry_cell_stands_at_every_crossing_under_its_own_name(tmp_path):
    technology = change("sky130b", device__cell=foundry_cell(tmp_path))
    drawing = draw(array(3, 4, absent=[(1, 1)]), technology, "moons")
    cell = drawing.cell("reram_cell")
    assert cell is not None
    assert region(drawing, (201, 20)).count() == 11
    plain = draw(array(3, 4, absent=[(1, 1)]), load_technology("sky130b"), "moons")
    for layer in ((201, 20), (68, 20), (69, 20)):
        assert (region(drawing, layer) ^ region(plain, layer)).is_empty()
    cuts = region(drawing, (68, 44)) - region(plain, (68, 44))
    assert cuts.count() == 11


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"size": 300}, "must hold a device of device.size"),
        ({"name": "other"}, "device.cell.name must be in cell.gds; received reram_cell. other"),
        ({"dbu": 0.005}, "must have the database unit 0.001 um"),
        ({"more": 500}, "must fit into array.pitch.x"),
    ],
)
def test_a_cell_that_is_another_device_is_refused(entries, words, tmp_path):
    technology = change("sky130b", device__cell=foundry_cell(tmp_path, **entries))
    with pytest.raises(xb.errors.InputError, match=words):
        draw(array(2, 2), technology)
    (tmp_path / "cell.gds").write_bytes(b"no layout")
    with pytest.raises(xb.errors.InputError, match=r"device\.cell\.file must be a layout"):
        draw(array(2, 2), technology)


@pytest.mark.parametrize("seed", range(8))
def test_leads_of_any_shape_and_pads_neither_meet_nor_break_a_rule(seed):
    draw_number = np.random.default_rng(seed)
    rows, cols = (int(n) for n in draw_number.integers(1, 46, 2))
    technology = change(
        str(draw_number.choice(NAMES)),
        pads__pitch=float(draw_number.choice([70.0, 80.0, 100.0])),
        pads__size=float(draw_number.choice([50.0, 60.0])),
        pads__sides=[ONE, TWO][int(draw_number.integers(2))],
        lead__width=float(draw_number.choice([2.0, 8.0])),
        array__dummies=int(draw_number.integers(2)),
    )
    drawing = draw(array(rows, cols), technology)
    lines = [pin_name("WL", r) for r in range(rows)] + [pin_name("BL", c) for c in range(cols)]
    assert nets(drawing, technology) == sorted(lines)
    assert broken(drawing, technology) == {}


def test_the_picture_shows_the_whole_with_its_pins_and_the_array_in_it(tmp_path):
    technology = load_technology("sky130b")
    drawing = draw(array(4, 3), technology, "moons_a0")
    whole, inner = (
        xb.plot.layout(drawing, technology, part=part, ax=Figure().add_subplot())
        for part in ("whole", "array")
    )
    assert whole.get_xlabel() == "x (um)"
    names = [metal.name for metal in technology.metal]
    shown = [text.get_text() for text in inner.get_legend().get_texts()]
    assert {"device", "via"} < set(shown) <= {*names, "device", "via"}
    assert {text.get_text() for text in whole.texts} == {
        *(pin_name("WL", r) for r in range(4)),
        *(pin_name("BL", c) for c in range(3)),
    }
    box = drawing.cell("moons_a0__array").bbox()
    for limits, low, high in (
        (inner.get_xlim(), box.left, box.right),
        (inner.get_ylim(), box.bottom, box.top),
    ):
        assert limits == pytest.approx((low * 1e-3, high * 1e-3), abs=0.2)
    plan = draw(array(4, 3), change("sky130b", pads=None, die__monitors=None))
    assert has_leads(drawing, technology)
    assert not has_leads(plan, change("sky130b", pads=None, die__monitors=None))
    with pytest.raises(InputError, match="`part` must be whole or array"):
        xb.plot.layout(drawing, technology, part="pads")
    picture(drawing, technology, tmp_path / "layout.png")
    assert (tmp_path / "layout.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
def test_names_that_are_no_text_are_refused(suffix, tmp_path):
    layout = kdb.Layout()
    layout.create_cell("TOPQ").shapes(layout.layer(1, 0)).insert(kdb.Box(0, 0, 10, 10))
    path = tmp_path / f"a{suffix}"
    layout.write(str(path))
    whole = path.read_bytes()
    assert b"TOPQ" in whole
    path.write_bytes(whole.replace(b"TOPQ", b"TOP\xd0"))
    with pytest.raises(InputError, match="must be a GDSII or OASIS file"):
        read(path)
