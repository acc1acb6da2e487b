"""The ReRAM of SKY130B: published figures, self-heating, disturbance, polarity."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import xbarspice as xb
from xbarspice import devices
from xbarspice.core.errors import InputError
from xbarspice.devices.dynamic import RTOL
from xbarspice.devices.sky130 import RATE_MAX

DEVICE = devices.Sky130Reram()


def two_equations(T, V, dt):
    """Filament after dt by both equations together: the junction starts at ambient temperature."""
    heat = DEVICE.tau_th

    def slopes(_, y):
        x = np.clip(y[0], DEVICE.T_min, DEVICE.T_max)
        return [DEVICE.rate_at(x, V, y[1]), (DEVICE.temperature(x, V) - y[1]) / heat]

    def room(_, y):  # the solution ends at a limit
        return min(DEVICE.T_max - y[0], y[0] - DEVICE.T_min)

    setattr(room, "terminal", True)  # noqa: B010 - as solve_ivp asks for it
    start = [T, DEVICE.Tj_0]
    options = {"rtol": 1e-9, "atol": [1e-11, 1e-7], "first_step": 1e-25, "events": room}
    answer = solve_ivp(slopes, (0, dt), start, method="LSODA", **options)
    assert answer.success
    return float(np.clip(answer.y[0, -1], DEVICE.T_min, DEVICE.T_max))


def test_static_figures():
    """0.31 to 103 uS at 0.2 V, and the current at 1 V and T = 4.5 nm by hand."""
    assert np.multiply(DEVICE.G_range(), 1e6) == pytest.approx([0.3065, 102.9], abs=0.05)
    by_hand = 6.14e-5 * np.exp(-0.5 / 0.2751) * np.sinh(1 / 0.43)
    assert DEVICE.current_at(1.0, np.array(4.5)) == pytest.approx(by_hand, rel=1e-12)
    assert DEVICE.b == 1 / 0.43


def test_rate_by_hand():
    """At 1.25 V and 4.5 nm the junction settles at 381.8 K, and the filament grows 6e4 nm/s."""
    current = 6.14e-5 * np.exp(-0.5 / 0.2751) * np.sinh(1.25 / 0.43)
    Tj = 300 + 0.23e-9 / 3.1825e-16 * 1.25 * current
    assert DEVICE.temperature(np.array(4.5), 1.25) == pytest.approx(Tj, rel=1e-12)
    kT = 8.617333262e-5 * Tj
    u = (16.5 - 1.25 * 0.5**3) * 0.25 / 5.0 * 1.25
    rate = 150e9 * (np.exp((u - 1.501) / kT) - np.exp(-(u + 1.5) / kT))
    assert DEVICE.rate(np.array(4.5), 1.25) == pytest.approx(rate, rel=1e-8)
    assert DEVICE.rate(np.array(4.5), 2.5) == RATE_MAX < DEVICE.rate_at(4.5, 2.5, 300.0)


@pytest.mark.parametrize(("dt", "limit"), [(1e-6, 5e-4), (1e-7, 5e-3)])
@pytest.mark.parametrize("V", [1.0, 1.25, 1.4, 2.0, -1.2, -1.5, -2.0])
def test_the_settled_junction_against_both_equations(V, dt, limit):
    """What the class says of its error: 0.05 % of G after 1 us, 0.5 % after 100 ns."""
    T = np.array([3.4, 4.2, 4.5, 4.85])
    settled = DEVICE.conductance(DEVICE.step(T, V, dt))
    both = DEVICE.conductance(np.array([two_equations(x, V, dt) for x in T]))
    assert np.max(abs(both / DEVICE.conductance(T) - 1)) > 1e-4, "the pulse must move something"
    np.testing.assert_allclose(settled, both, rtol=limit)


def test_half_of_a_write_destroys_and_a_third_holds():
    """24 uS for pulses of 1 us: V/2 of 2.5 to 3.1 V ends at 103 uS, V/3 moves it by 2e-4."""
    for V in (2.5, 2.8, 3.1):
        G = half = third = 24e-6
        for _ in range(2):
            half = DEVICE.write(half, V / 2, 1e-6)
        assert half == pytest.approx(DEVICE.G_range()[1], rel=1e-9)
        third = DEVICE.write(third, V / 3, 1e-6)
        assert 0 <= third / G - 1 < (2e-6 if V == 2.5 else 2e-4)


def test_pulses_without_rest_are_one_pulse():
    """The published form starts anew at every call; this one may be cut anywhere."""
    x = np.array([4.5, 4.2])
    once = DEVICE.step(x, 1.2, 1e-6)
    for _ in range(40):
        x = DEVICE.step(x, 1.2, 25e-9)
    np.testing.assert_allclose(x, once, rtol=0, atol=RTOL * 1.6)


def test_no_voltage_leaves_it_for_ten_years():
    x = np.linspace(3.3, 4.9, 9)
    np.testing.assert_allclose(DEVICE.step(x, 0.0, 3.2e8), x, rtol=0, atol=1e-6)


def test_the_bottom_electrode_as_word_line_turns_the_sign():
    other = dataclasses.replace(DEVICE, polarity=-1.0)
    x = np.array([4.0, 4.5])
    assert (DEVICE.set_sign, other.set_sign) == (1.0, -1.0)
    np.testing.assert_array_equal(other.step(x, -1.25, 1e-6), DEVICE.step(x, 1.25, 1e-6))
    assert np.all(other.step(x, 1.25, 1e-6) < x)


def test_wrong_figures_are_refused():
    for wrong, words in (
        ({"polarity": 0.5}, "polarity"),
        ({"polarity": 0.0}, "polarity"),
        ({"T_ref": 5.0}, "T_ox"),
        ({"T_max": 5.5}, "T_ox"),
        ({"T_min": 4.95}, "T_min"),
        ({"tau_th": 0.0}, "tau_th"),
    ):
        with pytest.raises(InputError, match=words):
            devices.Sky130Reram(**wrong)


def test_every_engine_reads_it():
    """An 8x8 array at 0.2 V by three engines."""
    G = np.random.default_rng(3).uniform(1e-6, 100e-6, (8, 8))
    array = xb.Crossbar(G, R_wl=0.5, R_bl=0.5, R_driver=3.0, device="sky130_reram")
    answers = [
        xb.solve(array, np.full(8, 0.2), engine=e).I_out for e in ("surrogate", "nodal", "ngspice")
    ]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-9)
