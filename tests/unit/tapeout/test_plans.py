"""Programming plans in a tapeout folder: polarity, scheme, channels, script."""

import json
from pathlib import Path

import numpy as np
import pytest

import xbarspice as xb
from tests.unit.tapeout.circuits import circuit_of, manifest_of, points
from xbarspice.core.errors import InputError
from xbarspice.programming import Channels, Pulses, arc_two, tester_log
from xbarspice.tapeout import load_technology, tapeout
from xbarspice.tapeout.plans import Programming

RANGE = {"G_min": 5e-6, "G_max": 60e-6}


def made(folder, programming, device="sky130_reram", technology="demo"):
    """The folder of the first array of a tapeout."""
    folder.mkdir()
    circuit = circuit_of(device=device, **RANGE)
    record = tapeout(
        circuit,
        points(),
        folder,
        load_technology(technology),
        names=["cdl"],
        programming=programming,
    )
    return folder / record["arrays"][0]["folder"]


def test_a_tapeout_plans_with_the_electrode_that_its_word_lines_are(tmp_path):
    """Word lines in the lower metal: SET is negative from word to bit line."""
    card = tmp_path / "card.csv"
    lines = [
        f"{kind}<{k}>,{n + k},{n + k}" for kind, n in (("WL", 10), ("BL", 30)) for k in range(9)
    ]
    card.write_text("\n".join(["line,pad,channel", *lines]))
    programming = Programming(
        order="rows",
        start=24e-6,
        pulses=Pulses(start=0.8, step=0.02, limit_set=2.5, width=1e-6),
        compliance=1e-3,
        channels=Channels.load(card),
    )
    folder = made(tmp_path / "chip", programming)
    plan = json.loads((folder / "plan.json").read_text())
    assert (plan["set_sign"], plan["scheme"], plan["order"]) == (-1.0, "V/3", "rows")
    assert plan["unwritten"] == "24 uS"
    step = plan["steps"][0]
    assert (step["row"], step["col"], step["wl_pad"], step["bl_channel"]) == (0, 0, 10, 30)
    assert step["compliance_A"] == 1e-3
    for step in plan["steps"]:
        assert (step["first_pulse_V"] < 0) == (step["G_target_S"] >= 24e-6)
    assert (folder / "arc_two.py").read_text() == Path(arc_two.__file__).read_text()
    assert arc_two.load_plan(folder / "plan.json")["pulses"]["step"] == 0.02
    assert len(tester_log.load_plan(folder / "plan.json").steps) == len(plan["steps"])
    kinds = {
        f["file"].rpartition("/")[2]: f["kind"] for f in manifest_of(tmp_path / "chip")["files"]
    }
    assert kinds["arc_two.py"] == "programming plan"


def test_a_plan_reads_the_array_as_it_was_drawn(tmp_path):
    """The currents are those of the deployment in the folder, with its extracted wires."""
    folder = made(tmp_path / "chip", Programming(order="rows"), "sinh_tio2")
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["pulses"] is None
    assert not (folder / "arc_two.py").exists()
    drawn = xb.nn.arrays(xb.load(tmp_path / "chip" / "circuit" / "deployment.h5"))[0].crossbar
    row = np.zeros(drawn.rows)
    row[plan["steps"][-1]["row"]] = plan["V_read_V"]
    I_out = xb.solve(drawn, row, engine="nodal").I_out
    last = plan["steps"][-1]
    assert last["I_step_A"] == pytest.approx(I_out[last["col"]], rel=1e-6)
    assert last["I_final_A"] == pytest.approx(last["I_step_A"], rel=1e-12)


@pytest.mark.parametrize(
    ("programming", "words"),
    [
        (Programming(order="conductance"), "order"),
        (Programming(scheme="V/4"), "scheme"),
        (Programming(start=-1.0), "start"),
        (Programming(compliance=-1.0), "compliance"),
        (Programming(pulses=Pulses(limit_set=9.0)), "may be written with"),
        (Programming(channels=Channels.numbered(2, 2)), "a channel for each line"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_is_drawn(tmp_path, programming, words):
    with pytest.raises(InputError, match=words):
        made(tmp_path / "chip", programming)
    assert not list((tmp_path / "chip").iterdir())
