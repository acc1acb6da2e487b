"""The parameters of many two-layer networks of one shape, and the best state of each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from xbarspice.core.seeds import child_seed
from xbarspice.importers.perceptron import Perceptron

__all__ = ["Bank", "Units"]

Units = Literal["weights", "ranges"]


class Bank:
    """The parameters of many two-layer networks of one shape, one seed an entry.

    In the units "weights" the weights themselves are the leaves of the gradient. In "ranges" they
    are parts of the conductance range: ``W0 = exp(s) v0, b0 = exp(s) c0, W1 = v1, b1 = d1`` with
    ``|v0|, |v1| <= 1``. A tensor's largest weight sets the scale of all its conductances, so in
    "weights" many weights stand at this bound together and a step moves the whole tensor; in
    "ranges" every conductance moves by itself.

    Attributes:
        sizes, seeds: of the networks.
        units: "weights" or "ranges".
        leaves: W0 (seeds, inputs, hidden), b0 (seeds, hidden), W1 (seeds, hidden, outputs),
            b1 (seeds, outputs), or v0, c0, v1, d1 of the same shapes and s (seeds,); float32.
    """

    def __init__(self, sizes: tuple[int, int, int], seeds: Sequence[int]) -> None:
        weights_of_layers: list[list[Tensor]] = [[], []]
        for seed in seeds:
            generator = torch.Generator().manual_seed(child_seed(seed, "initial weights"))
            for k, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
                weight = torch.empty(n_out, n_in)
                torch.nn.init.xavier_uniform_(weight, generator=generator)
                weights_of_layers[k].append(weight.T.contiguous())
        self.sizes, self.seeds = sizes, tuple(seeds)
        self.units: Units = "weights"
        W0, W1 = (torch.stack(k) for k in weights_of_layers)
        b0, b1 = (torch.full((len(seeds), size), 0.01) for size in sizes[1:])
        self.leaves = [p.requires_grad_() for p in (W0, b0, W1, b1)]

    @classmethod
    def of(cls, networks: Sequence[Perceptron], seeds: Sequence[int]) -> Bank:
        """A bank that starts from trained networks of one shape."""
        out = cls(networks[0].sizes, seeds)  # type: ignore[arg-type]
        with torch.no_grad():
            for k, network in enumerate(networks):
                values = (network.W[0], network.b[0], network.W[1], network.b[1])
                for leaf, value in zip(out.leaves, values, strict=True):
                    leaf[k] = torch.as_tensor(value.copy())
        return out

    @property
    def parameters(self) -> list[Tensor]:
        """W0, b0, W1, b1, in whatever units they are kept."""
        if self.units == "weights":
            return list(self.leaves)
        v0, c0, v1, d1, s = self.leaves
        scale = s.exp()
        return [scale[:, None, None] * v0, scale[:, None] * c0, v1, d1]

    def measure_in(self, units: Units) -> None:
        """Keep the same networks, up to the scale of their logits, in other units from now on."""
        W0, b0, W1, b1 = (p.detach() for p in self.parameters)
        values = [W0, b0, W1, b1]
        if units == "ranges":
            first, second = (W.abs().amax(dim=(1, 2)).clamp(min=1e-12) for W in (W0, W1))
            values = [
                W0 / first[:, None, None],
                b0 / first[:, None],
                W1 / second[:, None, None],
                b1 / second[:, None],
                first.log(),
            ]
        self.units = units
        self.leaves = [p.clone().requires_grad_() for p in values]

    def within(self) -> None:
        """In "ranges", bring back what a step has moved out of the range."""
        if self.units == "ranges":
            with torch.no_grad():
                self.leaves[0].clamp_(-1, 1)
                self.leaves[2].clamp_(-1, 1)

    def load(self, leaves: Sequence[Tensor]) -> None:
        """Take over the values of another state in the same units."""
        with torch.no_grad():
            for parameter, new in zip(self.leaves, leaves, strict=True):
                parameter.copy_(new)

    def networks(self, state: Sequence[Tensor] | None = None) -> list[Perceptron]:
        """The networks as NumPy arrays, of the present parameters or of a kept state."""
        W0, b0, W1, b1 = (
            p.detach().double().numpy() for p in (self.parameters if state is None else state)
        )
        return [
            Perceptron(W=(W0[s], W1[s]), b=(b0[s], b1[s]), activation="sigmoid")
            for s in range(len(self.seeds))
        ]
