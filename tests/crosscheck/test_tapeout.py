"""A model taped out: its drawn wires against a field solution, its benches against the model."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import xbarspice as xb
from tests import small_models
from tests.helpers import PATIENCE
from tests.unit.tapeout.circuits import circuit_of, points
from tests.unit.tapeout.single_lines import DrawnLines
from xbarspice.cli.app import app
from xbarspice.engines.ngspice import ngspice_info
from xbarspice.tapeout import check_folder, load_technology, tapeout


def run_bench(folder, bench):
    """Columns that a bench prints, by name in small letters."""
    process = subprocess.run(
        [ngspice_info().path, "-n", "-b", bench],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    columns, names = {}, []
    for line in process.stdout.splitlines():
        words = line.split()
        if words[:1] == ["Index"]:
            names = words[1:]
        elif words and words[0].isdigit() and len(words) == len(names) + 1:
            for name, word in zip(names, words[1:], strict=True):
                columns.setdefault(name, []).append(float(word))
    return columns


def read_by_ngspice(folder, k, crossbar):
    """Currents into the sense sources of one read, A, (vectors, lines), and of which lines."""
    columns = run_bench(folder, f"bench_{k}.cir")
    kind = "vbs" if "vbs_0#branch" in columns else "vws"
    lines = crossbar.cols if kind == "vbs" else crossbar.rows
    names = [f"{kind}_{k}#branch" for k in range(lines) if f"{kind}_{k}#branch" in columns]
    return kind, np.stack([columns[name] for name in names], axis=1)


def runs_as_the_model(folder, record):
    """Every bench gives what the nodal engine says of the deployment in the folder."""
    circuit = xb.load(folder / "circuit/deployment.h5")
    with np.load(folder / "circuit/drives.npz") as file:
        volts = {n: file[f"volts_{k}"] for k, n in enumerate(file["names"].tolist())}
    arrays = {array.name: array for array in xb.nn.arrays(circuit)}
    benches = 0
    for described in record["arrays"]:
        array = arrays[described["array"]]
        for k, tile in enumerate(array.tiles):
            V_in, V_out = tile.drive(volts[tile.matrix][:, tile.group, slice(*tile.lines)])
            answer = xb.solve(tile.crossbar, V_in, V_out, engine="nodal")
            kind, currents = read_by_ngspice(
                folder / described["folder"] / "netlists/ngspice", k, tile.crossbar
            )
            expected = answer.I_out if kind == "vbs" else -answer.I_in
            limit = 1e-9 * np.abs(expected).max()
            np.testing.assert_allclose(currents, expected, rtol=0, atol=limit)
            benches += 1
    return benches


def has_the_wires_of_its_drawings(folder, record, every=1):
    """Wires of the deployment are those of the layouts: leads of lines, and how many were solved.

    Segments are `sheet * pitch / width`; leads are the field solution of the layout file, which
    knows neither the model nor the extraction, within the 2 % that such a solution is worth.
    """
    technology = load_technology(record["technology"]["name"])
    (x, y), sheet = technology.array.pitch, technology.at("typ").sheet
    word, bit = technology.array.word_line, technology.array.bit_line
    segments = {
        "R_wl": sheet[word.metal] * x / word.width,
        "R_bl": sheet[bit.metal] * y / bit.width,
    }
    circuit, leads = xb.load(folder / "circuit/deployment.h5"), 0
    arrays = {array.name: array for array in xb.nn.arrays(circuit)}
    for described in record["arrays"]:
        drawn = DrawnLines(folder / described["folder"] / "layout.gds", technology)
        for tile in arrays[described["array"]].tiles:
            wires = tile.read.wires(tile.crossbar.wires)  # of a reverse read those of the array
            rows, cols = tile.crossbar.G.shape
            assert wires["R_wl"].shape == (rows, cols - 1)
            assert wires["R_bl"].shape == (rows - 1, cols)
            for name, R in segments.items():
                np.testing.assert_allclose(wires[name], R, rtol=1e-4)
            for kind, name, count in (("WL", "R_driver", rows), ("BL", "R_sense", cols)):
                assert wires[name].shape == (count,)
                assert len(np.unique(wires[name])) == count, "each line has a lead of its own"
                for line in sorted({*range(0, count, every), count - 1}):
                    expected = drawn.lead(kind, line)
                    assert wires[name][line] == pytest.approx(expected, rel=0.02), (kind, line)
                    leads += 1
    return leads


def test_a_whole_convolutional_network_is_taped_out_and_its_benches_run(tmp_path):
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    model = small_models.convolutions()
    config = xb.ArrayConfig(tile_rows=32, tile_cols=32, device="sinh_tio2", R_wl=2.0)
    circuit = xb.nn.convert(model, config, calibrate=x, fold_batchnorm=True)
    y = model(x).argmax(dim=1).numpy()
    names = ["ngspice", "cdl"]
    record = tapeout(circuit, x, tmp_path, load_technology(), y=y, names=names, vectors=3)
    assert record["passed"]
    assert len(record["arrays"]) == record["arrays_of_model"] == len(xb.nn.arrays(circuit)) == 8
    reads = {m["matrix"]: m["reads"] for layer in record["layers"] for m in layer["matrices"]}
    assert reads == {"0": 4 * 36, "3": 4 * 16, "6": 4}
    assert runs_as_the_model(tmp_path, record) == 8
    assert has_the_wires_of_its_drawings(tmp_path, record, every=16) >= 8 * 4
    assert check_folder(tmp_path).passed


def test_a_folded_array_is_drawn_once_and_has_a_bench_a_read(tmp_path):
    """Two layers on one array: one drawing and one plan; word lines are sensed by the second."""
    torch.manual_seed(0)
    layers = (torch.nn.Linear(2, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 1))
    model = torch.nn.Sequential(*layers).double().eval()
    x = torch.rand(5, 2, dtype=torch.float64)
    config = xb.ArrayConfig(
        layout="folded", tile_rows=8, tile_cols=8, device="sinh_tio2", R_driver=7.0, R_sense=9.0
    )
    circuit = xb.nn.convert(model, config, calibrate=x)
    record = tapeout(circuit, x, tmp_path, load_technology(), names=["ngspice"])
    assert record["passed"]
    (array,) = record["arrays"]
    assert array["shape"] == [8, 8]
    assert len(array["reads"]) == 2
    assert [p.name for p in (tmp_path / "arrays").iterdir()] == [array["folder"].split("/")[1]]
    assert runs_as_the_model(tmp_path, record) == 2
    assert has_the_wires_of_its_drawings(tmp_path, record) == 2 * 16
    tiles = [
        tile["array"]
        for layer in record["layers"]
        for matrix in layer["matrices"]
        for tile in matrix["tiles"]
    ]
    assert tiles == [array["array"]] * 2
    assert record["effect_of_drawn_wires"]["largest_output_change"] > 0
    assert check_folder(tmp_path).passed


def run(*arguments):
    """The JSON document of a command that ends well."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return json.loads(result.stdout)


@pytest.mark.parametrize("technology", ["demo", "sky130b"])
def test_verify_starts_from_the_folder_of_a_tapeout(technology, tmp_path):
    """The commands a designer gives: the deployment as drawn, solved by ngspice on its wires."""
    xb.save(tmp_path / "net.h5", circuit_of(device="sinh_tio2", R_wl=50.0, R_bl=50.0))
    inputs = tmp_path / "x.npz"
    np.savez(inputs, x=points().numpy())
    out, deployment = tmp_path / "chip", tmp_path / "chip/circuit/deployment.h5"
    more = ("--inputs", inputs)
    record = run(
        "tapeout",
        tmp_path / "net.h5",
        *more,
        "--technology",
        technology,
        "--out",
        out,
        "--dialect",
        "ngspice",
    )
    assert record["passed"]
    assert runs_as_the_model(out, record) == 2
    assert has_the_wires_of_its_drawings(out, record, every=4) >= 2 * 4
    engines = ("--engine", "nodal", "--engine", "surrogate")
    verified = run("verify", deployment, *more, *engines, "--out", tmp_path / "v")
    assert verified["reference"] == "ngspice"
    for engine in ("nodal", "surrogate"):
        errors = [tile["worst"] for tile in verified["tiles"][engine]]
        assert len(errors) == 2
        assert max(errors) < 1e-9
    (note,) = verified["notes"]
    assert "2 of 2 arrays have wires of their own" in note
    config = ("--config", tmp_path / "v/run.toml")  # as it says of itself, it makes the run again
    again = run("verify", deployment, *more, *config, "--out", tmp_path / "again")
    assert again["decisions"] == verified["decisions"]
    drawn, assumed = (
        run("solve", file, *more, "--engine", "ngspice", "--out", tmp_path / "o.h5")["values"][0]
        for file in (deployment, tmp_path / "net.h5")
    )
    with torch.no_grad(), xb.nn.through("nodal"):
        expected = xb.load(deployment)(points()).numpy()
    largest = np.abs(expected).max()
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-9 * largest)
    assert np.abs(np.subtract(drawn, assumed)).max() > 1e-3 * largest, "the wires tell"
