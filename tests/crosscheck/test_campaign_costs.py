"""What a probe of this machine says of campaigns that it did not solve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import xbarspice as xb
from xbarspice import campaign
from xbarspice.campaign import cost
from xbarspice.campaign.work import Work
from xbarspice.core.errors import EngineError, InputError

REAL = [
    Work(rows=9, cols=14, arrays=24, device="sinh_tio2", engine_workers=1),
    Work(rows=24, cols=20, vectors=12, device="ohmic", engine_workers=1),
    Work(rows=28, cols=12, arrays=4, vectors=3, device="cubic_al2o3_tio2", engine_workers=1),
]
"""Three kinds of campaign; none of these arrays is in the probe."""


@pytest.fixture(scope="module")
def model():
    return probe(REAL)


def probe(works):
    ends = [
        Work(rows=n, cols=n, arrays=arrays, vectors=vectors, device=work.device, engine_workers=1)
        for work in works
        for n, arrays, vectors in ((6, 1, 1), (30, 32, 16))
    ]
    return campaign.probe_costs(ends, workers=2)


@pytest.mark.parametrize("work", REAL)
def test_memory_is_predicted_within_a_factor(model, work, tmp_path):
    path = tmp_path / "c.h5"
    parameters = {name: getattr(work, name) for name in Work.__dataclass_fields__}
    campaign.run([parameters | {"seed": 7}], cost.measure_item, path, workers=1)
    held = float(campaign.load(path).column("memory")[0])
    assert held / cost.FACTOR < model.memory_of(work) < held * cost.FACTOR


def test_an_estimate_is_the_sum_over_the_work():
    """Times to be exact are numbers here; tests/long measures them."""
    few, many = (Work(rows=4, cols=4, vectors=v, engine="nodal") for v in (1, 10))
    kind = ("nodal", "ohmic")
    model = cost.CostModel(
        workers=3,
        time={kind: np.array([0.5, 0, 0, 0, 0.01, 0])},
        memory={kind: np.array([1e8, 0, 0, 0, 1e3])},
        spread=1.0,
        cpus=2.0,
        item_seconds=0.3,
        start_seconds=4.0,
        seconds=1.0,
    )
    assert model.cpu_seconds(many) == pytest.approx(0.5 + 10 * 16 * 0.01)
    out = model.estimate({few: 5, many: 2}, 6, other_cpu_seconds=1.0)
    assert out.cpu_seconds == pytest.approx(1 + 5 * 0.66 + 2 * 2.1)
    assert out.seconds == pytest.approx(4 + out.cpu_seconds / 2 + 6 * 0.3 / 3)
    assert (out.low, out.high) == pytest.approx((out.seconds / 1.5, out.seconds * 1.5))
    assert out.memory == pytest.approx(3 * (1e8 + 1e3 * 80))
    loose = replace(model, spread=2.5)  # the probe itself was not met better
    out = loose.estimate({few: 5, many: 2}, 6)
    assert (out.low, out.high) == pytest.approx((out.seconds / 2.5, out.seconds * 2.5))


def test_the_fit_finds_the_coefficients_of_a_law():
    works = [
        Work(rows=n, cols=n, arrays=a, vectors=v, engine="nodal")
        for n in (4, 9, 20)
        for a in (1, 8)
        for v in (1, 5)
    ]
    law = np.array([1e-2, 2e-3, 3e-5, 0.0, 4e-6, 0.0])
    memory = np.array([1e8, 0.0, 50.0, 8.0, 16.0])
    measured = [
        {"cpu_seconds": law @ w.time_terms(), "memory": memory @ w.memory_terms()} for w in works
    ]
    fitted, held, spread = cost._fit(works, measured)
    other = Work(rows=13, cols=7, arrays=3, vectors=9, engine="nodal")
    assert fitted @ other.time_terms() == pytest.approx(law @ other.time_terms(), rel=1e-6)
    assert held @ other.memory_terms() == pytest.approx(memory @ other.memory_terms(), rel=1e-6)
    assert spread == pytest.approx(1.0)


def test_the_terms_know_how_ngspice_shares_processes():
    many = Work(rows=8, cols=8, arrays=64, engine_workers=1)
    assert many.time_terms()[0] == 2
    assert replace(many, arrays=1).time_terms()[0] == 1
    assert replace(many, rows=64, cols=64).time_terms()[0] == 64
    superposed = Work(rows=8, cols=8, vectors=1000, engine_workers=1)
    assert superposed.time_terms()[4] == 64 * (16 + 2)
    assert replace(superposed, device="sinh_tio2").time_terms()[4] == 64 * 1002


def test_what_was_not_probed_is_refused(model):
    with pytest.raises(InputError, match="nodal with ohmic"):
        model.estimate({Work(rows=3, cols=3, engine="nodal"): 1}, 1)
    with pytest.raises(InputError, match="needs work"):
        campaign.probe_costs([])
    with pytest.raises(InputError, match="`rows` must be >= 1"):
        Work(rows=0, cols=3)
    with pytest.raises(InputError, match="abacus"):
        Work(rows=2, cols=3, engine="abacus")


def test_a_probe_whose_solves_fail_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"probe must succeed.*ngspice must be installed"):
        campaign.probe_costs([Work(rows=3, cols=3)], workers=1)


def test_arrays_are_verified_in_batches():
    rng = np.random.default_rng(3)
    G, V_in = rng.uniform(1e-5, 5e-4, (3, 4, 5)), rng.uniform(-0.2, 0.2, (2, 3, 4))
    crossbar = xb.Crossbar(G, R_wl=3.0, device="sinh_tio2")
    usual = {"crossbar": crossbar, "V_in": V_in, "engine": "linear"}
    out = campaign.verify_item(usual)
    golden = xb.solve(crossbar, V_in, engine="ngspice").I_out
    linear = xb.solve(crossbar, V_in, engine="linear").I_out
    largest = np.abs(golden).max(axis=(0, 2))
    np.testing.assert_allclose(out["I_max"], largest, rtol=1e-12)
    off = np.abs(linear - golden).max(axis=(0, 2)) / largest
    np.testing.assert_allclose(out["error"], off, rtol=1e-9)
    worst = int(np.argmax(off))
    with pytest.raises(EngineError, match=rf"within 1e-06 .* of array {worst} it is"):
        campaign.verify_item(usual | {"limit": 1e-6})
    exact = campaign.verify_item(usual | {"engine": "surrogate", "limit": 1e-9})
    assert exact["error"].shape == (3,)
    alone = campaign.verify_item({"crossbar": crossbar.array(1), "V_in": V_in[:, 1]})
    np.testing.assert_allclose(alone["I_max"], largest[1:2], rtol=1e-12)


def test_what_cannot_be_verified_is_refused():
    crossbar = xb.Crossbar(np.full((2, 3, 4, 5), 1e-4))
    with pytest.raises(InputError, match="batch of one axis"):
        campaign.verify_item({"crossbar": crossbar, "V_in": np.zeros(4)})
    with pytest.raises(InputError, match="tolerance"):
        campaign.verify_item({"crossbar": crossbar, "V_in": np.zeros(4), "tolerance": 1})
