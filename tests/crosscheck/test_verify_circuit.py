"""`xb.verify`: what passes, what does not, and that each sentence is as wide as its check."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.engines.base import Engine
from xbarspice.engines.nodal.engine import NodalEngine
from xbarspice.verification import Gates, agreement_interval, sample_size
from xbarspice.verification.tiles import draw_sample


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 5)
    ).double()


X = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
CONFIG = xb.ArrayConfig(tile_rows=32, tile_cols=16, R_wl=2.0, R_bl=2.0)


@pytest.fixture(scope="module")
def circuit():
    return xb.nn.convert(make_model(), CONFIG, calibrate=X)


@pytest.fixture(scope="module")
def report(circuit):
    labels = circuit(X).argmax(dim=1).numpy()
    return xb.verify(circuit, X, labels, corners=True)


def test_a_right_circuit_passes_and_says_what_was_looked_at(report):
    assert report.passed
    assert report.imported.error < 1e-14
    assert "original model" in report.imported.against
    assert report.sample.checked == report.sample.tiles == len(report.tiles["surrogate"])
    assert all(check.probes == 1 for check in report.tiles["surrogate"])
    assert max(check.worst for check in report.tiles["surrogate"]) < 1e-11
    assert [d.through for d in report.decisions] == ["surrogate", "ngspice"]
    assert report.decisions[0].accuracy == 1.0
    assert report.decisions[0].interval == agreement_interval(
        round(report.decisions[0].agreement * 6), 6
    )
    assert [c.name for c in report.corners] == ["minimum", "typical", "maximum"]
    assert report.corners[1].decisions == report.decisions[0]
    assert len({c.decisions.error for c in report.corners}) == 3
    assert {c.what for c in report.costs} == {"matrix 0", "matrix 3", "wires and line ends"}
    assert 1e-12 < report.energy < 1e-7


def test_the_report_is_saved_as_page_text_json_and_junit(report, tmp_path):
    page = report.save(tmp_path)
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["passed"] is True
    assert "PASS" in page.read_text()
    assert "tests=" in (tmp_path / "junit.xml").read_text()
    assert "On arrays" in (tmp_path / "report.md").read_text()


def test_a_plain_model_is_converted_and_calibrated():
    report = xb.verify(make_model(), X, config=CONFIG, reference="nodal")
    assert report.passed
    assert report.coverage["measured"]


def test_the_import_gate_sees_a_circuit_that_is_not_the_model(circuit):
    """Outputs of another model; weights changed after conversion are judged against themselves."""
    third = make_model()
    with torch.no_grad():
        third[3].bias[0] += 0.01
    wrong = xb.verify(circuit, X, expected=third(X).detach().numpy(), reference="nodal")
    assert not wrong.passed
    assert not wrong.imported.passed
    right = xb.verify(circuit, X, expected=make_model()(X).detach().float(), reference="nodal")
    assert right.imported.passed
    assert right.imported.limit == 1e-5
    import copy

    moved = copy.deepcopy(circuit)
    with torch.no_grad():
        moved[3].weight.mul_(1.5)
    assert "changed after the conversion" in xb.verify(moved, X, reference="nodal").imported.against


class _Lying(Engine):
    """The nodal engine with one device of every array changed."""

    name = "nodal"

    def __init__(self):
        self.inner = NodalEngine()

    def _prepare(self, crossbar):
        G = crossbar.G.copy()
        G[..., -1, 0] *= 1.001
        self.changed = crossbar.replace(G=G)
        return self.inner._prepare(self.changed)

    def _solve(self, state, crossbar, drive, full):
        return self.inner._solve(state, self.changed, drive, full)


def test_one_device_of_a_thousandth_is_seen_in_undriven_rows(circuit, monkeypatch):
    """The last row is driven by no input of the model; the dense probe drives it."""
    get = xb.engines.get
    monkeypatch.setattr(
        "xbarspice.engines.get", lambda name: _Lying() if name == "nodal" else get(name)
    )
    dark = X.clone()
    dark[:] = 0
    report = xb.verify(circuit, dark, reference="nodal", probes=4, gates=Gates(current=1e-6))
    assert not report.passed
    assert all(check.worst > 1e-6 for check in report.tiles["surrogate"])
    changed = 1e-3 * 100e-6
    assert all(check.smallest_change < changed for check in report.tiles["surrogate"])


def test_ranges_labels_and_idle_layers_are_findings(circuit):
    many = 3 * X.repeat(4, 1, 1, 1)
    report = xb.verify(circuit, many, np.arange(24) % 5, reference="nodal")
    kinds = [f.kind for f in report.findings]
    assert "input beyond its range" in kinds
    assert "labels at chance level" in kinds
    gated = xb.verify(circuit, 3 * X, reference="nodal", gates=Gates(beyond=0, findings=0))
    assert not gated.passed


def test_a_sample_says_its_confidence_and_is_drawn_by_its_seed(circuit):
    kwargs = {"reference": "nodal", "confidence": 0.5, "bad_tiles": 0.4}
    first, second = (xb.verify(circuit, X, seed=4, **kwargs) for _ in range(2))
    tiles = xb.nn.tiles(circuit)
    others = {draw_sample(tiles, 0.5, 0.4, seed)[1].sha256 for seed in range(5, 15)}
    assert first.sample == second.sample
    assert first.sample.checked == sample_size(first.sample.tiles, 0.5, 0.4) < first.sample.tiles
    assert draw_sample(tiles, 0.5, 0.4, 4)[1] == first.sample
    assert len(others) > 1
    assert first.sample.confidence == 0.5


def test_sample_sizes_are_hypergeometric():
    """All of few; 4603 of very many for 99 % against one in a thousand."""
    assert sample_size(10, 0.99, 0.001) == 10
    assert sample_size(10**7, 0.99, 0.001) in range(4590, 4606)
    with pytest.raises(xb.errors.InputError, match="confidence"):
        sample_size(10, 1.0, 0.1)
    assert agreement_interval(10, 10) == pytest.approx((0.6915, 1.0), abs=1e-4)


def test_a_stopped_verification_goes_on(circuit, tmp_path, monkeypatch):
    """Answers of arrays are kept in the folder and are not solved again."""
    xb.verify(circuit, X, reference="nodal", folder=tmp_path)
    solved = []
    solve = xb.engines.solve
    monkeypatch.setattr(
        "xbarspice.engines.solve", lambda c, *a, **k: solved.append(k) or solve(c, *a, **k)
    )
    report = xb.verify(circuit, X, reference="nodal", folder=tmp_path, whole=0)
    assert report.passed
    assert not [k for k in solved if k.get("engine") == "nodal"]
    assert "exceed the budget" in report.whole


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"y": np.zeros(5, int)}, "labels must be 6"),
        ({"y": np.full(6, 0.5)}, "whole numbers"),
        ({"engines": ("nodal",)}, "other than the reference"),
        ({"reference": "spectre"}, "engines must be among"),
        ({"probes": 0}, "probes"),
        ({"config": CONFIG}, "not on arrays yet"),
        ({"corners": {"hot": {"T": 85.0}}}, "temperature"),
        ({"x": X * float("nan")}, "finite"),
    ],
)
def test_wrong_arguments_are_refused(circuit, arguments, match):
    arguments = {"x": X, "reference": "nodal", **arguments}
    with pytest.raises(xb.errors.InputError, match=match):
        xb.verify(circuit, **arguments)


def test_nonlinear_arrays_and_converters():
    """Sinh devices with converters agree with ngspice array by array and as a whole."""
    config = replace(CONFIG, device="sinh_tio2", adc_bits=8, dac_bits=8)
    report = xb.verify(make_model(), X, config=config)
    assert report.passed
    causes = {c.what for c in report.costs}
    assert {"wires and line ends", "device curves", "converters"} <= causes
