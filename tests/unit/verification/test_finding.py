"""Sums of detectors: figures of every size, so that a mistake of 1e200 is one that is named."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from xbarspice.verification.finding import common_factor, rms


@pytest.mark.parametrize("size", [1e-300, 1e-4, 1.0, 1e300])
def test_sums_of_squares_neither_overflow_nor_vanish(size):
    model = np.array([1.0, -2.0, 2.0]) * size
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rms(model) == pytest.approx(size * np.sqrt(3))
        assert common_factor(3 * model, model) == pytest.approx(3.0)


def test_nothing_and_what_is_not_finite():
    assert rms(np.empty(0)) == common_factor(np.empty(0), np.empty(0)) == 0.0
    assert rms(np.array([1.0, np.inf])) == np.inf
    assert np.isnan(rms(np.array([1.0, np.nan])))
    assert common_factor(np.ones(2), np.zeros(2)) == 0.0
