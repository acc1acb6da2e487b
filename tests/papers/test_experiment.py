"""The reproduction end to end, small, with its confirmation in ngspice; and its going on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from papers.drolet2023 import command, digits
from papers.drolet2023 import report as reproduction
from papers.drolet2023.budget import loss_budget
from papers.drolet2023.experiment import Plan, on_8x8, reproduce
from papers.drolet2023.recipes import Effort
from papers.drolet2023.transfers import transfer
from xbarspice.config import DataConfig
from xbarspice.config.card import CalibrationCard, CardValue
from xbarspice.core.errors import InputError
from xbarspice.training.data import half_moons
from xbarspice.variability import drolet_2023

TINY = Plan(
    seeds=(0,),
    transfers=20,
    circuit_transfers=5,
    budget_transfers=5,
    confirm=2,
    tried=2,
    fresh=400,
    effort=Effort(
        plain=60,
        starts=2,
        kept=1,
        small=200,
        tune=20,
        draws=8,
        polish=8,
        remedied=4,
        left=8,
        look=20,
    ),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    return folder, reproduce(folder, TINY)


CARD = CalibrationCard(
    title="die 7",
    data_sha256="ab" * 32,
    device="sinh_tio2",
    values={
        "R_wl": CardValue(value=9.0, low=8.5, high=9.5, unit="ohm"),
        "R_sense": CardValue(value=60.0, low=55.0, high=65.0, unit="ohm"),
        "device.b": CardValue(value=2.0, low=1.9, high=2.1),
    },
    variability=({"name": "relative_noise", "sigma": 0.01},),
)


def test_a_card_changes_what_goes_through_the_circuit_and_is_named(done, tmp_path):
    """The networks of (a) and (b) are taken over: no card touches them."""
    shutil.copytree(done[0] / "networks", tmp_path / "networks")
    for path in (tmp_path / "networks").glob("c-*"):
        path.unlink()
    (tmp_path / "card.toml").write_text(CARD.to_toml())
    plan = replace(TINY, confirm=1, tried=0)
    record = reproduce(tmp_path, plan, card=CARD)
    for row, plain in zip(record["rows"], done[1]["rows"], strict=True):
        if row["setting"] in "ab":
            assert row["median"] == plain["median"]
    regular = [
        next(r for r in rows if (r["setting"], r["recipe"]) == ("c", "regular"))["median"]
        for rows in (record["rows"], done[1]["rows"])
    ]
    assert regular[0]["noise_free"] != regular[1]["noise_free"]
    assert record["ngspice"]["differ"] == 0
    assert record["ngspice"]["worst_logit_error"] < 1e-9
    made = record["hardware"]
    assert made["wires_ohm"] == {"R_wl": 9.0, "R_bl": 1.0, "R_driver": 0.0, "R_sense": 60.0}
    assert made["errors"] == "calibration card"
    reproduction.write(record, tmp_path)
    for text in ((tmp_path / name).read_text() for name in ("report.html", "report.md")):
        assert "Calibrated: die 7 (data abababababab, card " in text
        assert "R_wl 9, R_bl 1, R_driver 0, R_sense 60 ohm" in text
    with pytest.raises(InputError, match=r"no card in .* begun with die 7"):
        reproduce(tmp_path, plan)
    with pytest.raises(InputError, match="begun with none"):
        reproduce(done[0], plan, card=CARD)


def test_ngspice_confirms_every_prediction(done):
    found = done[1]["ngspice"]
    assert found["transfers"] == 2
    assert found["predictions"] == 400
    assert found["differ"] == 0
    assert found["worst_logit_error"] < 1e-9
    np.testing.assert_array_equal(found["accuracy"]["surrogate"], found["accuracy"]["ngspice"])


def test_every_setting_and_control_stands_in_the_record(done):
    rows = {(r["setting"], r["recipe"], r["remedy"]) for r in done[1]["rows"]}
    for setting in "ab":
        for recipe in ("regular", "weight decay only", "released technique", "ours"):
            assert (setting, recipe, "") in rows
    assert ("b", "ours", "all remedies") in rows
    assert ("b", "ours, trained with the remedies", "all remedies") in rows
    assert ("c", "ours, trained through the circuit", "") in rows
    assert ("c", "ours, trained with the remedies through the circuit", "all remedies") in rows
    assert done[1]["overlap"] > 150
    for row in done[1]["rows"]:
        other = row["other_reading"]
        assert (other["tail"], 0 <= other["metric"] <= 1) == ("pooled", True)
        assert other["transfers"] == row["transfers"]
    shares = [(r["median"]["metric"], r["other_reading"]["metric"]) for r in done[1]["rows"]]
    assert any(a != b for a, b in shares)
    for name, points in (("seen", 800), ("fresh", 400)):
        assert set(done[1][name]) == {"ours", "ours, trained with the remedies"}
        assert all(found["points"] == points for found in done[1][name].values())


def test_a_second_run_only_reads_what_is_there(done):
    folder, first = done
    said: list[str] = []
    stamps = {p: p.stat().st_mtime_ns for p in (folder / "networks").iterdir()}
    again = reproduce(folder, TINY, say=said.append)
    assert not [text for text in said if text.startswith("training")]
    assert stamps == {p: p.stat().st_mtime_ns for p in (folder / "networks").iterdir()}
    assert json.dumps([r["median"] for r in again["rows"]]) == json.dumps(
        [r["median"] for r in first["rows"]]
    )


def test_the_report_holds_the_tables_in_both_forms(done, tmp_path):
    reproduction.write(done[1], tmp_path, tmp_path / "REPRODUCTION.md")
    html = (tmp_path / "report.html").read_text()
    text = (tmp_path / "REPRODUCTION.md").read_text()
    assert "79.5" in html
    assert html.count("<svg") >= 4
    for piece in ("79.5", "18.5", "weight decay only", "all remedies", "0 of 400", "Loss budget"):
        assert piece in text
    assert text == (tmp_path / "report.md").read_text()


HISTORY = ("72.0 % alone", "jittered by 0.03", "83.6 %", "Not measured by this run")


def test_a_quick_run_says_so_everywhere_and_quotes_no_other_run(done, tmp_path):
    record = done[1]
    assert record["less_than_full"]["transfers"] == (20, 2000)
    reproduction.write(record, tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert "Quick run: Half moons" in text
        assert "Quick run, not the experiment (transfers 20 of 2000" in text
        assert "QUICK RUN" in text
        assert "% with the drift table pooled" in text
        assert "17 of 64 devices are read from them" in text
        assert "no figure of it stands for the experiment" in text
        assert not [word for word in (*HISTORY, "SIMULATED", "MEASURED") if word in text]
    shown = command._short(record, tmp_path)
    assert shown["run"].startswith("quick run, not the experiment")
    assert all("with the drift table pooled" in v for k, v in shown.items() if k.startswith("("))


def test_the_report_of_a_full_run_dates_what_it_did_not_measure(done, tmp_path):
    record = {**done[1], "less_than_full": {}}
    reproduction.write(record, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert not [word for word in HISTORY if word not in text]
    assert "Not measured by this run, but on 2026-11-24 by " in text
    assert "SIMULATED" in text
    assert "MEASURED" not in text.replace("SIMULATED", "")
    assert "uick run" not in text
    assert "run" not in command._short(record, tmp_path)


@pytest.mark.parametrize(
    ("plan", "less"),
    [
        (Plan.full(), set()),
        (Plan.full(confirm=500), set()),
        (replace(Plan.full(), circuit_transfers=100), {"circuit_transfers"}),
        (digits.Plan(confirm=20), set()),
        (digits.Plan(points=100), {"points"}),
    ],
)
def test_a_plan_knows_what_is_less_than_full(plan, less):
    assert set(plan.less_than_full()) == less


def test_the_module_runs_as_a_command_and_refuses_in_one_sentence(tmp_path):
    def run(*args):
        return subprocess.run(
            [sys.executable, "-m", "papers.drolet2023", *args],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=120,
        )

    shown = run("--help")
    assert shown.returncode == 0
    assert "--engine" in shown.stdout
    wrong = run("--case", "cats", "--out", str(tmp_path))
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: `--case` must be all, fresh, moons or digits")
    assert not wrong.stdout
    assert not list(tmp_path.iterdir())


def test_quick_plans_are_less_than_full():
    assert {"seeds", "transfers", "training_plain"} <= set(Plan.quick().less_than_full())
    assert {"seeds", "transfers", "remedies"} <= set(digits.Plan.quick().less_than_full())


def test_the_loss_budget_uses_common_draws(done):
    """Alone and left out against "none" and "all": without effects nothing is lost."""
    folder, _ = done
    from xbarspice.importers.perceptron import load

    net = load(folder / "networks" / "c-ours-seed0.npz")
    split = half_moons(DataConfig())
    chain = on_8x8(net, circuit=True)
    rows = loss_budget(
        chain,
        split.x_test[:60],
        split.y_test[:60],
        variation=drolet_2023(),
        transfers=30,
        effects=("cti", "saf", "wires"),
    )
    by = {(r.effect, r.alone): r for r in rows}
    assert by["none", True].cost == 0.0
    assert by["all", True].cost == pytest.approx(
        by["none", True].mean - by["all", True].mean, abs=1e-12
    )
    only = transfer(
        on_8x8(net, circuit=False),
        split.x_test[:60],
        split.y_test[:60],
        variation=replace(drolet_2023(), parts=drolet_2023().parts[2:]),
        transfers=30,
    )
    assert by["saf", True].mean == pytest.approx(only.by_transfer.mean(), abs=1e-12)
