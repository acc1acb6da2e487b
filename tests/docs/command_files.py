"""Small files for every command: what the command lines of the pages name."""

from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn

import xbarspice as xb
from tests.docs.pages import ROOT
from tests.helpers import asymmetric_crossbar, small_network
from tests.unit.tapeout.hand_drawn import hand_drawn
from tests.unit.tapeout.rules.drawn import FAULTS, layout_of
from xbarspice.config.card import CalibrationCard, CardValue
from xbarspice.importers import perceptron

__all__ = ["write_all"]


def pulse_train() -> list[list[float]]:
    """Rows (device, V, width in s, G in S) of one device that is raised and lowered."""
    device, G = xb.devices.get("o921c_4k"), 150e-6
    rows = [[0.0, 0.0, 2e-7, G]]
    for sign in (1.0, -1.0):
        for size in np.linspace(0.8, 1.2, 6):
            G = float(device.write(G, sign * size, 2e-7))
            rows.append([0.0, sign * size, 2e-7, G])
    return rows


def sweep(rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Voltages and currents of one device with 1 % noise, V and A."""
    V = np.linspace(0.05, 0.6, 12)
    device = xb.Crossbar([[2e-4]], R_driver=50.0, device="sinh_tio2")
    current = xb.solve(device, V[:, None]).I_out[:, 0]
    return V.tolist(), (current * (1 + 0.01 * rng.standard_normal(12))).tolist()


def staircase() -> list[list[float]]:
    """Rows (device, V, width in s, G in S): equal pulses up and down, twice."""
    rows, x = [[0.0, 0.0, 0.0, 1e-4]], np.linspace(0.1, 1, 10)
    noise = np.random.default_rng(0)
    for k in range(4):
        up = k % 2 == 0
        for shape in np.expm1(-2 * x) / np.expm1(-2):
            G = (1e-4 + 1e-4 * (shape if up else 1 - shape)) * (1 + 0.01 * noise.standard_normal())
            rows.append([0.0, 1.0 if up else -1.0, 1e-6, G])
    return rows


def write_tables(folder: Path) -> None:
    """Measured data for every kind of calibration, noise-free but for a fixed draw."""
    rng = np.random.default_rng(0)
    crossbar, _ = asymmetric_crossbar(device="sinh_tio2")
    V = rng.uniform(0, 0.8, (12, crossbar.rows))
    I_out = xb.solve(crossbar, V).I_out * (1 + 0.01 * rng.standard_normal((12, crossbar.cols)))
    head = [f"V_in{k}" for k in range(crossbar.rows)] + [f"I_out{k}" for k in range(crossbar.cols)]
    tables = {
        "reads": (head, np.hstack([V, I_out])),
        "iv": (["device", "V", "I"], [[0, v, i] for v, i in zip(*sweep(rng), strict=True)]),
        "analyser": (["Smu1.V[1][1]", "Smu1.I[1][1]"], [[0.1, 1.0], [0.2, 2.1]]),
        "pulses": (["device", "V", "width", "G"], pulse_train()),
        "curves": (["device", "V", "width", "G"], staircase()),
        "writes": (
            ["device", "target", "G"],
            [[k, 1e-4, g] for k, g in enumerate(np.linspace(0.98e-4, 1.02e-4, 9))],
        ),
        "tuning": (
            ["target", "G", "pulses"],
            [[1e-4, g, 5] for g in 1e-4 * (1 + 0.01 * rng.standard_normal(40))],
        ),
        "bake": (
            ["device", "t", "G"],
            [
                [d, t, 1e-4 * t ** -(0.01 + 0.002 * d) * (1 + 0.002 * rng.standard_normal())]
                for d in range(4)
                for t in (1.0, 10.0, 1e2, 1e3)
            ],
        ),
        "cycles": (
            ["device", "cycle", "G_HRS", "G_LRS"],
            [
                [d, n, *np.array([1e-5, 1e-4]) * np.exp(0.02 * rng.standard_normal(2))]
                for d in range(2)
                for n in (1, 10, 100, 1000, 10000, 100000)
            ],
        ),
        "repeats": (["device", "G"], [[k % 2, g] for k, g in enumerate(1e-4 + 1e-6 * V[:, 0])]),
    }
    for name, (columns, rows) in tables.items():
        text = {"delimiter": ",", "comments": "", "header": ",".join(columns)}
        np.savetxt(folder / f"{name}.csv", np.asarray(rows), **text)
    G = "\n".join(",".join(str(g * 1e6) for g in row) for row in crossbar.G)
    (folder / "G.csv").write_text(f"conductance in uS\n{G}\n", "utf-8")
    write_dies(folder, rng)


def write_dies(folder: Path, rng: np.random.Generator) -> None:
    """Two dies of different sizes and monitors of their lines."""
    for name, shape in (("1", (6, 8)), ("2", (12, 5))):
        G = rng.uniform(1e-4, 4e-4, shape)
        die = xb.Crossbar(G, R_wl=2.0, R_bl=3.0, R_driver=20.0, device="sinh_tio2")
        V = rng.uniform(0.05, 0.3, (16, shape[0]))
        I_out = xb.solve(die, V).I_out
        I_out *= 1 + 0.002 * rng.standard_normal(I_out.shape)
        head = [f"V_in{k}" for k in range(shape[0])] + [f"I_out{k}" for k in range(shape[1])]
        text = {"delimiter": ",", "comments": "", "header": ",".join(head)}
        np.savetxt(folder / f"die{name}.csv", np.hstack([V, I_out]), **text)
        np.savetxt(folder / f"G{name}.csv", 1e6 * G, delimiter=",", header="conductance in uS")
    rows = [f"{line},100,{R}" for line, R in (("wl", 200.3), ("bl", 299.1), ("wl", 199.2))]
    (folder / "monitors.csv").write_text("\n".join(["line,segments,R [ohm]", *rows]), "utf-8")


def write_maps(folder: Path) -> None:
    """Maps of a die before and after later writes, and which devices these wrote."""
    rng = np.random.default_rng(1)
    G = rng.uniform(100, 500, (6, 6))
    maps = {"before": G, "after8": G + rng.normal(0, 1, G.shape)}
    maps["after16"] = maps["after"] = G + rng.normal(0, 2, G.shape)
    for name, values in maps.items():
        rows = "\n".join(",".join(f"{g:.6f}" for g in row) for row in values)
        (folder / f"{name}.csv").write_text(f"conductance in uS\n{rows}\n", "utf-8")
    order = np.zeros((6, 6), int)
    order[0] = range(1, 7)
    np.savetxt(folder / "order.csv", order, fmt="%d", delimiter=",")


def write_plan(crossbar: xb.Crossbar, folder: Path) -> None:
    """A programming plan, and the log of a tester that read what it expects."""
    planned = xb.programming.plan(xb.programming.unwritten(crossbar), crossbar.G)
    (folder / "plan.json").write_text(json.dumps(planned.record()), "utf-8")
    rows = [f"{k},{current!r}" for k, current in enumerate(planned.I_step.tolist())]
    (folder / "log.csv").write_text("\n".join(["step,measured_A", *rows]), "utf-8")


def write_layouts(folder: Path) -> None:
    """An array as it is drawn by us, one drawn by hand with a short, and one with a necked line."""
    G = np.random.default_rng(3).uniform(10e-6, 50e-6, (3, 4))
    np.savez(folder / "G.npz", G=G)
    drawn = xb.tapeout.draw(xb.Crossbar(G), xb.tapeout.load_technology("demo"))
    drawn.write(str(folder / "array.gds"))
    by_hand = hand_drawn("sky130b", G)
    x = by_hand.technology.array.pitch[0] / 2
    by_hand.box("met1", x, by_hand.y(1), x + 0.14, by_hand.y(0))
    by_hand.layout.write(str(folder / "short.gds"))
    layout_of(FAULTS[0].parts).write(str(folder / "neck.gds"))


def write_all(folder: Path) -> None:
    """A model, its deployment, inputs, an array, a plan with its log, measured data."""
    torch.manual_seed(0)
    parts = OrderedDict(fc1=nn.Linear(2, 8), act=nn.Sigmoid(), fc2=nn.Linear(8, 1))
    model = nn.Sequential(parts).double()
    x = torch.rand(8, 2, dtype=torch.float64)
    np.savez(folder / "x.npz", x=x.numpy(), y=np.array([0, 1] * 4))
    points = torch.export.Dim("points")
    torch.export.save(
        torch.export.export(model, (x,), dynamic_shapes=({0: points},)), folder / "model.pt2"
    )
    circuit = xb.nn.convert(model, xb.ArrayConfig(), calibrate=x)
    xb.save(folder / "net.h5", circuit)
    perceptron.save(folder / "network.npz", small_network())
    crossbar, V_in = asymmetric_crossbar(device="sinh_tio2")
    np.savez(folder / "array.npz", G=crossbar.G, V_in=[V_in], R_wl=5.0, device="sinh_tio2")
    for name in ("measured", "a"):
        G = 1e6 * np.asarray(xb.nn.arrays(circuit)[0].crossbar.G)
        rows = "\n".join(",".join(map(str, row)) for row in G)
        (folder / f"{name}.csv").write_text(f"conductance in uS\n{rows}\n", "utf-8")
    value = CardValue(value=9.0, low=8.5, high=9.5, unit="ohm")
    card = CalibrationCard(
        title="die 7", data_sha256="ab" * 32, device="sinh_tio2", values={"R_wl": value}
    )
    (folder / "card.toml").write_text(card.to_toml(), "utf-8")
    ohmic = crossbar.replace(device="ohmic")
    xb.exchange.matlab.write(folder / "die.mat", ohmic)
    parameters = {"xbar": {"array": {"parasitics": {"enable": True, "Rp_row": 1.0, "Rp_col": 1.0}}}}
    (folder / "crosssim.json").write_text(json.dumps(parameters), "utf-8")
    shutil.copy(ROOT / "tests" / "data" / "peers" / "aihwkit_tiles.pt", folder / "analog.pt")
    (folder / "crossbar.cir").write_text(xb.netlist.write(ohmic, V_in), "utf-8")
    np.save(folder / "W.npy", np.random.default_rng(2).normal(size=(3, 4)))
    write_tables(folder)
    write_maps(folder)
    write_plan(crossbar, folder)
    write_layouts(folder)
