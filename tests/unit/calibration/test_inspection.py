"""What sweeps show before a fit is found, and handled by the option that is named; never else."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import many
from xbarspice import calibration
from xbarspice.calibration import Handling, inspect_sweeps, prepare_sweeps
from xbarspice.cli.app import app
from xbarspice.core.errors import InputError
from xbarspice.devices import SinhTiO2

REPEATS = many(10)
MOST_FALSE = 0.05 * REPEATS if REPEATS >= 100 else 1
"""5 % of 100 repeats; one of ten."""
NOISE = 0.01


def loop(points):
    """Rising and falling voltages of both polarities, V."""
    up = np.linspace(0, 0.6, points)
    side = np.concatenate([up, up[-2::-1]])
    return np.concatenate([side, -side[1:]])


LOOP, FINE, ONE_WAY = loop(21), loop(61), np.linspace(-0.6, 0.6, 61)


def ideal(V, device=None, G=2e-4):
    array = xb.Crossbar([[G]], device=device or SinhTiO2(b=2.2))
    return xb.solve(array, V[:, None], outside="ignore").I_out[:, 0]


IDEAL = {id(V): ideal(V) for V in (LOOP, FINE)}


def sweep(V, current, seed, floor=0.0):
    rng = np.random.default_rng(seed)
    noise = NOISE * current * rng.standard_normal(V.size)
    noise += floor * np.abs(current).max() * rng.standard_normal(V.size)
    return calibration.sweeps(["a"] * V.size, V, current + noise)


def falling(V):
    return np.append(np.diff(np.abs(V)) < 0, [False]) & (V != 0)


def spoil(current, V, seed):
    out = current.copy()
    chosen = np.random.default_rng(seed).choice(np.flatnonzero(np.abs(V) > 0.06), 2, False)
    out[chosen] *= 1.5
    return out


def noisier(current, V, seed):
    more = 1 + 0.1 * np.random.default_rng(1000 + seed).standard_normal(V.size)
    return np.where(np.abs(current) < 1e-4, current * more, current)


def order(V):
    return np.arange(V.size) / V.size


CHANGES = {
    "compliance": (LOOP, lambda i, V, k: np.clip(i, -0.6 * i.max(), 0.6 * i.max())),
    "saturation": (LOOP, lambda i, V, k: i / (1 + (i / (0.5 * i.max())) ** 4) ** 0.25),
    "hysteresis": (LOOP, lambda i, V, k: np.where(falling(V), 1.1 * i, i)),
    "drift": (LOOP, lambda i, V, k: i * (1 + 0.1 * order(V))),
    "asymmetry": (LOOP, lambda i, V, k: np.where(V < 0, 0.9 * i, i)),
    "outliers": (LOOP, spoil),
    "sign": (LOOP, lambda i, V, k: np.abs(i)),
    "range switch": (FINE, lambda i, V, k: np.where(np.abs(i) > 1.05e-4, 1.05 * i, i)),
}
"""Sizes at which each kind must be found in 95 % of repeats at 1 % noise."""
OPTIONS = {
    "compliance": (Handling(drop_compliance=True), "--drop-compliance"),
    "saturation": (Handling(max_voltage=0.3), "--max-voltage 0."),
    "hysteresis": (Handling(branch="up"), "--branch up or down"),
    "drift": (Handling(remove_drift=True), "--remove-drift"),
    "asymmetry": (Handling(polarity="positive"), "--polarity positive or negative"),
    "outliers": (Handling(drop_outliers=True), "--drop-outliers, or --loss soft_l1"),
    "sign": (Handling(flip_current="negative"), "--flip-current negative"),
    "range switch": (Handling(min_current=1.06e-4), "--min-current 0.0001"),
}


def changed(kind, seed):
    V, change = CHANGES[kind]
    data = sweep(V, IDEAL[id(V)], seed)
    return calibration.sweeps(["a"] * V.size, V, change(data.I_out[:, 0], V, seed))


@pytest.mark.parametrize("kind", CHANGES)
def test_each_kind_is_found_and_handled_by_the_option_that_is_named(kind):
    handling, option = OPTIONS[kind]
    seen = others = still = 0
    for k in range(REPEATS):
        data = changed(kind, k)
        found = {i.kind: i for i in inspect_sweeps(data)}
        seen += kind in found
        others += bool(set(found) - {kind})
        if kind in found:
            assert found[kind].text.endswith(found[kind].option)
            assert found[kind].option.startswith(option)
            still += kind in {i.kind for i in inspect_sweeps(prepare_sweeps(data, handling))}
    assert seen >= 0.95 * REPEATS
    assert others <= MOST_FALSE
    assert still <= MOST_FALSE


def test_scatter_that_steps_at_a_decade_is_a_range_switch():
    seen = 0
    for k in range(REPEATS):
        data = sweep(FINE, noisier(IDEAL[id(FINE)], FINE, k), k)
        found = [i for i in inspect_sweeps(data) if i.kind == "range switch"]
        seen += bool(found) and "scatter" in found[0].text
    assert seen >= 0.95 * REPEATS


@pytest.mark.parametrize("floor", [0.0, 3e-3])
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"])
@pytest.mark.parametrize("V", [LOOP, FINE, ONE_WAY], ids=["loop", "fine loop", "one way"])
def test_clean_sweeps_show_nothing(V, device, floor):
    current = ideal(V, device)
    seen = [k for k in range(REPEATS) if inspect_sweeps(sweep(V, current, k, floor))]
    assert len(seen) <= MOST_FALSE


def test_many_clean_devices_show_nothing():
    current = ideal(LOOP)
    seen = 0
    for k in range(max(REPEATS // 5, 2)):
        rng = np.random.default_rng(k)
        noisy = current * (1 + NOISE * rng.standard_normal((20, LOOP.size)))
        names = np.repeat([f"d{j}" for j in range(20)], LOOP.size)
        data = calibration.sweeps(names, np.tile(LOOP, 20), noisy.ravel())
        seen += bool(inspect_sweeps(data))
    assert seen <= MOST_FALSE


def test_a_drift_that_is_divided_out_leaves_a_fit_that_holds_the_truth():
    covered = []
    for k in range(REPEATS):
        data = changed("drift", k)
        if "drift" not in {i.kind for i in inspect_sweeps(data)}:
            continue  # one in fifty
        data = prepare_sweeps(data, Handling(remove_drift=True))
        start = xb.Crossbar([[2e-4]], device="sinh_tio2")
        options = calibration.Options(seed=k, free_held=False)
        fit = calibration.fit_reads(start, data, ["device.b", "G"], options=options)[0]
        covered.append(fit["device.b"][1] <= 2.2 <= fit["device.b"][2])
    assert np.mean(covered) >= (0.9 if REPEATS >= 100 else 0.7)


def test_points_that_are_left_out_are_counted():
    data = changed("hysteresis", 0)
    up, down = (prepare_sweeps(data, Handling(branch=branch)) for branch in ("up", "down"))
    assert len(up.V_in) + len(down.V_in) == len(data.V_in)
    assert up.notices[-1] == f"branch up taken: {len(down.V_in)} points left out"
    plus = prepare_sweeps(data, Handling(polarity="positive"))
    assert plus.notices[-1] == f"positive voltages taken: {(LOOP <= 0).sum()} points left out"
    low = prepare_sweeps(data, Handling(max_voltage=0.3))
    assert np.abs(low.V_in).max() <= 0.3
    assert (
        low.notices[-1] == f"points left out by --max-voltage 0.3: {len(data.V_in) - len(low.V_in)}"
    )
    flipped = prepare_sweeps(data, Handling(flip_current="all"))
    assert np.array_equal(flipped.I_out, -data.I_out)
    assert flipped.notices[-1] == f"sign of the current changed: {LOOP.size} points"
    minus = prepare_sweeps(data, Handling(flip_current="negative"))
    assert np.array_equal(minus.I_out[LOOP >= 0], data.I_out[LOOP >= 0])
    assert np.array_equal(minus.I_out[LOOP < 0], -data.I_out[LOOP < 0])


@pytest.mark.parametrize(
    ("handling", "said"),
    [
        ({"drop_compliance": True}, "--drop-compliance needs a plateau of the current"),
        ({"drop_outliers": True}, "--drop-outliers needs points off their neighbours"),
        ({"remove_drift": True}, "--remove-drift needs currents that drift"),
        ({"branch": "left"}, "--branch must be one of"),
        ({"polarity": "both"}, "--polarity must be one of"),
        ({"flip_current": "some"}, "--flip-current must be one of"),
        ({"max_voltage": -1.0}, "--max-voltage must be > 0"),
        ({"min_current": 1.0}, "--min-current 1 needs points on both sides of 1 A"),
        ({"max_voltage": 2.0}, "--max-voltage 2 needs points on both sides of 2 V"),
    ],
)
def test_an_option_with_nothing_to_do_is_refused(handling, said):
    data = sweep(LOOP, IDEAL[id(LOOP)], 0)
    with pytest.raises(InputError, match=said):
        prepare_sweeps(data, Handling(**handling))


def test_one_branch_or_polarity_cannot_be_chosen_again():
    up = prepare_sweeps(changed("hysteresis", 0), Handling(branch="up", polarity="positive"))
    with pytest.raises(InputError, match="rising ones only"):
        prepare_sweeps(up, Handling(branch="up"))
    with pytest.raises(InputError, match="one polarity only"):
        prepare_sweeps(up, Handling(polarity="positive"))
    with pytest.raises(InputError, match="needs negative voltages"):
        prepare_sweeps(up, Handling(flip_current="negative"))


def test_what_could_not_be_looked_for_is_said():
    assert calibration.blind_spots(sweep(LOOP, IDEAL[id(LOOP)], 0)) == ()
    one_way = calibration.blind_spots(calibration.sweeps(["a"] * 61, ONE_WAY, ONE_WAY))
    assert one_way == (
        "drift and hysteresis were not looked for (no voltages were applied twice): device a",
    )
    few = calibration.blind_spots(calibration.sweeps(["a"] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], [1] * 5))
    assert "fewer than 12 points" in few[0]
    assert "the two polarities were not compared" in few[1]


def run(tmp_path, data, *options):
    rows = zip(data.V_in[:, 0], data.I_out[:, 0], strict=True)
    (tmp_path / "iv.csv").write_text("V,I\n" + "".join(f"{v},{i}\n" for v, i in rows))
    words = ["calibrate", "sweeps", tmp_path / "iv.csv", "--out", tmp_path / "out", "--json"]
    return CliRunner().invoke(app, [str(w) for w in (*words, *options)])


def test_the_page_shows_the_data_with_what_was_seen(tmp_path):
    result = run(tmp_path, changed("outliers", 0))
    record = json.loads(result.stdout)
    (seen,) = record["inspection"]["seen"]
    assert (seen["kind"], seen["points"]) == ("outliers", 2)
    assert seen["text"] in record["findings"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Current against voltage; marked: outliers" in page
    assert "Seen before the fit; nothing of it was changed" in page
    result = run(tmp_path, changed("outliers", 0), "--drop-outliers")
    record = json.loads(result.stdout)
    assert record["inspection"]["seen"] == []
    assert any("left out (--drop-outliers): 2" in text for text in record["data_read"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Open circles: 2 points left out." in page
    assert "None of these was seen: sign, outliers, compliance" in page


def test_currents_of_the_other_sign_end_in_an_error_that_names_the_option(tmp_path):
    flipped = sweep(LOOP, -IDEAL[id(LOOP)], 0)
    result = run(tmp_path, flipped)
    assert isinstance(result.exception, InputError)
    assert "--flip-current" in str(result.exception)
    assert run(tmp_path, flipped, "--flip-current", "all").exit_code == 0


def test_reads_of_the_other_sign_are_flipped_on_request(tmp_path):
    G = np.random.default_rng(0).uniform(1e-4, 5e-4, (3, 3))
    V_in = np.random.default_rng(1).uniform(0, 0.6, (20, 3))
    I_out = -xb.solve(xb.Crossbar(G, R_wl=2.0, R_bl=2.0, device="sinh_tio2"), V_in).I_out
    I_out *= 1 + 0.003 * np.random.default_rng(2).standard_normal(I_out.shape)
    head = ",".join([f"V_in{k}" for k in range(3)] + [f"I_out{k}" for k in range(3)])
    np.savetxt(
        tmp_path / "r.csv", np.hstack([V_in, I_out]), delimiter=",", header=head, comments=""
    )
    np.savetxt(tmp_path / "G.csv", G, delimiter=",", header="G [S]", comments="")
    words = ["calibrate", "reads", tmp_path / "r.csv", "--array", tmp_path / "G.csv", "--json"]
    words += ["--free", "R_wire", "--out", tmp_path / "out"]
    refused = CliRunner().invoke(app, [str(w) for w in words])
    assert "--flip-current all" in str(refused.exception)
    done = CliRunner().invoke(app, [str(w) for w in (*words, "--flip-current", "all")])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert "sign of every current changed" in record["data_read"]
    wire = record["parameters"][0]
    assert wire["low"] <= 2.0 <= wire["high"]
