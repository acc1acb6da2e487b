"""The tapeout folder, the programming plan and the command."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import asymmetric_crossbar, small_network
from xbarspice import network
from xbarspice.cli.app import app
from xbarspice.mapping import map_network
from xbarspice.studies.inference import infer
from xbarspice.tapeout import as_drawn, check_folder, plan


def test_the_plan_expects_what_the_nodal_engine_says():
    array, _ = asymmetric_crossbar(device="sinh_tio2")
    made = plan(array)
    for r in range(2):
        V = np.zeros(2)
        V[r] = 0.2
        wanted = xb.solve(array, V, engine="nodal").I_out
        np.testing.assert_allclose(made.I_read[r], wanted, rtol=1e-9)
    np.testing.assert_allclose(made.I_ideal, 0.2 * array.G, rtol=1e-12)
    assert (made.I_read[array.G > 0] < made.I_ideal[array.G > 0]).all()  # the wires cost current


def test_the_plan_writes_the_smallest_conductance_first():
    array, _ = asymmetric_crossbar()
    rows = plan(array).rows()
    assert [r["G_target_S"] for r in rows] == sorted(array.G[array.G > 0])
    assert [r["order"] for r in rows] == list(range(5))  # the absent device has no row
    by_row = plan(array, order="row").rows()
    assert [(r["row"], r["col"]) for r in by_row] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_the_plan_refuses_wrong_words():
    array, _ = asymmetric_crossbar()
    with pytest.raises(xb.errors.InputError, match="order"):
        plan(array, order="best")
    with pytest.raises(xb.errors.InputError, match="V_read"):
        plan(array, V_read=0.0)


def test_a_reverse_pass_meets_the_leads_that_are_drawn():
    mapped = map_network(small_network(), layout="folded", tile_rows=8, tile_cols=8)
    drawn = as_drawn(mapped, {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 7.0, "R_sense": 11.0})
    forward, back = (drawn.crossbar(block) for block in drawn.blocks)
    assert (forward.R_driver, forward.R_sense) == (7.0, 11.0)
    assert (back.R_driver, back.R_sense) == (11.0, 7.0)  # bit lines are driven through their leads
    assert infer(drawn, [[0.2, 0.4]], "surrogate").sums[-1].shape == (1, 1)


def test_the_command_fills_a_folder_whose_manifest_is_true(tmp_path):
    network.save(tmp_path / "net.npz", small_network())
    out = tmp_path / "out"
    args = ["tapeout", str(tmp_path / "net.npz"), "--out", str(out), "--json", "--random", "3",
            "--set", "mapping.layout=tiled"]  # fmt: skip
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    record = json.loads(result.output)
    assert record == json.loads((out / "manifest.json").read_text())
    assert record["passed"]
    assert len(record["tiles"]) == 2
    listed = {f["file"] for f in record["files"]}
    present = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert present - listed == {"manifest.json"}
    for file in record["files"]:
        assert hashlib.sha256((out / file["file"]).read_bytes()).hexdigest() == file["sha256"]
    mapped = map_network(small_network(), layout="tiled", tile_rows=8, tile_cols=8)
    for k, array in enumerate(mapped.arrays):
        with (out / f"plan/tile_{k}.csv").open() as file:
            rows = list(csv.DictReader(file))
        G = np.zeros(array.G.shape)
        for row in rows:
            G[int(row["row"]), int(row["col"])] = float(row["G_target_S"])
        np.testing.assert_array_equal(G, array.G)
    again = CliRunner().invoke(app, args)
    assert json.loads(again.output)["files"] == record["files"]  # equal input, equal files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tapeout of two tiles, in two dialects."""
    base = tmp_path_factory.mktemp("tapeout")
    network.save(base / "net.npz", small_network())
    args = ["tapeout", str(base / "net.npz"), "--out", str(base / "out"), "--random", "2"]
    args += ["--dialect", "cdl", "--dialect", "spectre", "--set", "mapping.layout=tiled"]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    return base / "out"


def test_a_fresh_folder_passes_its_check(folder):
    found = check_folder(folder)
    assert found.passed
    assert found.files == sum(p.is_file() for p in folder.rglob("*")) - 1  # the manifest itself
    result = CliRunner().invoke(app, ["tapeout", str(folder), "--check", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["problems"] == []


def test_every_kind_of_change_is_named(folder, tmp_path):
    copy = tmp_path / "copy"

    def problems(change):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        change()
        return dict(check_folder(copy).problems)

    for record in json.loads((folder / "manifest.json").read_text())["files"]:
        file = copy / record["file"]
        flipped = problems(lambda f=file: f.write_bytes(f.read_bytes() + b"\n"))
        assert flipped == {record["file"]: "was changed since it was written"}
    assert problems((copy / "run.toml").unlink) == {"run.toml": "is missing"}
    extra = problems(lambda: (copy / "plan/tile_9.csv").write_text(""))
    assert extra == {"plan/tile_9.csv": "is not in the manifest"}


@pytest.mark.parametrize("name", ["plan/tile_1.csv", "netlists/cdl/network.cdl",
                                  "netlists/spectre/network_flat.scs"])  # fmt: skip
def test_another_conductance_is_named_even_where_the_hash_was_renewed(name, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    lines = (copy / name).read_text().splitlines(keepends=True)
    device = re.compile(r"[RX](t0_)?d_0_0 |0,")
    k = next(k for k, line in enumerate(lines) if device.match(line))
    number = re.compile(r"\d+\.\d+(e-\d+)?")
    lines[k] = number.sub(lambda found: repr(1.5 * float(found[0])), lines[k], count=1)
    (copy / name).write_text("".join(lines))
    manifest = json.loads((copy / "manifest.json").read_text())
    record = next(r for r in manifest["files"] if r["file"] == name)
    record["sha256"] = hashlib.sha256((copy / name).read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    ((file, words),) = check_folder(copy).problems
    assert file == name
    assert words.startswith("does not hold the conductances of tile")
    result = CliRunner().invoke(app, ["tapeout", str(copy), "--check"])
    assert result.exit_code == 1
    assert name in "".join(result.output.split())


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(xb.errors.InputError, match=r"manifest\.json"):
        check_folder(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(xb.errors.InputError, match="wrote"):
        check_folder(tmp_path)


def test_the_command_names_a_wrong_technology(tmp_path):
    network.save(tmp_path / "net.npz", small_network())
    args = ["tapeout", str(tmp_path / "net.npz"), "--technology", "none.toml"]
    result = CliRunner().invoke(app, args)
    assert isinstance(result.exception, xb.errors.InputError)
    assert "none.toml" in str(result.exception)
