"""The digits study end to end, small, with its confirmation in ngspice; and its going on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import xbarspice as xb
from papers.drolet2023 import digits as study
from papers.drolet2023 import report as reproduction
from papers.drolet2023.hardware import Hardware
from xbarspice.config.card import CalibrationCard, CardValue
from xbarspice.core.errors import InputError
from xbarspice.importers.perceptron import load
from xbarspice.training.data import digits

QUICK = study.Plan.quick(confirm=1)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return folder, study.reproduce(folder, QUICK)


def test_no_test_point_is_trained_on():
    split = digits()
    parts = [split.x_train, split.x_validation, split.x_test]
    assert [len(p) for p in parts] == [1197, 200, 400]
    assert len(np.unique(np.concatenate(parts), axis=0)) == 1797


def test_ngspice_confirms_every_prediction(done):
    found = done[1]["ngspice"]
    assert found["predictions"] == 100
    assert found["differ"] == 0
    assert found["worst_logit_error"] < 1e-9


def test_training_through_the_arrays_undoes_the_loss_to_the_wires(done):
    """Without errors the array-trained network does through wires what it does in software."""
    rows = {(r["network"], r["remedy"], r["device"]): r["median"] for r in done[1]["rows"]}
    regular = rows["regular", "none", "ohmic"]
    through = rows["trained through the arrays", "none", "ohmic"]
    assert regular["software"] > 0.9
    assert through["noise_free"] > regular["noise_free"]
    assert through["mean"] > regular["mean"]
    for name in study.NETWORKS:
        for remedy in ("bias correction", "partner"):
            assert rows[name, remedy, "ohmic"]["mean"] > rows[name, "none", "ohmic"]["mean"]


def test_the_row_without_errors_is_the_nodal_engine(done):
    split = digits()
    net = load(done[0] / "trained_through_the_arrays-seed0.npz")
    chain = study.on_tiles(net, split)
    assert all(max(a.crossbar.G.shape) <= 32 for a in chain.arrays)
    with xb.nn.through("nodal"), torch.no_grad():
        classes = chain.circuit(torch.from_numpy(split.x_test[:100])).argmax(dim=1).numpy()
    row = next(r for r in done[1]["rows"] if r["network"] == study.NETWORKS[2])
    assert row["seeds"][0]["noise_free"] == np.mean(classes == split.y_test[:100])


def test_a_second_run_reads_and_other_numbers_are_computed_anew(done, monkeypatch):
    folder, first = done
    monkeypatch.setattr(study, "train", None)  # networks are there: nothing is trained
    again = study.reproduce(folder, QUICK)
    assert [r["median"] for r in again["rows"]] == [r["median"] for r in first["rows"]]
    more = study.reproduce(
        folder, replace(QUICK, transfers=40, nonlinear=0, confirm=0, remedies=("none",))
    )
    assert {r["transfers"] for r in more["rows"]} == {40}
    assert more["rows"][0]["seeds"][0]["transfers"] == 40


def test_the_report_of_the_digits_alone(done, tmp_path):
    reproduction.write({"digits": done[1]}, tmp_path)
    text = (tmp_path / "report.md").read_text()
    for piece in ("trained through the arrays", "bias correction", "0 of 100", "sinh_tio2"):
        assert piece in text
    assert "half moons" not in text.splitlines()[0]


def test_a_card_gives_wires_errors_and_the_nonlinear_device(tmp_path):
    card = CalibrationCard(
        title="die 7",
        data_sha256="ab" * 32,
        device="sinh_tio2",
        values={
            "R_driver": CardValue(value=30.0, low=28.0, high=32.0, unit="ohm"),
            "device.b": CardValue(value=2.5, low=2.4, high=2.6),
        },
        variability=({"name": "relative_noise", "sigma": 0.05},),
    )
    plan = replace(
        QUICK, steps=40, tune=5, transfers=3, nonlinear=1, confirm=0, remedies=("none",), points=20
    )
    record = study.reproduce(tmp_path / "digits", plan, card=card)
    assert record["hardware"]["wires_ohm"]["R_driver"] == 30.0
    assert record["hardware"]["errors"] == "calibration card"
    (net,) = (load(p) for p in (tmp_path / "digits").glob("trained_through*.npz"))
    hardware = Hardware.of(card, wire=study.WIRE, device="sinh_tio2")
    arrays = study.on_tiles(net, digits(), nonlinear=True, hardware=hardware).arrays
    assert {(a.crossbar.R_wl, a.crossbar.R_driver) for a in arrays} == {(study.WIRE, 30.0)}
    assert arrays[0].crossbar.device == card.model()
    reproduction.write({"digits": record}, tmp_path)
    assert "Calibrated: die 7 (data abababababab, card " in (tmp_path / "report.md").read_text()
    with pytest.raises(InputError, match="begun with die 7"):
        study.reproduce(tmp_path / "digits", plan)
