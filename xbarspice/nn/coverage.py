"""What of a model is on arrays: weights, products and their shares, and what is not and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from xbarspice.nn.layers import CrossbarLayer, crossbar_layers
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.origin import outputs_of
from xbarspice.nn.through import observe
from xbarspice.nn.use import silent_layers

__all__ = [
    "Coverage",
    "DigitalProduct",
    "IdealWeight",
    "MatrixRecord",
    "coverage",
    "measure",
    "restore",
]

ATTRIBUTE = "_xbarspice_products"


@dataclass(frozen=True, kw_only=True)
class MatrixRecord:
    """One weight matrix on arrays.

    Attributes:
        name, layer: of the matrix, and the type of its layer.
        groups, outputs, inputs: its shape.
        bias_line: whether its bias is a word line.
        arrays, devices: how many it takes.
        products: multiply-accumulates in the measured forward; None if none was measured.
    """

    name: str
    layer: str
    groups: int
    outputs: int
    inputs: int
    bias_line: bool
    arrays: int
    devices: int
    products: int | None = None


@dataclass(frozen=True, kw_only=True)
class IdealWeight:
    """A parameter with two or more axes that is on no array, and why."""

    name: str
    size: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class DigitalProduct:
    """Matrix products outside the arrays: their operation, operands and multiply-accumulates."""

    operation: str
    operands: str
    products: int


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What of a converted model is on arrays.

    Attributes:
        matrices: on arrays.
        ideal: parameters with two or more axes that are not.
        digital: matrix products outside the arrays in the measured forward.
        silent: layers on arrays that the last forward neither called nor read.
        measured: whether a forward was measured (`convert(calibrate=...)`).
    """

    matrices: tuple[MatrixRecord, ...]
    ideal: tuple[IdealWeight, ...]
    digital: tuple[DigitalProduct, ...] = ()
    silent: tuple[str, ...] = ()
    measured: bool = False

    @property
    def weights_on_arrays(self) -> int:
        """Weights of all matrices on arrays."""
        return sum(m.groups * m.outputs * m.inputs for m in self.matrices)

    @property
    def weight_share(self) -> float:
        """Share of all weights (parameters with two or more axes) that is on arrays."""
        ideal = sum(w.size for w in self.ideal)
        return self.weights_on_arrays / (self.weights_on_arrays + ideal)

    @property
    def product_share(self) -> float | None:
        """Share of all multiply-accumulates of matrix products; None if none was measured."""
        if not self.measured:
            return None
        on_arrays = sum(m.products or 0 for m in self.matrices)
        total = on_arrays + sum(d.products for d in self.digital)
        return on_arrays / total if total else 0.0

    def record(self) -> dict[str, Any]:
        """Plain dictionaries and lists for JSON."""
        return {
            **asdict(self),
            "weights_on_arrays": self.weights_on_arrays,
            "weight_share": self.weight_share,
            "product_share": self.product_share,
        }


@dataclass(eq=False)
class _Products(TorchDispatchMode):
    """Counts the matrix products of a plain model that use none of the weights on arrays."""

    on_arrays: frozenset[str]
    parameters: Mapping[int, str]
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in flop_registry:
            names = {self._parameter(arg) for arg in args if isinstance(arg, Tensor)} - {""}
            if not names & self.on_arrays:
                matrices = sorted(names)
                what = f"weight {', '.join(matrices)}" if matrices else "two activations"
                key = (str(packet).removeprefix("aten."), what)
                products = flop_registry[packet](*args, **kwargs, out_val=out) // 2
                self.counts[key] = self.counts.get(key, 0) + int(products)
        return out

    def _parameter(self, tensor: Tensor) -> str:
        if tensor.ndim < 2:
            return ""
        return self.parameters.get(tensor.untyped_storage().data_ptr(), "")


def measure(circuit: nn.Module, model: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Count the products of one forward, on arrays and outside them, and keep the counts.

    Args:
        circuit: the converted model.
        model: what it was converted from, after any folding; plain torch.
        inputs: arguments of both.
    """
    vectors: dict[str, int] = {}

    def see(matrix: ArrayMatrix, x: Tensor) -> None:
        vectors[matrix.name] = vectors.get(matrix.name, 0) + len(x)

    with observe(see):
        outputs_of(circuit, inputs)
    parameters = {p.untyped_storage().data_ptr(): n for n, p in model.named_parameters()}
    mode = _Products(_weights_on_arrays(circuit), parameters)
    with sdpa_kernel(SDPBackend.MATH), mode:  # whose products are single operations
        outputs_of(model, inputs)
    object.__setattr__(circuit, ATTRIBUTE, (vectors, dict(mode.counts)))


def restore(circuit: nn.Module, record: Mapping[str, Any]) -> None:
    """Give a converted model the product counts of a `Coverage.record()` made of it earlier."""
    if not record["measured"]:
        return
    vectors = {
        m["name"]: m["products"] // (m["groups"] * m["outputs"] * m["inputs"])
        for m in record["matrices"]
    }
    counts = {(d["operation"], d["operands"]): int(d["products"]) for d in record["digital"]}
    object.__setattr__(circuit, ATTRIBUTE, (vectors, counts))


def _weights_on_arrays(circuit: nn.Module) -> frozenset[str]:
    return frozenset(
        f"{name}.{weight}".lstrip(".")
        for name, layer in circuit.named_modules(remove_duplicate=False)
        if isinstance(layer, CrossbarLayer)
        for weight in layer.weight_names
    )


def coverage(circuit: nn.Module) -> Coverage:
    """What of a converted model is on arrays, and what is not.

    Args:
        circuit: from `convert`; products are counted if it was given calibration inputs.
    """
    vectors, counts = circuit.__dict__.get(ATTRIBUTE, (None, {}))
    matrices = []
    for layer in crossbar_layers(circuit).values():
        for key, weight, _bias in layer.weight_matrices():
            matrix = layer.matrices[key]
            groups, outputs, inputs = weight.shape
            arrays, devices = matrix.size(weight)
            calls = None if vectors is None else vectors.get(matrix.name, 0)
            matrices.append(
                MatrixRecord(
                    name=matrix.name,
                    layer=type(layer).__name__,
                    groups=groups,
                    outputs=outputs,
                    inputs=inputs,
                    bias_line=matrix.bias_line,
                    arrays=arrays,
                    devices=devices,
                    products=None if calls is None else calls * weight.numel(),
                )
            )
    return Coverage(
        matrices=tuple(matrices),
        ideal=tuple(_ideal_weights(circuit)),
        digital=tuple(
            DigitalProduct(operation=op, operands=what, products=n)
            for (op, what), n in sorted(counts.items(), key=lambda item: -item[1])
        ),
        silent=tuple(silent_layers(circuit)),
        measured=vectors is not None,
    )


def _ideal_weights(circuit: nn.Module) -> list[IdealWeight]:
    on_arrays = {
        id(layer.parameter(name))
        for layer in crossbar_layers(circuit).values()
        for name in layer.weight_names
        if name in layer._parameters
    }
    out = []
    for path, module in circuit.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim < 2 or id(parameter) in on_arrays:
                continue
            out.append(
                IdealWeight(
                    name=f"{path}.{name}".lstrip("."),
                    size=parameter.numel(),
                    reason=_reason(module),
                )
            )
    return out


def _reason(module: nn.Module) -> str:
    kind = type(module).__name__
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return f"{kind}: a table, no product"
    if isinstance(module, CrossbarLayer):
        return f"{kind}: no weight matrix of the layer"
    if next(module.children(), None) is not None:
        return f"a parameter of {kind} itself, outside any layer"
    return f"{kind}: left ideal by `exclude` or `config`, or no registered layer type"
