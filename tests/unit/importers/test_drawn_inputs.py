"""Random inputs beside those of a file."""

from __future__ import annotations

import numpy as np
import pytest

from xbarspice.core.errors import InputError
from xbarspice.importers.inputs import draw_inputs


def test_random_inputs_are_seeded_and_within_their_range():
    drawn = draw_inputs((2, 3), 50, 7, low=-1.0, high=2.0)
    assert drawn.shape == (50, 2, 3)
    assert -1 <= drawn.min() < -0.9
    assert 1.9 < drawn.max() <= 2
    np.testing.assert_array_equal(drawn, draw_inputs((2, 3), 50, 7, low=-1.0, high=2.0))
    for points, low in ((0, 0.0), (3, 1.0)):
        with pytest.raises(InputError, match="at least one point and low < high"):
            draw_inputs((2,), points, 0, low=low)
