"""The tapeout folder of a model on arrays, the programming plan and the command."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import asymmetric_crossbar, small_network
from xbarspice.cli.app import app
from xbarspice.importers import perceptron as perceptron_files
from xbarspice.nn.origin import outputs_of
from xbarspice.tapeout import (
    as_drawn,
    check_folder,
    layout,
    load_technology,
    plan,
    tapeout,
)
from xbarspice.tapeout.sites import sites


def perceptron(seed=0):
    """Three inputs, four hidden, three classes, in double precision."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double().eval()


def points(count=6):
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def circuit_of(model=None, x=None, **config):
    x = points() if x is None else x
    config = {"tile_rows": 8, "tile_cols": 8, "R_wl": 1.0, "R_bl": 1.0} | config
    return xb.nn.convert(
        perceptron() if model is None else model, xb.ArrayConfig(**config), calibrate=x
    )


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
        circuit_of(device="sinh_tio2"), points(), tmp_path, load_technology(), name="moons",
        names=["hspice", "spectre"], form="verilog_a", only=["2[0,0,0]"],
    )  # fmt: skip
    file = "moons_a1__sinh_tio2.va"
    folder = tmp_path / record["arrays"][0]["folder"] / "netlists"
    names = {r["file"].rpartition("/")[2] for r in record["files"] if r["kind"] == "device model"}
    assert names == {file}
    assert "module moons_a1__sinh_tio2(p, n);" in (folder / "hspice" / file).read_text()
    assert f'.hdl "{file}"' in (folder / "hspice/array.sp").read_text()
    assert f'ahdl_include "{file}"' in (folder / "spectre/array.scs").read_text()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A perceptron's file, inputs with classes, and a tapeout of it in two dialects."""
    base = tmp_path_factory.mktemp("tapeout")
    perceptron_files.save(base / "net.npz", small_network())
    rng = np.random.default_rng(5)
    np.savez(base / "x.npz", x=rng.uniform(-1.0, 1.0, (12, 2)))
    result = CliRunner().invoke(app, [*map(str, command(base)), "--out", str(base / "out")])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return base


def command(base):
    return ["tapeout", base / "net.npz", "--inputs", base / "x.npz", "--dialect", "cdl",
            "--dialect", "spectre", "--set", "mapping.tile_rows=8", "--set", "mapping.tile_cols=8",
            "--set", "array.device=sinh_tio2"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(base):
    return base / "out"


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


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
    seen = []
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
                seen.append((layer["layer"], matrix["matrix"], described["folder"]))
    assert seen == [("0", "0", "arrays/0_0_0_0_0"), ("2", "2", "arrays/1_2_0_0_0")]


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


def test_a_fresh_folder_passes_its_check(folder):
    result = check_folder(folder)
    assert result.passed, result.problems
    assert result.files == sum(p.is_file() for p in folder.rglob("*")) - 1  # the manifest itself
    assert result.texts == 2 * (2 + 3 + 1 + 2)  # CDL; Spectre with a bench; the layout's; plans
    done = CliRunner().invoke(app, ["tapeout", str(folder), "--check", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["problems"] == []


def test_every_kind_of_change_is_named(folder, tmp_path):
    """A byte more in one file of each kind; a file too few and one too many."""
    copy = tmp_path / "copy"
    kinds = {f["kind"]: f["file"] for f in manifest_of(folder)["files"]}
    assert len(kinds) == 10
    shutil.copytree(folder, copy)
    for name in kinds.values():
        (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
    (copy / "arrays/0_0_0_0_0/lvs.json").unlink()
    (copy / "plan.csv").write_text("")
    wanted = dict.fromkeys(kinds.values(), "was changed since it was written")
    wanted |= {"arrays/0_0_0_0_0/lvs.json": "is missing", "plan.csv": "is not in the manifest"}
    assert dict(check_folder(copy).problems) == wanted


def renewed(folder, *names):
    """Write the hashes of files into the manifest again, as someone who means to hide would."""
    manifest = manifest_of(folder)
    for record in manifest["files"]:
        if record["file"] in names:
            digest = hashlib.sha256((folder / record["file"]).read_bytes()).hexdigest()
            record["sha256"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))


EDITS = [
    ("plan.csv", r"(?m)^0,(\d+),(\d+),\d", r"0,\1,\2,9", "conductances of 2[0,0,0]"),
    ("plan.json", r'("G_target_S": )\d', r"\g<1>9", "conductances of 2[0,0,0]"),
    ("netlists/cdl/array.cdl", r"(Rw_0_0 \S+ \S+) \S+", r"\1 1000.0", "word line 0"),
    ("netlists/cdl/array.cdl", r"(Rd_0_0 \S+ \S+) \S+", r"\1 7.0", "row 0, column 0"),
    ("netlists/spectre/array_flat.scs", r"(Xd_0_0 .*=)\S+", r"\g<1>1", "row 0, column 0"),
    ("netlists/spectre/array.scs", r"(Xd_0_0 .*=)\S+", r"\g<1>0.1", "row 0, column 0"),
    ("netlists/spectre/array.scs", r"sinh\(", "cosh(", "device model"),
    ("netlists/spectre/array.scs", r"\Z", "o options temp=99\n", "no card that we write"),
    ("netlists/spectre/bench_0.scs", r"vsource dc=0", "vsource dc=1", "differs from"),
    ("netlists/spectre/bench_0.scs", r"array\.scs", "other.scs", "differs from"),
    ("layout.cdl", r"(Rw_0_0 \S+ \S+) \S+", r"\1 1000.0", "differs from"),
]


@pytest.mark.parametrize(("name", "old", "new", "words"), EDITS)
def test_an_edited_text_is_named_even_where_the_hash_was_renewed(
    name, old, new, words, folder, tmp_path
):
    copy, name = tmp_path / "copy", f"arrays/1_2_0_0_0/{name}"
    shutil.copytree(folder, copy)
    text, count = re.subn(old, new, (copy / name).read_text(), count=1)
    assert count == 1
    (copy / name).write_text(text)
    renewed(copy, name)
    result = CliRunner().invoke(app, ["tapeout", str(copy), "--check", "--json"])
    assert result.exit_code == 1
    (problem,) = json.loads(result.output)["problems"]
    assert problem["file"] == name
    assert words in problem["problem"]


def test_a_comment_in_a_netlist_is_no_other_circuit(folder, tmp_path):
    copy, name = tmp_path / "copy", "arrays/0_0_0_0_0/netlists/spectre/array.scs"
    shutil.copytree(folder, copy)
    (copy / name).write_text((copy / name).read_text() + "// seen by the designer\n")
    assert dict(check_folder(copy).problems) == {name: "was changed since it was written"}
    renewed(copy, name)
    assert check_folder(copy).passed


def other_wires(circuit):
    for layer in xb.nn.crossbar_layers(circuit).values():
        for matrix in layer.matrices.values():
            matrix.config = replace(matrix.config, R_wl=1000.0)


def other_weight(circuit):
    with torch.no_grad():
        next(circuit.parameters()).mul_(1.5)


@pytest.mark.parametrize("change", [other_wires, other_weight])
def test_a_deployment_that_changed_is_named_by_what_no_longer_follows(change, folder, tmp_path):
    copy, name = tmp_path / "copy", "circuit/deployment.h5"
    shutil.copytree(folder, copy)
    circuit = xb.load(copy / name)
    change(circuit)
    xb.save(copy / name, circuit)
    assert dict(check_folder(copy).problems) == {name: "was changed since it was written"}
    renewed(copy, name)
    names = [name for name, _ in check_folder(copy).problems]
    assert "arrays/0_0_0_0_0/netlists/cdl/array.cdl" in names
    assert "manifest.json" in names  # it states wires and conductances


def test_drives_that_the_inputs_do_not_cause_are_named(folder, tmp_path):
    """Although every bench follows from them, and all hashes were renewed."""
    copy, name = tmp_path / "copy", "circuit/drives.npz"
    shutil.copytree(folder, copy)
    with np.load(copy / name) as file:
        drives = dict(file)
    drives["volts_1"] = drives["volts_1"] + 1e-6
    np.savez(copy / name, **drives)
    renewed(copy, name)
    problems = dict(check_folder(copy).problems)
    assert problems[name] == "does not hold the drives of 2 that the inputs cause"
    with np.load(copy / "circuit/inputs.npz") as file:
        np.savez(copy / "circuit/inputs.npz", **{"0": file["0"] * 0.9})
    renewed(copy, "circuit/inputs.npz")
    assert name in dict(check_folder(copy).problems)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "arrays/../../secret", "C:x", "arrays\\plan.csv", "",
             "./run.toml", "arrays//plan.csv", "link/secret", "link.txt"],
)  # fmt: skip
def test_names_outside_the_folder_are_refused_and_never_read(name, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (tmp_path / "secret").write_text("x")
    (copy / "link").symlink_to(tmp_path, target_is_directory=True)
    (copy / "link.txt").symlink_to(tmp_path / "secret")
    manifest = json.loads((copy / "manifest.json").read_text())
    digest = hashlib.sha256(b"x").hexdigest()
    manifest["files"].append({"file": name, "kind": "settings", "sha256": digest})
    (copy / "manifest.json").write_text(json.dumps(manifest))
    problems = check_folder(copy).problems
    assert (name, "leads out of the folder or through a link") in problems
    assert ("link", "is a link") in problems
    assert ("link.txt", "is a link") in problems


def test_a_manifest_that_says_less_or_otherwise_is_named(folder, tmp_path):
    copy, name = tmp_path / "copy", "arrays/0_0_0_0_0/netlists/cdl/array.cdl"
    shutil.copytree(folder, copy)
    (copy / name).unlink()
    manifest = manifest_of(copy)
    manifest["files"] = [f for f in manifest["files"] if f["file"] != name]
    manifest["files"].append(manifest["files"][0])
    (copy / "manifest.json").write_text(json.dumps(manifest))
    twice = manifest["files"][0]["file"]
    assert dict(check_folder(copy).problems) == {
        name: "is not in the manifest", twice: "is named twice"
    }  # fmt: skip
    for change, words in (
        (lambda m: m["layers"].reverse(), "does not map the layers of the model to their arrays"),
        (lambda m: m["arrays"].pop(), "names other arrays than the circuit has"),
        (lambda m: m["arrays"][0].update(cell="other"), "describes 0[0,0,0] otherwise"),
    ):
        manifest = manifest_of(folder)
        change(manifest)
        (copy / "manifest.json").write_text(json.dumps(manifest))
        assert any(words in said for _, said in check_folder(copy).problems)


def test_two_tapeouts_share_no_cell_of_layout_or_netlist(tmp_path):
    cells = []
    for k, name in enumerate((None, "moons")):
        out = tmp_path / str(k)
        out.mkdir()
        record = tapeout(circuit_of(), points(), out, load_technology(), names=["cdl"], name=name)
        own = {cell.name for cell in layout.read(out / "floorplan.gds").each_cell()}
        for path in out.glob("arrays/*/netlists/cdl/array.cdl"):
            own |= set(re.findall(r"(?i)^\.subckt (\S+)", path.read_text(), re.MULTILINE))
        assert all(cell.startswith(record["name"]) for cell in own)
        cells.append(own)
    assert not cells[0] & cells[1]


def test_the_floorplan_holds_every_drawing_once_and_keeps_them_apart(tmp_path):
    circuit = circuit_of(tile_rows=2, tile_cols=4)
    record = tapeout(circuit, points(), tmp_path, load_technology(), names=["cdl"])
    made = layout.read(tmp_path / "floorplan.gds")
    top = made.cell(record["floorplan"]["cell"])
    placed = {made.cell(i.cell_index).name: i for i in top.each_inst()}
    assert sorted(placed) == sorted(a["cell"] for a in record["arrays"])
    assert len(placed) == top.child_instances() == record["arrays_of_model"] == 10
    boxes = []
    for array in record["arrays"]:
        drawing = layout.read(tmp_path / array["folder"] / "layout.gds")
        own = drawing.top_cell()
        instance, place = placed[own.name], array["place_um"]
        at = instance.trans.disp
        assert (at.x * made.dbu, at.y * made.dbu) == pytest.approx((place["x"], place["y"]))
        assert made.cell(own.name).bbox() == own.bbox()
        for index in drawing.layer_indexes():
            other = made.layer(drawing.get_info(index))
            ours, theirs = (
                layout.klayout_db().Region(c.begin_shapes_rec(k))
                for c, k in ((own, index), (made.cell(own.name), other))
            )
            assert (ours ^ theirs).is_empty()
        boxes.append(own.bbox().moved(at.x, at.y))
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            apart = (
                max(b.left - a.right, a.left - b.right, b.bottom - a.top, a.bottom - b.top)
                * made.dbu
            )
            assert apart >= record["floorplan"]["spacing_um"] == 10.0


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
        app, ["tapeout", str(tmp_path / "net.h5"), "--inputs", str(tmp_path / "x.npz"), "--out",
              str(out), "--dialect", "cdl", "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output + repr(result.exception)
    record = json.loads(result.output)
    effect = record["effect_of_drawn_wires"]
    drawn = as_drawn(circuit, dict.fromkeys(("0", "2"), load_technology().wires()))
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
    assert record["layers"][0]["matrices"][0]["wires"] == pytest.approx(load_technology().wires())
    page = (out / "report.html").read_text()
    scope = "lines and devices compared; pads, vias and sizes not looked at"
    assert {a["lvs"]["looked_at"] for a in record["arrays"]} == {scope}
    for words in (scope, f"{100 * effect['accuracy']['drawn']:.2f} %", "300 ohm", "1 ohm", "PASS",
                  "no routing", "0[0,0,0]", "2[0,0,0]"):  # fmt: skip
        assert words in page
    assert check_folder(out).passed


class Named(nn.Module):
    """Names with dots, colons, brackets, blanks and letters that are no ASCII; many and long."""

    def __init__(self):
        super().__init__()
        kinds = {"a:b[0]/c d": nn.Linear(3, 2), "é": nn.Linear(2, 2), "x" * 60: nn.Linear(2, 2),
                 "a_b_0__c_d": nn.Linear(2, 2)}  # fmt: skip
        self.inner = nn.ModuleDict(kinds)

    def forward(self, x):
        for layer in self.inner.values():
            x = layer(x)
        return x


def test_folders_are_safe_and_different_whatever_layers_are_called():
    x = points()
    model = nn.Sequential(Named()).double().eval()
    found = sites(xb.nn.convert(model, xb.ArrayConfig(tile_rows=8), calibrate=x))
    assert [site.array.name for site in found][:2] == ["0.inner.a:b[0]/c d[0,0,0]",
                                                       "0.inner.é[0,0,0]"]  # fmt: skip
    folders = [site.folder for site in found]
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
        "lstm:weight_ih_l0": 10, "lstm:weight_hh_l0": 10, "head": 2
    }  # fmt: skip
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
    wires = [layer["matrices"][0]["wires"]["R_wl"] for layer in record["layers"]]
    assert wires == [50.0, 1.0]
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
        result = CliRunner().invoke(app, words)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130 or isinstance(result.exception, KeyboardInterrupt)
    assert len(drawn) == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(xb.errors.InputError, match=r"manifest\.json"):
        check_folder(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(xb.errors.InputError, match="wrote"):
        check_folder(tmp_path)


def test_the_command_names_a_wrong_technology(base, tmp_path):
    words = [*map(str, command(base)), "--technology", "none.toml", "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, xb.errors.InputError)
    assert "none.toml" in str(result.exception)
    assert not list(tmp_path.iterdir())
