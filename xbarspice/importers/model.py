"""A trained model that was read from a file, with its inputs and its original's own answers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from xbarspice.core.errors import broken_rule

__all__ = [
    "ImportedModel",
    "TensorSpec",
    "common_batch",
    "fixed_batch",
    "flat_tensors",
    "pad_group",
    "run_in_groups",
]

Tensors = tuple[torch.Tensor, ...]
Answer = torch.Tensor | Tensors


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """What is known of one input.

    Attributes:
        name: its name in the file.
        shape: sizes; a text names a size that may vary.
        dtype: its type in torch's words, for example "float32".
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str


def common_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """First size of all inputs where it is one fixed number, else None."""
    sizes = {spec.shape[0] if spec.shape else None for spec in inputs}
    batch = sizes.pop() if len(sizes) == 1 else None
    return batch if isinstance(batch, int) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class ImportedModel:
    """A trained model as a torch module, and where it came from.

    Attributes:
        module: the model in evaluation mode, its parameters as the file stores them.
        kind: "pt2", "onnx", "safetensors", "state_dict" or "perceptron".
        sha256: of the file's bytes (with external data: followed by those files' bytes, in the
            order of their names).
        batch: points that one call takes, where the file fixes that number; else None.
        inputs: what the file says of the inputs; empty where it says nothing.
        library: what imported it, with version.
        notes: what the import changed or could not see, one sentence each.
        original: computes the original's own outputs from one batch of inputs; None where the
            module itself is all there is.
        original_library: what computes them, with version.
    """

    module: torch.nn.Module
    kind: str
    sha256: str
    batch: int | None = None
    inputs: tuple[TensorSpec, ...] = ()
    library: str
    notes: tuple[str, ...] = ()
    original: Callable[[Tensors], Tensors] | None = field(default=None, repr=False)
    original_library: str | None = None

    def run(self, x: Any, module: torch.nn.Module | None = None) -> Answer:
        """Outputs of the module, without gradients.

        A model with a fixed batch is fed in groups of that size: the last group is pad_group with
        copies of its last point, whose outputs are cut off. That is only right where points do
        not see each other, which one group in reversed order proves.

        Args:
            x: inputs, points first: an array or tensor; a tuple of them for several inputs, or
                a mapping from their names.
            module: a copy of the module to run in its place, for example on arrays.

        Returns:
            A tensor, or a tuple of tensors where there are several outputs.

        Raises:
            InputError: the inputs do not fit the model, or a model of fixed batch mixes points.
        """
        runner = module or self.module
        dtype = next((p.dtype for p in _state(runner) if p.is_floating_point()), None)

        def call(tensors: Tensors) -> Tensors:
            with torch.no_grad():
                return flat_tensors(runner(*tensors))

        return _single(run_in_groups(call, self.tensors(x, dtype), self.batch))

    def reference(self, x: Any) -> Answer:
        """Outputs of the original, in its own precision; where possible by other code.

        That is ONNX Runtime for ONNX, NumPy for a perceptron, an untouched copy of the exported
        program for a ``.pt2``, and the module itself for weights with a factory.

        Args:
            x: as for `run`.
        """
        if self.original is None:
            return self.run(x)
        return _single(run_in_groups(self.original, self.tensors(x, None), self.batch))

    def in_double(self) -> torch.nn.Module:
        """A copy of the module that computes in float64, for comparisons beyond float32.

        Exported graphs name types (of zeros that they make, of casts); those that are the type
        of the parameters become float64 with them.
        """
        return double_copy(self.module)

    def tensors(self, x: Any, dtype: torch.dtype | None) -> Tensors:
        """Inputs as tensors of the model's types; floating ones as `dtype` where given.

        Args:
            x: as for `run`.
            dtype: of floating-point inputs; None takes what the file says.

        Raises:
            InputError: number, names, types or values do not fit the model.
        """
        if isinstance(x, Mapping):
            names = [spec.name for spec in self.inputs]
            if set(x) != set(names):
                raise broken_rule(
                    f"the inputs must be named {names}", sorted(map(str, x)), "Rename them."
                )
            x = tuple(x[name] for name in names)
        parts = x if isinstance(x, tuple) else (x,)
        if self.inputs and len(parts) != len(self.inputs):
            raise broken_rule(
                f"the model takes {len(self.inputs)} inputs",
                len(parts),
                f"Pass a tuple of {', '.join(spec.name for spec in self.inputs)}.",
            )
        specs: Sequence[TensorSpec | None] = self.inputs or [None] * len(parts)
        out = tuple(_tensor(part, spec, dtype) for part, spec in zip(parts, specs, strict=True))
        for tensor, spec in zip(out, self.inputs, strict=False):
            _check_shape(tensor, spec, self.batch)
        return out


def fixed_batch(module: torch.nn.Module) -> int | None:
    """First size of all inputs of a graph that was exported for that size; else None.

    Such a size may stand in it as a plain number, so that it must stay as it is.
    """
    if not isinstance(module, torch.fx.GraphModule):
        return None
    values = [n.meta.get("val") for n in module.graph.nodes if n.op == "placeholder"]
    first = [v.shape[0] for v in values if isinstance(v, torch.Tensor) and v.ndim]
    fixed = [size for size in first if isinstance(size, int)]
    return fixed[0] if fixed and len(fixed) == len(first) and len(set(fixed)) == 1 else None


def run_in_groups(
    call: Callable[[Tensors], Tensors],
    tensors: Tensors,
    batch: int | None,
    *,
    proven: bool = False,
) -> Tensors:
    """Outputs of a call that takes `batch` points at a time; see `ImportedModel.run`.

    Args:
        call: gives one row a point.
        tensors: inputs, points first.
        batch: None is any number.
        proven: that points do not see each other is known, and not looked at again.

    Raises:
        InputError: the tensors hold different numbers of points, or the call mixes points.
    """
    sizes = {t.shape[0] for t in tensors if t.ndim}
    if batch is None or sizes == {batch}:
        return call(tensors)
    if len(sizes) != 1 or not (points := sizes.pop()):
        raise broken_rule(
            "inputs must hold the same number of points, at least one",
            [tuple(t.shape) for t in tensors],
            "Stack the points along the first axis.",
        )
    outputs, first = [], None
    for start in range(0, points, batch):
        group = tuple(pad_group(t[start : start + batch], batch) for t in tensors)
        outputs.append(_check_outputs(call(group), batch))
        first = first or (group, outputs[0])
    if first is not None and batch > 1 and not proven:
        _check_independent(call, *first)
    return tuple(torch.cat(parts)[:points] for parts in zip(*outputs, strict=True))


def double_copy(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of any module that computes in float64; see `ImportedModel.in_double`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, of copying its trees
        out = copy.deepcopy(module)
    dtypes = {t.dtype for t in _state(out) if t.is_floating_point()}
    out = out.double()
    if isinstance(out, torch.fx.GraphModule):
        for node in out.graph.nodes:
            arguments = (node.args, node.kwargs)
            node.args, node.kwargs = pytree.tree_map(
                lambda value: torch.float64 if value in dtypes else value,
                arguments,
                is_leaf=lambda value: isinstance(value, (torch.dtype, torch.fx.Node)),
            )
        out.recompile()
    return out


def _state(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def flat_tensors(outputs: Any) -> Tensors:
    """All tensors of a model's return value, in the order of its structure.

    Raises:
        InputError: the model returns something that is no tensor.
    """
    leaves = [leaf for leaf in pytree.tree_leaves(outputs) if leaf is not None]
    if not leaves or not all(isinstance(leaf, torch.Tensor) for leaf in leaves):
        raise broken_rule(
            "a model must return tensors",
            sorted({type(leaf).__name__ for leaf in leaves}),
            "Wrap the model so that it returns its tensors only.",
        )
    return tuple(leaves)


def _single(outputs: Tensors) -> Answer:
    return outputs[0] if len(outputs) == 1 else outputs


def pad_group(part: torch.Tensor, batch: int) -> torch.Tensor:
    """At most `batch` points filled up with copies of the last one."""
    short = batch - part.shape[0]
    return torch.cat([part, part[-1:].expand(short, *part.shape[1:])]) if short else part


def _check_outputs(outputs: Tensors, batch: int) -> Tensors:
    for output in outputs:
        if not output.ndim or output.shape[0] != batch:
            raise broken_rule(
                f"outputs of a model with a fixed batch of {batch} must hold one row a point",
                f"shape {tuple(output.shape)}",
                f"Pass exactly {batch} points, or export the model with a dynamic batch.",
            )
    return outputs


def _check_independent(
    call: Callable[[Tensors], Tensors], group: Tensors, outputs: Tensors
) -> None:
    """Reversed points must give reversed answers, or grouping them would change them."""
    turned = call(tuple(t.flip(0) for t in group))
    for one, reversed_answer in zip(outputs, turned, strict=True):
        scale = float(one.double().abs().max()) if one.numel() else 0.0
        worst = (
            float((one.double() - reversed_answer.flip(0).double()).abs().max())
            if one.numel()
            else 0.0
        )
        if not worst <= 1e-4 * scale:
            raise broken_rule(
                "points must not see each other where a fixed batch is fed in groups",
                f"answers that differ by {worst:.2g} when the points change places",
                f"Pass exactly {len(one)} points, or export the model with a dynamic batch.",
            )


def _tensor(value: Any, spec: TensorSpec | None, dtype: torch.dtype | None) -> torch.Tensor:
    try:
        tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.array(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise broken_rule(
            "inputs must be arrays of numbers", type(value).__name__, f"Convert them ({error})."
        ) from error
    label = f"input `{spec.name}`" if spec else "an input"
    if not bool(torch.isfinite(tensor).all()):
        raise broken_rule(f"{label} must be finite", "NaN or infinity", "Check the data.")
    stored_type = getattr(torch, spec.dtype) if spec else None
    if stored_type is None:
        return tensor.to(dtype) if tensor.is_floating_point() and dtype else tensor
    if stored_type.is_floating_point:
        return tensor.to(dtype or stored_type)
    converted = tensor.to(stored_type)
    if not torch.equal(converted.to(tensor.dtype), tensor):
        raise broken_rule(
            f"{label} must be of type {spec.dtype if spec else stored_type}",
            f"{tensor.dtype} with values that this type cannot hold",
            "Check the data.",
        )
    return converted


def _check_shape(tensor: torch.Tensor, spec: TensorSpec, batch: int | None) -> None:
    """Compare all fixed sizes, but the first where groups are made of it."""
    first = 0 if batch is None else 1
    fits = tensor.ndim == len(spec.shape) and all(
        not isinstance(size, int) or have == size
        for have, size in list(zip(tensor.shape, spec.shape, strict=True))[first:]
    )
    if not fits:
        shape = ", ".join(map(str, ("points", *spec.shape[1:]) if first else spec.shape))
        raise broken_rule(
            f"input `{spec.name}` must have the shape ({shape})",
            tuple(tensor.shape),
            "Reshape the inputs as the model was exported.",
        )
