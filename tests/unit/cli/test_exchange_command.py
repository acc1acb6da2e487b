"""`xbarspice import` and `export`: folders that the other commands take, errors in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import asymmetric_crossbar, run_command
from tests.peer_arrays import FOLDER
from xbarspice.core import crossbar_file
from xbarspice.verification.array_file import load_array


@pytest.fixture
def folder(tmp_path):
    array, V_in = asymmetric_crossbar()
    xb.exchange.matlab.write(tmp_path / "a.mat", array, V_in)
    crossbar_file.save(tmp_path / "a.h5", array)
    (tmp_path / "p.json").write_text("{}", "utf-8")
    np.save(tmp_path / "W.npy", np.eye(2, 3))
    (tmp_path / "a.cir").write_text("title\nv1 a 0 1\nr1 a a 1\n", "utf-8")
    (tmp_path / "b.sp").write_text(xb.netlist.write(array, V_in), "utf-8")
    return tmp_path


def test_an_import_is_taken_by_verify(folder):
    done = run_command("import", "a.mat", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["arrays"][0]["rows"] == 2
    assert json.loads((folder / "imported" / "import.json").read_text())["form"] == "MATLAB file"
    array, V_in = asymmetric_crossbar()
    file = load_array(folder / "imported" / "array.h5", {})
    assert np.array_equal(file.crossbar.G, array.G)
    assert np.array_equal(file.V_in, [V_in])
    words = ("--reference", "nodal", "--engine", "surrogate")
    done = run_command("verify", "imported/array.h5", *words, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_arrays_of_crosssim_and_what_is_shown(folder):
    done = run_command("import", "p.json", "--weights", "W.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "positive.h5: 3 x 2, 6 devices of 100 to 1000 uS" in done.stdout
    record = json.loads((folder / "imported" / "import.json").read_text())
    assert [a["name"] for a in record["arrays"]] == ["positive", "negative"]
    assert record["arrays"][1]["weights"]["siemens"] == [-9e-4, -9e-4]


def test_a_netlist_without_a_word_about_itself(folder):
    done = run_command("import", "b.sp", "--wires-below", "100", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["arrays"][0]["word_lines"] == ["vin_0", "vin_1"]
    file = load_array(folder / "imported" / "array.h5", {})
    array, V_in = asymmetric_crossbar()
    assert np.array_equal(file.crossbar.G, array.G)
    assert np.array_equal(file.V_in, [V_in])


def test_tiles_of_aihwkit(folder):
    done = run_command("import", FOLDER / "aihwkit_wires.pt", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "0.h5: 16 x 3, 48 devices of 1 to 25 uS" in done.stdout
    done = run_command("export", "imported/0.h5", "--out", "b.pt", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = run_command("import", "b.pt", "--out", "other", cwd=folder)
    assert done.returncode == 2  # numbers for a layer, no layer
    assert "must hold tiles of aihwkit" in " ".join(done.stderr.split())


def test_exports_come_back(folder):
    for out, more in (("b.mat", ()), ("b.json", ("--weights", "b.npz"))):
        done = run_command("export", "a.h5", "--out", out, cwd=folder)
        assert done.returncode == 0, done.stderr
        done = run_command("import", out, *more, "--out", f"of-{out}", cwd=folder)
        assert done.returncode == 0, done.stderr
        back = load_array(folder / f"of-{out}" / "array.h5", {}).crossbar
        np.testing.assert_allclose(back.G, asymmetric_crossbar()[0].G, rtol=0, atol=1e-18)
        assert back.wires == asymmetric_crossbar()[0].wires


@pytest.mark.parametrize(
    ("out", "left"), [("b.mat", ["V_out", "I_out"]), ("b.json", ["V_in", "V_out", "I_out"])]
)
def test_voltages_and_currents_that_an_export_does_not_hold_are_named(folder, out, left):
    array, V_in = asymmetric_crossbar()
    vectors = {"V_in": [V_in], "V_out": np.zeros((1, 3)), "I_out": np.zeros((1, 3))}
    np.savez(folder / "c.npz", G=array.G, **array.wires, **vectors)
    done = run_command("export", "c.npz", "--out", out, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    notes = json.loads(done.stdout)["notes"]
    assert [n.split()[0] for n in notes if n.endswith("is not written.")] == left


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("import", "a.mat", "--weights", "W.npy"), "--weights is of the form crosssim"),
        (("import", "p.json", "--transpose"), "--transpose is of the form matlab"),
        (("import", "a.mat", "--name", "G"), "QUANTITY=VARIABLE"),
        (("import", "a.mat", "--G-min", "1e-6"), "--G-min is of the form aihwkit"),
        (("import", "a.mat", "--wires-below", "5"), "--wires-below is of the form spice"),
        (("import", "a.cir"), "`a.cir`, line 3: r1 joins a node to itself"),
        (("import", "a.txt"), "the suffix '.txt'"),
        (("import", "p.json"), "hold no matrix"),
        (("import", "p.json", "--weights", "a.mat"), "a.mat"),
        (("export", "a.h5", "--out", "b.txt"), "the suffix '.txt'"),
        (("export", "a.h5", "--out", "b.cir"), "netlists are written by"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_written(folder, words, reason):
    before = sorted(folder.iterdir())
    done = run_command(*words, cwd=folder)
    assert done.returncode == 2
    assert reason in " ".join(done.stderr.split())
    assert sorted(folder.iterdir()) == before
