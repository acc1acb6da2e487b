"""The parts of an ONNX file as plain values: types, constants, operators with attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from onnx import numpy_helper

from xbarspice.core.errors import InputError, broken_rule

__all__ = ["OnnxNode", "Result", "Value", "to_tensor", "torch_type"]

Value = torch.fx.Node
"""An activation in the graph that is built."""
Result = Value | list[Value]
"""What a node of an ONNX graph becomes: its output, or a list of several."""

_TYPES = {
    "FLOAT": torch.float32,
    "DOUBLE": torch.float64,
    "FLOAT16": torch.float16,
    "BFLOAT16": torch.bfloat16,
    "INT64": torch.int64,
    "INT32": torch.int32,
    "INT16": torch.int16,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "BOOL": torch.bool,
}


def torch_type(code: int, where: str) -> torch.dtype:
    """Torch's type for an ONNX element type.

    Raises:
        InputError: torch does not compute with the type.
    """
    name = onnx.TensorProto.DataType.Name(code)
    if name not in _TYPES:
        raise broken_rule(
            f"{where} must be of a type that torch computes with",
            name,
            "Export the model with float32 weights.",
        )
    return _TYPES[name]


def to_tensor(proto: onnx.TensorProto) -> torch.Tensor:
    """A constant of the file as a tensor of its own.

    Raises:
        InputError: the constant holds more or fewer numbers than its shape says.
    """
    dtype = torch_type(proto.data_type, f"the constant `{proto.name}`")
    try:
        array = numpy_helper.to_array(proto)
    except Exception as error:  # onnx and NumPy raise many kinds for one fault: bad raw data
        raise InputError(
            f"the constant `{proto.name}` must hold as many numbers as its shape says; {error}. "
            "Export the model again."
        ) from error
    if dtype is torch.bfloat16:
        return torch.from_numpy(array.astype("float32")).to(dtype)
    return torch.from_numpy(array.copy())


@dataclass(frozen=True)
class OnnxNode:
    """One operator of the graph.

    Attributes:
        proto: as the file holds it.
        kind: the operator's name.
        attributes: plain values by name.
    """

    proto: onnx.NodeProto
    kind: str = field(init=False)
    attributes: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        domain = self.proto.domain
        plain = domain in {"", "ai.onnx"}
        object.__setattr__(
            self, "kind", self.proto.op_type if plain else f"{domain}.{self.proto.op_type}"
        )
        values = {a.name: _attribute(a) for a in self.proto.attribute}
        object.__setattr__(self, "attributes", values)

    @property
    def label(self) -> str:
        """What messages call the node."""
        return f"{self.kind} `{self.proto.name or self.proto.output[0]}`"

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, empty where one is not used."""
        return list(self.proto.output)

    def inputs(self, count: int) -> list[str | None]:
        """Names of the inputs, None where one is left out."""
        names: list[str | None] = [name or None for name in self.proto.input]
        return names + [None] * (count - len(names))

    def refusal(self, form: str) -> InputError:
        """The error for a form of the operator that cannot be imported."""
        return broken_rule(
            "an ONNX model must hold operators that can be imported",
            f"{self.label} with {form}",
            "Change that layer, or import the model as .pt2.",
        )

    def check_attributes(self, *names: str) -> None:
        """Refuse attributes that an importing function does not know."""
        if unknown := sorted(set(self.attributes) - set(names)):
            raise self.refusal(f"the attribute {', '.join(unknown)}")


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, onnx.TensorProto):
        return to_tensor(value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (onnx.GraphProto, onnx.SparseTensorProto, onnx.TypeProto)):
        return value
    return [v.decode(errors="replace") if isinstance(v, bytes) else v for v in value]
