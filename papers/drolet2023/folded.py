"""Batches of folded arrays in torch: conductances, weighted sums, and the circuit's corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import xbarspice as xb

__all__ = ["Folded", "Scales"]


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Scales of a batch of two-layer networks, one a seed; see `xbarspice.nn.pairs`.

    Attributes:
        first: weighted sum for one siemens times full-scale input in the first layer, (seeds,).
        bias: drive of the bias line over the full-scale drive, (seeds,).
        second: as `first`, second layer.
        digital: bias that is added after the second layer, (seeds, outputs).
    """

    first: Tensor
    bias: Tensor
    second: Tensor
    digital: Tensor


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Two-layer networks, each on one folded array (`ArrayConfig.layout`), inputs in [0, 1].

    Attributes:
        inputs, hidden, outputs: sizes of the networks.
        G_min, G_max: conductance range, S.
        V_read: voltage of a full-scale input, V.
        array: wires and device of the circuit.
        rounds: fixed-point rounds for the wire drops; the error shrinks by a few percent a round.
    """

    inputs: int
    hidden: int
    outputs: int = 1
    G_min: float = 100e-6
    G_max: float = 500e-6
    V_read: float = 0.2
    array: xb.ArrayConfig | None = None
    rounds: int = 4

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the array."""
        return 2 * (self.inputs + 1 + self.outputs), self.hidden

    def conductances(self, parameters: Sequence[Tensor]) -> tuple[Tensor, Scales]:
        """Conductances, S, (seeds, rows, cols), of W0, b0, W1, b1, as `nn.convert` places them."""
        W0, b0, W1, b1 = parameters
        span = self.G_max - self.G_min
        b_scale = b0.abs().amax(dim=1)
        w_scale = torch.maximum(W0.abs().amax(dim=(1, 2)), b_scale)
        out_scale = W1.abs().amax(dim=(1, 2))
        b_scale = b_scale.clamp(min=1e-12)
        pairs = [
            _pairs(v, span / s, self.G_min)
            for v, s in (
                (W0, w_scale[:, None, None]),
                (b0[:, None], b_scale[:, None, None]),
                (W1.mT, out_scale[:, None, None]),
            )
        ]
        rows = [torch.stack(pair, dim=2).flatten(1, 2) for pair in pairs]
        scales = Scales(
            first=w_scale / span, bias=b_scale / w_scale, second=out_scale / span, digital=b1
        )
        return torch.cat(rows, dim=1), scales

    def logits(
        self, G: Tensor, scales: Scales, x: Tensor, nominal: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Logits of single-output networks, (seeds, draws, points).

        Args:
            G: S, (seeds, draws, rows, cols).
            scales: of the seeds.
            x: network inputs, (points, inputs).
            nominal: what `corrections` returned; added to the ideal weighted sums.
        """
        z = self.hidden_sums(G, scales, x)
        if nominal is not None:
            z = z + nominal[0][:, None]
        h = torch.sigmoid(z)
        z = self.output_sums(G, scales, h)[..., 0]
        return z if nominal is None else z + nominal[1][:, None, :, 0]

    def hidden_sums(self, G: Tensor, scales: Scales, x: Tensor) -> Tensor:
        """Ideal weighted sums of the hidden layer, (seeds, draws, points, hidden)."""
        k = 2 * (self.inputs + 1)
        pairs = G[..., :k, :].unflatten(-2, (-1, 2))
        weights = (pairs[..., 0, :] - pairs[..., 1, :]) * scales.first[:, None, None, None]
        bias = weights[..., -1:, :] * scales.bias[:, None, None, None]
        return x @ weights[..., :-1, :] + bias

    def output_sums(self, G: Tensor, scales: Scales, h: Tensor) -> Tensor:
        """Ideal weighted sums of the outputs, (seeds, draws, points, outputs)."""
        pairs = G[..., 2 * (self.inputs + 1) :, :].unflatten(-2, (-1, 2))
        weights = (pairs[..., 0, :] - pairs[..., 1, :]) * scales.second[:, None, None, None]
        return h @ weights.mT + scales.digital[:, None, None, :]

    def corrections(self, G: Tensor, scales: Scales, x: Tensor) -> tuple[Tensor, Tensor]:
        """What wires and devices add to the weighted sums of both layers, without errors.

        Added to the ideal sums of arrays with errors this is the circuit to first order in the
        errors, at the price of one evaluation a point; differentiable.

        Args:
            G: wanted conductances, S, (seeds, rows, cols).
            scales: of the seeds.
            x: network inputs, (points, inputs).

        Returns:
            (seeds, points, hidden) and (seeds, points, outputs).
        """
        G = G[:, None]
        ideal = self.hidden_sums(G, scales, x)[:, 0]
        real = self.hidden_through(G, scales, x)[:, 0]
        h = torch.sigmoid(real)[:, None]
        ideal_out = self.output_sums(G, scales, h)[:, 0]
        return real - ideal, self.output_through(G, scales, h)[:, 0] - ideal_out

    def hidden_through(self, G: Tensor, scales: Scales, x: Tensor) -> Tensor:
        """Weighted sums of the hidden layer through the circuit, (seeds, draws, points, hidden)."""
        volts = torch.zeros(len(G), len(x), self.shape[0]).to(x)
        inner = 2 * self.inputs
        volts[..., 0:inner:2], volts[..., 1:inner:2] = x, -x
        bias = scales.bias[:, None].expand(-1, len(x))
        volts = torch.cat(
            [volts[..., :inner], bias[..., None], -bias[..., None], volts[..., inner + 2 :]], dim=-1
        )
        current = self._cells(G, self.V_read * volts[:, None, :, :, None])
        return current.sum(dim=-2) * (scales.first / self.V_read)[:, None, None, None]

    def output_through(self, G: Tensor, scales: Scales, h: Tensor) -> Tensor:
        """Weighted sums of the outputs through the circuit, (seeds, draws, points, outputs)."""
        current = self._cells(G, -self.V_read * h[..., None, :])
        lines = -current[..., 2 * (self.inputs + 1) :, :].sum(dim=-1).unflatten(-1, (-1, 2))
        z = (lines[..., 0] - lines[..., 1]) * (scales.second / self.V_read)[:, None, None, None]
        return z + scales.digital[:, None, None, :]

    def _cells(self, G: Tensor, V_open: Tensor) -> Tensor:
        """Device currents, A, by fixed-point rounds on the voltage drops of the wires.

        Every word line ends on its left and every bit line at its bottom, in a source or a sense
        node, in both read passes; so their drops do not depend on the pass.
        """
        if self.array is None:
            raise AssertionError("the caller has checked that there is an array")
        rows, cols = self.shape
        a = self.array
        # a line's lead is the same in both passes: see `mapping.reads.Read.wires`
        i, j = torch.arange(rows).to(G), torch.arange(cols).to(G)
        Z_wl = a.R_driver + a.R_wl * torch.minimum(j[:, None], j)
        Z_bl = a.R_sense + a.R_bl * (rows - 1 - torch.maximum(i[:, None], i))
        G = G[:, :, None]
        V = V_open.expand(*V_open.shape[:-2], rows, cols)
        current = a.model.current(V, G)
        for _ in range(self.rounds):
            V = V_open - current @ Z_wl - Z_bl @ current
            current = a.model.current(V, G)
        return current


def _pairs(weights: Tensor, slope: Tensor, G_min: float) -> tuple[Tensor, Tensor]:
    """Conductances of the positive and negative device, S; `slope` in S for a weight of 1."""
    return G_min + slope * weights.clip(min=0), G_min + slope * (-weights).clip(min=0)
