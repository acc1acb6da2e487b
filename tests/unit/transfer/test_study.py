"""Transfers of any model: draws, figures, engines, the file, and what each layer's errors do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests import small_models
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.training import study_remedies
from xbarspice.transfer import (
    TransferStudy,
    at_level,
    loss_budget,
    page,
    transfer,
    with_variation,
)
from xbarspice.variability import Compose, ConductanceTuning, RelativeNoise, drolet_2023

ERRORS = RelativeNoise(sigma=0.1)


def moons(**options):
    """A 2-8-1 network of one logit, its inputs and the classes that it gives them."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1)).double()
    x = torch.rand(40, 2, dtype=torch.float64)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight *= 6
        model[2].bias -= model(x).median()
    config = xb.ArrayConfig(**{"variation": drolet_2023(), **options})
    circuit = xb.nn.convert(model, config, calibrate=x).eval()
    return circuit, x, (model(x)[:, 0] > 0).long().numpy()


def looped(circuit, x, count):
    """The outputs of transfers, programmed one by one."""
    out = []
    with torch.no_grad():
        for k in range(count):
            xb.nn.program(circuit, k)
            out.append(circuit(x))
    xb.nn.program(circuit, None)
    return torch.stack(out)


MODELS = {
    "convolutions": (small_models.convolutions, (1, 8, 8)),
    "lstm": (small_models.rows, (6, 5)),
    "transformer": (small_models.encoder, (6, 8)),
}


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("name", MODELS)
def test_each_transfer_is_the_one_that_program_puts(name, device):
    make, shape = MODELS[name]
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1))
    config = xb.ArrayConfig(variation=drolet_2023(), device=device, tile_rows=7, w_scale="output")
    circuit = xb.nn.convert(make(), config, calibrate=x).eval()
    with torch.no_grad():
        clean = circuit(x)
        together = torch.stack([circuit(x) for _ in xb.nn.program_each(circuit, range(2, 6))])
        torch.testing.assert_close(circuit(x), clean, rtol=0, atol=0)
    torch.testing.assert_close(together, looped(circuit, x, 6)[2:], rtol=1e-6, atol=1e-6)
    assert (together - clean).abs().amax(dim=tuple(range(1, together.ndim))).min() > 1e-4


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_both_reads_of_a_folded_array_see_one_transfer(device):
    circuit, x, y = moons(layout="folded", tile_rows=8, tile_cols=8, device=device)
    with torch.no_grad():
        together = torch.stack([circuit(x) for _ in xb.nn.program_each(circuit, range(4))])
    torch.testing.assert_close(together, looped(circuit, x, 4), rtol=1e-9, atol=1e-9)
    golden = transfer(circuit, x, y, transfers=2, golden=2).golden
    assert golden.error < 1e-8


def test_linear_arrays_of_many_transfers_are_reduced_in_one_call(monkeypatch):
    circuit, x, _ = moons()
    calls = []
    real = ArrayMatrix._reduce_one
    monkeypatch.setattr(ArrayMatrix, "_reduce_one", lambda *a: calls.append(1) or real(*a))
    with torch.no_grad():
        outputs = [circuit(x) for _ in xb.nn.program_each(circuit, range(100))]
    assert not calls
    assert len({float(z[0, 0]) for z in outputs}) == 100


@pytest.mark.parametrize("engine", ["surrogate", "nodal", "ngspice"])
def test_every_engine_sees_the_same_transfers(engine):
    circuit, x, y = moons(R_wl=3.0, R_bl=2.0, device="sinh_tio2")
    count = 3
    study = transfer(circuit, x, y, transfers=count, engine=engine)
    outputs = looped(circuit, x, count)
    with torch.no_grad():
        clean = circuit(x)
    rms = ((outputs - clean) / clean.abs().max()).square().mean(dim=(1, 2)).sqrt()
    np.testing.assert_allclose(study.rms, rms, rtol=1e-6)
    assert np.array_equal(study.predictions, (outputs[..., 0] > 0).long().numpy())
    assert np.array_equal(study.clean, (clean[:, 0] > 0).numpy())


def test_levels_leave_out_wires_and_device_curves():
    circuit, x, y = moons(R_wl=40.0, R_bl=40.0, device="sinh_tio2")
    with torch.no_grad():
        whole, matrix, ideal = (
            c(x) for c in (circuit, at_level(circuit, "matrix"), at_level(circuit, "ideal"))
        )
        with xb.nn.exact_products():
            exact = circuit(x)
    torch.testing.assert_close(ideal, exact, rtol=1e-9, atol=1e-9)
    assert (matrix - ideal).abs().max() > 1e-2
    assert (matrix - whole).abs().max() > 1e-4
    with pytest.warns(xb.errors.TrustWarning):
        transfer(circuit, x, y, transfers=2, engine="matrix")


def test_without_errors_every_transfer_is_the_circuit():
    circuit, x, y = moons(variation=None)
    circuit = with_variation(circuit, Compose([]))
    study = transfer(circuit, x, y, transfers=7, engine="ideal")
    record = study.record()
    assert record["metric"] == record["noise_free"] == record["exact"] == record["mean"] == 1.0
    assert study.rms.max() == 0.0


def test_a_shorter_study_is_the_beginning_of_a_longer_one():
    circuit, x, y = moons()
    short, long = (transfer(circuit, x, y, transfers=n) for n in (30, 130))
    np.testing.assert_array_equal(short.predictions, long.predictions[:30])
    assert 0.3 < long.scores.mean() < 1.0
    other = transfer(circuit, x, y, transfers=30, seed=1)
    assert not np.array_equal(other.rms, short.rms)


def test_a_study_goes_on_where_it_stopped_and_refuses_another(tmp_path):
    circuit, x, y = moons()
    path = tmp_path / "study.h5"
    whole = transfer(circuit, x, y, transfers=90)

    def stop(done, _):
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(circuit, x, y, transfers=90, path=path, progress=stop)
    assert len(hdf5.read_tree(path, "transfer study")["output_change"]) == 40
    seen = []
    again = transfer(circuit, x, y, transfers=90, path=path, progress=lambda n, _: seen.append(n))
    assert seen == list(range(41, 91))
    np.testing.assert_array_equal(again.rms, whole.rms)
    np.testing.assert_array_equal(again.predictions, whole.predictions)
    for change in (
        {"seed": 9},
        {"engine": "nodal"},
        {"x": x + 0.1},
        {"y": 1 - y},
        {"circuit": with_variation(circuit, ConductanceTuning())},
    ):
        with pytest.raises(InputError, match="this very study"):
            transfer(**{"circuit": circuit, "x": x, "y": y, "transfers": 5, "path": path, **change})


def test_each_layers_errors_are_told_apart():
    """Errors on the arrays of one layer alone leave the parts of the others at 0."""
    circuit, x, y = moons()
    matrix = circuit[0].matrices["weight"]
    matrix.config = replace(matrix.config, variation=Compose([]))
    study = transfer(circuit, x, y, transfers=3, layers=20)
    first, second = study.layers
    assert (first["matrix"], first["rms"]) == ("0", 0.0)
    assert first["lowest"] == pytest.approx(first["accuracy"])
    assert first["accuracy"] == pytest.approx(study.record()["noise_free"])
    assert second["rms"] > 1e-3
    assert second["lowest"] <= second["accuracy"] <= 1.0


def test_ngspice_repeats_some_transfers():
    circuit, x, y = moons(R_wl=2.0, R_bl=2.0, device="sinh_tio2")
    golden = transfer(circuit, x, y, transfers=5, golden=2).golden
    assert golden.transfers == (0, 1)
    assert 0 < golden.error < 1e-8
    assert (golden.differing, golden.decisions) == (0, 80)
    with pytest.warns(xb.errors.TrustWarning):
        coarse = transfer(circuit, x, y, transfers=2, golden=2, engine="ideal").golden
    assert coarse.error > 1e-4


def study_of(right):
    right = np.asarray(right)
    return TransferStudy(
        engine="ideal",
        points=right.shape[1],
        labels=np.ones(right.shape[1], int),
        predictions=right.astype(int),
        clean=np.ones(right.shape[1], int),
        exact=None,
        rms=np.linspace(1, 0, len(right)),
    )


def test_figures_are_those_of_the_counts():
    right = np.ones((100, 4), bool)
    right[:5, 1] = False  # 95 %: counts
    right[:6, 2] = False  # 94 %: does not
    right[3:, 3] = False
    study = study_of(right)
    assert study.metric() == 0.5
    assert study.metric(0.9) == 0.75
    record = study.record()
    assert record["mean"] == pytest.approx(right.mean())
    assert record["metric_low"] <= record["metric"] <= record["metric_high"]
    assert record["mean_low"] < record["mean"] < record["mean_high"]
    assert record["worst"] == 0.25
    assert study.worst == 3  # 3 and 4 have one right point; the outputs of 3 change more
    assert study.best == 99
    assert sum(record["histogram"]["transfers"]) == 100


def test_outputs_of_a_model_that_does_not_classify_are_judged_by_their_change():
    circuit, x, _ = moons()
    study = transfer(circuit, x, transfers=20)
    record = study.record()
    assert study.right is None
    assert "metric" not in record
    assert record["judged"].startswith("outputs")
    assert study.worst == int(study.rms.argmax())
    low, high = (record["output_change"]["interval"][k] for k in ("low", "high"))
    assert low < study.rms.mean() < high


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transfers": 0}, "`transfers` must be >= 1"),
        ({"golden": -1}, "`golden` must be >= 0"),
        ({"y": [0, 1]}, "number of its class"),
        ({"engine": "spice"}, "spice"),
    ],
)
def test_wrong_arguments_are_refused(change, words):
    circuit, x, y = moons()
    with pytest.raises(InputError, match=words):
        transfer(**{"circuit": circuit, "x": x, "y": y, **change})


def test_what_has_nothing_to_draw_is_refused():
    circuit, x, y = moons()
    array = xb.nn.arrays(circuit)[0]
    xb.nn.put_conductances(circuit, {array.name: array.crossbar.G})
    with pytest.raises(InputError, match="programmed or measured"):
        transfer(circuit, x, y)
    with pytest.raises(InputError, match="errors to draw"):
        transfer(with_variation(circuit, None), x, y)


class Root(nn.Module):
    """A root of what is sometimes below 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.layer(x) - self.layer(x).mean()).sqrt()


def test_outputs_that_are_no_numbers_are_no_decisions():
    """argmax takes NaN for the largest: such a point would count as decided, even rightly."""
    x = torch.rand(9, 2, dtype=torch.float64)
    circuit = xb.nn.convert(Root(), xb.ArrayConfig(variation=RelativeNoise(sigma=0.1)))
    for study in (transfer, loss_budget, study_remedies):
        more = {"remedies": ["offset"]} if study is study_remedies else {}
        with pytest.raises(InputError, match="NaN in output 0"):
            study(circuit, x, transfers=3, **more)


class Behind(nn.Module):
    """A function behind a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).tanh()


class BehindOtherwise(Behind):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).relu()


def test_a_study_of_equal_weights_and_other_code_is_another(tmp_path):
    """Weights alone do not say what a model computes."""
    layer = nn.Linear(2, 3).double()
    models = [nn.Sequential(layer, last) for last in (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2))]
    models += [Behind(), BehindOtherwise()]
    x = torch.rand(5, 2, dtype=torch.float64)
    config = xb.ArrayConfig(variation=RelativeNoise(sigma=0.1))
    for one, other in (models[:2], models[2:]):
        other.load_state_dict(one.state_dict())
        first, second, again = (xb.nn.convert(m, config) for m in (one, other, one))
        path = tmp_path / f"{type(one).__name__}.h5"
        transfer(first, x, transfers=2, path=path)
        transfer(again, x, transfers=3, path=path)
        with pytest.raises(InputError, match="this very study"):
            transfer(second, x, transfers=3, path=path)


@pytest.mark.parametrize("labels", [False, True])
def test_the_sentence_of_a_study_says_nothing_that_was_not_counted(labels):
    circuit, x, y = moons()
    wide = xb.nn.convert(nn.Sequential(nn.Linear(2, 3).double()), xb.ArrayConfig(variation=ERRORS))
    study = transfer(circuit, x, y, transfers=2) if labels else transfer(wide, x, transfers=2)
    sentence = page._sentence(study.record())
    assert ("without transfer errors" in sentence) == labels
    assert sentence.endswith(".")
    assert " -" not in sentence


def test_nothing_is_said_of_no_points():
    circuit, x, _ = moons()
    for judge in (transfer, loss_budget, xb.verify):
        with pytest.raises(InputError, match="at least one point"):
            judge(circuit, x[:0])
