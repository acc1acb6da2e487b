"""Every device that can be written: its step, its limits, and its transient in ngspice."""

import contextlib

import numpy as np
import pytest
import torch

from xbarspice import devices
from xbarspice.core.errors import ConvergenceError, InputError
from xbarspice.devices import DynamicDevice, export
from xbarspice.devices.dynamic import integrate
from xbarspice.testing import device_forms as forms

WRITABLE = ["messaris2018", "mt2021", "n1257r", "nili_pulse", "o921c_4k", "pickett", "sky130_reram"]
CONTINUOUS = [name for name in WRITABLE if name != "nili_pulse"]
INTEGRATED = ["pickett", "sky130_reram"]
CLOSED = [name for name in CONTINUOUS if name not in INTEGRATED]

PULSES = {
    "messaris2018": (1.5, 2.0, -1.2),
    "mt2021": (2.0, -2.5),
    "n1257r": (1.0, 2.0, -2.5),
    "o921c_4k": (1.0, 2.0, -2.0),
    "pickett": (1.0, 2.0, -0.8),
    "sky130_reram": (1.2, 1.4, -1.5, -2.0),
}
"""Pulses that move the state, in V."""


def states(device, count=6):
    """States inside the range, the ends left out."""
    low, high = device.state_range
    return np.linspace(low, high, count + 2)[1:-1]


@pytest.fixture(scope="module")
def osdi_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("osdi")


def test_all_dynamic_models_are_listed():
    dynamic = {name for name in export.MODELS if isinstance(devices.get(name), DynamicDevice)} - {
        "o921c"
    }
    assert dynamic == set(WRITABLE)


@pytest.mark.parametrize("form", ["subcircuit", "osdi"])
@pytest.mark.parametrize(("name", "V"), [(n, v) for n, pulses in PULSES.items() for v in pulses])
def test_transient_equals_ngspice(name, V, form, osdi_folder):
    """The state after one 200 ns pulse with 2 ns edges, relative: 1e-4 of the Python form."""
    if form == "osdi" and forms.openvaf() is None:
        form = "subcircuit"  # without a compiler the structure is checked in test_devices
    device = devices.get(name)
    x0 = states(device, 4)
    if name == "pickett":  # ON switching runs away within femtoseconds below 1.3 nm
        x0 = np.array([1.1 if V > 0 else 1.32, 1.3, 1.5, 1.7])
    expected = device.follow(x0, *forms.pulse(V))
    assert np.max(np.abs(expected / x0 - 1)) > 1e-3, "the pulse must move something"
    library = forms.compile_form(device, osdi_folder) if form == "osdi" else None
    np.testing.assert_allclose(forms.transient_state(device, x0, V, library), expected, rtol=1e-4)


RUNAWAYS = {
    "pickett": ((-0.8, -1.5), np.array([1.02, 1.1, 1.2, 1.28])),
    "sky130_reram": ((1.6, 2.0, 2.5), np.array([3.94, 4.26, 4.58, 4.8])),
}
"""Pulses, in V, under which these states, in nm, run to a limit."""


@pytest.mark.parametrize(
    ("name", "V"), [(n, V) for n, (pulses, _) in RUNAWAYS.items() for V in pulses]
)
def test_runaway_ends_at_the_limit_in_the_subcircuit(name, V):
    """ON switching that runs away ends at the limit in both forms; its softness costs to 2e-4."""
    device, x0 = devices.get(name), RUNAWAYS[name][1]
    expected = device.follow(x0, *forms.pulse(V))
    limit = device.state_range[0 if name == "pickett" else 1]
    np.testing.assert_allclose(expected, limit, rtol=1e-12)
    np.testing.assert_allclose(forms.transient_state(device, x0, V), expected, rtol=2e-4)


@pytest.mark.parametrize("name", WRITABLE)
def test_state_and_conductance_are_one_to_one(name):
    device = devices.get(name)
    x = states(device)
    np.testing.assert_allclose(device.state(device.conductance(x)), x, rtol=1e-9)
    np.testing.assert_allclose(
        device.current_at(0.3 + 0 * x, x),
        device.current(0.3 + 0 * x, device.conductance(x)),
        rtol=1e-9,
    )


@pytest.mark.parametrize("name", WRITABLE)
def test_state_stays_in_range_at_any_voltage(name):
    """Ten volts for a second (where it is integrated, a microsecond) of either sign."""
    device = devices.get(name)
    low, high = device.state_range
    with np.errstate(over="raise", invalid="raise"):
        for V in (10.0, -10.0):
            x = device._step(states(device), np.array(V), 1e-6 if name in INTEGRATED else 1.0)
            assert np.all((x >= low) & (x <= high))


@pytest.mark.parametrize("name", WRITABLE)
def test_no_voltage_no_change_and_signs_oppose(name):
    device = devices.get(name)
    x = states(device)
    assert np.array_equal(device.step(x, 0.0, 1e-6), x)
    volts = 1.1 * device.set_sign
    up, down = (device.conductance(device.step(x, V, 1e-5)) for V in (volts, -volts))
    G = device.conductance(x)
    assert np.all(up >= G)
    assert np.all(down <= G)
    assert np.any(up != G)
    assert np.any(down != G)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_result_does_not_depend_on_the_time_step(name):
    """One step equals many: to rounding in closed form, to 1e-5 of the range where integrated."""
    device = devices.get(name)
    low, high = device.state_range
    for V in PULSES[name]:
        x = one = states(device)
        one = device.step(one, V, 200e-9)
        pieces = 100 if name in CLOSED else 10
        for _ in range(pieces):
            x = device.step(x, V, 200e-9 / pieces)
        tolerance = 1e-11 if name in CLOSED else 1e-6
        np.testing.assert_allclose(x, one, rtol=0, atol=tolerance * (high - low) * 10)


@pytest.mark.parametrize("name", CLOSED)
def test_closed_form_solves_the_rate_equation(name):
    """The exact step against the adaptive integrator of `rate`, over nine decades of time."""
    device = devices.get(name)
    low, high = device.state_range
    for V in (*PULSES[name], 0.4, -0.6):
        for dt in (1e-10, 1e-7, 1e-4, 1e-1):
            exact = device._step(states(device), np.array(V), dt)
            integrated = integrate(device.rate, states(device), np.array(V), dt, (low, high))
            np.testing.assert_allclose(integrated, exact, rtol=0, atol=2e-5 * (high - low))


@pytest.mark.parametrize("name", WRITABLE)
def test_torch_step_equals_numpy(name):
    device = devices.get(name)
    x = states(device)
    V = np.array([1.1, -1.1, 0.5, -0.5, 0.0, 0.9])
    actual = device.step(torch.tensor(x), torch.tensor(V), 1e-6)
    np.testing.assert_allclose(actual.numpy(), device.step(x, V, 1e-6), rtol=1e-8)


@pytest.mark.parametrize("name", CLOSED)
def test_step_is_differentiable(name):
    """Gradient of the written state to the start state, against a difference."""
    device = devices.get(name)
    x = torch.tensor(states(device), requires_grad=True)
    device.step(x, 1.5, 200e-9).sum().backward()
    h = 1e-2
    plain = states(device)
    slope = (device.step(plain + h, 1.5, 200e-9) - device.step(plain - h, 1.5, 200e-9)) / (2 * h)
    np.testing.assert_allclose(x.grad, slope, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", WRITABLE)
def test_outside_the_validity_range_is_refused_or_clamped(name):
    """An error that names the range, or the nearest valid value: the caller chooses."""
    device = devices.get(name)
    low, high = device.state_range
    top = device.V_write[1]
    with pytest.raises(InputError, match="may be written with"):
        device.step(states(device), top + 0.5, 1e-6)
    with pytest.raises(InputError, match="must lie in"):
        device.step(np.array([high * 1.1]), 0.5, 1e-6)
    with pytest.raises(InputError, match="outside"):
        device.step(states(device), 0.5, 1e-6, outside="ignore")
    with pytest.raises(InputError):
        device.step(states(device), 0.5, -1e-6)
    x = states(device)
    np.testing.assert_array_equal(
        device.step(x, top + 0.5, 1e-6, outside="clamp"), device.step(x, top, 1e-6)
    )
    assert device.step(np.array([high * 1.1]), 0.0, 1e-6, outside="clamp") == high
    assert device.step(np.array([low * 0.9]), 0.0, 1e-6, outside="clamp") == low


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_start_is_said_in_the_file(name, osdi_folder):
    """`uic` belongs to the subcircuit and not to Verilog-A: each file says its own way."""
    files = export.render()
    subcircuit, module = files[f"{name}.sub"], files[f"{name}.va"]
    assert "* use `tran ... uic`" in subcircuit
    assert f"// Dynamic: <instance> wl bl xb_{name}_dyn xb_x0=<start state" in module
    assert "// use `tran` without `uic`" in module
    if forms.openvaf() is None:
        return
    device = devices.get(name)
    x0 = float(states(device, 1)[0])
    lines = [
        "V1 a 0 0",
        forms.TRANSIENT,
        f"N1 a 0 model xb_x0={x0!r}",
        f".model model xb_{name}_dyn",
        ".save all",
    ]
    library = forms.compile_form(device, osdi_folder)
    analysis = f"pre_osdi {library}\ntran 1n 10n{{}}\nlinearize"
    actual = forms.run(lines, analysis.format(""), 11)["v(n1#x)"][0] * device.spice_unit
    assert actual == pytest.approx(x0, rel=1e-6)
    with contextlib.suppress(ConvergenceError):
        actual = forms.run(lines, analysis.format(" uic"), 11)["v(n1#x)"][0] * device.spice_unit
        assert actual != pytest.approx(x0, rel=1e-2)


@pytest.mark.parametrize("period", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("V", [1.0, 1.5, 3.0])
def test_pickett_goes_through_bipolar_sweeps_with_its_own_file_alone(V, period):
    """No option but those of the file; it stopped at half of the sweep with ngspice's defaults."""
    device = devices.get("pickett")
    times, volts = period * np.array([0, 0.25, 0.75, 1.0]), [0, V, -V, 0]
    points = " ".join(f"{t!r} {v!r}" for t, v in zip(times.tolist(), volts, strict=True))
    lines = [f"V1 a 0 pwl({points})", "X1 a 0 xb_pickett_dyn xb_x0=1.5"]
    analysis = f"tran {period / 1000!r} {period!r} uic\nlinearize"
    actual = forms.run([*lines, export.subcircuit(device), ".save all"], analysis, 1001)["v(x1.x)"]
    low, high = device.state_range
    assert np.all(actual < high)
    assert actual[500] > 1.5  # OFF in the first half
    assert actual[-1] == pytest.approx(
        low, abs=0.05
    )  # ON in the second; below `low` counts as `low`
