"""Linear layers on arrays."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from xbarspice.mapping import ArrayConfig
from xbarspice.nn.layers import CrossbarLayer
from xbarspice.nn.registration import register

__all__ = ["CrossbarLinear"]


@register(nn.Linear)
class CrossbarLinear(CrossbarLayer):
    """`torch.nn.Linear` on tiles of passive arrays, with the same `weight` and `bias` parameters.

    Args:
        in_features, out_features, bias: as in `torch.nn.Linear`.
        config: how the layer stands on arrays.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        config: ArrayConfig | None = None,
    ) -> None:
        super().__init__()
        self._hold(nn.Linear(in_features, out_features, bias), config or ArrayConfig())

    def _hold(self, layer: nn.Linear, config: ArrayConfig) -> None:
        self.register_parameter("weight", layer.weight)  # type: ignore[arg-type]
        self.register_parameter("bias", layer.bias)
        self.out_features, self.in_features = layer.weight.shape
        self.add_matrix("weight", config, layer.bias)

    def to_torch(self) -> nn.Module:
        plain = nn.Linear(self.in_features, self.out_features, device="meta")
        plain.weight, plain.bias = self.parameter("weight"), self.parameter("bias")  # type: ignore[assignment]
        return plain.train(self.training)

    def weight_matrices(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        bias = self.parameter("bias")
        yield "weight", self.parameter("weight")[None], None if bias is None else bias[None]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in torch
        """Weighted sums of the inputs, (..., out_features), as the arrays compute them."""
        return self.linear("weight", self.parameter("weight"), self.parameter("bias"))(input)

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, {super().extra_repr()}"
