"""Tiles: every entry of a matrix stands in exactly one tile, and joining undoes cutting."""

import numpy as np
import pytest
import torch

from xbarspice.mapping.tiling import Tiling


@pytest.mark.parametrize("shape", [(8, 6), (11, 6), (8, 9), (11, 13), (2, 3)])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_join_undoes_stacks(shape, kind):
    """Whole tiles, edges, a corner, and a matrix smaller than a tile; NumPy and torch."""
    whole = kind(np.arange(float(np.prod(shape))).reshape(shape))
    tiling = Tiling(rows=4, cols=3)
    stacks = tiling.stacks(whole)
    assert sum(np.prod(s.shape) for s in stacks) == np.prod(shape)
    assert all(s.shape[2] <= 4 and s.shape[3] <= 3 for s in stacks)
    got = tiling.join(stacks, whole * 0)
    np.testing.assert_array_equal(np.asarray(got), np.asarray(whole))


def test_tiles_keep_their_place():
    """Tile (1, 0) of the inner stack holds rows 4..7 and columns 0..2."""
    whole = np.arange(80.0).reshape(8, 10)
    inner = Tiling(rows=4, cols=3).stacks(whole)[0]
    np.testing.assert_array_equal(inner[1, 0], whole[4:8, 0:3])
