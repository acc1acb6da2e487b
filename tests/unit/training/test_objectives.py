"""Objectives over draws, penalties, the multiplier and the remedies: each by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.unit.training.models import perceptron, points
from xbarspice.core.errors import InputError
from xbarspice.training import array_weights, line_penalty, remedies, worst_share
from xbarspice.training.multiplier import Multiplier
from xbarspice.training.objectives import (
    LOSSES,
    consistency,
    count_of_points,
    loss_of_points,
    margins,
)


def test_the_worst_share_is_the_conditional_value_at_risk():
    """CVaR = min over t of t + E[max(loss - t, 0)] / share (Rockafellar and Uryasev 2000)."""
    rng = np.random.default_rng(0)
    losses = torch.tensor(rng.exponential(size=40))
    weights = torch.tensor(rng.uniform(size=40))
    weights = weights / weights.sum()
    for share in (0.03, 0.125, 0.5, 1.0):
        levels = losses[:, None]
        values = levels[:, 0] + (weights * (losses - levels).clamp(min=0)).sum(dim=1) / share
        assert float(worst_share(losses, weights, share)) == pytest.approx(float(values.min()))
    assert float(worst_share(losses, weights, 1.0)) == pytest.approx(float(losses @ weights))


def test_the_worst_share_follows_only_the_worst_draws():
    losses = torch.arange(8.0, requires_grad=True)
    worst_share(losses, torch.full((8,), 1 / 8), 0.25).backward()
    torch.testing.assert_close(losses.grad, torch.tensor([0.0] * 6 + [0.5, 0.5]))


def test_losses_of_points_are_those_of_torch():
    answers = torch.randn(3, 5, 4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 3, 1])
    each = loss_of_points(LOSSES["cross_entropy"], answers, y)
    assert each.shape == (3, 5)
    mean = torch.nn.functional.cross_entropy(answers[1], y)
    assert float(each[1].mean()) == pytest.approx(float(mean))
    one = loss_of_points(LOSSES["binary"], answers[..., :1], y.clamp(max=1))
    binary = torch.nn.functional.binary_cross_entropy_with_logits
    wanted = y.clamp(max=1).double()
    assert float(one[2].mean()) == pytest.approx(float(binary(answers[2, :, 0], wanted)))
    with pytest.raises(InputError, match="loss of every point"):
        loss_of_points(torch.nn.CrossEntropyLoss(), answers, y)


def test_margins_are_positive_where_the_class_is_right():
    answers = torch.randn(2, 30, 4)
    y = torch.randint(0, 4, (30,))
    assert torch.equal(margins(answers, y) > 0, answers.argmax(dim=-1) == y)
    y = torch.randint(0, 2, (30,))
    single = torch.randn(2, 30, 1)
    assert torch.equal(margins(single, y) > 0, (single[..., 0] > 0) == (y == 1))
    for targets in (torch.full((30,), 4), torch.rand(30), torch.rand(30, 2)):
        with pytest.raises(InputError, match="classes 0 to 3"):
            margins(answers, targets)


def test_counting_objectives_fall_with_points_that_are_right_often_enough():
    """One more point that is right in every draw lowers both; the count is their share."""
    weights = torch.full((20,), 1 / 20)
    right = torch.full((20, 10), -5.0)
    values = []
    for number in range(11):
        right[:, :number] = 5.0
        values.append(
            (
                float(consistency(right, weights, 0.95, 0.5)),
                float(count_of_points(right, weights, 0.95, 0.1, 1.0)),
            )
        )
    assert all(a > b for k in (0, 1) for a, b in zip(*_steps([v[k] for v in values]), strict=True))
    assert values[0][1] == pytest.approx(1.0, abs=0.01)
    assert values[5][1] == pytest.approx(0.5 + 0.5 * values[10][1], abs=0.02)


def _steps(values):
    return values[:-1], values[1:]


def test_the_multiplier_rises_below_the_floor_and_falls_above():
    held = Multiplier(floor=0.9, every=2, stiffness=20.0)
    wrong = torch.cat([torch.ones(7), -torch.ones(3)]).requires_grad_()
    assert float(held.penalty(wrong).detach()) == 0.0
    for step in range(4):
        held.penalty(wrong)
        held.update(step)
    assert held.value == pytest.approx(2 * 20 * 0.2)
    held.penalty(wrong).backward()
    assert (wrong.grad < 0).all()  # a larger margin lowers what is added
    for step in range(4, 40):
        held.penalty(torch.ones(10))
        held.update(step)
    assert held.value == 0.0


def test_nothing_is_held_before_the_floor_was_reached_or_the_free_steps_are_over():
    wrong = torch.cat([torch.ones(7), -torch.ones(3)])
    held = Multiplier(floor=0.9, every=2, free_steps=4)
    seen = []
    for step in range(6):
        seen.append(float(held.penalty(wrong)))
        held.update(step)
    assert [value > 0 for value in seen] == [False] * 4 + [True] * 2
    early = Multiplier(floor=0.9, every=2, free_steps=100)
    early.penalty(torch.ones(10))
    early.update(1)
    assert float(early.penalty(wrong)) > 0


def test_only_weights_on_arrays_count_for_penalties():
    model = perceptron()
    assert [tuple(w.shape) for w in array_weights(model)] == [(8, 5), (3, 8)]
    conductances = np.concatenate([a.crossbar.G.ravel() for a in xb.nn.arrays(model.eval())])
    assert float(line_penalty(model).detach()) == pytest.approx(conductances.mean() / 500e-6)
    line_penalty(model).backward()
    weight = model[0].weight
    inside = weight.detach().abs() < weight.detach().abs().max()
    assert torch.equal(torch.sign(weight.grad)[inside], torch.sign(weight.detach())[inside])


def test_offset_and_gain_are_mended_exactly():
    wanted = torch.randn(40, 3, dtype=torch.float64)
    y = wanted.argmax(dim=-1)
    answers = torch.stack([wanted + 1.5, 0.5 * wanted - torch.tensor([1.0, 2.0, 3.0])])
    by_offset = remedies.fit_offset(answers, wanted, y).apply(answers)
    torch.testing.assert_close(by_offset[0], wanted)
    torch.testing.assert_close(by_offset.mean(dim=1), wanted.mean(dim=0).expand(2, -1))
    by_both = remedies.fit_gain_and_offset(answers, wanted, y).apply(answers)
    torch.testing.assert_close(by_both, wanted.expand(2, -1, -1))


def test_the_decision_offset_is_the_best_one_and_its_gradient_that_of_the_solution():
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(400, 1, dtype=torch.float64, generator=generator)
    y = (wanted[:, 0] > 0).long()
    noise = 0.2 * torch.randn(2, 400, 1, dtype=torch.float64, generator=generator)
    answers = (wanted + noise + torch.tensor([[[0.4]], [[-0.3]]])).requires_grad_()
    correction = remedies.fit_decision_offset(answers, wanted, y)
    assert correction.offset.detach().flatten().tolist() == pytest.approx([-0.4, 0.3], abs=0.1)
    (by_answers,) = torch.autograd.grad(correction.offset.sum(), answers)
    # a shift of all answers is taken back by the offset
    assert by_answers.sum(dim=1).flatten().tolist() == pytest.approx([-1.0, -1.0], rel=1e-6)


def test_remedies_are_known_by_name_and_open_to_users():
    assert remedies.names() == ["decision_offset", "gain_and_offset", "offset"]
    assert remedies.get("offset") is remedies.fit_offset
    assert remedies.get(remedies.fit_offset) is remedies.fit_offset
    assert points(2).shape == (2, 5)
