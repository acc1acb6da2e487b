"""The tapeout folder, the programming plan and the command."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import asymmetric_crossbar, small_network
from xbarspice import network, store
from xbarspice.cli.app import app
from xbarspice.mapping import map_network
from xbarspice.studies.inference import infer
from xbarspice.tapeout import (
    as_drawn,
    check_folder,
    layout,
    load_technology,
    plan,
    tapeout,
    write_netlists,
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


LEADS = {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 70.0, "R_sense": 11.0}


def by_hand(G, V_word, V_bit):
    """Currents out of the word-line and bit-line sources of a drawn array: plain nodal analysis.

    Every word line has its lead on the left, every bit line at the bottom, whatever is done there.
    """
    rows, cols = G.shape
    nodes = np.arange(2 * rows * cols).reshape(2, rows, cols)
    Y, J = np.zeros((nodes.size, nodes.size)), np.zeros(nodes.size)

    def resistor(a, b, ohm):
        for p, q in ((a, b), (b, a)):
            Y[p, p] += 1 / ohm
            Y[p, q] -= 1 / ohm

    for r, c in np.ndindex(G.shape):
        if G[r, c] > 0:
            resistor(nodes[0, r, c], nodes[1, r, c], 1 / G[r, c])
        if c:
            resistor(nodes[0, r, c - 1], nodes[0, r, c], LEADS["R_wl"])
        if r:
            resistor(nodes[1, r - 1, c], nodes[1, r, c], LEADS["R_bl"])
    ends = ((nodes[0, :, 0], V_word, LEADS["R_driver"]), (nodes[1, -1], V_bit, LEADS["R_sense"]))
    for where, volts, lead in ends:
        Y[where, where] += 1 / lead
        J[where] += volts / lead
    V = np.linalg.solve(Y, J)
    return [(volts - V[where]) / lead for where, volts, lead in ends]


def test_both_passes_of_a_folded_network_meet_the_leads_that_are_drawn():
    mapped = map_network(small_network(), layout="folded", tile_rows=8, tile_cols=8, **LEADS)
    drawn = as_drawn(map_network(small_network(), layout="folded", tile_rows=8, tile_cols=8), LEADS)
    rng = np.random.default_rng(3)
    for net in (mapped, drawn):
        for block in net.blocks:
            width = net.network.sizes[block.layer]
            V_in, V_out = net.voltages(block, rng.uniform(0.1, 1.0, (2, width)))
            answer = xb.solve(net.crossbar(block), V_in, V_out, engine="nodal")
            for k in range(2):
                I_word, I_bit = by_hand(net.arrays[0].G, V_in[k], V_out[k])
                np.testing.assert_allclose(answer.I_in[k], I_word, rtol=1e-9)
                np.testing.assert_allclose(answer.I_out[k], -I_bit, rtol=1e-9)


def test_equal_leads_leave_a_reverse_pass_as_it_was_mapped():
    mapped = map_network(small_network(), layout="folded", tile_rows=8, tile_cols=8, R_driver=5.0,
                         R_sense=5.0)  # fmt: skip
    assert mapped.crossbar(mapped.blocks[1]).ends == mapped.blocks[1].ends


def test_netlists_of_a_folded_network_with_unequal_leads_are_written(tmp_path):
    mapped = map_network(small_network(), layout="folded", tile_rows=8, tile_cols=8, **LEADS)
    write_netlists(mapped, [[0.2, 0.4]], tmp_path / "netlists", names=["ngspice"])
    text = (tmp_path / "netlists/ngspice/bench_block1.cir").read_text()
    assert "Vws_0 WL<0> 0 0" in text  # at 0 V, through the lead that the design holds
    assert "Vout_0 BL<0> 0" in text


def test_a_form_that_a_dialect_lacks_is_refused_before_any_work(tmp_path):
    mapped = map_network(small_network(), layout="folded", tile_rows=8, tile_cols=8,
                         device="sinh_tio2")  # fmt: skip
    x = [[0.2, 0.4]]
    with pytest.raises(xb.errors.InputError, match="received ltspice, xyce, which do not"):
        tapeout(mapped, x, tmp_path, load_technology(), form="verilog_a")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(xb.errors.InputError, match="`form` must be one of"):
        write_netlists(mapped, x, tmp_path, form="spline")
    dialects = ["hspice", "spectre"]
    records = write_netlists(mapped, x, tmp_path, names=dialects, form="verilog_a", name="moons")
    file = "moons__sinh_tio2.va"
    assert {r["file"].rpartition("/")[2] for r in records if r["kind"] == "device model"} == {file}
    assert "module moons__sinh_tio2(p, n);" in (tmp_path / "hspice" / file).read_text()
    assert f'.hdl "{file}"' in (tmp_path / "hspice/network.sp").read_text()
    assert f'ahdl_include "{file}"' in (tmp_path / "spectre/network.scs").read_text()


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
        assert flipped.pop(record["file"]).startswith(("was changed", "differs"))
        assert not flipped
    assert problems((copy / "run.toml").unlink) == {"run.toml": "is missing"}
    extra = problems(lambda: (copy / "plan/tile_9.csv").write_text(""))
    assert extra == {"plan/tile_9.csv": "is not in the manifest"}


def renewed(folder, *names):
    """Write the hashes of files into the manifest again, as someone who means to hide would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for record in manifest["files"]:
        if record["file"] in names:
            digest = hashlib.sha256((folder / record["file"]).read_bytes()).hexdigest()
            record["sha256"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("plan/tile_1.csv", r"(?m)^0,(\d+),(\d+),\d", r"0,\1,\2,9", "conductances of tile 1"),
        ("netlists/cdl/network.cdl", r"(Rw_0_0 \S+ \S+) \S+", r"\1 1000.0", "word line 0"),
        ("netlists/cdl/network.cdl", r"(Rd_0_0 \S+ \S+) \S+", r"\1 7.0", "row 0, column 0"),
        ("netlists/spectre/network_flat.scs", r"(Xt0_d_0_0 .*=)\S+", r"\g<1>1", "row 0, col"),
        ("netlists/spectre/network.scs", r"(Xd_0_0 .*=)\S+", r"\g<1>0.1", "row 0, column 0"),
        ("netlists/spectre/network.scs", r"sinh\(", "cosh(", "device model"),
        ("netlists/spectre/network.scs", r"\Z", "o options temp=99\n", "no card that we write"),
        ("netlists/spectre/bench_block0.scs", r"vsource dc=0", "vsource dc=1", "differs from"),
        ("netlists/spectre/bench_block1.scs", r"network\.scs", "other.scs", "differs from"),
        ("layout/tile_0.cdl", r"(Rw_0_0 \S+ \S+) \S+", r"\1 1000.0", "differs from"),
    ],
)  # fmt: skip
def test_an_edited_text_is_named_even_where_the_hash_was_renewed(
    name, old, new, words, folder, tmp_path
):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    text, count = re.subn(old, new, (copy / name).read_text(), count=1)
    assert count == 1
    (copy / name).write_text(text)
    renewed(copy, name)
    ((file, said),) = check_folder(copy).problems
    assert file == name
    assert words in said
    result = CliRunner().invoke(app, ["tapeout", str(copy), "--check"])
    assert result.exit_code == 1
    assert name in "".join(result.output.split())


def test_a_comment_in_a_netlist_is_no_other_circuit(folder, tmp_path):
    copy, name = tmp_path / "copy", "netlists/spectre/network.scs"
    shutil.copytree(folder, copy)
    (copy / name).write_text((copy / name).read_text() + "// seen by the designer\n")
    assert dict(check_folder(copy).problems) == {name: "was changed since it was written"}
    renewed(copy, name)
    assert check_folder(copy).passed


def test_a_network_that_changed_is_named(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    mapped = store.load_mapped(copy / "network/mapped.h5")
    arrays = (mapped.arrays[0].replace(R_wl=1000.0), *mapped.arrays[1:])
    store.save_mapped(copy / "network/mapped.h5", dataclasses.replace(mapped, arrays=arrays))
    assert not check_folder(copy).passed
    renewed(copy, "network/mapped.h5")
    names = [name for name, _ in check_folder(copy).problems]
    assert "netlists/cdl/network.cdl" in names


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "plan/../../secret", "C:x", "plan\\tile_0.csv", "",
             "./run.toml", "plan//tile_0.csv", "link/secret", "link.txt"],
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


def test_a_manifest_that_drops_a_netlist_is_named(folder, tmp_path):
    copy, name = tmp_path / "copy", "netlists/cdl/network.cdl"
    shutil.copytree(folder, copy)
    (copy / name).unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"] = [f for f in manifest["files"] if f["file"] != name]
    manifest["files"].append(manifest["files"][0])
    (copy / "manifest.json").write_text(json.dumps(manifest))
    twice = manifest["files"][0]["file"]
    assert dict(check_folder(copy).problems) == {
        name: "is not in the manifest", twice: "is named twice"
    }  # fmt: skip


def test_two_tapeouts_share_no_cell_of_layout_or_netlist(tmp_path):
    cells = []
    for k, name in enumerate((None, "moons")):
        mapped = map_network(small_network(), layout="folded", tile_rows=8, tile_cols=8)
        out = tmp_path / str(k)
        out.mkdir()
        record = tapeout(mapped, [[0.2, 0.4]], out, load_technology(), names=["cdl"], name=name)
        gds = layout.read(out / "layout/tile_0.gds")
        own = {cell.name for cell in gds.each_cell()}
        text = (out / "netlists/cdl/network.cdl").read_text()
        own |= set(re.findall(r"(?i)^\.subckt (\S+)", text, re.MULTILINE))
        assert all(cell.startswith(record["name"]) for cell in own)
        cells.append(own)
    assert not cells[0] & cells[1]
    with pytest.raises(xb.errors.InputError, match="name of a design"):
        tapeout(mapped, [[0.2, 0.4]], out, load_technology(), name="a b")


def test_record_and_page_say_how_the_accuracy_changes_with_the_drawn_wires(tmp_path):
    net = small_network()
    network.save(tmp_path / "net.npz", net)
    x = np.random.default_rng(5).uniform(-1.0, 1.0, (40, 2))
    y = y_of(net, x)
    y[:8] = 1 - y[:8]  # so that accuracy and agreement differ
    np.savez(tmp_path / "points.npz", x=x, y=y)
    out = tmp_path / "out"
    args = ["tapeout", str(tmp_path / "net.npz"), "--inputs", str(tmp_path / "points.npz")]
    args += ["--out", str(out), "--dialect", "cdl", "--json", "--set", "mapping.layout=folded"]
    for setting in ("array.R_wl=200", "array.R_bl=200", "array.device=ohmic"):
        args += ["--set", setting]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    record = json.loads(result.output)
    wires = {"R_wl": 200.0, "R_bl": 200.0}
    assumed = map_network(net, layout="folded", tile_rows=8, tile_cols=8, **wires)
    drawn = as_drawn(assumed, record["wires"]["drawn"])
    effect = record["effect_of_drawn_wires"]
    for name, mapped in (("assumed", assumed), ("drawn", drawn)):
        found = infer(mapped, x, "surrogate").predictions
        assert effect["accuracy"][name] == np.mean(found == y)
        assert effect["agreement_with_software"][name] == np.mean(found == y_of(net, x))
    assert effect["accuracy"]["assumed"] < effect["accuracy"]["drawn"]
    page = (out / "report.html").read_text()
    scope = "lines and devices compared; pads, vias and sizes not looked at"
    assert record["tiles"][0]["lvs"]["looked_at"] == scope
    assert page.count(scope) == 1 + len(record["tiles"])
    for words in (f"{100 * effect['accuracy']['drawn']:.2f} %", "200 ohm", "1 ohm", "PASS"):
        assert words in page
    assert check_folder(out).passed


def y_of(net, x):
    return net.predict(net.forward(x)[-1])


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
