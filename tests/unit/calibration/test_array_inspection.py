"""Currents of an array: plateaus, drift and lines of the other sign are found and handled."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import many
from xbarspice import calibration
from xbarspice.calibration import Reads
from xbarspice.calibration.array_inspection import (
    ArrayHandling,
    find_sign_flips,
    inspect_reads,
    prepare_reads,
    reads_blind_spots,
)
from xbarspice.calibration.model import Model
from xbarspice.cli.app import app
from xbarspice.core.errors import InputError
from xbarspice.devices import SinhTiO2

REPEATS = many(10)
MOST_FALSE = 0.05 * REPEATS if REPEATS >= 100 else 1
G = np.random.default_rng(0).uniform(1e-4, 5e-4, (4, 4))
TRUE = xb.Crossbar(G, R_wl=2.0, R_bl=2.0, R_driver=20.0, device=SinhTiO2(b=2.2))
START = xb.Crossbar(G, R_wl=1.0, R_bl=1.0, device="sinh_tio2")
FREE = ["R_wire", "R_driver", "device.b"]


def model(seed, change=None, *, twice=True):
    rng = np.random.default_rng(seed)
    V_in = rng.uniform(0, 0.6, (16, 4))
    V_in = np.vstack([V_in, V_in]) if twice else V_in
    I_out = xb.solve(TRUE, V_in, outside="ignore").I_out
    I_out = I_out * (1 + 0.01 * rng.standard_normal(I_out.shape))
    return Model(START, [Reads(V_in=V_in, I_out=change(I_out) if change else I_out)], FREE)


def clip(current):
    return np.minimum(current, 0.7 * current.max())


def drift(current):
    return current * (1 + 0.05 * np.arange(len(current)) / len(current))[:, None]


CASES = {
    "compliance": (clip, ArrayHandling(drop_compliance=True)),
    "drift": (drift, ArrayHandling(remove_drift=True)),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_kind_is_found_and_handled(kind):
    change, handling = CASES[kind]
    seen = others = still = covered = 0
    for k in range(REPEATS):
        data = model(k, change)
        found = {i.kind: i for i in inspect_reads(data)}
        seen += kind in found
        others += bool(set(found) - {kind})
        if kind not in found:
            continue
        assert found[kind].text.endswith(found[kind].option)
        reads = prepare_reads(data, handling)
        assert len(reads.notices) == 1
        still += bool(inspect_reads(Model(START, [reads], FREE)))
        options = calibration.Options(seed=k, free_held=False)
        fit, _ = calibration.fit_reads(START, reads, FREE, options=options)
        covered += fit["device.b"][1] <= 2.2 <= fit["device.b"][2]
    assert seen >= 0.95 * REPEATS
    assert others <= MOST_FALSE
    assert still <= MOST_FALSE
    assert covered >= (0.9 if REPEATS >= 100 else 0.7) * seen


@pytest.mark.parametrize("twice", [True, False])
def test_clean_reads_show_nothing(twice):
    seen = [k for k in range(REPEATS) if inspect_reads(model(k, twice=twice))]
    assert len(seen) <= MOST_FALSE
    assert bool(reads_blind_spots(model(0, twice=twice))) == (not twice)


def test_lines_of_the_other_sign_are_named_and_turned():
    sign = np.array([1.0, 1.0, -1.0, 1.0])
    data = model(0, lambda current: sign * current)
    assert find_sign_flips(data) == ("I_out2",)
    with pytest.raises(InputError, match="--flip-current I_out2"):
        calibration.fit_reads(START, data.reads[0], FREE)
    turned = prepare_reads(data, ArrayHandling(flip_current="I_out2"))
    assert np.array_equal(turned.I_out, data.reads[0].I_out * sign)
    assert turned.notices == ("sign of I_out2 changed",)
    assert find_sign_flips(model(0, lambda current: -current)) == ("all",)
    assert find_sign_flips(model(0)) == ()
    with pytest.raises(InputError, match="must be all, or among"):
        prepare_reads(data, ArrayHandling(flip_current="I_out9"))


@pytest.mark.parametrize(
    ("handling", "option"),
    [
        (ArrayHandling(drop_compliance=True), "--drop-compliance"),
        (ArrayHandling(remove_drift=True), "--remove-drift"),
    ],
)
def test_an_option_with_nothing_to_do_is_refused(handling, option):
    with pytest.raises(InputError, match=f"{option} needs"):
        prepare_reads(model(0), handling)


def test_the_command_says_and_handles_what_is_seen(tmp_path):
    reads = model(0, clip).reads[0]
    head = ",".join([f"V_in{k}" for k in range(4)] + [f"I_out{k}" for k in range(4)])
    table = np.hstack([reads.V_in, reads.I_out])
    np.savetxt(tmp_path / "r.csv", table, delimiter=",", header=head, comments="")
    np.savetxt(tmp_path / "G.csv", G, delimiter=",", header="G [S]", comments="")
    words = ["calibrate", "reads", tmp_path / "r.csv", "--array", tmp_path / "G.csv", "--json"]
    words += ["--free", ",".join(FREE), "--out", tmp_path / "out"]
    done = CliRunner().invoke(app, [str(w) for w in words])
    assert done.exit_code == 1
    assert not (tmp_path / "out" / "card.toml").exists()
    record = json.loads(done.stdout)
    assert [i["kind"] for i in record["inspection"]["seen"]] == ["compliance"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Measured currents against those of the array at the start; seen: compliance" in page
    done = CliRunner().invoke(app, [str(w) for w in (*words, "--drop-compliance")])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["inspection"]["seen"] == []
    assert any("left out (--drop-compliance)" in text for text in record["data_read"])
