"""Weights on passive arrays: the configuration, pairs of devices, tiles, mapped networks."""

from xbarspice.mapping.config import ArrayConfig
from xbarspice.mapping.network import (
    Block,
    Layer,
    MappedNetwork,
    calibrate_inputs,
    layer_scales,
    map_network,
    mapping_settings,
    pair_conductances,
    pair_weights,
    with_range,
)
from xbarspice.mapping.tiling import Tiling

__all__ = [
    "ArrayConfig",
    "Block",
    "Layer",
    "MappedNetwork",
    "Tiling",
    "calibrate_inputs",
    "layer_scales",
    "map_network",
    "mapping_settings",
    "pair_conductances",
    "pair_weights",
    "with_range",
]
