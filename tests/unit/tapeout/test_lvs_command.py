"""The commands `lvs` and `extract`: verdict, faults with places, drawn wires, wrong use."""

from __future__ import annotations

import json
import shutil

import klayout.db as kdb
import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.unit.tapeout.hand_drawn import hand_drawn
from xbarspice.cli.app import app
from xbarspice.core import crossbar_file
from xbarspice.tapeout import load_technology

G = np.random.default_rng(3).uniform(10e-6, 50e-6, (3, 4))
G[2, 1] = 0.0


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def files(tmp_path):
    """A drawing, the same with a short, and their array."""
    d = hand_drawn("sky130b", G)
    d.layout.write(str(tmp_path / "good.gds"))
    p = d.technology.array.pitch
    d.box("met1", p[0] / 2, d.y(1), p[0] / 2 + 0.14, d.y(0))
    d.layout.write(str(tmp_path / "short.oas"))
    np.savez(tmp_path / "array.npz", G=G)
    return tmp_path


def test_the_exit_status_is_the_verdict(files):
    good = run("lvs", files / "good.gds", files / "array.npz", "--technology", "sky130b")
    assert good.exit_code == 0, good.output
    assert "CLEAN  1 array, 11 devices, 0 faults; connected over met1, via, met2" in good.output
    bad = run("lvs", files / "short.oas", files / "array.npz", "--technology", "sky130b", "--json")
    assert bad.exit_code == 1
    record = json.loads(bad.output)
    (fault,) = record["arrays"][0]["faults"]
    assert (fault["kind"], fault["row"]) == ("short", 0)
    assert "technology on 1 of 7 lines" in record["arrays"][0]["looked_at"]
    assert fault["place"] == "word lines 0 and 1 are joined by met1"
    assert (fault["x_um"], fault["y_um"]) == pytest.approx((0.41, 1.02), abs=0.35)
    shown = run("lvs", files / "short.oas", files / "array.npz", "--technology", "sky130b")
    assert "word lines 0 and 1 are joined by met1" in " ".join(shown.output.split())
    assert "FAIL" in shown.output


def test_what_is_extracted_is_an_array_with_its_wires(files):
    words = ("extract", files / "good.gds", "--technology", "sky130b")
    result = run(*words, "--out", files / "drawn", "--conductance", 5e-5, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.output)
    assert (record["rows"], record["cols"], len(record["devices"])) == (3, 4, 11)
    array = crossbar_file.load(files / "drawn" / "drawn.h5")
    np.testing.assert_array_equal(array.G, np.where(G > 0, 5e-5, 0))
    leads = [line["leads_ohm"] for line in record["lines"]]
    np.testing.assert_allclose(array.R_driver, [lead[0] for lead in leads[:3]], rtol=1e-12)
    np.testing.assert_allclose(array.R_sense, [lead[1] for lead in leads[3:]], rtol=1e-12)
    assert {part["kind"] for part in record["lines"][0]["parts"]} == {"straight", "shape", "cut"}
    # the drawn resistances are those of the file, line by line, and others are not
    stated = run(
        "lvs", files / "good.gds", files / "drawn" / "drawn.h5", "--technology", "sky130b", "--json"
    )
    assert stated.exit_code == 0, stated.output
    assert "the resistance of every segment and lead with the file" in stated.output
    R = np.array(array.R_driver)
    R[1] *= 1.01
    crossbar_file.save(files / "other.h5", array.replace(R_driver=R))
    other = run("lvs", files / "good.gds", files / "other.h5", "--technology", "sky130b", "--json")
    (fault,) = json.loads(other.output)["arrays"][0]["faults"]
    assert fault["place"].startswith("lead of word line 1: ")
    kept = json.loads((files / "drawn" / "report.json").read_text())
    assert (kept["lines"], kept["nominal_ohm"]) == (record["lines"], record["nominal_ohm"])
    assert kept["nominal_ohm"] == load_technology("sky130b").segments()


def test_a_drawing_that_says_nothing_is_one_fault(files):
    layout = kdb.Layout()
    layout.create_cell("nothing").shapes(layout.layer(1, 0)).insert(kdb.Box(0, 0, 9, 9))
    layout.write(str(files / "nothing.gds"))
    result = run("lvs", files / "nothing.gds", files / "array.npz", "--json")
    assert result.exit_code == 1
    record = json.loads(result.output)
    (fault,) = record["arrays"][0]["faults"]
    assert fault["kind"] == "drawing"
    assert record["arrays"][0]["looked_at"].endswith("nothing could be compared")
    assert run("extract", files / "nothing.gds").exit_code == 1
    assert {p.name for p in (files / "runs/extract").iterdir()} == {
        "report.html",
        "report.json",
        "run.toml",
    }


def test_a_tapeout_is_compared_as_a_whole_and_after_an_edit(folder, tmp_path):
    deployment = folder / "circuit/deployment.h5"
    result = run("lvs", folder / "floorplan.gds", deployment, "--json")
    assert result.exit_code == 0, result.output
    arrays = json.loads(result.output)["arrays"]
    assert [a["array"] for a in arrays] == ["0[0,0,0]", "2[0,0,0]"]
    assert all("every segment and lead with the file" in a["looked_at"] for a in arrays)
    assert all(a["cell"].endswith(f"_a{k}") for k, a in enumerate(arrays))
    edited = kdb.Layout()
    edited.read(str(folder / "floorplan.gds"))
    cell = edited.cell(arrays[0]["cell"])
    cell.flatten(-1, True)
    layer = edited.layer(15, 0)  # the device layer of the demo technology
    cell.shapes(layer).erase(next(cell.shapes(layer).each()))
    edited.write(str(tmp_path / "edited.gds"))
    result = run("lvs", tmp_path / "edited.gds", deployment, "--json")
    assert result.exit_code == 1
    kinds = [[f["kind"] for f in a["faults"]] for a in json.loads(result.output)["arrays"]]
    assert kinds == [["missing device"], []]


def test_wrong_use_is_one_message(files, folder):
    deployment = folder / "circuit/deployment.h5"
    shutil.copy(files / "array.npz", files / "not.gds")
    for words, rule in (
        (("lvs", files / "none.gds", files / "array.npz"), "must be a GDSII or OASIS file"),
        (("lvs", files / "not.gds", files / "array.npz"), "must be a GDSII or OASIS file"),
        (("lvs", files / "good.gds", deployment), "has a cell for each"),
        (("lvs", files / "good.gds", deployment, "--array", "9"), "by its name in the model"),
        (("lvs", files / "good.gds", deployment, "--cell", "die"), "holds one array"),
        (("lvs", files / "good.gds", files / "array.npz", "--cell", "x"), "must name a cell"),
        (("lvs", files / "good.gds", files / "array.npz", "--array", "0"), "one of a deployment"),
        (("extract", files / "good.gds", "--corner", "slow"), "must be one of min, typ, max"),
        (("extract", files / "good.gds", "--out", files / "array.npz"), "must be new, empty"),
    ):
        result = run(*words)
        assert isinstance(result.exception, xb.errors.InputError), (words, result.output)
        assert rule in str(result.exception)
    assert not (files / "runs").exists()
