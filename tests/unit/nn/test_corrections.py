"""Gains and offsets of sums: fitted for a programmed circuit, kept, hashed, verified."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.campaign import CircuitModel
from xbarspice.core.errors import InputError, StoreError
from xbarspice.deployment.reading import read
from xbarspice.nn.chain import chain_of
from xbarspice.nn.origin import circuit_hash
from xbarspice.training import correct_sums
from xbarspice.variability import drolet_2023

SEEN, X = (
    torch.rand(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    for n in (80, 30)
)


def programmed(**options) -> tuple[nn.Module, nn.Module]:
    """A converted network without errors, and the same one with those of a transfer."""
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 3)).double()
    config = {"tile_rows": 4, "tile_cols": 6, "R_wl": 2.0, "device": "sinh_tio2"} | options
    circuit = xb.nn.convert(
        model, xb.ArrayConfig(variation=drolet_2023(), **config), calibrate=SEEN
    ).eval()
    exact = xb.nn.copy_circuit(circuit)
    xb.nn.program(circuit, 3)
    return exact, circuit


@pytest.fixture
def corrected():
    exact, circuit = programmed()
    before = error(exact, circuit)
    correct_sums(circuit, SEEN)
    return exact, circuit, before


def error(exact, circuit):
    with torch.no_grad():
        return float((circuit(X) - exact(X)).square().mean().sqrt())


def matrices(circuit):
    layers = xb.nn.crossbar_layers(circuit).values()
    return {m.name: m for layer in layers for m in layer.matrices.values()}


def test_a_programmed_circuit_answers_better_on_points_that_the_fit_has_not_seen(corrected):
    exact, circuit, before = corrected
    assert error(exact, circuit) < before / 2
    gains = torch.cat([m.correction.gain.flatten() for m in matrices(circuit).values()])
    assert float((gains - 1).abs().max()) > 1e-3
    xb.nn.put_corrections(circuit, None)
    assert error(exact, circuit) == before


def test_devices_as_measured_are_corrected_too():
    exact, circuit = programmed(layout="folded", tile_rows=18, tile_cols=8)
    held = {array.name: array.crossbar.G for array in xb.nn.arrays(circuit)}
    xb.nn.program(circuit, None)
    xb.nn.put_conductances(circuit, held)
    before = error(exact, circuit)
    correct_sums(circuit, SEEN, "offset")
    assert error(exact, circuit) < before
    assert all(np.array_equal(a.crossbar.G, held[a.name]) for a in xb.nn.arrays(circuit))


def test_a_deployment_keeps_them_and_says_so(corrected, tmp_path):
    _, circuit, _ = corrected
    xb.save(tmp_path / "net.h5", circuit)
    deployment = read(tmp_path / "net.h5")
    assert "the sums of 2 of 2 matrices have digital gains and offsets" in deployment.notes[-1]
    with torch.no_grad():
        assert torch.equal(deployment.circuit(X), circuit(X))
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        stored = next(iter(file["matrices"].values()))["correction"]
        stored[0, 0, 0] += 1e-9
    with pytest.raises(StoreError, match="content does not give its hash"):
        read(tmp_path / "net.h5")


def test_the_hash_of_a_circuit_knows_them(corrected):
    _, circuit, _ = corrected
    one = circuit_hash(circuit)
    matrix = matrices(circuit)["0"]
    matrix.correction = xb.nn.Correction(
        gain=matrix.correction.gain, offset=matrix.correction.offset + 1e-12
    )
    two = circuit_hash(circuit)
    xb.nn.put_corrections(circuit, None)
    assert len({one, two, circuit_hash(circuit)}) == 3


def test_ngspice_agrees_with_the_corrected_circuit(corrected):
    _, circuit, _ = corrected
    with torch.no_grad():
        ours = circuit(X[:3])
        with xb.nn.through("ngspice"):
            torch.testing.assert_close(circuit(X[:3]), ours, rtol=0, atol=1e-9)
    chain = chain_of(circuit, X[:3].numpy())  # proven against the circuit
    assert chain.stages[0].scale.std() > 0
    report = xb.verify(circuit, X[:3])
    assert report.passed


def test_copies_and_campaigns_carry_them(corrected):
    _, circuit, _ = corrected
    with torch.no_grad():
        ours = circuit(X)
        assert torch.equal(xb.nn.copy_circuit(circuit)(X), ours)
        assert torch.equal(CircuitModel.of(circuit).circuit()(X), ours)


def test_transfers_of_a_corrected_circuit_are_refused(corrected):
    _, circuit, _ = corrected
    with pytest.raises(InputError, match=r"belong to the devices .*put_corrections.*sum_gains"):
        xb.transfer.transfer(circuit, X, transfers=2)


def test_wrong_corrections_are_refused():
    _, circuit = programmed()
    ones = torch.ones(1, 8)
    right = xb.nn.Correction(gain=ones, offset=0 * ones)
    bad = {
        "a matrix of the model": {"7": right},
        r"\(1, 3\) for `0`": {"0": xb.nn.Correction(gain=ones[:, :3], offset=ones[:, :3])},
        "must be finite": {"0": right, "2": xb.nn.Correction(gain=ones[:, :3] / 0, offset=ones)},
    }
    for text, corrections in bad.items():
        with pytest.raises(InputError, match=text):
            xb.nn.put_corrections(circuit, corrections)
        assert all(m.correction is None for m in matrices(circuit).values())
    with pytest.raises(InputError, match="`fit` must be one of"):
        correct_sums(circuit, SEEN, "slope")


def test_a_fit_that_fails_leaves_the_circuit_as_it_was(corrected):
    _, circuit, _ = corrected
    before = {name: m.correction for name, m in matrices(circuit).items()}
    with torch.no_grad():
        answers = circuit(X)
        with pytest.raises(RuntimeError):
            correct_sums(circuit, SEEN[:, :3])
        assert torch.equal(circuit(X), answers)
    assert {name: m.correction for name, m in matrices(circuit).items()} == before
