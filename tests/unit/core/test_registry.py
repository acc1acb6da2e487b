"""One registry: names that are new, entries that load when they are used, clear refusals."""

from __future__ import annotations

import pytest

import xbarspice as xb
from xbarspice.core.registry import Registry


def test_entries_come_back_and_text_is_loaded_on_first_use():
    shapes: Registry[object] = Registry("shape")
    shapes.add("here", 3)
    shapes.add("later", "xbarspice.core.array:Crossbar")
    assert shapes.names() == ["here", "later"] == list(shapes)
    assert "here" in shapes
    assert "there" not in shapes
    assert shapes.get("here") == 3
    assert shapes.get("later") is xb.Crossbar


def test_a_class_is_registered_with_its_name():
    shapes: Registry[type] = Registry("shape")

    @shapes.register("round")
    class Round:
        name: str

    assert shapes.get("round") is Round
    assert Round.name == "round"


@pytest.mark.parametrize("name", ["there", 3, None, ["here"]])
def test_what_is_unknown_is_refused_with_all_names(name):
    shapes: Registry[object] = Registry("shape", "Draw one.")
    shapes.add("here", 3)
    with pytest.raises(xb.errors.InputError, match=r"`shape` must be one of \['here'\].*Draw one"):
        shapes.get(name)


def test_a_name_is_taken_once():
    shapes: Registry[object] = Registry("shape")
    shapes.add("here", 3)
    with pytest.raises(xb.errors.InputError, match="must be new"):
        shapes.add("here", 4)
    assert shapes.get("here") == 3


@pytest.mark.parametrize("entry", ["nowhere", ":x", "module:"])
def test_text_must_say_module_and_attribute(entry):
    with pytest.raises(xb.errors.InputError, match="module:attribute"):
        Registry("shape").add("here", entry)


def test_a_package_that_is_missing_is_said():
    shapes: Registry[object] = Registry("shape")
    shapes.add("far", "no_such_package_at_all:x")
    with pytest.raises(xb.errors.PackageMissingError, match="no_such_package_at_all"):
        shapes.get("far")


def test_an_engine_of_ones_own_is_used_by_name(monkeypatch):
    monkeypatch.setattr(xb.engines.registry, "_entries", dict(xb.engines.registry._entries))
    xb.engines.registry.add("twin", "xbarspice.engines.nodal.engine:NodalEngine")
    array = xb.Crossbar([[1e-4, 2e-4], [3e-4, 4e-4]], R_wl=1.0, R_bl=1.0)
    ours = xb.solve(array, [0.1, 0.2], engine="twin").I_out
    assert (ours == xb.solve(array, [0.1, 0.2], engine="nodal").I_out).all()
    assert "twin" in xb.engines.names()
