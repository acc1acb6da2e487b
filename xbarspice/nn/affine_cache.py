"""The affine map of linear arrays, cached while what it belongs to stays the same."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from xbarspice.mapping import ArrayConfig

__all__ = ["CachedMap", "Identity"]


class Identity:
    """An object as a part of a state: equal only to itself.

    It is kept alive: the number `id` of an object that is gone may be that of the next one.

    Args:
        value: the object.
    """

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


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
