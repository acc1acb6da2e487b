"""Detectors of common mistakes: each fires on its own mistake, alone, and none on a clean case."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.core.errors import InputError
from xbarspice.verification import detectors
from xbarspice.verification.array_detectors import saturated_range
from xbarspice.verification.circuit_detectors import chance_labels
from xbarspice.verification.detectors import (
    ArrayEvidence,
    CurrentEvidence,
    Detector,
    Finding,
    MagnitudeEvidence,
    find,
)

RNG = np.random.default_rng(4)
G = RNG.uniform(100e-6, 500e-6, (6, 6))
V = RNG.uniform(0.0, 0.2, (7, 6))
RIGHT = {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 150.0, "R_sense": 40.0, "device": "sinh_tio2"}


def array(G=G, **changes):
    return xb.Crossbar(G, **(RIGHT | changes))


def answer(crossbar, V_in=V):
    return xb.solve(crossbar, V_in, engine="nodal").I_out


def findings(I_out, crossbar=None, V_in=V):
    """Kinds of everything that fires for these currents beside the described array."""
    described = crossbar or array()
    V_out = np.zeros(V_in.shape)
    return find(CurrentEvidence(crossbar=described, V_in=V_in, V_out=V_out, I_out=I_out))


RIGHT_END = xb.LineEnds(wl_left="floating", wl_right="driven")
CURRENT_MISTAKES = {
    "transposed": (lambda: answer(array(G.T)), "transposed weights"),
    "negated": (lambda: -answer(array()), "swapped polarity"),
    "pairs exchanged": (lambda: answer(array())[:, [1, 0, 3, 2, 5, 4]], "swapped polarity"),
    "scaled": (lambda: 1.37 * answer(array()), "wrong scale"),
    "ends exchanged": (
        lambda: answer(array(R_driver=40.0, R_sense=150.0)),
        "driver resistance on the wrong side",
    ),
    "driven on the right": (
        lambda: answer(array(ends=RIGHT_END)),
        "driver resistance on the wrong side",
    ),
    "voltages in mV": (lambda: answer(array(), V / 1000), "unit slip"),
    "wires in kohm": (
        lambda: answer(array(R_wl=2e-3, R_bl=3e-3, R_driver=0.15, R_sense=0.04)),
        "unit slip",
    ),
}


@pytest.mark.parametrize("case", CURRENT_MISTAKES)
def test_currents_that_one_mistake_explains(case):
    """Exactly the detector of that mistake fires, and says how much it explains."""
    currents, kind = CURRENT_MISTAKES[case]
    (finding,) = findings(currents())
    assert finding.kind == kind
    assert finding.remedy
    assert finding.evidence["explained"] < 1e-6 < finding.evidence["as_is"]


def test_conductances_in_microsiemens():
    """The file says 100..500 (uS) where S is meant; the currents are those of the real array."""
    (finding,) = findings(answer(array()), array(G * 1e6))
    assert finding.kind == "unit slip"
    assert "G in uS" in finding.text
    assert finding.evidence["factor"] == 1e6


@pytest.mark.parametrize("noise", [0.0, 2e-4])
def test_right_currents_have_no_finding(noise):
    rng = np.random.default_rng(1)
    exact = answer(array())
    assert findings(exact * (1 + noise * rng.standard_normal(exact.shape))) == []


def test_currents_that_no_mistake_explains_have_no_finding():
    """Other conductances altogether: the detectors do not guess."""
    unrelated = np.random.default_rng(9).uniform(100e-6, 500e-6, G.shape)
    assert findings(answer(array(unrelated))) == []


MODEL = nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 6)).double()
X = torch.rand(5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def convert(**changes):
    """A model with weights of a continuous spread; its second matrix is square."""
    torch.manual_seed(4)
    model = copy.deepcopy(MODEL)
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    config = {"device": "ohmic", "bias": "digital"} | changes
    return xb.nn.convert(model, xb.ArrayConfig(**config), calibrate=X)


def kinds_and_places(circuit):
    """Kinds and places of all findings of a circuit."""
    report = xb.verify(circuit, X, reference="nodal", whole=0)
    return [(f.kind, f.where) for f in report.findings]


def holding(change):
    """A circuit whose second array holds something else than its weights say."""
    circuit = convert()
    G = xb.nn.arrays(circuit)[1].crossbar.G
    xb.nn.put_conductances(circuit, {"2[0,0,0]": change(G)})
    return circuit


def pairs(G, values):
    """Pairs with these differences about the mean conductance of each pair."""
    mean = (G[:, 0::2] + G[:, 1::2]) / 2
    out = np.empty_like(G)
    out[:, 0::2], out[:, 1::2] = mean + values / 2, mean - values / 2
    return np.maximum(out, 0.0)


def differences(G):
    return G[:, 0::2] - G[:, 1::2]


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_a_right_mapping_has_no_finding(layout):
    if layout == "tiled":
        assert kinds_and_places(convert()) == []
        return
    model = nn.Sequential(nn.Linear(12, 6), nn.Sigmoid(), nn.Linear(6, 2)).double()
    folded = xb.ArrayConfig(layout="folded", tile_rows=64, tile_cols=64)
    assert kinds_and_places(xb.nn.convert(model, folded, calibrate=X)) == []


def test_programming_noise_is_no_mistake():
    rng = np.random.default_rng(2)
    assert kinds_and_places(holding(lambda G: G * (1 + 0.05 * rng.standard_normal(G.shape)))) == []


MISTAKES = {
    "transposed": (lambda G: pairs(G, differences(G).T), "transposed weights"),
    "pairs exchanged": (lambda G: pairs(G, -differences(G)), "swapped polarity"),
    "another scale": (lambda G: pairs(G, 0.5 * differences(G)), "wrong scale"),
    "a lost prefix": (lambda G: pairs(G, 1e-3 * differences(G)), "unit slip"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_conductances_that_one_mistake_explains(case):
    change, kind = MISTAKES[case]
    assert kinds_and_places(holding(change)) == [(kind, "2")]


def test_microsiemens_for_siemens_shows_in_the_magnitudes():
    """Mapped with 100..500 for uS: the weights still decode, the magnitude gives it away."""
    circuit = convert(G_min=100.0, G_max=500.0, R_wl=1e-4, R_bl=1e-4)
    assert kinds_and_places(circuit) == [("unit slip", "0"), ("unit slip", "2")]


def test_voltages_beyond_the_range_of_the_device_are_said():
    circuit = convert(device="cubic_al2o3_tio2", V_read=0.9)
    report = xb.verify(circuit, X, reference="nodal", whole=0)
    beyond = [f for f in report.findings if f.kind == "beyond the device's range"]
    limit = xb.devices.get("cubic_al2o3_tio2").V_max
    assert beyond[0].where == "0"
    assert beyond[0].evidence == {"value": pytest.approx(0.9), "limit": limit}
    assert limit < 0.9


@pytest.mark.parametrize(
    ("changes", "volts", "name"),
    [({"R_wl": 2e5}, 0.2, "R"), ({"R_wl": 2e-6}, 0.2, "R"), ({}, 200.0, "V")],
)
def test_unlikely_resistances_and_voltages(changes, volts, name):
    """Milliohm-scale wires given in other prefixes, and mV for V."""
    (finding,) = find(
        MagnitudeEvidence(crossbar=array(**changes), V=volts, pairs=False, where="array")
    )
    assert finding.kind == "unit slip"
    assert list(finding.evidence) == [name]


def test_saturated_range_of_a_circuit():
    """Weights clipped before the conversion: many stand at G_max, nothing else is wrong."""
    for scale in ("matrix", "output"):  # one weight of every scale stands there by design
        circuit = convert(w_scale=scale)
        with torch.no_grad():
            circuit[0].weight.clamp_(-0.5, 0.5)
        assert kinds_and_places(circuit) == [("saturated range", "0")]


def test_saturated_range_of_an_array():
    raw = np.random.default_rng(3).uniform(50e-6, 700e-6, (20, 20))
    assert saturated_range(raw, raw.min(), raw.max(), pairs=False) is None
    finding = saturated_range(np.clip(raw, 100e-6, 500e-6), 100e-6, 500e-6, pairs=False)
    assert finding is not None
    assert set(finding.evidence) == {"G_min", "G_max"}


def test_quantised_arrays_are_not_saturated():
    levels = np.linspace(100e-6, 500e-6, 8)
    few = np.random.default_rng(3).choice(levels, (20, 20))
    assert saturated_range(few, 100e-6, 500e-6, pairs=False) is None


def test_labels_at_chance_level_are_a_finding_and_right_ones_are_not():
    rng = np.random.default_rng(0)
    decisions = (np.arange(200) >= 100).astype(int)
    right = decisions.copy()
    right[:10] = 1 - right[:10]
    assert chance_labels(decisions, right) is None
    finding = chance_labels(decisions, rng.permutation(right))
    assert finding is not None
    assert finding.kind == "labels at chance level"
    assert finding.evidence["low"] <= finding.evidence["commonest_class"]
    assert chance_labels(decisions, 1 - right) is not None  # worse than chance
    assert chance_labels(decisions[:19], rng.permutation(right)[:19]) is None  # too few
    assert chance_labels(decisions, np.full(200, -1)) is None  # nobody knows


def kind_of_every_finding(report):
    return [finding.kind for finding in report.findings]


@pytest.mark.usefixtures("registries")
def test_a_detector_of_arrays_sees_every_array_of_a_model_and_a_single_one():
    """Shown are the array, the largest drive of every line, and the vectors of a single array."""
    shown = []

    @detectors.register("every array", ArrayEvidence)
    def show(e):
        shown.append(e)
        return Finding(kind="shown", where=e.where, text="-", remedy="-")

    circuit = convert(tile_rows=4)
    report = xb.verify(circuit, X, reference="nodal", whole=0)
    assert [e.where for e in shown] == [tile.matrix for tile in xb.nn.tiles(circuit)]
    assert [len(e.V_in) for e in shown] == [1] * len(shown)
    V_read = circuit[0].matrices["weight"].config.V_read  # calibrated on the same inputs
    assert max(np.abs(e.V_in).max() for e in shown if e.where == "0") == pytest.approx(V_read)
    assert [f.where for f in report.findings if f.kind == "shown"] == ["0, 2"]
    del shown[:]
    single = xb.verify_array(array(), V, reference="nodal", engines=("surrogate",))
    assert "shown" in kind_of_every_finding(single)
    np.testing.assert_array_equal(shown[0].V_in[: len(V)], V)


@pytest.mark.usefixtures("registries")
def test_a_detector_of_currents_is_asked_where_currents_disagree_alone():
    @detectors.register("shorted line", CurrentEvidence)
    def explain(e):
        doubled = e.I_out / e.base()
        yield e.finding("doubled", "x2.", "-", base=e.base(), model=e.base() * doubled)

    right = xb.verify_array(
        array(), V, I_out=answer(array()), reference="nodal", engines=["surrogate"]
    )
    assert right.findings == ()
    stated = 2 * answer(array())
    wrong = xb.verify_array(array(), V, I_out=stated, reference="nodal", engines=["surrogate"])
    assert kind_of_every_finding(wrong) == ["wrong scale", "doubled"]


@pytest.mark.usefixtures("registries")
def test_a_detector_is_refused_that_nothing_would_ever_ask():
    with pytest.raises(InputError, match="looks at one of CircuitEvidence, MatrixEvidence"):
        Detector(evidence=float, detect=lambda e: None)
    with pytest.raises(InputError, match="must be new"):
        detectors.register("unit slip of weights", ArrayEvidence)(lambda e: None)


def test_shipped_detectors_have_a_kind_of_evidence_each():
    assert {d.evidence for d in detectors.registry.entries()} == set(detectors.KINDS)
