"""What is no real number is refused wherever it comes in, and nothing is lost on the way."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions

import numpy as np
import pytest
import scipy.sparse
import torch

import xbarspice as xb
from xbarspice import devices, variability
from xbarspice.calibration.measurements import Reads
from xbarspice.core.errors import InputError, first_line
from xbarspice.core.values import array_of, labels_of, number_of, whole_number_of, whole_numbers_of
from xbarspice.importers.perceptron import Perceptron
from xbarspice.programming.results import order_of

G = np.full((2, 3), 1e-4)
NONSENSE = {
    "complex": np.array([0.1 + 0.2j, 0.1]),
    "complex in a list": [0.1 + 0.2j, 0.1],
    "masked": np.ma.masked_array([0.1, 0.2], mask=[True, False]),
    "masked in a list": [np.ma.masked_array([0.1, 0.2], mask=[True, False]), [0.1, 0.2]],
    "dates": np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]"),
    "a date": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), 0.1],
    "spans": np.array([1, 2], dtype="timedelta64[s]"),
    "text": ["0.1", "0.2"],
    "text among numbers": [0.1, "0.2"],
    "bytes": np.array([b"0.1", b"0.2"]),
    "truth values": np.array([True, False]),
    "a truth value among numbers": [0.1, True],
    "objects": np.array([0.1, None], dtype=object),
    "numbers as objects": np.array([0.1, 0.2], dtype=object),
    "decimals": [decimal.Decimal("0.1"), fractions.Fraction(1, 5)],
    "huge": [10**400, 1],
    "ragged": [[0.1, 0.2], [0.1]],
    "records": np.zeros(2, dtype=[("a", "f8")]),
    "gradients": torch.tensor([0.1, 0.2], requires_grad=True),
    "complex tensor": torch.tensor([0.1, 0.2j]),
    "bool tensor": torch.tensor([True, False]),
    "bfloat16": torch.tensor([0.1, 0.2], dtype=torch.bfloat16),
    "sparse tensor": torch.tensor([0.1, 0.2]).to_sparse(),
    "sparse": scipy.sparse.csr_array([[0.1, 0.2]]),
    "nothing": None,
    "a dictionary": {"a": 1.0},
}


@pytest.mark.parametrize("value", NONSENSE.values(), ids=NONSENSE)
def test_no_real_numbers_are_refused_by_name_at_every_door(value):
    crossbar = xb.Crossbar(G)
    network = Perceptron(W=(np.ones((2, 1)),), b=(np.zeros(1),))
    doors = {
        "V_in": lambda: crossbar.drive(value),
        "G": lambda: xb.Crossbar([value, value]),
        "R_wl": lambda: xb.Crossbar(G, R_wl=value),
        "network inputs": lambda: network.forward([value]),
        "W0": lambda: Perceptron(W=([value],), b=(np.zeros(2),)),
        "V": lambda: devices.within(devices.get("ohmic"), value, 1e-4),
        "x_scale": lambda: xb.ArrayConfig(x_scale=value),
        "G_min": lambda: xb.ArrayConfig(G_min=value),
        "saf.rate_lrs": lambda: variability.make("saf", rate_lrs=value),
        "order": lambda: order_of(value, G),
        "V_in of reads": lambda: Reads(V_in=[value], I_out=[[1e-6]]),
        "y": lambda: labels_of("y", value, 2),
    }
    if isinstance(value, torch.Tensor):
        del doors["V"]  # devices compute with tensors
    passed = []
    for name, door in doors.items():
        try:
            door()
        except InputError:
            continue
        passed.append(name)
    assert not passed


def test_plain_numbers_of_every_kind_pass_unchanged():
    for value in (
        [1, 2.5],
        (1, 2.5),
        np.array([1, 2.5], dtype=np.float32),
        np.array([1.0, 2.5], dtype=">f8"),
        torch.tensor([1, 2.5]),
        [np.float64(1), np.float32(2.5)],
        np.array([[1, 9], [2.5, 9]])[:, 0],
    ):
        np.testing.assert_array_equal(array_of("V", value), [1, 2.5])
    given = np.array([1.0, 2.5])
    assert array_of("V", given) is given
    assert number_of("R", np.int8(3)) == number_of("R", [[3]]) == 3.0


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: array_of("G", [1.0, 2.0], rank=2), r"`G` must have 2 axes.*\(2,\)"),
        (lambda: array_of("G", [1.0, 2.0], shape=(3,)), r"`G` must have the shape \(3,\)"),
        (lambda: array_of("G", [np.nan, np.inf, 1.0]), "`G` must be finite.*2 NaN or infinite"),
        (lambda: array_of("G", [1.0, -2.0], low=0.0), "`G` must be >= 0; received -2"),
        (lambda: array_of("G", [1.0, 9.0], high=2.0), "`G` must be <= 2; received 9"),
        (lambda: number_of("R", [1.0, 2.0]), r"`R` must be one number; received shape \(2,\)"),
        (lambda: number_of("R", np.nan), "`R` must be a finite number; received nan"),
        (lambda: number_of("R", 0.0, positive=True), "`R` must be a finite number > 0"),
        (lambda: whole_numbers_of("k", [1.0, 2.5]), "`k` must be whole numbers; received 2.5"),
        (lambda: whole_numbers_of("k", [1e300]), "`k` must be whole numbers"),
        (lambda: whole_number_of("k", 0, low=1, remedy="Count."), "`k` must be >= 1"),
        (lambda: labels_of("y", [0, 1], 3), r"`y` must have the shape \(3,\).*\(2,\)"),
        (lambda: labels_of("y", [0, 1.5], 2), "`y` must be whole numbers; received 1.5"),
        (lambda: labels_of("y", [0, -1], 2), "`y` must be >= 0; received -1"),
    ],
)
def test_a_broken_rule_says_name_rule_and_value(work, words):
    with pytest.raises(InputError, match=words):
        work()


def test_a_tensor_with_gradients_is_told_where_gradients_are():
    V = torch.tensor([0.1, 0.2], requires_grad=True)
    with pytest.raises(InputError, match=r"`V_in` .*requires gradients.*detach.*xb\.nn\.solve"):
        xb.solve(xb.Crossbar(G), V)


@pytest.mark.parametrize(
    ("text", "line"), [("\n first \nsecond", "first"), ("", "ValueError"), ("x" * 300, "x" * 200)]
)
def test_the_first_line_of_an_error_is_short_and_never_empty(text, line):
    assert first_line(ValueError(text)) == line
