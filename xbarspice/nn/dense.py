"""Crossbars in plain torch operations, for tensors on a CUDA device: dense, exact, differentiable.

The unknowns are the device voltages w. A line's wires turn its device currents I into drops by a
constant matrix Z, so ``w = V_open - Z_wl I - Z_bl I`` with ``I = I(w)``; a resistance of exactly 0
is nothing special here. A line with two floating ends adds its first node's voltage as an unknown
and ``sum(I) = 0`` as an equation. Newton finds w without recording gradients; one last Newton step
with a fixed Jacobian is recorded, which gives the exact first derivatives (implicit function
theorem).

Memory is (rows * cols)^2 numbers an array, so this is meant for many arrays of up to about 64x64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbarspice.core.array import Crossbar, End
from xbarspice.core.errors import ConvergenceError

__all__ = ["dense_effective_matrix", "dense_solve"]

RESIDUAL = 1e-12
"""Change of a device voltage, relative to the largest one, at which Newton stops."""
MAX_STEPS = 60


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """Lines of one kind.

    Attributes:
        Z: drops for device currents, ohm, (lines, cells, cells).
        share: open-circuit voltage as a share of the driver's, (lines, cells).
        floating: the lines with two floating ends.
    """

    Z: Tensor
    share: Tensor
    floating: list[int]


def _lines(kinds: np.ndarray, cells: int, R: Tensor, R_driver: Tensor, R_sense: Tensor) -> _Lines:
    k = torch.arange(cells, device=R.device, dtype=R.dtype)
    low, high = torch.minimum(k[:, None], k), torch.maximum(k[:, None], k)
    through = {End.DRIVEN: R_driver, End.SENSED: R_sense}
    Z, share, floating = [], [], []
    for line, (first, last) in enumerate(kinds):
        driven = [end == End.DRIVEN for end in (first, last)]
        ones = torch.ones_like(k)
        if first == last == End.FLOATING:
            floating.append(line)
            Z.append(R * low)
            share.append(0 * ones)
        elif last == End.FLOATING:
            Z.append(through[first] + R * low)
            share.append(ones * driven[0])
        elif first == End.FLOATING:
            Z.append(through[last] + R * (cells - 1 - high))
            share.append(ones * driven[1])
        else:
            before, total = through[first], through[first] + R * (cells - 1) + through[last]
            if total == 0:  # both ends ideal and the wire too: the line is its source
                Z.append(0 * low)
                share.append(ones * driven[0])
                continue
            Z.append((before + R * low) * (total - before - R * high) / total)
            at = (before + R * k) / total
            share.append((1 - at) * driven[0] + at * driven[1])
    return _Lines(Z=torch.stack(Z), share=torch.stack(share), floating=floating)


class _System:
    """Drop matrix, open-circuit voltages and floating lines of one crossbar."""

    def __init__(self, crossbar: Crossbar, R: Tensor) -> None:
        self.rows, self.cols = crossbar.rows, crossbar.cols
        self.wl = _lines(crossbar.wl_ends, self.cols, R[0], R[2], R[3])
        self.bl = _lines(crossbar.bl_ends, self.rows, R[1], R[2], R[3])
        m, n = self.rows, self.cols
        eye_m, eye_n = torch.eye(m, device=R.device).to(R), torch.eye(n, device=R.device).to(R)
        Z = torch.einsum("ikl,ij->ikjl", self.wl.Z, eye_m)
        self.Z = (Z + torch.einsum("jkl,ij->kilj", self.bl.Z, eye_n)).reshape(m * n, m * n)
        S = torch.zeros(m * n, len(self.wl.floating) + len(self.bl.floating)).to(R)
        cells = S.view(m, n, -1)
        for f, i in enumerate(self.wl.floating):
            cells[i, :, f] = 1
        for f, j in enumerate(self.bl.floating, start=len(self.wl.floating)):
            cells[:, j, f] = -1
        self.S = S

    def open(self, V_in: Tensor, V_out: Tensor) -> Tensor:
        """Open-circuit device voltages, V, (..., rows * cols)."""
        wl = V_in[..., :, None] * self.wl.share
        bl = V_out[..., None, :] * self.bl.share.T
        return (wl - bl).flatten(-2)

    def jacobian(self, D: Tensor) -> Tensor:
        """Derivative of `residual` by (w, x) for slopes D (N, rows * cols)."""
        size, lines = self.S.shape
        J = torch.zeros(*D.shape[:-1], size + lines, size + lines).to(D)
        J[..., :size, :size] = torch.eye(size).to(D) + self.Z * D[..., None, :]
        J[..., :size, size:] = -self.S
        # scaled to the order of the other rows, so that the pivots are comparable
        J[..., size:, :size] = self.S.T * D[..., None, :] / self.scale(D)
        return J

    def scale(self, D: Tensor) -> Tensor:
        return D.amax(dim=-1)[..., None, None].clamp(min=torch.finfo(D.dtype).tiny)

    def residual(self, w: Tensor, x: Tensor, current: Tensor, opened: Tensor, D: Tensor) -> Tensor:
        """What the equations leave at (w, x)."""
        drop = w - opened + current @ self.Z.T - x @ self.S.T
        return torch.cat([drop, (current @ self.S) / self.scale(D).squeeze(-1)], dim=-1)


def dense_solve(
    crossbar: Crossbar, device: Any, G: Tensor, V_in: Tensor, V_out: Tensor, R: Tensor
) -> dict[str, Tensor]:
    """Solve N arrays, each with its own vector.

    Args:
        crossbar: line ends and shape (its numbers are not used).
        device: the device model, whose parameters may be tensors.
        G: S, (N, rows, cols).
        V_in, V_out: V, (N, rows) and (N, cols).
        R: R_wl, R_bl, R_driver, R_sense in ohm, (4,), on the device of `G`.

    Returns:
        I_out, I_in, I_device (A), V_wl, V_bl (V), differentiable once.

    Raises:
        ConvergenceError: Newton's method did not settle.
    """
    system = _System(crossbar, R)
    flat, opened = G.flatten(-2), system.open(V_in, V_out)
    with torch.no_grad():
        w, x, J, D = _newton(system, device, flat, opened)
    left = system.residual(w, x, device.current(w, flat), opened, D)
    move = torch.linalg.solve(J, left[..., None])[..., 0]
    size = w.shape[-1]
    w, x = w - move[..., :size], x - move[..., size:]
    current = device.current(w, flat)
    shape = (-1, system.rows, system.cols)
    I_device = current.reshape(shape)
    lines = len(system.wl.floating)
    V_wl = V_in[..., :, None] * system.wl.share - torch.einsum(
        "ikl,nil->nik", system.wl.Z, I_device
    )
    V_bl = V_out[..., None, :] * system.bl.share.T + torch.einsum(
        "jkl,nlj->nkj", system.bl.Z, I_device
    )
    V_wl = V_wl + (x[:, :lines] @ system.S[:, :lines].T).reshape(shape)
    V_bl = V_bl - (x[:, lines:] @ system.S[:, lines:].T).reshape(shape)
    return {
        "I_out": I_device.sum(dim=-2),
        "I_in": I_device.sum(dim=-1),
        "V_wl": V_wl,
        "V_bl": V_bl,
        "I_device": I_device,
    }


def _newton(
    system: _System, device: Any, G: Tensor, opened: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Voltages w, floating lines x, the Jacobian there and its slopes D."""
    w, x = opened.clone(), torch.zeros(*opened.shape[:-1], system.S.shape[1]).to(opened)
    size = w.shape[-1]
    largest = opened.abs().amax().clamp(min=torch.finfo(w.dtype).tiny)
    for _ in range(MAX_STEPS):
        D = device.derivative(w, G).expand_as(w)
        J = system.jacobian(D)
        left = system.residual(w, x, device.current(w, G), opened, D)
        move = torch.linalg.solve(J, left[..., None])[..., 0]
        # a step is cut to the drive, which keeps exponentials finite
        step = move * (largest / move.abs().amax(dim=-1, keepdim=True).clamp(min=largest))
        w, x = w - step[..., :size], x - step[..., size:]
        tolerance = max(RESIDUAL, 10 * torch.finfo(w.dtype).eps)
        if device.linear or bool(move.abs().amax() <= tolerance * largest):
            D = device.derivative(w, G).expand_as(w)
            return w, x, system.jacobian(D), D
    raise ConvergenceError(
        f"Newton's method must settle within {MAX_STEPS} steps on the tensor's device: it did not. "
        "Check the conductances and voltages, or solve on the CPU."
    )


def dense_effective_matrix(crossbar: Crossbar, G: Tensor, R: Tensor) -> Tensor:
    """G_eff in S of N linear arrays G (N, rows, cols), differentiable in `G` and `R` (4,)."""
    system = _System(crossbar, R)
    D = G.flatten(-2)
    eye = torch.eye(system.rows).to(G)
    opened = system.open(eye, torch.zeros(system.rows, system.cols).to(G))
    right = torch.cat([opened, torch.zeros(system.rows, system.S.shape[1]).to(G)], dim=-1)
    w = torch.linalg.solve(system.jacobian(D), right.T)[..., : D.shape[-1], :]
    current = (D[..., None] * w).unflatten(-2, (system.rows, system.cols))
    return current.sum(dim=-3).transpose(-1, -2)
