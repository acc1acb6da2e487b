"""A model with one array on a die: how its lines are chosen, and what the devices cost."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.calibration import Thresholds, placement
from xbarspice.calibration.die import Die
from xbarspice.calibration.measured import MeasuredArray
from xbarspice.calibration.placement import Points
from xbarspice.variability import Compose, RelativeNoise, StuckDevices

LEADS = {
    "no leads": {},
    "equal": {"R_driver": 40.0, "R_sense": 40.0},
    "unequal": {"R_driver": 70.0, "R_sense": 15.0},
}
LIMITS = Thresholds(G_min=100e-6, G_max=500e-6)


def network():
    model = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1)).double()
    first, second = [[3.0, -2.5], [0.5, 0.3], [0.1, 0.2], [-2.0, 3.0]], [[2.0, 0.3, 0.1, -2.0]]
    with torch.no_grad():
        for layer, W, b in ((model[0], first, [-0.3, 0.1, 0.0, -0.3]), (model[2], second, [0.0])):
            layer.weight.copy_(torch.tensor(W))
            layer.bias.copy_(torch.tensor(b))
    return model


def made(layout="folded", **wires):
    config = xb.ArrayConfig(
        layout=layout, tile_rows=8, tile_cols=8, G_min=100e-6, G_max=500e-6, bias="array", **wires
    )
    return xb.nn.convert(network(), config, calibrate=torch.rand(20, 2).double()).eval()


def points(seed, count=40):
    x = torch.from_numpy(np.random.default_rng(seed).random((count, 2)))
    with torch.no_grad():
        return Points(arguments=(x,), y=(network()(x)[:, 0] > 0).long().numpy())


STUCK = {"folded": ((0, 0), (2, 3), (6, 3)), "tiled": ((0, 0), (1, 3), (1, 6))}


def on_die(circuit, layout, stuck=None):
    """The first array, with devices stuck at low ohm where the network is most sensitive."""
    array = xb.nn.arrays(circuit)[0]
    G = np.full(array.crossbar.G.shape, 2e-4)
    for row, col in STUCK[layout] if stuck is None else stuck:
        G[row, col] = 1.5e-3
    die = Die(G=G, V_read=0.2, unit="S", settings={}, notices=())
    return MeasuredArray(array=array, die=die, limits=LIMITS, file="die.csv")


def served(test, layout="folded", *, stuck=None, errors=None, transfers=0, trials=20, **wires):
    circuit = made(layout, **wires)
    before = {a.name: a.crossbar.G for a in xb.nn.arrays(circuit)}
    out = placement.serve(
        circuit,
        on_die(circuit, layout, stuck),
        points(1),
        test,
        errors=errors or Compose([]),
        transfers=transfers,
        trials=trials,
    )
    assert all(np.array_equal(a.crossbar.G, before[a.name]) for a in xb.nn.arrays(circuit))
    return out


@pytest.mark.parametrize("leads", LEADS.values(), ids=LEADS)
def test_input_and_output_lines_never_take_each_others_place(leads):
    """Whatever the leads: word lines 0 to 5 carry inputs, 6 and 7 are sensed in the second read."""
    (array,) = xb.nn.arrays(made(**leads))
    rows, cols = array.like_lines
    assert sorted(group.tolist() for group in rows) == [[0, 1, 2, 3, 4, 5], [6, 7]]
    assert [group.tolist() for group in cols] == [[0, 1, 2, 3]]


@pytest.mark.parametrize("layout", ["folded", "tiled"])
@pytest.mark.parametrize("leads", [LEADS["no leads"], LEADS["unequal"]], ids=["none", "unequal"])
def test_lines_are_chosen_without_the_test_points(leads, layout):
    """Test points with all classes wrong are judged otherwise, on the very same lines."""
    test = points(2)
    wrong_test = Points(arguments=test.arguments, y=1 - test.y)
    right, wrong = served(test, layout, **leads), served(wrong_test, layout, **leads)
    assert (right.rows, right.cols, right.method) == (wrong.rows, wrong.cols, wrong.method)
    assert right.exact["best lines"] == pytest.approx(1 - wrong.exact["best lines"])
    if layout == "folded":
        assert sorted(right.rows[:6]) == list(range(6))
        assert sorted(right.rows[6:]) == [6, 7]
    else:
        assert all(b == a + 1 for a, b in zip(right.cols[::2], right.cols[1::2], strict=True))


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
    found = {"as computed": served(points(2), trials=0)}
    with monkeypatch.context() as patch:
        patch.setattr(placement, "best_lines", lambda *a: (np.arange(8), np.arange(4), True))
        found["assignment spoiled"] = served(points(2), trials=0)
    assert found["as computed"].method.startswith("linear assignment (exact)")
    assert found["assignment spoiled"].method == "the lines as they stand"
    score = np.zeros((12, 8))
    score[7] = 0.5
    assert placement._fair_choice(score, np.random.default_rng(0)) == 7
    many = served(points(2), trials=100)
    assert many.exact["best lines"] > many.exact["as it stands"]


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", ["folded", "tiled"])
def test_the_sensitivity_is_that_of_differences(layout, device):
    """Where a device stands on the array, by 1 % more of it, mean over the points."""
    wires = {"R_wl": 2.0, "R_bl": 2.0, "device": device}
    circuit = made(layout, **wires)
    bench = placement._Bench.of(circuit, on_die(circuit, layout))
    few = points(3, 6)
    exact = placement._sensitivity(bench, few)
    wanted = bench.place(bench.plain).array.crossbar.G
    width = placement._width(bench.scores(few))
    for cell in ((0, 0), (1, 3), (2, 1), (wanted.shape[0] - 1, 2)):
        at = []
        for step in (0.01, -0.01):
            G = wanted.copy()
            G[cell] *= 1 + step
            bench.put(bench.plain, G)
            at.append(np.tanh(bench.scores(few).numpy() / width))
        slope = np.abs(at[0] - at[1]).mean() / (0.02 * wanted[cell])
        assert exact[cell] == pytest.approx(slope, rel=1e-3, abs=1e-9 * exact.max())


def test_errors_are_drawn_for_healthy_devices_and_stuck_ones_are_the_dies():
    errors = Compose([RelativeNoise(sigma=0.3), StuckDevices(rate_lrs=1.0, rate_hrs=0.0)])
    out = served(points(2), errors=errors, transfers=4)
    assert set(out.mean) == set(out.exact) == set(placement.CASES)
    assert 0.4 < out.mean["best lines"] <= 1.0  # with all stuck, every point had one class
    (array,) = xb.nn.arrays(out.circuit)
    stuck = np.zeros((8, 4), bool)
    stuck[tuple(np.transpose(STUCK["folded"]))] = True
    assert np.array_equal(array.crossbar.G == 1.5e-3, stuck)
    assert array.crossbar.G[~stuck].max() <= 500e-6


def test_a_die_without_stuck_devices_keeps_the_lines():
    out = served(points(2), "tiled", stuck=())
    assert out.method == "no stuck device: lines kept"
    assert out.rows == tuple(range(3))
    assert out.exact["as it stands"] == out.exact["best lines"] == out.wanted
    assert out.mean == {}


def test_devices_that_other_arrays_hold_stay():
    circuit = made("tiled")
    other = xb.nn.arrays(circuit)[1]
    xb.nn.put_conductances(circuit, {other.name: np.full_like(other.crossbar.G, 3e-4)})
    out = placement.serve(
        circuit,
        on_die(circuit, "tiled"),
        points(1),
        points(2),
        errors=Compose([]),
        transfers=0,
        trials=2,
    )
    assert (xb.nn.arrays(out.circuit)[1].crossbar.G == 3e-4).all()


def test_what_cannot_be_judged_is_refused():
    circuit = made("tiled")
    good = points(1)
    for test, words in (
        (Points(arguments=good.arguments, y=good.y - 1), "number of its class"),
        (Points(arguments=good.arguments, y=good.y + 5), "must lie below 2"),
    ):
        with pytest.raises(xb.errors.InputError, match=words):
            placement.serve(circuit, on_die(circuit, "tiled"), good, test, errors=Compose([]))
    one = SimpleNamespace(arguments=(good.arguments[0][:1],), y=good.y[:1])
    with pytest.raises(xb.errors.InputError, match="at least 2 tuning points"):
        placement.serve(circuit, on_die(circuit, "tiled"), one, good, errors=Compose([]))
