"""Calibration: Jacobians, intervals, warnings, readers, cards, spread and the twin of a die."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice import calibration
from xbarspice.calibration import Noise, Options, Programming, Reads, Thresholds, assignment
from xbarspice.calibration import page as calibration_page
from xbarspice.calibration.model import Model
from xbarspice.cli import steps
from xbarspice.cli.app import app
from xbarspice.config import card as cards
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.errors import InputError
from xbarspice.deployment.opening import open_model
from xbarspice.devices import O921C4K, CubicAl2O3TiO2, SinhTiO2
from xbarspice.variability import BiasingSchemeEffect, from_config

RNG = np.random.default_rng(0)
G = RNG.uniform(100e-6, 500e-6, (3, 4))
V_IN = RNG.uniform(-0.3, 0.3, (9, 3))


def reads_of(array, V_in=V_IN, V_out=None, noise=0.0, seed=0, ends=xb.READ):
    found = xb.solve(array.replace(ends=ends), V_in, V_out, engine="nodal")
    scatter = 1 + noise * np.random.default_rng(seed).standard_normal(found.I_out.shape)
    return Reads(V_in=V_in, V_out=V_out, I_out=found.I_out * scatter, ends=ends)


# --- Jacobian and fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "fields"),
    [
        (SinhTiO2(), ["device.b", "device.V_read"]),
        (CubicAl2O3TiO2(xi=0.5), ["device.T", "device.xi"]),
        (xb.devices.get("o921c_4k"), ["device.b"]),
        (xb.devices.get("ohmic"), []),
    ],
)
def test_the_jacobian_is_that_of_differences(device, fields):
    """Every parameter, with lines driven on both sides and currents at both ends."""
    ends = xb.LineEnds(wl_right="sensed", bl_top="driven")
    array = xb.Crossbar(G, R_wl=2.0, R_bl=3.0, R_driver=5.0, R_sense=7.0, device=device)
    V_out = RNG.uniform(-0.1, 0.1, (9, 4))
    reads = reads_of(array, V_out=V_out, ends=ends)
    reads = Reads(**{**reads.__dict__, "I_in": np.zeros((9, 3))})
    model = Model(
        array, [reads, reads_of(array)], ["R_wl", "R_bl", "R_driver", "R_sense", *fields, "G"]
    )
    theta = np.array([p.start for p in model.parameters])
    exact = model.jacobian(theta)
    assert exact.shape == (9 * 7 + 9 * 4, 4 + len(fields) + 12)
    for j, p in enumerate(model.parameters):
        step = np.zeros_like(theta)
        step[j] = 1e-4 * max(abs(p.start), 1.0 if p.name == "device.xi" else 0.0)
        by = (model.currents(theta + step) - model.currents(theta - step)) / (2 * step[j])
        assert np.abs(by - exact[:, j]).max() < 1e-6 * np.abs(by).max(), p.name


def test_truth_is_found_from_two_kinds_of_reads():
    """Reads with other line ends add what one kind cannot tell apart; G is found too."""
    true = xb.Crossbar(G, R_wl=2.0, R_bl=3.0, R_driver=50.0, R_sense=20.0, device=SinhTiO2(b=2.2))
    both = xb.LineEnds(wl_left="driven", wl_right="driven", bl_top="sensed", bl_bottom="sensed")
    start = xb.Crossbar(np.full((3, 4), 3e-4), R_driver=10.0, R_sense=10.0, device="sinh_tio2")
    data = [reads_of(true), reads_of(true, ends=both)]
    fit, found = calibration.fit_reads(
        start, data, ["R_wl", "R_bl", "R_driver", "R_sense", "device.b", "G"]
    )
    assert np.abs(found.G / G - 1).max() < 1e-4
    assert found.R_wl == pytest.approx(2.0, rel=1e-3)
    assert found.device.b == pytest.approx(2.2, rel=1e-4)
    assert fit.held_out is not None
    assert fit.held_out.error < 1e-6


def test_a_resistance_of_exactly_zero_ends_at_its_bound():
    true = xb.Crossbar(G, R_wl=0.0, R_bl=3.0)
    start = xb.Crossbar(G, R_wl=1.0, R_bl=1.0)
    fit, _ = calibration.fit_reads(start, reads_of(true, noise=0.01, seed=3), ["R_wl", "R_bl"])
    assert fit["R_wl"][1] == 0.0
    assert 0 <= fit["R_wl"][0] < fit["R_wl"][2]


def test_a_robust_loss_is_not_led_astray_by_outliers():
    true = xb.Crossbar(G, R_wl=4.0, R_bl=4.0)
    reads = reads_of(true, noise=0.002)
    I_out = reads.I_out.copy()
    I_out[::4, 1] *= 1.3
    bad = Reads(V_in=V_IN, I_out=I_out)
    start = xb.Crossbar(G)
    errors = {}
    for loss in ("linear", "soft_l1", "huber"):
        options = Options(noise=Noise(relative=0.002), loss=loss, held_out=0.0)
        fit, _ = calibration.fit_reads(start, bad, ["R_wire"], options=options)
        errors[loss] = abs(fit["R_wire"][0] - 4.0)
    assert errors["soft_l1"] < 0.5 * errors["linear"]
    assert errors["huber"] < 0.5 * errors["linear"]


def test_bounds_hold():
    true = xb.Crossbar(G, R_wl=4.0, R_bl=4.0)
    fit, found = calibration.fit_reads(
        xb.Crossbar(G), reads_of(true), ["R_wire"], bounds={"R_wire": (0.5, 2.0)}
    )
    assert found.R_wl == pytest.approx(2.0, rel=1e-6)
    assert any("ended at its bound 2 ohm" in text for text in fit.findings)


def test_a_resistance_that_differs_from_place_to_place_has_no_one_value_to_fit():
    uneven = xb.Crossbar(G, R_wl=np.full((G.shape[0], G.shape[1] - 1), 4.0))
    for name in ("R_wl", "R_wire"):
        with pytest.raises(InputError, match="`R_wl` must be one number for the whole array"):
            calibration.fit_reads(uneven, reads_of(xb.Crossbar(G)), [name])


# --- what the data do not determine ------------------------------------------------------------


def test_a_sweep_of_one_device_cannot_tell_driver_from_sense():
    V = np.linspace(-0.5, 0.5, 31)
    true = xb.Crossbar([[3e-4]], R_driver=50.0, R_sense=20.0, device="sinh_tio2")
    current = xb.solve(true, V[:, None], engine="nodal").I_out[:, 0]
    noisy = current * (1 + 0.01 * np.random.default_rng(1).standard_normal(31))
    data = calibration.sweeps(["x"] * 31, V, noisy)
    start = xb.Crossbar([[3e-4]], R_driver=10.0, R_sense=10.0, device="sinh_tio2")
    fit, found = calibration.fit_reads(start, data, ["R_driver", "R_sense"])
    (text,) = fit.findings
    assert "`R_driver`" in text
    assert "`R_sense`" in text
    assert "+ 1 ohm" in text
    assert "- 1 ohm" in text
    assert fit["R_driver"][1:] == (0.0, np.inf)
    assert found.R_driver + found.R_sense == pytest.approx(70.0, abs=20.0)
    fixed, _ = calibration.fit_reads(start.replace(R_sense=20.0), data, ["R_driver"])
    (text,) = fixed.findings  # the data tell their sum alone
    assert text.startswith("the intervals are given `R_sense` = 20 ohm, which was held")
    assert fixed["R_driver"][1] < 50.0 < fixed["R_driver"][2]


def test_what_changes_nothing_is_said_to_change_nothing():
    one_column = xb.Crossbar(G[:, :1], R_wl=1.0)
    fit, _ = calibration.fit_reads(one_column, reads_of(one_column, noise=0.01), ["R_wl", "R_bl"])
    assert any("`R_wl` changes no measured current" in text for text in fit.findings)
    assert fit["R_wl"] == (1.0, 0.0, np.inf)


def test_well_measured_data_bring_no_warning():
    true = xb.Crossbar(G, R_wl=2.0, R_bl=3.0, R_driver=50.0, R_sense=20.0)
    names = ["R_wl", "R_bl", "R_driver", "R_sense"]
    data = reads_of(true, RNG.uniform(-0.3, 0.3, (60, 3)), noise=1e-4)
    fit, _ = calibration.fit_reads(true.replace(R_driver=40.0), data, names)
    assert not fit.findings
    assert all(np.isfinite(fit.error))


@pytest.mark.parametrize(
    ("free", "words"),
    [
        (["R_w"], "must be among"),
        ([], "must be among"),
        (["R_wire", "R_wl"], "stands for"),
        (["device.b"], "must be among"),
    ],
)
def test_wrong_names_are_refused(free, words):
    with pytest.raises(InputError, match=words):
        calibration.fit_reads(xb.Crossbar(G), reads_of(xb.Crossbar(G)), free)


def test_too_few_currents_are_refused():
    with pytest.raises(InputError, match="needs more measured values"):
        calibration.fit_reads(xb.Crossbar(G), reads_of(xb.Crossbar(G), V_IN[:2]), ["G"])
    with pytest.raises(InputError, match="must fit the array, 3 x 4"):
        calibration.fit_reads(xb.Crossbar(G), reads_of(xb.Crossbar(G.T), np.ones((4, 4))), ["R_wl"])


# --- pulses and spread -------------------------------------------------------------------------


def pulse_file(path, sign="."):
    true = O921C4K(A_p=300.0, A_n=-13.0)
    rng = np.random.default_rng(0)
    lines = ["# tester: made up", "device;V;width [ns];R [kohm]"]
    for d in range(3):
        x = np.array(rng.uniform(5000.0, 9000.0))
        lines.append(f"d{d};0;0;{1e-3 / true.conductance(x)}")
        for k in range(30):
            V = (1 if (k // 10) % 2 == 0 else -1) * rng.uniform(0.8, 2.0)
            x = true.step(x, V, 200e-9, outside="clamp")
            lines.append(f"d{d};{V};200;{1e-3 / true.conductance(x) * (1 + 0.005 * rng.normal())}")
    path.write_text("\n".join(lines).replace(".", sign))


@pytest.mark.parametrize("sign", [".", ","])
def test_pulse_trains_give_the_dynamic_parameters(tmp_path, sign):
    pulse_file(tmp_path / "p.csv", sign)
    trains = calibration.read_pulses(tmp_path / "p.csv")
    assert trains.width.max() == pytest.approx(200e-9)
    fit, device = calibration.fit_pulses("o921c_4k", trains, ["A_p", "A_n"])
    assert device.A_p == pytest.approx(300.0, rel=0.05)
    assert fit["device.A_n"][1] < -13.0 < fit["device.A_n"][2]
    assert not fit.findings


def test_amplitude_and_scale_of_an_exponential_are_told_to_be_alike(tmp_path):
    pulse_file(tmp_path / "p.csv")
    trains = calibration.read_pulses(tmp_path / "p.csv")
    fit, _ = calibration.fit_pulses("o921c_4k", trains, ["A_p", "t_p"])
    assert any("`device.t_p`" in text and "`device.A_p`" in text for text in fit.findings)
    with pytest.raises(InputError, match="need a device with a state"):
        calibration.fit_pulses("ohmic", trains, ["A_p"])
    with pytest.raises(InputError, match="must be fields"):
        calibration.fit_pulses("o921c_4k", trains, ["A_q"])


def programming(seed, devices=60, repeats=6):
    rng = np.random.default_rng(seed)
    device = np.repeat(np.arange(devices), repeats)
    target = rng.uniform(100e-6, 500e-6, device.size)
    own = 0.01 * rng.standard_normal(devices)
    sigma = 0.012 - 10.0 * target
    G = target * (1 - 0.006 + own[device] + sigma * rng.standard_normal(device.size))
    later = rng.integers(1, 50, device.size)
    drift = [
        BiasingSchemeEffect(later_writes=int(k), scale=1.5).apply(np.array([[g]]), rng)[0, 0]
        for g, k in zip(G, later, strict=True)
    ]
    G[device == 7], G[device == 9], G[device == 11] = 700e-6, 650e-6, 20e-6
    return Programming(device=device, target=target, G=G, G_end=np.array(drift), later_writes=later)


def test_the_variability_model_is_found_with_its_intervals():
    truth = {
        "cti.offset_mean": -0.006,
        "cti.offset_std": 0.01,
        "cti.sigma_0": 0.012,
        "cti.sigma_slope": -10.0,
        "bse.scale": 1.5,
    }
    holds = []
    for seed in range(20):
        found = calibration.fit_spread(programming(seed))
        values = {k: found.values[f"variability.{k}"] for k in truth}
        holds.append([values[k].low <= v <= values[k].high for k, v in truth.items()])
        for k, v in truth.items():
            assert values[k].high - values[k].low < 2.5 * abs(v), k  # they must say something
    assert 0.85 <= np.mean(holds) <= 1.0
    terms = {t["name"]: t for t in found.terms}
    assert terms["saf"]["rate_lrs"] == pytest.approx(2 / 60)
    assert terms["saf"]["rate_hrs"] == pytest.approx(1 / 60)
    assert any("high ohm" in text for text in found.notices)
    variation = from_config(found.terms)
    assert variation.apply(np.full((8, 8), 3e-4), np.random.default_rng(0)).shape == (8, 8)


def test_what_cannot_be_told_apart_in_programming_is_said():
    data = programming(0, devices=40, repeats=1)
    once = calibration.fit_spread(data)
    assert any("no device was written twice" in text for text in once.notices)
    with pytest.raises(InputError, match="at least 8 writes"):
        calibration.fit_spread(programming(0, devices=3, repeats=1))


# --- readers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("V;I\n1;2\n1;x\n", "column 'I' of .* received 'x' in line 3"),
        ("V,I\n1,2,3\n", "must have 2 cells; received 3 in line 2"),
        ("some words\n1,2\n", "columns V, I; received 2 columns without a head"),
        ("V [Ohm],I\n1,2\n", "unit must be V with an SI prefix"),
        ("V,I\n", "must hold numbers"),
        ("V,V,I\n1,2,3\n", "one column of .* must be V; received 'V' and 'V'"),
        ("V,I\n1,inf\n", "at least one current"),
        ("V,I\n,1\n", "V of .* must be a number; received nan in line 2"),
    ],
)
def test_wrong_files_are_named(tmp_path, text, words):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        calibration.read_sweeps(tmp_path / "x.csv")


def test_csv_and_hdf5_hold_the_same(tmp_path):
    reads = reads_of(xb.Crossbar(G))
    hdf5.write_tree(tmp_path / "r.h5", {"V_in": reads.V_in, "I_out": reads.I_out}, "reads")
    head = ";".join([f"V_in{k} [mV]" for k in range(3)] + [f"I_out{k} (\u00b5A)" for k in range(4)])
    rows = [
        ";".join(map(str, [*(v * 1e3), *(i * 1e6)]))
        for v, i in zip(reads.V_in, reads.I_out, strict=True)
    ]
    rows[1] = rows[1].rpartition(";")[0] + ";"  # not measured
    (tmp_path / "r.csv").write_text("\n".join([head, *rows]).replace(".", ","), "utf-8")
    a, b = calibration.read_reads(tmp_path / "r.h5"), calibration.read_reads(tmp_path / "r.csv")
    assert np.isnan(b.I_out[1, 3])
    np.testing.assert_allclose(a.V_in, b.V_in, rtol=1e-12)
    np.testing.assert_allclose(a.I_out[2:], b.I_out[2:], rtol=1e-12)
    hdf5.write_tree(tmp_path / "s.h5", {"V": np.ones(3), "I": np.ones(3)}, "sweeps")
    assert calibration.read_sweeps(tmp_path / "s.h5").I_out.shape == (3, 1)


# --- cards -------------------------------------------------------------------------------------


@pytest.fixture
def card(tmp_path):
    fit, _ = calibration.fit_reads(
        xb.Crossbar(G, device="sinh_tio2"),
        reads_of(xb.Crossbar(G, R_wl=2.0, R_bl=2.0, device=SinhTiO2(b=2.2)), noise=0.001),
        ["R_wire", "device.b"],
    )
    (tmp_path / "data.csv").write_text("data")
    made = calibration.card_of(fit, "sinh_tio2", [tmp_path / "data.csv"], title="die 7")
    (tmp_path / "card.toml").write_text(made.to_toml())
    return tmp_path / "card.toml"


def test_the_smallest_step_inside_a_bound_of_zero_is_no_resistance():
    start = xb.Crossbar(G, R_wl=1.0, R_bl=1.0)
    model = Model(start, [reads_of(start)], ["R_wire"])
    assert model.at(np.array([5e-324])).R_wl == 0.0
    assert model.at(np.array([1e-10])).R_wl == 0.0  # of 2 kohm: changes no current
    assert model.at(np.array([1e-8])).R_wl == 1e-8


def test_intervals_of_a_model_that_does_not_fit_come_with_a_warning(tmp_path):
    """Ohmic devices fitted to currents of strongly bent ones: small intervals at a wrong value."""
    bent = xb.Crossbar(G, R_wl=2.0, R_bl=2.0, device=SinhTiO2(b=6.0))
    reads = reads_of(bent, RNG.uniform(-0.5, 0.5, (60, G.shape[0])))
    start = xb.Crossbar(G, R_wl=1.0, R_bl=1.0, device="ohmic")
    fit, _ = calibration.fit_reads(start, reads, ["R_wire"])
    assert fit.scale > 2
    assert any("the model misses the data by" in text for text in fit.findings)
    assert not fit.holds
    assert fit["R_wire"][1:] == (0.0, np.inf)  # no interval of a model that does not hold
    record = {**calibration.record_of(fit), "title": "t", "data": ["d"], "data_sha256": "a" * 64}
    page = calibration_page.write_fit(record, "card", tmp_path / "p.html").read_text()
    assert "DOES NOT FIT" in page
    assert "Values; intervals are withheld" in page
    assert all(row["low"] is row["high"] is None for row in record["parameters"])
    right, _ = calibration.fit_reads(
        bent.replace(R_wl=1.0, R_bl=1.0), reads_of(bent, noise=0.01), ["R_wire"]
    )
    assert not right.findings
    assert 0.5 < right.scale < 1.5
    record = {**calibration.record_of(right), "title": "t", "data": ["d"], "data_sha256": "a" * 64}
    page = calibration_page.write_fit(record, "card", tmp_path / "p.html").read_text()
    assert "no test of the residuals speaks against the model." in page


def test_a_card_goes_over_the_configuration_and_under_what_is_set_by_hand(card):
    run = steps.configuration(None, ["array.R_bl=9"], reads=("array",), calibration=card)
    made = cards.CalibrationCard.from_toml(card)
    assert run.array.R_wl == made.values["R_wl"].value
    assert run.array.R_bl == 9.0
    assert run.array.model() == SinhTiO2(b=made.values["device.b"].value)
    assert run.calibration is not None
    assert run.calibration.title == "die 7"
    assert run.calibration.overridden == ("array.R_bl",)
    assert steps.name_card({}, run)["calibration"].endswith("overridden by hand: array.R_bl")
    assert "die 7" in run.to_toml()


def test_a_card_without_a_date_depends_on_data_and_fit_alone(card):
    made = cards.CalibrationCard.from_toml(card)
    assert made.to_toml() == card.read_text()
    assert made.date is None
    assert "date" not in card.read_text()
    assert made.data_sha256 == cards.data_hash(card.parent / "data.csv")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('device = "sinh_tio2"', 'device = "none"', "device"),
        ("[values.R_wl]", "[values.R_w]", "must be among"),
        ("format = 2", "format = 3", "format"),
        ("title", "titel", "titel"),
        ("format = 2", "format = = 2", "must be TOML"),
    ],
)
def test_a_wrong_card_is_refused(card, old, new, words):
    card.write_text(card.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        steps.configuration(None, None, calibration=card)


def deployed(folder, **options):
    """A deployment of one array, and its inputs."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 2)).double(), torch.rand(8, 3).double()
    config = xb.ArrayConfig(tile_rows=8, tile_cols=8, G_min=1e-4, G_max=5e-4, **options)
    circuit = xb.nn.convert(model, config, calibrate=x)
    xb.save(folder / "net.h5", circuit)
    return circuit, x


def test_a_deployment_takes_the_card_over(card, tmp_path):
    circuit, _ = deployed(tmp_path, device="ohmic")
    run = steps.configuration(None, None, calibration=card)
    opened = open_model(tmp_path / "net.h5", None, run, None, None, random=1)
    (array,) = xb.nn.arrays(opened.circuit)
    assert array.crossbar.R_wl == run.array.R_wl
    assert array.crossbar.device == run.array.model()
    assert np.array_equal(array.crossbar.G, xb.nn.arrays(circuit)[0].crossbar.G)
    plain = steps.configuration(None, None)
    (same,) = xb.nn.arrays(
        open_model(tmp_path / "net.h5", None, plain, None, None, random=1).circuit
    )
    assert same.crossbar.device.name == "ohmic"


def test_the_array_of_a_deployment_is_what_was_measured(tmp_path):
    """Its wires, from currents of its one array; a model of several arrays is refused."""
    circuit, _ = deployed(tmp_path, device="ohmic", R_wl=0.5, R_bl=0.5)
    array = xb.nn.arrays(circuit)[0].crossbar
    V_in = RNG.uniform(-0.2, 0.2, (9, array.rows))
    reads = reads_of(array.replace(R_wl=4.0, R_bl=4.0), V_in)
    hdf5.write_tree(tmp_path / "r.h5", {"V_in": V_in, "I_out": reads.I_out}, "reads")
    words = [
        "calibrate",
        "reads",
        str(tmp_path / "r.h5"),
        "--array",
        str(tmp_path / "net.h5"),
        "--free",
        "R_wire",
        "--out",
        str(tmp_path / "run"),
        "--json",
    ]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    (fitted,) = json.loads(done.stdout)["parameters"]
    assert fitted["value"] == pytest.approx(4.0, rel=1e-5)
    two = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).double()
    xb.save(tmp_path / "net.h5", xb.nn.convert(two, calibrate=torch.rand(8, 3).double()))
    refused = CliRunner().invoke(app, words)
    assert "must stand on one array" in str(refused.exception)


def test_an_earlier_card_is_carried_on(card, tmp_path):
    found = calibration.fit_spread(programming(0))
    before = cards.CalibrationCard.from_toml(card)
    made = calibration.card_of_spread(
        found, "sinh_tio2", [tmp_path / "data.csv"], title="both", before=before
    )
    assert made.values["R_wl"] == before.values["R_wl"]
    assert made.variability == found.terms
    (tmp_path / "both.toml").write_text(made.to_toml())
    run = steps.configuration(None, None, calibration=tmp_path / "both.toml")
    assert from_config(run.variability) == from_config(found.terms)


# --- the twin of a die -------------------------------------------------------------------------

R = np.array([[2000.0, 5000.0, 9000.0], [2500.0, 900.0, 4000.0]])


def die_text(form):
    cells = [[f"{r:.1f}" for r in row] for row in R]
    if form == "plain":
        return "\n".join(",".join(row) for row in cells)
    if form == "numbered":
        body = [f"{k};" + ";".join(row).replace(".", ",") for k, row in enumerate(cells)]
        return "\n".join(
            ["Die;17", "Read voltage [mV];150", "pulse width: 200 ns", ";0;1;2", *body]
        )
    if form == "named":
        body = [f"WL{k}\t" + "\t".join(row) for k, row in enumerate(cells)]
        return "\n".join(["# V_read = 0.15 V, resistance in ohm", *body])
    if form == "kohm":
        rows = [";".join(f"{r / 1e3:.4f}" for r in row) for row in R]
        return "\n".join(["resistance (k\u03a9)", "lecture 0,15 V", *rows])
    rows = [";".join(f"{1e6 / r:.6f}".replace(".", ",") for r in row) for row in R]
    return "\n".join(["conductance in \u00b5S", "reading voltage: 0.15 V", *rows])


@pytest.mark.parametrize("form", ["plain", "numbered", "named", "kohm", "siemens"])
def test_dies_are_read_in_every_usual_form(tmp_path, form):
    (tmp_path / "die.csv").write_text(die_text(form), "utf-8")
    die = calibration.read_die(tmp_path / "die.csv")
    np.testing.assert_allclose(die.G, 1 / R, rtol=1e-4)
    assert die.V_read == (None if form == "plain" else pytest.approx(0.15))
    guessed = any("is taken for ohm" in text for text in die.notices)
    assert guessed == (form in ("plain", "numbered"))
    if form == "numbered":
        assert die.settings["pulse width"] == "200 ns"
        assert die.settings["Die"] == "17"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("words only\n", "must hold numbers"),
        ("1000,2000\n1000,2000\n1000,2000,3000\n", "must be rectangular"),
        ("5,6\n7,8\n", "must say whether it holds"),
        ("1000,0\n3000,4000\n", "resistances must be > 0"),
        ("1000,-5\n3000,4000\n", "resistances must be > 0"),
    ],
)
def test_wrong_dies_are_refused(tmp_path, text, words):
    (tmp_path / "die.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        calibration.read_die(tmp_path / "die.csv")


def test_open_cells_are_open_devices_and_thresholds_are_those_stated(tmp_path):
    (tmp_path / "die.csv").write_text("ohm\n2000;OL;1600\n;9000;12000\n")
    die = calibration.read_die(tmp_path / "die.csv")
    assert die.G[0, 1] == die.G[1, 0] == 0.0
    limits = Thresholds(G_min=100e-6, G_max=500e-6)  # stuck outside 90 to 550 uS
    assert die.stuck(limits).tolist() == [[0, -1, 1], [-1, 0, -1]]
    assert die.spread(limits)["devices"] == 2.0


def test_the_assignment_of_lines_is_that_of_all_placements():
    """3x4 with 2 stuck devices against all 3! x 4! placements, and against the search."""
    rng = np.random.default_rng(5)
    weight, wanted = rng.uniform(0.1, 1, (3, 4)), rng.uniform(1, 5, (3, 4))
    stuck, value = np.zeros((3, 4), bool), rng.uniform(0, 8, (3, 4))
    stuck[0, 1] = stuck[2, 3] = True

    def cost(rows, cols):
        s, v = stuck[np.ix_(rows, cols)], value[np.ix_(rows, cols)]
        return float(((weight * (v - wanted)) ** 2 * s).sum())

    least = min(
        cost(list(r), list(c))
        for r in itertools.permutations(range(3))
        for c in itertools.permutations(range(4))
    )
    groups = [(np.arange(3),) * 2], [(np.arange(4),) * 2]
    rows, cols, exact = calibration.best_lines(weight, wanted, stuck, value, *groups)
    assert exact
    assert cost(rows, cols) == pytest.approx(least, rel=1e-12)
    deep = [v[..., None] for v in (weight, wanted, stuck, value)]
    rows, cols = assignment._alternate(*deep, *groups)
    assert cost(rows, cols) == pytest.approx(least, rel=1e-12)
    apart = [(np.array(g),) * 2 for g in ([0, 1], [2])], [(np.arange(4),) * 2]
    rows, cols, _ = calibration.best_lines(weight, wanted, stuck, value, *apart)
    assert rows[2] == 2


@pytest.mark.parametrize("turned", [False, True])
def test_pairs_of_lines_are_assigned_as_wholes(turned):
    """4x3 pairs with 3 stuck devices, two of them in one pair, against all placements."""
    rng = np.random.default_rng(6)
    shape = (3, 4, 2) if turned else (4, 3, 2)
    weight, wanted, value = (rng.uniform(low, 5, shape) for low in (0.1, 1, 0))
    stuck = np.zeros(shape, bool)
    stuck[0, 1] = stuck[2, 2, 1] = True

    def cost(rows, cols):
        s, v = stuck[np.ix_(rows, cols)], value[np.ix_(rows, cols)]
        return float(((weight * (v - wanted)) ** 2 * s).sum())

    least = min(
        cost(list(r), list(c))
        for r in itertools.permutations(range(shape[0]))
        for c in itertools.permutations(range(shape[1]))
    )
    groups = [(np.arange(shape[0]),) * 2], [(np.arange(shape[1]),) * 2]
    rows, cols, exact = calibration.best_lines(weight, wanted, stuck, value, *groups)
    assert exact
    assert cost(rows, cols) == pytest.approx(least, rel=1e-12)
    rows, cols = assignment._alternate(weight, wanted, stuck, value, *groups)
    assert cost(rows, cols) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_the_command_makes_the_twin_and_serves_the_model(tmp_path, device):
    """A die with a stuck device where the model is sensitive: the lines that serve it best."""
    circuit, x = deployed(tmp_path, device=device)
    np.savez(tmp_path / "x.npz", x=x.numpy(), y=circuit(x).argmax(1).numpy())
    (array,) = xb.nn.arrays(circuit)
    R = np.full(array.crossbar.G.shape, 5000.0)
    R[0, 0] = 1000.0
    (tmp_path / "die.csv").write_text(
        "V_read = 0.2 V\nohm\n" + "\n".join(";".join(map(str, row)) for row in R)
    )
    done = CliRunner().invoke(
        app,
        [
            "calibrate",
            "die",
            str(tmp_path / "die.csv"),
            "--network",
            str(tmp_path / "net.h5"),
            "--inputs",
            str(tmp_path / "x.npz"),
            "--out",
            str(tmp_path / "run"),
            "--transfers",
            "3",
            "--trials",
            "10",
            "--json",
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    assert record["stuck_low_ohm"] == [[0, 0]]
    found = record["network_on_die"]
    assert found["array"] == array.name
    choice = found["candidates"][found["recommended"]]
    assert sorted(choice["rows"]) == list(range(array.crossbar.rows))
    assert sorted(choice["cols"]) == list(range(4))
    assert found["exact_products"] == 1.0
    assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    twin = crossbar_file.load(tmp_path / "run/crossbar.h5")
    assert twin.G[0, 0] == pytest.approx(1e-3)
    assert twin.device.name == device
    placed = xb.load(tmp_path / "run/placed.h5")
    (after,) = xb.nn.arrays(placed)
    assert after.crossbar.G[0, 0] == pytest.approx(1e-3)
    lines = np.ix_(choice["rows"], choice["cols"])
    kept = np.isclose(after.crossbar.G[lines], array.crossbar.G, rtol=1e-12)
    assert (~kept).sum() <= 2  # the stuck device and its partner
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--array", "nothing"], "must hold one array of the model"),
        (["--unused", "grounded"], "must be driven or floating"),
        (["--trials", "3"], "judged by points with classes"),
    ],
)
def test_a_die_that_cannot_serve_is_refused(tmp_path, change, words):
    _, x = deployed(tmp_path)
    np.savez(tmp_path / "x.npz", x=x.numpy())
    (array,) = xb.nn.arrays(xb.load(tmp_path / "net.h5"))
    np.savetxt(
        tmp_path / "die.csv", np.full(array.crossbar.G.shape, 5000.0), delimiter=";", header="ohm"
    )
    done = CliRunner().invoke(
        app,
        [
            "calibrate",
            "die",
            str(tmp_path / "die.csv"),
            "--network",
            str(tmp_path / "net.h5"),
            "--inputs",
            str(tmp_path / "x.npz"),
            "--out",
            str(tmp_path / "run"),
            *change,
        ],
    )
    assert words in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_the_fit_command_leaves_a_card_that_another_command_takes(tmp_path):
    true = xb.Crossbar(G, R_wl=2.0, R_bl=2.0, device=SinhTiO2(b=2.2))
    reads = reads_of(true, noise=0.001)
    hdf5.write_tree(tmp_path / "r.h5", {"V_in": reads.V_in, "I_out": reads.I_out}, "reads")
    np.savetxt(tmp_path / "G.csv", G * 1e6, delimiter=",", header="uS")
    runner = CliRunner()
    done = runner.invoke(
        app,
        [
            "calibrate",
            "reads",
            str(tmp_path / "r.h5"),
            "--array",
            str(tmp_path / "G.csv"),
            "--free",
            "R_wire,device.b",
            "--out",
            str(tmp_path / "run"),
            "--json",
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    record = json.loads(done.stdout)
    by_name = {p["name"]: p for p in record["parameters"]}
    assert by_name["R_wire"]["low"] < 2.0 < by_name["R_wire"]["high"]
    assert record["config"]["calibration"]["title"] == "Calibration to r.h5"
    x = torch.rand(5, 2)
    program = torch.export.export(nn.Sequential(nn.Linear(2, 2)).eval(), (x,))
    torch.export.save(program, tmp_path / "n.pt2")
    np.savez(tmp_path / "x.npz", x=x.numpy())
    done = runner.invoke(
        app,
        [
            "map",
            str(tmp_path / "n.pt2"),
            "--inputs",
            str(tmp_path / "x.npz"),
            "--out",
            str(tmp_path / "m.h5"),
            "--calibration",
            str(tmp_path / "run/card.toml"),
            "--json",
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["calibration"].startswith("Calibration to r.h5")
    (array,) = xb.nn.arrays(xb.load(tmp_path / "m.h5"))
    assert array.crossbar.R_wl == pytest.approx(by_name["R_wire"]["value"])
    page = (tmp_path / "run/report.html").read_text()
    assert "R_wire" in page
    assert page.count("<figure>") == 5
