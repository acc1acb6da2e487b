"""The original of a converted model: its outputs on the calibration inputs, for the import gate."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule, first_line
from xbarspice.importers.model import double_copy, fixed_batch, run_in_groups
from xbarspice.nn.arguments import Arguments, as_arguments, map_tensors, tensors_in

__all__ = [
    "Origin",
    "arguments_of",
    "circuit_hash",
    "classes",
    "decisions_of",
    "origin_of",
    "outputs_in_float64",
    "outputs_of",
    "remember",
    "weights_hash",
]

ATTRIBUTE = "_xbarspice_origin"


@dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """What is kept of the original model.

    Attributes:
        inputs: arguments it was run on (`arguments.Arguments` where some have names).
        outputs: its tensors for them, in evaluation mode and float64.
        weights_sha256: hash of its parameters and buffers.
        converted_sha256: the same of the converted model when it was made.
        rounded: whether batch normalisation was folded into weights of less than double precision,
            so that the converted model has other, rounded weights.
    """

    inputs: tuple[Any, ...]
    outputs: tuple[Tensor, ...]
    weights_sha256: str
    converted_sha256: str
    rounded: bool


def remember(circuit: nn.Module, model: nn.Module, inputs: tuple[Any, ...], *, folded: int) -> None:
    """Keep the original's outputs on these inputs with the converted model.

    `folded`: how many batch normalisations were folded into weights.
    """
    double = all(p.dtype == torch.float64 for p in model.parameters() if p.is_floating_point())
    origin = Origin(
        inputs=inputs,
        outputs=outputs_in_float64(model, inputs),
        weights_sha256=weights_hash(model),
        converted_sha256=weights_hash(circuit),
        rounded=folded > 0 and not double,
    )
    object.__setattr__(circuit, ATTRIBUTE, origin)


def origin_of(circuit: nn.Module) -> Origin | None:
    """What `convert(calibrate=...)` kept; None without calibration."""
    return circuit.__dict__.get(ATTRIBUTE)


def outputs_in_float64(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """`outputs_of` a copy of the model in double precision, with what its forward creates.

    Raises:
        InputError: the forward asks for another precision, so that it cannot run in double.
    """
    double = double_copy(model)
    with _default_float64():
        try:
            return outputs_of(double, _as_float64(inputs), proven=False)
        except RuntimeError as error:
            if "dtype" not in str(error) and "scalar type" not in str(error):
                raise
            raise broken_rule(
                "a model must run in double precision, in which it is compared",
                first_line(error),
                "Take the precision in its forward from a tensor, as in x.to(h.dtype).",
            ) from error


@contextlib.contextmanager
def _default_float64() -> Iterator[None]:
    """New tensors are double unless their maker says otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _as_float64(value: Any) -> Any:
    """Floating-point tensors as float64, inside tuples, lists and dictionaries too."""

    def double(part: Any) -> Any:
        is_float = isinstance(part, Tensor) and part.is_floating_point()
        return part.double() if is_float else part

    return map_tensors(value, double)


def outputs_of(
    model: nn.Module, inputs: tuple[Any, ...], *, proven: bool = True, gradients: bool = False
) -> tuple[Tensor, ...]:
    """All tensors that a model returns in evaluation, without fused evaluation.

    A graph that was exported for a fixed number of points is fed in groups of it, the last one
    padded and its outputs cut; see `importers.model.run_in_groups`.

    Args:
        model: any module.
        inputs: its arguments.
        proven: whether it is known that such a graph does not mix its points.
        gradients: whether they are recorded.

    Raises:
        InputError: it returns no floating-point tensor, or something that is not looked into.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.set_grad_enabled(gradients):
            value = _call(model, inputs, proven)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes.items():
            module.training = training
    out = tuple(t if gradients else t.detach() for t in flatten(value))
    if not any(t.is_floating_point() for t in out):
        raise broken_rule(
            "a model must return floating-point tensors to compare",
            type(value).__name__,
            "Return its scores, not only its decisions.",
        )
    return out


def _call(model: nn.Module, inputs: tuple[Any, ...], proven: bool) -> Any:
    batch = fixed_batch(model)
    keywords = getattr(inputs, "keywords", {})
    if batch is None or keywords or not all(isinstance(value, Tensor) for value in inputs):
        return model(*inputs, **keywords)

    def call(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(flatten(model(*tensors)))

    return run_in_groups(call, inputs, batch, proven=proven)


def arguments_of(model: nn.Module, x: Any) -> Arguments:
    """Arguments of a model; arrays and lists of numbers become tensors of its weights' type.

    Args:
        model: whose they are.
        x: as of `as_arguments`.

    Raises:
        InputError: a number is not finite, or there are no points.
    """
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    dtype = parameter.dtype if parameter is not None else torch.float32

    def as_tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.as_tensor(value)
            return value.to(dtype) if value.is_floating_point() else value
        return value

    def whole(value: Any) -> Any:
        is_numbers = isinstance(value, list) and not any(isinstance(v, Tensor) for v in value)
        return np.asarray(value) if is_numbers else value

    x = as_arguments(x)
    x = Arguments(map(whole, x), {k: whole(v) for k, v in x.keywords.items()})
    arguments = map_tensors(x, as_tensor)
    if any(t.ndim and not len(t) for t in tensors_in(arguments)):
        raise broken_rule(
            "inputs must hold at least one point",
            [tuple(t.shape) for t in tensors_in(arguments)],
            "Of none nothing can be said; check how they were selected.",
        )
    if any(t.is_floating_point() and not t.isfinite().all() for t in tensors_in(arguments)):
        raise broken_rule("inputs must be finite", "NaN or infinity", "Clean the data.")
    return arguments


def classes(outputs: tuple[Tensor, ...], labels: Any = None) -> Tensor | None:
    """Decisions (points,) of a model that classifies, or None.

    Its first floating-point output is (points, classes >= 2), or one number a point where the
    labels are 0 and 1 (and -1 for unknown ones): it is then a logit, decided at 0.

    Raises:
        InputError: a label is no class of the model.
    """
    scores = next((t for t in outputs if t.is_floating_point()), None)
    if scores is None or scores.ndim > 2 or not scores.ndim:
        return None
    count = scores.shape[1] if scores.ndim == 2 and scores.shape[1] > 1 else 2
    if labels is not None and len(labels) and not -1 <= np.min(labels) <= np.max(labels) < count:
        raise broken_rule(
            f"class labels must lie below {count}, the model's classes (-1: not known)",
            int(np.max(np.abs(labels))),
            "Number the classes from 0, or leave the labels out.",
        )
    if scores.ndim == 2 and scores.shape[1] > 1:
        return scores.argmax(dim=1)
    return None if labels is None else (scores.reshape(-1) > 0).long()


def decisions_of(outputs: tuple[Tensor, ...], labels: Any = None) -> np.ndarray | None:
    """`classes` as an array."""
    decided = classes(outputs, labels)
    return None if decided is None else decided.cpu().numpy()


def flatten(value: Any) -> list[Tensor]:
    """The tensors in an output of any form, in order.

    Raises:
        InputError: an object that is not looked into.
    """
    if isinstance(value, Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        value = [getattr(value, f.name) for f in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in flatten(part)]
    if value is None or isinstance(value, bool | int | float | str):
        return []
    raise broken_rule(
        "a model must return tensors, or tuples, lists, dictionaries or dataclasses of them",
        type(value).__name__,
        "Wrap the model in a module that returns the tensors.",
    )


def circuit_hash(circuit: nn.Module) -> str:
    """SHA-256 of a model on arrays: its modules and their code, weights and how they stand, seeds.

    Functions that a module calls are not looked into.
    """
    digest = hashlib.sha256(weights_hash(circuit).encode())
    for name, module in circuit.named_modules():
        kind = type(module)
        code = getattr(module, "code", None) or _code_text(getattr(kind.forward, "__code__", None))
        text = f"{name} {kind.__module__}.{kind.__qualname__} {module.extra_repr()} {code}"
        digest.update(text.encode())
    for module in circuit.modules():
        for matrix in getattr(module, "matrices", {}).values():
            text = f"{matrix.name} {matrix.bias_line} {matrix.seed} {matrix.transfer}"
            digest.update(f"{text} {matrix.config}".encode())
            if matrix.orders:
                digest.update(str(sorted(matrix.orders.items())).encode())
            for place, wires in sorted(matrix.wires.items()):
                for name, R in sorted(wires.items()):
                    digest.update(f"{place} {name} {np.shape(R)}".encode())
                    digest.update(np.asarray(R, "<f8").tobytes())
            if matrix.correction is not None:
                for part in (matrix.correction.gain, matrix.correction.offset):
                    digest.update(part.double().cpu().numpy().tobytes())
            if matrix.conductances is not None:
                digest.update(matrix.conductances.double().cpu().numpy().tobytes())
    return digest.hexdigest()


def _code_text(code: Any) -> str:
    """What a function does, the same in every process; empty of none."""
    if not isinstance(code, CodeType):
        return ""
    consts = [_code_text(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {consts}"


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers, with their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)  # a counter has no axis
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
