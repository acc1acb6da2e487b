"""Stuck-device dropout: chance, strata, one draw for every device."""

from __future__ import annotations

import pytest
import torch

from tests.unit.training.models import perceptron, points
from xbarspice.training import ErrorDraws
from xbarspice.training.stuck import Strata, by_chance, cycle_length, forced, put_stuck
from xbarspice.variability import StuckDevices

TERM = StuckDevices(rate_lrs=0.02, rate_hrs=0.03)


@pytest.mark.parametrize(("count", "rate"), [(64, 0.007), (1000, 0.05), (7, 0.5)])
def test_strata_cover_every_device_once_a_cycle(count, rate):
    strata, length = Strata(seed=3), cycle_length(rate)
    for cycle in range(2):
        draws = [strata.stuck(cycle * length + k, count, length) for k in range(length)]
        assert sorted(torch.cat(draws).tolist()) == list(range(count))
        sizes = [len(d) for d in draws]
        assert max(sizes) - min(sizes) <= 1
    orders = [
        torch.cat([strata.stuck(c * length + k, count, length) for k in range(length)])
        for c in range(2)
    ]
    assert not torch.equal(*orders)
    assert length * rate == pytest.approx(1.0, rel=0.1)


def test_strata_in_a_model_cover_every_device_once_a_cycle():
    """Over the steps of a cycle each device of each tile is stuck in exactly one draw."""
    errors = StuckDevices(rate_lrs=0.05, rate_hrs=0.05)
    model = perceptron(variation=errors)
    draws = ErrorDraws(model, draws=2, stuck="stratified")
    counts: dict[str, torch.Tensor] = {}
    inner = draws._with_stuck

    def watch(G, term, key, *arguments):
        changed = inner(G, term, key, *arguments)
        counts[key] = counts.get(key, 0) + (changed != G).sum(dim=0)
        return changed

    draws._with_stuck = watch  # type: ignore[method-assign]
    with torch.no_grad():
        for step in range(5):
            draws.begin(f"step {step}", first=2 * step)
            draws.outputs(points(1))
    assert len(counts) > 2
    assert all((count == 1).all() for count in counts.values())


@pytest.mark.parametrize("rate", [0.001, 0.05, 1.0])
def test_chance_has_the_law_of_independent_devices(rate):
    count, times = 2000, 300
    generator = torch.Generator().manual_seed(0)
    each = [by_chance(rate, count, generator) for _ in range(times)]
    assert all(len(n) == len(n.unique()) and (n < count).all() for n in each)
    sizes = torch.tensor([float(len(n)) for n in each])
    spread = (count * rate * (1 - rate)) ** 0.5
    assert float(sizes.mean()) == pytest.approx(count * rate, abs=5 * spread / times**0.5 + 1e-9)
    assert float(sizes.std()) == pytest.approx(spread, rel=0.25, abs=1e-9)
    shares = torch.bincount(torch.cat(each), minlength=count).float() / times
    assert float(shares[: count // 2].mean()) == pytest.approx(rate, rel=0.15)
    assert float(shares[0]) == pytest.approx(rate, abs=5 * (rate * (1 - rate) / times) ** 0.5)


def test_every_device_has_a_draw_of_its_own():
    generator = torch.Generator().manual_seed(0)
    draw, device = forced(3 + 20, 3 + 4, 10, 0.0, generator)
    assert draw.tolist() == [7 + k for k in range(10)]
    assert device.tolist() == list(range(10))
    draw, device = forced(3 + 20, 3 + 4, 10, 0.5, generator)
    assert {(7 + k, k) for k in range(10)} <= set(zip(draw.tolist(), device.tolist(), strict=True))
    assert len(draw) > 60


def test_the_first_draws_have_no_stuck_device_where_every_device_has_its_own():
    errors = StuckDevices(rate_lrs=0.02, rate_hrs=0.02)
    model = perceptron(variation=errors)
    devices = sum(a.crossbar.G.size for a in _arrays(model))
    draws = ErrorDraws(model, draws=3, stuck="every_device")
    assert draws.count == 3 + devices
    none = 0.96**devices
    assert float(draws.weights[:3].sum()) == pytest.approx(none, rel=1e-5)
    draws.begin("a")
    with torch.no_grad():
        answers = draws.outputs(points(2), nominal=True)
    torch.testing.assert_close(answers[1:4], answers[:1].expand(3, -1, -1), rtol=0, atol=1e-12)
    assert ((answers[4:] - answers[0]).abs().amax(dim=(1, 2)) > 1e-9).all()


def _arrays(model):
    import xbarspice as xb

    return xb.nn.arrays(model)


def test_failure_values_have_their_law_and_pass_no_gradient():
    G = torch.full((50, 40, 5), 2e-4, dtype=torch.float64, requires_grad=True)
    draw = torch.arange(50).repeat_interleave(100)
    device = torch.arange(100).repeat(50)
    out = put_stuck(G, draw, device, TERM, torch.Generator().manual_seed(0))
    out.sum().backward()
    flat, grad = out.detach().reshape(50, -1), G.grad.reshape(50, -1)
    assert (grad[:, :100] == 0).all()
    assert (grad[:, 100:] == 1).all()
    assert (flat[:, 100:] == 2e-4).all()
    low = flat[:, :100] > 150e-6  # stuck-HRS values lie below 100 uS
    assert float(low.double().mean()) == pytest.approx(0.4, abs=0.03)
    assert float(flat[:, :100][low].mean()) == pytest.approx(573e-6, rel=0.02)
    assert float(flat[:, :100][~low].mean()) == pytest.approx(55e-6, rel=0.03)


def test_absent_devices_do_not_get_stuck():
    G = torch.zeros(1, 2, 2, dtype=torch.float64)
    out = put_stuck(G, torch.zeros(4, dtype=torch.int64), torch.arange(4), TERM, torch.Generator())
    assert torch.equal(out, G)
