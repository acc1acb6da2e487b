"""Convolutions on arrays: patches of the input become input vectors.

A transposed convolution is the convolution of the input with zeros between its points, with the
kernel reversed and its channels exchanged (Dumoulin and Visin 2016, arXiv:1603.07285, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvTransposeNd

from xbarspice.core.errors import broken_rule
from xbarspice.mapping import ArrayConfig
from xbarspice.nn.layers import CrossbarLayer
from xbarspice.nn.registration import register

__all__ = [
    "CrossbarConv1d",
    "CrossbarConv2d",
    "CrossbarConv3d",
    "CrossbarConvTranspose1d",
    "CrossbarConvTranspose2d",
    "CrossbarConvTranspose3d",
]

SHAPE = (
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "groups",
    "padding_mode",
    "output_padding",
    "transposed",
)
"""Attributes of torch's convolutions that make their shape."""


class _CrossbarConv(CrossbarLayer):
    """What all convolutions share.

    A kernel stands on arrays as a matrix of (in_channels / groups * kernel) inputs and
    (out_channels / groups) outputs; every group has arrays of its own.

    Args:
        config: how the layer stands on arrays; the other arguments are those of torch's layer.
    """

    axes: ClassVar[int]

    def __init__(self, *arguments: Any, config: ArrayConfig | None = None, **options: Any) -> None:
        super().__init__()
        self._hold(self.torch_type(*arguments, **options), config or ArrayConfig())

    def _hold(self, layer: Any, config: ArrayConfig) -> None:
        for name in SHAPE:
            setattr(self, name, getattr(layer, name))
        self.register_parameter("weight", layer.weight)
        self.register_parameter("bias", layer.bias)
        self._edges = tuple(getattr(layer, "_reversed_padding_repeated_twice", ()))
        self.add_matrix("weight", config, layer.bias)

    def to_torch(self) -> nn.Module:
        names = set(SHAPE) - {"transposed"} - (set() if self.transposed else {"output_padding"})
        options = {name: getattr(self, name) for name in names}
        plain: Any = self.torch_type(**options, device="meta")
        plain.weight, plain.bias = self.parameter("weight"), self.parameter("bias")
        return plain.train(self.training)

    def kernel_matrix(self) -> Tensor:
        """The kernels as matrices, (groups, outputs, inputs)."""
        weight = self.parameter("weight")
        return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)

    def weight_matrices(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        bias = self.parameter("bias")
        yield (
            "weight",
            self.kernel_matrix(),
            None if bias is None else bias.reshape(self.groups, -1),
        )

    def _convolve(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        """Feature maps (batch, channels, ...) of an input that is padded already."""
        for axis in range(self.axes):
            step, size = self.dilation[axis], self.kernel_size[axis]
            x = x.unfold(2 + axis, step * (size - 1) + 1, stride[axis])[..., ::step]
        sizes = x.shape[2 : 2 + self.axes]
        places = range(2, 2 + self.axes)
        kernel = range(2 + self.axes, 2 + 2 * self.axes)
        patches = x.permute(0, *places, 1, *kernel)
        vectors = patches.reshape(len(x) * math.prod(sizes), self.groups, -1)
        ((name, weight, bias),) = self.weight_matrices()
        y = self.product(name, weight, bias)(vectors)
        return y.reshape(len(x), *sizes, self.out_channels).movedim(-1, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in torch
        """Feature maps, (batch, out_channels, ...) or without the batch axis."""
        x = input if input.ndim == self.axes + 2 else input[None]
        self._check(x)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        y = self._convolve(functional.pad(x, self._edges, mode=mode), self.stride)
        return y if input.ndim == self.axes + 2 else y[0]

    def _check(self, x: Tensor) -> None:
        if x.ndim != self.axes + 2 or x.shape[1] != self.in_channels:
            raise broken_rule(
                f"the input must have {self.in_channels} channels and {self.axes} more axes",
                tuple(x.shape),
                "Pass (batch, channels, ...), or one sample without the batch axis.",
            )

    def extra_repr(self) -> str:
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        return f"{sizes}, groups={self.groups}, {super().extra_repr()}"


class _CrossbarConvTranspose(_CrossbarConv):
    """What all transposed convolutions share."""

    def kernel_matrix(self) -> Tensor:
        weight = self.parameter("weight").flip(*range(2, 2 + self.axes))
        by_group = weight.unflatten(0, (self.groups, -1)).transpose(1, 2)
        return by_group.flatten(2)

    def forward(  # type: ignore[override]
        self,
        input: Tensor,  # noqa: A002 - the name in torch
        output_size: list[int] | None = None,
    ) -> Tensor:
        """Feature maps, (batch, out_channels, ...) or without the batch axis."""
        x = input if input.ndim == self.axes + 2 else input[None]
        self._check(x)
        more = _ConvTransposeNd._output_padding(
            self,  # type: ignore[arg-type]
            x,
            output_size,  # type: ignore[arg-type]
            self.stride,
            self.padding,
            self.kernel_size,
            self.axes,
            self.dilation,
        )
        sizes = [step * (n - 1) + 1 for step, n in zip(self.stride, x.shape[2:], strict=True)]
        spread = x.new_zeros(*x.shape[:2], *sizes)
        spread[(slice(None), slice(None), *(slice(None, None, s) for s in self.stride))] = x
        edges: list[int] = []
        for axis in reversed(range(self.axes)):
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) - self.padding[axis]
            edges += [reach, reach + more[axis]]
        y = self._convolve(functional.pad(spread, edges), (1,) * self.axes)
        return y if input.ndim == self.axes + 2 else y[0]


@register(nn.Conv1d)
class CrossbarConv1d(_CrossbarConv):
    """`torch.nn.Conv1d` on arrays; takes its arguments and `config`."""

    axes = 1


@register(nn.Conv2d)
class CrossbarConv2d(_CrossbarConv):
    """`torch.nn.Conv2d` on arrays; takes its arguments and `config`."""

    axes = 2


@register(nn.Conv3d)
class CrossbarConv3d(_CrossbarConv):
    """`torch.nn.Conv3d` on arrays; takes its arguments and `config`."""

    axes = 3


@register(nn.ConvTranspose1d)
class CrossbarConvTranspose1d(_CrossbarConvTranspose):
    """`torch.nn.ConvTranspose1d` on arrays; takes its arguments and `config`."""

    axes = 1


@register(nn.ConvTranspose2d)
class CrossbarConvTranspose2d(_CrossbarConvTranspose):
    """`torch.nn.ConvTranspose2d` on arrays; takes its arguments and `config`."""

    axes = 2


@register(nn.ConvTranspose3d)
class CrossbarConvTranspose3d(_CrossbarConvTranspose):
    """`torch.nn.ConvTranspose3d` on arrays; takes its arguments and `config`."""

    axes = 3
