"""The command `netlist`: what is needed lies in the folder, under the dialect's own endings."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from tests.helpers import small_network
from xbarspice import network
from xbarspice.array import READ
from xbarspice.cli.app import app
from xbarspice.errors import InputError
from xbarspice.mapping import map_network
from xbarspice.netlist.design_reader import prove
from xbarspice.netlist.hierarchy import design
from xbarspice.netlist.writers import design_dialect, dialects


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("command")
    network.save(path / "net.npz", small_network())
    return path


def files(folder, dialect, *words):
    out = folder / f"{dialect}{'_'.join(words)}"
    args = ["netlist", str(folder / "net.npz"), "--out", str(out), "--dialect", dialect, "--json"]
    result = CliRunner().invoke(app, [*args, "--random", "3", *words])
    if result.exit_code:
        raise result.exception
    names = json.loads(result.output)["netlists"]
    assert {*names, "run.toml"} == {p.name for p in out.iterdir()}
    return {name: (out / name).read_text() for name in names}


DEVICE = ("--set", "array.device=sinh_tio2")
TILED = ("--set", "mapping.layout=tiled")


@pytest.mark.parametrize("dialect", dialects())
def test_every_file_ends_as_its_dialect_wants(folder, dialect):
    texts = files(folder, dialect, *DEVICE, *TILED)
    suffix = design_dialect(dialect).suffix
    decks = [name for name in texts if not name.endswith(".va")]
    assert all(name.endswith(suffix) for name in decks)
    if dialect != "cdl":
        assert len(decks) == 2  # two layers of one tile each


def test_what_vacask_loads_lies_beside_it(folder):
    texts = files(folder, "vacask", *DEVICE, *TILED)
    loads = set(re.findall(r'load "(\w+)\.osdi"', "".join(texts.values())))
    modules = {name.removesuffix(".va") for name in texts if name.endswith(".va")}
    assert loads - {"resistor", "capacitor"} == modules == {"xb_sinh_tio2"}
    assert "module xb_sinh_tio2(" in texts["xb_sinh_tio2.va"]
    linear = files(folder, "vacask", *TILED, "--set", "array.device=ohmic")
    assert not [name for name in linear if name.endswith(".va")]


@pytest.mark.parametrize("layout", ["folded", "tiled"])
def test_cdl_is_one_design_of_all_arrays(folder, layout):
    """Two passes read one folded array: it is described once, not once a pass."""
    where = ("--set", f"mapping.layout={layout}")
    mapped = map_network(small_network(), layout=layout, tile_rows=8, tile_cols=8,
                         R_wl=1.0, R_bl=1.0, device="sinh_tio2")  # fmt: skip
    ((name, text),) = files(folder, "cdl", *where, "--name", "moons").items()
    assert name == "network.cdl"
    arrays = [array.replace(ends=READ) for array in mapped.arrays]
    prove(text, "cdl", design(arrays, form="resistor", name="moons"))


def test_a_name_without_use_or_against_the_rule_is_refused(folder):
    with pytest.raises(InputError, match="decks of ngspice have none"):
        files(folder, "ngspice", "--name", "moons")
    with pytest.raises(InputError, match="name of a design"):
        files(folder, "cdl", "--name", "a b")
    assert not (folder / "cdl--name_a b").exists()


def test_a_deck_prints_its_sources_and_not_every_node(folder):
    for text in files(folder, "ngspice", *DEVICE).values():
        saved = re.findall(r"[iv]\(\w+\)", "".join(re.findall(r"(?m)^\.save .*$", text)))
        assert len(saved) == len(set(saved))
        assert not [name for name in saved if re.match(r"v\([wb]_", name)]
        sources = re.findall(r"(?m)^([VB]\w+_\d+) ", text)
        assert {f"i({name})" for name in sources} <= set(saved)
