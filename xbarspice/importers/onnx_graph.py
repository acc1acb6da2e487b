"""An ONNX graph as a torch graph: layers by exact types, all else by plain functions."""

from __future__ import annotations

import keyword
import operator
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import onnx
import torch

from xbarspice.core.errors import broken_rule
from xbarspice.importers.onnx_checks import check_attributes, check_operators, constant_of
from xbarspice.importers.onnx_layers import LAYERS
from xbarspice.importers.onnx_nodes import OnnxNode, Result, Value, to_tensor, torch_type
from xbarspice.importers.onnx_operators import OPERATORS, log_softmax_flat, softmax_flat
from xbarspice.importers.onnx_shapes import cast, integers

__all__ = ["GraphBuilder"]

_INTEGER_INPUTS = {
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Expand": (1,),
    "Pad": (1, 3),
    "Reshape": (1,),
    "Resize": (3,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    **{
        f"Reduce{name}": (1,)
        for name in [
            "L1",
            "L2",
            "LogSum",
            "LogSumExp",
            "Max",
            "Mean",
            "Min",
            "Prod",
            "Sum",
            "SumSquare",
        ]
    },
}
"""Inputs that are lists of integers: sizes, axes, ends."""


class GraphBuilder:
    """Builds a `torch.fx.GraphModule` from an ONNX graph, node by node.

    Args:
        model: with its external data loaded and its functions inlined.

    Raises:
        InputError: an operator, or a form of one, cannot be imported; all unknown operators are
            named at once.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._opset = next(o.version for o in model.opset_import if o.domain in {"", "ai.onnx"})
        self._root = torch.nn.Module()
        self._graph = torch.fx.Graph()
        self._values: dict[str, Value] = {}
        self._constants: dict[str, torch.Tensor] = {}
        self._attributes: dict[str, str] = {}
        self._layers: dict[tuple[str | None, ...], str] = {}
        self._initializers = {t.name for t in model.graph.initializer}
        self._nodes = [OnnxNode(proto) for proto in model.graph.node]
        self._readers: dict[str, list[OnnxNode]] = {}
        for node in self._nodes:
            for name in node.proto.input:
                self._readers.setdefault(name, []).append(node)
        self._reads = Counter(name for node in model.graph.node for name in node.input)
        self._reads.update(output.name for output in model.graph.output)
        self._joined: dict[str, str] = {}
        self._ranks: dict[str, int] | None = None

    def build(self) -> torch.fx.GraphModule:
        """The module, in evaluation mode; inputs and outputs in the graph's order."""
        check_operators(self._nodes)
        for proto in self._model.graph.initializer:
            self._constants[proto.name] = to_tensor(proto)
        for value in self._model.graph.input:
            if value.name not in self._initializers:
                self._values[value.name] = self._graph.placeholder(_identifier(value.name))
        for node in self._nodes:
            if node.kind == "Constant":
                self._constants[node.output_names[0]] = constant_of(node)
        for node in self._nodes:
            if node.kind != "Constant" and node.output_names[0] not in self._joined.values():
                self._add(node)
        outputs = tuple(self.value(output.name) for output in self._model.graph.output)
        self._graph.output(outputs[0] if len(outputs) == 1 else outputs)
        module = torch.fx.GraphModule(self._root, self._graph, class_name="OnnxModel")
        module.graph.eliminate_dead_code()
        module.graph.lint()
        module.recompile()
        return module.eval()

    def _add(self, node: OnnxNode) -> None:
        constants = [self.constant(name) for name in node.inputs(0)]
        folded = all(
            value is not None or name is None
            for value, name in zip(constants, node.inputs(0), strict=True)
        ) and node.kind not in {"LSTM", "GRU", "RNN"}
        if folded:
            self._fold(node)
            return
        result = LAYERS[node.kind](self, node) if node.kind in LAYERS else self.plain(node)
        names = node.output_names
        if isinstance(result, list):
            for name, value in zip(names, result, strict=False):
                self._values[name] = value
        else:
            self._values[names[0]] = result
            if names[0] in self._joined:
                self._values[self._joined[names[0]]] = result

    def _fold(self, node: OnnxNode) -> None:
        """Compute a node of constants now."""
        function, arguments, settings = self._call(node, self.constant)
        try:
            with torch.no_grad():
                result = function(*arguments, **settings)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise node.refusal(f"constants that cannot be computed ({error})") from error
        results = result if isinstance(result, tuple) else (result,)
        for name, value in zip(node.output_names, results, strict=False):
            self._constants[name] = value

    def plain(self, node: OnnxNode) -> Result:
        """Call a node's function on activations; a list of values where it has several outputs.

        Raises:
            InputError: the node asks for an output that the function does not have.
        """
        function, arguments, settings = self._call(node, self.value)
        out = self.function(function, *arguments, **settings)
        if node.kind in {"Split", "TopK"}:
            return [self.item(out, k) for k in range(len(node.output_names))]
        if any(self._reads[name] for name in node.output_names[1:] if name):
            raise node.refusal("a second output")
        return out

    def _call(
        self, node: OnnxNode, read: Callable[[str | None], Any]
    ) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
        """The function of a node, its inputs and its attributes, all checked."""
        settings = dict(node.attributes)
        if node.kind in {"Cast", "CastLike"}:
            settings.pop("saturate", None)
        if node.kind == "Cast":
            return self._cast(node, settings, read)
        if node.kind == "Split":
            settings["outputs"] = len(node.output_names)
        if node.kind == "ConstantOfShape":
            settings["value"] = self._literal(settings.get("value", torch.zeros(1)), read)
        function = self._function(node.kind)
        check_attributes(node, function, settings)
        integers = _INTEGER_INPUTS.get(node.kind, ())
        arguments = [
            None if name is None else self._integers(name, read) if k in integers else read(name)
            for k, name in enumerate(node.inputs(0))
        ]
        if node.kind == "Dropout" and len(arguments) > 2:
            training = self.constant(node.inputs(3)[2])
            if training is None or bool(training):
                raise node.refusal("training mode")
        return function, arguments, settings

    def _function(self, kind: str) -> Callable[..., Any]:
        if self._opset < 13 and kind in {"Softmax", "LogSoftmax"}:
            return softmax_flat if kind == "Softmax" else log_softmax_flat
        return OPERATORS[kind]

    def _cast(
        self, node: OnnxNode, settings: dict[str, Any], read: Callable[[str | None], Any]
    ) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
        """Casts to float32 follow the module's own type, so that it can be made float64."""
        dtype = torch_type(settings.pop("to"), node.label)
        check_attributes(node, cast, settings)
        like = self._literal(torch.zeros((), dtype=dtype), read)
        return cast, [read(node.inputs(1)[0]), like], {}

    def _literal(self, value: torch.Tensor, read: Callable[[str | None], Any]) -> Any:
        """A tensor of an attribute, as a buffer of the module where the graph reads it."""
        if read == self.constant:
            return value
        return self._graph.get_attr(self._register("value", value, parameter=False))

    def _integers(self, name: str, read: Callable[[str | None], Any]) -> Any:
        value = self.constant(name)
        if value is not None:
            return [int(v) for v in value.reshape(-1)]
        return self.function(integers, read(name))

    def constant(self, name: str | None) -> torch.Tensor | None:
        """The tensor of a constant; None for an activation or where there is no input."""
        return None if name is None else self._constants.get(name)

    def value(self, name: str | None) -> Value:
        """A value in the graph; constants are parameters or buffers of the module.

        Raises:
            InputError: nothing before it computes the value.
        """
        if name in self._values:
            return self._values[name]
        if name is None or name not in self._constants:
            raise broken_rule(
                "every input of an operator must be computed before it",
                repr(name),
                "Export the model again.",
            )
        if name not in self._attributes:
            parameter = name in self._initializers
            self._attributes[name] = self._register(name, self._constants[name], parameter)
        return self._graph.get_attr(self._attributes[name])

    def _register(self, name: str, value: torch.Tensor, parameter: bool) -> str:
        path = self._free(_identifier(name))
        if parameter and value.is_floating_point() and value.ndim:
            self._root.register_parameter(path, torch.nn.Parameter(value))
        else:
            self._root.register_buffer(path, value)
        return path

    def _free(self, path: str) -> str:
        free, k = path, 1
        while hasattr(self._root, free):
            free, k = f"{path}_{k}", k + 1
        return free

    def function(self, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Value:
        """Call a function in the graph."""
        node = self._graph.call_function(function, arguments, settings)
        node.meta["is_wrapped"] = (function.__module__ or "").startswith("xbarspice.")
        return node  # wrapped: unpickling traces the graph anew, and must not look inside

    def item(self, value: Value, k: int) -> Value:
        """One of several outputs."""
        return self._graph.call_function(operator.getitem, (value, k))

    def call(self, path: str, *arguments: Value | None) -> Value:
        """Call a layer in the graph."""
        return self._graph.call_module(path, arguments)

    def layer(
        self,
        node: OnnxNode,
        form: str,
        weight: str | None,
        bias: str | None,
        make: Callable[[], torch.nn.Module],
    ) -> str:
        """Path of the layer with this weight; one that is used twice is made once."""
        attributes = str(sorted((k, str(v)) for k, v in node.attributes.items()))
        key = (node.kind, form, weight, bias, attributes)
        if key not in self._layers:
            self._layers[key] = self._add_layer(self._path(node, weight or "", bias or ""), make())
        return self._layers[key]

    def _path(self, node: OnnxNode, weight: str, bias: str) -> str:
        """The weight's own name without its ending, or the module that the node's name tells."""
        place, _, last = node.proto.name.strip("/").rpartition("/")
        if weight.endswith(".weight"):
            name = weight.removesuffix(".weight")
        elif bias.endswith(".bias"):
            name = bias.removesuffix(".bias")
        elif place and last.startswith(node.kind):
            name = place.replace("/", ".")
        else:
            name = _identifier(node.proto.name or node.kind.lower())
        return re.sub(r"[^\w.]", "_", name, flags=re.ASCII)

    def _add_layer(self, path: str, layer: torch.nn.Module) -> str:
        """Add a layer under a dotted path, or a flat one where that would enter a layer."""
        parts = path.split(".")
        place = self._root
        nested = all(parts)
        for part in parts[:-1]:
            if not nested:
                break
            inner = getattr(place, part, None)
            nested = inner is None or type(inner) is torch.nn.Module
            if nested and inner is None:
                place.add_module(part, torch.nn.Module())
            place = getattr(place, part) if nested else place
        if nested and not hasattr(place, parts[-1]):
            place.add_module(parts[-1], layer)
            return path
        flat = self._free(_identifier(path))
        self._root.add_module(flat, layer)
        return flat

    def take_bias(self, node: OnnxNode, outputs: int) -> str | None:
        """Name of the constant that the only reader of a product adds to it as a bias."""
        (product,) = node.output_names
        if self._reads[product] != 1:
            return None
        reader = next((n for n in self._readers.get(product, []) if n.kind == "Add"), None)
        addend = next((i for i in reader.inputs(2) if i != product), None) if reader else None
        value = self.constant(addend)
        if reader is None or value is None or value.numel() not in {1, outputs}:
            return None
        if value.ndim > 1 and value.ndim > (self.rank(node.inputs(1)[0]) or 1):
            return None
        if value.shape[:-1].numel() != 1:
            return None
        self._joined[product] = reader.output_names[0]
        return addend

    def rank(self, name: str | None) -> int | None:
        """Number of axes of a value, by ONNX's own shape inference."""
        if self._ranks is None:
            self._ranks = _ranks(self._model)
        return None if name is None else self._ranks.get(name)


def _identifier(name: str) -> str:
    """A Python name like a name of the file."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "value"
    return plain if plain.isidentifier() and not keyword.iskeyword(plain) else f"v_{plain}"


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Number of axes by name; nothing where shape inference fails."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # onnx raises many kinds; without ranks the import has other ways
        graph = model.graph
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            ranks[value.name] = len(value.type.tensor_type.shape.dim)
    return ranks
