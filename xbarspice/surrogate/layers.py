"""Torch layers that compute on passive arrays: plain weights, the circuit's answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice import devices
from xbarspice.array import Crossbar
from xbarspice.devices import Device
from xbarspice.errors import broken_rule
from xbarspice.mapping import Layer, layer_scales, pair_conductances
from xbarspice.surrogate.dissection_plan import WIRES
from xbarspice.surrogate.pair_kernels import pairs, pairs_back
from xbarspice.surrogate.tiling import Tiling
from xbarspice.surrogate.torch_matrix import as_numpy, effective_matrix, pair_matrix
from xbarspice.surrogate.torch_solve import solve
from xbarspice.surrogate.trust import warn_outside

__all__ = ["CrossbarConfig", "CrossbarConv2d", "CrossbarLinear", "quantise"]


@dataclass(frozen=True, kw_only=True)
class CrossbarConfig:
    """How a layer stands on arrays; the mapping is that of `xbarspice.mapping` ("tiled").

    Attributes:
        tile_rows, tile_cols: largest array that may be built; a weight takes two columns.
        G_min, G_max: conductance range of the devices, S.
        V_read: voltage that stands for a full-scale input, V.
        x_scale: layer input that corresponds to `V_read`.
        bias: "array" (one more word line) or "digital" (added after reading).
        R_wl, R_bl, R_driver, R_sense: ohm, as in `Crossbar`.
        device: device model; "ohmic" arrays cost one effective matrix a forward pass.
        dac_bits: resolution of the inputs over [-x_scale, x_scale]; None is ideal.
        adc_bits: resolution of each array's current differences; None is ideal.
        adc_range: current difference at full scale, A; None takes the largest of the batch.
        perturb: changes the conductances before they are solved, for example by noise or stuck
            devices; maps S (inputs, 2 * outputs) to the same shape.
        dtype: precision of the circuit; float32 is faster with a relative error of about 1e-6,
            and warns where the trust map does not vouch for it (`surrogate.trust`).
    """

    tile_rows: int = 64
    tile_cols: int = 64
    G_min: float = 100e-6
    G_max: float = 500e-6
    V_read: float = 0.2
    x_scale: float = 1.0
    bias: Literal["array", "digital"] = "array"
    R_wl: float = 1.0
    R_bl: float = 1.0
    R_driver: float = 0.0
    R_sense: float = 0.0
    device: str | Device = "ohmic"
    dac_bits: int | None = None
    adc_bits: int | None = None
    adc_range: float | None = None
    perturb: Callable[[Tensor], Tensor] | None = None
    dtype: torch.dtype = torch.float64

    def __post_init__(self) -> None:
        if self.tile_rows < 1 or self.tile_cols < 2:
            raise broken_rule(
                "an array needs at least 1 row and 2 columns for a pair",
                f"{self.tile_rows} x {self.tile_cols}", "Raise tile_rows or tile_cols.",
            )  # fmt: skip
        if not 0 <= self.G_min < self.G_max < float("inf"):
            raise broken_rule(
                "the conductance range must satisfy 0 <= G_min < G_max",
                f"{self.G_min:g} and {self.G_max:g} S", "Give both in S.",
            )  # fmt: skip
        for name in ("V_read", "x_scale"):
            if not 0 < getattr(self, name) < float("inf"):
                raise broken_rule(f"`{name}` must be > 0", getattr(self, name), "Use SI units.")
        for name in ("dac_bits", "adc_bits"):
            bits = getattr(self, name)
            if bits is not None and (not isinstance(bits, int) or bits < 2):
                raise broken_rule(f"`{name}` must be an integer >= 2", bits, "None is ideal.")
        if self.bias not in ("array", "digital"):
            raise broken_rule("`bias` must be 'array' or 'digital'", self.bias, "Use one of them.")
        devices.get(self.device)
        if self.dtype == torch.float32:  # looked up here, so that no solve has to
            full = Crossbar(
                np.full((self.tile_rows, self.tile_cols), self.G_max), R_wl=self.R_wl,
                R_bl=self.R_bl, R_driver=self.R_driver, R_sense=self.R_sense, device=self.device,
            )  # fmt: skip
            warn_outside("float32", [full], self.V_read)


def quantise(x: Tensor, bits: int | None, full_scale: float | Tensor) -> Tensor:
    """Round to ``2^bits - 1`` levels over [-full_scale, full_scale].

    The gradient goes straight through: it is 1 inside the range and 0 where the value was clipped
    (Bengio et al. 2013, arXiv:1308.3432). `bits` None returns `x` itself.
    """
    if bits is None:
        return x
    full = torch.as_tensor(full_scale, dtype=x.dtype, device=x.device)
    step = full / (2 ** (bits - 1) - 1)
    rounded = (torch.maximum(torch.minimum(x, full), -full) / step).round() * step
    passed = torch.where(x.abs() <= full, x, torch.zeros_like(x))
    return rounded.detach() + (passed - passed.detach())


class CrossbarLinear(nn.Module):
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
        config: CrossbarConfig | None = None,
    ) -> None:
        super().__init__()
        plain = nn.Linear(in_features, out_features, bias)
        self.weight, self.bias = plain.weight, plain.bias
        self.config = config or CrossbarConfig()

    @classmethod
    def from_linear(cls, layer: nn.Linear, config: CrossbarConfig) -> CrossbarLinear:
        """The same layer on arrays; parameters are shared, not copied."""
        out = cls(layer.in_features, layer.out_features, layer.bias is not None, config=config)
        out.weight, out.bias = layer.weight, layer.bias
        return out.train(layer.training)

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.weight.shape[0]

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, {self.config}"

    def forward(self, x: Tensor) -> Tensor:
        """Weighted sums of the inputs, (..., out_features), as the arrays compute them."""
        return _linear(x, self.weight, self.bias, self.config)

    def conductances(self) -> list[Tensor]:
        """What would be programmed: S, one (rows, cols) an array, tiles by rows of tiles."""
        with torch.no_grad():
            G = _conductances(self.weight, self.bias, self.config)[0]
        return _tiles(G, self.config)


class CrossbarConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` whose kernels stand on arrays; patches are unfolded into input vectors.

    Takes the arguments of `torch.nn.Conv2d` (`groups` must be 1 and padding "zeros") and `config`.
    """

    config: CrossbarConfig

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        *,
        config: CrossbarConfig | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias
        )
        self.config = config or CrossbarConfig()

    @classmethod
    def from_conv2d(cls, layer: nn.Conv2d, config: CrossbarConfig) -> CrossbarConv2d:
        """The same layer on arrays; parameters are shared, not copied.

        Raises:
            InputError: grouped kernels, or a padding that is not zeros given as numbers.
        """
        if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise broken_rule(
                "a convolution on arrays needs groups=1 and numeric zero padding",
                f"groups={layer.groups}, padding={layer.padding!r} ({layer.padding_mode})",
                "Leave this layer out of `convert` (config None).",
            )
        out = cls(
            layer.in_channels, layer.out_channels, _pair(layer.kernel_size), _pair(layer.stride),
            _pair(layer.padding), _pair(layer.dilation), layer.bias is not None, config=config,
        )  # fmt: skip
        out.weight, out.bias = layer.weight, layer.bias
        return out.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the overridden method
        """Feature maps, (batch, out_channels, height, width) or without the batch axis."""
        x = input if input.ndim == 4 else input[None]
        sizes = []
        for k in range(2):
            reach = _pair(self.dilation)[k] * (_pair(self.kernel_size)[k] - 1) + 1
            room = x.shape[2 + k] + 2 * _pair(self.padding)[k] - reach
            sizes.append(room // _pair(self.stride)[k] + 1)
        patches = nn.functional.unfold(
            x, _pair(self.kernel_size), _pair(self.dilation), _pair(self.padding),
            _pair(self.stride),
        )  # fmt: skip
        y = _linear(patches.mT, self.weight.flatten(1), self.bias, self.config)
        y = y.mT.unflatten(-1, sizes)
        return y if input.ndim == 4 else y[0]

    def conductances(self) -> list[Tensor]:
        """What would be programmed: S, one (rows, cols) an array, tiles by rows of tiles."""
        with torch.no_grad():
            G = _conductances(self.weight.flatten(1), self.bias, self.config)[0]
        return _tiles(G, self.config)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class _Pairs(torch.autograd.Function):
    """Inputs: lines and their scales (two a block: weights, bias), the range; output: pairs, S.

    `pair_conductances` compiled: the matrices are too small to wake torch's threads for every step.
    """

    @staticmethod
    def forward(
        ctx: Any, scales: list[float], G_min: float, G_max: float, *blocks: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*blocks)
        ctx.spans = [(G_max - G_min) / scale for scale in scales]
        lines = [as_numpy(block) for block in blocks]
        out = np.empty((sum(map(len, lines)), 2 * lines[0].shape[1]), lines[0].dtype)
        top = 0
        for block, scale in zip(lines, scales, strict=True):
            number = out.dtype.type
            pairs(block, number((G_max - G_min) / scale), number(G_min), out[top:])
            top += len(block)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        by_pair, top, out = as_numpy(grads[0]), 0, []
        for block, span in zip(ctx.saved_tensors, ctx.spans, strict=True):
            lines = as_numpy(block)
            out.append(np.empty_like(lines))  # in the order of the weights
            pairs_back(lines, lines.dtype.type(span), by_pair[top:], out[-1])
            top += len(lines)
        return None, None, None, *(torch.from_numpy(by) for by in out)


def _conductances(
    weight: Tensor, bias: Tensor | None, config: CrossbarConfig
) -> tuple[Tensor, Layer]:
    """Pairs of a whole layer, S, (inputs and bias, 2 * outputs), even columns +; and its scales."""
    blocks = [weight.mT.to(config.dtype)]
    if bias is not None and config.bias == "array" and bool(bias.any()):
        blocks.append(bias.to(config.dtype)[None, :])
    own = [as_numpy(block.detach().cpu()) for block in blocks]
    scales = layer_scales(
        own[0], own[1] if len(own) > 1 else None,
        config.x_scale, config.G_min, config.G_max, config.V_read,
    )  # fmt: skip
    by_block = [scales.w_scale, scales.b_scale][: len(blocks)]
    if not weight.is_cuda:
        return _Pairs.apply(by_block, config.G_min, config.G_max, *blocks), scales
    pairs = [
        torch.stack(pair_conductances(block, scale, config.G_min, config.G_max), dim=-1)
        for block, scale in zip(blocks, by_block, strict=True)
    ]
    return torch.cat(pairs).flatten(1), scales


def _tiling(config: CrossbarConfig) -> Tiling:
    return Tiling(rows=config.tile_rows, cols=config.tile_cols // 2 * 2)


def _tiles(G: Tensor, config: CrossbarConfig) -> list[Tensor]:
    """Tiles of a layer, by rows of tiles."""
    width = config.tile_cols // 2 * 2
    return [tile for row in G.split(config.tile_rows) for tile in row.split(width, dim=1)]


def _wires(config: CrossbarConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in WIRES}


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, config: CrossbarConfig) -> Tensor:
    """What `torch.nn.functional.linear` computes, on arrays."""
    G, scales = _conductances(weight, bias, config)
    if config.perturb is not None:
        G = config.perturb(G)
    volts = quantise(x, config.dac_bits, config.x_scale) * (config.V_read / config.x_scale)
    if G.shape[0] > weight.shape[1]:
        volts = nn.functional.pad(volts, (0, 1), value=scales.V_bias)
    if devices.get(config.device).linear and config.adc_bits is None:
        difference = volts @ pair_matrix(G, _tiling(config), _wires(config)).to(volts.dtype)
    else:
        difference = _through_tiles(volts, G, config)
    y = (difference / scales.gain).to(x.dtype)
    return y if bias is None or G.shape[0] > weight.shape[1] else y + bias


def _through_tiles(volts: Tensor, G: Tensor, config: CrossbarConfig) -> Tensor:
    """Current differences, A, summed over the tiles after each was solved and converted alone."""
    v = volts.to(config.dtype).flatten(0, -2)
    linear = devices.get(config.device).linear
    bands: dict[int, list[Tensor]] = {}
    tiling = _tiling(config)
    regions = tiling.regions(G.shape)
    for (top, _left, a, b, rows, _cols), tiles in zip(regions, tiling.stacks(G), strict=True):
        own = v[:, top : top + a * rows].unflatten(1, (a, 1, rows))
        if linear:
            matrix = effective_matrix(tiles, **_wires(config))
            current = torch.einsum("nakr,abrc->nabc", own, matrix)
        else:
            own = own.expand(-1, a, b, rows)
            current = solve(tiles, own, device=config.device, **_wires(config)).I_out
        pairs = current.unflatten(-1, (-1, 2))
        difference = pairs[..., 0] - pairs[..., 1]
        if config.adc_bits is not None:
            full = config.adc_range or difference.detach().abs().amax()
            difference = quantise(difference, config.adc_bits, full)
        bands.setdefault(top, []).append(difference.sum(dim=1).flatten(1))
    total = torch.stack([torch.cat(band, dim=1) for band in bands.values()]).sum(dim=0)
    return total.to(volts.dtype).unflatten(0, volts.shape[:-1])
