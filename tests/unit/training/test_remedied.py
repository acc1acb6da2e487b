"""Remedies after programming, judged on points that they have not seen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.unit.training.models import ERRORS, three_classes
from xbarspice.core.errors import InputError
from xbarspice.training import study_remedies
from xbarspice.transfer import transfer
from xbarspice.variability import RelativeNoise


def circuit_of_three(**options):
    """A linear classifier of three classes, with points and the classes it gives them."""
    x, _ = three_classes(60)
    torch.manual_seed(1)
    plain = nn.Linear(2, 3).double()
    with torch.no_grad():
        plain.bias -= plain(x).mean(dim=0)
    y = plain(x).argmax(dim=1)
    circuit = xb.nn.convert(plain, xb.ArrayConfig(**{"variation": ERRORS, **options}), calibrate=x)
    return circuit.eval(), x, y.numpy()


def test_an_offset_wins_what_errors_of_offsets_lose():
    circuit, x, y = circuit_of_three()
    (one,) = study_remedies(circuit, x, y, remedies=["offset"], transfers=60, seed=1)
    assert (one.calibration, one.points, one.transfers) == (30, 30, 60)
    assert one.gain.low > 0
    assert one.gain.value == pytest.approx(one.after.value - one.before.value)
    assert one.judged == "decisions, against the labels"


def test_without_a_remedy_the_transfers_are_those_of_the_study():
    circuit, x, y = circuit_of_three()
    (one,) = study_remedies(circuit, x, y, remedies=["offset"], transfers=10, seed=3)
    right = transfer(circuit, x, y, transfers=10, seed=3).right
    assert right is not None
    order = xb.core.seeds.child_rng(3, "calibration points").permutation(60)
    assert one.before.value == pytest.approx(right[:, order[30:]].mean())


def test_outputs_that_are_numbers_are_mended_too():
    torch.manual_seed(0)
    config = xb.ArrayConfig(variation=RelativeNoise(sigma=0.1), R_wl=0.0, R_bl=0.0)
    x = torch.rand(20, 3, dtype=torch.float64)
    circuit = xb.nn.convert(nn.Linear(3, 2).double(), config, calibrate=x)
    free = xb.nn.convert(nn.Linear(3, 1).double(), config, calibrate=x)
    (one,) = study_remedies(free, x, remedies=["gain_and_offset"], transfers=20)
    assert not one.classifies
    assert one.gain.low > 0
    with pytest.raises(InputError, match="right or wrong only where targets are classes"):
        study_remedies(free, x, remedies=["decision_offset"], transfers=2)
    (two,) = study_remedies(circuit, x, remedies=["offset"], transfers=2, metric="consistent")
    assert two.judged == "decisions, against the exact ones"


def test_what_cannot_be_mended_is_refused():
    circuit, x, y = circuit_of_three()
    one: dict[str, Any] = {"remedies": ["offset"]}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"remedies": ["hope"]}, "hope"),
        ({"transfers": 0}, "`transfers`"),
        ({"engine": "spice"}, "spice"),
        ({"metric": "best"}, "`metric` must be one of"),
    ]
    for change, words in changes:
        with pytest.raises(InputError, match=words):
            study_remedies(circuit, x, y, **(one | change))
    with pytest.raises(InputError, match="4 points at least"):
        study_remedies(circuit, x[:3], y[:3], remedies=["offset"])
    plain, *_ = circuit_of_three(variation=None)
    with pytest.raises(InputError, match="needs errors to draw"):
        study_remedies(plain, x, y, remedies=["offset"])
