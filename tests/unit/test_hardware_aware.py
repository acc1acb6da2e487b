"""Hardware-aware training: the batch is the mapped network, and each technique does its work."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xbarspice.array import Crossbar
from xbarspice.config import DataConfig
from xbarspice.errors import InputError
from xbarspice.mapping import map_network
from xbarspice.studies import hardware_aware, recipes
from xbarspice.studies.data import half_moons
from xbarspice.studies.folded import Folded
from xbarspice.studies.hardware_aware import Bank, Phase, Selection, train
from xbarspice.studies.inference import infer
from xbarspice.variability import drolet_2023

SPLIT = half_moons(DataConfig())


def array_8x8(**options) -> Crossbar:
    return Crossbar(np.full((8, 8), 1e-4), **options)


def mapped(network, **options):
    return map_network(network, layout="folded", tile_rows=8, tile_cols=8, **options)


def doubled(bank: Bank) -> list[torch.Tensor]:
    return [p.detach().double() for p in bank.parameters]


def test_conductances_and_logits_are_those_of_the_mapped_network():
    bank = Bank((2, 8, 1), range(3))
    with torch.no_grad():
        bank.b0 += torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    folded = Folded(inputs=2, hidden=8)
    G, scales = folded.conductances(doubled(bank))
    x = SPLIT.x_test[:20]
    z = folded.logits(G[:, None], scales, torch.as_tensor(x))[:, 0]
    for s, network in enumerate(bank.networks()):
        m = mapped(network, R_wl=0.0, R_bl=0.0)
        np.testing.assert_allclose(G[s].numpy(), m.arrays[0].G, rtol=1e-12)
        np.testing.assert_allclose(z[s].numpy(), network.forward(x)[-1][:, 0], atol=1e-9)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_the_torch_circuit_is_the_exact_circuit(device):
    """Sums through wires and devices agree with the nodal engine, layer by layer."""
    bank = Bank((2, 8, 1), [4])
    network = bank.networks()[0]
    wires = {"R_wl": 2.0, "R_bl": 3.0, "device": device}
    folded = Folded(inputs=2, hidden=8, array=array_8x8(**wires), rounds=12)
    G, scales = folded.conductances(doubled(bank))
    x = SPLIT.x_test[:15]
    first, second = folded.corrections(G, scales, torch.as_tensor(x))
    z = folded.logits(G[:, None], scales, torch.as_tensor(x), (first, second))[0, 0]
    exact = infer(mapped(network, **wires), x, "nodal")
    ideal = network.forward(x)
    np.testing.assert_allclose(first[0].numpy(), exact.sums[0] - ideal[0], atol=1e-9)
    np.testing.assert_allclose(z.numpy(), exact.sums[-1][:, 0], atol=1e-9)
    assert np.abs(exact.sums[-1] - ideal[-1]).max() > 1e-3


def test_corrections_are_the_circuit_to_first_order_in_the_errors():
    bank = Bank((2, 8, 1), [4])
    folded = Folded(inputs=2, hidden=8, array=array_8x8(device="sinh_tio2"))
    G, scales = folded.conductances(doubled(bank))
    noisy = drolet_2023(rate_lrs=0, rate_hrs=0).apply(G[:, None], np.random.default_rng(0))
    x = torch.as_tensor(SPLIT.x_test[:15])
    near = folded.logits(noisy, scales, x, folded.corrections(G, scales, x))[0, 0].numpy()
    far = folded.logits(noisy, scales, x)[0, 0].numpy()
    m = mapped(bank.networks()[0], device="sinh_tio2").with_conductances((noisy[0, 0].numpy(),))
    exact = infer(m, x.numpy(), "nodal").sums[-1][:, 0]
    assert np.abs(near - exact).max() < 0.2 * np.abs(far - exact).max()


def test_seeds_train_apart_from_each_other():
    """A seed's network does not depend on which seeds train beside it (without shared draws)."""
    phases = [Phase(steps=20)]
    together = train(SPLIT, phases, seeds=[3, 5], variation=None)
    alone = train(SPLIT, phases, seeds=[5], variation=None)
    np.testing.assert_allclose(together.networks[1].W[0], alone.networks[0].W[0], rtol=1e-4)


def test_the_same_seeds_give_the_same_networks():
    phase = Phase(steps=5, draws=4, objective="consistency", noise_free=1.0, batch=64)
    runs = [train(SPLIT, [phase], seeds=[1], variation=drolet_2023()) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].networks[0].W[0], runs[1].networks[0].W[0])


@pytest.mark.parametrize("objective", ["likelihood", "worst", "consistency"])
@pytest.mark.parametrize("gradient", ["pathwise", "straight_through"])
def test_every_objective_and_gradient_raises_the_validation_metric(objective, gradient):
    begun = train(SPLIT, [Phase(steps=300)], seeds=[0], variation=None)
    look = Selection(every=60, draws=100, accuracy=0.0)
    phase = Phase(steps=120, draws=16, batch=256, objective=objective, gradient=gradient)
    found = train(
        SPLIT, [phase], seeds=[0], variation=drolet_2023(), start=begun.networks, selection=look
    )
    first = train(
        SPLIT, [Phase(steps=1, draws=1, learning_rate=1e-9)], seeds=[0], variation=drolet_2023(),
        start=begun.networks, selection=look,
    )  # fmt: skip
    assert found.score[0] > first.score[0]


@pytest.mark.parametrize("gradient", ["pathwise", "straight_through"])
def test_stuck_devices_get_a_gradient_only_straight_through(gradient):
    """Hardware-aware dropout: where every device is stuck, nothing reaches the conductances."""
    setting = SimpleNamespace(variation=drolet_2023(rate_lrs=1.0, rate_hrs=0.0))
    G = torch.full((1, 8, 8), 2e-4, requires_grad=True)
    phase = Phase(steps=1, draws=3, gradient=gradient)
    drawn = hardware_aware._draw(G, phase, setting, torch.Generator().manual_seed(0))
    drawn.sum().backward()
    assert G.grad is not None
    np.testing.assert_allclose(G.grad.numpy(), 0.0 if gradient == "pathwise" else 3.0)


def test_line_penalty_lowers_the_conductances():
    sums = []
    for penalty in (0.0, 30.0):
        found = train(SPLIT, [Phase(steps=80, line_penalty=penalty)], seeds=[0], variation=None)
        sums.append(mapped(found.networks[0]).arrays[0].G.mean())
    assert sums[1] < sums[0]


def test_replicated_networks_compute_the_same():
    network = Bank((2, 3, 1), [2]).networks()[0]
    wide = recipes.replicated(network, 8)
    assert wide.sizes == (2, 8, 1)
    np.testing.assert_allclose(
        wide.forward(SPLIT.x_test)[-1], network.forward(SPLIT.x_test)[-1], atol=1e-12
    )


def test_the_released_split_tests_on_training_points_and_the_honest_one_does_not():
    released = recipes.released_split(DataConfig())
    shared = [
        sum(tuple(p) in {tuple(q) for q in split.x_train} for p in split.x_test)
        for split in (released, SPLIT)
    ]
    assert len(released.x_train) == 875
    assert shared[0] > 150
    assert shared[1] == 0


def test_missing_arguments_are_refused():
    with pytest.raises(InputError, match="variation"):
        train(SPLIT, [Phase(steps=1, draws=1)], seeds=[0], variation=None)
    with pytest.raises(InputError, match="array"):
        train(SPLIT, [Phase(steps=1, circuit=True)], seeds=[0], variation=None)
    with pytest.raises(InputError, match="step"):
        Phase(steps=0)
