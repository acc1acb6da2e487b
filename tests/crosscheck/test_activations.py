"""The three forms of every activation give the same numbers; the SPICE form in real ngspice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers import PATIENCE
from xbarspice.core.errors import InputError
from xbarspice.devices.numbers import decimal
from xbarspice.engines.ngspice.probe import ngspice_info
from xbarspice.engines.ngspice.runner import control_section, run_deck
from xbarspice.mapping import activations

RANDOM = np.random.default_rng(0)
Z = np.concatenate(
    [RANDOM.normal(scale=4, size=200), RANDOM.uniform(-50, 50, 100), [0.0, -90.0, 90.0, 6.0]]
)


def spice_values(activation, z):
    """What B sources give for arguments z, V, in one operating point."""
    lines = ["* activations", ".options gmin=1e-18 reltol=1e-9 abstol=1e-18 vntol=1e-15"]
    for k, volts in enumerate(z):
        lines.append(f"Vz{k} z{k} 0 {decimal(volts)}")
        lines.append(f"Bh{k} h{k} 0 v={activation.expression(f'v(z{k})')}")
    lines += [".save all", *control_section("op")]
    command = [ngspice_info(None).path, "-n", "-b"]
    raw = run_deck(command, lines, points=1, klu=False, timeout=PATIENCE).raw
    return raw.take([f"v(h{k})" for k in range(len(z))])[0]


@pytest.mark.parametrize("name", activations.names())
def test_the_forms_of_an_activation_are_equal(name):
    activation = activations.get(name)
    numpy = activation.numpy(Z)
    module = activation.module()
    assert activations.of_module(module) is activation
    np.testing.assert_allclose(module(torch.tensor(Z)).numpy(), numpy, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(spice_values(activation, Z), numpy, rtol=1e-12, atol=1e-15)
    assert np.ptp(numpy) > 0.9


def test_a_module_with_other_options_is_no_registered_activation():
    assert activations.of_module(torch.nn.ReLU(inplace=True)) is activations.get("relu")
    assert activations.of_module(torch.nn.LeakyReLU(0.2)) is None
    assert activations.of_module(torch.nn.GELU()) is None


def test_an_unknown_activation_is_refused_by_name():
    with pytest.raises(InputError, match=r"'swish'.*trained with"):
        activations.get("swish")
