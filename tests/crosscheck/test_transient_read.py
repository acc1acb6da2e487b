"""Transient reads against exponentials, an ODE solver and the operating point."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice import netlist
from xbarspice.core.errors import EngineError, EngineMissingError, InputError
from xbarspice.engines.ngspice import transient_read

DEVICES = ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"]
PULSE = {"rise": 1e-10, "width": 2e-8}
SMALL = {"C_wire": 1e-15, "C_device": 5e-15, **PULSE}


def ramp_response(t, tau):
    """Response of a first-order node to a ramp of slope 1 that starts at 0."""
    late = np.maximum(t, 0.0)
    return late - tau * (1 - np.exp(-late / tau))


def test_one_device_has_the_analytic_time_constant():
    """1x1 behind a driver: C_wire is charged through R_driver in parallel with the device."""
    R, G, C, V, rise, width = 1e3, 1e-4, 2e-13, 0.2, 1e-11, 5e-9
    crossbar = xb.Crossbar([[G]], R_driver=R)
    read = transient_read(crossbar, [V], C_wire=C, C_device=0.0, rise=rise, width=width)
    tau, final = C / (1 / R + G), V / (1 + R * G)

    def node(t):
        return (
            (ramp_response(t, tau) - ramp_response(t - rise, tau) - ramp_response(t - width, tau))
            * final
            / rise
        )

    assert np.abs(read.I_out[:, 0] - G * node(read.t)).max() < 1e-4 * G * final
    settled = tau * np.log(tau / rise * np.expm1(rise / tau) / 0.01)
    assert read.settling_time[0] == pytest.approx(settled, rel=1e-3)
    t = np.linspace(0, width + rise, 400_001)
    source = np.interp(t, [0, rise, width, width + rise], [0, V, V, 0])
    assert read.energy == pytest.approx(np.trapezoid(source * (source - node(t)) / R, t), rel=2e-4)


def test_the_capacitance_of_a_device_bridges_it():
    """C_device with an ideal sense node: the same time constant, and its own current in I_out."""
    R, G, C, V, rise, width = 2e3, 3e-4, 1e-13, -0.1, 1e-11, 5e-9
    crossbar = xb.Crossbar([[G]], R_driver=R)
    read = transient_read(crossbar, [V], C_wire=0.0, C_device=C, rise=rise, width=width)
    tau, final = C / (1 / R + G), V / (1 + R * G)
    t = read.t[(read.t > 2 * rise) & (read.t < width)]
    ramp = tau / rise * np.expm1(rise / tau) * np.exp(-t / tau)
    expected = G * final * (1 - ramp) + C * final / tau * ramp
    actual = np.interp(t, read.t, read.I_out[:, 0])
    assert np.abs(actual - expected).max() < 2e-4 * np.abs(expected).max()


def ode(crossbar, V_in, read, C_wire, C_device, rise, width):
    """`I_out` at `read.t` from the netlist's records by an implicit ODE solver; R_sense > 0."""
    net = netlist.build(crossbar, V_in)
    index = {node: k for k, node in enumerate(net.nodes)}
    inputs = dict(zip(net.word_drives.nodes, V_in, strict=True))
    n = len(index)
    A, drive, sense, C = np.zeros((n, n)), np.zeros(n), np.zeros((crossbar.cols, n)), np.zeros(n)
    for part in (net.wires, net.ends):
        for a, b, ohm in zip(part.a, part.b, part.ohm, strict=True):
            for here, there in ((a, b), (b, a)):
                if here not in index:
                    continue
                k = index[here]
                A[k, k] += 1 / ohm
                if there in index:
                    A[k, index[there]] -= 1 / ohm
                elif there in inputs:
                    drive[k] += inputs[there] / ohm
                else:
                    sense[int(there.split("_")[1]), k] += 1 / ohm
    for node in [*net.wl.ravel(), *net.bl.ravel()]:
        C[index[node]] += C_wire
    M = np.diag(C)
    a, b = ([index[node] for node in nodes] for nodes in (net.devices.a, net.devices.b))
    for p, q in zip(a, b, strict=True):
        M[[p, q, p, q], [p, q, q, p]] += np.array([1, 1, -1, -1]) * C_device
    inverse = np.linalg.inv(M)
    corners = [0.0, rise, width, width + rise]

    def slope(t, v):
        current = crossbar.device.current(v[a] - v[b], net.devices.G)
        out = drive * np.interp(t, corners, [0.0, 1.0, 1.0, 0.0]) - A @ v
        np.subtract.at(out, a, current)
        np.add.at(out, b, current)
        return inverse @ out

    states, v = [np.zeros((1, n))], np.zeros(n)
    for start, stop in pairwise(corners):
        t = read.t[(read.t > start) & (read.t <= stop * (1 + 1e-12))]
        solution = solve_ivp(slope, (start, max(stop, t[-1])), v, "Radau", t, rtol=1e-9, atol=1e-13)
        assert solution.success
        states.append(solution.y.T)
        v = solution.y[:, -1]
    return np.concatenate(states) @ sense.T


@pytest.mark.parametrize("device", DEVICES)
def test_waveforms_agree_with_an_ode_solver(device):
    crossbar, V_in = asymmetric_crossbar(R_driver=500.0, R_sense=200.0, device=device)
    pulse = {"C_wire": 2e-14, "C_device": 1e-14, "rise": 1e-10, "width": 1e-9}
    read = transient_read(crossbar, V_in, **pulse)
    expected = ode(crossbar, V_in, read, **pulse)
    assert np.abs(read.I_out - expected).max() < 3e-4 * np.abs(expected).max()


def test_a_smaller_reltol_takes_more_steps_and_comes_closer():
    """The figures of the module's table: each step of ten costs and brings what it says."""
    crossbar, V_in = asymmetric_crossbar(R_driver=500.0, R_sense=200.0, device="sinh_tio2")
    pulse = {"C_wire": 2e-14, "C_device": 1e-14, "rise": 1e-10, "width": 1e-9}
    errors, steps = [], []
    for reltol in (1e-3, 1e-5, 1e-7):
        read = transient_read(crossbar, V_in, **pulse, reltol=reltol)
        expected = ode(crossbar, V_in, read, **pulse)
        errors.append(np.abs(read.I_out - expected).max() / np.abs(expected).max())
        steps.append(len(read.t))
    assert errors[0] < 1e-2
    assert errors[1] < 1e-3 < errors[0]
    assert errors[2] < 5e-5 < errors[1]
    assert steps[0] < steps[1] < steps[2]


def test_short_wires_are_no_obstacle():
    """Nonlinear devices behind 0.01 ohm, where currents round to 1e-15 A: the same settled read."""
    rng = np.random.default_rng(6)
    crossbar = xb.Crossbar(
        rng.uniform(5e-5, 5e-4, (6, 5)), R_wl=0.01, R_bl=0.01, R_driver=50.0, device="sinh_tio2"
    )
    V_in = rng.uniform(-0.3, 0.3, 6)
    read = transient_read(crossbar, V_in, **SMALL)
    expected = xb.solve(crossbar, V_in, engine="nodal").I_out
    assert np.abs(read.I_settled - expected).max() < 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "wires",
    [
        {"R_wl": 5.0, "R_bl": 8.0, "R_driver": 100.0, "R_sense": 50.0},
        {"R_wl": 5.0, "R_bl": 8.0, "R_driver": 0.0, "R_sense": 0.0},
        {"R_wl": 0.0, "R_bl": 0.0, "R_driver": 100.0, "R_sense": 50.0},
        {"R_wl": 0.0, "R_bl": 0.0, "R_driver": 0.0, "R_sense": 0.0},
    ],
)
def test_the_settled_current_is_the_operating_point(device, wires):
    rng = np.random.default_rng(4)
    G = rng.uniform(2e-5, 2e-4, (3, 4))
    G[0, 2] = 0.0
    crossbar = xb.Crossbar(G, device=device, **wires)
    V_in = np.array([0.3, -0.2, 0.1])
    read = transient_read(crossbar, V_in, **SMALL)
    expected = xb.solve(crossbar, V_in, engine="ngspice").I_out
    assert np.abs(read.I_settled - expected).max() < 1e-6 * np.abs(expected).max()
    assert read.I_out.shape == (len(read.t), 4)
    assert read.I_in.shape == (len(read.t), 3)
    # the last 1 % of the rise is as far as an array without delay needs
    assert (read.settling_time > 0.9 * PULSE["rise"]).all()
    assert (read.settling_time < 20 * PULSE["rise"]).all()


def test_a_driven_bit_line_is_pulsed_too():
    """V/2 write mode: both kinds of line are driven, and both give energy."""
    G = [[1e-4, 2e-4], [3e-4, 0.5e-4]]
    crossbar = xb.Crossbar(G, R_driver=50.0, ends=xb.LineEnds(bl_bottom="driven"))
    V_in, V_out = np.array([0.3, 0.1]), np.array([-0.2, 0.1])
    read = transient_read(crossbar, V_in, V_out, **SMALL)
    expected = xb.solve(crossbar, V_in, V_out, engine="ngspice")
    assert np.abs(read.I_settled - expected.I_out).max() < 1e-6 * np.abs(expected.I_out).max()
    power = expected.I_in @ V_in - expected.I_out @ V_out
    assert read.energy == pytest.approx(power * PULSE["width"], rel=2e-2)


@pytest.mark.parametrize("device", DEVICES)
def test_the_energy_of_a_long_pulse_is_power_times_time(device):
    """Twice the difference in time is the plateau's power; the edges cancel."""
    crossbar, V_in = asymmetric_crossbar(device=device)
    power = xb.solve(crossbar, V_in, engine="ngspice").I_in @ V_in
    short, long = (
        transient_read(crossbar, V_in, **{**SMALL, "width": width}).energy for width in (2e-8, 1e-7)
    )
    assert long - short == pytest.approx(power * 8e-8, rel=1e-4)
    assert long == pytest.approx(power * 1e-7, rel=1e-2)


def test_charging_a_wire_costs_energy_and_a_fast_fall_gives_none_back():
    """Without devices a slow pulse of CV^2/2 is lossless, an abrupt one loses the whole CV^2."""
    crossbar = xb.Crossbar([[0.0]], R_driver=1e3)
    C, V = 1e-13, 0.5  # tau is 0.1 ns
    abrupt, slow = (
        transient_read(crossbar, [V], C_wire=C, C_device=0.0, rise=rise, width=2 * rise + 1e-9)
        for rise in (1e-14, 1e-7)
    )
    assert abrupt.energy == pytest.approx(C * V * V, rel=2e-3)
    assert slow.energy == pytest.approx(2 * 1e-10 / 1e-7 * C * V * V, rel=2e-2)
    assert (abrupt.I_dc == 0).all()


def test_a_pulse_that_is_too_short_never_settles():
    crossbar = xb.Crossbar([[1e-4, 2e-4]], R_driver=1e3, R_sense=100.0)
    read = transient_read(crossbar, [0.2], C_wire=1e-12, C_device=0.0, rise=1e-10, width=5e-10)
    assert np.isinf(read.settling_time).all()
    assert (np.abs(read.I_settled) < 0.5 * np.abs(read.I_dc)).all()
    loose = transient_read(
        crossbar, [0.2], C_wire=1e-12, C_device=0.0, rise=1e-10, width=5e-8, tolerance=0.1
    )
    tight = transient_read(
        crossbar, [0.2], C_wire=1e-12, C_device=0.0, rise=1e-10, width=5e-8, tolerance=1e-4
    )
    assert (loose.settling_time < tight.settling_time).all()
    assert np.isfinite(tight.settling_time).all()


def test_no_capacitance_follows_the_pulse():
    crossbar, V_in = asymmetric_crossbar()
    read = transient_read(crossbar, V_in, C_wire=0.0, C_device=0.0, rise=1e-9, width=1e-8)
    shape = np.interp(read.t, [0, 1e-9, 1e-8, 1.1e-8], [0, 1, 1, 0])
    assert np.abs(read.I_out - shape[:, None] * read.I_dc).max() < 1e-8 * np.abs(read.I_dc).max()
    np.testing.assert_allclose(read.settling_time, 0.99e-9, rtol=1e-6)
    still = transient_read(crossbar, np.zeros(2), **SMALL)
    assert not still.I_out.any()
    assert still.energy == 0
    assert not still.settling_time.any()


def test_misuse_is_refused_before_ngspice_runs():
    crossbar, V_in = asymmetric_crossbar()
    for change, words in (
        ({"C_wire": -1e-15}, "`C_wire`"),
        ({"C_device": np.nan}, "`C_device`"),
        ({"rise": 0.0}, "0 < rise < width"),
        ({"width": 1e-10}, "0 < rise < width"),
        ({"tolerance": 0.0}, "`tolerance`"),
        ({"max_step": 0.0}, "`max_step`"),
        ({"timeout": 0.0}, "`timeout`"),
        ({"reltol": 1e-9}, "`reltol`"),
        ({"reltol": 0.01}, "`reltol`"),
        ({"reltol": np.nan}, "`reltol`"),
    ):
        with pytest.raises(InputError, match=words):
            transient_read(crossbar, V_in, **{**SMALL, "executable": "no-such", **change})
    with pytest.raises(InputError, match="one array and one vector"):
        transient_read(crossbar, [V_in, V_in], **SMALL)
    with pytest.raises(EngineMissingError):
        transient_read(crossbar, V_in, **SMALL, executable="no-such-ngspice")


def test_a_transient_that_takes_too_long_is_an_error():
    crossbar, V_in = asymmetric_crossbar(device="sinh_tio2")
    with pytest.raises(EngineError, match="within 1 s"):
        transient_read(crossbar, V_in, **SMALL, max_step=1e-15, timeout=1.0)


def test_numpy_scalars_are_numbers():
    """`repr` of a NumPy scalar is no number to ngspice."""
    array, V_in = asymmetric_crossbar()
    times = {"C_wire": 1e-15, "C_device": 2e-15, "rise": 1e-10, "width": 2e-9, "reltol": 1e-5}
    plain = transient_read(array, V_in, **times)
    scalars = transient_read(array, V_in, **{k: np.float64(v) for k, v in times.items()})
    np.testing.assert_array_equal(plain.I_out, scalars.I_out)
