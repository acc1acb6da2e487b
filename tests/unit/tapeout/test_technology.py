"""The technology: every rule that a deck would refuse is refused by its name."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

import xbarspice as xb
from xbarspice.tapeout.technology import CORNERS, Technology, load_technology, packaged
from xbarspice.tapeout.technology.landing import land
from xbarspice.tapeout.technology.loading import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_packaged_technology_is_whole_and_goes_through_json(name, tmp_path):
    technology = load_technology(name)
    assert technology.name == name
    again = Technology.model_validate(json.loads(json.dumps(technology.model_dump(mode="json"))))
    assert again == technology
    (tmp_path / "t.toml").write_text(packaged(name))
    assert load_technology(tmp_path / "t.toml") == technology


def test_every_number_of_the_open_process_has_its_source():
    """Each line with a number of [[metal]], [[via]], [[coupling]], [device] names one of them."""
    lines = packaged("sky130b").splitlines()
    start = lines.index("[[metal]]")
    for line, before in zip(lines[start:], lines[start - 1 :], strict=False):
        if re.search(r"= .*\d", line) and not line.startswith(("[", "name", "lower", "upper")):
            section = "\n".join(lines[: lines.index(line)]).rpartition("\n[")[2]
            sourced = any(re.search(r"\[[RLCMX]\]", text) for text in (line, before, section))
            assert sourced, line


def test_corners_and_temperature_give_the_resistances():
    technology = load_technology("sky130b")
    assert [technology.at(corner).via["via"] for corner in CORNERS] == [4.0, 9.0, 30.0]
    assert [technology.at(corner).sheet["met3"] for corner in CORNERS] == [0.038, 0.047, 0.056]
    assert technology.segments() == pytest.approx({"R_wl": 0.265625, "R_bl": 0.265625})
    demo = load_technology("demo")
    assert demo.at("typ", 127.0).sheet["m1"] == pytest.approx(0.5 * 1.35)
    assert demo.at("typ", 127.0).via["v1"] == 3.0
    with pytest.raises(xb.errors.InputError, match="`corner` must be one of"):
        demo.at("best")  # type: ignore[arg-type]
    with pytest.raises(xb.errors.InputError, match="must be positive at a temperature"):
        demo.at("typ", -270.0)


def test_capacitances_are_those_of_one_segment():
    C = load_technology("sky130b").capacitances()
    assert C["C_wl"] == pytest.approx((25.78e-18 * 0.32 + 2 * 40.57e-18) * 0.68)
    assert C["C_bl"] == pytest.approx((14.77e-18 * 0.32 + 2 * 32.92e-18) * 0.68)


def test_cuts_follow_from_current_and_resistance():
    technology = load_technology("sky130b")
    assert [(c.across, c.count) for c in land(technology, "word_line").cuts] == [(1, 2), (1, 2)]
    budget = technology.lead.model_copy(update={"resistance": 20.0})
    better = land(technology.model_copy(update={"lead": budget}), "word_line")
    assert [c.count for c in better.cuts] == [4, 2]  # 2.5 ohm for each via: 9/4, 3.41/2
    more = land(technology, "word_line", current=0.85e-3)
    assert [c.count for c in more.cuts] == [3, 2]
    demo = load_technology("demo")
    many = land(demo, "bit_line", current=4.5e-3)
    assert [(c.across, c.along) for c in many.cuts] == [(2, 3)]


EDITS = [
    # of: name, old text, new text, rule
    ("sky130b", "grid = 0.005", "grid = 0.0005", "grid: 0.0005 um must be a multiple of dbu"),
    ("sky130b", "pitch = [0.68, 0.68]", "pitch = [0.681, 0.68]", "grid: array.pitch.x = 0.681 um"),
    ("sky130b", "size = [0.32, 0.32]", "size = [0.325, 0.32]", "grid: device.size.x = 0.325 um"),
    ("sky130b", 'metal = "met1", width = 0.32', 'metal = "met1", width = 0.12', "met1.width"),
    ("sky130b", "pitch = [0.68, 0.68]", "pitch = [0.68, 0.44]", "met1.space: 0.12 um between two"),
    ("sky130b", "pitch = [0.68, 0.68]", "pitch = [0.44, 0.68]", "met2.space: 0.12 um between two"),
    ("sky130b", "pitch = [0.68, 0.68]", "pitch = [0.60, 0.68]", "landings of array.landing.bit_li"),
    ("sky130b", "size = [0.32, 0.32]", "size = [0.24, 0.32]", "device.width"),
    ("sky130b", "size = [0.32, 0.32]", "size = [0.64, 0.32]", "device.space: 0.04 um"),
    ("sky130b", "size = [0.32, 0.32]", "size = [0.34, 0.32]", "device.enclosure"),
    (
        "sky130b",
        "extension = 0.03}    #",
        "extension = 0.0}    #",
        "device.overhang: array.word_li",
    ),
    (
        "sky130b",
        "extension = 0.03}     #",
        "extension = 0.0}    #",
        "device.overhang: array.bit_lin",
    ),
    ("sky130b", '"met2", "via2", "met3"]\nb', '"met2"]\nb', "array.landing.word_line: it must end"),
    ("sky130b", '"met1", "via", "met2", "via2"', '"met1", "via2"', "must stand in turn"),
    (
        "sky130b",
        'bit_line = ["met2", ',
        'bit_line = ["met1", "via", "met2", ',
        "must begin at met2",
    ),
    ("sky130b", 'upper = "met3"', 'upper = "met1"', "via2.stack: lower and upper must be two"),
    ("sky130b", 'top = "met2"', 'top = "met3"', "device.stack"),
    ("sky130b", 'metal = "met2", width', 'metal = "met1", width', "array.electrodes"),
    ("sky130b", 'excludes = ["via"]', 'excludes = ["cut"]', "device.excludes: cut is no via"),
    ("sky130b", "layer = [201, 20]", "layer = [68, 20]", "layer: device and met1"),
    ("sky130b", 'name = "via2"', 'name = "via"', "name: via must name one"),
    (
        "sky130b",
        "two = 0.085}, upper = {all = 0.065}",
        "two = 0.03}, upper = {all = 0.065}",
        "`two`",
    ),
    ("sky130b", "above = 3.0, space = 0.28}  ", "above = 3.0, space = 0.1}  ", "met1.wide"),
    ("sky130b", "step = 70.0, max = 0.70", "step = 700.5, max = 0.70", "met1.density"),
    ("sky130b", "min = 4.0", "min = 14.0", "min <= typ <= max"),
    ("sky130b", "current = 0.5e-3", "current = 1.22e-3", "met1.current: lead.current = 0.00122 A"),
    ("sky130b", "pitch = 80.0", "pitch = 60.2", "met3.space: pads.pitch"),
    ("sky130b", "size = 60.0", "size = 0.2", "met3.width: pads.size"),
    ("sky130b", '["left", "top"]', '["top", "left"]', "word_line must name left"),
    (
        "sky130b",
        '["met3", "via3", "met4", "via4", "met5"]',
        '["met3", "via4", "met5"]',
        "pads.stac",
    ),
    ("sky130b", "cuts = 9", "cuts = 2000", "via4.enclosure: 45 x 45 cuts in a pad need"),
    ("demo", "enclosure = 5.0", "enclosure = 30.0", "pads.opening"),
    ("demo", "marks = 40.0", "marks = 40.0\nspacing = 0.5", "die.spacing: 0.5 um"),
    (
        "demo",
        "current = 1e-3\n\n[pads]",
        "current = 1e-3\nwidth = 0.2\n[pads]",
        "m3.width: lead.wid",
    ),
    ("demo", "sheet = {min = 0.4", "sheet = {min = -0.4", "greater than or equal to 0"),
    ("demo", "grid = 0.01", "", "Field required"),
    ("demo", "name = ", "name = = ", "TOML"),
]


@pytest.mark.parametrize(("name", "old", "new", "words"), EDITS)
def test_what_a_deck_would_refuse_is_refused_with_the_name_of_the_rule(
    name, old, new, words, tmp_path
):
    text = packaged(name)
    assert old in text
    path = tmp_path / "t.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(xb.errors.InputError, match=re.escape(words)):
        load_technology(path)


def test_a_foundry_cell_is_looked_for_beside_the_technology(tmp_path):
    text = packaged("sky130b").replace(
        'bottom = "met1"', 'cell = {file = "cells/x.gds", name = "x"}\nbottom = "met1"', 1
    )
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(xb.errors.InputError, match=r"device\.cell\.file must be a GDSII or OASIS"):
        load_technology(path)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells/x.gds").write_bytes(b"")
    cell = load_technology(path).device.cell
    assert cell is not None
    assert cell.file == str((tmp_path / "cells/x.gds").resolve())


def test_the_public_figures_of_the_open_process_are_in_the_file():
    """The rules of layers that a deck of SKY130 checks, and the limits at 90 C."""
    values = tomllib.loads(packaged("sky130b"))
    metals = {m["name"]: m for m in values["metal"]}
    assert {n: (m["width"], m["space"], m["area"]) for n, m in metals.items()} == {
        "met1": (0.14, 0.14, 0.083),
        "met2": (0.14, 0.14, 0.0676),
        "met3": (0.3, 0.3, 0.24),
        "met4": (0.3, 0.3, 0.24),
        "met5": (1.6, 1.6, 4.0),
    }
    assert {v["name"]: (v["size"], v["space"], v["current"]) for v in values["via"]} == {
        "via": (0.15, 0.17, 0.29e-3),
        "via2": (0.2, 0.2, 0.48e-3),
        "via3": (0.2, 0.2, 0.48e-3),
        "via4": (0.8, 0.8, 2.49e-3),
    }
