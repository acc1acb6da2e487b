"""Detectors of common mistakes: each fires on its own mistake, alone, and none on a clean case."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import small_network
from xbarspice.mapping import map_network
from xbarspice.network import Network
from xbarspice.studies.verify.current_detectors import CurrentEvidence, current_findings
from xbarspice.studies.verify.detectors import (
    chance_labels,
    decoded_weights,
    magnitude_findings,
    network_findings,
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


SQUARE = Network(
    W=(RNG.standard_normal((5, 5)), RNG.standard_normal((5, 4))),
    b=(RNG.standard_normal(5), np.zeros(4)),
)
"""Weights of a continuous spread, one layer square and one not."""


def mapped(network=SQUARE, **changes):
    return map_network(network, device="ohmic", **changes)


def pretend(physical, network):
    """Arrays made for one network, said to be those of another."""
    return dataclasses.replace(physical, network=network)


def kinds(found):
    return [(f.kind, f.where) for f in found]


def test_a_right_mapping_has_no_finding():
    for layout in ("tiled", "folded"):
        network = small_network() if layout == "folded" else SQUARE
        good = mapped(network, layout=layout, tile_rows=8, tile_cols=8)
        for k, W in enumerate(network.W):
            np.testing.assert_allclose(decoded_weights(good, k), W, atol=1e-12)
        assert network_findings(good) == []


def test_programming_noise_is_no_mistake():
    good = mapped()
    rng = np.random.default_rng(2)
    noisy = good.with_conductances(
        tuple(a.G * (1 + 0.05 * rng.standard_normal(a.G.shape)) for a in good.arrays)
    )
    assert network_findings(noisy) == []


def test_transposed_weights():
    """A square layer transposed, and a rectangular one read in column order."""
    W = (SQUARE.W[0].T, SQUARE.W[1].T.reshape(5, 4))
    found = network_findings(pretend(mapped(Network(W=W, b=SQUARE.b)), SQUARE))
    assert kinds(found) == [("transposed weights", "layer 0"), ("transposed weights", "layer 1")]
    assert "transpose of" in found[0].text
    assert "column order" in found[1].text


def test_swapped_polarity():
    good = mapped()
    blocks = tuple(
        dataclasses.replace(b, lines_out=b.lines_out[:, ::-1]) if b.layer == 0 else b
        for b in good.blocks
    )
    found = network_findings(dataclasses.replace(good, blocks=blocks))
    assert kinds(found) == [("swapped polarity", "layer 0")]


def test_wrong_scale():
    good = mapped()
    wrong = dataclasses.replace(good.layers[0], w_scale=1.5 * good.layers[0].w_scale)
    found = network_findings(dataclasses.replace(good, layers=(wrong, good.layers[1])))
    assert kinds(found) == [("wrong scale", "layer 0")]
    assert found[0].evidence["factor"] == pytest.approx(1.5)


def test_a_lost_prefix_in_the_weights():
    good = mapped()
    wrong = dataclasses.replace(good.layers[0], w_scale=1e-3 * good.layers[0].w_scale)
    found = network_findings(dataclasses.replace(good, layers=(wrong, good.layers[1])))
    assert kinds(found) == [("unit slip", "layer 0")]


def test_microsiemens_for_siemens_shows_in_the_magnitudes():
    """Mapped with 100..500 for uS: the weights still decode, the magnitude gives it away."""
    found = network_findings(mapped(G_min=100.0, G_max=500.0))
    assert kinds(found) == [("unit slip", "array 0"), ("unit slip", "array 1")]


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


def test_saturated_range_of_a_network():
    """Weights clipped at a quarter of the largest: many stand at G_max, nothing else is wrong."""
    raw = np.random.default_rng(5).standard_normal((12, 6))
    assert network_findings(mapped(Network(W=(raw,), b=(np.zeros(6),)))) == []
    clipped = Network(W=(np.clip(raw, -0.5, 0.5),), b=(np.zeros(6),))
    assert kinds(network_findings(mapped(clipped))) == [("saturated range", "array 0")]


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
    network = small_network()
    x = rng.random((200, network.sizes[0]))
    x = x[np.argsort(network.forward(x)[-1][:, 0])]
    right = (np.arange(200) >= 100).astype(int)
    shift = float(np.median(network.forward(x)[-1]))
    centred = Network(W=network.W, b=(*network.b[:-1], network.b[-1] - shift))
    decisions = centred.predict(centred.forward(x)[-1])
    assert chance_labels(decisions, right) is None
    found = chance_labels(decisions, rng.permutation(right))
    assert found is not None
    assert found.kind == "labels at chance level"
    assert found.evidence["low"] <= found.evidence["commonest_class"] == 0.5
    assert chance_labels(decisions, 1 - right) is not None  # worse than chance
    assert chance_labels(decisions[:19], rng.permutation(right)[:19]) is None  # too few
    assert chance_labels(decisions, np.full(200, -1)) is None  # nobody knows
