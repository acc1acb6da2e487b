"""The half-moons network in every dialect: the checked-in files, read back by several readers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import klayout.db as kdb
import numpy as np
import pytest
import torch
from spicelib import SpiceEditor

import xbarspice as xb
from tests.helpers import asymmetric_crossbar
from xbarspice.core.errors import NetlistError
from xbarspice.importers import load_model
from xbarspice.netlist import dialects
from xbarspice.netlist.design import design
from xbarspice.netlist.design_reader import prove
from xbarspice.netlist.numbers import conductance
from xbarspice.netlist.records import g_hash
from xbarspice.nn.drives import even_drives
from xbarspice.tapeout.manifest import check_files
from xbarspice.tapeout.netlists import netlists, reads_of, write_netlists
from xbarspice.testing import check_dialect

GOLDEN = Path(__file__).parents[2] / "netlists" / "golden" / "half_moons"
SPICE = [name for name in dialects.names() if name not in ("spectre", "vacask")]


def half_moons():
    """The array with the wires of the demo technology, and how its two passes drive it."""
    model = load_model(GOLDEN / "network.npz").module
    config = xb.ArrayConfig(
        layout="folded",
        tile_rows=8,
        tile_cols=8,
        device="sinh_tio2",
        R_wl=1.0,
        R_bl=1.0,
        R_driver=3.25,
        R_sense=3.25,
    )
    x = torch.tensor([[0.25, 0.5], [0.75, 0.125]], dtype=torch.float64)
    circuit = xb.nn.convert(model.double(), config).eval()
    (array,) = xb.nn.arrays(circuit)
    return array.crossbar, reads_of(array, even_drives(circuit, (x,), 2)[0].volts())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("netlists")
    return folder, write_netlists(netlists(*half_moons(), name="half_moons"), folder)


def test_the_golden_files_are_up_to_date(written):
    folder, records = written
    if os.environ.get("XBARSPICE_REGENERATE"):
        for path in folder.rglob("*.*"):
            (GOLDEN / path.parent.name).mkdir(exist_ok=True)
            (GOLDEN / path.parent.name / path.name).write_bytes(path.read_bytes())
        (GOLDEN / "manifest.json").write_text(json.dumps(records, indent=1) + "\n")
    fresh = {p.relative_to(folder): p for p in folder.rglob("*.*") if p.is_file()}
    stored = {p.relative_to(GOLDEN) for p in GOLDEN.rglob("*.*") if p.is_file()}
    assert stored - {Path("network.npz"), Path("manifest.json")} == set(fresh)
    for name, path in fresh.items():
        assert _text(path) == _text(GOLDEN / name), f"{name} changed: run `make golden`"


def test_the_golden_manifest_is_the_one_that_is_written(written):
    """All of it: the hashes of benches, whose last digits depend on exp(), by the files here."""
    folder, records = written
    stored = json.loads((GOLDEN / "manifest.json").read_text())
    assert [_steady(r) for r in stored] == [_steady(r) for r in records]
    assert list(check_files(GOLDEN, stored)) == []
    assert list(check_files(folder, records)) == []
    array, _ = half_moons()
    assert {tuple(r["G_sha256"]) for r in stored if r["kind"] == "design"} == {(g_hash(array),)}


def _steady(record):
    return {k: v for k, v in record.items() if (record["kind"], k) != ("test bench", "sha256")}


def _text(path):
    """Without the activation voltages' last digits, which depend on the machine's exp()."""
    text = path.read_text()
    if path.name.startswith("bench"):
        text = re.sub(r"\d\.\d{6,}(e-\d+)?", lambda m: f"{float(m[0]):.9g}", text)
    return text


def test_the_manifest_names_ports_and_hashes(written):
    _, records = written
    designs = [r for r in records if r["kind"] == "design"]
    assert {r["dialect"] for r in designs} == set(dialects.names())
    for record in designs:
        assert len(record["ports"]) == 16  # 8 word lines, 8 bit lines
        assert len(record["sha256"]) == len(record["config"]) == 64
    assert next(r for r in designs if r["dialect"] == "spectre")["ports"][0] == r"WL\<0\>"


@pytest.mark.parametrize("dialect", dialects.names())
@pytest.mark.parametrize("stem", ["array", "array_flat"])
def test_the_golden_files_hold_exactly_G(dialect, stem):
    text = (GOLDEN / dialect / f"{stem}{dialects.get(dialect).suffix}").read_text()
    array, _ = half_moons()
    form = {"cdl": "resistor", "vacask": "verilog_a"}.get(dialect, "subcircuit")
    wires = design([array], hierarchical=stem == "array", form=form, name="half_moons")
    read = prove(text, dialect, wires)
    values = [(e.name, dict(e.params).get("xb_g"), e.value) for _, e in read.elements]
    G = np.zeros((8, 8))
    for name, g, R in values:
        if at := re.fullmatch(r"[RX]d_(\d)_(\d)", name):
            G[int(at[1]), int(at[2])] = float(g) if g else conductance(R)
    np.testing.assert_array_equal(G, array.G)


@pytest.mark.parametrize("dialect", dialects.names())
def test_dialect_holds_every_rule_of_the_kit(dialect):
    """Decks, designs and test benches of three devices, every form, read back bit by bit."""
    check_dialect(dialect)


@pytest.mark.parametrize("dialect", dialects.names())
@pytest.mark.parametrize("hierarchical", [True, False])
def test_each_fault_is_found_and_named(dialect, hierarchical):
    array = asymmetric_crossbar(device="ohmic")[0]
    it = design([array], hierarchical=hierarchical)
    text = dialects.get(dialect).design(it)
    lines = text.splitlines(keepends=True)
    at = {n: k for k, line in enumerate(lines) for n in [line.split(" ")[0]] if n[:1] in "RX"}

    def refuses(text_lines, words):
        with pytest.raises(NetlistError, match=words):
            prove("".join(text_lines), dialect, it)

    device = "device at row 0, column 1"
    changed = list(lines)
    changed[at["Rd_0_1"]] = lines[at["Rd_0_1"]].replace("5000.0", "5000.000000000001")
    refuses(changed, f"{device}: Rd_0_1 has the value 5000.000000000001 instead of 5000.0")
    refuses([x for k, x in enumerate(lines) if k != at["Rd_0_1"]], f"{device}: Rd_0_1 is missing")
    refuses(
        [x for k, x in enumerate(lines) if k != at["Rw_1_0"]],
        "word line 1, wire segment after column 0: Rw_1_0 is missing",
    )
    refuses(
        [
            *lines[: at["Rd_0_1"]],
            lines[at["Rd_0_1"]].replace("Rd_0_1", "Rextra_1"),
            *lines[at["Rd_0_1"] :],
        ],
        "Rextra_1 has no place",
    )
    swapped = list(lines)
    for a, b in (("Rd_0_0", "Rd_0_1"), ("Rd_0_1", "Rd_0_0")):
        swapped[at[a]] = lines[at[b]].replace(b, a)
    prove("".join(swapped), dialect, it)  # only the names of two instances: the same circuit
    values = [re.search(r"\d+\.\d+", lines[at[f"Rd_0_{c}"]])[0] for c in (0, 1)]
    for c in (0, 1):
        swapped[at[f"Rd_0_{c}"]] = lines[at[f"Rd_0_{c}"]].replace(values[c], values[1 - c])
    refuses(swapped, "device at row 0, column 0: Rd_0_0 has the value")
    refuses(lines[: len(lines) - 4], "is cut off|the top cell is")


def test_swapped_columns_of_an_instance_are_found():
    it = design([asymmetric_crossbar(device="ohmic")[0]])
    text = dialects.get("hspice").design(it)
    row = next(line for line in text.splitlines() if line.startswith("Xrow_0"))
    words = row.split()
    words[2], words[3] = words[3], words[2]
    with pytest.raises(NetlistError, match="device at row 0, column 0"):
        prove(text.replace(row, " ".join(words)), "hspice", it)


def _conductances(circuit, shape):
    G = np.zeros(shape)
    for device in circuit.each_device():
        match = re.fullmatch(r"d_(\d+)_(\d+)", device.expanded_name().rpartition(".")[2].lower())
        if match:
            G[int(match[1]), int(match[2])] = 1 / device.parameter("R")
    return G


@pytest.mark.parametrize("dialect", SPICE)
@pytest.mark.parametrize("hierarchical", [True, False])
def test_klayouts_reader_finds_the_same_devices_wires_and_ports(dialect, hierarchical, tmp_path):
    array, _ = half_moons()
    path = tmp_path / "network.cir"
    it = design([array], hierarchical=hierarchical, form="resistor", name="net")
    path.write_text(dialects.get(dialect).design(it))
    netlist = kdb.Netlist()
    netlist.read(str(path), kdb.NetlistSpiceReader())
    netlist.flatten()
    circuit = netlist.circuit_by_name("NET")
    np.testing.assert_allclose(_conductances(circuit, array.G.shape), array.G, rtol=1e-12)
    pins = [dialects.get(dialect).node(p).upper() for p in it.top.pins]
    assert [p.name().upper() for p in circuit.each_pin()] == pins
    wires = [
        d.parameter("R")
        for d in circuit.each_device()
        if not d.expanded_name().rpartition(".")[2].lower().startswith("d_")
    ]
    assert sorted(wires) == [1.0] * 112 + [3.25] * 16
    nets = {  # every bit line is one chain: a device touches its own row's and column's node
        d.expanded_name().rpartition(".")[2].lower(): [
            d.net_for_terminal(k).expanded_name().rpartition(".")[2].lower() for k in (0, 1)
        ]
        for d in circuit.each_device()
    }
    assert nets["w_2_3"] == ["w_2_3", "w_2_4"]
    assert len({n for pair in nets.values() for n in pair}) == 2 * 64 + 16


def test_spicelib_finds_the_same_resistors_in_ltspice_text(tmp_path):
    array, _ = half_moons()
    text = dialects.get("ltspice").design(
        design([array], hierarchical=False, form="resistor", name="net")
    )
    path = tmp_path / "network.cir"
    path.write_text(text + ".end\n")
    inside = SpiceEditor(path).get_subcircuit_named("net")
    G = np.array(
        [[1 / float(inside.get_component_value(f"Rd_{r}_{c}")) for c in range(8)] for r in range(8)]
    )
    np.testing.assert_allclose(G, array.G, rtol=1e-12)
