"""The affine map of linear arrays, cached while what it belongs to stays the same."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from xbarspice.mapping import ArrayConfig

__all__ = ["CachedMap"]


@dataclass(kw_only=True, eq=False)
class CachedMap:
    """An affine map and what it belongs to.

    Attributes:
        sources: copies of all parameters that stand on its arrays.
        config: how they stand there.
        state: whatever else the map depends on.
        affine: matrix (groups, inputs, outputs) and offset.
    """

    sources: tuple[Tensor | None, ...]
    config: ArrayConfig
    state: tuple[Hashable, ...]
    affine: tuple[Tensor, Tensor | None]

    def belongs_to(
        self, sources: tuple[Tensor | None, ...], config: ArrayConfig, state: tuple[Hashable, ...]
    ) -> bool:
        """Whether it is the map of these parameters: their values are compared.

        A tensor's version does not count changes through `.data` or a NumPy view.
        """
        if self.config is not config or self.state != state:
            return False
        return all(
            (a is None and b is None)
            or (a is not None and b is not None and a.shape == b.shape and torch.equal(a, b))
            for a, b in zip(self.sources, sources, strict=True)
        )
