"""Every layer type that is shipped holds the kit for torch layers on arrays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.unit.nn.test_convert import LAYERS, data, seed_parameters
from xbarspice.nn.graph import InProjection
from xbarspice.testing import check_layer


def in_projection():
    layer = InProjection()
    layer.in_proj_weight = nn.Parameter(torch.empty(12, 4))
    layer.in_proj_bias = nn.Parameter(torch.empty(12))
    return layer


TYPES = {
    torch_type: cls
    for torch_type, cls in xb.nn.layer_types().items()
    if cls.__module__.startswith("xbarspice.")
}
CASES = {
    **{name: case for name, case in LAYERS.items() if type(case[0]) in TYPES},
    "transposed 3d": (nn.ConvTranspose3d(2, 3, 2, stride=2), (data(2, 2, 3, 2, 3),)),
    "projections of attention": (in_projection(), (data(2, 5, 4),)),
}


@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "_"))
def test_layer_holds_every_rule_of_the_kit(name):
    layer, inputs = CASES[name]
    check_layer(TYPES[type(layer)], seed_parameters(layer), inputs)


def test_every_shipped_layer_type_is_held_to_the_kit():
    assert set(TYPES) == {type(layer) for layer, _ in CASES.values()}
