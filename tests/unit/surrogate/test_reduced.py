"""Reduced effective matrices: errors as stated, a trust region that is kept, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from xbarspice.core.errors import InputError
from xbarspice.surrogate.dissection.reduced import ReducedMatrix


@pytest.mark.parametrize(
    ("rows", "cols", "wires", "tolerance", "steps"),
    [
        (8, 8, {"R_wl": 1.0, "R_bl": 1.0}, 1e-3, 1),
        (8, 8, {"R_wl": 5.0, "R_bl": 5.0}, 3e-3, 2),
        (3, 9, {"R_wl": 2.0, "R_bl": 0.5, "R_driver": 3.0, "R_sense": 1.0}, 2e-4, 2),
        (16, 16, {"R_wl": 0.0, "R_bl": 0.0}, 1e-12, 1),
    ],
)
def test_the_error_is_the_one_stated(rows, cols, wires, tolerance, steps):
    """New arrays and vectors, neither of those that were measured."""
    empty = xb.Crossbar(np.full((rows, cols), 1e-4), **wires)
    model = ReducedMatrix.of(empty, 100e-6, 500e-6, tolerance=tolerance)
    assert model.steps == steps
    assert model.error <= tolerance
    rng = np.random.default_rng(5)
    G = rng.uniform(100e-6, 500e-6, (50, rows, cols))
    V = rng.uniform(0, 0.2, (20, rows))
    exact = V @ xb.effective_matrix(empty.replace(G=G))
    reduced = V @ model.matrix(G)
    error = np.abs(reduced - exact).max() / np.abs(exact).max()
    assert error <= model.error + 1e-14
    if any(wires.values()):
        assert error < 0.1 * np.abs(V @ G - exact).max() / np.abs(exact).max()


def differing(rows, cols, batch=()):
    """Wires of about 1 ohm that differ from place to place, some of them 0."""
    rng = np.random.default_rng(3)
    shapes = {"R_wl": (rows, cols - 1), "R_bl": (rows - 1, cols), "R_driver": (rows,)}
    wires = {k: rng.lognormal(0, 0.5, (*batch, *shape)) for k, shape in shapes.items()}
    for R in wires.values():
        R[rng.random(R.shape) < 0.2] = 0.0
    return xb.Crossbar(np.full((*batch, rows, cols), 1e-4), **wires)


def test_wires_may_differ_from_place_to_place():
    """With each line's own resistances the error is that of equal wires of the same size."""
    empty = differing(6, 9)
    model = ReducedMatrix.of(empty, 100e-6, 500e-6, tolerance=1e-3)
    rng = np.random.default_rng(5)
    G, V = rng.uniform(100e-6, 500e-6, (50, 6, 9)), rng.uniform(0, 0.2, (20, 6))
    exact = V @ xb.effective_matrix(empty.replace(G=G))
    error = np.abs(V @ model.matrix(G) - exact).max() / np.abs(exact).max()
    assert error <= model.error + 1e-14
    torch.testing.assert_close(model.matrix(torch.tensor(G)).numpy(), model.matrix(G))
    number = xb.Crossbar(np.full((6, 9), 1e-4), R_wl=2.0, R_bl=3.0)
    filled = number.replace(R_wl=np.full((6, 8), 2.0), R_bl=np.full((5, 9), 3.0))
    of_each, of_number = (
        ReducedMatrix.of(array, 100e-6, 500e-6, tolerance=1e-2).matrix(G)
        for array in (filled, number)
    )
    np.testing.assert_allclose(of_each, of_number, rtol=1e-13)


def test_arrays_with_wires_of_their_own_are_refused():
    arrays = differing(6, 9, (2,))
    with pytest.raises(InputError, match="share their wires"):
        ReducedMatrix.of(arrays, 100e-6, 500e-6)
    assert ReducedMatrix.of(arrays.array(1), 100e-6, 500e-6).error < 1e-3


def test_a_single_device_is_exact():
    one = xb.Crossbar([[3e-4]], R_driver=500.0, R_sense=700.0)
    for tolerance in (1e-3, 1e-12):
        model = ReducedMatrix.of(one, 1e-4, 5e-4, tolerance=tolerance)
        assert model.matrix(one.G)[0, 0] == pytest.approx(3e-4 / (1 + 3e-4 * 1200), rel=1e-14)


def test_outside_its_trust_region_it_refuses():
    model = ReducedMatrix.of(xb.Crossbar(np.full((8, 8), 1e-4)), 100e-6, 500e-6)
    G = np.full((2, 8, 8), 3e-4)
    G[0, 0, 0] = 0.0  # absent
    assert model.matrix(G)[0, 0, 0] == 0.0
    for bad in (600e-6, 50e-6, np.nan):
        G[1, 2, 3] = bad
        with pytest.raises(InputError, match="must lie in"):
            model.matrix(G)
    with pytest.raises(InputError, match=r"must be \(\.\.\., 8, 8\)"):
        model.matrix(G[..., :7])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "sinh_tio2"}, "ohmic array in read mode"),
        ({"ends": xb.LineEnds(wl_right="driven")}, "ohmic array in read mode"),
        ({"R_wl": 50.0}, "must be within 0.001 of the exact one"),
    ],
)
def test_what_it_cannot_do_is_refused(changes, words):
    array = xb.Crossbar(np.full((32, 32), 1e-4)).replace(**changes)
    with pytest.raises(InputError, match=words):
        ReducedMatrix.of(array, 100e-6, 500e-6)


@pytest.mark.parametrize("R", [1.0, 5.0])
def test_gradients_pass_through(R):
    array = xb.Crossbar(np.full((4, 5), 1e-4), R_wl=R, R_bl=R)
    model = ReducedMatrix.of(array, 100e-6, 500e-6, tolerance=3e-4)
    scale = 1e-4
    x = torch.rand(2, 4, 5, dtype=torch.float64) * 3 + 1.5
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model.matrix(x * scale) / scale, (x,))
    single = model.matrix((x * scale).detach().float())
    assert single.dtype == torch.float32
