"""Noise below the resolution of a file has an upper bound and no interval, in every kind of fit."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice import calibration
from xbarspice.calibration import Options, Programming, PulseTrains, Reads, Repeats
from xbarspice.calibration.resolution import resolution_of
from xbarspice.devices import O921C4K

RNG = np.random.default_rng(0)
DIGITS = 3


def rounded(values, digits=DIGITS):
    """Values as a file with so many significant digits gives them."""
    return np.array([float(f"{v:.{digits}g}") for v in np.ravel(values)]).reshape(np.shape(values))


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ([1.23e-4, 2.5e-4], [1e-6, 1e-6]),
        ([12.3, 1.2, 0.1], [0.1, 0.1, 0.1]),  # decimals
        ([123e-6, 1.23e-6], [1e-6, 1e-8]),  # significant digits
        ([7e-4, 7e-4], [1e-4, 1e-4]),
        ([5e-4, 5e-4], [2.5e-4, 2.5e-4]),  # or 2 kohm: the coarser
        ([1 / 12345.0, 1 / 10000.0], [1 / 12345.0**2, 1e-8]),  # given as resistances
        ([0.0, 0.27], [0.01, 0.01]),
    ],
)
def test_the_step_of_the_last_digit_is_found(values, steps):
    assert resolution_of(np.array(values)) == pytest.approx(steps)


def test_values_of_full_precision_have_the_step_of_a_double():
    values = RNG.standard_normal(50)
    assert (resolution_of(values) < 1e-13).all()
    assert (resolution_of(1e-6 * rounded(values)) > 1e-11).all()  # in another unit


def bound_of(spread, name):
    value = spread.values[f"variability.{name}"]
    assert value.low == 0.0
    assert value.high == value.value > 0
    return value.value


@pytest.mark.parametrize("as_resistance", [False, True])
@pytest.mark.parametrize("timed", [False, True])
def test_equal_reads_of_devices_bound_their_noise(as_resistance, timed):
    level = rounded(np.geomspace(5e3, 5e4, 6))
    G = 1 / level if as_resistance else rounded(1 / level)
    data = Repeats(
        device=np.repeat(np.arange(6), 5),
        G=np.repeat(G, 5),
        t=np.tile(np.geomspace(1, 1e3, 5), 6) if timed else np.full(30, np.nan),
    )
    spread = calibration.fit_noise(data)
    bound = bound_of(spread, "read_noise.sigma_0")
    assert 1e-3 < bound <= 1e-2  # three digits
    assert any("noise below" in text for text in spread.notices)
    if timed:
        for name in ("nu", "nu_std"):
            value = spread.values[f"variability.retention.{name}"]
            assert value.high - value.low > 1e-4  # not certain


def test_equal_reads_of_an_array_bound_its_noise():
    G = RNG.uniform(1e-4, 5e-4, (3, 4))
    V = np.repeat(RNG.uniform(0.1, 0.3, (4, 3)), 5, axis=0)
    spread = calibration.fit_read_noise(Reads(V_in=V, I_out=rounded(V @ G)), G)
    assert 1e-4 < bound_of(spread, "read_noise.sigma_0") < 0.1
    noisy = (V @ G) * (1 + 0.02 * RNG.standard_normal((20, 4)))
    seen = calibration.fit_read_noise(Reads(V_in=V, I_out=rounded(noisy)), G)
    assert seen.values["variability.read_noise.sigma_0"].low > 0


def writes(G, target, G_end=None):
    return Programming(
        device=np.repeat(np.arange(len(G) // 4), 4),
        target=target,
        G=G,
        G_end=np.full(len(G), np.nan) if G_end is None else G_end,
        later_writes=np.full(len(G), 3),
    )


@pytest.mark.parametrize("offset_std", [0.0, 0.05])
def test_equal_writes_bound_the_spread_of_writes(offset_std):
    target = np.repeat(rounded(RNG.uniform(1e-4, 5e-4, 10)), 4)
    offset = np.repeat(offset_std * RNG.standard_normal(10), 4)
    G = rounded(target * (1 + offset))
    spread = calibration.fit_spread(writes(G, target, G))
    assert 1e-3 < bound_of(spread, "cti.sigma_0") <= 2e-2
    mean = spread.values["variability.cti.offset_mean"]
    assert mean.low < 0 < mean.high
    assert ("variability.cti.offset_std" in spread.values) == (offset_std > 0)
    assert bound_of(spread, "bse.scale") > 0
    assert any("drifts are equal to 0 to the resolution" in text for text in spread.notices)


def test_a_sweep_that_is_followed_to_its_last_digit_has_bounds_from_rounding():
    V = np.linspace(0.02, 0.6, 30)
    device = xb.Crossbar([[2e-4]], device=xb.devices.SinhTiO2(b=2.2))
    clean = xb.solve(device, V[:, None], outside="ignore").I_out[:, 0]
    start = xb.Crossbar([[3e-4]], device="sinh_tio2")
    for digits in (2, 4):
        data = calibration.sweeps(["a"] * 30, V, rounded(clean, digits))
        fit, _ = calibration.fit_reads(start, data, ["device.b", "G"])
        assert any("to the resolution of the file" in text for text in fit.findings)
        assert fit["device.b"][1] <= 2.2 <= fit["device.b"][2]
        assert fit["device.b"][2] - fit["device.b"][1] > 10.0**-digits
    noisy = clean * (1 + 0.01 * RNG.standard_normal(30))
    data = calibration.sweeps(["a"] * 30, V, rounded(noisy, 5))
    fit, _ = calibration.fit_reads(start, data, ["device.b", "G"])
    assert not any("resolution" in text for text in fit.findings)


def test_equal_reads_of_an_array_leave_no_certain_wires():
    """Each read three times, with equal results: the repeats add nothing."""
    G = RNG.uniform(1e-4, 5e-4, (3, 4))
    true = xb.Crossbar(G, R_wl=2.0, R_bl=2.0)
    V = np.tile(RNG.uniform(0.1, 0.3, (6, 3)), (3, 1))
    I_out = rounded(xb.solve(true, V).I_out)
    fit, _ = calibration.fit_reads(
        xb.Crossbar(G), Reads(V_in=V, I_out=I_out), ["R_wire"], options=Options(held_out=0.0)
    )
    once, _ = calibration.fit_reads(
        xb.Crossbar(G),
        Reads(V_in=V[:6], I_out=I_out[:6]),
        ["R_wire"],
        options=Options(held_out=0.0),
    )
    assert fit["R_wire"][1] <= 2.0 <= fit["R_wire"][2]
    assert fit["R_wire"] == pytest.approx(once["R_wire"], rel=1e-6)
    assert any("to the resolution of the file" in text for text in fit.findings)


def test_pulses_that_are_followed_to_the_last_digit_have_bounds_from_rounding():
    true = O921C4K(A_p=300.0, A_n=-13.0)
    x, G, V = np.array(7000.0), [], [0.0, *RNG.uniform(0.8, 2.0, 30)]
    for volts in V:
        x = true.step(x, volts, 200e-9, outside="clamp") if volts else x
        G.append(float(true.conductance(x)))
    trains = PulseTrains(
        device=np.zeros(31, np.intp),
        V=np.array(V),
        width=np.full(31, 200e-9),
        G=rounded(G),
    )
    fit, _ = calibration.fit_pulses("o921c_4k", trains, ["A_p"])
    assert any("to the resolution of the file" in text for text in fit.findings)
    assert fit["device.A_p"][1] <= 300.0 <= fit["device.A_p"][2]
