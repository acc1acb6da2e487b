"""Digits with ten classes, small; the page of the whole experiment; the command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from papers.drolet2023 import command, digits, digits_report, moons, published, report
from papers.drolet2023.hardware import Hardware
from papers.drolet2023.kept import Kept
from papers.drolet2023.recipes import Effort
from tests.helpers import PATIENCE
from xbarspice.config.card import CalibrationCard, CardValue

PLAN = replace(digits.Plan.quick(confirm=1), tune=2, plain=30, transfers=4, points=40)
EFFORT = Effort(plain=2, networks=1, starts=1, trial=1, finalists=1, tune=2, remedied=2, looks=5)
HARDWARE = Hardware.of(None, wire=2.0, device="ohmic")
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


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return folder, digits.reproduce(Kept(folder=folder), HARDWARE, PLAN)


@pytest.fixture(scope="module")
def whole(done, tmp_path_factory):
    """A record of every part, with a card."""
    kept = Kept(folder=tmp_path_factory.mktemp("moons"))
    plan = moons.Plan(
        draws=(1,), points=40, transfers=10, circuit_points=5, encodings=("[-1, 1]",), effort=EFFORT
    )
    hardware = Hardware.of(CARD, wire=1.0, device="sinh_tio2")
    return {
        "moons": moons.reproduce(kept, hardware, plan),
        "digits": done[1],
        "published": published.reproduce(
            kept, published.Plan(seeds=(0,), transfers=10, effort=EFFORT)
        ),
    }


def test_ten_classes_are_judged_with_and_without_the_remedy(done):
    _, record = done
    assert len(record["rows"]) == 2 * 2 * (4 + 4 + 7 + 7)
    for row in record["rows"]:
        middle = row["median"]
        assert middle["lost"] == pytest.approx(middle["software"] - middle["mean"])
        assert 0 <= middle["metric"] <= 1
        assert row["remedy"] or not row["loop"]
    by_key = {
        (r["model"], r["inputs"], r["recipe"], r["loop"], r["remedy"]): r["median"]
        for r in record["rows"]
    }
    plain, mended = (
        by_key["64-32-10", "[0, 1]", "regular", False, name] for name in ("", "offset")
    )
    assert plain["software"] == mended["software"]
    assert plain["mean"] != mended["mean"]
    assert plain["mean"] != plain["ideal_mean"]
    others = [(r["median"]["mean"], r["median"]["other_mean"]) for r in record["rows"]]
    assert any(a != b for a, b in others)


def test_ngspice_predicts_the_same_classes(done):
    golden = done[1]["ngspice"]
    assert [g["model"] for g in golden] == ["64-32-10", "convolutional"]
    for comparison in golden:
        assert comparison["predictions"] == 8
        assert comparison["differ"] == 0
        assert comparison["worst_logit_error"] < 1e-9


def test_a_second_run_reads_what_is_there(done):
    folder, record = done
    said: list[str] = []
    assert digits.reproduce(Kept(folder=folder, say=said.append), HARDWARE, PLAN) == record
    assert not said
    fewer = replace(PLAN, transfers=2, confirm=0)
    digits.reproduce(Kept(folder=folder, say=said.append), HARDWARE, fewer)
    assert said
    assert all(text.startswith("judging") for text in said)


def test_a_quick_run_says_so_everywhere_and_quotes_no_other_run(whole, tmp_path):
    report.write(whole, tmp_path, tmp_path / "copy.md")
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        for piece in (
            "Quick run: Half moons",
            "draws 1 of 10",
            "QUICK RUN",
            "no figure of it stands for the experiment",
            "best classifier of the law",
            "0 of 8 single predictions differ",
            "convolutional",
            "18.5",
            "79.5",
            "Calibrated: die 7 (data abababababab, card ",
            "R_wl 9, R_bl 1, R_driver 0, R_sense 60 ohm",
            "that of the calibration card",
            "no second reading of the drift table",
        ):
            assert piece in text, piece
        assert "SIMULATED" not in text
        assert "What was tried" not in text
    assert (tmp_path / "copy.md").read_text() == (tmp_path / "report.md").read_text()
    shown = command._short(whole, tmp_path)
    assert shown["run"].startswith("quick run, not the experiment")
    assert shown["calibration"].startswith("die 7")
    parts = (part["rows"] for part in whole.values())
    assert len(shown) == sum(map(len, parts)) + 2 + 3  # ngspice twice; run, card and report
    assert len(digits_report.short(whole["digits"])) == len(whole["digits"]["rows"])


def test_the_report_of_a_full_run_dates_what_it_did_not_measure(whole, tmp_path):
    record = {name: {**part, "less_than_full": {}} for name, part in whole.items()}
    report.write(record, tmp_path)
    text = (tmp_path / "report.md").read_text()
    for piece in ("SIMULATED", "What was tried", "not measured by this run", "From 2026-11-24"):
        assert piece in text
    assert "uick run" not in text
    assert "run" not in command._short(record, tmp_path)


def test_plans_know_what_is_less_than_full():
    assert not digits.Plan(confirm=20).less_than_full()
    assert set(digits.Plan(points=100).less_than_full()) == {"points"}
    assert {"splits", "transfers"} <= set(digits.Plan.quick().less_than_full())
    assert not set(digits.Plan.quick().splits) & set(digits.Plan().splits)


def test_the_module_runs_as_a_command_and_refuses_in_one_sentence(tmp_path):
    def run(*args):
        return subprocess.run(
            [sys.executable, "-m", "papers.drolet2023", *args],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    shown = run("--help")
    assert shown.returncode == 0
    assert "--engine" in shown.stdout
    wrong = run("--engine", "cats", "--out", str(tmp_path))
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: `--engine` must be surrogate or ngspice")
    assert not wrong.stdout
    assert not list(tmp_path.iterdir())
