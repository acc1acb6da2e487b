"""Kernels are compiled once, whatever memory the arrays of a problem lie in."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.surrogate import adjoint, adjoint_kernels
from xbarspice.surrogate.ladders import solves

MIXED = xb.LineEnds(wl_right=["driven", "sensed", "floating"], bl_bottom="driven")


def voltages(lines):
    """Inputs as they come from users: in every memory order, writable or not."""
    batch = np.linspace(0.1, 0.2, 2 * lines).reshape(2, lines)
    frozen = batch.copy()
    frozen.setflags(write=False)
    reordered = np.asfortranarray(batch)
    return batch, frozen, reordered, batch[:, ::-1], np.broadcast_to(batch[0], (4, lines)), batch[0]


@pytest.mark.parametrize("device", ["ohmic", "cubic_al2o3_tio2", "sinh_tio2"])
@pytest.mark.parametrize("ends", [xb.LineEnds(), MIXED], ids=["read", "mixed"])
def test_a_kernel_is_compiled_for_one_kind_of_arrays(device, ends):
    """A second form would be seconds of compilation in the midst of a user's work."""
    array = xb.Crossbar(np.full((3, 2), 1e-4), device=device, ends=ends)
    drive_bit_lines = ends is MIXED
    for V_in in voltages(3):
        V_out = np.full((*V_in.shape[:-1], 2), 0.05) if drive_bit_lines else None
        xb.solve(array, V_in, V_out, engine="surrogate")
        solution = xb.solve(array, V_in, V_out, engine="surrogate", full=True)
        xb.solve(array, V_in, V_out, engine="surrogate", start=solution)
        _, saved = adjoint.forward(array, array.drive(V_in, V_out))
        adjoint.backward(saved, I_out=np.ones(2))
    solve = solves.linear if device == "ohmic" else solves.newton
    assert len(solve.signatures) == len(adjoint_kernels.adjoint.signatures) == 1
