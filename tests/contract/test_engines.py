"""Engines on NumPy arrays hold the kit for engines: devices x boundary cases, against nodal."""

from __future__ import annotations

import pytest

from xbarspice.surrogate.engine import SurrogateEngine
from xbarspice.testing import check_engine
from xbarspice.testing.engines import DEVICES

ENGINES = {
    "nodal": "nodal",
    "surrogate": SurrogateEngine(),
    "surrogate, one thread": SurrogateEngine(threads=1),
    "surrogate, direct": SurrogateEngine(direct=True),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("device", DEVICES)
def test_engine_holds_every_rule_of_the_kit(device, engine):
    """All currents and voltages agree within 1e-9 of the largest; Kirchhoff's law holds."""
    check_engine(ENGINES[engine], devices=[device])


def test_ngspice_holds_every_rule_of_the_kit():
    """Its solution of wires of 1 milliohm ends at the rounding of the node voltages."""
    check_engine("ngspice", devices=DEVICES[:2], residual=1e-8)
