"""Every device model: three equal forms, and the qualities that compact-model people expect."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.contract import device_forms as forms
from xbarspice import devices
from xbarspice.devices import export

MODELS = list(export.MODELS)
ROOT = Path(__file__).parents[2]


def conductances(device, count=5):
    """Conductances over the model's range, S."""
    low, high = device.G_range()
    return np.geomspace(max(low, 1e-6), min(high, 1e-3), count)


@pytest.fixture(scope="module")
def osdi_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("osdi")


@pytest.fixture(params=MODELS)
def device(request):
    return devices.get(request.param)


def test_library_covers_every_shipped_model():
    """A model that is registered by the package but not in the library would go unchecked."""
    shipped = {
        name
        for name in devices.names()
        if type(devices.get(name)).__module__.startswith("xbarspice.")
    }
    assert shipped == set(MODELS)


def test_library_files_are_up_to_date():
    """`models/` is what `python -m xbarspice.devices.export` writes."""
    for name, text in export.render().items():
        assert (ROOT / "models" / name).read_text("utf-8") == text, name


def test_export_writes_the_library(tmp_path):
    assert len(export.write(tmp_path)) == 3 * len(MODELS)
    with pytest.raises(ValueError, match="folder must exist"):
        export.write(tmp_path / "none")


def test_parameter_files_read_back(device):
    """The TOML of the library gives exactly the registered model."""
    assert devices.load_toml(ROOT / "models" / f"{device.name}.toml") == device


def test_static_curve_equals_ngspice(device):
    """Subcircuit against Python on a grid: 1e-9, and 1e-17 A at 0 V."""
    V = np.linspace(-1, 1, 21) * min(device.V_max, 1.5)
    G = conductances(device)
    got, want = forms.static_iv(device, V, G), device.current(V[:, None], G)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-17)


def test_verilog_a_equals_python(device, osdi_folder):
    """The Verilog-A, compiled and run in ngspice: 1e-9; without a compiler, its structure."""
    text = export.render()[f"{device.name}.va"]
    modules = re.findall(r"^module (\w+)\(p, n\);(.*?)^endmodule", text, re.S | re.M)
    assert modules[0][0] == f"xb_{device.name}"
    assert text.count("`include") == 1
    for name, body in modules:
        code = re.sub(r"\(\*.*?\*\)|from [\[(][^;]*", "", body)
        assert code.count("(") == code.count(")")
        assert len(re.findall(r"\bbegin\b", code)) == len(re.findall(r"\bend\b", code))
        assert "<+" in code
        parameters = {p for p, _ in re.findall(r"parameter real (\w+) = ([-+.\deE]+)", body)}
        assert parameters
        if name == f"xb_{device.name}_dyn":
            assert all(len(re.findall(rf"\b{p}\b", body)) > 1 for p in parameters)
    if forms.openvaf() is None:
        return  # no compiler on this machine; the structure above is what can be checked
    V = np.linspace(-1, 1, 21) * min(device.V_max, 1.5)
    G = conductances(device)
    got = forms.static_iv(device, V, G, forms.compiled(device.name, osdi_folder))
    np.testing.assert_allclose(got, device.current(V[:, None], G), rtol=1e-9, atol=1e-17)


def test_no_current_without_voltage(device):
    G = conductances(device)
    assert np.all(device.current(np.zeros_like(G), G) == 0)


def test_absent_device_carries_nothing(device):
    V = np.linspace(-1, 1, 5)
    assert np.all(device.current(V, np.zeros(5)) == 0)
    assert np.all(device.derivative(V, np.zeros(5)) == 0)


def test_conductance_is_that_at_the_read_voltage(device):
    """I(V_read) = G V_read, for every model."""
    G = conductances(device)
    V = getattr(device, "V_read", 0.2)
    np.testing.assert_allclose(device.current(np.full_like(G, V), G), G * V, rtol=1e-12)


def test_derivative_is_the_slope(device):
    """Central difference of the current; and no jump anywhere, the origin included."""
    V = np.linspace(-1, 1, 41)[:, None] * min(device.V_max, 1.5)
    G = conductances(device)
    h = 1e-5
    slope = (device.current(V + h, G) - device.current(V - h, G)) / (2 * h)
    np.testing.assert_allclose(device.derivative(V, G), slope, rtol=2e-5)
    left, right = device.derivative(np.full_like(G, -1e-9), G), device.derivative(1e-9 + 0 * G, G)
    np.testing.assert_allclose(left, right, rtol=1e-6)


def test_odd_where_claimed(device):
    V = np.linspace(0.01, 1, 9)[:, None] * min(device.V_max, 10.0)
    G = conductances(device)
    assert device.odd, "every shipped model claims symmetry; a new one needs its own check"
    np.testing.assert_allclose(device.current(-V, G), -device.current(V, G), rtol=1e-14)


def test_slope_is_positive_and_finite_to_ten_volts(device):
    """Monotone, and no overflow far outside the validity range."""
    V = np.linspace(-10, 10, 81)[:, None]
    G = conductances(device)
    assert np.all(np.isfinite(device.current(V, G)))
    slope = device.derivative(V, G)
    assert np.all(np.isfinite(slope))
    assert np.all(slope > 0)
    assert np.all(np.diff(device.current(V, G), axis=0) > 0)


def test_torch_equals_numpy_and_differentiates(device):
    """The same numbers from tensors; dI/dV and dI/dG by autograd agree with the model."""
    V = np.linspace(-0.5, 0.5, 7)[:, None]
    G = conductances(device)[1:-1]
    v = torch.tensor(np.broadcast_to(V, (7, G.size)).copy(), requires_grad=True)
    g = torch.tensor(np.broadcast_to(G, (7, G.size)).copy(), requires_grad=True)
    current = device.current(v, g)
    np.testing.assert_allclose(current.detach(), device.current(V, G), rtol=1e-10)
    current.sum().backward()
    if device.name != "pickett":  # its autograd runs through an iteration: slopes are `derivative`
        np.testing.assert_allclose(v.grad, device.derivative(V, G), rtol=1e-9, atol=1e-18)
        h = 1e-6 * G
        slope = (device.current(V, G + h) - device.current(V, G - h)) / (2 * h)
        np.testing.assert_allclose(g.grad, slope, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(
        device.derivative(v.detach(), g.detach()), device.derivative(V, G), rtol=1e-9
    )
