"""`map`, `verify` and `solve` on models of any kind, and on the deployment in between."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import xbarspice as xb
from tests import small_models
from xbarspice.cli.app import app
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError
from xbarspice.importers import load_model
from xbarspice.nn.layers import matrices_of


def run(*arguments):
    """Exit status and the JSON document, or the error that `main` shows."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    if isinstance(result.exception, InputError):
        return 2, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout) if result.stdout.startswith(
        "{"
    ) else result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A .pt2, an ONNX file, weights, a perceptron, and inputs."""
    out = tmp_path_factory.mktemp("models")
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    model = small_models.convolutions()
    auto = torch.export.Dim.AUTO
    program = torch.export.export(model, (x,), dynamic_shapes=({0: auto},))
    torch.export.save(program, out / "cnn.pt2")
    torch.export.save(torch.export.export(model, (x,)), out / "fixed.pt2")
    torch.onnx.export(
        model, (x,), out / "cnn.onnx", dynamo=True, dynamic_shapes=({0: auto},), verbose=False
    )
    torch.save(model.state_dict(), out / "cnn.pt")
    y = model(x).argmax(dim=1).numpy()
    np.savez(out / "x.npz", x=x.numpy(), y=y)
    rng = np.random.default_rng(0)
    np.savez(
        out / "mlp.npz",
        W0=rng.normal(size=(4, 6)),
        b0=rng.normal(size=6),
        W1=rng.normal(size=(6, 3)),
        b1=rng.normal(size=3),
        activation="tanh",
    )
    np.savez(out / "x4.npz", x=rng.random((5, 4)))
    return out


WIRES = ("--set", "array.R_wl=2", "--set", "mapping.tile_rows=16")
KINDS = {
    "cnn.pt2": (),
    "cnn.onnx": (),
    "cnn.pt": ("--model", "tests.small_models:convolutions"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_model_is_mapped_verified_and_solved(folder, tmp_path, monkeypatch, name):
    """One command a step; the file in between gives the same arrays and outputs as the model."""
    monkeypatch.chdir(tmp_path)
    more, inputs = KINDS[name], ("--inputs", folder / "x.npz")
    status, mapped = run("map", folder / name, *more, *inputs, "--out", "net.h5", *WIRES)
    assert status == 0, mapped
    assert mapped["passed"]
    assert mapped["weight_share"] == 1.0
    assert ("outputs of ONNX Runtime 1." in mapped["import"]["against"]) == (name == "cnn.onnx")
    status, record = run("verify", "net.h5", *more, *inputs, "--out", "v")
    assert status == 0, record
    assert record["sample"]["checked"] == record["sample"]["tiles"] == mapped["arrays"]
    assert record["decisions"][0]["exact_accuracy"] == 1.0
    names = {p.name for p in (tmp_path / "v").iterdir()}
    assert names >= {"report.html", "report.json", "report.md", "junit.xml", "run.toml"}
    shown = tomllib.loads((tmp_path / "v/run.toml").read_text())
    assert (shown["array"]["R_wl"], shown["mapping"]["tile_rows"]) == (2.0, 16)
    answers = {}
    for subject in ("net.h5", folder / name):
        settings = WIRES if subject != "net.h5" else ()
        for engine in ("surrogate", "ngspice"):
            status, answer = run(
                "solve", subject, *more, *inputs, "--engine", engine, "--out", "o.h5", *settings
            )
            assert status == 0, answer
            answers[subject, engine] = np.asarray(answer["values"][0])
            tree = hdf5.read_tree(tmp_path / "o.h5", "outputs of a model on arrays")
            np.testing.assert_allclose(tree["output0"], answers[subject, engine], rtol=1e-6)
    first, *remaining = answers.values()
    for second in remaining:
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-5)
    exact = small_models.convolutions()(torch.as_tensor(np.load(folder / "x.npz")["x"]))
    assert np.abs(first - exact.detach().numpy()).max() > 1e-3


def test_a_failed_gate_is_exit_status_1_and_keeps_the_report(folder, tmp_path):
    points = np.load(folder / "x.npz")
    x = np.concatenate([points["x"]] * (24 // len(points["x"]) + 1))[:24]
    wrong = {"x": x, "y": np.arange(24) % 3}  # labels that have nothing to do with the inputs
    np.savez(folder / "wrong.npz", **wrong)
    status, record = run(
        "verify",
        folder / "cnn.pt2",
        "--inputs",
        folder / "wrong.npz",
        "--out",
        tmp_path / "v",
        "--confidence",
        "0.9",
        "--bad-tiles",
        "0.5",
        "--corners",
        "--reference",
        "nodal",
        "--set",
        "gates.findings=0",
        "--seed",
        "3",
        "--work",
        tmp_path / "work",
        "--set",
        "array.device=sinh_tio2",
    )
    assert status == 1
    assert [g["name"] for g in record["gates"] if not g["passed"]] == ["findings"]
    assert record["sample"]["checked"] < record["sample"]["tiles"]
    assert record["sample"]["seed"] == 3
    assert [c["name"] for c in record["corners"]] == ["minimum", "typical", "maximum"]
    assert "FAIL" in (tmp_path / "v/report.md").read_text()
    assert (tmp_path / "work/tiles.h5").is_file()


def test_a_perceptron_with_inputs_becomes_a_deployment(folder, tmp_path):
    status, record = run(
        "map", folder / "mlp.npz", "--inputs", folder / "x4.npz", "--out", tmp_path / "m.h5"
    )
    assert status == 0, record
    circuit = xb.load(tmp_path / "m.h5")
    x = torch.as_tensor(np.load(folder / "x4.npz")["x"])
    with xb.nn.exact_products():
        expected = load_model(folder / "mlp.npz").run(x)
        torch.testing.assert_close(circuit(x).detach(), expected, rtol=1e-12, atol=1e-12)


class Normed(torch.nn.Module):
    """Scores less a number that a fixed export turns into the size of the batch."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(x) / x.shape[0]


def test_a_deployment_of_fixed_batch_is_fed_in_groups(tmp_path):
    """Its batch stays fixed: another size would compute something else."""
    x = torch.rand(5, 5)
    torch.export.save(torch.export.export(Normed().eval(), (x,)), tmp_path / "fixed.pt2")
    np.savez(tmp_path / "x.npz", x=x.numpy())
    np.savez(tmp_path / "x7.npz", x=np.concatenate([x, x[:2] / 2]))
    status, record = run(
        "map", tmp_path / "fixed.pt2", "--inputs", tmp_path / "x.npz", "--out", tmp_path / "f.h5"
    )
    assert status == 0, record
    answers = {}
    for name in (tmp_path / "x.npz", tmp_path / "x7.npz"):
        status, answer = run("solve", tmp_path / "f.h5", "--inputs", name)
        assert status == 0, answer
        answers[name.name] = np.asarray(answer["values"][0])
    assert answers["x7.npz"].shape == (7, 3)
    np.testing.assert_allclose(answers["x7.npz"][:5], answers["x.npz"], rtol=1e-6)
    for subject in ("f.h5", "fixed.pt2"):
        status, record = run(
            "verify",
            tmp_path / subject,
            "--inputs",
            tmp_path / "x7.npz",
            "--out",
            tmp_path / f"v{subject}",
        )
        assert (status, record["decisions"][0]["points"]) == (0, 7), record
    status, record = run(
        "map", tmp_path / "fixed.pt2", "--inputs", tmp_path / "x7.npz", "--out", tmp_path / "g.h5"
    )
    assert (status, record["points"]) == (0, 7), record
    status, answer = run("solve", tmp_path / "g.h5", "--inputs", tmp_path / "x7.npz")
    np.testing.assert_allclose(answer["values"][0], answers["x7.npz"], rtol=1e-5, atol=1e-6)


class Mixed(torch.nn.Module):
    """Every point sees the others."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(x).cumsum(dim=0)


def test_points_that_see_each_other_are_not_fed_in_groups(tmp_path):
    x = torch.rand(5, 5)
    torch.export.save(torch.export.export(Mixed().eval(), (x,)), tmp_path / "fixed.pt2")
    np.savez(tmp_path / "x7.npz", x=np.concatenate([x, x[:2] / 2]))
    for command in ("map", "verify", "solve"):
        out = () if command == "solve" else ("--out", tmp_path / "o.h5")
        status, shown = run(command, tmp_path / "fixed.pt2", "--inputs", tmp_path / "x7.npz", *out)
        assert (status, "must not see each other" in str(shown)) == (2, True), shown


def test_run_toml_gives_the_same_circuit(folder, tmp_path):
    """Of any options, common ones and those of single layers, fed back with --config."""
    settings = {
        "mapping.w_scale": "output",
        "mapping.clip": 99.0,
        "mapping.placement": "middle",
        "mapping.cells": 2,
        "mapping.levels": 32,
        "mapping.x_scale": 1.5,
        "array.R_wl": 3.0,
        "array.device": "sinh_tio2",
        "array.parameters": "{b = 1.5}",
        "array.adc_bits": 9,
        "array.dac_bits": 7,
        "layers.2.tile_rows": 8,
        "layers.2.cell_code": "slices",
        "layers.2.R_bl": 4.0,
        "layers.2.parameters": "{b = 2.5}",
        "layers.2.x_scale": 2.0,
        "convert.quantile": 0.9,
    }
    words = [w for name, value in settings.items() for w in ("--set", f"{name}={value}")]
    x = torch.as_tensor(np.load(folder / "x4.npz")["x"])
    module = load_model(folder / "mlp.npz").module
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "mlp.pt2")
    subject = (tmp_path / "mlp.pt2", "--inputs", folder / "x4.npz")
    status, record = run("verify", *subject, "--out", tmp_path / "v", *words)
    assert status in (0, 1), record
    status, first = run("map", *subject, "--out", tmp_path / "a.h5", *words)
    assert status == 0, first
    stated = ("--config", tmp_path / "v/run.toml")
    status, second = run("map", *subject, "--out", tmp_path / "b.h5", *stated)
    assert status == 0, second
    circuits = [xb.load(tmp_path / name) for name in ("a.h5", "b.h5")]
    a, b = ([m.config for m in matrices_of(c)] for c in circuits)
    assert a == b
    assert (a[0].x_scale, a[1].x_scale) == (1.5, 2.0)
    assert (a[0].cell_code, a[1].cell_code, a[1].tile_rows) == ("average", "slices", 8)
    assert (a[0].model.b, a[1].model.b) == (1.5, 2.5)
    assert None not in (a[0].adc_range, a[1].adc_range)
    for one, twin in zip(*(xb.nn.arrays(c) for c in circuits), strict=True):
        assert np.array_equal(one.crossbar.G, twin.crossbar.G)
    status, record = run("verify", tmp_path / "a.h5", *subject[1:], "--out", tmp_path / "w")
    shown = [tomllib.loads((tmp_path / n / "run.toml").read_text()) for n in ("v", "w")]
    assert shown[0]["array"]["R_wl"] == shown[1]["array"]["R_wl"] == 3.0
    assert shown[0]["layers"]["2"]["cell_code"] == shown[1]["layers"]["2"]["cell_code"] == "slices"


def test_a_perceptron_without_inputs_keeps_the_stated_ranges(folder, tmp_path):
    out = tmp_path / "m.h5"
    status, record = run("map", folder / "mlp.npz", "--out", out, "--set", "mapping.x_scale=2.5")
    assert status == 0, record
    assert "No inputs were given" in record["notes"][-1]
    assert record["points"] == 20
    circuit = xb.load(out)
    assert [m.config.x_scale for m in matrices_of(circuit)] == [2.5, 2.5]
    status, answer = run("solve", out, "--random", "7")
    assert (status, np.shape(answer["values"][0])) == (0, (7, 3))
    status, shown = run("map", folder / "cnn.pt2", "--out", tmp_path / "n.h5")
    assert (status, "needs inputs, which set the ranges" in shown) == (2, True)


def test_an_old_mapped_network_is_refused_with_the_command_that_renews_it(folder, tmp_path):
    """Files of kind "mapped network", whatever they hold."""
    hdf5.write_tree(tmp_path / "m.h5", {"V_read": 0.2}, "mapped network")
    for command in ("map", "solve"):
        status, shown = run(command, tmp_path / "m.h5", "--inputs", folder / "x4.npz")
        assert (status, "xbarspice map NETWORK --inputs" in shown) == (2, True), shown
    with pytest.raises(InputError, match="a mapped network of an older version"):
        xb.load(tmp_path / "m.h5")


def test_inputs_of_a_perceptron_may_be_a_table(folder, tmp_path):
    x = np.load(folder / "x4.npz")["x"]
    np.savetxt(tmp_path / "x.csv", np.column_stack([x, np.arange(5) % 3]), delimiter=",")
    status, record = run("solve", folder / "mlp.npz", "--inputs", tmp_path / "x.csv")
    assert (status, record["points"]) == (0, 5), record
    status, second = run("solve", folder / "mlp.npz", "--inputs", folder / "x4.npz")
    np.testing.assert_allclose(record["values"], second["values"], rtol=1e-6)
    predictions = np.array(record["predictions"])
    assert record["accuracy"] == np.mean(predictions == np.arange(5) % 3)


def test_an_original_that_answers_otherwise_writes_no_file(folder, tmp_path, monkeypatch):
    """The import gate of an ONNX model is ONNX Runtime's own output."""
    from xbarspice.importers.model import ImportedModel

    monkeypatch.setattr(ImportedModel, "reference", lambda self, x: self.run(x) + 1e-3)
    status, record = run(
        "map", folder / "cnn.onnx", "--inputs", folder / "x.npz", "--out", tmp_path / "m.h5"
    )
    assert status == 1
    assert (record["passed"], record["file"]) == (False, None)
    assert not list(tmp_path.iterdir())


BAD = {
    "no inputs": (["verify", "cnn.pt2"], "a model needs inputs"),
    "folded": (["map", "cnn.pt2", "--set", "mapping.layout=folded"], "folded"),
    "hidden bias": (
        ["map", "cnn.pt2", "--set", "mapping.bias=hidden"],
        "mapping.bias: Input should",
    ),
    "x_scale": (["map", "cnn.pt2", "--set", "mapping.x_scale=[1.0]"], "mapping.x_scale: Input"),
    "mapping of a deployment": (
        ["verify", "net.h5", "--set", "mapping.tile_rows=4"],
        "--set mapping.tile_rows",
    ),
    "map of a deployment": (["map", "net.h5"], "on arrays already"),
    "random inputs alone": (["verify", "cnn.pt2", "--random", "3", ""], "a model needs inputs"),
    "weights without code": (["verify", "w.safetensors"], "weights alone are no model"),
    "activation": (["solve", "net.h5", "--activation", "relu"], "holds its whole model"),
    "other inputs": (["solve", "cnn.pt2", "--inputs", "mlp.npz"], "must hold x"),
    "no engine": (["solve", "cnn.pt2", "--engine", "magic"], "engines must be among"),
    "a shape": (["solve", "cnn.pt2", "--inputs", "x4.npz"], "must have the shape"),
    "unknown file": (["verify", "model.keras"], "model.export"),
    "a pickled module": (["map", "pickled.pt"], "a whole torch module"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_has_no_meaning_is_refused_by_name(folder, tmp_path, monkeypatch, case):
    import zipfile

    from safetensors.torch import save_file

    monkeypatch.chdir(folder)
    if not (folder / "model.keras").exists():
        x = torch.as_tensor(np.load("x.npz")["x"])
        xb.save("net.h5", xb.nn.convert(small_models.convolutions(), calibrate=x))
        save_file(small_models.convolutions().state_dict(), folder / "w.safetensors")
        torch.save(small_models.convolutions(), "pickled.pt")
        with zipfile.ZipFile("model.keras", "w") as file:
            file.writestr("config.json", "{}")
            file.writestr("metadata.json", "{}")
    words, message = BAD[case]
    if not words[-1]:
        words = words[:-1]
    elif "--inputs" not in words and case != "no inputs":
        words = [*words, "--inputs", "x.npz"]
    out = [] if words[0] == "solve" else ["--out", tmp_path / "out.h5"]
    status, shown = run(*words, *out)
    assert (status, message in shown) == (2, True), shown
    assert not list(tmp_path.iterdir())
