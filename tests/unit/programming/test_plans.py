"""The programming plan: currents of each step, order, pulses, channels, and its files."""

import csv
import io
import json

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice.core.errors import InputError
from xbarspice.programming import Channels, Pulses, plan, program, unwritten
from xbarspice.programming.plans import COLUMNS, pulses_of_device


def array(size, device="sinh_tio2", low=100e-6, high=500e-6, seed=0):
    """An array as it is wanted, with wires and leads."""
    G = np.random.default_rng(seed).uniform(low, high, (size, size))
    return xb.Crossbar(G, R_wl=0.5, R_bl=0.5, R_driver=5.0, R_sense=5.0, device=device)


@pytest.mark.parametrize(("size", "largest"), [(8, 0.0206), (32, 0.160)])
def test_every_step_expects_what_a_simulation_at_that_step_says(size, largest):
    """To 1e-9 of an independent engine; the read after all are written is up to 2.1 and 16 % off.

    That is against a tolerance of 1 %: judged by the final read, devices would be written wrong.
    """
    whole = array(size)
    planned = plan(unwritten(whole, 100e-6), whole.G)
    rows, cols = np.unravel_index(planned.order, whole.G.shape)
    for k in range(0, size * size, 1 if size == 8 else 93):
        G = np.full(whole.G.shape, 100e-6)
        G[rows[: k + 1], cols[: k + 1]] = whole.G[rows[: k + 1], cols[: k + 1]]
        V = np.zeros(size)
        V[rows[k]] = 0.2
        at_step = xb.solve(whole.replace(G=G), V, engine="nodal").I_out[cols[k]]
        assert planned.I_step[k] == pytest.approx(at_step, rel=1e-9)
        final = xb.solve(whole, V, engine="nodal").I_out[cols[k]]
        assert planned.I_final[k] == pytest.approx(final, rel=1e-9)
    off = abs(planned.I_step / planned.I_final - 1)
    assert off.max() == pytest.approx(largest, rel=0.01)
    assert off[-1] < 1e-12  # the last step is the end
    assert planned.record()["largest_step_to_final"] == off.max()


def test_a_plan_takes_each_segment_and_lead():
    """Wires as they are extracted from a drawing: one number a place."""
    rng = np.random.default_rng(6)
    whole = xb.Crossbar(
        rng.uniform(100e-6, 500e-6, (6, 5)),
        R_wl=rng.uniform(0.2, 2, (6, 4)),
        R_bl=rng.uniform(0.2, 2, (5, 5)),
        R_driver=rng.uniform(3, 60, 6),
        R_sense=rng.uniform(3, 60, 5),
        device="sinh_tio2",
    )
    planned = plan(unwritten(whole), whole.G, order="rows")
    for k in (0, 7, 29):
        row, col = divmod(k, 5)
        G = np.where(np.arange(30).reshape(6, 5) <= k, whole.G, whole.G.min())
        V = 0.2 * (np.arange(6) == row)
        I_out = xb.solve(whole.replace(G=G), V, engine="nodal").I_out
        assert planned.I_step[k] == pytest.approx(I_out[col], rel=1e-9)


@pytest.mark.parametrize("read", ["grounded", "floating", "V/2"])
def test_the_plan_is_the_run_that_program_simulates(read):
    """Same order, scheme and steps: every verified read of the run is the planned one to 1 %."""
    whole = array(6, "sky130_reram", 5e-6, 60e-6)
    blank = unwritten(whole, 24e-6)
    pulses = Pulses(start=0.8, step=0.02, limit_set=2.5, width=1e-6, read=read)
    options = {"pulses": pulses, "scheme": "V/3", "order": "smallest"}
    planned = plan(blank, whole.G, **options)
    run = program(blank, whole.G, compensate=True, **options)
    assert np.array_equal(run.order, planned.order)
    assert not run.gave_up.any()
    read_out = 0.2 * run.verified.ravel()[run.order]
    np.testing.assert_allclose(read_out, planned.I_step, rtol=0.01)
    by_final = abs(read_out / planned.I_final - 1)
    assert by_final.max() > 0.01  # judged by the end, some of these reads were wrong
    first = {tuple(p[:2]): p[2] for p in run.sequence[::-1]}
    for step in planned.steps():
        cell = (step["row"], step["col"])
        if cell in first:
            assert first[cell] == pytest.approx(step["first_pulse_V"], rel=1e-12)
            assert abs(first[cell]) <= abs(step["last_pulse_V"])


def test_steps_carry_all_that_a_tester_needs():
    whole, _ = asymmetric_crossbar(device="o921c_4k")
    device = whole.device
    low, high = device.G_range()
    blank = whole.replace(G=np.where(whole.G > 0, np.sqrt(low * high), 0.0))
    target = np.where(whole.G > 0, np.linspace(1.1 * low, 0.9 * high, 6).reshape(2, 3), 0.0)
    planned = plan(blank, target, order="rows", scheme="V/2")
    steps = planned.steps()
    assert [tuple(s) for s in steps] == [COLUMNS] * 5  # the absent device has no step
    assert [(s["row"], s["col"]) for s in steps] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    for step in steps:
        rises = step["G_target_S"] > step["G_start_S"]
        assert (step["first_pulse_V"] > 0) == rises
        assert step["last_pulse_V"] == (planned.pulses.limit_set if rises else -2.5)
        current = abs(float(device.current(step["last_pulse_V"], step["G_target_S"])))
        assert step["compliance_A"] == pytest.approx(current, rel=1e-12)
        assert step["R_target_ohm"] == 1 / step["G_target_S"]
        assert step["I_ideal_A"] == pytest.approx(0.2 * step["G_target_S"], rel=1e-12)
        assert (step["wl_pad"], step["bl_pad"]) == (1 + step["row"], 3 + step["col"])
    assert {s["compliance_A"] for s in plan(blank, target, compliance=1e-3).steps()} == {1e-3}


def test_files_read_back_exactly():
    whole = array(4)
    planned = plan(unwritten(whole), whole.G)
    G = np.zeros((4, 4))
    for row in csv.DictReader(io.StringIO(planned.to_csv())):
        G[int(row["row"]), int(row["col"])] = float(row["G_target_S"])
    assert np.array_equal(G, whole.G)
    record = json.loads(json.dumps(planned.record(), allow_nan=False))
    assert record["steps"] == planned.steps()
    assert record["unwritten"] == f"{1e6 * whole.G.min():.4g} uS"
    assert record["line_voltages"]["other_bl"] == 2 / 3  # V/3 if nothing is said


def test_a_device_that_only_reads_has_no_pulses():
    for device in ("sinh_tio2", "o921c"):
        whole = array(3, device, 100e-6, 300e-6)
        planned = plan(unwritten(whole, 100e-6), whole.G)
        assert planned.set_sign is None
        assert planned.record()["pulses"] is None
        assert {s["first_pulse_V"] for s in planned.steps()} == {None}
        assert (planned.I_step > 0).all()


def test_an_array_without_a_target_has_a_plan_without_steps():
    whole = array(2)
    for nothing in (whole, whole.replace(G=np.zeros((2, 2)))):
        planned = plan(unwritten(nothing), np.zeros((2, 2)))
        assert planned.steps() == []
        assert json.loads(json.dumps(planned.record(), allow_nan=False))["steps"] == []
    assert planned.record()["unwritten"] == "no device"


def test_the_default_pulses_stay_within_the_device():
    for name in ("nili_pulse", "messaris2018", "sky130_reram", "n1257r"):
        device = xb.devices.get(name)
        limits = pulses_of_device(device)
        down, up = device.V_write
        size = {1.0: up, -1.0: -down}
        assert limits.limit_set <= size[device.set_sign]
        assert limits.limit_reset <= size[-device.set_sign]


def test_the_bottom_electrode_as_word_line_turns_the_pulses():
    whole = array(2, xb.devices.Sky130Reram(polarity=-1.0), 5e-6, 60e-6)
    assert all(s["first_pulse_V"] < 0 for s in plan(unwritten(whole), whole.G).steps())


def test_channels_of_a_32_x_32_socket_and_beyond():
    channels = Channels.numbered(32, 32)
    assert [c for _, c in channels.word_lines] == [*range(16), *range(32, 48)]
    assert [c for _, c in channels.bit_lines] == [*range(16, 32), *range(48, 64)]
    assert [p for p, _ in channels.word_lines + channels.bit_lines] == list(range(1, 65))
    assert [c for _, c in Channels.numbered(40, 2).bit_lines] == [40, 41]


def test_a_map_of_channels(tmp_path):
    path = tmp_path / "card.csv"
    path.write_text("line,pad,channel\nWL<0>,7,3\nbl1,9,12\nBL[0],8,11\nWL<1>,6,2\n")
    channels = Channels.load(path)
    assert channels.word_lines == ((7, 3), (6, 2))
    assert channels.bit_lines == ((8, 11), (9, 12))
    whole = array(2)
    step = plan(unwritten(whole), whole.G, channels=channels, order="rows").steps()[1]
    assert (step["wl_pad"], step["wl_channel"], step["bl_pad"], step["bl_channel"]) == (7, 3, 9, 12)
    with pytest.raises(InputError, match="3 x 3 needs a channel for each line"):
        plan(unwritten(array(3)), array(3).G, channels=channels)
    rows = {
        "line,pad\nWL<0>,7": "channel map",
        "line,pad,channel\nWL<0>,7,3\nWL<0>,8,4\nBL<0>,9,5": "once",
        "line,pad,channel\nWL<1>,7,3\nBL<0>,9,5": "no WL<0>",
        "line,pad,channel\nWL<0>,7,3": "no BL<0>",
        "line,pad,channel\nWL<0>,7,3\nBL<0>,7,5": "pad of its own",
        "line,pad,channel\nWL<0>,7,3\nBL<0>,8,3": "channel of its own",
        "line,pad,channel\nWL<0>,7,x\nBL<0>,8,3": "a row of",
        "line,pad,channel\nrow 0,7,1\nBL<0>,8,3": "a row of",
    }
    for text, words in rows.items():
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            Channels.load(path)
    with pytest.raises(InputError, match="must exist"):
        Channels.load(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"order": "best"}, "order"),
        ({"scheme": "V/4"}, "scheme"),
        ({"compliance": 0.0}, "compliance"),
        ({"target": np.ones((2, 2))}, "shape of the array"),
    ],
)
@pytest.mark.parametrize("device", ["sinh_tio2", "sky130_reram"])
def test_what_cannot_be_planned_is_refused(device, change, words):
    whole = array(3, device, 10e-6, 60e-6)
    options = {"target": whole.G} | change
    with pytest.raises(InputError, match=words):
        plan(unwritten(whole), options.pop("target"), **options)
    with pytest.raises(InputError, match="start"):
        unwritten(whole, 0.0)
