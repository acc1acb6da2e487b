"""The tapeout folder of a model on arrays, and the command."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import run_command
from tests.unit.tapeout.circuits import circuit_of, command, manifest_of, perceptron, points
from xbarspice import deployment
from xbarspice.cli.app import app
from xbarspice.nn import arrays
from xbarspice.nn.origin import outputs_of
from xbarspice.report.units import percent
from xbarspice.tapeout import (
    as_drawn,
    check_folder,
    load_technology,
    tapeout,
)
from xbarspice.tapeout.circuit_sites import sites, wires_record
from xbarspice.tapeout.drawing import klayout_db, read
from xbarspice.tapeout.lvs import scope as looked_at


def test_a_form_that_a_dialect_lacks_is_refused_before_any_work(tmp_path):
    circuit = circuit_of(device="sinh_tio2")
    with pytest.raises(xb.errors.InputError, match="received ltspice, xyce, which do not"):
        tapeout(circuit, points(), tmp_path, load_technology(), form="verilog_a")
    with pytest.raises(xb.errors.InputError, match="`form` must be one of"):
        tapeout(circuit, points(), tmp_path, load_technology(), form="spline")
    with pytest.raises(xb.errors.InputError, match="name of a design"):
        tapeout(circuit, points(), tmp_path, load_technology(), name="a b")
    with pytest.raises(xb.errors.InputError, match="chosen by its name in the model; received 9"):
        tapeout(circuit, points(), tmp_path, load_technology(), only=["9[0,0,0]"])
    with pytest.raises(xb.errors.InputError, match="model on arrays is needed"):
        tapeout(perceptron(), points(), tmp_path, load_technology())
    assert list(tmp_path.iterdir()) == []


class Branching(nn.Module):
    """A forward that depends on values, which no exported graph holds."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(x) if float(x.sum()) > 0 else self.fc(-x)


def test_a_model_that_cannot_be_kept_is_refused_before_anything_is_drawn(tmp_path):
    x = points().float()
    with pytest.raises(xb.errors.InputError, match="module:factory"):
        tapeout(circuit_of(Branching().eval(), x), x, tmp_path, load_technology())
    assert not (tmp_path / "arrays").exists()


def test_device_models_of_a_design_carry_its_name(tmp_path):
    record = tapeout(
        circuit_of(device="sinh_tio2"),
        points(),
        tmp_path,
        load_technology(),
        name="moons",
        names=["hspice", "spectre"],
        form="verilog_a",
        only=["2[0,0,0]"],
    )
    file = "moons_a1__sinh_tio2.va"
    folder = tmp_path / record["arrays"][0]["folder"] / "netlists"
    names = {r["file"].rpartition("/")[2] for r in record["files"] if r["kind"] == "device model"}
    assert names == {file}
    assert "module moons_a1__sinh_tio2(p, n);" in (folder / "hspice" / file).read_text()
    assert f'.hdl "{file}"' in (folder / "hspice/array.sp").read_text()
    assert f'ahdl_include "{file}"' in (folder / "spectre/array.scs").read_text()


def test_the_command_fills_a_folder_whose_manifest_is_true(base, folder):
    """Every file is named with its hash; the way from a layer ends at files that hold its G."""
    record = manifest_of(folder)
    assert record["passed"]
    listed = {f["file"] for f in record["files"]}
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert present - listed == {"manifest.json"}
    for file in record["files"]:
        assert hashlib.sha256((folder / file["file"]).read_bytes()).hexdigest() == file["sha256"]
    drawn = xb.load(folder / "circuit/deployment.h5")
    by_name = {array.name: array for array in xb.nn.arrays(drawn)}
    places = []
    for layer in record["layers"]:
        for matrix in layer["matrices"]:
            for tile in matrix["tiles"]:
                described = next(a for a in record["arrays"] if a["array"] == tile["array"])
                with (folder / described["folder"] / "plan.csv").open() as file:
                    rows = list(csv.DictReader(file))
                G = np.zeros(described["shape"])
                for row in rows:
                    G[int(row["row"]), int(row["col"])] = float(row["G_target_S"])
                np.testing.assert_array_equal(G, by_name[tile["array"]].crossbar.G)
                assert G.shape == (np.diff(tile["lines"])[0], np.diff(tile["columns"])[0])
                places.append((layer["layer"], matrix["matrix"], described["folder"]))
    assert places == [("0", "0", "arrays/0_0_0_0_0"), ("2", "2", "arrays/1_2_0_0_0")]


def test_equal_inputs_make_equal_files(base, folder, tmp_path):
    out = tmp_path / "again"
    result = CliRunner().invoke(app, [*map(str, command(base)), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.output)
    assert record == manifest_of(out)
    pages = {"report.html", "circuit/deployment.h5"}  # torch's export names objects by chance
    steady = [
        [f for f in m["files"] if f["file"] not in pages] for m in (record, manifest_of(folder))
    ]
    assert steady[0] == steady[1]


def test_two_tapeouts_share_no_cell_of_layout_or_netlist(tmp_path):
    cells = []
    for k, name in enumerate((None, "moons")):
        out = tmp_path / str(k)
        out.mkdir()
        record = tapeout(circuit_of(), points(), out, load_technology(), names=["cdl"], name=name)
        names = {cell.name for cell in read(out / "floorplan.gds").each_cell()}
        for path in out.glob("arrays/*/netlists/cdl/array.cdl"):
            names |= set(re.findall(r"(?i)^\.subckt (\S+)", path.read_text(), re.MULTILINE))
        assert all(cell.startswith(record["name"]) for cell in names)
        cells.append(names)
    assert not cells[0] & cells[1]


def test_the_floorplan_holds_every_drawing_once_and_keeps_them_apart(tmp_path):
    circuit = circuit_of(tile_rows=2, tile_cols=4)
    record = tapeout(circuit, points(), tmp_path, load_technology(), names=["cdl"])
    plan = read(tmp_path / "floorplan.gds")
    top = plan.cell(record["floorplan"]["cell"])
    instances = [(plan.cell(i.cell_index).name, i) for i in top.each_inst()]
    beside = [f"{top.name}__mark"] * 4 + [f"{top.name}__text"]
    cells = [a["cell"] for a in record["arrays"]]
    assert sorted(name for name, _ in instances) == sorted(cells + beside)
    assert len(cells) == record["arrays_of_model"] == 10
    placed = dict(instances)
    boxes = []
    for array in record["arrays"]:
        drawing = read(tmp_path / array["folder"] / "layout.gds")
        cell = drawing.top_cell()
        instance, place = placed[cell.name], array["place_um"]
        at = instance.trans.disp
        assert (at.x * plan.dbu, at.y * plan.dbu) == pytest.approx((place["x"], place["y"]))
        assert plan.cell(cell.name).bbox() == cell.bbox()
        for index in drawing.layer_indexes():
            layer = plan.layer(drawing.get_info(index))
            ours, theirs = (
                klayout_db().Region(c.begin_shapes_rec(k))
                for c, k in ((cell, index), (plan.cell(cell.name), layer))
            )
            assert (ours ^ theirs).is_empty()
        boxes.append(cell.bbox().moved(at.x, at.y))
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            apart = (
                max(b.left - a.right, a.left - b.right, b.bottom - a.top, a.bottom - b.top)
                * plan.dbu
            )
            assert apart >= record["floorplan"]["spacing_um"] == 80.0


def test_record_and_page_say_what_the_drawn_wires_do_to_the_outputs(tmp_path):
    x = points(40)
    circuit = circuit_of(x=x, R_wl=300.0, R_bl=300.0, device="sinh_tio2")
    (software,) = outputs_of(perceptron(), (x,))
    y = software.argmax(dim=1).numpy()
    y[:8] = (y[:8] + 1) % 3  # so that accuracy and agreement differ
    np.savez(tmp_path / "x.npz", x=x.numpy(), y=y)
    xb.save(tmp_path / "net.h5", circuit)
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app,
        [
            "tapeout",
            str(tmp_path / "net.h5"),
            "--inputs",
            str(tmp_path / "x.npz"),
            "--out",
            str(out),
            "--dialect",
            "cdl",
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output + repr(result.exception)
    record = json.loads(result.output)
    effect = record["effect_of_drawn_wires"]
    wires = {m["matrix"]: m["wires"] for layer in record["layers"] for m in layer["matrices"]}
    drawn = deployment.read(out / "circuit/deployment.h5").circuit
    answers = {"assumed": outputs_of(circuit, (x,))[0], "drawn": outputs_of(drawn, (x,))[0]}
    for name, z in answers.items():
        decided = z.argmax(dim=1).numpy()
        assert effect["accuracy"][name] == np.mean(decided == y)
        same = np.mean(decided == software.argmax(dim=1).numpy())
        assert effect["agreement_with_software"][name] == same
        error = float((z - software).abs().max())
        assert effect["error_against_software"][name] == pytest.approx(error, rel=1e-6)
    change = float((answers["assumed"] - answers["drawn"]).abs().max())
    assert effect["largest_output_change"] == pytest.approx(change, rel=1e-9)
    assert effect["error_against_software"]["drawn"] < effect["error_against_software"]["assumed"]
    segments = load_technology().segments()
    for name, R in segments.items():
        assert list(wires["0"][name].values()) == pytest.approx([R, R], rel=1e-4)
    leads = wires["0"]["R_driver"]
    assert 6.0 < leads["smallest"] < leads["largest"] < 30.0, "two vias and the metal of a lead"
    page = (out / "report.html").read_text()
    scope = looked_at(load_technology())
    assert {a["lvs"]["looked_at"] for a in record["arrays"]} == {scope}
    for words in (
        scope,
        percent(effect["accuracy"]["drawn"]),
        "300 ohm",
        "1 ohm",
        "PASS",
        "no routing",
        "0[0,0,0]",
        "2[0,0,0]",
    ):
        assert words in page
    assert check_folder(out).passed


class Named(nn.Module):
    """Names with dots, colons, brackets, blanks and letters that are no ASCII; many and long."""

    def __init__(self):
        super().__init__()
        kinds = {
            "a:b[0]/c d": nn.Linear(3, 2),
            "é": nn.Linear(2, 2),
            "x" * 60: nn.Linear(2, 2),
            "a_b_0__c_d": nn.Linear(2, 2),
        }
        self.inner = nn.ModuleDict(kinds)

    def forward(self, x):
        for layer in self.inner.values():
            x = layer(x)
        return x


def test_folders_are_safe_and_different_whatever_layers_are_called():
    x = points()
    model = nn.Sequential(Named()).double().eval()
    places = sites(xb.nn.convert(model, xb.ArrayConfig(tile_rows=8), calibrate=x))
    assert [site.array.name for site in places][:2] == [
        "0.inner.a:b[0]/c d[0,0,0]",
        "0.inner.é[0,0,0]",
    ]
    folders = [site.folder for site in places]
    assert len({folder.lower() for folder in folders}) == len(folders) == 4
    for folder in folders:
        assert re.fullmatch(r"arrays/\d+_[A-Za-z0-9_]{1,40}", folder)
        assert folder.endswith("_0_0_0")


def test_layers_with_their_own_devices_and_voltages_are_drawn_and_checked(tmp_path):
    """An LSTM, whose two matrices have names with colons, and a head of another device."""
    torch.manual_seed(3)

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 2, batch_first=True), nn.Linear(2, 3)

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

    x = torch.rand(2, 5, 3)
    config = xb.ArrayConfig(tile_rows=8, tile_cols=16, device="sinh_tio2", R_wl=2.0)
    head = replace(config, device=xb.devices.SinhTiO2(b=1.5), V_read=0.1, R_wl=7.0)
    circuit = xb.nn.convert(Rows().eval(), {"lstm": config, "head": head}, calibrate=x)
    record = tapeout(circuit, x, tmp_path, load_technology(), names=["ngspice"], vectors=4)
    assert record["passed"]
    assert len({a["device"] for a in record["arrays"]}) == 2
    matrices = {m["matrix"]: m for layer in record["layers"] for m in layer["matrices"]}
    assert {n: m["reads"] for n, m in matrices.items()} == {
        "lstm:weight_ih_l0": 10,
        "lstm:weight_hh_l0": 10,
        "head": 2,
    }
    assert record["wires_assumed"]["head"]["R_wl"] == 7.0
    assert matrices["head"]["V_read"] == 0.1
    for array in record["arrays"]:
        folder = tmp_path / array["folder"]
        V_read = 0.1 if array["array"].startswith("head") else 0.2
        assert json.loads((folder / "plan.json").read_text())["V_read_V"] == V_read
        vectors = 2 if array["array"].startswith("head") else 4
        bench = (folder / "netlists/ngspice/bench_0.cir").read_text()
        assert f": {vectors} vectors" in bench
    assert check_folder(tmp_path).passed


def test_chosen_arrays_alone_are_drawn_and_the_others_keep_their_wires(tmp_path):
    circuit = circuit_of(tile_rows=2, tile_cols=4, R_wl=50.0)
    names = [array.name for array in xb.nn.arrays(circuit)]
    record = tapeout(
        circuit, points(), tmp_path, load_technology(), names=["cdl"], only=[names[-1]]
    )
    assert [a["array"] for a in record["arrays"]] == [names[-1]]
    assert len(list((tmp_path / "arrays").iterdir())) == 1
    assert record["arrays_of_model"] == len(names)
    kept, drawn = (layer["matrices"][0]["wires"] for layer in record["layers"])
    assert (kept["R_wl"], kept["R_driver"]) == (50.0, 0.0)
    assert drawn["R_driver"]["largest"] > 6.0
    assert check_folder(tmp_path).passed


def test_ctrl_c_leaves_nothing_behind(base, tmp_path, monkeypatch):
    from xbarspice.tapeout import flow

    drawn = []

    def stop(*arguments):
        drawn.append(arguments)
        if len(drawn) == 2:
            signal.raise_signal(signal.SIGINT)
        return draw(*arguments)

    draw = flow.draw_array
    monkeypatch.setattr(flow, "draw_array", stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a script may ignore it
    try:
        words = [*map(str, command(base)), "--out", str(tmp_path / "out")]
        result = run_command(*words)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.returncode == 130
    assert "stopped by Ctrl-C before a result was written" in result.stderr
    assert len(drawn) == 2
    assert not list(tmp_path.iterdir())


def test_the_command_names_a_wrong_technology(base, tmp_path):
    words = [*map(str, command(base)), "--technology", "none.toml", "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, xb.errors.InputError)
    assert "none.toml" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_drawing_gives_arrays_their_wires():
    circuit = circuit_of()
    first, second = arrays(circuit)
    rows, cols = first.crossbar.G.shape
    R_wl = np.linspace(0.5, 2.0, rows * (cols - 1)).reshape(rows, cols - 1)
    drawn = as_drawn(
        circuit, {first.name: {"R_wl": R_wl, "R_sense": 7.0}, second.name: {"R_bl": 3.0}}
    )
    one, other = (array.crossbar for array in arrays(drawn))
    np.testing.assert_array_equal(one.R_wl, R_wl)
    assert (one.R_sense, one.R_bl) == (7.0, first.crossbar.R_bl)
    assert other.wires == second.crossbar.wires | {"R_bl": 3.0}
    assert first.crossbar.wires == arrays(circuit)[0].crossbar.wires  # a copy was drawn
    record = wires_record(drawn)
    assert record["0"]["R_wl"] == {"smallest": 0.5, "largest": 2.0}
    assert record["2"]["R_bl"] == 3.0
    with pytest.raises(xb.errors.InputError, match="belong to arrays"):
        as_drawn(circuit, {"2": {"R_wl": 1.0}})  # a matrix
