"""A tester in the training loop: the transfers that a procedure leaves behind, kept some steps.

The procedure itself (`remedies.program`) is not differentiable: it sorts, counts and tries. Its
errors are taken as constants for a few steps and differentiated straight through; the correction
of the output bias is solved again in every step, and differentiated as the solution it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

import xbarspice as xb
from papers.drolet2023.chain import Chain, circuit_of
from papers.drolet2023.remedies import Procedure, Tester, program
from papers.drolet2023.writing import at_mapped_lines
from xbarspice.importers.perceptron import Perceptron
from xbarspice.variability import Variation

__all__ = ["Left", "best_shift", "left_behind"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Left:
    """What a procedure leaves behind.

    Attributes:
        error: programmed less wanted conductances at the mapped lines, S, (seeds, draws, rows,
            cols).
        shift: correction of the logits, (seeds, draws); 0 without `Procedure.bias`.
    """

    error: Tensor
    shift: Tensor


def left_behind(
    networks: Sequence[Perceptron],
    procedure: Procedure,
    variation: Variation,
    calibration: tuple[np.ndarray, np.ndarray],
    array: xb.ArrayConfig | None,
    *,
    draws: int,
    seed: int,
) -> Left:
    """Program every network `draws` times.

    Args:
        networks: two-layer networks with one output, each for one folded array.
        procedure, variation: what the tester does, and the errors.
        calibration: points and classes that the tester may use.
        array: wires and device; None is ideal.
        draws, seed: transfers a network, and the seed of their errors.
    """
    errors, shifts = [], []
    for network in networks:
        chain = Chain.of(circuit_of(network, _config(network, array)))
        tester = Tester.of(chain, procedure, calibration, circuit=array is not None)
        batch = program(tester, variation, count=draws, seed=seed, chunk=0)
        errors.append(at_mapped_lines(batch)[0] - chain.wanted[0])
        none = np.zeros(draws)
        shifts.append(none if batch.digital is None else batch.digital[:, 0])
    return Left(
        error=torch.as_tensor(np.array(errors)).float(),
        shift=torch.as_tensor(np.array(shifts)).float(),
    )


def _config(network: Perceptron, array: xb.ArrayConfig | None) -> xb.ArrayConfig:
    inputs, hidden, outputs = network.sizes
    return replace(
        array or xb.ArrayConfig(R_wl=0.0, R_bl=0.0),
        layout="folded",
        tile_rows=2 * (inputs + 1 + outputs),
        tile_cols=hidden,
    )


def best_shift(z: Tensor, y: Tensor, width: Tensor, near: Tensor) -> Tensor:
    """Shift of the logits that gets most points right, as the tester finds it, with its gradient.

    The tester maximises F(s) = mean tanh(m / (0.1 width)), m = +-(z + s). The best s nearby is
    looked for on a grid; with F'(s) = 0 there, ds/dz follows from the implicit function theorem:
    one Newton step, whose value is dropped and whose gradient is kept.

    Args:
        z: logits, (seeds, draws, points).
        y: classes, (points,).
        width: median size of the logits without errors, (seeds,).
        near: where to look, (seeds, draws).

    Returns:
        (seeds, draws).
    """
    scale = 0.1 * width[:, None, None]
    sign = 2 * y - 1
    with torch.no_grad():
        steps = torch.linspace(-0.3, 0.3, 13)[:, None, None] * width[:, None]
        score = torch.stack(
            [torch.tanh((z + (near + s)[..., None]) * sign / scale).mean(-1) for s in steps]
        )
        best = (
            near + torch.take_along_dim(steps.expand_as(score), score.argmax(dim=0)[None], dim=0)[0]
        )
    t = torch.tanh((z + best[..., None]) * sign / scale)
    slope = ((1 - t * t) * sign).mean(dim=-1)
    with torch.no_grad():
        # F'' < 0 at a maximum; on a batch it may come out small, which must not blow up the step
        curve = (-2 * t * (1 - t * t)).mean(dim=-1).clamp(max=-0.02) / scale[..., 0]
    newton = -slope / curve
    return best + (newton - newton.detach())
