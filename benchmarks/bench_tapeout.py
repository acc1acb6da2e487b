"""Time of tapeout: 64x64 drawn, extracted and compared; 128x128 written in every dialect.

    python -m benchmarks.bench_tapeout [--quick]

Ends with the targets: less than 60 s for the layout, less than 5 s for each dialect, less than
120 s for the whole folder of ten tiles of 32x32 (drawn, checked, compared, netlists of every
dialect proven, signed off). The short run measures the full sizes, too, but reads nothing back and
skips the plan and the ten tiles.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import xbarspice as xb
from xbarspice.netlist import dialects
from xbarspice.netlist.design import design
from xbarspice.netlist.design_reader import prove
from xbarspice.nn import ArrayConfig
from xbarspice.programming import plan, unwritten
from xbarspice.tapeout import compare_layout, draw, load_technology, tapeout

LAYOUT, NETLIST, FOLDER = 60.0, 5.0, 120.0
"""Targets, s."""


def array(side: int, device: str = "sinh_tio2") -> xb.Crossbar:
    G = np.random.default_rng(0).uniform(100e-6, 500e-6, (side, side))
    leads = {"R_driver": 10.0, "R_sense": 10.0}
    return xb.Crossbar(G, **load_technology().segments(), **leads, device=device)


def result_and_seconds(function):
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def layouts() -> float:
    """Seconds for the largest layout."""
    technology = load_technology()
    print("| layout | draw, s | extract and compare, s | clean |")
    print("|---|---|---|---|")
    total = 0.0
    for side in (8, 64):
        crossbar = array(side)
        layout, drawing = result_and_seconds(lambda x=crossbar: draw(x, technology))
        report, comparing = result_and_seconds(
            lambda x=crossbar, y=layout: compare_layout(y, x, technology)
        )
        assert report.clean
        total = drawing + comparing
        print(f"| {side}x{side} | {drawing:.2f} | {comparing:.2f} | {report.clean} |")
    return total


def netlists(quick: bool) -> dict[str, float]:
    """Seconds for the slower of hierarchical and flat text, by dialect."""
    print("| dialect, 128x128 | form | hierarchical, s | flat, s | read back and prove, s | MB |")
    print("|---|---|---|---|---|---|")
    crossbar, slowest = array(128), {}
    for name in dialects.names():
        dialect = dialects.get(name)
        form = "resistor" if name == "cdl" else dialect.forms[0]
        seconds, text, it = [], "", None
        for hierarchical in (True, False):
            start = time.perf_counter()
            it = design([crossbar], hierarchical=hierarchical, form=form)
            text = dialect.design(it)
            seconds.append(time.perf_counter() - start)
        slowest[name] = max(seconds)
        proof = (
            ""
            if quick
            else f"{result_and_seconds(lambda t=text, n=name, d=it: prove(t, n, d))[1]:.2f}"
        )
        print(
            f"| {name} | {form} | {seconds[0]:.2f} | {seconds[1]:.2f} | {proof} "
            f"| {len(text) / 1e6:.1f} |"
        )
    return slowest


def folder() -> float:
    """Seconds for the whole tapeout of ten tiles of 32x32 on sky130b."""
    torch.manual_seed(0)
    x = torch.rand(16, 155)
    config = ArrayConfig(tile_rows=32, tile_cols=32)
    circuit = xb.nn.convert(torch.nn.Sequential(torch.nn.Linear(155, 32)), config, calibrate=x)
    with tempfile.TemporaryDirectory() as path:
        processor = time.process_time()
        record, seconds = result_and_seconds(
            lambda: tapeout(circuit, x, Path(path), load_technology("sky130b"))
        )
        processor = time.process_time() - processor
    assert len(record["arrays"]) == 10
    assert all(array["lvs"]["clean"] for array in record["arrays"])
    print(f"Ten tiles of 32x32 on sky130b: {seconds:.1f} s ({processor:.1f} s of one processor)")
    print()
    return seconds


def main() -> None:
    quick = "--quick" in sys.argv
    layout = layouts()
    print()
    slowest = netlists(quick)
    print()
    tiles: list[tuple[str, float, float]] = []
    if not quick:
        whole = array(64, "sinh_tio2")
        _, seconds = result_and_seconds(lambda: plan(unwritten(whole), whole.G))
        print(f"Programming plan of 64x64 (4096 steps, sinh_tio2): {seconds:.2f} s")
        print()
        tiles = [("ten tiles of 32x32, whole folder", FOLDER, folder())]
    worst = max(slowest, key=lambda name: slowest[name])
    print("| target | limit, s | measured, s | met |")
    print("|---|---|---|---|")
    for what, limit, measured in (
        ("64x64 drawn, extracted, compared", LAYOUT, layout),
        (f"128x128 netlisted, slowest dialect ({worst})", NETLIST, slowest[worst]),
        *tiles,
    ):
        print(f"| {what} | {limit:g} | {measured:.2f} | {'yes' if measured < limit else 'NO'} |")


if __name__ == "__main__":
    main()
