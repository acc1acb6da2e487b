"""What nodes of an ONNX graph may be: known operators, in the forms that are computed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import torch

from xbarspice.core.errors import broken_rule
from xbarspice.importers.onnx_layers import LAYERS
from xbarspice.importers.onnx_nodes import OnnxNode
from xbarspice.importers.onnx_operators import OPERATORS

__all__ = ["check_attributes", "check_operators", "constant_of"]

FORMS = {
    ("AveragePool", "dilations"): ([1], [1, 1], [1, 1, 1]),
    ("Pad", "mode"): ("constant", "edge", "reflect", "wrap"),
    ("Resize", "antialias"): (0,),
    ("Resize", "coordinate_transformation_mode"): (
        "align_corners",
        "asymmetric",
        "half_pixel",
        "pytorch_half_pixel",
    ),
    ("Resize", "keep_aspect_ratio_policy"): ("stretch",),
    ("Resize", "mode"): ("linear", "nearest"),
}
"""Values of attributes that the functions compute; others are refused."""
CLASSICAL = (
    "Export the layers without scalers, labels and maps. A perceptron of scikit-learn also stands "
    "in a .npz: W0, b0, ... are its coefs_ and intercepts_, and activation its name."
)
"""What to do about operators of classical machine learning, which surround a network."""
QUANTISED = re.compile(r"[Qq]uantize|QLinear|Integer$|QOrdered|QAttention|QGemm")


def check_operators(nodes: list[OnnxNode]) -> None:
    """Refuse operators that cannot be imported, all by name at once.

    Raises:
        InputError: there are such operators.
    """
    importable = {*OPERATORS, *LAYERS, "Cast", "Constant"}
    unknown = sorted({node.kind for node in nodes} - importable)
    if quantised := [kind for kind in unknown if QUANTISED.search(kind)]:
        raise broken_rule(
            "the weights of a model must be real numbers",
            f"the operators {', '.join(quantised)} of a quantised model",
            "Export the model before its quantisation.",
        )
    if unknown:
        classical = any(kind.startswith("ai.onnx.ml.") for kind in unknown)
        raise broken_rule(
            "an ONNX model must hold operators that can be imported",
            ", ".join(unknown),
            CLASSICAL if classical else "Change those layers, or import the model as .pt2.",
        )


def check_attributes(
    node: OnnxNode, function: Callable[..., Any], settings: dict[str, Any]
) -> None:
    """Refuse attributes that a function does not take, values of others, and missing ones.

    Raises:
        InputError: there are such attributes.
    """
    for name, value in settings.items():
        if (node.kind, name) in FORMS and value not in FORMS[node.kind, name]:
            raise node.refusal(f"{name} {value}")
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # torch's built-in functions, which no attribute belongs to
        parameters = ()
    required = {p.name: p.default is p.empty for p in parameters if p.kind is p.KEYWORD_ONLY}
    if unknown := sorted(set(settings) - set(required)):
        raise node.refusal(f"the attribute {', '.join(unknown)}")
    if missing := sorted(
        name for name, is_required in required.items() if is_required and name not in settings
    ):
        raise node.refusal(f"no attribute {', '.join(missing)}")


def constant_of(node: OnnxNode) -> torch.Tensor:
    """The one value of a `Constant`.

    Raises:
        InputError: it has another kind of value.
    """
    values = {k: v for k, v in node.attributes.items() if k.startswith("value")}
    if len(values) != 1 or "value_string" in values or "value_strings" in values:
        raise node.refusal(f"the value {', '.join(node.attributes)}")
    ((name, value),) = values.items()
    if name == "value":
        return value
    return torch.tensor(value, dtype=torch.float32 if "float" in name else torch.int64)
