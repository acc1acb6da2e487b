"""Detectors of common mistakes: each fires on its own mistake, alone, and none on a clean case."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.verification.current_detectors import CurrentEvidence, current_findings
from xbarspice.verification.weight_detectors import (
    chance_labels,
    magnitude_findings,
    saturated_range,
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
    e = CurrentEvidence(
        crossbar=crossbar or array(), V_in=V_in, V_out=np.zeros(V_in.shape), I_out=I_out
    )
    return current_findings(e)


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
        lambda: answer(array(ends=RIGHT_END)), "driver resistance on the wrong side",
    ),
    "voltages in mV": (lambda: answer(array(), V / 1000), "unit slip"),
    "wires in kohm": (
        lambda: answer(array(R_wl=2e-3, R_bl=3e-3, R_driver=0.15, R_sense=0.04)), "unit slip",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CURRENT_MISTAKES)
def test_currents_that_one_mistake_explains(case):
    """Exactly the detector of that mistake fires, and says how much it explains."""
    currents, kind = CURRENT_MISTAKES[case]
    (found,) = findings(currents())
    assert found.kind == kind
    assert found.remedy
    assert found.evidence["explained"] < 1e-6 < found.evidence["as_is"]


def test_conductances_in_microsiemens():
    """The file says 100..500 (uS) where S is meant; the currents are those of the real array."""
    (found,) = findings(answer(array()), array(G * 1e6))
    assert found.kind == "unit slip"
    assert "G in uS" in found.text
    assert found.evidence["factor"] == 1e6


@pytest.mark.parametrize("noise", [0.0, 2e-4])
def test_right_currents_have_no_finding(noise):
    rng = np.random.default_rng(1)
    exact = answer(array())
    assert findings(exact * (1 + noise * rng.standard_normal(exact.shape))) == []


def test_currents_that_no_mistake_explains_have_no_finding():
    """Other conductances altogether: the detectors do not guess."""
    other = np.random.default_rng(9).uniform(100e-6, 500e-6, G.shape)
    assert findings(answer(array(other))) == []


MODEL = nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 6)).double()
X = torch.rand(5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def converted(**changes):
    """A model with weights of a continuous spread; its second matrix is square."""
    torch.manual_seed(4)
    model = copy.deepcopy(MODEL)
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    config = {"device": "ohmic", "bias": "digital"} | changes
    return xb.nn.convert(model, xb.ArrayConfig(**config), calibrate=X)


def seen(circuit):
    """Kinds and places of all findings of a circuit."""
    report = xb.verify(circuit, X, reference="nodal", whole=0)
    return [(f.kind, f.where) for f in report.findings]


def holding(change):
    """A circuit whose second array holds something else than its weights say."""
    circuit = converted()
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
        assert seen(converted()) == []
        return
    model = nn.Sequential(nn.Linear(12, 6), nn.Sigmoid(), nn.Linear(6, 2)).double()
    folded = xb.ArrayConfig(layout="folded", tile_rows=64, tile_cols=64)
    assert seen(xb.nn.convert(model, folded, calibrate=X)) == []


def test_programming_noise_is_no_mistake():
    rng = np.random.default_rng(2)
    assert seen(holding(lambda G: G * (1 + 0.05 * rng.standard_normal(G.shape)))) == []


MISTAKES = {
    "transposed": (lambda G: pairs(G, differences(G).T), "transposed weights"),
    "pairs exchanged": (lambda G: pairs(G, -differences(G)), "swapped polarity"),
    "another scale": (lambda G: pairs(G, 0.5 * differences(G)), "wrong scale"),
    "a lost prefix": (lambda G: pairs(G, 1e-3 * differences(G)), "unit slip"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_conductances_that_one_mistake_explains(case):
    change, kind = MISTAKES[case]
    assert seen(holding(change)) == [(kind, "2")]


def test_microsiemens_for_siemens_shows_in_the_magnitudes():
    """Mapped with 100..500 for uS: the weights still decode, the magnitude gives it away."""
    found = seen(converted(G_min=100.0, G_max=500.0, R_wl=1e-4, R_bl=1e-4))
    assert found == [("unit slip", "0"), ("unit slip", "2")]


def test_voltages_beyond_the_range_of_the_device_are_said():
    circuit = converted(device="cubic_al2o3_tio2", V_read=0.9)
    report = xb.verify(circuit, X, reference="nodal", whole=0)
    found = [f for f in report.findings if f.kind == "beyond the device's range"]
    limit = xb.devices.get("cubic_al2o3_tio2").V_max
    assert found[0].where == "0"
    assert found[0].evidence == {"value": pytest.approx(0.9), "limit": limit}
    assert limit < 0.9


@pytest.mark.parametrize(
    ("changes", "volts", "name"),
    [({"R_wl": 2e5}, 0.2, "R"), ({"R_wl": 2e-6}, 0.2, "R"), ({}, 200.0, "V")],
)
def test_unlikely_resistances_and_voltages(changes, volts, name):
    """Milliohm-scale wires given in other prefixes, and mV for V."""
    (found,) = magnitude_findings(
        array(**changes), volts, 100e-6, 500e-6, pairs=False, where="array"
    )
    assert found.kind == "unit slip"
    assert list(found.evidence) == [name]


def test_saturated_range_of_a_circuit():
    """Weights clipped before the conversion: many stand at G_max, nothing else is wrong."""
    for scale in ("matrix", "output"):  # one weight of every scale stands there by design
        circuit = converted(w_scale=scale)
        with torch.no_grad():
            circuit[0].weight.clamp_(-0.5, 0.5)
        assert seen(circuit) == [("saturated range", "0")]


def test_saturated_range_of_an_array():
    raw = np.random.default_rng(3).uniform(50e-6, 700e-6, (20, 20))
    assert saturated_range(raw, raw.min(), raw.max(), pairs=False) is None
    found = saturated_range(np.clip(raw, 100e-6, 500e-6), 100e-6, 500e-6, pairs=False)
    assert set(found.evidence) == {"G_min", "G_max"}


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
    found = chance_labels(decisions, rng.permutation(right))
    assert found is not None
    assert found.kind == "labels at chance level"
    assert found.evidence["low"] <= found.evidence["commonest_class"]
    assert chance_labels(decisions, 1 - right) is not None  # worse than chance
    assert chance_labels(decisions[:19], rng.permutation(right)[:19]) is None  # too few
    assert chance_labels(decisions, np.full(200, -1)) is None  # nobody knows
