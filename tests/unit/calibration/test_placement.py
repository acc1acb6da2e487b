"""A model with one array on a die: how its lines are chosen, and what the devices cost."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.calibration import Thresholds, placement
from xbarspice.calibration.bench import Bench, Points, typical_score
from xbarspice.calibration.die import Die
from xbarspice.calibration.die_site import find_site
from xbarspice.calibration.measured import MeasuredArray
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


def on_die(circuit, layout, stuck=None, shape=None):
    """The first array, with devices stuck at low ohm where the network is most sensitive."""
    array = xb.nn.arrays(circuit)[0]
    G = np.full(shape or array.crossbar.G.shape, 2e-4)
    for row, col in STUCK[layout] if stuck is None else stuck:
        G[row, col] = 1.5e-3
    die = Die(G=G, V_read=0.2, unit="S", settings={}, notices=())
    return MeasuredArray(array=array, die=die, limits=LIMITS, file="die.csv")


def served(
    test, layout="folded", *, stuck=None, errors=None, transfers=0, trials=20, shape=None, **options
):
    unused, wires = options.pop("unused", "driven"), options
    circuit = made(layout, **wires)
    before = {a.name: a.crossbar.G for a in xb.nn.arrays(circuit)}
    out = placement.serve(
        circuit,
        on_die(circuit, layout, stuck, shape),
        points(1, 120),
        test,
        errors=errors or Compose([]),
        transfers=transfers,
        trials=trials,
        unused=unused,
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
    assert right.candidates == wrong.candidates
    assert right.first_accuracy.value == pytest.approx(1 - wrong.first_accuracy.value)
    for candidate in right.candidates:
        rows, cols = candidate.rows, candidate.cols
        if layout == "folded":
            assert sorted(rows[:6]) == list(range(6))
            assert sorted(rows[6:]) == [6, 7]
        else:
            assert all(b == a + 1 for a, b in zip(cols[::2], cols[1::2], strict=True))


def test_one_way_is_recommended_and_it_does_not_do_worse():
    """Whatever is chosen by tuning points is taken back where the test points speak against it."""
    test = points(2, 120)
    good = served(test, trials=100)
    assert good.recommended > 0
    assert good.candidates[good.recommended].gain.low > 0
    assert good.accuracy.value > good.first_accuracy.value
    bad = served(Points(arguments=test.arguments, y=1 - test.y), trials=100)
    assert bad.candidates == good.candidates
    assert bad.test_gain.value < 0
    assert bad.recommended == 0
    assert bad.accuracy == bad.first_accuracy
    assert "worse" in bad.reason
    (array,) = xb.nn.arrays(bad.circuit)
    assert array.tiles[0].read.order.rows == tuple(range(8))


def test_without_a_gain_beyond_its_interval_the_lines_are_kept(monkeypatch):
    monkeypatch.setattr(placement, "best_lines", lambda *a: (np.arange(8), np.arange(4), True))
    out = served(points(2), trials=0)
    kept = [c for c in out.candidates if not c.partners]
    assert [c.gain.value for c in kept] == [0.0, 0.0]
    assert out.candidates[out.recommended].partners or out.recommended == 0


@pytest.mark.parametrize("unused", ["driven", "floating"])
@pytest.mark.parametrize("layout", ["folded", "tiled"])
def test_lines_of_a_larger_die_are_chosen_and_solved_with_all_its_devices(layout, unused):
    """16 x 16 devices; two of the first bit lines are full of stuck ones."""
    bad_lines = {"folded": (0, 3), "tiled": (0, 6)}[layout]
    stuck = [(r, c) for r in range(8) for c in bad_lines]
    wires = {"R_wl": 2.0, "R_bl": 2.0, "R_driver": 20.0, "device": "sinh_tio2"}
    out = served(points(2, 120), layout, stuck=stuck, shape=(16, 16), unused=unused, **wires)
    assert out.unused == unused
    assert out.recommended > 0
    assert out.accuracy.value > out.first_accuracy.value + 0.1
    assert out.accuracy.low > out.first_accuracy.high
    hit = {(r, c) for r in out.choice.rows for c in out.choice.cols} & set(stuck)
    assert len(hit) < len(stuck) / 2
    array = xb.nn.arrays(out.circuit)[0]
    assert array.crossbar.G.shape == (16, 16)
    used = np.zeros((16, 16), bool)
    used[np.ix_(out.choice.rows, out.choice.cols)] = True
    die = on_die(made(layout), layout, stuck, (16, 16)).die.G
    assert np.array_equal(array.crossbar.G[~used], die[~used])
    (x,) = points(2, 3).arguments
    if not hit:  # then the weights say everything, and the model can be transferred
        held = [m for k in xb.nn.crossbar_layers(out.circuit).values() for m in k.matrices.values()]
        assert all(m.conductances is None for m in held)
    with torch.no_grad():
        z = out.circuit(x)
        with xb.nn.through("ngspice"):
            torch.testing.assert_close(out.circuit(x), z, rtol=1e-7, atol=1e-9)


def test_an_array_is_found_for_a_die_of_its_size_or_larger():
    circuit = made("tiled")
    die = on_die(circuit, "tiled", stuck=()).die
    assert find_site(circuit, die, None, above=1.1, below=0.9).array.name == "0[0,0,0]"
    larger = on_die(circuit, "tiled", stuck=(), shape=(16, 16)).die
    with pytest.raises(xb.errors.InputError, match="2 of its arrays that fit"):
        find_site(circuit, larger, None, above=1.1, below=0.9)
    site = find_site(circuit, larger, "2[0,0,0]", above=1.1, below=0.9)
    assert site.array.name == "2[0,0,0]"
    small = on_die(circuit, "tiled", stuck=(), shape=(2, 2)).die
    with pytest.raises(xb.errors.InputError, match="as large or smaller"):
        find_site(circuit, small, None, above=1.1, below=0.9)


def test_a_model_that_was_placed_before_is_placed_anew():
    circuit = made("tiled")
    plain = served(points(2), "tiled", trials=4)
    (name, _) = (a.name for a in xb.nn.arrays(circuit))
    xb.nn.place_lines(circuit, {name: ([2, 0, 1], [2, 3, 0, 1, 4, 5, 6, 7])})
    again = placement.serve(
        circuit,
        on_die(circuit, "tiled"),
        points(1, 120),
        points(2),
        errors=Compose([]),
        transfers=0,
        trials=4,
    )
    assert again.candidates == plain.candidates


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("layout", ["folded", "tiled"])
def test_the_sensitivity_is_that_of_differences(layout, device):
    """Where a device stands on the array, by 1 % more of it, mean over the points."""
    wires = {"R_wl": 2.0, "R_bl": 2.0, "device": device}
    circuit = made(layout, **wires)
    bench = Bench.of(circuit, on_die(circuit, layout))
    few = points(3, 6)
    exact = bench.sensitivity(few)
    wanted = bench.place(bench.first_lines).array.crossbar.G
    width = typical_score(bench.scores(few))
    for cell in ((0, 0), (1, 3), (2, 1), (wanted.shape[0] - 1, 2)):
        at = []
        for step in (0.01, -0.01):
            G = wanted.copy()
            G[cell] *= 1 + step
            bench.put(bench.first_lines, G)
            at.append(np.tanh(bench.scores(few).numpy() / width))
        slope = np.abs(at[0] - at[1]).mean() / (0.02 * wanted[cell])
        assert exact[cell] == pytest.approx(slope, rel=1e-3, abs=1e-9 * exact.max())


def test_errors_are_drawn_for_healthy_devices_and_stuck_ones_are_the_dies():
    errors = Compose([RelativeNoise(sigma=0.3), StuckDevices(rate_lrs=1.0, rate_hrs=0.0)])
    out = served(points(2), errors=errors, transfers=4)
    assert out.draws == 4
    assert all(c.accuracy.low <= c.accuracy.value <= c.accuracy.high for c in out.candidates)
    assert 0.4 < out.accuracy.value <= 1.0  # with all stuck, every point had one class
    (array,) = xb.nn.arrays(out.circuit)
    stuck = np.zeros((8, 4), bool)
    stuck[tuple(np.transpose(STUCK["folded"]))] = True
    assert np.array_equal(array.crossbar.G == 1.5e-3, stuck)
    assert array.crossbar.G[~stuck].max() <= 500e-6


def test_a_die_without_stuck_devices_keeps_the_lines():
    out = served(points(2), "tiled", stuck=())
    assert "no device that the array needs is stuck" in out.reason
    assert len(out.candidates) == 1
    assert out.choice.rows == tuple(range(3))
    assert out.accuracy.value == out.on_target
    assert out.draws == 0


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
    with pytest.raises(xb.errors.InputError, match="at least 4 tuning points"):
        placement.serve(circuit, on_die(circuit, "tiled"), one, good, errors=Compose([]))
