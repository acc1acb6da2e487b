"""Device parameters: published figures, validity ranges, parameter files, a device of one's own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

import xbarspice as xb
from xbarspice import devices
from xbarspice.core.errors import InputError


@pytest.mark.parametrize(
    ("name", "factor"),
    [("n1257r", 0.914), ("o921c", 0.925), ("o921c_4k", 0.638), ("messaris2018", 0.764)],
)
def test_read_conductance_times_state(name, factor):
    """The published prefactor is not the read resistance: G(0.2 V) R is the stated figure."""
    device = devices.get(name)
    assert float(device.conductance(np.float64(2000.0)) * 2000.0) == pytest.approx(factor, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "ratio"),
    [("N1257R", 2.07), ("O921C", 1.20), ("O921C_4K", 1.47), ("Messaris2018", 2.35)],
)
def test_sinh_sets_have_their_self_selection(name, ratio):
    """I(1 V) / 2 I(0.5 V) of each published set."""
    device = devices.SinhTiO2.of(name)
    got = device.current(np.array(1.0), 1e-4) / (2 * device.current(np.array(0.5), 1e-4))
    assert got == pytest.approx(ratio, abs=5e-3)
    with pytest.raises(InputError, match="parameter_set"):
        devices.SinhTiO2.of("N0")


def test_o921c_4k_moves_as_published():
    """One 200 ns pulse from 5367 ohm: +2 V to 3306, +1 V to 5238, -2 V to 6135 ohm."""
    device = devices.get("o921c_4k")
    got = [float(device.step(np.array(5367.0), V, 200e-9)) for V in (2.0, 1.0, -2.0)]
    assert got == pytest.approx([3306, 5238, 6135], abs=1)


def test_o921c_is_refused_for_writing_but_reads():
    device = devices.get("o921c")
    assert device.current(np.array(0.2), 2e-4) == pytest.approx(4e-5)
    for use in (
        lambda: device.step(np.array(4917.0), -0.2, 200e-9),
        device.spice_dynamic,
        device.verilog_a_dynamic,
    ):
        with pytest.raises(InputError, match="RESET"):
            use()
    moved = device._step(np.array(4917.0), np.array(-0.2), 200e-9)
    assert float(moved) == pytest.approx(8520, abs=5)  # why it is refused


def test_messaris_positive_voltage_raises_resistance():
    device = devices.get("messaris2018")
    assert device.step(np.array(5000.0), 1.5, 1e-6) > 5000.0


def test_nili_pulses_follow_the_map():
    """One SET and one RESET pulse in the 31.6-56.2 uS bin, by hand; halves do not make a whole."""
    device = devices.get("nili_pulse")
    L = -6.0
    up = 1.55e-4 * (1 - np.tanh(-0.47 * (L + 3.426))) * (np.tanh(5.946 * 1.0 - 6.558) + 1)
    down = -0.89e-4 * (-1 - np.tanh(0.23 * (L - 2.91))) * (np.tanh(6.2 * -1.2 + 7.42) - 1)
    x = np.array(40e-6)
    assert float(device.step(x, 1.0, 1e-6)) == pytest.approx(40e-6 + up, rel=1e-12)
    assert float(device.step(x, -1.2, 1e-6)) == pytest.approx(40e-6 + down, rel=1e-12)
    halves = device.step(device.step(x, 1.0, 5e-7), 1.0, 5e-7)
    assert float(halves) != pytest.approx(40e-6 + up, rel=1e-2)
    with pytest.raises(InputError, match="pulses of"):
        device.step(x, 1.0, 1e-9)
    with pytest.raises(InputError, match="differential"):
        device.rate(x, 1.0)
    with pytest.raises(InputError, match="differential"):
        device.spice_dynamic()


def test_nili_threshold_cuts_the_extrapolation_off():
    x, V = np.full(4, 100e-6), np.array([0.5, 0.9, -0.5, -1.2])
    free = devices.NiliPulseMap().pulse(x, V, 1e-6)
    cut = devices.NiliPulseMap(V_threshold=0.8).pulse(x, V, 1e-6)
    assert np.all(free != 0)
    assert np.array_equal(cut, np.where(np.abs(V) >= 0.8, free, 0.0))


def test_nili_spread_scales_the_change():
    device = devices.get("nili_pulse")
    x, V = np.array(150e-6), np.array(1.0)
    d = 0.34 + 0.01 * 36 - 0.41 * -6 + 0.37 * -6 - 0.29
    ratio = device.pulse(x, V, 1e-6, xi=1.0) / device.pulse(x, V, 1e-6)
    assert float(ratio) == pytest.approx(1 + d, rel=1e-9)
    assert float(device.pulse(x, V, 1e-6, xi=-10.0)) == 0.0


def test_cubic_temperature_and_spread_change_the_shape():
    """The chord conductance stays; the share of the cubic term follows the published fits."""
    G = np.array(100e-6)

    def share(**parameters):
        A1, A3 = devices.CubicAl2O3TiO2(**parameters).coefficients(G)
        assert float(A1 + 0.04 * A3) == pytest.approx(100e-6, rel=1e-12)
        return float(A3 / A1)

    A1 = 0.977e-4 - 2.58e-6 + 1.166e-7 * 60
    A3 = 1.18e-4 + 6596e-8 + 1.605e-3 * 60**-1.33
    s1, s3 = devices.cubic.spread_coefficients(G, 60.0)
    assert share(T=60.0) == pytest.approx(A3 / A1, rel=1e-12)
    assert share(T=60.0, xi=-0.5) == pytest.approx(float((A3 - s3 / 2) / (A1 - s1 / 2)), rel=1e-12)
    with pytest.raises(InputError, match="A1 must be positive"):
        devices.CubicAl2O3TiO2(T=5.0).current(0.1, np.array([1e-7, 1e-4]))


def test_within_refuses_or_clamps():
    device = devices.get("cubic_al2o3_tio2")
    V, G = devices.within(device, [0.3], [0.0, 1e-4])
    assert np.array_equal(G, [0.0, 1e-4])
    with pytest.raises(InputError, match=r"0\.4 V"):
        devices.within(device, [0.5], [1e-4])
    with pytest.raises(InputError, match="uS"):
        devices.within(device, [0.1], [1e-6])
    with pytest.raises(InputError, match="outside"):
        devices.within(device, [0.1], [1e-4], outside="no")
    V, G = devices.within(device, [0.5], [0.0, 1e-6], outside="clamp")
    assert np.array_equal(V, [0.4])
    assert np.array_equal(G, [0.0, 3.16e-6])
    low, high = devices.get("n1257r").G_range()
    assert (low * 3590, high * 1000) == pytest.approx((0.914, 0.914), abs=1e-3)


def test_parameter_file(tmp_path):
    """A new parameter set of an existing model; every mistake is named."""
    path = tmp_path / "die.toml"
    path.write_text('model = "n1257r"\nsource = "my die"\n[parameters]\nR_on = 1200\n')
    assert devices.load_toml(path) == devices.N1257R(R_on=1200.0)
    bad = {
        'model = "none"': "one of",
        "source = 1": "model",
        'model = "n1257r"\n[parameters]\nR_min = 5.0': "R_min",
        'model = "n1257r"\n[parameters]\nR_on = "low"': "numbers",
        'model = "n1257r"\n[parameters]\nR_on = 9e9': "R_off",
        "model =": "TOML",
    }
    for text, words in bad.items():
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            devices.load_toml(path)
    with pytest.raises(InputError, match="must exist"):
        devices.load_toml(tmp_path / "none.toml")


def test_parameter_sets_are_checked():
    with pytest.raises(InputError, match="R_on"):
        devices.N1257R(R_on=5000.0)
    with pytest.raises(InputError, match="t_p"):
        devices.N1257R(t_p=0.0)
    with pytest.raises(InputError, match="k_p"):
        devices.DataDriven2018(k_p=-1.0)
    with pytest.raises(InputError, match="w_min"):
        devices.Pickett(w_min=3.0)


def test_your_own_device_solves(monkeypatch):
    """The documented ten lines: registered by name, solved by name."""
    monkeypatch.setattr(devices.registry, "_entries", dict(devices.registry._entries))

    @xb.devices.register("my_cubic")
    @dataclass(frozen=True, kw_only=True)
    class MyCubic(xb.devices.Device):
        source: ClassVar[str] = "measured on my die"
        c: float = 0.5  # 1/V^2

        def current(self, V, G):
            return G * V * (1 + self.c * V * V)

        def derivative(self, V, G):
            return G * (1 + 3 * self.c * V * V)

        def spice_parameters(self, G):
            return {"g": G, "c": self.c + 0 * G}

        def spice_body(self):
            return "B1 p n i={g}*v(p,n)*(1+{c}*v(p,n)*v(p,n))"

        def verilog_a(self):
            raise NotImplementedError("not needed here")

    crossbar = xb.Crossbar([[1e-4, 2e-4]], R_wl=0.0, R_bl=0.0, device="my_cubic")
    for engine in ("nodal", "ngspice"):
        got = xb.solve(crossbar, [0.5], engine=engine).I_out
        np.testing.assert_allclose(got, 0.5 * 1.125 * np.array([1e-4, 2e-4]), rtol=1e-12)
    with pytest.raises(InputError, match="new"):
        xb.devices.register("my_cubic")(MyCubic)


@pytest.mark.parametrize("name", xb.devices.names())
def test_forward_derivatives_by_conductance_are_those_of_differences(name):
    """Pickett's width was solved without a derivative: fits of G went by the slope I/G."""
    device = xb.devices.get(name)
    V, G, h = torch.tensor([0.1, 0.5]), torch.tensor([2e-4, 4e-5]), 1e-9
    V, G = V.double(), G.double()
    with forward_ad.dual_level():
        current = device.current(V, forward_ad.make_dual(G, torch.ones_like(G)))
        slope = forward_ad.unpack_dual(current).tangent
    by = (device.current(V, G + h) - device.current(V, G - h)) / (2 * h)
    assert slope.numpy() == pytest.approx(by.numpy(), rel=1e-4)
