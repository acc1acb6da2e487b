"""Remedies on devices of the library beside those of the experiment: the same conductances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

import xbarspice as xb
from papers.drolet2023 import batched
from papers.drolet2023 import remedies as theirs
from papers.drolet2023.batched import Batch
from papers.drolet2023.chain import Chain, circuit_of
from papers.drolet2023.writing import at_mapped_lines
from tests.papers.test_transfers import half_moon_like
from xbarspice.training import tester
from xbarspice.training.procedures import Procedure
from xbarspice.variability import (
    BiasingSchemeEffect,
    Compose,
    ReadNoise,
    StuckDevices,
    Variation,
    drolet_2023,
)
from xbarspice.variability.bse import DriftTable

DRAWS = 12


def fixed(shape: tuple[int, ...], seed: int, like: Any) -> Any:
    """Random numbers that depend on nothing but the shape of an array and a seed."""
    values = np.random.default_rng(seed).standard_normal(shape)
    return values if isinstance(like, np.ndarray) else torch.as_tensor(values, dtype=like.dtype)


@dataclass(frozen=True, kw_only=True)
class FixedTuning(Variation):
    """Tuning errors that are the same in every write."""

    name = "fixed_tuning"

    def _apply(self, G: Any, draws: Any) -> Any:
        return G * (1 + 0.03 * fixed(draws.shape, 1, G))


@dataclass(frozen=True, kw_only=True)
class FixedStuck(StuckDevices):
    """Stuck devices that are always the same."""

    def _draw(self, draws: Any) -> tuple[Any, Any]:
        high = 400e-6 + 20e-6 * fixed(draws.shape, 3, draws.like)
        return fixed(draws.shape, 2, draws.like) > 1.7, high


def fixed_errors() -> Compose:
    """Errors without chance: a drift of 2 uS a later write, exactly."""
    later = tuple(range(1, 54))
    drifts = tuple((2e-7 * k, 2e-7 * k) for k in later)
    ones = tuple(1.0 for _ in later)
    table = DriftTable(
        later_writes=later,
        levels=(0.0, 1.0),
        quantiles=drifts,
        mean=tuple(q for q, _ in drifts),
        std=ones,
        samples=tuple(100 for _ in later),
    )
    return Compose([FixedTuning(), BiasingSchemeEffect(table=table), FixedStuck()])


@pytest.fixture
def without_chance(monkeypatch):
    """Both testers read back without noise, and the experiment's drift takes its table."""
    monkeypatch.setattr(ReadNoise, "_apply", lambda self, G, draws: G)
    monkeypatch.setattr(
        "papers.drolet2023.writing.bse_table",
        lambda tail: xb.variability.bse_table(tail, fixed_errors().parts[1].table),
    )


PROCEDURES = {
    "as written": {},
    "partners": {"compensate": True},
    "write order": {"order": "sensitivity"},
    "tuning passes": {"passes": 4, "rewrite": 9},
    "all": {"order": "sensitivity", "passes": 6, "rewrite": 20, "enough": 0.99, "compensate": True},
}


@pytest.mark.parametrize("options", PROCEDURES.values(), ids=PROCEDURES)
def test_the_same_errors_leave_the_same_conductances(options, without_chance):
    """On the folded 2-8-1 array, without chance in the errors, device by device."""
    network, x, y = half_moon_like()
    config = xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=8, R_wl=0.0, R_bl=0.0)
    circuit = circuit_of(network, replace(config, variation=fixed_errors()))
    points = torch.as_tensor(x), torch.as_tensor(y)
    mine = tester.Tester(circuit, Procedure(**options), points)
    generators = {mine.stacks[0].name: [torch.Generator().manual_seed(0)]}
    (writing,) = mine.program(DRAWS, generators)
    chain = Chain.of(circuit_of(network, config))
    other = theirs.Tester.of(chain, theirs.Procedure(**options), (x, y), circuit=False)
    if mine.sensitivity is not None:  # theirs is by differences, which orders some devices else
        slopes = np.asarray(mine.sensitivity[0])
        assert np.corrcoef(slopes.ravel(), other.sensitivity[0].ravel())[0, 1] > 0.95
        other = replace(other, sensitivity=(slopes,))
    batch = theirs.program(other, fixed_errors(), count=DRAWS, seed=0, chunk=0)
    np.testing.assert_allclose(writing.G.numpy(), batch.G[0], rtol=0, atol=1e-15)
    wanted = writing.stack.wanted.expand_as(writing.G)
    written_once = fixed_errors().apply(wanted, torch.Generator())
    same = np.allclose(writing.G.numpy(), written_once.numpy(), rtol=0, atol=1e-12)
    assert same == (not options)


BY_CHANCE = {
    "other lines": {"remap": 24},
    "partners and other lines": {"compensate": True, "remap": 24},
    "all": {**PROCEDURES["all"], "remap": 24},
}


@pytest.mark.parametrize("options", BY_CHANCE.values(), ids=BY_CHANCE)
def test_random_lines_and_errors_leave_equal_accuracies_in_distribution(options):
    """Both testers draw their own numbers: mean accuracies agree within 4 standard errors.

    Without the procedure the mean differs by three times as much, so that the test has power.
    """
    network, x, y = half_moon_like()
    errors = drolet_2023(rate_lrs=0.02, rate_hrs=0.01)
    config = xb.ArrayConfig(layout="folded", tile_rows=8, tile_cols=8, R_wl=0.0, R_bl=0.0)
    circuit = circuit_of(network, replace(config, variation=errors))
    chain, count = Chain.of(circuit_of(network, config)), 500

    def accuracies(G: np.ndarray) -> np.ndarray:
        z = batched.logits(chain, x, Batch(G=(G,)))[..., 0]
        return ((z > 0) == y).mean(axis=1)

    def ours(procedure: Procedure) -> np.ndarray:
        mine = tester.Tester(circuit, procedure, (torch.as_tensor(x), torch.as_tensor(y)))
        generators = {mine.stacks[0].name: [torch.Generator().manual_seed(5)]}
        return accuracies(mine.program(count, generators)[0].G.numpy())

    other = theirs.Tester.of(chain, theirs.Procedure(**options), (x, y), circuit=False)
    batch = theirs.program(other, errors, count=count, seed=1, chunk=0)
    one, two, plain = (
        ours(Procedure(**options)),
        accuracies(at_mapped_lines(batch)[0]),
        ours(Procedure()),
    )
    error = np.sqrt((one.var() + two.var()) / count)
    assert abs(one.mean() - two.mean()) < 4 * error
    assert one.mean() - plain.mean() > 12 * error
