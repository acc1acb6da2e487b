"""Hardware-aware training: the batch is the circuit, and each technique does its work."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from papers.drolet2023 import recipes, starts
from papers.drolet2023.batched import layer_sums
from papers.drolet2023.chain import Chain, circuit_of
from papers.drolet2023.folded import Folded
from papers.drolet2023.in_the_loop import best_shift, left_behind
from papers.drolet2023.objectives import draw
from papers.drolet2023.remedies import Procedure
from papers.drolet2023.training import Bank, Phase, Selection, train
from papers.drolet2023.transfers import CHUNK, transfer
from xbarspice.config import DataConfig
from xbarspice.core.errors import InputError, StoreError
from xbarspice.importers.perceptron import Perceptron
from xbarspice.training.data import fresh_half_moons, half_moons
from xbarspice.variability import drolet_2023

SPLIT = half_moons(DataConfig())


def array_8x8(**options) -> xb.ArrayConfig:
    return xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=8, **options)


def on_array(network, **options) -> Chain:
    return Chain.of(circuit_of(network, array_8x8(**options)))


def sums_through(chain, x, engine="nodal"):
    with xb.nn.through(engine):
        return layer_sums(chain, x)


def doubled(bank: Bank) -> list[torch.Tensor]:
    return [p.detach().double() for p in bank.parameters]


def test_conductances_and_logits_are_those_of_the_circuit():
    bank = Bank((2, 8, 1), range(3))
    with torch.no_grad():
        bank.leaves[1] += torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    folded = Folded(inputs=2, hidden=8)
    G, scales = folded.conductances(doubled(bank))
    x = SPLIT.x_test[:20]
    z = folded.logits(G[:, None], scales, torch.as_tensor(x))[:, 0]
    for s, network in enumerate(bank.networks()):
        chain = on_array(network, R_wl=0.0, R_bl=0.0)
        np.testing.assert_allclose(G[s].numpy(), chain.wanted[0], rtol=1e-12)
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
    exact = sums_through(on_array(network, **wires), x)
    ideal = network.forward(x)
    np.testing.assert_allclose(first[0].numpy(), exact[0] - ideal[0], atol=1e-9)
    np.testing.assert_allclose(z.numpy(), exact[-1][:, 0], atol=1e-9)
    assert np.abs(exact[-1] - ideal[-1]).max() > 1e-3


def test_corrections_are_the_circuit_to_first_order_in_the_errors():
    bank = Bank((2, 8, 1), [4])
    folded = Folded(inputs=2, hidden=8, array=array_8x8(device="sinh_tio2"))
    G, scales = folded.conductances(doubled(bank))
    noisy = drolet_2023(rate_lrs=0, rate_hrs=0).apply(G[:, None], np.random.default_rng(0))
    x = torch.as_tensor(SPLIT.x_test[:15])
    near = folded.logits(noisy, scales, x, folded.corrections(G, scales, x))[0, 0].numpy()
    far = folded.logits(noisy, scales, x)[0, 0].numpy()
    chain = on_array(bank.networks()[0], device="sinh_tio2")
    xb.nn.put_conductances(chain.circuit, {chain.arrays[0].name: noisy[0, 0].numpy()})
    exact = sums_through(chain, x.numpy())[-1][:, 0]
    assert np.abs(near - exact).max() < 0.2 * np.abs(far - exact).max()


def test_units_of_ranges_keep_the_functions_and_every_weight_in_its_range():
    bank = Bank((2, 8, 1), range(2))
    folded, x = Folded(inputs=2, hidden=8), torch.as_tensor(SPLIT.x_test[:20])
    G, scales = folded.conductances(doubled(bank))
    before = folded.logits(G[:, None], scales, x)
    second = bank.parameters[2].abs().amax(dim=(1, 2)).double().detach()
    bank.measure_in("ranges")
    G_after, scales = folded.conductances(doubled(bank))
    torch.testing.assert_close(G_after, G, rtol=1e-5, atol=0)
    after = folded.logits(G_after[:, None], scales, x) * second[:, None, None]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        bank.leaves[0] *= 3
    bank.within()
    assert bank.leaves[0].abs().max() == 1
    bank.measure_in("weights")
    assert [p.shape for p in bank.leaves] == [(2, 2, 8), (2, 8), (2, 8, 1), (2, 1)]


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


@pytest.mark.parametrize("objective", ["likelihood", "worst", "consistency", "count"])
@pytest.mark.parametrize("gradient", ["pathwise", "straight_through"])
def test_every_objective_and_gradient_raises_the_validation_metric(objective, gradient):
    begun = train(SPLIT, [Phase(steps=300)], seeds=[0], variation=None)
    look = Selection(every=60, draws=100, accuracy=0.0)
    phase = Phase(steps=120, draws=16, batch=256, objective=objective, gradient=gradient)
    found = train(
        SPLIT, [phase], seeds=[0], variation=drolet_2023(), start=begun.networks, selection=look
    )
    first = train(
        SPLIT,
        [Phase(steps=1, draws=1, learning_rate=1e-9)],
        seeds=[0],
        variation=drolet_2023(),
        start=begun.networks,
        selection=look,
    )
    assert found.score[0] > first.score[0]


@pytest.mark.parametrize("gradient", ["pathwise", "straight_through"])
def test_stuck_devices_get_a_gradient_only_straight_through(gradient):
    """Hardware-aware dropout: where every device is stuck, nothing reaches the conductances."""
    variation = drolet_2023(rate_lrs=1.0, rate_hrs=0.0)
    G = torch.full((1, 8, 8), 2e-4, requires_grad=True)
    phase = Phase(steps=1, draws=3, gradient=gradient)
    drawn = draw(G, phase, variation, torch.Generator().manual_seed(0))
    drawn.G.sum().backward()
    assert G.grad is not None
    np.testing.assert_allclose(G.grad.numpy(), 0.0 if gradient == "pathwise" else 3.0)


def test_strata_hold_every_device_stuck_once_with_the_right_weight():
    """Weighted means over the strata are means over transfers drawn at random."""
    G = torch.full((1, 8, 8), 2e-4)
    variation = drolet_2023()
    phase = Phase(steps=1, draws=10, stratified=True)
    generator = torch.Generator().manual_seed(0)
    several = [draw(G, phase, variation, generator) for _ in range(40)]
    assert several[0].G.shape == (1, 74, 8, 8)
    assert several[0].weights.sum().item() == pytest.approx(1.0)
    far = (several[0].G[0, 10:] - 2e-4).abs().flatten(1)  # stuck devices are far off
    assert bool((far[range(64), range(64)] > 5e-5).float().mean() > 0.95)
    mine = sum((d.weights[:, None, None] * d.G[0]).sum(dim=0) for d in several) / 40
    wanted = G[:, None].expand(-1, 20000, -1, -1)
    theirs = variation.apply(wanted, generator)[0].mean(dim=0)
    assert mine.mean().item() == pytest.approx(theirs.mean().item(), abs=4e-7)


@pytest.fixture(scope="module")
def bent():
    """A 2-8-1 network whose boundary follows the moons: three neurons, replicated."""
    small = Perceptron(
        W=(np.array([[24.9, -22.4, -25.0], [-11.4, -11.1, 11.3]]), np.array([[24.6], [13], [-31]])),
        b=(np.array([-12.8, 16.4, 0.6]), np.array([-9.9])),
    )
    small = train(
        SPLIT,
        [Phase(steps=100, learning_rate=0.05)],
        seeds=[0],
        variation=None,
        hidden=3,
        start=[small],
    ).networks[0]
    wide = starts.replicate(small, 8)
    right = wide.predict(wide.forward(SPLIT.x_train)[-1]) == SPLIT.y_train
    assert right.mean() > 0.96
    return wide


def test_held_accuracy_is_reached_by_steering_the_noise_free_loss(bent):
    found = {}
    for hold in (0.80, 0.97):
        phase = Phase(
            steps=150,
            draws=16,
            stratified=True,
            objective="count",
            hold=hold,
            softness=0.3,
            learning_rate=0.05,
        )
        ended = train(SPLIT, [phase], seeds=[0], variation=drolet_2023(), start=[bent])
        found[hold] = ended.accuracy[0]
    assert found[0.97] > 0.955
    assert found[0.97] > found[0.80]


REMEDIES = Procedure(compensate=True, bias=True)


def test_remedies_in_the_loop_raise_the_metric_that_remedies_reach(bent):
    phase = Phase(
        steps=60,
        draws=32,
        objective="count",
        hold=0.965,
        softness=0.3,
        procedure=REMEDIES,
        learning_rate=0.03,
    )
    look = Selection(every=30, draws=100, accuracy=0.0)
    found = train(SPLIT, [phase], seeds=[0], variation=drolet_2023(), start=[bent], selection=look)
    still = train(
        SPLIT,
        [Phase(**{**phase.__dict__, "steps": 1, "learning_rate": 1e-9})],
        seeds=[0],
        variation=drolet_2023(),
        start=[bent],
        selection=look,
    )
    assert found.score[0] > still.score[0]


def test_what_the_tester_leaves_behind_is_what_the_transfer_study_sees():
    """Errors and shift in the loop give the logits of the study, remapped lines and all."""
    network = train(SPLIT, [Phase(steps=200)], seeds=[2], variation=None).networks[0]
    procedure = Procedure(compensate=True, remap=4, bias=True, passes=2)
    calibration = (SPLIT.x_train, SPLIT.y_train)
    left = left_behind([network], procedure, drolet_2023(), calibration, None, draws=CHUNK, seed=5)
    folded = Folded(inputs=2, hidden=8)
    G, scales = folded.conductances(doubled(Bank.of([network], [0])))
    z = (
        folded.logits(G[:, None] + left.error, scales, torch.as_tensor(SPLIT.x_validation))
        + left.shift[..., None]
    )
    study = transfer(
        on_array(network, R_wl=0.0, R_bl=0.0),
        SPLIT.x_validation,
        SPLIT.y_validation,
        variation=drolet_2023(),
        transfers=CHUNK,
        seed=5,
        procedure=procedure,
        calibration=calibration,
    )
    np.testing.assert_allclose(z[0].numpy(), study.logits[..., 0], rtol=1e-3, atol=1e-3)


def test_the_best_shift_moves_with_the_logits():
    """Value: the count of right points. Gradient: all logits up by d, the shift down by d."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.rand(400, generator=generator) > 0.5).double()
    z = (2 * y - 1) * 2 + torch.randn(3, 5, 400, generator=generator, dtype=torch.float64)
    shifted = (z - 0.4).requires_grad_()
    s = best_shift(shifted, y, torch.full((3,), 4.0), torch.zeros(3, 5))
    before = ((shifted > 0) == (y > 0)).double().mean()
    after = ((shifted + s[..., None] > 0) == (y > 0)).double().mean()
    assert after > before
    s.sum().backward()
    assert shifted.grad is not None
    np.testing.assert_allclose(shifted.grad.sum(dim=-1).numpy(), -1.0, rtol=0.05)


@pytest.mark.parametrize("procedure", [None, REMEDIES], ids=["plain", "remedies"])
def test_a_run_that_was_stopped_ends_bit_for_bit_as_one_that_was_not(tmp_path, procedure):
    phases = [
        Phase(steps=7, learning_rate=0.05),
        Phase(
            steps=14,
            draws=4,
            batch=64,
            objective="count",
            hold=0.9,
            softness=0.3,
            procedure=procedure,
            refresh=4,
            stratified=procedure is None,
            units="weights" if procedure else "ranges",
        ),
    ]
    look = Selection(every=3, draws=20, accuracy=0.0)
    options = {"seeds": [1, 2], "variation": drolet_2023(), "selection": look}
    whole = train(SPLIT, phases, **options)
    path = tmp_path / "runs" / "run.ckpt"

    class StoppedError(Exception):
        pass

    def stop_at(step):
        def progress(done, total):
            if done == step:
                raise StoppedError

        return progress

    for step in (5, 13, 17):  # between two writes, after one, in either phase
        with pytest.raises(StoppedError):
            train(
                SPLIT,
                phases,
                **options,
                checkpoint=path,
                checkpoint_every=3,
                progress=stop_at(step),
            )
    seen = []
    resumed = train(
        SPLIT,
        phases,
        **options,
        checkpoint=path,
        checkpoint_every=3,
        progress=lambda done, total: seen.append(done),
    )
    assert seen[0] == 16
    for mine, other in zip(resumed.networks, whole.networks, strict=True):
        for a, b in zip((*mine.W, *mine.b), (*other.W, *other.b), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(resumed.history, whole.history)
    assert not list(path.parent.glob("*.partial"))
    finished = train(SPLIT, phases, **options, checkpoint=path, progress=stop_at(1))
    np.testing.assert_array_equal(finished.score, whole.score)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    train(SPLIT, [Phase(steps=2)], seeds=[1], variation=None, checkpoint=path)
    with pytest.raises(InputError, match="this very run"):
        train(SPLIT, [Phase(steps=3)], seeds=[1], variation=None, checkpoint=path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(StoreError, match="checkpoint"):
        train(SPLIT, [Phase(steps=2)], seeds=[1], variation=None, checkpoint=path)


def test_line_penalty_lowers_the_conductances():
    sums = []
    for penalty in (0.0, 30.0):
        found = train(SPLIT, [Phase(steps=80, line_penalty=penalty)], seeds=[0], variation=None)
        sums.append(on_array(found.networks[0]).wanted[0].mean())
    assert sums[1] < sums[0]


def test_replicated_networks_compute_the_same():
    network = Bank((2, 3, 1), [2]).networks()[0]
    wide = starts.replicate(network, 8)
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


def test_fresh_points_are_new_points_of_the_same_law_in_the_same_scaling():
    x, y = fresh_half_moons(DataConfig(), 20000)
    known = {tuple(p) for p in (*SPLIT.x_train, *SPLIT.x_validation, *SPLIT.x_test)}
    assert not any(tuple(p) in known for p in x)
    assert y.mean() == 0.5
    for k in (0, 1):
        mine, other = x[y == k], SPLIT.x_train[SPLIT.y_train == k]
        error = other.std(axis=0) / np.sqrt(len(other))
        assert np.all(np.abs(mine.mean(axis=0) - other.mean(axis=0)) < 4 * error)
        np.testing.assert_allclose(mine.std(axis=0), other.std(axis=0), rtol=0.1)


def test_missing_arguments_are_refused():
    with pytest.raises(InputError, match="variation"):
        train(SPLIT, [Phase(steps=1, draws=1)], seeds=[0], variation=None)
    with pytest.raises(InputError, match="array"):
        train(SPLIT, [Phase(steps=1, circuit=True)], seeds=[0], variation=None)
    with pytest.raises(InputError, match="step"):
        Phase(steps=0)
    with pytest.raises(InputError, match="ranges"):
        Phase(steps=1, draws=1, units="ranges", objective="consistency")
