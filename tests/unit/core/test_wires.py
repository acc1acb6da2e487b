"""The four resistances have one list, and one check."""

import inspect
import re
from pathlib import Path

import pytest

import xbarspice as xb
from xbarspice.core.errors import InputError
from xbarspice.core.wires import IDEAL, R_HIGH, R_LOW, WIRES, WORDS, resistance_of, wires_of
from xbarspice.mapping.config import ArrayConfig


def test_names_are_those_of_the_crossbar_in_order():
    arguments = [n for n in inspect.signature(xb.Crossbar).parameters if n.startswith("R_")]
    fields = [n for n in ArrayConfig.__dataclass_fields__ if n.startswith("R_")]
    assert list(WIRES) == arguments == fields == list(WORDS) == list(IDEAL)


def test_they_are_read_from_a_crossbar():
    values = {"R_wl": 1.0, "R_bl": 2.0, "R_driver": 3.0, "R_sense": 4.0}
    crossbar = xb.Crossbar([[1e-4]], **values)
    assert wires_of(crossbar) == crossbar.wires == values


@pytest.mark.parametrize("value", [0.0, R_LOW, 1, R_HIGH])
def test_a_resistance_is_0_or_within_limits(value):
    assert resistance_of("R_wl", value) == value


@pytest.mark.parametrize("value", [-1.0, R_LOW / 2, 2 * R_HIGH, float("nan"), "1", None, True])
def test_any_other_value_is_refused(value):
    with pytest.raises(InputError, match="R_wl"):
        resistance_of("R_wl", value)


def test_no_other_module_lists_the_four_names():
    listing = re.compile(
        r"""["']R_wl["'][^\n]{0,12}\n?[^\n]{0,30}["']R_bl["'],\s*["']R_driver["']"""
    )
    root = Path(xb.__file__).parent
    names = {str(p.relative_to(root)) for p in root.rglob("*.py") if listing.search(p.read_text())}
    assert names == {"core/wires.py"}
