"""Golden netlist texts: a change of the writer shows its diff.

`make golden` (or XBARSPICE_REGENERATE=1) writes the files anew; review what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import UNEVEN, asymmetric_crossbar
from xbarspice import netlist

FOLDER = Path(__file__).parents[2] / "netlists" / "golden"


def _ideal():
    crossbar, V_in = asymmetric_crossbar()
    return crossbar.replace(R_wl=0, R_bl=0, R_driver=0, R_sense=0), V_in, None


def _reverse_sweep():
    ends = xb.LineEnds(wl_left="sensed", bl_top="driven", bl_bottom="floating")
    crossbar, _ = asymmetric_crossbar(device="cubic_al2o3_tio2", ends=ends)
    return crossbar, np.zeros(2), np.array([[0.2, -0.1, 0.05], [0.1, 0.0, 1e-6], [0, 0.3, -0.3]])


CASES = {
    "asymmetric_2x3_ohmic": lambda: (*asymmetric_crossbar(), None),
    "asymmetric_2x3_sinh_tio2": lambda: (*asymmetric_crossbar(device="sinh_tio2"), None),
    "asymmetric_2x3_cubic": lambda: (*asymmetric_crossbar(device="cubic_al2o3_tio2"), None),
    "asymmetric_2x3_ideal_wires": _ideal,
    "asymmetric_2x3_reverse_sweep": _reverse_sweep,
    "asymmetric_2x3_each_segment": lambda: (*asymmetric_crossbar(**UNEVEN), None),
}


@pytest.mark.parametrize("name", CASES)
def test_text_is_the_reviewed_one(name):
    crossbar, V_in, V_out = CASES[name]()
    text = netlist.write(crossbar, V_in, V_out)
    path = FOLDER / f"{name}.cir"
    if os.environ.get("XBARSPICE_REGENERATE") == "1":
        path.write_text(text, encoding="ascii")
    assert path.read_text(encoding="ascii") == text
