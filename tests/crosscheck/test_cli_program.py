"""`xbarspice program`, as a person calls it: a whole run folder, or one message and nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import xbarspice as xb
from xbarspice import mapping, store
from xbarspice import network as networks
from xbarspice.cli.app import main
from xbarspice.network import Network
from xbarspice.report import programming_page
from xbarspice.studies import drift
from xbarspice.studies import program as pg
from xbarspice.variability.bse import bse_table

INTO_RANGE = ("--set", "mapping.G_min=60e-6", "--set", "mapping.G_max=300e-6")


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "xbarspice", "program", *map(str, arguments)],
        capture_output=True, text=True, timeout=240, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip


@pytest.fixture
def mapped(tmp_path, network):
    """The 2-3-1 network on one folded 8x3 array, 100 to 500 uS, in a file: (file, mapped)."""
    placed = mapping.map_network(network, layout="folded", device="sinh_tio2")
    store.save_mapped(tmp_path / "m.h5", placed)
    return tmp_path / "m.h5", placed


def test_a_run_folder_holds_what_the_study_finds(tmp_path, mapped):
    """Scheme, order, range and wires reach the study; figures, maps and settings agree with it."""
    file, placed = mapped
    out = tmp_path / "run"
    done = call(
        file, "--out", out, "--device", "o921c_4k", "--scheme", "v/3", "--order", "size",
        "--passes", 2, *INTO_RANGE, "--set", "array.R_wl=3", "--pulse", "tolerance=0.02", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert {p.name for p in out.iterdir()} == {
        "program.h5", "report.html", "report.json", "run.toml"
    }  # fmt: skip
    target = 60e-6 + (placed.arrays[0].G - 100e-6) * (240 / 400)
    low = xb.devices.get("o921c_4k").G_range()[0]
    blank = placed.arrays[0].replace(G=np.full(target.shape, low), device="o921c_4k", R_wl=3.0)
    want = pg.program(
        blank, target, scheme="V/3", order="size", passes=2, pulses=pg.Pulses(tolerance=0.02)
    )
    stored = store.read_tree(out / "program.h5", "programming")["arrays"]["0"]
    np.testing.assert_allclose(stored["G"], want.G, rtol=1e-9)
    np.testing.assert_array_equal(stored["order"], want.order)
    np.testing.assert_array_equal(stored["pulses"], want.pulses)
    np.testing.assert_array_equal(stored["crossbar"]["G"], blank.G)
    assert record["within_tolerance"] == want.yield_
    assert record["mean_pulses"] == pytest.approx(want.pulses.mean())
    assert json.loads((out / "report.json").read_text()) == record
    settings = tomllib.loads((out / "run.toml").read_text())
    assert settings["array"] == {
        "R_wl": 3.0, "R_bl": 1.0, "R_driver": 0.0, "R_sense": 0.0, "device": "o921c_4k",
        "parameters": {},
    }  # fmt: skip
    assert (settings["mapping"]["G_min"], settings["mapping"]["G_max"]) == (60e-6, 300e-6)
    page = (out / "report.html").read_text()
    assert page.count("<figure>") == 4
    assert f"{100 * want.yield_:.1f} %" in page


def test_the_screen_tells_share_pulses_time_energy_and_drift(tmp_path, mapped):
    done = call(mapped[0], "--out", tmp_path / "run", "--device", "o921c_4k", *INTO_RANGE)
    assert done.returncode == 0, done.stderr
    for words in ("within 1 % at the end (yield)", "mean pulses", "energy", "model", "measured"):
        assert words in done.stdout


def test_the_command_of_the_read_me_works_on_the_file_of_the_demo(tmp_path, capsys, monkeypatch):
    """Word for word, but for the paths: a 2-8-1 network folded onto one 8x8 array of sinh devices.

    The range that is printed is the one that is compared: mapped into it, the targets lie inside.
    """
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (line,) = re.findall(r"^    xbarspice (program .*)$", text, re.MULTILINE)
    rng = np.random.default_rng(0)
    net = Network(
        W=(rng.normal(size=(2, 8)), rng.normal(size=(8, 1))), b=(rng.normal(size=8), np.zeros(1))
    )
    networks.save(tmp_path / "n.npz", net)
    words = line.replace("runs/demo/network.npz", str(tmp_path / "n.npz")).split()
    words += ["--out", str(tmp_path / "run"), "--json"]
    monkeypatch.setattr(sys, "argv", ["xbarspice", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    record = json.loads(capsys.readouterr().out)
    assert record["devices"] == 64
    said = programming_page.ranges(record["arrays"][0])
    assert ", inside 102 to 350 µS" in said
    assert record["within_tolerance"] > 0.9
    page = (tmp_path / "run/report.html").read_text()
    assert "SIMULATED" in page
    assert "MEASURED" not in page


def test_a_target_outside_of_the_printed_range_is_outside():
    """Whole uS inside the range: one that holds still is never said not to, nor the other way."""
    held = [101.28e-6, 350.7e-6]
    for targets, verdict in (
        ([102e-6, 350e-6], ", inside 102 to 350"), ([101e-6, 350e-6], "NOT inside 102 to 350"),
        ([102e-6, 351e-6], "NOT inside"), ([60e-6, 300e-6], "NOT inside"),
    ):  # fmt: skip
        assert verdict in programming_page.ranges({"targets_S": targets, "held_S": held})
    whole = programming_page.ranges({"targets_S": [102e-6, 350e-6], "held_S": [102e-6, 350e-6]})
    assert ", inside 102 to 350" in whole


WRONG = {
    "a static device": ((), "--device o921c_4k"),
    "targets outside the range": (("--device", "o921c_4k"), "--set mapping.G_min="),
    "a scheme": (("--device", "o921c_4k", *INTO_RANGE, "--scheme", "v/4"), "V/3"),
    "an order": (("--device", "o921c_4k", *INTO_RANGE, "--order", "spiral"), "far"),
    "passes": (("--device", "o921c_4k", *INTO_RANGE, "--passes", "0"), "passes"),
    "a broken model": (("--device", "o921c_300k"), "o921c_300k"),
    "pulses beyond the model": (
        ("--device", "nili_pulse", "--set", "mapping.G_min=30e-6", "--set", "mapping.G_max=2e-4"),
        "limit_set",
    ),
    "a pulse name": (("--device", "o921c_4k", *INTO_RANGE, "--pulse", "height=2"), "limit_set"),
    "a setting that a file cannot take": (("--set", "mapping.layout=tiled"), "xbarspice map"),
    "a start outside the range": (("--device", "o921c_4k", *INTO_RANGE, "--start", "1"), "start"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_ends_with_status_2_and_leaves_nothing(
    tmp_path, mapped, case, monkeypatch, capsys
):
    """One message that names the remedy; no run folder, no part of one."""
    arguments, remedy = WRONG[case]
    line = ["xbarspice", "program", mapped[0], "--out", tmp_path / "run", *arguments]
    monkeypatch.setattr(sys, "argv", [str(word) for word in line])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert remedy in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]


def test_measured_drifts_are_those_of_the_table():
    """The drifts for k later writes have the quantiles of row k; the last device has none."""
    table = bse_table()
    for later, row in ((1, 0), (20, 19), (53, 52), (400, len(table.mean) - 1)):
        found = drift.measured_drift([later], levels=4000)[0]
        np.testing.assert_allclose(
            np.quantile(found, table.levels[3:-3]), table.quantiles[row][3:-3], atol=0.3e-6
        )
    assert not drift.measured_drift([0]).any()
