"""Layers of an exported graph: operators that use a layer's parameters become that layer again.

`torch.export` leaves no `nn.Linear`, only ``aten.linear`` with its parameters by name. Where an
operator of the table below uses the parameters of one path (``fc.weight``, ``fc.bias``), a torch
layer of the exact type takes that path, so that exported and ordinary models are converted alike.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from xbarspice.core.registry import Registry
from xbarspice.mapping import ArrayConfig
from xbarspice.nn.attention import PROJECTIONS
from xbarspice.nn.layers import CrossbarLayer
from xbarspice.nn.registration import register

__all__ = ["InProjection", "lift", "operators", "register_operator"]

aten = torch.ops.aten
Lift = Callable[["Lifting", fx.Node], bool]

operators: Registry[Lift] = Registry(
    "operator", "Add a function for it with xb.nn.register_operator."
)
"""Functions that make a layer of a node, by the name of its operator."""


def register_operator(*targets: Any) -> Callable[[Lift], Lift]:
    """Function decorator: it makes a layer of nodes of these operators.

    The function is given a `Lifting` and the node. It returns whether the node became a layer; a
    node that did not stays as it is, and its weight is listed in the coverage.

    Args:
        targets: operators as they stand in an exported graph, such as
            ``torch.ops.aten.linear.default``.

    Raises:
        InputError: an operator has such a function already.
    """

    def add(function: Lift) -> Lift:
        for target in targets:
            operators.add(str(target), function)
        return function

    return add


def lift(model: fx.GraphModule, *, batchnorm: bool = False) -> fx.GraphModule:
    """The same graph with layers in place of the operators that use their parameters.

    The layers are in evaluation mode, as the graph is; what stays an operator stays as exported.

    Args:
        model: a graph; it is changed.
        batchnorm: also batch normalisation behind one layer, to be folded into it.
    """
    for name in ("train", "eval"):  # torch refuses both for its graphs; layers on arrays know them
        model.__dict__.pop(name, None)
    lifting = Lifting(model, batchnorm)
    for node in list(model.graph.nodes):
        if node.op == "call_function" and str(node.target) in operators:
            operators.get(str(node.target))(lifting, node)
    model.graph.eliminate_dead_code()
    model.recompile()
    return model


class Lifting:
    """A graph whose operators become layers."""

    def __init__(self, model: fx.GraphModule, batchnorm: bool) -> None:
        self.model, self.batchnorm = model, batchnorm

    def path_of(self, node: Any) -> tuple[str, str] | None:
        """Path and name of the parameter that a node fetches, or None."""
        if not isinstance(node, fx.Node) or node.op != "get_attr":
            return None
        path, _, name = str(node.target).rpartition(".")
        return (path, name) if path else None

    def transpose_source(self, node: Any) -> Any:
        """What a node is the transpose of; None if it is none."""
        if not isinstance(node, fx.Node) or node.op != "call_function":
            return None
        swaps = {(aten.transpose.int, (0, 1)), (aten.transpose.int, (-1, -2))}
        swaps |= {(aten.transpose.int, (1, 0)), (aten.transpose.int, (-2, -1))}
        axes = tuple(node.args[1:])
        plain = node.target is aten.t.default or (node.target, axes) in swaps
        turned = node.target is aten.permute.default and list(axes[0]) == [1, 0]  # type: ignore[arg-type]
        return node.args[0] if plain or turned else None

    def common_path(self, names: dict[str, Any]) -> str | None:
        """The path whose parameters of these names the nodes fetch; None for a missing one."""
        paths = set()
        for name, node in names.items():
            if node is None:
                continue
            place = self.path_of(node)
            if place is None or place[1] != name:
                return None
            paths.add(place[0])
        return paths.pop() if len(paths) == 1 else None

    def place(self, path: str, make: Callable[[], nn.Module], names: tuple[str, ...]) -> bool:
        """Put a layer at a path; its parameters are those that stand there.

        Returns:
            Whether the path now holds a layer of that type: False if it has parameters that the
            layer has not.
        """
        holder = self.model.get_submodule(path)
        layer = make()
        if type(holder) is type(layer):
            return True
        state = {**dict(holder._parameters), **dict(holder._buffers)}
        if type(holder) is not nn.Module or set(state) - set(names):
            return False
        for name in names:
            value = state.get(name)
            if name in layer._buffers:
                layer._buffers[name] = value
            elif isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                setattr(layer, name, nn.Parameter(value, requires_grad=False))
            else:
                setattr(layer, name, value)
        for name, child in holder.named_children():
            layer.add_module(name, child)
        self.model.set_submodule(path, layer.eval())
        return True

    def call(self, node: fx.Node, path: str, *arguments: Any) -> fx.Node:
        """Let a node's users take the output of the layer at a path."""
        with self.model.graph.inserting_before(node):
            new = self.model.graph.call_module(path, arguments)
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        return new

    def tensor(self, node: Any) -> Tensor:
        """The parameter that a node fetches."""
        value: Any = self.model
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value


def _argument(node: fx.Node, number: int, otherwise: Any) -> Any:
    return node.args[number] if len(node.args) > number else otherwise


def _make_linear(lifting: Lifting, node: fx.Node, x: Any, weight: Any, bias: Any) -> bool:
    path = lifting.common_path({"weight": weight, "bias": bias})
    if path is not None:
        outputs, inputs = lifting.tensor(weight).shape
        if not lifting.place(
            path,
            lambda: nn.Linear(inputs, outputs, bias is not None, device="meta"),
            ("weight", "bias"),
        ):
            return False
    else:
        path = lifting.common_path({"in_proj_weight": weight, "in_proj_bias": bias})
        names = ("in_proj_weight", "in_proj_bias")
        if path is None or not lifting.place(path, InProjection, names):
            return False
    lifting.call(node, path, x)
    return True


@register_operator(aten.linear.default)
def _linear(lifting: Lifting, node: fx.Node) -> bool:
    return _make_linear(lifting, node, node.args[0], node.args[1], _argument(node, 2, None))


@register_operator(aten.addmm.default)
def _addmm(lifting: Lifting, node: fx.Node) -> bool:
    bias, x, matrix = node.args
    weight = lifting.transpose_source(matrix)
    return not node.kwargs and _make_linear(lifting, node, x, weight, bias)


@register_operator(aten.mm.default, aten.matmul.default)
def _matmul(lifting: Lifting, node: fx.Node) -> bool:
    weight = lifting.transpose_source(node.args[1])
    return weight is not None and _make_linear(lifting, node, node.args[0], weight, None)


CONVOLUTIONS = {
    aten.conv1d.default: (nn.Conv1d, False),
    aten.conv2d.default: (nn.Conv2d, False),
    aten.conv3d.default: (nn.Conv3d, False),
    aten.conv1d.padding: (nn.Conv1d, False),
    aten.conv2d.padding: (nn.Conv2d, False),
    aten.conv3d.padding: (nn.Conv3d, False),
    aten.conv_transpose1d.default: (nn.ConvTranspose1d, True),
    aten.conv_transpose2d.input: (nn.ConvTranspose2d, True),
    aten.conv_transpose3d.input: (nn.ConvTranspose3d, True),
}


@register_operator(*CONVOLUTIONS)
def _convolution(lifting: Lifting, node: fx.Node) -> bool:
    kind, transposed = CONVOLUTIONS[node.target]  # type: ignore[index]
    weight, bias = node.args[1], _argument(node, 2, None)
    path = lifting.common_path({"weight": weight, "bias": bias})
    if path is None:
        return False
    shape = lifting.tensor(weight).shape
    axes = len(shape) - 2
    names = ["stride", "padding", *(["output_padding"] if transposed else [])]
    names += ["groups", "dilation"] if transposed else ["dilation", "groups"]
    options: dict[str, Any] = {}
    for number, name in enumerate(names, start=3):
        value = _argument(node, number, 0 if "padding" in name else 1)
        if isinstance(value, list | tuple):
            value = tuple(value) if len(value) == axes else tuple(value) * axes
        options[name] = value
    groups = options["groups"]
    channels = (shape[0], shape[1] * groups) if transposed else (shape[1] * groups, shape[0])

    def make() -> nn.Module:
        return kind(*channels, tuple(shape[2:]), bias=bias is not None, device="meta", **options)

    if not lifting.place(path, make, ("weight", "bias")):
        return False
    lifting.call(node, path, node.args[0])
    return True


@register_operator(aten.batch_norm.default)
def _batch_norm(lifting: Lifting, node: fx.Node) -> bool:
    """Only behind a convolution or linear layer, where it may be folded."""
    x, weight, bias, mean, variance, training, momentum, eps = node.args[:8]
    if training or not lifting.batchnorm or not isinstance(x, fx.Node):
        return False
    if x.op != "call_module" or len(x.users) != 1:
        return False
    before = lifting.model.get_submodule(str(x.target))
    kinds = {
        nn.Linear: nn.BatchNorm1d,
        **dict.fromkeys((nn.Conv1d, nn.ConvTranspose1d), nn.BatchNorm1d),
        **dict.fromkeys((nn.Conv2d, nn.ConvTranspose2d), nn.BatchNorm2d),
        **dict.fromkeys((nn.Conv3d, nn.ConvTranspose3d), nn.BatchNorm3d),
    }
    path = lifting.common_path(
        {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    )
    if path is None or type(before) not in kinds:
        return False
    kind, size = kinds[type(before)], len(lifting.tensor(mean))

    def make() -> nn.Module:
        return kind(size, eps, momentum, affine=weight is not None, device="meta").eval()  # type: ignore[arg-type]

    names = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    if not lifting.place(path, make, names):
        return False
    lifting.call(node, path, x)
    return True


RECURRENT = {
    aten.lstm.input: (nn.LSTM, {}),
    aten.gru.input: (nn.GRU, {}),
    aten.rnn_tanh.input: (nn.RNN, {"nonlinearity": "tanh"}),
    aten.rnn_relu.input: (nn.RNN, {"nonlinearity": "relu"}),
}


@register_operator(*RECURRENT)
def _recurrent(lifting: Lifting, node: fx.Node) -> bool:
    kind, more = RECURRENT[node.target]  # type: ignore[index]
    x, hx, weights, bias, layers, dropout, training, bidirectional, batch_first = node.args
    places = [lifting.path_of(w) for w in weights]  # type: ignore[union-attr]
    if training or any(place is None for place in places):
        return False
    paths, names = zip(*places, strict=True)  # type: ignore[arg-type]
    shapes = {name: lifting.tensor(w).shape for name, w in zip(names, weights, strict=True)}  # type: ignore[arg-type]
    hidden = shapes.get("weight_hh_l0")
    if len(set(paths)) != 1 or hidden is None:
        return False
    options: dict[str, Any] = {
        "bias": bool(bias),
        "batch_first": bool(batch_first),
        "dropout": dropout,
        "bidirectional": bool(bidirectional),
        **more,
    }
    if "weight_hr_l0" in shapes:
        options["proj_size"] = shapes["weight_hr_l0"][0]
    gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[kind]

    def make() -> nn.Module:
        sizes = (shapes["weight_ih_l0"][1], hidden[0] // gates, layers)
        return kind(*sizes, device="meta", **options)

    if not lifting.place(paths[0], make, tuple(names)):
        return False
    _call_recurrent(lifting, node, paths[0], x, hx, kind is nn.LSTM)
    return True


def _call_recurrent(
    lifting: Lifting, node: fx.Node, path: str, x: Any, hx: Any, two_states: bool
) -> None:
    """The layer in place of a node that returns (y, h) or (y, h, c), with its users mended."""
    graph = lifting.model.graph
    with graph.inserting_before(node):
        new = graph.call_module(path, (x, tuple(hx) if two_states else hx))
        output = graph.call_function(operator.getitem, (new, 0))
        state = graph.call_function(operator.getitem, (new, 1))
        parts = [output, state]
        if two_states:
            parts[1:] = [graph.call_function(operator.getitem, (state, k)) for k in (0, 1)]
    for user in list(node.users):
        user.replace_all_uses_with(parts[int(user.args[1])])  # type: ignore[arg-type]
        graph.erase_node(user)
    graph.erase_node(node)  # torch keeps it as dead code: dropout makes it impure


class InProjection(nn.Module):
    """The three input projections of self-attention, whose weights are one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """Queries, keys and values beside each other, (..., 3 * embed_dim)."""
        return functional.linear(x, self.in_proj_weight, self.in_proj_bias)  # type: ignore[arg-type]


@register(InProjection)
class CrossbarInProjection(CrossbarLayer):
    """`InProjection` on arrays: a matrix each for queries, keys and values."""

    weight_names = ("in_proj_weight",)

    @classmethod
    def from_torch(cls, layer: InProjection, config: ArrayConfig) -> CrossbarInProjection:
        out = cls()
        for name in ("in_proj_weight", "in_proj_bias"):
            out.register_parameter(name, layer._parameters[name])
        for name, child in layer.named_children():
            out.add_module(name, child)
        for name in PROJECTIONS:
            out.add_matrix(name, config, layer._parameters["in_proj_bias"])
        return out.train(layer.training)

    def to_torch(self) -> nn.Module:
        out = InProjection()
        for name in ("in_proj_weight", "in_proj_bias"):
            setattr(out, name, self.parameter(name))
        for name, child in self.named_children():
            out.add_module(name, child)
        return out.train(self.training)

    def weight_matrices(self):
        weights = self.parameter("in_proj_weight").chunk(3)
        bias = self.parameter("in_proj_bias")
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        for name, weight, part in zip(PROJECTIONS, weights, biases, strict=True):
            yield name, weight[None], None if part is None else part[None]

    def forward(self, x: Tensor) -> Tensor:
        """Queries, keys and values beside each other, (..., 3 * embed_dim)."""
        parts = [
            self.linear(name, weight[0], None if bias is None else bias[0])(x)
            for name, weight, bias in self.weight_matrices()
        ]
        return torch.cat(parts, dim=-1)
