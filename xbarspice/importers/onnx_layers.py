"""ONNX operators with constant weights, as torch layers.

The weights end as those of `torch.nn` layers of exact types, so that conversion reads them by
type: gate orders, transposes and factors are undone here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from xbarspice.importers.onnx_operators import OPERATORS
from xbarspice.importers.onnx_pools import pad_same

if TYPE_CHECKING:
    from xbarspice.importers.onnx_graph import GraphBuilder
    from xbarspice.importers.onnx_nodes import OnnxNode, Result, Value

__all__ = ["LAYERS", "LeftProduct", "Recurrent"]

Tensor = torch.Tensor


class LeftProduct(torch.nn.Module):
    """``W @ x`` with a constant matrix on the left: a linear layer over the last axis but one.

    Attributes:
        linear: the layer; its weight is W.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.linear = linear_layer(weight, None)

    def forward(self, x: Tensor) -> Tensor:
        """Product with x of shape (..., columns of W, n), or (columns of W,)."""
        if x.ndim == 1:
            return self.linear(x)
        return self.linear(x.transpose(-1, -2)).transpose(-1, -2)


class Recurrent(torch.nn.Module):
    """An ONNX LSTM, GRU or RNN by a torch layer of one level.

    Attributes:
        layer: `torch.nn.LSTM`, `GRU` or `RNN`, time first.
        reverse: whether time runs backwards.
        cells: whether there are cell states, as in an LSTM; known apart from the layer's type,
            which conversion changes.
    """

    def __init__(self, layer: torch.nn.RNNBase, reverse: bool) -> None:
        super().__init__()
        self.layer = layer
        self.reverse = reverse
        self.cells = isinstance(layer, torch.nn.LSTM)

    def forward(
        self, x: Tensor, h: Tensor | None = None, c: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Outputs (time, directions, points, cells) and the last states, as ONNX orders them.

        Args:
            x: (time, points, inputs).
            h: first outputs, (directions, points, cells); None is 0.
            c: first cell states of an LSTM, likewise.
        """
        directions = 2 if self.layer.bidirectional else 1
        zeros = x.new_zeros(directions, x.shape[1], self.layer.hidden_size)
        first: Any = zeros if h is None else h
        if self.cells:
            first = (first, zeros if c is None else c)
        y, last = self.layer(x.flip(0) if self.reverse else x, first)
        y = y.flip(0) if self.reverse else y
        y = y.reshape(*y.shape[:2], directions, -1).transpose(1, 2)
        return (y, *last) if isinstance(last, tuple) else (y, last)


def linear_layer(weight: Tensor, bias: Tensor | None) -> torch.nn.Linear:
    """A linear layer with this weight, (outputs, inputs), and bias."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias is not None, dtype=weight.dtype)
    return _fill(layer, {"weight": weight, "bias": bias})


def _fill(layer: Any, values: Mapping[str, Tensor | None]) -> Any:
    with torch.no_grad():
        for name, value in values.items():
            if value is not None:
                getattr(layer, name).copy_(value)
    return layer.eval()


def gemm(builder: GraphBuilder, node: OnnxNode) -> Result:
    """``alpha A B + beta C`` with a constant B as a linear layer."""
    a, b, c = node.inputs(3)
    weight, bias = builder.constant(b), builder.constant(c)
    if weight is None or builder.constant(a) is not None:
        return builder.plain(node)
    attributes = node.attributes
    weight = weight if attributes.get("transB", 0) else weight.t()
    fits = c is None or (
        bias is not None and bias.numel() in {1, weight.shape[0]} and bias.shape[:-1].numel() == 1
    )
    if not fits:
        return builder.plain(node)
    if bias is not None:
        bias = (attributes.get("beta", 1.0) * bias).reshape(-1).expand(weight.shape[0])
    weight = attributes.get("alpha", 1.0) * weight
    name = builder.layer(node, "linear", b, c, lambda: linear_layer(weight, bias))
    x = builder.value(a)
    return builder.call(name, builder.function(torch.t, x) if attributes.get("transA") else x)


def matmul(builder: GraphBuilder, node: OnnxNode) -> Result:
    """Product with a constant matrix on the right (the next bias joins it) or on the left."""
    a, b = node.inputs(2)
    first, second = builder.constant(a), builder.constant(b)
    if second is not None and second.ndim == 2 and first is None:
        bias = builder.take_bias(node, second.shape[1])
        value = builder.constant(bias)
        flat = None if value is None else value.reshape(-1).expand(second.shape[1])
        name = builder.layer(node, "linear", b, bias, lambda: linear_layer(second.t(), flat))
        return builder.call(name, builder.value(a))
    if first is not None and first.ndim == 2 and second is None:
        name = builder.layer(node, "left product", a, None, lambda: LeftProduct(first))
        return builder.call(name, builder.value(b))
    return builder.plain(node)


_CONVOLUTIONS: dict[str, dict[int, Any]] = {
    "Conv": {3: torch.nn.Conv1d, 4: torch.nn.Conv2d, 5: torch.nn.Conv3d},
    "ConvTranspose": {
        3: torch.nn.ConvTranspose1d,
        4: torch.nn.ConvTranspose2d,
        5: torch.nn.ConvTranspose3d,
    },
}


def convolve(builder: GraphBuilder, node: OnnxNode) -> Result:
    """Convolution, transposed or not, with a constant kernel.

    Raises:
        InputError: the kernel is not constant, or not of 1 to 3 axes.
    """
    x, w, b = node.inputs(3)
    weight, bias = builder.constant(w), builder.constant(b)
    if weight is None or (b is not None and bias is None) or weight.ndim not in (3, 4, 5):
        raise node.refusal("a kernel that is not constant, or not of 1 to 3 axes")
    n = weight.ndim - 2
    node.check_attributes(
        "auto_pad",
        "dilations",
        "group",
        "kernel_shape",
        "pads",
        "strides",
        *(("output_padding", "output_shape") if node.kind == "ConvTranspose" else ()),
    )
    attributes = node.attributes
    settings = {
        "stride": tuple(attributes.get("strides") or [1] * n),
        "dilation": tuple(attributes.get("dilations") or [1] * n),
        "groups": attributes.get("group", 1),
    }
    pads = list(attributes.get("pads") or [0] * 2 * n)
    auto = attributes.get("auto_pad", "NOTSET")
    pads = [0] * 2 * n if auto == "VALID" else pads
    value = builder.value(x)
    if node.kind == "ConvTranspose":
        return _convolve_transposed(builder, node, value, (w, b), settings, pads, auto)
    same = auto in {"SAME_UPPER", "SAME_LOWER"}
    even = pads[:n] == pads[n:] and min(pads) >= 0
    if same:
        kernel = list(weight.shape[2:])
        where = (kernel, list(settings["stride"]), list(settings["dilation"]))
        value = builder.function(pad_same, value, *where, auto == "SAME_LOWER")
    elif not even:
        ends = [pads[k + half * n] for k in reversed(range(n)) for half in (0, 1)]
        value = builder.function(functional.pad, value, ends)
    settings["padding"] = tuple(pads[:n]) if even and not same else (0,) * n
    name = _convolution(builder, node, (w, b), settings)
    return builder.call(name, value)


def _convolution(
    builder: GraphBuilder,
    node: OnnxNode,
    names: tuple[str | None, str | None],
    settings: dict[str, Any],
) -> str:
    weight, bias = builder.constant(names[0]), builder.constant(names[1])
    assert weight is not None  # noqa: S101  # checked by the caller
    transposed = node.kind == "ConvTranspose"
    outer = weight.shape[0]
    inner = weight.shape[1] * settings["groups"]
    channels = (outer, inner) if transposed else (inner, outer)

    def make() -> torch.nn.Module:
        layer = _CONVOLUTIONS[node.kind][weight.ndim](
            *channels,
            tuple(weight.shape[2:]),
            bias=bias is not None,
            dtype=weight.dtype,
            **settings,
        )
        return _fill(layer, {"weight": weight, "bias": bias})

    return builder.layer(node, str(sorted(settings.items())), *names, make)


def _convolve_transposed(
    builder: GraphBuilder,
    node: OnnxNode,
    value: Value,
    names: tuple[str | None, str | None],
    settings: dict[str, Any],
    pads: list[int],
    auto: str,
) -> Value:
    n = len(pads) // 2
    if node.attributes.get("output_shape") or auto not in {"NOTSET", "VALID"}:
        raise node.refusal("`output_shape` or `auto_pad`")
    extra = tuple(node.attributes.get("output_padding") or [0] * n)
    even = pads[:n] == pads[n:] and min(pads) >= 0
    fits = all(
        e < max(s, d)
        for e, s, d in zip(extra, settings["stride"], settings["dilation"], strict=True)
    )
    if not fits:
        raise node.refusal("an `output_padding` as large as the stride")
    settings |= {"padding": tuple(pads[:n]) if even else (0,) * n, "output_padding": extra}
    out = builder.call(_convolution(builder, node, names, settings), value)
    if even:
        return out
    ends = [-pads[k + half * n] for k in reversed(range(n)) for half in (0, 1)]
    return builder.function(functional.pad, out, ends)


_NORMS = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}
_NORMS[5] = torch.nn.BatchNorm3d


def batch_norm(builder: GraphBuilder, node: OnnxNode) -> Result:
    """Normalisation by stored statistics; by its layer where the input's axes are known.

    Raises:
        InputError: the node is in training mode.
    """
    node.check_attributes("epsilon", "momentum", "training_mode", "spatial", "is_test")
    if node.attributes.get("training_mode") or node.attributes.get("spatial", 1) != 1:
        raise node.refusal("training mode")
    if sum(bool(name) for name in node.output_names) != 1:
        raise node.refusal("training mode (it returns statistics)")
    x, *names = node.inputs(5)
    values = [value for name in names if (value := builder.constant(name)) is not None]
    epsilon = node.attributes.get("epsilon", 1e-5)
    kind: Any = _NORMS.get(builder.rank(x) or 0)
    if kind is None or len(values) != len(names):
        parts = [builder.value(name) for name in (x, *names)]
        return builder.function(OPERATORS["BatchNormalization"], *parts, epsilon=epsilon)
    weight, bias, mean, var = values
    fields = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var}

    def make() -> torch.nn.Module:
        return _fill(kind(len(values[0]), eps=epsilon, dtype=values[0].dtype), fields)

    name = builder.layer(node, f"statistics {names[2:]}", names[0], names[1], make)
    return builder.call(name, builder.value(x))


_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where torch's gates stand in ONNX: LSTM i f g o in i o f c, GRU r z n in z r h."""
_ACTIVATIONS = {
    "LSTM": [["Sigmoid", "Tanh", "Tanh"]],
    "GRU": [["Sigmoid", "Tanh"]],
    "RNN": [["Tanh"], ["Relu"]],
}


def recurrent(builder: GraphBuilder, node: OnnxNode) -> Result:
    """LSTM, GRU and RNN with constant weights.

    Raises:
        InputError: weights are not constant, lengths differ, or there are peepholes.
    """
    names = node.inputs(8)
    x, w, r, b, lengths, h, c, peepholes = names
    fixed = [value for name in (w, r, b) if (value := builder.constant(name)) is not None]
    if len(fixed) != (2 if b is None else 3):
        raise node.refusal("weights that are not constant")
    if lengths is not None:
        raise node.refusal("`sequence_lens` (points of different lengths)")
    if peepholes is not None:
        raise node.refusal("peephole weights")
    directions = 2 if node.attributes.get("direction") == "bidirectional" else 1
    activation = _check_recurrent(node, directions)

    def make() -> torch.nn.Module:
        return _recurrent_layer(node, fixed, directions, activation)

    name = builder.layer(node, f"recurrent {r}", w, b, make)
    states = [None if state is None else builder.value(state) for state in (h, c)]
    out = builder.call(name, builder.value(x), *states[: 2 if node.kind == "LSTM" else 1])
    return [builder.item(out, k) for k in range(3 if node.kind == "LSTM" else 2)]


def _recurrent_layer(
    node: OnnxNode, fixed: Sequence[Tensor], directions: int, activation: str
) -> Recurrent:
    kind: Any = getattr(torch.nn, node.kind)
    inputs, size = fixed[0].shape[2], fixed[1].shape[2]
    settings: dict[str, Any] = {"bias": len(fixed) == 3, "bidirectional": directions == 2}
    if node.kind == "RNN":
        settings["nonlinearity"] = activation.lower()
    layer = kind(inputs, size, dtype=fixed[0].dtype, **settings)
    fields = _recurrent_fields(_GATES[node.kind], size, directions, fixed)
    return Recurrent(_fill(layer, fields), node.attributes.get("direction") == "reverse")


def _check_recurrent(node: OnnxNode, directions: int) -> str:
    """Refuse what torch's layers do not compute; return the first activation."""
    node.check_attributes(
        "activations",
        "direction",
        "hidden_size",
        "layout",
        "linear_before_reset",
        "input_forget",
        "activation_alpha",
        "activation_beta",
    )
    attributes = node.attributes
    for name in ("layout", "input_forget"):
        if attributes.get(name):
            raise node.refusal(f"`{name}`")
    if node.kind == "GRU" and not attributes.get("linear_before_reset"):
        raise node.refusal("the reset before the product (linear_before_reset=0)")
    allowed = _ACTIVATIONS[node.kind]
    words = attributes.get("activations") or allowed[0] * directions
    usual = [[name.lower() for name in names] * directions for names in allowed]
    if [str(name).lower() for name in words] not in usual:
        raise node.refusal(f"the activations {', '.join(map(str, words))}")
    return str(words[0])


def _recurrent_fields(
    gates: Sequence[int], size: int, directions: int, fixed: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Weights and biases by torch's names, their gates in torch's order."""
    fields: dict[str, Tensor] = {}
    for direction in range(directions):
        end = "_l0" + ("_reverse" if direction else "")
        parts = {"weight_ih": fixed[0][direction], "weight_hh": fixed[1][direction]}
        if len(fixed) == 3:
            bias_ih, bias_hh = fixed[2][direction].split(len(gates) * size)
            parts |= {"bias_ih": bias_ih, "bias_hh": bias_hh}
        for name, part in parts.items():
            fields[name + end] = torch.cat([part[g * size : (g + 1) * size] for g in gates])
    return fields


LAYERS: dict[str, Callable[[GraphBuilder, OnnxNode], Result]] = {
    "BatchNormalization": batch_norm,
    "Conv": convolve,
    "ConvTranspose": convolve,
    "GRU": recurrent,
    "Gemm": gemm,
    "LSTM": recurrent,
    "MatMul": matmul,
    "RNN": recurrent,
}
"""Operators that become layers, by their ONNX names."""
