"""Single arrays: any line ends, given currents, gates, hints, files."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import UNEVEN, asymmetric_crossbar
from xbarspice import engines
from xbarspice.config import RunConfig
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.errors import EngineError, InputError
from xbarspice.engines.nodal.engine import NodalEngine
from xbarspice.verification import Gates
from xbarspice.verification.array_file import is_array_file, load_array
from xbarspice.verification.compare import output_lines, sources_across

D, S, F = "driven", "sensed", "floating"
ENDS = {
    "read": (xb.READ, ["BL0", "BL1", "BL2"]),
    "read from below": (xb.LineEnds(wl_left=S, bl_bottom=D), ["BL0", "BL1", "BL2", "WL0", "WL1"]),
    "half": (xb.LineEnds(bl_bottom=D), ["BL0", "BL1", "BL2"]),
    "mixed": (xb.LineEnds(wl_left=[D, S], bl_bottom=[S, D, F]), ["BL0", "BL1", "WL1"]),
}


class Tilted(NodalEngine):
    """An engine that is wrong by one part in 1e4 in the last bit line's current."""

    name = "tilted"

    def _solve(self, state, crossbar, drive, full):
        raw = super()._solve(state, crossbar, drive, full)
        raw.I_out[:, -1] *= 1 + 1e-4
        return raw


class Weak(Tilted):
    """The same, and it says so."""

    name = "weak"

    def _solve(self, state, crossbar, drive, full):
        raw = super()._solve(state, crossbar, drive, full)
        return replace(raw, error=None, stats=replace(raw.stats, error_at_most=float("nan")))


@pytest.fixture
def wrong(monkeypatch):
    """The two engines above by name."""
    added, get, names = {"tilted": Tilted, "weak": Weak}, engines.get, engines.names
    monkeypatch.setattr(
        "xbarspice.engines.get",
        lambda e: added[e]() if isinstance(e, str) and e in added else get(e),
    )
    monkeypatch.setattr("xbarspice.engines.names", lambda: (*names(), *added))


@pytest.mark.parametrize("case", ENDS)
def test_an_array_without_wires_is_its_ideal_product_whatever_its_ends(case):
    ends, lines = ENDS[case]
    crossbar, _ = asymmetric_crossbar(R_wl=0, R_bl=0, R_driver=0, R_sense=0, ends=ends)
    report = xb.verify_array(crossbar, engines=("surrogate",), reference="nodal", random=3)
    assert report.passed
    assert report.array["outputs"] == lines
    assert (report.vectors, report.probes) == (3, 1)
    assert report.ideal.worst < 1e-12
    assert report.drop.drop < 1e-12


def test_the_asymmetric_array_keeps_rows_columns_and_signs(asymmetric):
    crossbar, V = asymmetric
    report = xb.verify_array(crossbar, V, engines=("surrogate",), reference="nodal", probes=0)
    exact = xb.solve(crossbar, V, engine="nodal", full=True)
    np.testing.assert_allclose(report.answers["nodal"].I_out[0], exact.I_out, rtol=1e-12)
    assert [c.line for c in report.engines[0].lines] == ["BL0", "BL1", "BL2"]
    assert report.energy == pytest.approx([float(V @ exact.I_in) * 100e-9])


def test_energy_is_what_resistors_turn_into_heat():
    """V I of all sources equals the heat of all devices, wires and ends, in a reverse read too."""
    rng = np.random.default_rng(0)
    for ends in (xb.READ, xb.LineEnds(wl_left=S, bl_bottom=D)):
        c = xb.Crossbar(
            rng.uniform(1e-4, 5e-4, (4, 3)),
            R_wl=3.0,
            R_bl=2.0,
            R_driver=5.0,
            R_sense=4.0,
            ends=ends,
        )
        report = xb.verify_array(c, engines=("surrogate",), reference="nodal", t_read=2e-7)
        s = report.answers["nodal"]
        heat = (s.I_device * (s.V_wl - s.V_bl)).sum(axis=(1, 2))
        heat = heat + (np.diff(s.V_wl, axis=2) ** 2).sum(axis=(1, 2)) / c.R_wl
        heat = heat + (np.diff(s.V_bl, axis=1) ** 2).sum(axis=(1, 2)) / c.R_bl
        for at_ends, current in zip(c.end_resistances, (s.I_in, s.I_out), strict=True):
            heat = heat + (current**2 * at_ends.min(axis=1)).sum(axis=1)
        np.testing.assert_allclose(report.energy, 2e-7 * heat, rtol=1e-9)


def test_the_distance_from_the_ideal_product_has_two_parts():
    """Without wires it is all curvature, with ohmic devices all wires, and the parts add up."""
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (5, 4))
    cases = {
        "bent": {"R_wl": 0.0, "R_bl": 0.0, "device": "sinh_tio2"},
        "wired": {"R_wl": 5.0, "R_bl": 5.0, "device": "ohmic"},
        "both": {"R_wl": 5.0, "R_bl": 5.0, "device": "sinh_tio2"},
    }
    for name, changes in cases.items():
        crossbar = xb.Crossbar(G, **changes)
        report = xb.verify_array(crossbar, engines=("surrogate",), reference="nodal", random=4)
        ideal = report.ideal
        assert abs(ideal.device + ideal.wires) == pytest.approx(ideal.worst, rel=1e-9)
        assert (abs(ideal.wires) < 1e-12) == (name == "bent")
        assert (abs(ideal.device) < 1e-12) == (name == "wired")
        assert (report.drop.drop == pytest.approx(0, abs=1e-12)) == (name == "bent")


def test_a_floating_line_has_no_drive():
    crossbar, _ = asymmetric_crossbar(ends=xb.LineEnds(wl_left=[D, F]))
    V = sources_across(crossbar, np.array([[0.2, 0.0]]), np.zeros((1, 3)))
    np.testing.assert_allclose(V[0, 0], 0.2)
    assert np.isnan(V[0, 1]).all()
    assert output_lines(crossbar).names == ("BL0", "BL1", "BL2")


def test_a_wrong_engine_is_found_with_its_place(wrong, tmp_path):
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (5, 4))
    crossbar = xb.Crossbar(G, R_wl=2.0, device="sinh_tio2")
    report = xb.verify_array(crossbar, engines=("tilted",), reference="nodal")
    assert [g.passed for g in report.gates] == [False]
    (check,) = report.engines
    assert check.line == "BL3"
    assert 1e-6 < check.worst < 1.1e-4
    assert [c.line for c in check.lines if c.worst > 1e-9] == ["BL3"]
    page = report.save(tmp_path)
    assert "FAIL" in page.read_text()
    assert 'failures="1"' in (tmp_path / "junit.xml").read_text()
    assert 'classname="xbarspice.verify"' in (tmp_path / "junit.xml").read_text()
    nodes = hdf5.read_tree(tmp_path / "nodes.h5", "node voltages")
    np.testing.assert_array_equal(nodes["nodal"]["V_wl"], report.answers["nodal"].V_wl)
    assert json.loads((tmp_path / "report.json").read_text())["engines"][0]["line"] == "BL3"


@pytest.mark.filterwarnings("ignore::xbarspice.core.errors.AccuracyWarning")
def test_a_right_engine_is_not_blamed_for_a_weak_reference(wrong):
    """Differences are judged beyond the error bounds of both; a liar is found out all the same."""
    crossbar = xb.Crossbar(np.full((4, 3), 3e-4), R_wl=2.0, device="sinh_tio2")
    report = xb.verify_array(crossbar, engines=("surrogate",), reference="weak")
    assert 1e-5 < report.bound < 1e-3
    assert 0 < report.engines[0].bound < 1e-9
    assert report.engines[0].worst > 1e-6
    assert report.passed
    assert not xb.verify_array(crossbar, engines=("surrogate",), reference="tilted").passed


def test_every_named_gate_judges_its_own_quantity(wrong):
    crossbar = xb.Crossbar(np.full((4, 3), 3e-4), R_wl=2.0, device="sinh_tio2", R_bl=2.0)
    tight = {
        "current": 1e-12,
        "rms": 1e-12,
        "device": 1e-30,
        "kirchhoff": 1e-30,
        "ideal": 1e-6,
        "drop": 1e-9,
        "energy": 1e-15,
        "given": 1e-9,
        "findings": 0,
    }
    V = np.full((2, 4), 0.1)
    stated = 1.1 * xb.solve(crossbar, V, engine="nodal").I_out
    report = xb.verify_array(
        crossbar, V, I_out=stated, engines=("tilted",), reference="nodal", gates=Gates(**tight)
    )
    names = [gate.name for gate in report.gates]
    assert len(names) == len(tight)
    failed = [gate.name for gate in report.gates if not gate.passed]
    assert set(names) - set(failed) == {"tilted against nodal: device current, worst"}  # exact
    loose = xb.verify_array(
        crossbar, V, engines=("tilted",), reference="nodal", gates=Gates(current=1.0)
    )
    assert loose.passed


def test_a_gate_with_nothing_to_judge_is_named():
    crossbar = xb.Crossbar(np.full((2, 2), 1e-4))
    gates = Gates(given=1e-6, accuracy_loss=0.1)
    report = xb.verify_array(
        crossbar, engines=("surrogate",), reference="nodal", gates=gates, random=1
    )
    assert [text.partition(":")[0] for text in report.unjudged] == [
        "gates.given",
        "gates.accuracy_loss",
    ]


def test_given_currents_are_judged_and_explained():
    """Currents in mA: off by 1000, and the finding says which slip."""
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (6, 5))
    V = np.random.default_rng(1).uniform(0, 0.2, (4, 6))
    crossbar = xb.Crossbar(G, R_wl=2.0, R_driver=90.0, device="sinh_tio2")
    right = xb.solve(crossbar, V, engine="nodal").I_out
    verified = xb.verify_array(crossbar, V, I_out=right, engines=("surrogate",), reference="nodal")
    assert verified.passed
    assert verified.given.worst < 1e-9
    swapped = crossbar.replace(R_driver=0.0, R_sense=90.0)
    unrelated = xb.solve(swapped, V, engine="nodal").I_out
    report = xb.verify_array(
        crossbar, V, I_out=unrelated, engines=("surrogate",), reference="nodal"
    )
    assert [f.kind for f in report.findings] == ["driver resistance on the wrong side"]
    assert [g.name for g in report.gates if not g.passed] == ["given currents against nodal"]


def test_what_is_suspicious_stands_in_the_error_of_an_engine(monkeypatch):
    """Conductances of 100 S: the engine's own error would not say why."""
    crossbar = xb.Crossbar(np.full((2, 2), 100.0), R_wl=1.0, device="sinh_tio2")

    def fail(*_args, **_kwargs):
        raise EngineError("it did not converge.")

    monkeypatch.setattr("xbarspice.engines.solve", fail)
    with pytest.raises(EngineError, match=r"did not converge.* Before the solve: .* a prefix"):
        xb.verify_array(crossbar, engines=("nodal",), reference="ngspice")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crossbar": xb.Crossbar(np.full((2, 2, 2), 1e-4))}, "one array is verified at a time"),
        (
            {"crossbar": xb.Crossbar(np.full((2, 2), 1e-4), ends=xb.LineEnds(wl_left=S))},
            "needs a driven line",
        ),
        ({"I_out": np.zeros((1, 2))}, "currents belong to voltages"),
        ({"V_in": np.zeros((2, 2)), "I_out": np.zeros((1, 2))}, r"shape \(2, 2\)"),
        ({"probes": 0}, "at least one vector"),
        ({"probes": -1}, "probes"),
        ({"engines": ("magic",)}, "engines must be among"),
    ],
)
def test_wrong_arguments_are_refused(changes, words):
    arguments = {"crossbar": xb.Crossbar(np.full((2, 2), 1e-4)), "reference": "nodal", **changes}
    with pytest.raises(InputError, match=words):
        xb.verify_array(arguments.pop("crossbar"), **arguments)


DEFAULTS = {"R_wl": 1.0, "R_bl": 1.0, "R_driver": 0.0, "R_sense": 0.0, "device": "ohmic"}


def test_array_files(tmp_path):
    """An .npz, our own HDF5 with any line ends, and a foreign HDF5 all give the same array."""
    crossbar, V = asymmetric_crossbar(device="sinh_tio2")
    values = {k: getattr(crossbar, k) for k in ("G", "R_wl", "R_bl", "R_driver", "R_sense")}
    I_out = xb.solve(crossbar, V, engine="nodal").I_out
    np.savez(tmp_path / "a.npz", **values, device="sinh_tio2", V_in=V, I_out=I_out)
    crossbar_file.save(tmp_path / "b.h5", crossbar)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for name, value in {**values, "device": "sinh_tio2"}.items():
            file[name] = value
    for name in ("a.npz", "b.h5", "c.h5"):
        assert is_array_file(tmp_path / name)
        loaded = load_array(tmp_path / name, DEFAULTS).crossbar
        assert repr(loaded) == repr(crossbar)
        np.testing.assert_array_equal(loaded.G, crossbar.G)
    file = load_array(tmp_path / "a.npz", DEFAULTS)
    np.testing.assert_array_equal(file.V_in, [V])
    np.testing.assert_array_equal(file.I_out, [I_out])
    np.savez(tmp_path / "d.npz", G=crossbar.G)
    assert load_array(tmp_path / "d.npz", DEFAULTS).crossbar.R_wl == 1.0


def test_an_array_whose_resistances_differ_is_verified(tmp_path):
    crossbar, V_in = asymmetric_crossbar(**UNEVEN)
    report = xb.verify_array(crossbar, V_in, reference="nodal", random=2, probes=1)
    assert report.passed
    assert {check.engine for check in report.engines} >= {"surrogate"}
    assert max(check.worst for check in report.engines) < 1e-9
    report.save(tmp_path)
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["array"]["R_wl"] == {"smallest": 0.0, "largest": 1e12}
    assert "0 to 20 ohm per end" in (tmp_path / "report.md").read_text()
    again = crossbar_file.load(tmp_path / "array.h5")
    assert np.array_equal(again.R_wl, UNEVEN["R_wl"])


def test_exchanged_leads_of_different_number_are_not_tried():
    """2 drivers and 3 sense nodes cannot change places; the mirrored ends are found still."""
    crossbar, V_in = asymmetric_crossbar(**UNEVEN | {"R_wl": [[5.0, 6.0], [7.5, 8.0]]})
    V_in = np.stack([V_in, V_in[::-1], 2 * V_in])
    ends = xb.LineEnds(wl_left="floating", wl_right="driven")
    I_out = xb.solve(crossbar.replace(ends=ends), V_in, engine="nodal").I_out
    report = xb.verify_array(crossbar, V_in, I_out=I_out, reference="nodal", engines=["surrogate"])
    assert "driver resistance on the wrong side" in {f.kind for f in report.findings}


def test_an_array_file_may_have_a_value_for_each_segment(tmp_path):
    crossbar, V_in = asymmetric_crossbar(**UNEVEN)
    np.savez(tmp_path / "a.npz", G=crossbar.G, V_in=V_in, **UNEVEN)
    crossbar_file.save(tmp_path / "a.h5", crossbar)
    for name in ("a.npz", "a.h5"):
        again = load_array(tmp_path / name, DEFAULTS).crossbar
        for wire, values in UNEVEN.items():
            assert np.array_equal(again.wires[wire], values)
    crossbar_file.save(tmp_path / "b.h5", crossbar.replace(G=crossbar.G[None]))
    with pytest.raises(InputError, match=r"`b\.h5` must hold one array"):
        load_array(tmp_path / "b.h5", DEFAULTS)


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


def test_gates_and_sweeps_in_toml(tmp_path):
    config = RunConfig.from_mapping({"gates": {"ideal": 0.05, "energy": 1e-9}})
    (tmp_path / "run.toml").write_text(config.to_toml())
    gates = RunConfig.from_toml(tmp_path / "run.toml").gates
    assert gates == Gates(ideal=0.05, energy=1e-9)  # one class for Python and TOML
    for wrong in (
        {"gates": {"ideal": 0}},
        {"verify": {"low": 1.0, "high": 0.0}},
        {"sweep": {"sizes": [8, 4]}},
        {"sweep": {"devices": []}},
    ):
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
        ({"R_wl": [1.0, 1.0]}, r"`R_wl` must be one number, or an array \(\.\.\., 2, 2\)"),
        ({"R_wl": [[1.0, -1.0], [1.0, 1.0]]}, "R_wl: .*>= 0"),
        ({"R_sense": [1.0, np.nan, 1.0]}, "R_sense: .*finite"),
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
    np.testing.assert_array_equal(file.V_in, [[0.1, 0.2]])
