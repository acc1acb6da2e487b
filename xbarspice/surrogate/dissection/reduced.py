"""Reduced effective matrices for outer loops: two or four small products instead of a solve.

A word line that carries the currents ``G_ik`` of a unit drive drops
``a_ij = sum_k G_ik (R_driver + R_wl min(j, k))`` up to cell j, and by reciprocity the bit line adds
``b_ij = sum_r G_rj (R_sense + R_bl (rows - 1 - max(i, r)))``. To first order in the resistances
``G_eff = G (1 - a - b)``; summed up as ``G_1 = G/(1 + a + b)`` it is exact for a single device and
keeps its sense for large drops. One more step takes the drops from the currents of the first,
``G_2 = G/(1 + (a_1 + b_1)(1 + a + b))``, with a_1, b_1 formed from G_1.

Nothing is exact here: `ReducedMatrix.of` measures the error against the exact solver, on random
arrays and on the extremes of the range, and the model refuses conductances outside that range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.line_ends import READ
from xbarspice.core.types import Array
from xbarspice.surrogate.dissection.matrix import effective_matrix

__all__ = ["ReducedMatrix"]

ARRAYS = 32
"""Random arrays on which the error is measured, beside the four extremes."""
VECTORS = 16


def _shared(crossbar: Crossbar) -> tuple[Array, Array]:
    """`ReducedMatrix.word` and `bit` of a crossbar in read mode."""
    rows, cols = np.arange(crossbar.rows), np.arange(crossbar.cols)
    if crossbar.uniform:
        R_wl, R_bl, driver, sense = crossbar.wires.values()
        word = driver + R_wl * np.minimum.outer(cols, cols)
        return word, sense + R_bl * (rows[-1] - np.maximum.outer(rows, rows))
    wl, bl = (R.reshape(R.shape[-2:]) for R in crossbar.segment_resistances)
    at_wl, at_bl = (R.reshape(R.shape[-2:]) for R in crossbar.end_resistances)
    to_driver = np.cumsum(np.column_stack([at_wl[:, 0], wl]), axis=1)
    to_sense = np.cumsum(np.column_stack([at_bl[:, 1], bl[::-1].T]), axis=1)[:, ::-1]
    return to_driver[:, np.minimum.outer(cols, cols)], to_sense[:, np.maximum.outer(rows, rows)]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedMatrix:
    """An approximation of `effective_matrix` for arrays of one shape, wires and range.

    Attributes:
        word, bit: resistances that two cells of a line share, ohm, (cols, cols) and (rows, rows);
            of every line where wires differ, (rows, cols, cols) and (cols, rows, rows).
        G_min, G_max: the trust region, S.
        steps: 1 or 2.
        error: largest difference of an output current from the exact one, over the largest exact
            current of the same vector; measured over the trust region, not a bound.
    """

    word: Array
    bit: Array
    G_min: float
    G_max: float
    steps: int
    error: float

    @classmethod
    def of(
        cls,
        crossbar: Crossbar,
        G_min: float,
        G_max: float,
        *,
        tolerance: float = 1e-3,
        seed: int = 0,
    ) -> ReducedMatrix:
        """The cheapest model that is within a tolerance of the exact solver.

        Args:
            crossbar: gives shape and wires; an ohmic array in read mode.
            G_min, G_max: range of the conductances to come, S; absent devices may come too.
            tolerance: largest `error`.
            seed: of the random arrays.

        Raises:
            InputError: the array is not ohmic or not in read mode, arrays have wires of their own,
                the range is empty, or two steps are not within the tolerance.
        """
        if not crossbar.device.linear or crossbar.ends != READ:
            raise broken_rule(
                "a reduced matrix needs an ohmic array in read mode",
                repr(crossbar),
                'Use device="ohmic" and ends=READ, or the exact solver.',
            )
        if not 0 <= G_min <= G_max or G_max <= 0:
            raise broken_rule(
                "the range must satisfy 0 <= G_min <= G_max > 0", (G_min, G_max), "Give S."
            )
        if not crossbar.wires_shared:
            raise broken_rule(
                "a reduced matrix needs arrays that share their wires",
                repr(crossbar),
                "Make one for each of them: crossbar.array(k).",
            )
        crossbar = crossbar.array(0)
        word, bit = _shared(crossbar)
        limits = {"G_min": float(G_min), "G_max": float(G_max)}
        error = np.inf
        for steps in (1, 2):
            model = cls(word=word, bit=bit, steps=steps, error=np.inf, **limits)
            error = model.measured(crossbar, seed)
            if error <= tolerance:
                return cls(word=word, bit=bit, steps=steps, error=error, **limits)
        raise broken_rule(
            f"the reduced matrix must be within {tolerance:g} of the exact one",
            f"{error:.2g} after two steps",
            "Use xb.effective_matrix, or allow more.",
        )

    def measured(self, crossbar: Crossbar, seed: int = 0) -> float:
        """The error against the exact solver for random and extreme arrays and vectors."""
        rng = np.random.default_rng(seed)
        rows, cols = crossbar.rows, crossbar.cols
        flat = np.ones((1, rows, cols))
        board = np.indices((rows, cols)).sum(axis=0)[None] % 2
        low, high = self.G_min, self.G_max
        G = np.concatenate(
            [
                rng.uniform(low, high, (ARRAYS, rows, cols)),
                low * flat,
                high * flat,
                low + (high - low) * board,
                high - (high - low) * board,
            ]
        )
        V = np.concatenate([rng.uniform(-1, 1, (VECTORS, rows)), np.ones((1, rows))])
        exact = V @ np.asarray(effective_matrix(crossbar.replace(G=G)))
        largest = np.abs(exact).max(axis=-1, keepdims=True)
        difference = np.abs(V @ self._matrix(G, self.word, self.bit) - exact)
        return float((difference / np.where(largest > 0, largest, 1.0)).max())

    def matrix(self, G: Any) -> Any:
        """G_eff in S, (..., rows, cols), as the array or tensor that `G` is; differentiable.

        Raises:
            InputError: the shape is another, or a conductance lies outside the trust region.
        """
        shape = (self.bit.shape[-1], self.word.shape[-1])
        if tuple(G.shape[-2:]) != shape:
            raise broken_rule(f"`G` must be (..., {shape[0]}, {shape[1]})", tuple(G.shape), "Cut.")
        slack = 1e-9 * self.G_max
        outside = ((self.G_min - slack > G) & (G != 0)) | (self.G_max + slack < G) | (G != G)
        if bool(outside.any()):
            raise broken_rule(
                f"conductances must lie in {self.G_min:g} to {self.G_max:g} S, or be 0",
                f"{float(G.min()):g} to {float(G.max()):g}",
                "Make a reduced matrix for that range, or use xb.effective_matrix.",
            )
        if not hasattr(G, "requires_grad"):
            return self._matrix(G, self.word.astype(G.dtype), self.bit.astype(G.dtype))
        return self._matrix(G, G.new_tensor(self.word), G.new_tensor(self.bit))

    def _matrix(self, G: Any, word: Any, bit: Any) -> Any:
        def drops(g: Any) -> Any:
            if word.ndim == 2:  # all word lines of all arrays in one product
                return (g.reshape(-1, g.shape[-1]) @ word).reshape(g.shape) + bit @ g
            down = g.swapaxes(-1, -2)[..., None, :] @ bit
            return (g[..., None, :] @ word)[..., 0, :] + down[..., 0, :].swapaxes(-1, -2)

        first = 1.0 + drops(G)
        if self.steps == 1:
            return G / first
        return G / (1.0 + drops(G / first) * first)
