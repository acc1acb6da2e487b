"""Base of all layers on arrays: ordinary parameters, the circuit's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from xbarspice.core.array import Crossbar
from xbarspice.mapping import ArrayConfig
from xbarspice.mapping.tile import Tile
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.product import Product
from xbarspice.surrogate.trust import warn_outside

__all__ = ["CrossbarLayer", "UseRecord", "crossbar_layers", "matrices_of", "products_of"]


@dataclass(kw_only=True)
class UseRecord:
    """What happened to a layer since its model's forward began.

    Attributes:
        calls: how often it computed.
        reads: weights that were used outside it, by name.
        watched: whether a forward of the whole model is under way.
    """

    calls: int = 0
    reads: tuple[str, ...] = ()
    watched: bool = False

    def reset(self) -> None:
        """Forget what was."""
        self.calls, self.reads = 0, ()

    def read(self, name: str) -> None:
        """Note that a weight was used."""
        if name not in self.reads:
            self.reads = (*self.reads, name)


class _Watched(Tensor):
    """A weight that a model's forward fetched from a layer: it notes operations on itself."""

    origin: tuple[UseRecord, str]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _UNUSED | _LOOKUPS:
            for value in (*args, *(kwargs or {}).values()):
                for weight in value if isinstance(value, tuple | list) else (value,):
                    if isinstance(weight, _Watched):
                        weight.origin[0].read(weight.origin[1])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


_UNUSED = {
    getattr(Tensor, name).__get__
    for name in ("dtype", "device", "shape", "ndim", "requires_grad", "layout", "is_cuda")
} | {Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, Tensor.__len__}
"""What is asked of a tensor without using its values."""
_LOOKUPS = {torch.embedding, functional.embedding, torch.ops.aten.embedding.default}
"""Rows that are taken as they are: no product, as in a table that an output layer shares."""


class CrossbarLayer(nn.Module):
    """A layer whose weight matrices stand on arrays, with the parameters of the layer it replaces.

    A subclass takes over a torch layer (`_hold`, or `from_torch` itself), gives it back
    (`to_torch`), names its matrices (`weight_matrices`) and computes with `linear` or `product`.

    Attributes:
        torch_type: the exact type that it replaces.
        weight_names: its parameters that are weight matrices, without those of its sublayers.
        matrices: the arrays of each weight matrix, by a name of the layer's own.
        use: calls of the layer and reads of its weights in the model's last forward.
    """

    torch_type: ClassVar[type[nn.Module]]
    weight_names: tuple[str, ...] = ("weight",)

    matrices: dict[str, ArrayMatrix]
    use: UseRecord

    def __init__(self) -> None:
        super().__init__()
        self.matrices = {}
        self.use = UseRecord()

    @classmethod
    def from_torch(cls, layer: Any, config: ArrayConfig) -> Self:
        """The same layer on arrays; parameters are shared, not copied.

        Raises:
            InputError: an option of the layer that cannot stand on arrays.
        """
        out = cls.__new__(cls)
        CrossbarLayer.__init__(out)
        out._hold(layer, config)
        return out.train(layer.training)

    def _hold(self, layer: Any, config: ArrayConfig) -> None:
        """Take the parameters of a torch layer, and add its matrices.

        Args:
            layer: of the type `torch_type`; its parameters are shared, not copied.
            config: how its matrices stand on arrays.
        """
        raise NotImplementedError

    def to_torch(self) -> nn.Module:
        """The same layer of torch; parameters are shared, not copied."""
        raise NotImplementedError

    def weight_matrices(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """Every matrix: its name, weight (groups, outputs, inputs) and bias (groups, outputs)."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        use = self.__dict__.get("use")
        if use is None or not use.watched or not isinstance(value, Tensor):
            return value
        if name not in self.weight_names:
            return value
        weight = value.as_subclass(_Watched)
        weight.origin = use, name
        return weight

    def parameter(self, name: str) -> Tensor:
        """A parameter for the layer's computation, which does not count as a read."""
        return self.__dict__["_parameters"][name]

    def add_matrix(self, name: str, config: ArrayConfig, bias: Tensor | None) -> None:
        """Announce a weight matrix of the layer.

        Warns:
            TrustWarning: single precision where the trust map does not vouch for it.
        """
        if config.dtype == "float32":
            largest = np.full((config.tile_rows, config.tile_cols), config.G_max)
            full = Crossbar(largest, **config.wires, device=config.model)
            warn_outside("float32", [full], config.V_read)
        line = bias is not None and config.bias == "array"
        self.matrices[name] = ArrayMatrix(config, line, name=name)

    def product(self, name: str, weight: Tensor, bias: Tensor | None) -> Product:
        """The product with a weight matrix on arrays; see `matrix.Product` for the shapes."""
        self.use.calls += 1
        return Product(self.matrices[name], weight, bias, training=self.training)

    def linear(self, name: str, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        """``torch.nn.functional.linear`` on arrays: x (..., inputs), weight (outputs, inputs)."""
        product = self.product(name, weight[None], None if bias is None else bias[None])

        def apply(x: Tensor) -> Tensor:
            out = product(x.reshape(-1, 1, x.shape[-1]))
            return out.reshape(*x.shape[:-1], weight.shape[0])

        return apply

    def tiles(self) -> list[Tile]:
        """All arrays of the layer as they would be programmed now."""
        return [
            tile
            for name, weight, bias in self.weight_matrices()
            for tile in self.matrices[name].tiles(weight, bias)
        ]

    def extra_repr(self) -> str:
        config = next(iter(self.matrices.values())).config if self.matrices else None
        size = f"{config.tile_rows}x{config.tile_cols}" if config else "-"
        return f"arrays of at most {size}, matrices {list(self.matrices)}"


def crossbar_layers(model: nn.Module) -> dict[str, CrossbarLayer]:
    """The layers on arrays of a converted model by name, shared ones once."""
    return {n: m for n, m in model.named_modules() if isinstance(m, CrossbarLayer)}


def matrices_of(model: nn.Module) -> Iterator[ArrayMatrix]:
    """The weight matrices on arrays of a converted model, in its order."""
    for layer in crossbar_layers(model).values():
        yield from layer.matrices.values()


def products_of(model: nn.Module) -> list[Product]:
    """The product with every matrix on arrays of a converted model, in evaluation."""
    return [
        Product(layer.matrices[name], weight, bias, training=False)
        for layer in crossbar_layers(model).values()
        for name, weight, bias in layer.weight_matrices()
    ]
