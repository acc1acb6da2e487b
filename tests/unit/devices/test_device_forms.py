"""Written device forms: names that no designer's text has, numbers that a simulator can read."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice import devices, netlist
from xbarspice.core.errors import InputError
from xbarspice.devices import export, files, forms
from xbarspice.devices.numbers import decimal, decimals
from xbarspice.engines.ngspice import transient
from xbarspice.netlist import dialects
from xbarspice.netlist.bench import bench
from xbarspice.netlist.cells import Wires
from xbarspice.netlist.design import design
from xbarspice.programming.transient import transient_deck

STATIC = [name for name in export.MODELS if name != "ohmic"]
SIMULATED = [name for name in dialects.names() if name != "cdl"]
DYNAMIC = ["n1257r", "mt2021", "o921c_4k", "messaris2018", "pickett", "sky130_reram"]


@dataclass(frozen=True, kw_only=True)
class Own(devices.Device):
    """A user's device with the plainest names there are, some of them without braces."""

    name: ClassVar[str] = "own"
    source: ClassVar[str] = "test"
    k: float = 0.5

    def current(self, V, G):
        return G * V * (1 + self.k * V * V)

    def derivative(self, V, G):
        return G * (1 + 3 * self.k * V * V)

    def spice_parameters(self, G):
        return {"k": self.k + 0 * G}

    def spice_body(self):
        return ".param r=1 b={k*r}\nB1 p n i={g}*{r}*v(p,n)*(1+b*v(p,n)*v(p,n))"

    def verilog_a(self):
        return "module xb_own(p, n);\n  parameter real g = 1;\n  analog I(p, n) <+ g * V(p, n);"


def parameters(text):
    """Names that a netlist gives a value: `.param`, subcircuit and instance parameters."""
    lines = [line for line in text.splitlines() if line[:1] not in "*/"]
    joined = "\n".join(lines).replace("\n+ ", " ").replace(" \\\n", " ")
    cards = re.findall(r"^(?:\.subckt xb_|\.param |parameters |[XN]d_).*", joined, re.M)
    return {name for card in cards for name in re.findall(r"(\w+)=", card)}


@pytest.mark.parametrize(("device", "dialect"), list(product([*STATIC, Own()], SIMULATED)))
def test_every_parameter_of_every_design_is_prefixed(device, dialect):
    """HSPICE scopes globally: a designer's `.param k=...` would replace the `k` of every device."""
    array = asymmetric_crossbar(device=device)[0]
    writer = dialects.get(dialect)
    for form in writer.forms:
        if form == "resistor":
            continue
        text = writer.design(design([array], form=form, wires=Wires(C_wl=1e-15)))
        found = parameters(text)
        assert found
        assert all(name.startswith("xb_") for name in found), found


@pytest.mark.parametrize("name", STATIC)
def test_the_library_has_no_plain_parameter(name):
    files_of = export.render()
    found = parameters(files_of[f"{name}.sub"])
    found |= set(re.findall(r"\bparameter real (\w+)", files_of[f"{name}.va"]))
    assert found
    assert all(p.startswith("xb_") for p in found), found
    used = set(re.findall(r"\{([^}]*)\}", files_of[f"{name}.sub"]))
    assert all(re.search(r"\bxb_", expression) for expression in used)


def test_a_devices_own_names_are_renamed_wherever_they_stand():
    assert forms.spice_body(Own()) == [
        ".param xb_r=1 xb_b={xb_k*xb_r}",
        "B1 p n i={xb_g}*{xb_r}*v(p,n)*(1+xb_b*v(p,n)*v(p,n))",
    ]
    assert "parameter real xb_g = 1;" in forms.verilog_a(Own())
    assert "<+ xb_g * V(p, n);" in forms.verilog_a(Own())


def scalars(device, kind):
    """The same device with every parameter in another number type."""
    return dataclasses.replace(
        device, **{f.name: kind(getattr(device, f.name)) for f in dataclasses.fields(device)}
    )


@pytest.mark.parametrize("name", STATIC)
def test_numpy_scalars_are_written_as_numbers(name):
    device = devices.get(name)
    other = scalars(device, np.float64)
    assert export.subcircuit(other) == export.subcircuit(device)
    assert export.verilog(other) == export.verilog(device)
    assert files.to_toml(other) == files.to_toml(device)
    array, V_in = asymmetric_crossbar(device=device)
    changed = array.replace(
        device=other, **{f"R_{n}": np.float64(getattr(array, f"R_{n}")) for n in ("wl", "driver")}
    )
    assert netlist.write(changed, V_in) == netlist.write(array, V_in)
    assert netlist.read(netlist.write(changed, V_in)).crossbar.device == device
    for dialect in SIMULATED:
        writer = dialects.get(dialect)
        it = design([changed], form=writer.forms[0], wires=Wires(C_wl=np.float64(1e-15)))
        text = writer.design(it) + writer.bench(bench(it, 0, changed, [V_in, 2 * V_in]))
        assert not re.search(r"np\.|float", text)


@pytest.mark.parametrize("name", DYNAMIC)
def test_numpy_scalars_in_programming_decks(name):
    device = devices.get(name)
    low, high = device.G_range()
    array = xb.Crossbar([[low, high]], R_driver=1.0, device=scalars(device, np.float64))
    for width in (np.float64(1e-7), np.float32(1e-7)):
        text = "\n".join(transient_deck(array, [(0, 1, np.float64(1.0))], width=width))
        assert not re.search(r"np\.|float", text)


def test_numpy_scalars_in_the_pulse_of_a_transient_read():
    text = transient._pulse(np.float64(0.1), np.float64(1e-9), np.float32(2e-9))
    assert not re.search(r"np\.|float", text)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "1k", None, 1j])
def test_what_is_no_number_is_not_written(bad):
    with pytest.raises(InputError, match="finite and real"):
        decimal(bad)
    if isinstance(bad, float):
        with pytest.raises(InputError, match="finite and real"):
            decimals([1.0, bad])


@pytest.mark.parametrize("value", [2.5, np.float64(2.5), np.float32(2.5), np.array(2.5)])
def test_numbers_read_back(value):
    assert decimal(value) == "2.5"
    assert decimals([value]) == ["2.5"]
