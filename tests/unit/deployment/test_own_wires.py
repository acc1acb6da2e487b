"""What commands say and write of a deployment whose arrays have wires of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.unit.nn.test_array_wires import LAYOUTS, drawn_wires
from tests.unit.nn.test_line_order import WIRES, make_circuit
from xbarspice import deployment
from xbarspice.config import RunConfig
from xbarspice.deployment.opening import open_model
from xbarspice.deployment.settings import circuit_settings


@pytest.fixture(params=LAYOUTS)
def saved(request, tmp_path):
    """A deployment with drawn wires, and its inputs, as files."""
    circuit, x = make_circuit(request.param, **WIRES)
    xb.nn.put_wires(circuit, drawn_wires(circuit))
    xb.save(tmp_path / "net.h5", circuit, inputs=x)
    np.savez(tmp_path / "x.npz", x=x.numpy())
    return tmp_path / "net.h5", tmp_path / "x.npz"


def opened(saved, **settings):
    path, inputs = saved
    return open_model(path, inputs, RunConfig.model_validate(settings), None, None)


def wire_notes(notes):
    return [note for note in notes if "wires of their own" in note]


def test_settings_of_a_run_make_the_same_arrays_again(saved):
    """A resistance that was stated again would be that of all arrays."""
    first = opened(saved)
    settings = circuit_settings(first.circuit, RunConfig())
    stated = [*settings["array"], *(k for v in settings.get("layers", {}).values() for k in v)]
    assert not set(WIRES) & set(stated)
    again = opened(saved, array=settings["array"], layers=settings.get("layers", {}))
    for one, other in zip(xb.nn.arrays(first.circuit), xb.nn.arrays(again.circuit), strict=True):
        assert any(isinstance(R, np.ndarray) for R in one.crossbar.wires.values())
        for name, R in one.crossbar.wires.items():
            np.testing.assert_array_equal(other.crossbar.wires[name], R)
    (z,), (z_again,) = first.outputs(), again.outputs()
    assert torch.equal(z, z_again)


def test_the_note_says_what_the_arrays_hold(saved):
    circuit = opened(saved).circuit
    (note,) = wire_notes(opened(saved).notes)
    own = [array.crossbar.R_wl for array in xb.nn.arrays(circuit)]
    low, high = min(np.min(R) for R in own), max(np.max(R) for R in own)
    assert f"{len(own)} of {len(own)} arrays" in note
    assert f"R_wl {low:g} to {high:g}, " in note
    (note,) = wire_notes(opened(saved, array={"R_wl": 7.0}).notes)
    assert "R_wl" not in note
    assert "R_driver" in note
    assert not wire_notes(opened(saved, array=dict.fromkeys(WIRES, 7.0)).notes)
    assert (
        circuit_settings(opened(saved, array={"R_wl": 7.0}).circuit, RunConfig())["array"]["R_wl"]
        == 7.0
    )


def test_a_file_made_from_another_holds_no_old_note(saved, tmp_path):
    first = opened(saved)
    xb.nn.put_wires(first.circuit, None)
    xb.save(tmp_path / "plain.h5", first.circuit, notes=("A sentence.", *first.notes))
    assert deployment.read(tmp_path / "plain.h5").notes == ("A sentence.",)
