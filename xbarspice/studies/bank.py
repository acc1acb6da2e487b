"""The parameters of many two-layer networks of one shape, and the best state of each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from xbarspice.config import child_seed
from xbarspice.network import Network

__all__ = ["Bank"]


class Bank:
    """The parameters of many two-layer networks of one shape, one seed an entry.

    Attributes:
        W0 (seeds, inputs, hidden), b0 (seeds, hidden), W1 (seeds, hidden, outputs),
        b1 (seeds, outputs): leaf tensors in float32.
    """

    def __init__(self, sizes: tuple[int, int, int], seeds: Sequence[int]) -> None:
        kept: list[list[Tensor]] = [[], []]
        for seed in seeds:
            generator = torch.Generator().manual_seed(child_seed(seed, "initial weights"))
            for k, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
                weight = torch.empty(n_out, n_in)
                torch.nn.init.xavier_uniform_(weight, generator=generator)
                kept[k].append(weight.T.contiguous())
        self.sizes, self.seeds = sizes, tuple(seeds)
        self.W0, self.W1 = (torch.stack(k).requires_grad_() for k in kept)
        self.b0 = torch.full((len(seeds), sizes[1]), 0.01, requires_grad=True)
        self.b1 = torch.full((len(seeds), sizes[2]), 0.01, requires_grad=True)

    @classmethod
    def of(cls, networks: Sequence[Network], seeds: Sequence[int]) -> Bank:
        """A bank that starts from trained networks of one shape."""
        out = cls(networks[0].sizes, seeds)  # type: ignore[arg-type]
        with torch.no_grad():
            for k, network in enumerate(networks):
                for name, values in zip(("W0", "W1"), network.W, strict=True):
                    getattr(out, name)[k] = torch.as_tensor(values.copy())
                for name, values in zip(("b0", "b1"), network.b, strict=True):
                    getattr(out, name)[k] = torch.as_tensor(values.copy())
        return out

    @property
    def parameters(self) -> list[Tensor]:
        """All leaf tensors."""
        return [self.W0, self.b0, self.W1, self.b1]

    def load(self, state: Sequence[Tensor]) -> None:
        """Take over the values of another state."""
        with torch.no_grad():
            for own, new in zip(self.parameters, state, strict=True):
                own.copy_(new)

    def networks(self, state: Sequence[Tensor] | None = None) -> list[Network]:
        """The networks as NumPy arrays, of the present parameters or of a kept state."""
        W0, b0, W1, b1 = (
            p.detach().double().numpy() for p in (self.parameters if state is None else state)
        )
        return [
            Network(W=(W0[s], W1[s]), b=(b0[s], b1[s]), activation="sigmoid")
            for s in range(len(self.seeds))
        ]
