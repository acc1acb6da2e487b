"""A tester's log against the plan: the first read outside the tolerance, and what is refused."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice.cli.app import app
from xbarspice.core.errors import InputError
from xbarspice.programming import Pulses, plan, tester_log, unwritten

RUNNER = CliRunner()


@pytest.fixture
def planned(tmp_path):
    """A plan of 9 steps, as file."""
    G = np.linspace(10e-6, 90e-6, 9).reshape(3, 3)
    whole = xb.Crossbar(G, device="sky130_reram", R_wl=1.0, R_bl=1.0, R_driver=5.0)
    made = plan(unwritten(whole), G, order="rows", pulses=Pulses(tolerance=0.02))
    (tmp_path / "plan.json").write_text(json.dumps(made.record()))
    return made


def write_log(path, rows, head=("step", "measured_A")):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([head, *rows])
    return path


def compared(folder, rows, **options):
    stored = tester_log.load_plan(folder / "plan.json")
    return tester_log.compare(
        stored, tester_log.load_log(write_log(folder / "log.csv", rows, **options))
    )


def test_a_log_of_expected_currents_passes(tmp_path, planned):
    record = compared(tmp_path, list(enumerate(planned.I_step)))
    assert record["passed"]
    assert record["first"] is None
    assert record["phases"]["step"] == {
        "reads": 9,
        "within": 9,
        "largest_deviation": 0.0,
        "rms_deviation": 0.0,
    }


def test_the_first_read_outside_is_named(tmp_path, planned):
    """In the order of the plan, whatever the order of the log."""
    measured = planned.I_step * np.array([1, 1.019, 0.981, 1, 1.021, 1, 0.5, 1, 1])
    record = compared(tmp_path, list(enumerate(measured))[::-1])
    assert not record["passed"]
    assert record["outside"] == 2
    assert (record["first"]["step"], record["first"]["row"], record["first"]["col"]) == (4, 1, 1)
    assert record["first"]["deviation"] == pytest.approx(0.021, rel=1e-9)
    assert record["first"]["expected_A"] == planned.I_step[4]


def test_reads_after_all_are_held_against_the_end(tmp_path, planned):
    rows = [(k, current, "step") for k, current in enumerate(planned.I_step)]
    rows += [(k, current, "final") for k, current in enumerate(planned.I_final)]
    head = ("step", "measured_A", "phase")
    assert compared(tmp_path, rows, head=head)["passed"]
    off = abs(planned.I_step / planned.I_final - 1)
    rows[9:] = [(k, 1.03 * current, "final") for k, current in enumerate(planned.I_final)]
    record = compared(tmp_path, rows, head=head)
    assert record["first"]["phase"] == "final"
    assert record["phases"]["step"]["within"] == 9
    assert off.max() > 0


def test_what_was_not_read_is_named(tmp_path, planned):
    record = compared(tmp_path, list(enumerate(planned.I_step))[:7])
    assert not record["passed"]
    assert record["missing"] == [7, 8]
    assert record["outside"] == 0


@pytest.mark.parametrize(
    ("head", "row", "words"),
    [
        (("step", "measured_A"), ("x", 1e-6), "tester's log"),
        (("step", "measured_A"), (0, "nan"), "tester's log"),
        (("step", "measured_A"), (-1, 1e-6), "tester's log"),
        (("step", "current"), (0, 1e-6), "tester's log"),
        (("step", "measured_A", "note"), (0, 1e-6, "ok"), "tester's log"),
        (("step", "measured_A", "phase"), (0, 1e-6, "later"), "tester's log"),
        (("step", "measured_A"), (9, 1e-6), "steps 0 to 8"),
        (("step", "measured_A", "row", "col"), (4, 1e-6, 1, 2), r"device \(1, 1\)"),
    ],
)
def test_rows_that_are_not_understood_are_refused(tmp_path, planned, head, row, words):
    with pytest.raises(InputError, match=words):
        compared(tmp_path, [row], head=head)


def test_other_files_are_refused(tmp_path, planned):
    with pytest.raises(InputError, match="twice"):
        compared(tmp_path, [(0, 1e-6), (0, 1e-6)])
    with pytest.raises(InputError, match="hold a read"):
        compared(tmp_path, [])
    path = tmp_path / "bad.json"
    for text, words in (
        ("{", "JSON"),
        ("{}", "programming plan"),
        ("[1]", "programming plan"),
        (json.dumps(planned.record() | {"steps": planned.steps()[1:]}), "number its steps"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            tester_log.load_plan(path)
    path.write_text('{"step": 0}')
    with pytest.raises(InputError, match="tester's log"):
        tester_log.load_log(path)
    with pytest.raises(InputError, match="must exist"):
        tester_log.load_log(tmp_path / "none.csv")


def test_the_command_names_the_first_step_and_fails(tmp_path, planned):
    rows = [{"step": k, "measured_A": current} for k, current in enumerate(planned.I_step.tolist())]
    log, out = tmp_path / "log.json", tmp_path / "out"
    log.write_text(json.dumps(rows))
    words = ["program", str(tmp_path / "plan.json"), "--log", str(log), "--out"]
    assert RUNNER.invoke(app, [*words, str(tmp_path / "good")]).exit_code == 0
    assert json.loads((tmp_path / "good" / "report.json").read_text())["passed"]
    rows[5]["measured_A"] *= 0.9
    log.write_text(json.dumps(rows))
    result = RUNNER.invoke(app, [*words, str(out), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.output)["first"]["step"] == 5
    page = (out / "report.html").read_text()
    assert "The first is step 5, device (1, 2), when it was written" in page
    assert "-10 %" in page


def test_the_command_leaves_the_run_of_a_simulation_alone(tmp_path, planned, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "log.csv", list(enumerate(planned.I_step)))
    assert RUNNER.invoke(app, ["program", "plan.json", "--log", "log.csv"]).exit_code == 0
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["program_log"]


def test_the_command_refuses_options_of_the_simulation(tmp_path, planned):
    log = write_log(tmp_path / "log.csv", list(enumerate(planned.I_step)))
    words = ["program", str(tmp_path / "plan.json"), "--log", str(log)]
    options = ("--set seed=1", "--pulse start=1", "--scheme v/2", "--order rows", "--passes 1")
    for more in (["--compensate"], *(words.split() for words in options)):
        result = RUNNER.invoke(app, [*words, "--out", str(tmp_path / "out"), *more])
        assert isinstance(result.exception, InputError)
        assert more[0] in str(result.exception)
    result = RUNNER.invoke(
        app, ["program", str(log), "--log", str(log), "--out", str(tmp_path / "o")]
    )
    assert "plan.json" in str(result.exception)
    assert not (tmp_path / "out").exists()
