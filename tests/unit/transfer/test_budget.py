"""The loss budget: sources of error alone and among all, in the same transfers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.unit.transfer.test_study import moons
from xbarspice.core.errors import InputError
from xbarspice.nn.origin import arguments_of
from xbarspice.transfer import loss_budget, transfer
from xbarspice.transfer.budget import judge_of, only_sources, sources_of
from xbarspice.transfer.outcomes import run_transfers
from xbarspice.transfer.scores import Outcomes, difference
from xbarspice.variability import Compose, RelativeNoise, StuckDevices, drolet_2023


def outputs(circuit, x, number):
    xb.nn.program(circuit, number)
    with torch.no_grad():
        return circuit(x)


def test_all_sources_are_the_transfers_of_the_study():
    circuit, x, y = moons(R_wl=20.0, R_bl=20.0)
    budget = loss_budget(circuit, x, y, transfers=12, seed=4)
    study = transfer(circuit, x, y, transfers=12, seed=4)
    assert budget.all.value == pytest.approx(study.record()["mean"], abs=1e-6)
    assert budget.exact == study.record()["exact"] == 1
    assert budget.lost.value == pytest.approx(budget.exact - budget.all.value)
    names = {cost.source for cost in budget.costs}
    assert names == {"tuning error", "drift by later writes", "stuck devices", "wires"}
    by_cost = [cost.among_all.value for cost in budget.costs]
    assert by_cost == sorted(by_cost, reverse=True)
    for cost in budget.costs:
        for part in (cost.alone, cost.among_all):
            assert part.low <= part.value <= part.high


def test_a_source_keeps_its_random_numbers_when_others_go():
    errors = Compose([RelativeNoise(sigma=0.1), StuckDevices(rate_lrs=0.1, rate_hrs=0.1)])
    circuit, *_ = moons(variation=errors)
    with_both = arrays_of(circuit)
    with_stuck = arrays_of(only_sources(circuit, ["stuck devices"]))
    stuck = ~np.isclose(with_stuck, arrays_of(only_sources(circuit, [])))
    assert 0.05 < stuck.mean() < 0.4
    np.testing.assert_array_equal(with_both[stuck], with_stuck[stuck])
    alone, *_ = moons(variation=errors.parts[1])
    assert not np.array_equal(arrays_of(alone), with_stuck)  # without the muted term they differ


def arrays_of(circuit):
    xb.nn.program(circuit, 3)
    return np.concatenate([array.crossbar.G.ravel() for array in xb.nn.arrays(circuit)])


def test_without_any_source_the_circuit_has_exact_products():
    options = {"R_wl": 9.0, "device": "sinh_tio2", "levels": 16, "clip": 95.0, "dac_bits": 4}
    circuit, x, _ = moons(**options, variation=drolet_2023(rate_lrs=0.2))
    names = sources_of(circuit)
    expected = {"wires", "curves of devices", "levels", "cut weights", "converters"}
    assert expected < set(names)
    exact = xb.nn.to_torch(circuit)(x).detach()
    torch.testing.assert_close(outputs(only_sources(circuit, []), x, 1), exact)
    for name in names:
        out = outputs(only_sources(circuit, [name]), x, 1)
        assert float((out - exact).abs().max()) > 1e-9, name


def test_a_costly_source_is_told_from_a_cheap_one():
    errors = Compose([RelativeNoise(sigma=1e-6), StuckDevices(rate_lrs=0.1, rate_hrs=0.1)])
    circuit, x, y = moons(variation=errors, R_wl=0.0, R_bl=0.0)
    first, second = loss_budget(circuit, x, y, transfers=40).costs
    assert (first.source, second.source) == ("stuck devices", "relative noise")
    assert first.alone.low > 0.03
    assert second.alone.value < 0.03  # one point has the logit 0


def test_a_coarser_level_has_fewer_sources():
    circuit, x, y = moons(device="sinh_tio2")
    sources = {}
    for engine in ("matrix", "ideal"):
        budget = loss_budget(circuit, x, y, transfers=3, engine=engine)
        sources[engine] = {cost.source for cost in budget.costs}
    assert "curves of devices" in sources_of(circuit)
    assert sources["matrix"] - sources["ideal"] == {"wires"}
    assert "curves of devices" not in sources["matrix"]


def test_a_model_that_does_not_classify_is_judged_by_its_outputs():
    torch.manual_seed(0)
    circuit = xb.nn.convert(
        nn.Linear(3, 1).double(), xb.ArrayConfig(variation=RelativeNoise(sigma=0.05))
    )
    x = torch.rand(6, 3, dtype=torch.float64)
    budget = loss_budget(circuit, x, transfers=20)
    assert not budget.classifies
    assert budget.judged.startswith("outputs")
    noise = next(cost for cost in budget.costs if cost.source == "relative noise")
    assert noise.alone.low > 0
    with pytest.raises(InputError, match="`metric` must be one of"):
        loss_budget(circuit, x, transfers=20, metric="consistent")


def test_points_of_a_consistent_score_are_right_in_19_of_20_transfers():
    score = np.ones((20, 3), dtype=np.float32)
    score[0, 1] = 0  # still 95 %
    score[:2, 2] = 0
    one, other = (Outcomes(score=s, classifies=True) for s in (score, np.zeros_like(score)))
    assert one.value("consistent") == pytest.approx(2 / 3)
    assert one.value() == pytest.approx(57 / 60)
    gain = difference(one, other, "consistent")
    assert gain.low < gain.value <= gain.high
    assert gain.value == pytest.approx(2 / 3)


def test_the_interval_of_a_paired_difference_covers_its_expectation():
    """Share of 95 % intervals that hold the true difference, of two noisy and paired scores."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        common = rng.standard_normal((30, 1))
        one = common + 0.1 * rng.standard_normal((30, 1)) + 0.05
        gain = difference(
            Outcomes(score=one.astype(np.float32), classifies=False),
            Outcomes(score=common.astype(np.float32), classifies=False),
        )
        hits += gain.low <= 0.05 <= gain.high
        assert gain.high - gain.low < 0.15  # unpaired: above 0.5
    assert 90 <= hits <= 99


def test_what_cannot_be_budgeted_is_refused():
    circuit, x, y = moons(variation=None, R_wl=0.0, R_bl=0.0)
    with pytest.raises(InputError, match="needs a source of error"):
        loss_budget(circuit, x, y)
    circuit, x, y = moons()
    with pytest.raises(InputError, match="`transfers`"):
        loss_budget(circuit, x, y, transfers=0)
    _, judge = judge_of(circuit, x, y)
    one = run_transfers(circuit, arguments_of(circuit, x), judge, range(3))
    two = run_transfers(circuit, arguments_of(circuit, x), judge, range(4))
    with pytest.raises(InputError, match="transfer by transfer"):
        difference(one, two)
    name = xb.nn.arrays(circuit)[0].name
    xb.nn.put_conductances(circuit, {name: xb.nn.arrays(circuit)[0].crossbar.G})
    with pytest.raises(InputError, match="as programmed or measured"):
        loss_budget(circuit, x, y)
