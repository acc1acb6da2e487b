"""Pulse trains of every dynamic model, their held fields, and potentiation and depression."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from typer.testing import CliRunner

from xbarspice import calibration, devices
from xbarspice.calibration.held_fields import free_fields
from xbarspice.calibration.measurements import PulseTrains
from xbarspice.cli.app import app
from xbarspice.core.errors import InputError
from xbarspice.devices.data_driven import O921C4K

LONG = bool(os.environ.get("XBARSPICE_LONG"))
CASES = {
    # truth in units of the published figures, largest pulses, width
    "messaris2018": ({"A_p": 1.2, "A_n": 0.8}, (1.2, 1.2), 2e-4),
    "mt2021": ({"r_p0": 1.03, "A_n": 1.2}, (1.2, 1.2), 5e-6),
    "n1257r": ({"r_p0": 1.03, "A_n": 0.8}, (1.4, 1.4), 5e-6),
    "nili_pulse": ({"gain_set": 1.3, "gain_reset": 0.8}, (1.0, 1.3), 1e-6),
    "o921c_4k": ({"A_p": 1.15, "A_n": 1.2}, (2.0, 2.0), 2e-7),
}
STIFF = {
    "sky130_reram": ({"v_0": 1.3}, (1.5, 1.5), 1e-7),
}
"""Models that are integrated, which takes seconds a fit: one short train each. A fit of `pickett`
takes minutes, and is not held against a known truth."""


def trains_of(name, factors, size, width, seed, *, count=3, pulses=40, noise=0.01):
    """Reads with relative noise after pulses of both signs and of two widths."""
    rng = np.random.default_rng(seed)
    published = devices.get(name)
    true = devices.with_parameters(
        name, {key: factor * getattr(published, key) for key, factor in factors.items()}
    )
    assert isinstance(true, devices.DynamicDevice)
    low, high = true.state_range
    x = low + (high - low) * rng.uniform(0.3, 0.7, count)
    rows = [(np.arange(count), np.zeros(count), np.zeros(count), true.conductance(x))]
    for k in range(pulses):
        sign = 1.0 if (k // 5) % 2 == 0 else -1.0
        V = sign * rng.uniform(0.7, 1.0, count) * size[k // 5 % 2]
        w = np.full(count, width * (1 + k % 2))
        x = true.step(x, V, w, outside="clamp")
        rows.append((np.arange(count), V, w, true.conductance(x)))
    device, V, w, G = (np.concatenate(column) for column in zip(*rows, strict=True))
    G = G * (1 + noise * rng.standard_normal(len(G)))
    return true, PulseTrains(device=device, V=V, width=w, G=G)


def test_every_dynamic_model_that_can_be_written_is_tried():
    models = {n for n in devices.names() if isinstance(devices.get(n), devices.DynamicDevice)}
    assert models - {"o921c"} == {*CASES, *STIFF, "pickett"}
    _, trains = trains_of("o921c_4k", {}, (1.5, 1.5), 2e-7, 0, pulses=10)
    with pytest.raises(InputError, match="usable SET and RESET"):
        calibration.fit_pulses("o921c", trains, ["A_p"])


@pytest.mark.parametrize("name", CASES)
def test_every_dynamic_model_is_found_from_its_pulses(name):
    """Intervals hold the truth, right models are not refused: counted over repeats."""
    factors, size, width = CASES[name]
    repeats = 40 if LONG else 6
    hits = refused = 0
    for seed in range(repeats):
        true, trains = trains_of(name, factors, size, width, seed)
        fit, model = calibration.fit_pulses(name, trains, list(factors))
        refused += not fit.holds
        for key in factors:
            value, low, high = fit[f"device.{key}"]
            hits += low <= getattr(true, key) <= high
            assert value == pytest.approx(getattr(true, key), rel=0.25)
            assert getattr(model, key) == value
    assert hits >= 2 * repeats * 0.8
    assert refused <= 1


@pytest.mark.parametrize("name", STIFF)
def test_an_integrated_model_is_found_from_its_pulses(name):
    factors, size, width = STIFF[name]
    true, trains = trains_of(name, factors, size, width, 0, count=1, pulses=10)
    options = calibration.Options(held_out=0.0, free_held=False)
    fit, _ = calibration.fit_pulses(name, trains, list(factors), options=options)
    for key in factors:
        value, low, high = fit[f"device.{key}"]
        assert abs(value - getattr(true, key)) < high - low < getattr(true, key)


def test_a_wrong_model_of_the_dynamics_is_found_and_a_held_field_that_is_wrong():
    """Pulses of one model fitted with another; and with a field held at a wrong value."""
    wrong, named = 0, 0
    for seed in range(3):
        _, trains = trains_of("o921c_4k", {}, (2.0, 2.0), 2e-7, seed)
        fit, _ = calibration.fit_pulses("messaris2018", trains, ["A_p", "A_n"])
        wrong += not fit.holds
        _, trains = trains_of("o921c_4k", {"r_p0": 1.03}, (2.0, 2.0), 2e-7, seed)
        fit, _ = calibration.fit_pulses("o921c_4k", trains, ["A_p", "A_n"])
        named += any("given `device.r_p0`" in text for text in fit.findings)
    assert wrong == 3
    assert named == 3


def test_held_fields_disturb_few_fits_of_a_model_that_holds():
    disturbed = 0
    for seed in range(12):
        _, trains = trains_of("o921c_4k", {"A_p": 1.1}, (2.0, 2.0), 2e-7, seed)
        fit, _ = calibration.fit_pulses("o921c_4k", trains, ["A_p", "A_n"])
        assert {h.name for h in fit.held} >= {"device.t_p", "device.r_p0", "device.R_off"}
        disturbed += any("given `device." in text for text in fit.findings)
    assert disturbed <= 1


def test_a_field_that_the_model_holds_at_its_value_is_named():
    _, trains = trains_of("o921c_4k", {}, (2.0, 2.0), 2e-7, 1, pulses=10)
    options = calibration.Options(held_out=0.0, free_held=False)
    fit, model = calibration.fit_pulses("o921c_4k", trains, ["A_p", "A_n"], options=options)

    def conductances(device, theta):
        if device.t_p != model.t_p:
            raise InputError("t_p is fixed")
        return fit.predicted

    held = free_fields(fit, np.ones((len(fit.measured), 1)), model, ["A_p", "A_n"], conductances)
    assert {h.name: h.reason for h in held}["device.t_p"] == "the model refuses t_p just beside it"
    assert all(h.freed is None and not h.moved for h in held)


def test_pulses_that_were_not_read_are_followed_all_the_same():
    """Three of four reads left out: the same values, with wider intervals."""
    true, trains = trains_of("o921c_4k", {"A_p": 1.15}, (2.0, 2.0), 2e-7, 1)
    G = np.where((np.arange(len(trains.G)) % 4 == 0) | (trains.V == 0), trains.G, np.nan)
    few = PulseTrains(device=trains.device, V=trains.V, width=trains.width, G=G)
    fit, _ = calibration.fit_pulses("o921c_4k", few, ["A_p"])
    whole, _ = calibration.fit_pulses("o921c_4k", trains, ["A_p"])
    value, low, high = fit["device.A_p"]
    assert isinstance(true, O921C4K)
    assert abs(value - true.A_p) < high - low
    assert high - low > 1.2 * (whole["device.A_p"][2] - whole["device.A_p"][1])
    with pytest.raises(InputError, match="measured at the first point"):
        PulseTrains(device=trains.device, V=trains.V, width=trains.width, G=np.full(len(G), np.nan))


# --- potentiation and depression -----------------------------------------------------------------


def staircase(seed, nu=(3.0, -1.5), cycles=4, pulses=30, count=2, noise=0.01, bend=0.0):
    """Cycles of equal pulses up and down, with relative noise of the reads."""
    rng = np.random.default_rng(seed)
    x = np.arange(1, pulses + 1) / pulses
    rows = []
    for d in range(count):
        low, high = 50e-6 * (1 + d), 200e-6 * (1 + d)
        rows.append((d, 0.0, 0.0, low))
        for _ in range(cycles):
            for sign, (first, last), n in ((1, (low, high), nu[0]), (-1, (high, low), nu[1])):
                shape = np.expm1(-n * x) / np.expm1(-n) + bend * np.sin(2 * np.pi * x)
                rows += [(d, sign * 1.1, 1e-6, first + (last - first) * f) for f in shape]
    device, V, width, G = (np.array(column) for column in zip(*rows, strict=True))
    G = G * (1 + noise * rng.standard_normal(len(G)))
    return PulseTrains(
        device=device.astype(np.intp), V=V, width=width, G=G,
        labels=tuple(f"d{d}" for d in range(count)),
    )  # fmt: skip


def test_the_nonlinearity_of_both_branches_is_found():
    hits = refused = 0
    truth = {"potentiation": 3.0, "depression": -1.5}
    for seed in range(25):
        fit = calibration.fit_curves(calibration.branches_of(staircase(seed)))
        refused += not fit.holds
        for d in ("d0", "d1"):
            for branch, nu in truth.items():
                _, low, high = fit[f"{d}.{branch}.nu"]
                hits += low <= nu <= high
    assert 0.90 <= hits / 100 <= 0.99
    assert refused <= 2


def test_a_straight_branch_has_a_nonlinearity_of_0():
    fit = calibration.fit_curves(calibration.branches_of(staircase(0, nu=(1e-9, 2.0), count=1)))
    value, low, high = fit["potentiation.nu"]
    assert low < 0 < high
    assert abs(value) < 0.2


def test_a_curve_of_another_form_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trains = staircase(0, bend=0.1)
    assert not calibration.fit_curves(calibration.branches_of(trains)).holds
    lines = [
        f"{d},{V},{1e6 * w},{1e-3 / g}"
        for d, V, w, g in zip(trains.device, trains.V, trains.width, trains.G, strict=True)
    ]
    (tmp_path / "p.csv").write_text("device,V,width [us],R [kohm]\n" + "\n".join(lines))
    words = ["calibrate", "curves", "p.csv", "--out", "o", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    record = json.loads(done.stdout)
    assert not record["model_holds"]
    assert not (tmp_path / "o/card.toml").exists()
    assert "Potentiation. Dots: read" in (tmp_path / "o/report.html").read_text()


def test_pulses_that_make_no_curve_are_refused():
    trains = staircase(0)
    growing = np.where(trains.V > 0, trains.V + 1e-3 * np.arange(len(trains.V)), trains.V)
    rising = PulseTrains(device=trains.device, V=growing, width=trains.width, G=trains.G)
    branches = calibration.branches_of(rising)
    assert {name.rpartition(".")[2] for name in branches.names} == {"depression"}
    assert any("runs shorter than 5" in text for text in branches.notices)
    single = PulseTrains(device=trains.device[:4], V=trains.V[:4], width=trains.width[:4],
                         G=trains.G[:4])  # fmt: skip
    with pytest.raises(InputError, match="runs of at least 5"):
        calibration.branches_of(single)
    up = PulseTrains(device=np.zeros(16, np.intp), V=np.repeat([0.0, 1, -1], [1, 8, 7]),
                     width=np.full(16, 1e-6), G=np.linspace(1e-4, 2e-4, 16))  # fmt: skip
    with pytest.raises(InputError, match="pulses of one sign must raise"):
        calibration.branches_of(up)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("V,width,I [uA]\n0,0,10\n", "at which its currents were read"),
        ("V,width,I [uA],V_read\n0,0,10,-0.2\n", "of the sign of V_read"),
        ("V,width,I,V_read,G\n0,0,1,1,1\n", "one column of what was read"),
        ("V,width,polarity,G\n0,0,+,1e-4\n-1,1e-6,+,2e-4\n", "received '\\+' with -1 V in line 3"),
        ("V,width,polarity,G\n0,0,+,1e-4\n1,1e-6,SET,2e-4\n", "received 'SET'"),
    ],
)
def test_pulse_files_that_contradict_are_refused(tmp_path, text, words):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        calibration.read_pulses(tmp_path / "p.csv")
