"""The kits find what is wrong: one defect a test, named by the rule that it breaks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.engines.nodal.engine import NodalEngine
from xbarspice.netlist import dialects
from xbarspice.netlist.dialects.xyce import Xyce
from xbarspice.testing import (
    Rules,
    check_device,
    check_dialect,
    check_engine,
    check_layer,
    check_variation,
)
from xbarspice.testing.engine_cases import CASES


@dataclass(frozen=True, kw_only=True)
class Cubic(xb.devices.Device):
    """I = G V (1 + c V^2), scaled at the read voltage."""

    name: ClassVar[str] = "my_cubic"
    source: ClassVar[str] = "a test"
    c: float = 0.5

    def _scale(self):
        return 1 + self.c * 0.04

    def current(self, V, G):
        return G * V * (1 + self.c * V * V) / self._scale()

    def derivative(self, V, G):
        return G * (1 + 3 * self.c * V * V) / self._scale()

    def spice_parameters(self, G):
        return {"g": G / self._scale(), "c": self.c + 0 * G}

    def spice_body(self):
        return "B1 p n i={g}*v(p,n)*(1+{c}*v(p,n)*v(p,n))"

    def verilog_a(self):
        return """`include "disciplines.vams"
module xb_my_cubic(p, n);
  inout p, n;
  electrical p, n;
  (* type="instance" *) parameter real g = 1e-4 from [0:inf);
  (* type="instance" *) parameter real c = 0.5 from [0:inf);
  analog I(p, n) <+ g * V(p, n) * (1 + c * V(p, n) * V(p, n));
endmodule
"""


class Leak(Cubic):
    def current(self, V, G):
        return super().current(V, G) + 1e-12


class AbsentConducts(Cubic):
    def current(self, V, G):
        return super().current(V, G + 1e-9)


class Unscaled(Cubic):
    def _scale(self):
        return 1.0


class NotOdd(Cubic):
    def current(self, V, G):
        return G * V * (1 + self.c * V) / (1 + 0.2 * self.c)


class OtherSlope(Cubic):
    def derivative(self, V, G):
        return 1.001 * super().derivative(V, G)


class NumPyAlone(Cubic):
    def current(self, V, G):
        return np.asarray(super().current(V, G))


class Detached(Cubic):
    def current(self, V, G):
        out = super().current(V, G)
        return out.detach() + 0 * G if hasattr(out, "detach") else out


class OtherText(Cubic):
    def spice_body(self):
        return super().spice_body().replace("1+", "1.0001+")


class BrokenModule(Cubic):
    def verilog_a(self):
        return super().verilog_a().replace("<+", "=")


def test_a_sound_device_holds_and_says_which_rules():
    held = check_device(Cubic())
    assert "no current flows at 0 V" in held
    assert any("subcircuit, run in ngspice" in rule for rule in held)


@pytest.mark.parametrize(
    ("device", "rule"),
    [
        (Leak(), "no current flows at 0 V"),
        (AbsentConducts(), "an absent device"),
        (Unscaled(), r"I\(V_read\) = G V_read"),
        (NotOdd(), "as `odd` claims"),
        (OtherSlope(), "is the slope of"),
        (dataclasses.replace(Cubic(), c=-0.5), "the current rises"),
        (NumPyAlone(), "torch tensors give"),
        (Detached(), "torch's gradients"),
        (OtherText(), "the SPICE subcircuit, run in ngspice"),
        (BrokenModule(), "the Verilog-A"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Cubic) else "",
)
def test_a_defect_of_a_device_is_named(device, rule):
    with pytest.raises(AssertionError, match=f"device 'my_cubic' breaks the rule: .*{rule}"):
        check_device(device)


class Wrong(NodalEngine):
    """Nodal, with one part of its answer changed."""

    name = "wrong"
    change: ClassVar = {}

    def _solve(self, state, crossbar, drive, full):
        raw = super()._solve(state, crossbar, drive, full)
        parts = {
            k: f(getattr(raw, k)) for k, f in self.change.items() if getattr(raw, k) is not None
        }
        return dataclasses.replace(raw, **parts)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"I_out": lambda x: 1.00000001 * x}, "agrees with the nodal engine|signs"),
        ({"I_out": lambda x: x[:, ::-1]}, "rows, columns and signs"),
        ({"V_wl": lambda V: V + 1e-8}, "agrees with the nodal engine"),
        ({"I_device": lambda x: 1.0001 * x}, "agrees"),
    ],
    ids=["scaled", "mirrored", "volts", "devices"],
)
def test_a_defect_of_an_engine_is_named(change, rule):
    engine = type("Changed", (Wrong,), {"change": change})()
    with pytest.raises(AssertionError, match=f"engine 'wrong' breaks the rule: .*({rule})"):
        check_engine(engine, devices=["ohmic"], cases={"read": CASES["read"]})


def test_an_engine_that_solves_a_floating_line_and_an_approximation_are_named():
    class Careless(NodalEngine):
        name = "careless"

        def prepare(self, crossbar):
            return self._prepare(crossbar.replace(ends=xb.READ))

    with pytest.raises(AssertionError, match="without a path to a source"):
        check_engine(Careless(), devices=["ohmic"], cases={})
    with pytest.raises(AssertionError, match="as it is"):
        check_engine("ideal")


@dataclass(frozen=True, kw_only=True)
class Noise(xb.variability.Variation):
    name: ClassVar[str] = "my_noise"
    source: ClassVar[str] = "a test"
    sigma: float = 0.01

    def _apply(self, G, draws):
        return G * (1 + self.sigma * draws.normal())


class Unseeded(Noise):
    def _apply(self, G, draws):
        return G * (1 + 0.01 * np.random.default_rng().random())


class Global(Noise):
    def _apply(self, G, draws):
        return G * (1 + 0.01 * np.random.random())  # noqa: NPY002


class OneDraw(Noise):
    def _apply(self, G, draws):
        return G * (1 + self.sigma * draws.normal()[:1])


class Negative(Noise):
    def apply(self, G, rng):
        return super().apply(G, rng) - 100e-6 * (G > 0)


class InPlace(Noise):
    def apply(self, G, rng):
        out = super().apply(G, rng)
        G *= 1.0 + 1e-9
        return out


class Doubles(Noise):
    def apply(self, G, rng):
        out = super().apply(G, rng)
        return out if isinstance(out, np.ndarray) else out.double()


def test_a_sound_variation_holds():
    assert "NumPy array: equal seeds give equal conductances" in check_variation(Noise())


@pytest.mark.parametrize(
    ("variation", "rule"),
    [
        (Unseeded(), "equal seeds"),
        (Global(), "its argument and global"),
        (dataclasses.replace(Noise(), sigma=0.0), "other seeds"),
        (OneDraw(), "drawn independently"),
        (Negative(), "no conductance is negative"),
        (InPlace(), "its argument and global"),
        (Doubles(), "number type"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Noise) else "",
)
def test_a_defect_of_a_variation_is_named(variation, rule):
    with pytest.raises(AssertionError, match=f"variation 'my_noise' breaks the rule: .*{rule}"):
        check_variation(variation)


class Rounded(Xyce):
    """Seven digits of a resistance are not all of it."""

    name = "rounded"

    def element(self, element, scope="xb"):
        return super().element(element, scope).replace("3333.3333333333335", "3333.333")


@pytest.mark.usefixtures("registries")
def test_a_defect_of_a_dialect_is_named():
    dialects.registry.add("rounded", Rounded)
    dialects.registry.add("renamed", Xyce)
    with pytest.raises(AssertionError, match="reads back as the circuit, bit by bit"):
        check_dialect("rounded")
    with pytest.raises(AssertionError, match="by the name that it has"):
        check_dialect("renamed")


class Doubled(nn.Linear):
    def forward(self, input):  # noqa: A002
        return 2 * super().forward(input)


@xb.nn.register(Doubled)
class Forgetful(xb.nn.CrossbarLinear):
    """Forgets to double."""


class Biased(nn.Linear):
    """A plain layer under a name of its own."""


@xb.nn.register(Biased)
class PastArrays(xb.nn.CrossbarLinear):
    """Multiplies by the weight instead of reading its arrays."""

    def to_torch(self):
        out = Biased(self.in_features, self.out_features)
        out.weight, out.bias = self.parameter("weight"), self.parameter("bias")
        return out.eval()

    def forward(self, input):  # noqa: A002
        return nn.functional.linear(input, self.parameter("weight"), self.parameter("bias"))


@pytest.mark.parametrize(
    ("cls", "layer", "rule"),
    [
        (Forgetful, Doubled(9, 4), "`to_torch` gives the torch layer back"),
        (PastArrays, Biased(9, 4), "its wires are in the answer"),
        (xb.nn.CrossbarLinear, Biased(9, 4), "registered for the exact type"),
    ],
)
def test_a_defect_of_a_layer_is_named(cls, layer, rule):
    x = torch.rand(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(AssertionError, match=f"layer {cls.__name__} breaks the rule: .*{rule}"):
        check_layer(cls, layer, (x,))


def test_a_missing_engine_is_no_broken_rule():
    rules = Rules("a test")
    with pytest.raises(xb.errors.EngineMissingError), rules.rule("anything"):
        raise xb.errors.EngineMissingError("ngspice is not installed")
    assert rules.held == []
