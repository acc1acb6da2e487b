"""Parameters of devices and variations are finite numbers in range, whichever road they came by."""

from __future__ import annotations

import dataclasses
import reprlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

import xbarspice as xb
from xbarspice import devices
from xbarspice import variability as vr
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.errors import ConvergenceError, InputError, StoreError

FIELDS = [
    (name, item.name) for name in devices.names() for item in dataclasses.fields(devices.get(name))
]
TERMS = {
    "cti": vr.ConductanceTuning(),
    "saf": vr.StuckDevices(),
    "read_noise": vr.ReadNoise(),
    "relative_noise": vr.RelativeNoise(sigma=0.01),
    "device_spread": vr.DeviceSpread(),
    "retention": vr.RetentionDrift(nu=0.1, t=10.0),
    "bse": vr.BiasingSchemeEffect(),
    "quantisation": vr.Quantisation(),
}
NUMBERS = [
    (name, item.name)
    for name, term in TERMS.items()
    for item in dataclasses.fields(term)
    if item.name != "order"
]
BAD = [float("nan"), float("inf"), -float("inf"), 10**400, "1", 1j, True, [1.0, 2.0]]


@pytest.mark.parametrize(("name", "field"), FIELDS)
@pytest.mark.parametrize("bad", BAD, ids=reprlib.repr)
def test_no_device_is_made_with_a_parameter_that_is_no_finite_number(name, field, bad):
    device = devices.get(name)
    for make in (
        lambda: type(device)(**{field: bad}),
        lambda: dataclasses.replace(device, **{field: bad}),
        lambda: devices.with_parameters(name, {field: bad}),
    ):
        with pytest.raises(InputError, match=rf"`{name}\.{field}` must be"):
            make()


@pytest.mark.parametrize(("name", "field"), FIELDS)
@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e999", "1" + "0" * 400, "true", '"1"'])
def test_no_parameter_file_brings_one_in(tmp_path, name, field, word):
    path = tmp_path / "die.toml"
    path.write_text(f'model = "{name}"\n[parameters]\n{field} = {word}\n')
    with pytest.raises(InputError, match=rf"die\.toml: `{name}\.{field}`"):
        devices.load_toml(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 99.0])
def test_no_result_file_brings_one_in(tmp_path, value):
    path = tmp_path / "array.h5"
    crossbar = xb.Crossbar(np.full((2, 2), 1e-4), device="cubic_al2o3_tio2")
    tree = crossbar_file.to_tree(crossbar)
    hdf5.write_tree(path, tree, "test")
    assert crossbar_file.from_tree(hdf5.read_tree(path, "test")).device == crossbar.device
    tree["device_parameters"]["xi"] = value
    hdf5.write_tree(path, tree, "test")  # with the right hash
    with pytest.raises((InputError, StoreError), match=r"\bxi\b"):
        crossbar_file.from_tree(hdf5.read_tree(path, "test"))


@pytest.mark.parametrize("text", ["parameters = 3", "[[[", "\x00", "a = " + "[" * 5000])
def test_a_parameter_file_that_is_none_is_one_clear_error(tmp_path, text):
    path = tmp_path / "die.toml"
    path.write_text(f'model = "n1257r"\n{text}\n')
    with pytest.raises(InputError, match=r"die\.toml"):
        devices.load_toml(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"die\.toml` must be TOML"):
        devices.load_toml(path)


OUT_OF_RANGE = [
    ("sinh_tio2", {"b": 0.0}, "> 0"),
    ("sinh_tio2", {"b": 1e5}, "700"),
    ("sinh_tio2", {"V_read": 1e9}, "V_read"),
    ("cubic_al2o3_tio2", {"T": 0.0}, "Celsius"),
    ("cubic_al2o3_tio2", {"xi": 11.0}, "deviations"),
    ("nili_pulse", {"V_threshold": -0.1}, ">= 0"),
    ("pickett", {"i_off": 0.0}, "> 0"),
    ("pickett", {"R_series": -1.0}, "> 0"),
    ("pickett", {"w_min": 0.01}, "conductances"),
    ("n1257r", {"a": -1.0}, "> 0"),
    ("n1257r", {"t_n": 0}, "not 0"),
    ("messaris2018", {"R_on": 17000.0}, "smaller"),
]


@pytest.mark.parametrize(("name", "parameters", "words"), OUT_OF_RANGE)
def test_no_device_is_made_out_of_range(name, parameters, words):
    with pytest.raises(InputError, match=words):
        devices.with_parameters(name, parameters)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, int, np.array, float])
@pytest.mark.parametrize("name", devices.names())
def test_numbers_of_every_kind_become_python_floats(name, kind):
    device = devices.get(name)
    for item in dataclasses.fields(device):
        value = getattr(device, item.name)
        if kind in (np.int64, int) and value != int(value):
            continue
        made = devices.with_parameters(name, {item.name: kind(value)})
        assert type(getattr(made, item.name)) is float
        assert "np." not in made.spice_body() + made.verilog_a()


def test_a_tensor_stays_one_and_is_looked_at():
    b = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
    device = devices.SinhTiO2(b=b)
    device.current(torch.tensor(0.3, dtype=torch.float64), 1e-4).backward()
    assert b.grad is not None
    assert float(b.grad) != 0
    with pytest.raises(InputError, match=r"\.b`"):
        devices.SinhTiO2(b=torch.tensor(float("nan")))


def test_a_users_device_with_its_own_post_init_is_looked_at_when_it_is_used():
    @dataclass(frozen=True, kw_only=True)
    class Mine(devices.Ohmic):
        name: ClassVar[str] = "mine"
        c: float = 1.0
        note: str = "text is no parameter"

        def __post_init__(self):
            pass

    xb.Crossbar([[1e-4]], device=Mine())
    with pytest.raises(InputError, match=r"`mine\.c`"):
        xb.Crossbar([[1e-4]], device=Mine(c=float("nan")))


@pytest.mark.parametrize(("name", "field"), NUMBERS)
@pytest.mark.parametrize("bad", BAD, ids=reprlib.repr)
def test_no_variation_is_made_with_a_parameter_that_is_no_finite_number(name, field, bad):
    with pytest.raises(InputError, match=rf"`{name}\.{field}` must be"):
        dataclasses.replace(TERMS[name], **{field: bad})


def test_variations_refuse_what_is_out_of_range():
    for make in (
        lambda: vr.ConductanceTuning(offset_std=-1.0),
        lambda: vr.StuckDevices(lrs_std=-1.0),
        lambda: vr.StuckDevices(rate_lrs=0.7, rate_hrs=0.7),
        lambda: vr.DeviceSpread(T=300.0),
        lambda: vr.RetentionDrift(nu=0.1, t=-1.0),
        lambda: vr.BiasingSchemeEffect(later_writes=1.5),
        lambda: vr.Quantisation(G_min=5e-4, G_max=1e-4),
        lambda: vr.make("cti", sigma_0=float("nan")),
        lambda: vr.from_config([{"name": "saf", "hrs_min": float("inf")}]),
        lambda: vr.dot_calibration_2024(R_min=float("nan")),
    ):
        with pytest.raises(InputError):
            make()


@pytest.mark.parametrize("outside", ["error", "clamp"])
def test_nan_is_within_no_range(outside):
    device = devices.get("n1257r")
    nan = np.array([0.1, np.nan])
    good = np.array([1e-3 / 3, 1e-3 / 2])
    for V, G in ((nan, good), (0 * good, nan)):
        with pytest.raises(InputError):
            devices.within(device, V, G, outside=outside)
    x = np.array([2000.0, 2500.0])
    for state, V, dt in ((x, nan, 1e-7), (nan, 0.5, 1e-7), (x, 0.5, np.nan)):
        with pytest.raises(InputError):
            device.step(state, V, dt, outside=outside)
    pulse = devices.get("nili_pulse")
    with pytest.raises(InputError):
        pulse.step(np.array([40e-6]), 1.0, np.nan, outside=outside)


def test_a_state_that_turns_into_nan_is_an_error():
    class Wrong(devices.N1257R):
        def _step(self, x, V, dt):
            return np.nan * x

    with pytest.raises(ConvergenceError, match="NaN"):
        Wrong().step(np.array([2000.0]), 1.0, 1e-7)
