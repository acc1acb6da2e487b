"""A configuration and a model on arrays: what is stated of it, and what it was made with."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from xbarspice.config import ARRAY, RunConfig, changes_of
from xbarspice.config.arrays import device_settings
from xbarspice.deployment.notes import own_wires
from xbarspice.mapping import ArrayConfig
from xbarspice.nn import crossbar_layers
from xbarspice.nn.convert import fits
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.ranges import calibrate_converters

__all__ = ["circuit_settings", "state_arrays", "state_ranges"]


def state_arrays(circuit: nn.Module, run: RunConfig) -> None:
    """Put every value of `[array]` that was stated in place of those of the circuit's arrays."""
    for matrix in matrices_of(circuit):
        matrix.change(**changes_of(run.array, matrix.config.model))


def state_ranges(circuit: nn.Module, arguments: tuple[Any, ...], run: RunConfig) -> None:
    """Put the ranges that the configuration states in place of those of the inputs.

    Args:
        circuit: a model on arrays that was calibrated on `arguments`.
        arguments: its inputs.
        run: the configuration.
    """
    layers = {
        name: (layer, ranges)
        for name, layer in crossbar_layers(circuit).items()
        if (ranges := _stated_ranges(name, run))
    }
    for name in ("x_scale", "adc_range"):
        for layer, ranges in layers.values():
            for matrix in layer.matrices.values():
                if name in ranges:
                    matrix.config = dataclasses.replace(matrix.config, **{name: ranges[name]})
                    matrix.ranges.reset()
        if name == "x_scale" and any(name in ranges for _, ranges in layers.values()):
            calibrate_converters(circuit, arguments)


def _stated_ranges(layer: str, run: RunConfig) -> dict[str, float]:
    """What the configuration states of the ranges of a layer, under its name or its owner's."""
    parts = layer.split(".")
    names = [".".join(parts[:k]) for k in range(len(parts), 0, -1)]
    patterns = (s for p, s in run.layers.items() if any(fits(name, p) for name in names))
    of_layer = next(patterns, None)
    sections = [run.mapping, run.array, *([of_layer] if of_layer else [])]
    out: dict[str, float] = {}
    for section in sections:
        out |= section.model_dump(include={"x_scale", "adc_range"} & section.model_fields_set)
    return {name: value for name, value in out.items() if value is not None}


def circuit_settings(circuit: nn.Module, run: RunConfig) -> dict[str, Any]:
    """`[mapping]`, `[array]` and `[layers]` of a model on arrays.

    With the same model and inputs they make the same arrays again. Ranges that the inputs set are
    left out, stated ones are said. Resistances that arrays have of their own are left out, too:
    stated, they would be those of all arrays.
    """
    own = own_wires(circuit)
    layers: dict[str, dict[str, Any]] = {}
    for name, layer in crossbar_layers(circuit).items():
        owner = next((n for n in layers if name.startswith(f"{n}." if n else "")), name)
        for matrix in layer.matrices.values():
            values = layers.setdefault(owner, _plain(matrix.config) | _stated_ranges(name, run))
            for wire in own.get(matrix.name, ()):
                values.pop(wire, None)
    first, *others = layers.values()
    common = {k: v for k, v in first.items() if all(k in o and o[k] == v for o in others)}
    device = {"device", "parameters"}
    if not device <= set(common):
        common = {k: v for k, v in common.items() if k not in device}
    differing = {
        name: {k: v for k, v in values.items() if k not in common}
        for name, values in layers.items()
    }
    return {
        "mapping": {k: v for k, v in common.items() if k not in (*ARRAY, "parameters")},
        "array": {k: v for k, v in common.items() if k in (*ARRAY, "parameters")},
        **({"layers": differing} if any(differing.values()) else {}),
    }


def _plain(config: ArrayConfig) -> dict[str, Any]:
    """An `ArrayConfig` in the words of a configuration, without its ranges and variation."""
    apart = {"x_scale", "adc_range", "variation", "device"}
    names = [f.name for f in dataclasses.fields(config) if f.name not in apart]
    return {name: getattr(config, name) for name in names} | device_settings(config.model)
