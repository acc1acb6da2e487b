"""Every device model holds the kit for devices; the library on disk is what they write."""

from pathlib import Path

import pytest

from xbarspice import devices
from xbarspice.devices import export
from xbarspice.testing import check_device

MODELS = list(export.MODELS)
ROOT = Path(__file__).parents[2]


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


def test_device_holds_every_rule_of_the_kit(device, osdi_folder):
    """Three equal forms, slopes, limits, tensors; see `xbarspice.testing.check_device`.

    Pickett's `current` iterates: torch differentiates it through `derivative`.
    """
    held = check_device(device, autograd=device.name != "pickett", folder=osdi_folder)
    assert "I(-V) = -I(V), as `odd` claims" in held, "a model that is not odd needs its own check"
