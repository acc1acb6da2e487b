"""Read noise and retention from repeated reads: coverage on known truth, warnings, command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from xbarspice import calibration
from xbarspice.calibration.measurements import Reads, Repeats
from xbarspice.cli.app import app
from xbarspice.config.card import CalibrationCard
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError
from xbarspice.variability import ReadNoise, RetentionDrift, from_config

NOISE = ReadNoise(slope=1e-6, sigma_0=0.004)
TRUE = {"slope": 1e-6, "sigma_0": 0.004, "nu": 0.02, "nu_std": 0.008}


def repeats(seed, devices=24, reads=12, alike=False, timed=True, nu=0.02, nu_std=0.008):
    """Reads drawn from the very terms that are fitted: one drift a device, one noise a read."""
    rng = np.random.default_rng(seed)
    G = np.full(devices, 2e-4) if alike else np.geomspace(50e-6, 500e-6, devices)
    t = np.geomspace(1.0, 1e4, reads) if timed else np.ones(reads)
    exponents = nu + nu_std * rng.standard_normal(devices)
    drifted = np.array(
        [
            RetentionDrift(nu=n, t=float(t[-1]), t_0=1.0).apply(np.full((1, 1), g), rng)[0, 0]
            for n, g in zip(exponents, G, strict=True)
        ]
    )
    assert np.allclose(drifted, G * t[-1] ** -exponents)
    clean = G[:, None] * t[None] ** -exponents[:, None]
    return Repeats(
        device=np.repeat(np.arange(devices), reads),
        G=NOISE.apply(clean, rng).ravel(),
        t=np.tile(t, devices) if timed else np.full(devices * reads, np.nan),
    )


def test_intervals_cover_the_truth():
    """Of 100 data sets between 90 and 99 % of the 95 % intervals hold the truth."""
    hits = dict.fromkeys(TRUE, 0)
    for seed in range(100):
        found = calibration.fit_noise(repeats(seed))
        for name, value in found.values.items():
            short = name.rpartition(".")[2]
            hits[short] += value.low <= TRUE[short] <= value.high
    assert all(90 <= count <= 99 for count in hits.values()), hits


def test_the_array_gives_the_noise_of_its_devices():
    """Bit-line currents under repeated inputs; coverage over 60 data sets."""
    rng = np.random.default_rng(0)
    G = np.geomspace(20e-6, 500e-6, 12).reshape(3, 4, order="F")
    V = np.repeat(np.vstack([0.2 * np.eye(3), rng.uniform(-0.2, 0.2, (3, 3))]), 20, axis=0)
    hits = 0
    for seed in range(60):
        drawn = NOISE.apply(np.broadcast_to(G, (len(V), 3, 4)), np.random.default_rng(seed))
        found = calibration.fit_read_noise(Reads(V_in=V, I_out=(V[:, None] @ drawn)[:, 0]), G)
        hits += sum(
            v.low <= TRUE[name.rpartition(".")[2]] <= v.high for name, v in found.values.items()
        )
    assert 0.90 <= hits / 120 <= 0.99
    with pytest.raises(InputError, match="needs its"):
        calibration.fit_read_noise(Reads(V_in=V, I_out=np.ones((len(V), 4))), G.T)


def test_what_the_data_cannot_tell_is_said():
    alike = calibration.fit_noise(repeats(1, alike=True, timed=False))
    assert any("cannot be told apart" in text for text in alike.notices)
    (term,) = alike.terms
    assert term["slope"] == 0.0
    value = alike.values["variability.read_noise.sigma_0"]
    assert value.low < 0.004 + 1e-6 / 2e-4 < value.high
    still = calibration.fit_noise(repeats(1, nu=0.0, nu_std=0.0))
    assert any(text.startswith("`nu` cannot be told from 0") for text in still.notices)
    assert any(text.startswith("`nu_std` cannot be told from 0") for text in still.notices)
    one = calibration.fit_noise(repeats(1, devices=1, reads=40))
    assert any("one device was read over time" in text for text in one.notices)
    with pytest.raises(InputError, match="at least 8 repeats"):
        calibration.fit_noise(repeats(1, devices=2, reads=3))
    with pytest.raises(InputError, match="from the first read on"):
        calibration.fit_noise(repeats(1), at=0.5)


def test_one_device_alone_has_an_exact_interval_of_its_scatter():
    hits = 0
    for seed in range(100):
        found = calibration.fit_noise(repeats(seed, devices=1, reads=12, timed=False))
        value = found.values["variability.read_noise.sigma_0"]
        hits += value.low <= 0.004 + 1e-6 / 50e-6 <= value.high
    assert 90 <= hits <= 99


def test_the_command_adds_its_terms_to_an_earlier_card(tmp_path):
    data = repeats(3)
    lines = [
        f"{d},{1e-3 / g:.9g},{t / 60:.9g}"
        for d, g, t in zip(data.device, data.G, data.t, strict=True)
    ]
    lines = [line.replace(",", ";") for line in lines]
    (tmp_path / "r.csv").write_text("device;R [kohm];t [s]\n" + "\n".join(lines))
    hdf5.write_tree(tmp_path / "r.h5", {"device": data.device, "G": data.G, "t": data.t}, "reads")
    before = CalibrationCard(
        title="writes",
        data_sha256="ab" * 32,
        device="sinh_tio2",
        variability=({"name": "cti"}, {"name": "read_noise", "sigma_0": 1.0}),
    )
    (tmp_path / "before.toml").write_text(before.to_toml())
    done = CliRunner().invoke(
        app,
        [
            "calibrate",
            "noise",
            str(tmp_path / "r.h5"),
            "--at",
            "1e6",
            "--out",
            str(tmp_path / "run"),
            "--calibration",
            str(tmp_path / "before.toml"),
            "--json",
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    card = CalibrationCard.from_toml(tmp_path / "run/card.toml")
    assert [term["name"] for term in card.variability] == ["cti", "retention", "read_noise"]
    drift, noise = from_config(card.variability).parts[1:]
    assert isinstance(drift, RetentionDrift)
    assert isinstance(noise, ReadNoise)
    assert drift.t == 1e6
    assert noise.sigma_0 != 1.0
    page = (tmp_path / "run/report.html").read_text()
    assert "retention.nu" in page
    names = {row["name"] for row in json.loads(done.stdout)["parameters"]}
    assert names == {"read_noise.slope", "read_noise.sigma_0", "retention.nu", "retention.nu_std"}
    same = calibration.read_repeats(tmp_path / "r.csv")
    assert np.allclose(same.G, data.G, rtol=1e-8)
    assert np.allclose(same.t, data.t / 60)


def spoiled(seed):
    """Repeated reads with two of 288 off by 30 %."""
    data = repeats(seed)
    G = data.G.copy()
    G[[20, 200]] *= [1.3, 0.7]
    return Repeats(device=data.device, G=G, t=data.t)


def test_outliers_are_refused_or_left_out_and_counted():
    plain, dropped = (calibration.fit_noise(spoiled(0), drop_outliers=d) for d in (False, True))
    assert not plain.holds
    assert any("2 of 288 reads lie more than" in text for text in plain.notices)
    assert all(v.low == -np.inf and v.high == np.inf for v in plain.withhold().values.values())
    assert dropped.holds
    assert "reads left out as outliers: 2 of 288" in dropped.notices
    value = dropped.values["variability.read_noise.sigma_0"]
    assert value.low <= 0.004 <= value.high
    seen = [calibration.fit_noise(repeats(seed)).holds for seed in range(40)]
    assert sum(not holds for holds in seen) <= 2  # 1 % of data sets without outliers


def test_the_command_writes_no_card_of_repeats_with_outliers(tmp_path):
    data = spoiled(0)
    rows = [f"{d},{g},{t}" for d, g, t in zip(data.device, data.G, data.t, strict=True)]
    (tmp_path / "r.csv").write_text("device,G,t\n" + "\n".join(rows))

    def run(*options):
        words = ["calibrate", "noise", tmp_path / "r.csv", "--out", tmp_path / "out", *options]
        result = CliRunner().invoke(app, [*map(str, words), "--json"])
        exists = (tmp_path / "out/card.toml").exists()
        return result.exit_code, json.loads(result.stdout), exists

    code, record, card = run()
    assert (code, record["model_holds"], card) == (1, False, False)
    assert all(row["low"] is None for row in record["parameters"])
    code, record, card = run("--accept")
    assert (code, record["model_holds"], card) == (0, False, True)
    code, record, card = run("--drop-outliers")
    assert (code, record["model_holds"], card) == (0, True, True)
