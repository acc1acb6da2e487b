"""The command `netlist`: a folder an array, decks or designs, under the dialect's own endings."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import ASYMMETRIC_G, UNEVEN, small_network
from xbarspice.cli.app import app
from xbarspice.core.errors import InputError
from xbarspice.core.line_ends import READ
from xbarspice.importers import load_model, perceptron
from xbarspice.netlist import dialects
from xbarspice.netlist.deck_reader import compare, read
from xbarspice.netlist.design import design
from xbarspice.netlist.design_reader import prove

NAMES = ("0[0,0,0]", "2[0,0,0]")
FOLDERS = ("0_0_0_0_0", "1_2_0_0_0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("command")
    perceptron.save(path / "net.npz", small_network())
    np.savez(path / "x.npz", x=np.random.default_rng(0).random((3, 2)))
    rng = np.random.default_rng(1)
    np.savez(path / "array.npz", G=ASYMMETRIC_G, R_wl=3.0, V_in=rng.uniform(-0.2, 0.2, (2, 2)))
    return path


def run(folder, subject, *words, inputs=True):
    """The record, and all texts by their names in the folder."""
    out = folder / re.sub(r"\W+", "_", "_".join((subject, *words)))
    args = ["netlist", str(folder / subject), "--out", str(out), "--json"]
    args += ["--inputs", str(folder / "x.npz")] if inputs else []
    result = CliRunner().invoke(app, [*args, *words])
    if result.exit_code:
        raise result.exception
    record = json.loads(result.output)
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {*record["netlists"], "run.toml"} == names
    return record, {name: (out / name).read_text() for name in record["netlists"]}


DEVICE = ("--set", "array.device=sinh_tio2")


def circuit(folder, **config):
    model = load_model(folder / "net.npz")
    x = model.tensors(np.load(folder / "x.npz")["x"], None)
    return xb.nn.convert(model.module, xb.ArrayConfig(**config), calibrate=x)


@pytest.mark.parametrize("dialect", [d for d in dialects.names() if d != "cdl"])
def test_every_read_has_a_deck_that_ends_as_its_dialect_wants(folder, dialect):
    record, texts = run(folder, "net.npz", "--dialect", dialect, *DEVICE)
    suffix = dialects.get(dialect).suffix
    decks = [name for name in texts if not name.endswith(".va")]
    assert decks == [f"{place}/{dialect}/deck_0{suffix}" for place in FOLDERS]
    assert [a["array"] for a in record["arrays"]] == list(NAMES)
    assert [a["folder"] for a in record["arrays"]] == list(FOLDERS)


def test_a_deck_is_the_array_and_the_drive_of_the_inputs(folder):
    """Read back: G, wires and the voltages that the model gives its lines."""
    _, texts = run(folder, "net.npz", "--set", "array.R_wl=7")
    mapped = circuit(folder, R_wl=7.0)
    for array, place in zip(xb.nn.arrays(mapped), FOLDERS, strict=True):
        (tile,) = array.tiles
        with xb.nn.through("surrogate", keep=True) as solved:
            mapped(load_model(folder / "net.npz").tensors(np.load(folder / "x.npz")["x"], None)[0])
        (answer,) = [a for a in solved.answers if a.matrix == tile.matrix]
        V_in, V_out = tile.drive(answer.V_in[:, 0].numpy())
        text = texts[f"{place}/ngspice/deck_0.cir"]
        compare(tile.crossbar, text)
        np.testing.assert_allclose(read(text).V_in, V_in, rtol=1e-12)
        assert not V_out.any()


def test_what_vacask_loads_lies_beside_it(folder):
    _, texts = run(folder, "net.npz", "--dialect", "vacask", *DEVICE)
    for place in FOLDERS:
        deck = texts[f"{place}/vacask/deck_0.sim"]
        loads = set(re.findall(r'load "(\w+)\.osdi"', deck))
        assert loads - {"resistor", "capacitor"} == {"xb_sinh_tio2"}
        assert "module xb_sinh_tio2(" in texts[f"{place}/vacask/xb_sinh_tio2.va"]
    _, linear = run(folder, "net.npz", "--dialect", "vacask", "--set", "array.device=ohmic")
    assert not [name for name in linear if name.endswith(".va")]


@pytest.mark.parametrize("dialect", dialects.names())
@pytest.mark.parametrize("form", ["subcircuit", "resistor"])
def test_designs_of_one_array_are_proven_and_have_benches(folder, dialect, form):
    if form == "subcircuit" and dialect == "cdl":
        pytest.skip("CDL writes resistors in every form; the other case covers it")
    words = ("--dialect", dialect, "--array", NAMES[1], "--form", form, "--name", "moons")
    record, texts = run(folder, "net.npz", *words, *DEVICE)
    assert [a["array"] for a in record["arrays"]] == [NAMES[1]]
    suffix, place = dialects.get(dialect).suffix, f"{FOLDERS[1]}/{dialect}"
    array = xb.nn.arrays(circuit(folder, device="sinh_tio2"))[1]
    written = "verilog_a" if (dialect, form) == ("vacask", "subcircuit") else form
    crossbar = array.crossbar.replace(ends=READ)
    for file, hierarchical in (("array", True), ("array_flat", False)):
        it = design([crossbar], hierarchical=hierarchical, form=written, name="moons_a1")
        prove(texts[f"{place}/{file}{suffix}"], dialect, it)
    assert (f"{place}/bench_0{suffix}" in texts) == (dialect != "cdl")


def test_cdl_has_no_decks_and_is_always_a_design(folder):
    _, texts = run(folder, "net.npz", "--dialect", "cdl", "--name", "moons")
    assert sorted(texts) == sorted(
        f"{place}/cdl/{file}.cdl" for place in FOLDERS for file in ("array", "array_flat")
    )


def test_options_without_use_or_against_the_rule_are_refused(folder, tmp_path):
    for words, message in (
        (("--name", "moons"), "decks of ngspice have none"),
        (("--dialect", "cdl", "--name", "a b"), "name of a design"),
        (("--array", "9[0,0,0]"), "chosen by its name in the model"),
        (("--form", "spline"), "`form` must be one of"),
        (("--dialect", "xyce", "--form", "verilog_a", *DEVICE), "xyce, which do not"),
        (("--whole", "--form", "resistor"), "one deck of the whole model"),
        (("--dialect", "eldo"), "`dialect` must be one of"),
    ):
        out = tmp_path / "out"
        with pytest.raises(InputError, match=re.escape(message)):
            run(folder, "net.npz", *words, "--out", str(out))
        assert not out.exists()


def test_a_deck_prints_its_sources_and_not_every_node(folder):
    for text in run(folder, "net.npz", *DEVICE)[1].values():
        saved = re.findall(r"[iv]\(\w+\)", "".join(re.findall(r"(?m)^\.save .*$", text)))
        assert len(saved) == len(set(saved))
        assert not [name for name in saved if re.match(r"v\([wb]_", name)]
        sources = re.findall(r"(?m)^([VB]\w+_\d+) ", text)
        assert {f"i({name})" for name in sources} <= set(saved)


def test_a_single_array_is_written_with_the_voltages_of_its_file(folder):
    _, texts = run(folder, "array.npz", "--set", "array.R_bl=5", inputs=False)
    assert list(texts) == ["ngspice/deck_0.cir"]
    crossbar = xb.Crossbar(ASYMMETRIC_G, R_wl=3.0, R_bl=5.0)
    V_in = np.load(folder / "array.npz")["V_in"]
    compare(crossbar, texts["ngspice/deck_0.cir"], V_in)
    _, designs = run(folder, "array.npz", "--form", "resistor", "--dialect", "spectre")
    assert "spectre/bench_0.scs" in designs
    np.savez(folder / "bare.npz", G=ASYMMETRIC_G)
    with pytest.raises(InputError, match="needs the voltages of its lines"):
        run(folder, "bare.npz", inputs=False)


def test_an_array_file_with_a_value_for_each_segment_becomes_that_deck(folder):
    np.savez(folder / "uneven.npz", G=ASYMMETRIC_G, V_in=[[0.2, -0.1]], **UNEVEN)
    record, texts = run(folder, "uneven.npz", inputs=False)
    (text,) = (texts[name] for name in record["netlists"])
    back = read(text)
    assert back.untouched
    for name, values in UNEVEN.items():
        assert np.array_equal(back.crossbar.wires[name], values)
    record, texts = run(folder, "uneven.npz", "--set", "array.R_wl=2", inputs=False)
    assert read(next(iter(texts.values()))).crossbar.R_wl == 2.0
