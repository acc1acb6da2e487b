"""Currents against limits, with places; corners of the wires."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from tests.unit.tapeout.circuits import circuit_of, points
from xbarspice.nn import arrays, copy_circuit, exact_products, put_wires
from xbarspice.nn.drives import even_drives
from xbarspice.nn.origin import outputs_of
from xbarspice.tapeout import load_technology
from xbarspice.tapeout.circuit_sites import sites
from xbarspice.tapeout.drawing import Places, draw
from xbarspice.tapeout.extraction import extract, extract_wires
from xbarspice.tapeout.extraction.extracted import LineName
from xbarspice.tapeout.signoff import answers_at_corners, sign_off_array
from xbarspice.tapeout.signoff.capacities import capacities
from xbarspice.tapeout.signoff.corners import Condition, conditions, wires_at
from xbarspice.tapeout.signoff.currents import currents_of, judge

SKY = load_technology("sky130b")
WIRES = {"R_wl": 0.27, "R_bl": 0.27, "R_driver": 30.0, "R_sense": 30.0}


def judged(G, V, technology=SKY, **wires):
    array = xb.Crossbar(G, **WIRES).replace(**wires)
    records = judge(currents_of(array, np.atleast_2d(V)), capacities(technology, *np.shape(G)))
    return {(r["line"], r["part"]): r for r in records}


def test_a_tile_with_too_much_current_is_flagged_with_its_places():
    """32 lines at 100 to 500 uS: more than 1.2 mA on 0.32 um of met1, which carries 0.896 mA."""
    G, V = np.random.default_rng(0).uniform(1e-4, 5e-4, (32, 32)), np.full(32, 0.2)
    record = judged(G, V)
    line = record["word line", "segment"]
    assert line["layer"] == "met1, 0.32 um"
    assert line["limit_A"] == pytest.approx(0.896e-3)
    answer = xb.solve(xb.Crossbar(G, **WIRES), V, engine="nodal", full=True)
    first = answer.I_in - answer.I_device[:, 0]
    assert line["largest_A"] == pytest.approx(first.max(), rel=1e-6)
    assert first.max() > 1.2e-3
    assert line["count"] > 100
    worst, row = line["places"][0], int(np.argmax(first))
    assert worst["place"] == f"word line {row}, segment after column 0"
    assert (worst["x_um"], worst["y_um"]) == (0.34, pytest.approx((31 - row) * 0.68))
    cuts = record["word line", "cut via"]
    assert cuts["count"] == 32
    assert cuts["places"][0]["place"].startswith("cut via of word line ")
    assert record["word line", "pad"]["count"] == 0


def test_currents_are_those_of_kirchhoff():
    rng = np.random.default_rng(1)
    G, V = rng.uniform(1e-5, 1e-4, (4, 5)), rng.uniform(0.05, 0.2, (3, 4))
    wires = {**WIRES, "R_wl": rng.uniform(0.1, 5, (4, 4)), "R_sense": rng.uniform(1, 50, 5)}
    array = xb.Crossbar(G, **wires)
    currents, answer = currents_of(array, V), xb.solve(array, V, engine="nodal", full=True)
    expected = np.abs(np.cumsum(answer.I_device[..., ::-1], axis=-1)[..., ::-1])
    np.testing.assert_allclose(currents.segments["WL"], expected[..., 1:].max(axis=0), rtol=1e-7)
    np.testing.assert_allclose(currents.lines["WL"], np.abs(answer.I_in).max(axis=0), rtol=1e-7)
    np.testing.assert_allclose(currents.lines["BL"], np.abs(answer.I_out).max(axis=0), rtol=1e-7)
    down = np.abs(np.cumsum(answer.I_device, axis=-2))[:, :-1].max(axis=0).T
    np.testing.assert_allclose(currents.segments["BL"], down, rtol=1e-7)
    power = (V * answer.I_in).sum(axis=-1).mean()
    assert currents.power == pytest.approx(power, rel=1e-9)
    across = answer.V_wl - answer.V_bl
    np.testing.assert_allclose(currents.drop, (1 - across / V[..., None]).max(axis=0), rtol=1e-6)


def test_every_kind_of_part_has_its_limit_and_place():
    parts = {(c.kind, c.part): c for c in capacities(SKY, 3, 4)}
    assert set(parts) == {
        *(("WL", p) for p in ("segment", "cut via", "cut via2", "lead", "pad")),
        *(("BL", p) for p in ("segment", "cut via2", "lead", "pad")),
    }
    cuts, places = parts["WL", "cut via"], Places(rows=3, cols=4, technology=SKY)
    count = places.lands["WL"].cuts[0].count
    assert cuts.ampere[0] == 0.29e-3
    assert cuts.share == 1 / count
    assert (cuts.x[1], cuts.y[1]) == pytest.approx(np.array(places.landing("WL", 1)) * SKY.dbu)
    assert parts["BL", "segment"].ampere.shape == (4, 2)
    assert parts["WL", "pad"].ampere[0] == pytest.approx(6.8e-3 * 60)
    assert (parts["WL", "lead"].ampere <= 6.8e-3 * 60).all()
    free = [m.model_copy(update={"current": None}) for m in SKY.metal]
    none = SKY.model_copy(update={"metal": tuple(free)})
    assert {c.part for c in capacities(none, 3, 4)} == {"cut via", "cut via2"}


def test_wires_follow_the_corners_of_metals_and_vias():
    typical = Condition(corner="typ", temperature=27.0)
    for name, value in wires_at(SKY, WIRES, typical).items():
        np.testing.assert_allclose(np.asarray(value), WIRES[name])
    high = wires_at(SKY, WIRES, Condition(corner="max", temperature=27.0))
    assert high["R_wl"] == pytest.approx(0.27 * 0.145 / 0.125)
    cuts = {c.via: c.count for c in Places(rows=2, cols=2, technology=SKY).lands["WL"].cuts}
    typ = 9 / cuts["via"] + 3.41 / cuts["via2"]
    top = 30 / cuts["via"] + 8 / cuts["via2"]
    pad_typ, pad_top = 3.41 / 9 + 0.38 / 9, 8 / 9 + 0.891 / 9  # nine cuts of via3 and of via4
    rest = (30 - typ - pad_typ) * 0.056 / 0.047
    assert high["R_driver"] == pytest.approx(top + pad_top + rest)
    each = wires_at(SKY, {**WIRES, "R_sense": np.array([20.0, 40.0])}, typical)
    np.testing.assert_allclose(each["R_sense"], [20.0, 40.0])


def test_temperature_counts_where_a_metal_depends_on_it():
    assert [c.name for c in conditions(SKY)] == ["min, 27 deg C", "typ, 27 deg C", "max, 27 deg C"]
    warm = [m.model_copy(update={"tc": 4e-3}) for m in SKY.metal]
    technology = SKY.model_copy(update={"metal": tuple(warm)})
    names = [c.name for c in conditions(technology)]
    assert names[3:] == ["min, 90 deg C", "typ, 90 deg C", "max, 90 deg C"]
    hot = wires_at(technology, WIRES, conditions(technology)[4])
    assert hot["R_wl"] == pytest.approx(0.27 * (1 + 4e-3 * 63))


def test_an_array_of_a_model_is_signed_off():
    circuit = circuit_of(device="sinh_tio2", R_wl=0.27, R_bl=0.27, R_driver=30.0, R_sense=30.0)
    drives, _ = even_drives(circuit, (points(),), 4)
    array = arrays(circuit)[0]
    record = sign_off_array(array, SKY, drives.volts())
    assert record["passed"]
    assert {c["case"] for c in record["corners"]} == {"inputs", "full", "G_max", "G_min"}
    shares = {(c["case"], c["corner"]): c["largest_share"] for c in record["corners"]}
    assert shares["G_max", "min"] > shares["full", "min"] > shares["G_min", "min"]
    assert shares["full", "min"] > shares["full", "max"]
    drop = np.array(record["drop"])
    assert drop.shape == array.crossbar.G.shape
    assert 0 < drop.max() < 0.2
    times = {s["condition"]: s["time_s"] for s in record["settling"]}
    assert 0 < times["min, 27 deg C"] < times["max, 27 deg C"]
    met1, *others = SKY.metal
    thin = met1.model_copy(update={"current": 1e-7})
    starved = SKY.model_copy(update={"metal": (thin, *others)})
    assert not sign_off_array(array, starved, drives.volts())["passed"]


@pytest.mark.parametrize("name", ["demo", "sky130b"])
def test_scaled_wires_are_those_that_are_extracted_at_each_corner(name):
    technology, array = load_technology(name), xb.Crossbar(np.full((8, 6), 1e-4))
    layout = draw(array, technology)
    extracted = extract(layout.top_cell(), technology)
    nets = extracted.line_nets()
    rows = np.array([nets[LineName("WL", k)][0] for k in range(8)])
    cols = np.array([nets[LineName("BL", k)][0] for k in range(6)])
    typical = extract_wires(extracted, rows, cols).arrays()
    assert len(conditions(technology)) == (6 if name == "demo" else 3)
    for condition in conditions(technology):
        there = extract_wires(extracted, rows, cols, condition.corner, condition.temperature)
        scaled = wires_at(technology, typical, condition)
        for wire, R in there.arrays().items():
            np.testing.assert_allclose(scaled[wire], R, rtol=5e-3, err_msg=wire)


def drawn_circuit():
    """A model on two arrays with wires of their own, no two alike, and its sites."""
    circuit = circuit_of(R_wl=100.0, R_bl=100.0, R_driver=500.0, R_sense=500.0)
    rng = np.random.default_rng(4)
    for array in arrays(circuit):
        rows, cols = array.crossbar.G.shape
        shapes = {"R_wl": (rows, cols - 1), "R_bl": (rows - 1, cols)}
        leads = {"R_driver": (rows,), "R_sense": (cols,)}
        wires = {wire: rng.uniform(0.5, 2.0, shape) for wire, shape in shapes.items()}
        wires |= {wire: rng.uniform(50.0, 150.0, shape) for wire, shape in leads.items()}
        put_wires(circuit, {array.name: wires})
    return circuit, sites(circuit)


def test_answers_of_a_model_at_the_corners():
    circuit, drawn = drawn_circuit()
    y = np.zeros(6, dtype=int)
    answers = answers_at_corners(circuit, drawn, SKY, (points(),), y)
    errors = [a["largest_error"] for a in answers]
    assert errors == sorted(errors)
    assert errors[0] > 0
    assert all(0 <= a["accuracy"] <= 1 and 0 <= a["agreement"] <= 1 for a in answers)
    assert answers_at_corners(circuit, drawn, SKY, (points(),), None)[0]["accuracy"] is None


def test_answers_at_a_corner_are_those_of_the_wires_of_each_array():
    """Against the outputs through the nodal engine; an array that was not drawn keeps its wires."""
    circuit, drawn = drawn_circuit()
    with exact_products():
        (software,) = outputs_of(circuit, (points(),))
    for chosen in (drawn, drawn[1:]):
        answers = answers_at_corners(circuit, chosen, SKY, (points(),), None)
        for answer, condition in zip(answers, conditions(SKY), strict=True):
            there = copy_circuit(circuit)
            for site in chosen:
                wires = wires_at(SKY, site.array.crossbar.wires, condition)
                assert all(np.ndim(R) for R in wires.values())
                put_wires(there, {site.array.name: wires})
            with xb.nn.through("nodal"):
                (outputs,) = outputs_of(there, (points(),))
            expected = float((outputs - software).abs().max() / software.abs().max())
            assert answer["largest_error"] == pytest.approx(expected, rel=1e-6)
