"""Verification: single arrays, worst inputs by search, energies, causes, gates."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import asymmetric_crossbar, small_network
from xbarspice import store
from xbarspice.config import GateConfig, RunConfig
from xbarspice.engines.nodal import NodalEngine
from xbarspice.errors import InputError
from xbarspice.mapping import map_network
from xbarspice.report.tables import gate_items, verdict
from xbarspice.studies.crosscheck import crosscheck
from xbarspice.studies.inference import energies, infer
from xbarspice.studies.verify.inputs import NO_CLASS, Inputs, box, joined, random_inputs
from xbarspice.studies.verify.judge import drive, point_errors, scales
from xbarspice.studies.verify.subject import is_array_file, load_array, single_array
from xbarspice.studies.verify.worst import _starts, worst_between_engines, worst_of_ideal
from xbarspice.surrogate.levels import LinearEngine

D, S, F = "driven", "sensed", "floating"
ENDS = {
    "read": xb.READ,
    "read from below": xb.LineEnds(wl_left=S, bl_bottom=D),
    "half": xb.LineEnds(bl_bottom=D),
    "mixed": xb.LineEnds(wl_left=[D, S], bl_bottom=[S, D, F]),
}


class Tilted(NodalEngine):
    """An engine that is wrong by one part in 1e4 in the last bit line's current."""

    name = "tilted"

    def _solve(self, state, crossbar, drive, full):
        raw = super()._solve(state, crossbar, drive, full)
        raw.I_out[:, -1] *= 1 + 1e-4
        return raw


@pytest.mark.parametrize("case", ENDS)
def test_a_single_array_without_wires_is_its_ideal_product(case):
    """Every kind of line ends: weights of the one-layer network are what the circuit gives."""
    crossbar, _ = asymmetric_crossbar(R_wl=0, R_bl=0, R_driver=0, R_sense=0, ends=ENDS[case])
    mapped = single_array(crossbar)
    x = np.random.default_rng(1).uniform(-0.2, 0.2, (4, mapped.network.sizes[0]))
    got = infer(mapped, x, "nodal").sums[-1]
    np.testing.assert_allclose(got, mapped.network.forward(x)[-1], rtol=0, atol=1e-18)


def test_the_asymmetric_array_keeps_rows_columns_and_signs(asymmetric):
    crossbar, V = asymmetric
    check = crosscheck(single_array(crossbar), [V], engines=("surrogate",), reference="nodal")
    exact = xb.solve(crossbar, V, engine="nodal", full=True)
    block = check.answers["nodal"].blocks[0]
    np.testing.assert_allclose(block.currents[0, :, 0], exact.I_out, rtol=1e-12)
    assert check.subject == "array"
    assert [c.line for c in check.engines[1].layers[0].columns] == ["BL0", "BL1", "BL2"]
    power = float(V @ exact.I_in)
    assert check.engines[0].energy[0] == pytest.approx(power * check.t_read)


def test_energy_is_what_resistors_turn_into_heat():
    """V I of all sources equals the heat of all devices, wires and ends, in both passes."""
    mapped = map_network(small_network(), layout="folded", R_wl=3.0, R_bl=2.0, R_driver=5.0,
                         R_sense=4.0)  # fmt: skip
    answer = infer(mapped, np.random.default_rng(0).random((3, 2)), "nodal", full=True)
    heat = 0.0
    for b in answer.blocks:
        s, c = b.solution, b.crossbar
        heat = heat + (s.I_device * (s.V_wl - s.V_bl)).sum(axis=(1, 2))
        heat = heat + (np.diff(s.V_wl, axis=2) ** 2).sum(axis=(1, 2)) / c.R_wl
        heat = heat + (np.diff(s.V_bl, axis=1) ** 2).sum(axis=(1, 2)) / c.R_bl
        for ends, current in ((c.wl_ends, s.I_in), (c.bl_ends, s.I_out)):
            R = np.array([min(c.end_resistance(e) for e in pair) for pair in ends])
            held = np.isfinite(R)
            heat = heat + (current[:, held] ** 2 * R[held]).sum(axis=1)
    np.testing.assert_allclose(energies(answer, 2e-7), 2e-7 * heat, rtol=1e-9)


def test_the_distance_from_the_ideal_product_has_two_parts():
    """Without wires it is all curvature, with ohmic devices all wires, and the parts add up."""
    x = np.random.default_rng(0).random((5, 2))
    cases = {
        "bent": {"R_wl": 0.0, "R_bl": 0.0, "device": "sinh_tio2"},
        "wired": {"R_wl": 5.0, "R_bl": 5.0, "device": "ohmic"},
        "both": {"R_wl": 5.0, "R_bl": 5.0, "device": "sinh_tio2"},
    }
    for name, changes in cases.items():
        mapped = map_network(small_network(), **changes)
        for k in crosscheck(mapped, x, engines=(), reference="nodal").ideal:
            assert abs(k.device + k.wires) == pytest.approx(k.worst, rel=1e-9)
            assert (abs(k.wires) < 1e-12) == (name == "bent")
            assert (abs(k.device) < 1e-12) == (name == "wired")
            assert (k.drop == pytest.approx(0, abs=1e-12)) == (name == "bent")


def test_a_floating_line_has_no_drive():
    crossbar, _ = asymmetric_crossbar(ends=xb.LineEnds(wl_left=[D, F]))
    answer = infer(single_array(crossbar), [[0.2]], "nodal", full=True).blocks[0]
    V = drive(answer)
    np.testing.assert_allclose(V[0, 0], 0.2)
    assert np.isnan(V[0, 1]).all()


def test_a_wrong_engine_is_found_with_place_and_reason():
    mapped = map_network(small_network(), device="sinh_tio2", R_wl=2.0)
    x = np.random.default_rng(0).random((6, 2))
    check = crosscheck(mapped, x, engines=(Tilted(),), reference="nodal")
    record = check.engines[1]
    assert not check.passed
    wrong = max(record.layers[0].columns, key=lambda c: c.worst)
    assert wrong.line == "BL5"
    assert 1e-5 < wrong.worst < 1.1e-4
    assert int(np.argmax(record.errors)) in range(6)
    assert any("Wires" in words for words in record.layers[0].worst_cell.why)


class Weak(Tilted):
    """The same, and it says so."""

    name = "weak"

    def _solve(self, state, crossbar, drive, full):
        raw = super()._solve(state, crossbar, drive, full)
        return replace(raw, error=None, stats=replace(raw.stats, error_at_most=float("nan")))


@pytest.mark.filterwarnings("ignore::xbarspice.errors.AccuracyWarning")
def test_a_right_engine_is_not_blamed_for_a_weak_reference():
    """Differences are judged by the limit plus the error bounds of both, which the page shows."""
    mapped = map_network(small_network(), device="sinh_tio2", R_wl=2.0)
    x = np.random.default_rng(0).random((6, 2))
    check = crosscheck(mapped, x, engines=("surrogate",), reference=Weak())
    reference, surrogate = check.engines
    assert 1e-5 < reference.error_bound < 1e-3
    assert 0 < surrogate.error_bound < 1e-9
    gate = next(g for g in check.gates if g.name == "surrogate: worst current error")
    assert gate.limit < gate.value <= gate.allowance
    assert gate.passed
    (table,) = gate_items(check.record())
    assert "of error bounds" in str(table.rows[0])
    # a reference that is as wrong and says that it is right is still found out
    assert not crosscheck(mapped, x, engines=("surrogate",), reference=Tilted()).passed


def test_every_named_gate_judges_its_own_quantity():
    limits = {
        "current": 1e-12, "rms": 1e-12, "device": 1e-30, "kirchhoff": 1e-30, "ideal": 1e-6,
        "drop": 1e-9, "energy": 1e-15, "findings": 0, "accuracy_loss": 0.0,
    }  # fmt: skip
    mapped = map_network(small_network(), device="sinh_tio2", R_wl=2.0)
    x = np.random.default_rng(0).random((6, 2))
    y = crosscheck(mapped, x, engines=(), reference="nodal").answers["nodal"].predictions
    check = crosscheck(mapped, x, 1 - y, engines=(Tilted(),), reference="nodal", findings=2,
                       gates=GateConfig(**limits))  # fmt: skip
    failed = {g.name for g in check.gates if not g.passed}
    assert {
        "tilted: worst current error", "tilted: rms current error", "tilted: Kirchhoff residual",
        "distance from the ideal product", "voltage lost in wires", "energy of an inference, J",
        "findings of the detectors",
    } <= failed  # fmt: skip
    loose = GateConfig(current=1.0)
    assert crosscheck(mapped, x, engines=(Tilted(),), reference="nodal", gates=loose).passed


def test_the_ideal_gate_judges_what_is_found_end_to_end():
    """Each layer is near the ideal product of its own inputs; the last sums and a search are not.

    The headline says what was compared, and the distance that no gate judges.
    """
    mapped = map_network(small_network(), device="ohmic", R_wl=9.0, R_bl=9.0)
    x = np.random.default_rng(0).random((6, 2))
    free = crosscheck(mapped, x, engines=("surrogate",), reference="nodal",
                      searched={"ideal": 0.6, "engines": 1e-9})  # fmt: skip
    software = mapped.network.forward(x)[-1]
    distance = np.abs(free.answers["nodal"].sums[-1] - software).max() / np.abs(software).max()
    assert free.end_to_end == pytest.approx(distance, rel=1e-12)
    layers = max(k.worst for k in free.ideal)
    assert not any("ideal" in g.name for g in free.gates)
    said = verdict(free.record() | {"worst_inputs": [{"target": "ideal", "value": 0.6}]})
    assert said.word == "PASS"
    assert "Compared: currents of surrogate with those of nodal at 6 inputs." in said.text
    assert "(0.6 by search) from the ideal product, which no gate judges" in said.text
    for limit, failed in (
        (0.7, []),
        (0.5, ["end to end, by search"]),
        (min(distance, layers) / 2, ["", "end to end", "end to end, by search"]),
    ):
        check = crosscheck(mapped, x, engines=("surrogate",), reference="nodal",
                           gates=GateConfig(ideal=limit), searched={"ideal": 0.6})  # fmt: skip
        names = [g.name for g in check.gates if not g.passed]
        before = "distance from the ideal product"
        assert names == [f"{before}, {word}" if word else before for word in failed]
    tight = crosscheck(mapped, x, engines=("surrogate",), reference="nodal",
                       searched={"engines": 2e-6})  # fmt: skip
    assert [g.name for g in tight.gates if not g.passed] == ["worst current error, by search"]


def test_a_gate_with_nothing_to_judge_is_named():
    mapped = map_network(small_network())
    x = np.full((2, 2), 0.5)
    gates = GateConfig(accuracy_loss=0.1, given=1e-6)
    check = crosscheck(mapped, x, engines=("surrogate",), reference="nodal", gates=gates)
    assert [text.partition(":")[0] for text in check.unjudged] == [
        "gates.accuracy_loss", "gates.given"
    ]  # fmt: skip
    assert "Not judged: gates.accuracy_loss: no input has a class." in verdict(check.record()).text
    known = crosscheck(mapped, x, [1, 1], engines=("surrogate",), reference="nodal")
    assert known.unjudged == ()


def test_points_without_a_class_count_in_no_accuracy():
    mapped = map_network(small_network())
    points = joined(
        [Inputs.of(np.full((2, 2), 0.5), [1, 1], "file"), random_inputs(mapped, 3, seed=0)]
    )
    assert points.y.tolist() == [1, 1, NO_CLASS, NO_CLASS, NO_CLASS]
    assert points.origin == ("file", "file", "random", "random", "random")
    check = crosscheck(mapped, points.x, points.y, engines=(), reference="nodal")
    same = crosscheck(mapped, points.x[:2], points.y[:2], engines=(), reference="nodal")
    assert check.engines[0].accuracy == same.engines[0].accuracy


def test_the_search_beats_its_starts_and_repeats():
    """The found distance is real (by the nodal engine), inside the box, and seeded."""
    mapped = map_network(small_network(), device="sinh_tio2", R_wl=5.0, R_bl=5.0)
    bounds = box(mapped, None, None, None)

    def search():
        return worst_of_ideal(mapped, bounds, np.random.default_rng(3), starts=4, steps=15)

    found = search()
    assert found.value >= found.start > 0
    assert ((found.x >= bounds[0]) & (found.x <= bounds[1])).all()
    np.testing.assert_array_equal(found.x, search().x)
    draws = np.random.default_rng(0).random((300, 2))
    gap = [
        np.abs(infer(mapped, p, "nodal").sums[-1] - mapped.network.forward(p)[-1]).max(axis=1)
        for p in (found.x[None], draws)
    ]
    assert gap[0][0] >= 0.98 * gap[1].max()  # as far as the worst of 300 random inputs


def test_the_worst_input_of_an_ohmic_array_is_full_scale():
    """All inputs at their largest draw the most current through the wires."""
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (5, 4))
    mapped = single_array(xb.Crossbar(G, R_wl=5.0, R_bl=5.0), V_read=0.3)
    found = worst_of_ideal(mapped, box(mapped, None, None, None), np.random.default_rng(0))
    np.testing.assert_allclose(found.x, 0.3, atol=1e-3)


def test_the_search_between_engines_finds_where_they_differ():
    """The tilted engine differs most where the last bit line carries the most of all current."""
    G = np.full((4, 3), 1e-4)
    G[0, -1] = 9e-4
    mapped = single_array(xb.Crossbar(G, R_wl=0.0, R_bl=0.0))
    found = worst_between_engines(
        mapped, box(mapped, None, None, None), np.random.default_rng(0), engines=(Tilted(),),
        reference="nodal", rounds=4,
    )  # fmt: skip
    assert found.value == pytest.approx(1e-4, rel=1e-3)
    assert found.value >= found.start


def test_the_search_between_engines_keeps_one_scale():
    """Its value is the error over the first round's currents, and no candidate had a larger one."""
    mapped = map_network(small_network(), device="sinh_tio2", R_wl=3.0, R_bl=3.0)
    bounds = box(mapped, None, None, None)
    linear = LinearEngine(warn=False)
    known = np.random.default_rng(1).random((50, 2))
    found = worst_between_engines(
        mapped, bounds, np.random.default_rng(0), engines=(linear,), reference="nodal",
        starts=6, also=[known],
    )  # fmt: skip
    first = np.concatenate([_starts(bounds, 6, np.random.default_rng(0)), known])
    I_max = scales(infer(mapped, first, "nodal"), 2)
    points = np.concatenate([[found.x], first])
    gap = point_errors(infer(mapped, points, linear), infer(mapped, points, "nodal"), I_max)
    assert found.value == pytest.approx(gap[0], rel=1e-9)
    assert gap[0] >= gap[1:].max() * (1 - 1e-9)
    assert gap[0] > 1e-3


def test_box_of_given_inputs():
    mapped = map_network(small_network())
    given = Inputs.of(np.array([[0.1, 0.2], [0.4, 0.2]]), None, "file")
    low, high = box(mapped, given, None, None)
    np.testing.assert_allclose([low, high], [[0.1, 0.0], [0.4, 1.0]])
    low, high = box(mapped, given, -1.0, 2.0)
    np.testing.assert_allclose([low, high], [[-1, -1], [2, 2]])


DEFAULTS = {"R_wl": 1.0, "R_bl": 1.0, "R_driver": 0.0, "R_sense": 0.0, "device": "ohmic"}


def test_array_files(tmp_path):
    """An .npz, our own HDF5 with any line ends, and a foreign HDF5 all give the same array."""
    import h5py

    crossbar, V = asymmetric_crossbar(device="sinh_tio2")
    values = {k: getattr(crossbar, k) for k in ("G", "R_wl", "R_bl", "R_driver", "R_sense")}
    I_out = xb.solve(crossbar, V, engine="nodal").I_out
    np.savez(tmp_path / "a.npz", **values, device="sinh_tio2", V_in=V, I_out=I_out)
    store.write_tree(tmp_path / "b.h5", store.crossbar_to_tree(crossbar), "crossbar")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for name, value in {**values, "device": "sinh_tio2"}.items():
            file[name] = value
    for name in ("a.npz", "b.h5", "c.h5"):
        assert is_array_file(tmp_path / name)
        found = load_array(tmp_path / name, DEFAULTS).crossbar
        assert repr(found) == repr(crossbar)
        np.testing.assert_array_equal(found.G, crossbar.G)
    file = load_array(tmp_path / "a.npz", DEFAULTS)
    np.testing.assert_array_equal(file.x, [V])
    np.testing.assert_array_equal(file.I_out, [I_out])
    np.savez(tmp_path / "d.npz", G=crossbar.G)
    assert load_array(tmp_path / "d.npz", DEFAULTS).crossbar.R_wl == 1.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Gs": [[1.0]]}, "must hold G"),
        ({"G": [[1e-4]], "R_wire": 1.0}, "nothing beside"),
        ({"G": [[1e-4]], "I_out": [[1.0]]}, "must hold V_in"),
        ({"G": [[1e-4]], "V_in": [[0.1]], "I_out": [[1.0, 2.0]]}, "`I_out`"),
        ({"G": [[1e-4]], "V_in": [[0.1, 0.2]]}, "`V_in` must end"),
    ],
)
def test_wrong_array_files_are_refused(tmp_path, values, words):
    np.savez(tmp_path / "a.npz", **values)
    with pytest.raises(InputError, match=words):
        load_array(tmp_path / "a.npz", DEFAULTS)


def test_a_network_file_is_no_array(tmp_path):
    np.savez(tmp_path / "n.npz", W0=[[1.0]])
    assert not is_array_file(tmp_path / "n.npz")
    store.save_mapped(tmp_path / "m.h5", map_network(small_network()))
    assert not is_array_file(tmp_path / "m.h5")


def test_gates_and_sweeps_in_toml(tmp_path):
    config = RunConfig.from_mapping({"gates": {"ideal": 0.05, "energy": 1e-9}})
    (tmp_path / "run.toml").write_text(config.to_toml())
    assert RunConfig.from_toml(tmp_path / "run.toml").gates.ideal == 0.05
    for wrong in (
        {"gates": {"ideal": 0}}, {"verify": {"low": 1.0, "high": 0.0}},
        {"sweep": {"sizes": [8, 4]}}, {"sweep": {"devices": []}},
    ):  # fmt: skip
        with pytest.raises(InputError):
            RunConfig.from_mapping(wrong)


def test_an_array_file_without_a_device_takes_that_of_the_configuration(tmp_path):
    np.savez(tmp_path / "a.npz", G=np.full((2, 3), 1e-4), R_wl=2.0)
    defaults = RunConfig().array.arguments()
    array = load_array(tmp_path / "a.npz", defaults).crossbar
    assert array.device == defaults["device"]
    assert (array.R_wl, array.R_bl) == (2.0, defaults["R_bl"])


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"R_wl": [1.0, 1.0]}, r"R_wl: .*one number"),
        ({"R_wl": "one"}, "R_wl: .*text"),
        ({"R_wl": 1e308}, "R_wl"),
        ({"device": 3}, "device: must be text"),
        ({"device": "magic"}, "`device` must be a Device or one of"),
        ({"V_in": np.ones((2, 5))}, "`V_in` must end in the row axis"),
        ({"V_in": np.array([[1 + 1j, 0]])}, "V_in: .*complex"),
        ({"I_out": np.ones((1, 3))}, "must hold V_in"),
        ({"V_in": np.ones((1, 2)), "I_out": np.ones((2, 3))}, r"`I_out` .* shape \(1, 3\)"),
        ({"more": 1.0}, "more"),
        ({"G": np.ones((2, 2), bool)}, "G: .*truth values"),
        ({"G": np.ones((2, 2, 2))}, "G: .*2 axes"),
    ],
)
def test_an_array_file_follows_its_schema(tmp_path, entries, words):
    np.savez(tmp_path / "a.npz", **({"G": np.full((2, 3), 1e-4)} | entries))
    with pytest.raises(InputError, match=words):
        load_array(tmp_path / "a.npz", RunConfig().array.arguments())


def test_an_array_of_matlab_is_taken_as_matlab_shows_it(tmp_path):
    G = 1e-4 * np.arange(1.0, 7.0).reshape(2, 3)
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        for name, value in (("G", G), ("V_in", np.array([[0.1, 0.2]]))):
            file.create_dataset(name, data=value.T).attrs["MATLAB_class"] = np.bytes_("double")
    file = load_array(tmp_path / "a.mat", RunConfig().array.arguments())
    np.testing.assert_array_equal(file.crossbar.G, G)
    np.testing.assert_array_equal(file.x, [[0.1, 0.2]])
