"""Column currents of the tiles of a matrix, by the surrogate with its gradient or by any engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.line_ends import READ
from xbarspice.engines import Engine
from xbarspice.mapping import ArrayConfig
from xbarspice.mapping.reads import LineOrder
from xbarspice.nn.effective_matrices import effective_matrix
from xbarspice.nn.solver import solve

__all__ = ["as_tensors", "solve_larger", "solve_stack"]


def as_tensors(wires: dict[str, Any], times: int = 1) -> dict[str, Any]:
    """Arrays of resistances as tensors, for matrices that stand one after the other in `times`."""
    return {
        name: torch.from_numpy(np.concatenate([R] * times)) if isinstance(R, np.ndarray) else R
        for name, R in wires.items()
    }


def solve_larger(
    G: Tensor,
    volts: Tensor,
    wires: dict[str, Any],
    order: LineOrder,
    config: ArrayConfig,
    engine: Engine | None,
) -> Tensor:
    """Bit-line currents, A, (vectors, cols), of one larger array, G (rows, cols), S."""
    ends = order.ends(READ)
    if engine is None:
        return solve(G, volts, device=config.model, ends=ends, **as_tensors(wires)).I_out
    crossbar = Crossbar(G.detach().cpu().numpy(), **wires, device=config.model, ends=ends)
    V_in = volts.detach().cpu().numpy()
    I_out = engines.solve(crossbar, V_in, engine=engine, outside="ignore").I_out
    return torch.from_numpy(np.ascontiguousarray(I_out)).to(G.device, volts.dtype)


def solve_stack(
    tiles: Tensor,
    drive: Tensor,
    wires: dict[str, Any],
    config: ArrayConfig,
    engine: Engine | None,
) -> Tensor:
    """Column currents, A, (vectors, groups, down, across, cols), of a stack of tiles."""
    if engine is not None:
        crossbar = Crossbar(tiles.detach().cpu().numpy(), **wires, device=config.model)
        V_in = np.broadcast_to(
            drive.detach().cpu().numpy(), (*drive.shape[:-2], *tiles.shape[-3:-1])
        )
        I_out = engines.solve(crossbar, V_in, engine=engine, outside="ignore").I_out
        return torch.from_numpy(np.ascontiguousarray(I_out)).to(tiles.device, drive.dtype)
    if config.model.linear:
        matrix = effective_matrix(tiles, **as_tensors(wires))
        return torch.einsum("ngabr,gabrc->ngabc", drive, matrix)
    volts = drive.expand(*drive.shape[:-2], *tiles.shape[-3:-1])
    return solve(tiles, volts, device=config.model, **as_tensors(wires)).I_out
