"""`xbarspice program`: a whole run folder, or one message and nothing."""

from __future__ import annotations

import json
import sys
import tomllib

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.helpers import run_command
from xbarspice.cli.app import main
from xbarspice.core import hdf5
from xbarspice.deployment import read
from xbarspice.importers import perceptron
from xbarspice.programming import circuit_page as programming_page
from xbarspice.programming import circuits as study
from xbarspice.programming import drift
from xbarspice.programming import write_verify as pg
from xbarspice.variability.bse import bse_table

INTO_RANGE = ("--set", "mapping.G_min=60e-6", "--set", "mapping.G_max=300e-6")


@pytest.fixture
def files(tmp_path, network):
    """The 2-3-1 network as a deployment on two small arrays, 100 to 500 uS; the same as .npz."""
    layers = [nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1)]
    for layer, W, b in zip(layers[::2], network.W, network.b, strict=True):
        layer.weight = nn.Parameter(torch.from_numpy(W.T.copy()))
        layer.bias = nn.Parameter(torch.from_numpy(b.copy()))
    x = np.random.default_rng(0).random((20, 2))
    model = nn.Sequential(*layers)
    circuit = xb.nn.convert(
        model, xb.ArrayConfig(device="sinh_tio2"), calibrate=torch.from_numpy(x)
    ).eval()
    xb.save(tmp_path / "d.h5", circuit)
    perceptron.save(tmp_path / "n.npz", network)
    np.savez(tmp_path / "p.npz", x=x, y=(network.forward(x)[-1][:, 0] > 0).astype(int))
    return tmp_path


def problems(circuit, low, high, **changes):
    """The arrays of a circuit before programming, moved into another range: (blank, target)."""
    lowest = xb.devices.get("o921c_4k").G_range()[0]
    for array in xb.nn.arrays(circuit):
        target = low + (array.crossbar.G - 100e-6) * ((high - low) / 400e-6)
        blank = np.full(target.shape, lowest)
        yield array.name, array.crossbar.replace(G=blank, device="o921c_4k", **changes), target


def check_plan(out, entry, name, target, run):
    """The plan beside a run has its order and targets, and says how far its reads were."""
    assert entry["array"] == name
    plan = json.loads((out / entry["folder"] / "plan.json").read_text())
    cells = [(step["row"], step["col"]) for step in plan["steps"]]
    assert cells == [divmod(int(k), target.shape[1]) for k in run.order]
    targets = [step["G_target_S"] for step in plan["steps"]]
    np.testing.assert_allclose(targets, target.ravel()[run.order], rtol=1e-12)
    assert (plan["scheme"], plan["tolerance"]) == ("V/3", 0.02)
    read = 0.2 * run.verified.ravel()[run.order]
    off = abs(read / [step["I_step_A"] for step in plan["steps"]] - 1)
    reached = ~run.gave_up.ravel()[run.order]
    assert entry["largest_read_to_plan"] == pytest.approx(off[reached].max(), rel=1e-6)
    assert (out / entry["folder"] / "arc_two.py").is_file()


def test_a_run_folder_holds_what_the_study_finds(files):
    """Scheme, order, range and wires reach the study; figures, maps and settings agree with it."""
    out = files / "run"
    done = run_command(
        "program",
        files / "d.h5",
        "--inputs",
        files / "p.npz",
        "--out",
        out,
        "--device",
        "o921c_4k",
        "--scheme",
        "v/3",
        "--order",
        "size",
        "--passes",
        2,
        *INTO_RANGE,
        "--set",
        "array.R_wl=3",
        "--pulse",
        "tolerance=0.02",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert {p.name for p in out.iterdir()} == {
        "plans",
        "program.h5",
        "programmed.h5",
        "report.html",
        "report.json",
        "run.toml",
    }
    assert {p.name for p in files.iterdir()} == {"d.h5", "n.npz", "p.npz", "run"}
    stored = hdf5.read_tree(out / "program.h5", "programming")["arrays"]
    reached = xb.load(out / "programmed.h5")
    held = {a.name: a.crossbar for a in xb.nn.arrays(reached)}
    wanted, good, count = xb.load(files / "d.h5"), 0, 0
    for k, (name, blank, target) in enumerate(problems(wanted, 60e-6, 300e-6, R_wl=3.0)):
        want = pg.program(
            blank, target, scheme="V/3", order="size", passes=2, pulses=pg.Pulses(tolerance=0.02)
        )
        tree = stored[str(k)]
        assert tree["name"] == name
        np.testing.assert_allclose(tree["G"], want.G, rtol=1e-9)
        np.testing.assert_array_equal(tree["order"], want.order)
        np.testing.assert_array_equal(tree["pulses"], want.pulses)
        np.testing.assert_array_equal(tree["crossbar"]["G"], blank.G)
        np.testing.assert_array_equal(held[name].G, tree["G"])
        check_plan(out, record["plans"][k], name, target, want)
        others = abs(want.moved.astype(float)).reshape(len(want.order), -1)
        others[np.arange(len(want.order)), want.order] = 0
        assert tree["moving"] == want.order[others.sum(axis=1).argmax()]
        assert (held[name].R_wl, held[name].device.name) == (3.0, "o921c_4k")
        good += (abs(want.error) <= 0.02).sum()
        count += want.G.size
    assert record["devices"] == count
    assert record["within_tolerance"] == pytest.approx(good / count)
    assert json.loads((out / "report.json").read_text()) == record
    settings = tomllib.loads((out / "run.toml").read_text())
    assert settings["array"]["R_wl"] == 3.0
    assert settings["array"]["device"] == "o921c_4k"
    assert (settings["mapping"]["G_min"], settings["mapping"]["G_max"]) == (60e-6, 300e-6)
    page = (out / "report.html").read_text()
    assert page.count("<figure>") == 4 * len(stored)
    assert f"{100 * record['within_tolerance']:.1f} %" in page


def test_the_model_is_judged_on_what_was_reached_and_deployed(files):
    """Accuracy, agreement and change are those of the deployment beside its own weights."""
    done = run_command(
        "program",
        files / "n.npz",
        "--inputs",
        files / "p.npz",
        "--out",
        files / "run",
        "--device",
        "o921c_4k",
        *INTO_RANGE,
        "--array",
        "0[0,0,0]",
        "--engine",
        "ngspice",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [a["name"] for a in record["arrays"]] == ["0[0,0,0]"]
    made = read(files / "run/programmed.h5")
    data = np.load(files / "p.npz")
    x, y = torch.from_numpy(data["x"]), data["y"]
    with torch.no_grad(), xb.nn.through("nodal"):
        reached = made.circuit(x)[:, 0]
        xb.nn.put_conductances(made.circuit, None)
        wanted = made.circuit(x)[:, 0]
    judged = record["model_on_devices"]
    change = (reached - wanted).square().mean().sqrt() / wanted.abs().max()
    assert judged["output_change"] == pytest.approx(float(change), rel=1e-6)
    assert judged["accuracy"]["reached"] == np.mean((reached > 0).numpy() == y)
    assert judged["accuracy"]["wanted"] == np.mean((wanted > 0).numpy() == y)
    assert judged["agreement"] == float(((reached > 0) == (wanted > 0)).double().mean())
    assert "1 of 2 arrays hold devices as programmed or measured" in made.notes[-1]
    assert "programmed by simulation" in made.notes[-2]


def test_a_stopped_run_goes_on_with_the_arrays_that_are_left(files, monkeypatch, capsys):
    from xbarspice.programming import circuits as program_circuit

    real, seen = pg.program, []

    def program(*args, **options):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(program_circuit, "program", program)
    words = [
        "xbarspice",
        "program",
        files / "d.h5",
        "--inputs",
        files / "p.npz",
        "--device",
        "o921c_4k",
        *INTO_RANGE,
        "--workers",
        "0",
        "--out",
        files / "run",
    ]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "run.unfinished.h5" in capsys.readouterr().err
    assert not (files / "run").exists()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    assert len(seen) == 3
    said = capsys.readouterr().out
    for word in ("within 1 % at the end (yield)", "mean pulses", "energy", "model", "measured"):
        assert word in said


def test_a_folded_array_is_programmed_once_for_both_of_its_layers(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1)).double()
    x = torch.rand(6, 2, dtype=torch.float64)
    config = xb.ArrayConfig(layout="folded", G_min=102e-6, G_max=350e-6, device="o921c_4k")
    circuit = xb.nn.convert(model, config, calibrate=x).eval()
    blanks = study.blank_arrays(circuit, [], None, pg.Pulses(), "V/3")
    assert [b.target.shape for b in blanks] == [(8, 4)]
    options = {"scheme": "V/3", "order": "rows", "passes": 1, "compensate": True}
    written = study.write_arrays(blanks, tmp_path / "w.h5", pulses=pg.Pulses(), **options)
    reached = study.put_written(circuit, written)
    np.testing.assert_array_equal(xb.nn.arrays(reached)[0].crossbar.G, written[0].run.G)
    judged = study.compare(circuit, reached, (x,), None, "surrogate")
    assert 0 < judged["output_change"] < 0.1


def test_a_target_outside_of_the_printed_range_is_outside():
    """Whole uS inside the range: one that holds still is never said not to, nor the other way."""
    held = [101.28e-6, 350.7e-6]
    for targets, verdict in (
        ([102e-6, 350e-6], ", inside 102 uS to 350 uS"),
        ([101e-6, 350e-6], "NOT inside 102 uS to 350 uS"),
        ([102e-6, 351e-6], "NOT inside"),
        ([60e-6, 300e-6], "NOT inside"),
    ):
        assert verdict in programming_page.ranges({"targets_S": targets, "held_S": held})
    whole = programming_page.ranges({"targets_S": [102e-6, 350e-6], "held_S": [102e-6, 350e-6]})
    assert ", inside 102 uS to 350 uS" in whole


DEVICE = ("--device", "o921c_4k")
WRONG = {
    "a static device": ((), 'dynamic model, for example "o921c_4k"'),
    "targets outside the range": (DEVICE, "--set mapping.G_min="),
    "a scheme": ((*DEVICE, *INTO_RANGE, "--scheme", "v/4"), "V/3"),
    "an order": ((*DEVICE, *INTO_RANGE, "--order", "spiral"), "far"),
    "passes": ((*DEVICE, *INTO_RANGE, "--passes", "0"), "passes"),
    "a broken model": (("--device", "o921c_300k"), "o921c_300k"),
    "pulses beyond the model": (
        ("--device", "nili_pulse", "--set", "mapping.G_min=30e-6", "--set", "mapping.G_max=2e-4"),
        "limit_set",
    ),
    "a pulse name": ((*DEVICE, *INTO_RANGE, "--pulse", "height=2"), "limit_set"),
    "a setting of the mapping": (("--set", "mapping.V_read=0.1"), "reads"),
    "the device twice": ((*DEVICE, "--set", "array.device=ohmic"), "reads"),
    "a start outside the range": ((*DEVICE, *INTO_RANGE, "--start", "1"), "start"),
    "an array": ((*DEVICE, *INTO_RANGE, "--array", "7[0,0,0]"), "0[0,0,0]"),
    "an engine": ((*DEVICE, *INTO_RANGE, "--engine", "spice"), "spice"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_ends_with_status_2_and_leaves_nothing(files, case, monkeypatch, capsys):
    """One message that names the remedy; no run folder, no part of one."""
    arguments, remedy = WRONG[case]
    line = ["xbarspice", "program", files / "d.h5", "--inputs", files / "p.npz"]
    line += ["--out", files / "run", *arguments]
    monkeypatch.setattr(sys, "argv", [str(word) for word in line])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert remedy in capsys.readouterr().err
    assert {p.name for p in files.iterdir()} == {"d.h5", "n.npz", "p.npz"}


def test_measured_drifts_are_those_of_the_table():
    """The drifts for k later writes have the quantiles of row k; the last device has none."""
    table = bse_table()
    for later, row in ((1, 0), (20, 19), (53, 52), (400, len(table.mean) - 1)):
        found = drift.measured_drift([later], levels=4000)[0]
        np.testing.assert_allclose(
            np.quantile(found, table.levels[3:-3]), table.quantiles[row][3:-3], atol=0.3e-6
        )
    assert not drift.measured_drift([0]).any()
