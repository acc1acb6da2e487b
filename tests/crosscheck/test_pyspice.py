"""PySpice's in-process ngspice gives the golden numbers, and its known faults become errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import PATIENCE, asymmetric_crossbar
from xbarspice import netlist
from xbarspice.core.errors import EngineError, EngineMissingError
from xbarspice.engines import pyspice
from xbarspice.engines.pyspice import PySpiceEngine


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"])
@pytest.mark.parametrize("vectors", [1, 4])
def test_pyspice_agrees_with_nodal(device, vectors):
    crossbar, V_in = asymmetric_crossbar(device=device)
    V = V_in * np.linspace(-1, 1, vectors)[:, None]
    actual = xb.solve(crossbar, V, engine="pyspice", full=True)
    expected = xb.solve(crossbar, V, engine="nodal", full=True)
    assert np.abs(actual.I_out - expected.I_out).max() <= 1e-12 * np.abs(expected.I_out).max()
    assert np.abs(actual.V_bl - expected.V_bl).max() <= 1e-12 * np.abs(expected.V_bl).max()
    assert actual.stats.engine == "pyspice"


def test_a_circuit_that_does_not_load_is_an_error(monkeypatch, tmp_path):
    """PySpice would run the previous circuit again, or lose its library; here it is an error."""
    crossbar, V_in = asymmetric_crossbar(device="sinh_tio2")
    monkeypatch.setattr(type(crossbar.device), "spice_body", lambda self: "R1 p n {nosuch}")
    with pytest.raises(EngineError):
        xb.solve(crossbar, V_in, engine=PySpiceEngine(directory=tmp_path))


def test_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pyspice.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(EngineMissingError, match="libngspice0"):
        PySpiceEngine().prepare(xb.Crossbar([[1e-4]]))


def test_circuit_can_be_embedded_in_a_bench():
    """A user's own PySpice bench around the array gives the currents (in a process of its own)."""
    code = (
        "import ctypes.util, logging; logging.disable(logging.CRITICAL)\n"
        "from PySpice.Spice.NgSpice.Shared import NgSpiceShared\n"
        "NgSpiceShared.LIBRARY_PATH = ctypes.util.find_library('ngspice')\n"
        "import xbarspice as xb\n"
        "from xbarspice import netlist\n"
        "from tests.helpers import asymmetric_crossbar\n"
        "array, V = asymmetric_crossbar()\n"
        "circuit = netlist.to_pyspice(array)\n"
        "for r, v in enumerate(V): circuit.V(f'in{r}', f'in_{r}', circuit.gnd, v)\n"
        "for c in range(3): circuit.V(f's{c}', f'bs_{c}', circuit.gnd, 0)\n"
        "point = circuit.simulator(simulator='ngspice-shared').operating_point()\n"
        "print('I', *(float(point.branches[f'vs{c}'][0]) for c in range(3)))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    printed = [line.split()[1:] for line in process.stdout.splitlines() if line.startswith("I ")]
    assert printed, process.stderr
    crossbar, V_in = asymmetric_crossbar()
    expected = xb.solve(crossbar, V_in, engine="nodal").I_out
    assert np.array(printed[0], float) == pytest.approx(expected, rel=1e-6)
    assert "Rd_0_0" in str(netlist.to_pyspice(crossbar))
