"""CrossSim: its own products come out of the imported arrays, and what it makes of ours."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from tests.peer_arrays import FOLDER, STYLES, crosssim_parameters, matrix
from xbarspice.core.errors import InputError
from xbarspice.exchange import crosssim
from xbarspice.exchange.crosssim_parameters import defaults

ANSWERS = json.loads((FOLDER / "crosssim.json").read_text("utf-8"))["products"]
SINGLE = 3e-7
"""CrossSim rounds conductances to single precision; products here are of the size of 1."""
W, X = matrix()


def product(imported, x):
    V = imported.voltages(x)
    currents = {
        a.name: xb.solve(a.crossbar, V[a.name], engine="nodal").I_out for a in imported.arrays
    }
    return imported.product(currents, V)


def parasitics(**values):
    return {"xbar": {"array": {"parasitics": {"enable": True, **values}}}}


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("style", STYLES)
def test_imported_arrays_give_the_product_of_crosssim(style, pairs):
    imported = crosssim.read(crosssim_parameters(style, pairs=pairs), W)
    peer = np.array(ANSWERS[f"{style}{'_pairs' if pairs else ''}"])
    assert np.abs(peer - W @ X).max() > 1e-3  # its wires matter
    np.testing.assert_allclose(product(imported, X), peer, rtol=0, atol=SINGLE)


def test_names_of_arrays_and_their_circuit():
    apart = crosssim.read(crosssim_parameters("balanced"), W)
    assert [a.name for a in apart.arrays] == ["positive", "negative"]
    wires = {"R_wl": 3.0, "R_bl": 7.0, "R_driver": 3.0, "R_sense": 27.0}
    assert apart.arrays[0].crossbar.wires == wires
    (both,) = crosssim.read(crosssim_parameters("balanced", pairs=True), W).arrays
    assert both.crossbar.G.shape == (12, 4)
    np.testing.assert_array_equal(both.crossbar.G[::2], apart.arrays[0].crossbar.G)
    np.testing.assert_array_equal(both.crossbar.G[1::2], apart.arrays[1].crossbar.G)
    assert both.crossbar.R_bl[:, 0].tolist() == [0.0, 7.0] * 5 + [0.0]


def test_without_wires_the_product_is_exact_and_unused_resistances_are_named():
    tree = {"xbar": {"array": {"parasitics": {"Rp_row": 5.0}}}}
    imported = crosssim.read(tree, W)
    np.testing.assert_allclose(product(imported, X), W @ X, rtol=1e-12, atol=1e-12)
    assert any("Rp_row = 5.0 is not in use" in note for note in imported.notes)


def test_conductances_that_crosssim_made():
    G = np.random.default_rng(1).uniform(0, 1, (2, 3, 4))
    tree = {"xbar": {"device": {"Rmin": 500.0, "cell_bits": 4}}}
    positive, negative = crosssim.read(tree, conductances=G).arrays
    np.testing.assert_allclose(positive.crossbar.G, G[0].T / 500, rtol=1e-15)
    np.testing.assert_allclose(negative.crossbar.G, G[1].T / 500, rtol=1e-15)
    with pytest.raises(InputError, match="every array must hold a part of a matrix"):
        crosssim.read(tree, conductances=G).voltages(np.zeros(4))


def test_what_is_left_out_is_named():
    tree = {
        "xbar": {
            "adc": {"mvm": {"model": "RampADC", "bits": 8, "gain_db": 60}},
            "device": {"read_noise": {"enable": True, "model": "NormalProportionalDevice"}},
        }
    }
    notes = " ".join(crosssim.read(tree, W).notes)
    for name in ("adc.mvm.bits = 8", "adc.mvm.gain_db = 60", "read_noise.enable = True"):
        assert name in notes


@pytest.mark.parametrize("percentile", [0.9, 1.0, 1.5])
def test_limits_of_weights(percentile):
    tree = {"core": {"mapping": {"weights": {"percentile": percentile, "clipping": True}}}}
    limit = max(abs(np.percentile(W, [90, 10]))) if percentile < 1 else percentile * np.abs(W).max()
    want = np.clip(W, -limit, limit) @ X
    np.testing.assert_allclose(product(crosssim.read(tree, W), X), want, rtol=0, atol=1e-12)


REFUSED = [
    ({"core": {"style": "BITSLICED"}}, "core.style"),
    ({"core": {"style": 3, "offset": {"style": 2}}}, "core.offset.style"),
    ({"core": {"complex_matrix": True}}, "core.complex_matrix"),
    ({"core": {"rows_max": 2}}, "core.rows_max"),
    ({"core": {"cols_max": 2}}, "core.cols_max"),
    ({"core": {"mapping": {"weights": {"percentile": None}}}}, "core.mapping.weights.min"),
    ({"xbar": {"device": {"cell_bits": 4}}}, "cell_bits"),
    ({"xbar": {"device": {"Rmin": 0}}}, "Rmin"),
    ({"xbar": {"device": {"Rmax": 1000}}}, "Rmax"),
    ({"xbar": {"device": {"nonlinear_IV": {"enable": True}}}}, "nonlinear_IV"),
    (parasitics(current_from_input=False), "current_from_input"),
    (parasitics(Rp_row=-1.0), "Rp_row"),
    ({"xbar": {"device": {"R_min": 5}}}, "xbar.device.R_min"),
    ({"xbar": 5}, "`xbar`"),
]


@pytest.mark.parametrize(("tree", "name"), REFUSED, ids=[name for _, name in REFUSED])
def test_what_no_crossbar_expresses_is_refused_by_name(tree, name):
    with pytest.raises(InputError) as refusal:
        crosssim.read(tree, W)
    assert name in str(refusal.value)


@pytest.mark.parametrize("matrices", [{}, {"weights": W, "conductances": [W, W]}])
def test_a_matrix_comes_once(matrices):
    with pytest.raises(InputError, match="weights or"):
        crosssim.read({}, **matrices)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "p.json").write_text("{", "utf-8")
    with pytest.raises(InputError, match="must be JSON"):
        crosssim.read(tmp_path / "p.json", W)


def test_an_array_survives_the_way_out_and_back(tmp_path):
    array, _ = asymmetric_crossbar(R_driver=12.0, R_sense=2.0)
    notes = crosssim.write(tmp_path / "p.json", array)
    assert "does not compute the circuit" in notes[0]  # there is a row terminal
    with np.load(tmp_path / "p.npz") as file:
        matrices = dict(file)
    (back,) = crosssim.read(tmp_path / "p.json", conductances=[matrices["matrix"]]).arrays
    np.testing.assert_allclose(back.crossbar.G, array.G, rtol=1e-15)
    assert back.crossbar.wires == array.wires
    (again,) = crosssim.read(tmp_path / "p.json", matrices["weights"]).arrays
    np.testing.assert_allclose(again.crossbar.G, array.G, rtol=0, atol=1e-18)


def test_pairs_at_one_node_survive_too():
    (array,) = crosssim.read(crosssim_parameters("two_sided", pairs=True), W).arrays
    tree, matrices, _ = crosssim.as_parameters(array.crossbar)
    assert tree["core"]["balanced"]["interleaved_posneg"]
    pair = [matrices["positive"], matrices["negative"]]
    (back,) = crosssim.read(tree, conductances=pair).arrays
    np.testing.assert_allclose(back.crossbar.G, array.crossbar.G, rtol=1e-15)
    np.testing.assert_array_equal(back.crossbar.R_bl, array.crossbar.R_bl)
    assert back.crossbar.R_sense == array.crossbar.R_sense


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"R_driver": 1.0}, "R_driver"),
        ({"R_wl": [[1.0, 2.0], [3.0, 4.0]], "R_driver": 9.0}, "R_wl"),
        ({"device": "sinh_tio2"}, "ohmic"),
        ({"ends": xb.LineEnds(wl_right="driven")}, "driven on the left"),
    ],
)
def test_what_crosssim_cannot_express_is_refused(tmp_path, changes, reason):
    array, _ = asymmetric_crossbar(**changes)
    with pytest.raises(InputError, match=reason):
        crosssim.write(tmp_path / "p.json", array)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif("CROSSSIM" not in os.environ, reason="$CROSSSIM names no checkout of CrossSim")
def test_crosssim_itself_reads_what_is_written(monkeypatch):
    monkeypatch.syspath_prepend(os.environ["CROSSSIM"])
    from simulator import AnalogCore, CrossSimParameters  # type: ignore[import-not-found]

    assert CrossSimParameters().as_dict() == defaults()
    array, _ = asymmetric_crossbar(R_driver=5.0, R_sense=9.0)
    tree, matrices, notes = crosssim.as_parameters(array)
    assert not notes
    tree["simulation"] |= {"Verr_th_mvm": 1e-10, "Niters_max_parasitics": 1000}
    x = np.array([0.75, -0.5])
    peer = AnalogCore(matrices["weights"], CrossSimParameters(**tree)) @ x
    ours = product(crosssim.read(tree, matrices["weights"]), x)
    np.testing.assert_allclose(ours, peer, rtol=0, atol=SINGLE)
    assert "simulator" in sys.modules
