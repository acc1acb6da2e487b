"""Designs: how a model is put on arrays, by named choices of encoding and placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import Tensor, nn

from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.values import number_of
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import convert
from xbarspice.nn.layers import crossbar_layers, matrices_of
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.origin import outputs_of
from xbarspice.nn.pairs import place
from xbarspice.nn.ranges import calibrate_converters, set_range
from xbarspice.nn.through import observe
from xbarspice.training.designs_inputs import InputMap, reexpress_inputs
from xbarspice.variability import BiasingSchemeEffect, Compose, Variation
from xbarspice.variability.bse import ORDERS

__all__ = ["CHOICES", "Design", "build", "choice_names", "usual_choices", "value_of"]

CHOICES: Mapping[str, str] = {
    "input_range": "(low, high) of the model's inputs; its first layer is expressed anew",
    "centring": '"none", or "middle": every layer drives its inputs about their middle',
    "conductance_range": "(G_min, G_max), S",
    "write_order": "`order` of the drift by later writes",
    "x_quantile": "share of a layer's inputs that `x_scale` covers, 0.5 to 1",
    "x_scale": "factor on the calibrated `x_scale`: a number, or a dictionary by matrix",
}
"""Choices beside the fields of `ArrayConfig`, by name."""
NEUTRAL: Mapping[str, Any] = {
    "input_range": None,
    "centring": "none",
    "x_quantile": 1.0,
    "x_scale": 1.0,
}
"""What leaves a model as it is."""
LAYERS = 6
"""Matrices of which each alone has its voltages halved, at most."""
NOT_CHOSEN = ("x_scale", "x_centre", "variation", "dtype", "recompute")
"""Fields of `ArrayConfig` that come from the data, are not of the design, or change no answer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """A model on arrays by some choices.

    Attributes:
        values: choices that differ from the base, by name.
        circuit: the model on arrays.
        encode: what its inputs need.
    """

    values: Mapping[str, Any]
    circuit: nn.Module = field(repr=False)
    encode: InputMap

    @property
    def shapes(self) -> list[tuple[str | int, ...]]:
        """Name and shape of all stacks of arrays, which random numbers are drawn for."""
        out = []
        for layer in crossbar_layers(self.circuit).values():
            for name, weight, bias in layer.weight_matrices():
                matrix = layer.matrices[name]
                placed = place(weight, matrix.line(bias), matrix.config)
                array = matrix.layout.name_of(matrix)
                out += [(array, *G.shape) for G in matrix.layout.physical(matrix, placed)]
        return out


def choice_names() -> list[str]:
    """All names of choices."""
    of_config = [f.name for f in fields(ArrayConfig) if f.name not in NOT_CHOSEN]
    return [*CHOICES, *of_config]


def value_of(name: str, config: ArrayConfig) -> Any:
    """What a choice is in the base design."""
    if name in NEUTRAL:
        return NEUTRAL[name]
    if name == "conductance_range":
        return config.G_min, config.G_max
    if name == "write_order":
        orders = [term.order for term in _terms(config.variation)]
        return orders[0] or "rows" if orders else "rows"
    return getattr(config, name)


def usual_choices(
    model: nn.Module, config: ArrayConfig, x: Tensor
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Values to try of every choice that this model can have, and why others cannot be had.

    Args:
        model: a plain torch module.
        config: the base.
        x: inputs that the ranges are taken from, (points, ...).

    Returns:
        Values by choice; and reasons by ``"choice = value"``.
    """
    low, high = config.G_min, config.G_max
    middle = (low + high) / 2
    names = [matrix.name for matrix in matrices_of(build(model, config, x, {}).circuit)]
    each = [{name: 2.0} for name in names] if 1 < len(names) <= LAYERS else []
    usual: dict[str, list[Any]] = {
        "input_range": [(-1.0, 1.0)] if float(x.min()) >= 0 else [],
        "centring": ["middle"],
        "bias": ["array", "digital"],
        "placement": ["low", "high", "middle"],
        "w_scale": ["matrix", "output"],
        "conductance_range": [(low, middle), (middle, high)],
        "write_order": list(ORDERS),
        "x_scale": [0.5, 2.0, *each],
        "cells": [2],
    }
    out: dict[str, list[Any]] = {}
    refused: dict[str, str] = {}
    for name, values in usual.items():
        for value in values:
            if value == value_of(name, config):
                continue
            try:
                build(model, config, x, {name: value})
            except InputError as error:
                refused[f"{name} = {value}"] = str(error)
            else:
                out.setdefault(name, []).append(value)
    return out, refused


def build(model: nn.Module, config: ArrayConfig, x: Tensor, values: Mapping[str, Any]) -> Design:
    """Put a model on arrays by choices.

    Args:
        model: a plain torch module.
        config: the base.
        x: inputs that the ranges are taken from, (points, ...).
        values: choices that differ from the base.

    Raises:
        InputError: a value is none of its choice, or cannot be had with this model.
    """
    encode = InputMap()
    special = {name: value for name, value in values.items() if name in CHOICES}
    changes = {name: value for name, value in values.items() if name not in CHOICES}
    if (to := special.get("input_range")) is not None:
        model, encode = reexpress_inputs(model, x, _two("input_range", to))
    if (both := special.get("conductance_range")) is not None:
        changes["G_min"], changes["G_max"] = _two("conductance_range", both)
    if "write_order" in special:
        changes["variation"] = _reordered(config.variation, special["write_order"])
    driven = encode.apply(x)
    quantile = number_of("x_quantile", special.get("x_quantile", 1.0))
    circuit = convert(model, replace(config, **changes), calibrate=driven, quantile=quantile)
    _centre(circuit, driven, special.get("centring", "none"))
    _scale(circuit, special.get("x_scale", 1.0))
    calibrate_converters(circuit, (driven,))
    return Design(values=dict(values), circuit=circuit.eval(), encode=encode)


def _two(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise broken_rule(f"`{name}` must be two numbers", repr(value), "Give (low, high).")
    return number_of(name, value[0]), number_of(name, value[1])


def _terms(variation: Variation | None) -> list[BiasingSchemeEffect]:
    """The drifts by later writes."""
    if isinstance(variation, Compose):
        return [term for part in variation.parts for term in _terms(part)]
    return [variation] if isinstance(variation, BiasingSchemeEffect) else []


def _reordered(variation: Variation | None, order: Any) -> Variation:
    """The same errors after writing in another order."""
    if variation is None or not _terms(variation):
        raise broken_rule(
            "a write order makes a difference where later writes let devices drift",
            "a variation without the term `bse`",
            "Leave `write_order` out, or use xb.variability.drolet_2023().",
        )
    if isinstance(variation, Compose):
        parts = variation.parts
        return Compose([_reordered(part, order) if _terms(part) else part for part in parts])
    (term,) = _terms(variation)
    return replace(term, order=order)


def _centre(circuit: nn.Module, x: Tensor, centring: Any) -> None:
    """Drive every layer's inputs about their middle, over its whole range."""
    if centring not in ("none", "middle"):
        raise broken_rule('`centring` must be "none" or "middle"', repr(centring), "Use one.")
    if centring == "none":
        return
    ends: dict[int, tuple[float, float]] = {}

    def see(matrix: ArrayMatrix, inputs: Tensor) -> None:
        low, high = ends.get(id(matrix), (float("inf"), -float("inf")))
        shifted = inputs.detach() + matrix.config.x_centre
        ends[id(matrix)] = min(low, float(shifted.min())), max(high, float(shifted.max()))

    with observe(see):
        outputs_of(circuit, (x,))
    for matrix in matrices_of(circuit):
        if id(matrix) in ends:
            low, high = ends[id(matrix)]
            matrix.change(x_centre=(low + high) / 2)
            set_range(matrix, (high - low) / 2 or 1.0)


def _scale(circuit: nn.Module, factors: Any) -> None:
    """Widen or narrow the input range of layers."""
    matrices = {matrix.name: matrix for matrix in matrices_of(circuit)}
    by_name = factors if isinstance(factors, Mapping) else dict.fromkeys(matrices, factors)
    for name, value in by_name.items():
        factor = number_of("x_scale", value)
        if name not in matrices or not 0 < factor < float("inf"):
            raise broken_rule(
                f"`x_scale` must be a factor > 0, or one for some of {list(matrices)}",
                f"{name}: {value!r}",
                "2 halves the voltages of a layer.",
            )
        set_range(matrices[name], matrices[name].config.x_scale * factor)
