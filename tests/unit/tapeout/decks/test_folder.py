"""Decks on a tapeout, by the command: while it is written, and on its folder."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.helpers import run_command, small_network
from tests.unit.tapeout.circuits import manifest_of
from tests.unit.tapeout.decks.test_decks import COMPARE, RULES, SETUP, TECH, script
from xbarspice.importers import perceptron as perceptron_files
from xbarspice.tapeout import check_folder
from xbarspice.tapeout.technology import packaged

CELL = "sky130_fd_pr_reram__reram_cell"
STRICT = 'source($input, $top_cell)\nreport("strict", $report)\n' + (
    'input(201, 20).width(0.5.um).output("reram.width", "ReRAM narrower than 0.5 um")\n'
)


def run(*words):
    return run_command("tapeout", *words)


def command(base, *more):
    technology = base / "technology.toml"
    words = [base / "net.npz", "--inputs", base / "x.npz", "--technology", technology]
    words += ["--dialect", "cdl", "--set", "array.device=sinh_tio2"]
    words += ["--set", "mapping.tile_rows=8", "--set", "mapping.tile_cols=8"]
    return [*words, *more]


def write_technology(path, *without):
    """SKY130B without the entries that begin so."""
    lines = packaged("sky130b").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(without)]
    assert len(kept) < len(lines)
    path.write_text("".join(kept))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tapeout in SKY130B on which a rule deck and KLayout's comparison were run."""
    base = tmp_path_factory.mktemp("decks")
    # the small technology of these tests for Magic writes areas in m^2, the foundry's in um^2
    write_technology(base / "technology.toml", "extracted_")
    perceptron_files.save(base / "net.npz", small_network())
    np.savez(base / "x.npz", x=np.random.default_rng(5).uniform(-1.0, 1.0, (12, 2)))
    decks = ["--drc", RULES, "--lvs", "klayout", "--lvs-deck", COMPARE]
    result = run(*command(base, "--out", base / "out", *decks, "--deck-variable", f"device={CELL}"))
    assert result.returncode == 0, result.stdout
    return base


@pytest.fixture
def folder(base, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(base / "out", copy)
    return copy


def states(folder):
    return {(d["array"], d["name"]): d["state"] for d in manifest_of(folder)["decks"]}


def test_every_drawing_has_a_verdict_in_manifest_and_page(base):
    folder = base / "out"
    arrays = [a["array"] for a in manifest_of(folder)["arrays"]]
    expected = {(a, "drc_klayout_rules"): "clean" for a in (*arrays, None)}
    expected |= {(a, "lvs_klayout_compare"): "clean" for a in arrays}
    assert states(folder) == expected
    assert manifest_of(folder)["passed"]
    for entry in manifest_of(folder)["decks"]:
        assert entry["files"]
        assert all((folder / name).is_file() for name in entry["files"])
    page = (folder / "report.html").read_text()
    assert "Designer&#39;s decks" in page or "Designer's decks" in page
    assert "5 of 5 runs of decks found nothing." in page
    assert check_folder(folder).passed


def test_netgen_compares_a_folder_and_a_deck_with_items_fails_it(folder, tmp_path):
    tech = script(tmp_path, TECH.read_text().replace("reram_cell", CELL), "sky.tech")
    setup = script(tmp_path, SETUP.read_text().replace("reram_cell", CELL), "sky.tcl")
    result = run(folder, "--lvs", "netgen", "--lvs-deck", setup, "--magic", tech)
    assert result.returncode == 0, result.stdout
    assert "18 devices and 9 nets, 9 names" in " ".join(result.stdout.split()).replace("│ │ ", "")
    strict = script(tmp_path, STRICT, "strict.drc")
    result = run(folder, "--drc", strict, "--json")
    assert result.returncode == 1
    record = json.loads(result.stdout)
    assert not record["passed"]
    items = [d["items"] for d in record["decks"] if d["deck"] == "strict.drc"]
    counts = [i[0]["count"] for i in items]  # two pairs of edges a device
    assert counts[:2] == [36, 16]
    assert counts[2] >= 52  # the floorplan holds both, and single devices
    assert "ReRAM narrower than 0.5 um" in (folder / "report.html").read_text()
    assert check_folder(folder).passed  # the folder is as the manifest says
    strict.write_text(STRICT.replace("0.5.um", "0.26.um"))
    assert run(folder, "--drc", strict).returncode == 0  # in place of the earlier verdicts
    assert sum(name == "drc_klayout_strict" for _, name in states(folder)) == 3
    assert manifest_of(folder)["passed"]


def test_square_brackets_reach_layout_and_netlists(base, tmp_path):
    tech = script(tmp_path, TECH.read_text().replace("reram_cell", CELL), "sky.tech")
    setup = script(tmp_path, SETUP.read_text().replace("reram_cell", CELL), "sky.tcl")
    words = command(base, "--out", tmp_path / "out", "--brackets", "[]", "--dialect", "ltspice")
    result = run(*words, "--lvs", "netgen", "--lvs-deck", setup, "--magic", tech)
    assert result.returncode == 0, result.stdout + result.stderr
    folder = next((tmp_path / "out").glob("arrays/0_*"))
    for name in ("cdl/array.cdl", "cdl/schematic.cdl", "spice/schematic.spice", "dspf/array.dspf"):
        text = (folder / "netlists" / name).read_text()
        assert "WL[0]" in text, name
        assert "WL<" not in text, name
    assert "WL_0" in (folder / "netlists/ltspice/array.cir").read_text()
    assert "PIN WL[0]" in (folder / "layout.lef").read_text()
    entry = next(d for d in manifest_of(tmp_path / "out")["decks"] if d["kind"] == "lvs")
    assert entry["looked_at"].endswith("9 nets, 9 names")
    assert check_folder(tmp_path / "out").passed
    result = run(*command(base, "--out", tmp_path / "b", "--brackets", "()"))
    assert (result.returncode, (tmp_path / "b").exists()) == (2, False)


def test_a_deck_without_a_verdict_fails_the_tapeout(folder, tmp_path):
    result = run(folder, "--drc", script(tmp_path, "no_such_word\n", "own.drc"))
    assert result.returncode == 1
    assert "must run own.drc to its end" in " ".join(result.stdout.split()).replace("│ │ ", "")
    assert not manifest_of(folder)["passed"]
    assert "3 gave no verdict" in (folder / "report.html").read_text()


def test_a_folder_that_was_changed_is_refused(folder):
    path = next(folder.glob("arrays/0_*/layout.gds"))
    path.write_bytes(path.read_bytes() + b"\0")
    before = (folder / "manifest.json").read_bytes()
    result = run(folder, "--drc", RULES)
    assert (result.returncode, (folder / "manifest.json").read_bytes()) == (2, before)
    assert "was changed since it was written" in result.stderr


@pytest.mark.parametrize("more", [["--check"], ["--set", "mapping.tile_rows=8"]])
def test_options_that_would_change_the_folder_are_refused(more, folder):
    result = run(folder, "--drc", RULES, *more)
    assert result.returncode == 2
    assert f"received {more[0]}" in result.stderr


def test_a_missing_tool_ends_the_command_before_any_work(base, tmp_path, monkeypatch):
    for name in ("ngspice", "python3"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run(*command(base, "--out", tmp_path / "out", "--drc", RULES))
    assert result.returncode == 3
    assert "apt-get install klayout" in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()
    result = run(base / "out", "--drc", TECH)
    assert (result.returncode, "apt-get install magic" in result.stderr) == (3, True)


def test_lvs_without_the_device_s_name_is_refused_before_any_work(base, tmp_path):
    nameless = write_technology(tmp_path / "nameless.toml", "subckt", "pins", "extracted_")
    words = command(base, "--out", tmp_path / "out", "--lvs", "klayout", "--lvs-deck", COMPARE)
    words[words.index(base / "technology.toml")] = nameless
    result = run(*words)
    assert (result.returncode, (tmp_path / "out").exists()) == (2, False)
    assert "LVS needs the foundry's name" in result.stderr
