"""Lines that may take each other's place, and how the lines of a die are chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from xbarspice.errors import InputError
from xbarspice.importers.perceptron import perceptron_module
from xbarspice.network import Network
from xbarspice.studies.calibrate import Thresholds, placement, serve
from xbarspice.studies.calibrate.die import Die
from xbarspice.studies.calibrate.lines import LinesMoved, alike, compensated, moved
from xbarspice.variability import Compose, RelativeNoise, StuckDevices

RNG = np.random.default_rng(0)
NETWORK = Network(
    W=(np.array([[3.0, 0.5, 0.1, -2.0], [-2.5, 0.3, 0.2, 3.0]]),
       np.array([[2.0], [0.3], [0.1], [-2.0]])),
    b=(np.array([-0.3, 0.1, 0.0, -0.3]), np.zeros(1)), activation="sigmoid",
)  # fmt: skip
LEADS = {
    "no leads": {}, "equal": {"R_driver": 40.0, "R_sense": 40.0},
    "unequal": {"R_driver": 70.0, "R_sense": 15.0},
}  # fmt: skip


def folded(**wires):
    config = xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=4, **wires)
    return xb.nn.convert(perceptron_module(NETWORK), config).eval()


def reads(circuit):
    return [tile.read for tile in xb.nn.arrays(circuit)[0].tiles]


@pytest.mark.parametrize("leads", LEADS.values(), ids=LEADS)
def test_input_and_output_lines_never_take_each_others_place(leads):
    """Whatever the leads: word lines 0 to 5 carry inputs, 6 and 7 are sensed in the second pass."""
    rows, cols = alike(reads(folded(**leads)), (8, 4))
    assert sorted(sorted(group.tolist()) for group in rows) == [[0, 1, 2, 3, 4, 5], [6, 7]]
    assert [group.tolist() for group in cols] == [[0, 1, 2, 3]]


@pytest.mark.parametrize("leads", LEADS.values(), ids=LEADS)
@pytest.mark.parametrize("R", [0.0, 5.0])
def test_answers_depend_on_the_lines_only_by_their_wires(leads, R):
    """Without wire segments only the leads are left, and every line of a group has the same."""
    circuit = folded(R_wl=R, R_bl=R, device="sinh_tio2", **leads)
    x = torch.from_numpy(RNG.random((5, 2)))
    rng = np.random.default_rng(1)
    with torch.no_grad():
        plain = circuit(x)
        for _ in range(3):
            lines = placement._shuffled(
                (np.arange(8), np.arange(4)), alike(reads(circuit), (8, 4)), rng
            )
            with xb.nn.through(LinesMoved(*lines)):
                found = circuit(x)
            with xb.nn.through(LinesMoved(*lines, engine="nodal")):
                torch.testing.assert_close(found, circuit(x), rtol=1e-9, atol=0)
            same = torch.allclose(found, plain, rtol=1e-9, atol=0)
            assert same == (R == 0.0)


def test_moved_lines_are_the_array_with_its_rows_and_columns_exchanged():
    G, lines = RNG.uniform(1e-4, 5e-4, (3, 2)), (np.array([2, 0, 1]), np.array([1, 0]))
    there = moved(G, lines)
    assert all(there[lines[0][i], lines[1][j]] == G[i, j] for i in range(3) for j in range(2))
    V = RNG.uniform(0, 0.2, (4, 3))
    by_hand = np.empty_like(V)
    by_hand[:, lines[0]] = V
    wires = {"R_wl": 3.0, "R_bl": 7.0}
    want = xb.solve(xb.Crossbar(there, **wires), by_hand, engine="nodal")
    found = xb.solve(xb.Crossbar(G, **wires), V, engine=LinesMoved(*lines), full=True)
    np.testing.assert_allclose(found.I_out, want.I_out[:, lines[1]], rtol=1e-9)
    np.testing.assert_allclose(found.V_wl[:, 0, 1], want.V_wl[:, 2, 0], rtol=1e-9)


def test_partners_keep_the_differences_of_pairs_within_the_range():
    circuit = folded(R_wl=0.0, R_bl=0.0)
    (array,) = xb.nn.arrays(circuit)
    G, stuck, value = array.crossbar.G, np.zeros((8, 4), bool), np.zeros((8, 4))
    stuck[0, 1], value[0, 1] = True, 3e-4
    out = compensated(reads(circuit), G, stuck, value, (1e-4, 5e-4))
    wanted = 3e-4 - (G[0, 1] - G[1, 1])
    assert out[1, 1] == pytest.approx(np.clip(wanted, 1e-4, 5e-4))
    assert (out != G).sum() == 1


def die_with_stuck_devices():
    G = np.full((8, 4), 2e-4)
    G[0, 0], G[2, 3], G[6, 3] = 1.5e-3, 2e-3, 1.5e-3  # where the network is most sensitive
    return Die(G=G, V_read=0.2, unit="S", settings={}, notices=())


def points(seed, count=40):
    x = np.random.default_rng(seed).random((count, 2))
    return x, NETWORK.predict(NETWORK.forward(x)[-1])


LIMITS = Thresholds(G_min=100e-6, G_max=500e-6)


def served(test, *, trials=20, **leads):
    return serve(
        folded(device="ohmic", **leads), die_with_stuck_devices(), LIMITS, points(1), test,
        errors=Compose([]), transfers=1, trials=trials,
    )  # fmt: skip


@pytest.mark.parametrize("leads", [LEADS["no leads"], LEADS["unequal"]], ids=["none", "unequal"])
def test_lines_are_chosen_without_the_test_points(leads):
    """Test points with all classes wrong are judged otherwise, on the very same lines."""
    x, y = points(2)
    right, wrong = served((x, y), **leads), served((x, 1 - y), **leads)
    assert (right.rows, right.cols, right.method) == (wrong.rows, wrong.cols, wrong.method)
    assert right.exact["best lines"] == pytest.approx(1 - wrong.exact["best lines"])
    assert sorted(right.rows[:6]) == list(range(6))
    assert sorted(right.rows[6:]) == [6, 7]


def test_the_best_of_many_has_no_advantage_by_having_been_picked():
    """Placements that are all alike: the best of 500 on its points is an average one on others.

    The assigned lines, truly a little better, must nearly always be kept; by the pooled points they
    would hardly ever be.
    """
    fair = pooled = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        score = rng.normal(size=(502, 60))
        score[1] += 0.35
        fair += placement._fair_choice(score, rng) == 1
        pooled += int(np.argmax(score.mean(axis=1))) == 1
    assert fair >= 34
    assert pooled <= 24


def test_assigned_random_and_plain_lines_compete_by_the_tuning_points(monkeypatch):
    """Whichever kind has the best computed answers is kept: each wins when the others are bad."""
    real = placement.best_lines
    found = {}
    for name in ("as computed", "assignment spoiled"):
        if name == "assignment spoiled":
            monkeypatch.setattr(placement, "best_lines",
                                lambda *a: (np.arange(8), np.arange(4), True))  # fmt: skip
        found[name] = served(points(2), trials=0)
    monkeypatch.setattr(placement, "best_lines", real)
    assert found["as computed"].method.startswith("linear assignment (exact)")
    assert found["assignment spoiled"].method == "the lines as they stand"
    score = np.zeros((12, 8))
    score[7] = 0.5
    assert placement._fair_choice(score, np.random.default_rng(0)) == 7
    many = served(points(2), trials=300)
    assert many.exact["best lines"] > many.exact["as it stands"]


def test_stuck_devices_are_the_measured_ones_and_the_array_is_one():
    """Drawn stuck devices are left out: with certain ones the die would be all stuck."""
    everything = StuckDevices(rate_lrs=1.0, rate_hrs=0.0)
    found = serve(
        folded(), die_with_stuck_devices(), LIMITS, points(1), points(2),
        errors=Compose([everything]), transfers=2, trials=0,
    )  # fmt: skip
    assert found.mean == found.exact
    noisy = serve(
        folded(), die_with_stuck_devices(), LIMITS, points(1), points(2),
        errors=RelativeNoise(sigma=0.3), transfers=5, trials=0,
    )  # fmt: skip
    assert noisy.mean != noisy.exact
    tiled = xb.nn.convert(perceptron_module(NETWORK), xb.ArrayConfig(tile_rows=8, tile_cols=8))
    with pytest.raises(InputError, match="one array of the die's size"):
        serve(tiled, die_with_stuck_devices(), LIMITS, points(1), points(2), errors=Compose([]))
