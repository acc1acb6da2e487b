"""The check of a tapeout folder against its manifest and its circuit."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import xbarspice as xb
from tests.unit.tapeout.circuits import manifest_of
from xbarspice.cli.app import app
from xbarspice.tapeout import (
    check_folder,
)


def test_a_fresh_folder_passes_its_check(folder):
    result = check_folder(folder)
    assert result.passed, result.problems
    assert result.files == sum(p.is_file() for p in folder.rglob("*")) - 1  # the manifest itself
    # CDL; Spectre with a bench; plans; two schematics, DSPF and SPEF
    assert result.texts == 2 * (2 + 3 + 2 + 4)
    result = CliRunner().invoke(app, ["tapeout", str(folder), "--check", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["problems"] == []


def test_every_kind_of_change_is_named(folder, tmp_path):
    """A byte more in one file of each kind; a file too few and one too many."""
    copy = tmp_path / "copy"
    kinds = {f["kind"]: f["file"] for f in manifest_of(folder)["files"]}
    assert len(kinds) == 14
    shutil.copytree(folder, copy)
    for name in kinds.values():
        (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
    (copy / "arrays/0_0_0_0_0/lvs.json").unlink()
    (copy / "plan.csv").write_text("")
    expected = dict.fromkeys(kinds.values(), "was changed since it was written")
    expected |= {"arrays/0_0_0_0_0/lvs.json": "is missing", "plan.csv": "is not in the manifest"}
    assert dict(check_folder(copy).problems) == expected


def renew_hashes(folder, *names):
    """Write the hashes of files into the manifest again, as someone who means to hide would."""
    manifest = manifest_of(folder)
    for record in manifest["files"]:
        if record["file"] in names:
            digest = hashlib.sha256((folder / record["file"]).read_bytes()).hexdigest()
            record["sha256"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))


EDITS = [
    ("plan.csv", r"(?m)^(0,(?:[^,]+,){7})\d", r"\g<1>9", "conductances of 2[0,0,0]"),
    ("plan.csv", r"(?m)^(3,(?:[^,]+,){9})\d", r"\g<1>9", "read currents of 2[0,0,0]"),
    ("plan.json", r'("I_final_A": )\d', r"\g<1>9", "read currents of 2[0,0,0]"),
    ("plan.json", r'("G_target_S": )\d', r"\g<1>9", "conductances of 2[0,0,0]"),
    ("netlists/cdl/array.cdl", r"(Rw_0_0 \S+ \S+) \S+", r"\1 1000.0", "word line 0"),
    ("netlists/cdl/array.cdl", r"(Rd_0_0 \S+ \S+) \S+", r"\1 7.0", "row 0, column 0"),
    ("netlists/spectre/array_flat.scs", r"(Xd_0_0 .*=)\S+", r"\g<1>1", "row 0, column 0"),
    ("netlists/spectre/array.scs", r"(Xd_0_0 .*=)\S+", r"\g<1>0.1", "row 0, column 0"),
    ("netlists/spectre/array.scs", r"sinh\(", "cosh(", "device model"),
    ("netlists/spectre/array.scs", r"\Z", "o options temp=99\n", "no card that we write"),
    ("netlists/spectre/bench_0.scs", r"vsource dc=0", "vsource dc=1", "differs from"),
    ("netlists/spectre/bench_0.scs", r"array\.scs", "other.scs", "differs from"),
    ("netlists/cdl/schematic.cdl", r"Xd_0_0 WL<0>", "Xd_0_0 WL<1>", "differs from"),
    ("netlists/spice/schematic.spice", r"area=0", "area=1", "differs from"),
    ("netlists/dspf/array.dspf", r"(?m)^(R2 \S+ \S+) \S+", r"\1 1000.0", "differs from"),
    ("netlists/spef/array.spef", r"(?m)^(1 \S+) \S+$", r"\1 1000.0", "differs from"),
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
    renew_hashes(copy, name)
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
    renew_hashes(copy, name)
    assert check_folder(copy).passed


def change_wires(circuit):
    wires = {a.name: {**a.crossbar.wires, "R_wl": 1000.0} for a in xb.nn.arrays(circuit)}
    xb.nn.put_wires(circuit, wires)


def change_weight(circuit):
    with torch.no_grad():
        next(circuit.parameters()).mul_(1.5)


@pytest.mark.parametrize("change", [change_wires, change_weight])
def test_a_deployment_that_changed_is_named_by_what_no_longer_follows(change, folder, tmp_path):
    copy, name = tmp_path / "copy", "circuit/deployment.h5"
    shutil.copytree(folder, copy)
    circuit = xb.load(copy / name)
    change(circuit)
    xb.save(copy / name, circuit)
    assert dict(check_folder(copy).problems) == {name: "was changed since it was written"}
    renew_hashes(copy, name)
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
    renew_hashes(copy, name)
    problems = dict(check_folder(copy).problems)
    assert problems[name] == "does not hold the drives of 2 that the inputs cause"
    with np.load(copy / "circuit/inputs.npz") as file:
        np.savez(copy / "circuit/inputs.npz", **{"0": file["0"] * 0.9})
    renew_hashes(copy, "circuit/inputs.npz")
    assert name in dict(check_folder(copy).problems)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/hostname",
        "arrays/../../secret",
        "C:x",
        "arrays\\plan.csv",
        "",
        "./run.toml",
        "arrays//plan.csv",
        "link/secret",
        "link.txt",
    ],
)
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
        name: "is not in the manifest",
        twice: "is named twice",
    }
    for change, words in (
        (lambda m: m["layers"].reverse(), "does not map the layers of the model to their arrays"),
        (lambda m: m["arrays"].pop(), "names other arrays than the circuit has"),
        (lambda m: m["arrays"][0].update(cell="other"), "describes 0[0,0,0] otherwise"),
    ):
        manifest = manifest_of(folder)
        change(manifest)
        (copy / "manifest.json").write_text(json.dumps(manifest))
        assert any(words in problem for _, problem in check_folder(copy).problems)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(xb.errors.InputError, match=r"manifest\.json"):
        check_folder(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(xb.errors.InputError, match="wrote"):
        check_folder(tmp_path)
