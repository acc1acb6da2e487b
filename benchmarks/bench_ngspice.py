"""What the golden engine costs: many vectors in one process, overhead, text, raw files, memory.

Run ``python -m benchmarks.bench_ngspice [--quick] [--ngspice39 PROGRAM]``; the path of ngspice 39
may also stand in the environment variable XBARSPICE_NGSPICE39. Times are medians of runs that take
turns. Prints Markdown; the campaign overhead is measured by `benchmarks.bench_campaign`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

import xbarspice as xb
from xbarspice import netlist
from xbarspice.config import DataConfig
from xbarspice.core.errors import EngineError
from xbarspice.engines.ngspice import NgspiceEngine, ngspice_info
from xbarspice.engines.ngspice import engine as engine_module
from xbarspice.engines.ngspice.rawfile import read_raw
from xbarspice.engines.ngspice.runner import control_section, run_deck
from xbarspice.importers.perceptron import Perceptron
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.training.data import half_moons
from xbarspice.transfer import transfer
from xbarspice.variability import drolet_2023


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(work: str, measured: str, target: str, met: bool | None) -> None:
    verdict = {True: "met", False: "MISSED", None: "-"}[met]
    print(f"| {work} | {measured} | {target} | {verdict} |", flush=True)


def array(size: int, device: str = "ohmic") -> xb.Crossbar:
    rng = np.random.default_rng(size)
    return xb.Crossbar(rng.uniform(6.7e-5, 2e-4, (size, size)), device=device)


def vectors_of(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(count).uniform(0, 0.2, (count, size))


def one_process_against_many(samples: int, repeats: int) -> None:
    """200 vectors on one 32x32 linear array, against as many processes on the same netlist."""
    count = 200
    crossbar, V = array(32), vectors_of(count, 32)
    engine = NgspiceEngine(workers=1)
    state = engine.prepare(crossbar)
    net = netlist.build(crossbar, V[0])
    lines = [
        *dialect.circuit(net),
        f".options {dialect.options(net)}{' klu' if state.klu else ''}",
        *dialect.saves(net),
        *control_section("op"),
    ]

    def swept() -> None:
        """The engine superposes unit vectors; here every vector is a point of the sweep."""
        run_deck(
            [state.path, "-n", "-b"],
            engine_module.deck(netlist.build(crossbar, V), klu=state.klu),
            points=count,
            klu=state.klu,
            timeout=60,
        )

    def separate() -> None:
        for _ in range(samples):
            run_deck([state.path, "-n", "-b"], lines, points=1, klu=state.klu, timeout=60)

    together, sweeps, each = [], [], []
    for _ in range(repeats):
        together.append(seconds_of(lambda: engine.solve(state, crossbar, V)))
        sweeps.append(seconds_of(swept))
        each.append(seconds_of(separate) * count / samples)
    for name, seconds, goal in (("superposed", together, 20), ("swept", sweeps, None)):
        ratio = median(s / t for s, t in zip(each, seconds, strict=True))
        row(
            f"200 vectors on a linear 32x32, {name}, against 200 processes",
            f"{median(seconds):.2f} s against {median(each):.1f} s ({samples} timed): {ratio:.0f}x",
            *(("reported", None) if goal is None else (f">= {goal}x", ratio >= goal)),
        )


def versions(old: str | None, vectors: int) -> None:
    """The same linear 64x64 in the installed ngspice and in ngspice 39."""
    crossbar, V = array(64), vectors_of(vectors, 64)
    work = f"linear 64x64, {vectors} vectors, installed ngspice against 39"
    if old is None:
        row(work, "skipped: no 39 program given (--ngspice39)", "reported", None)
        return
    new = NgspiceEngine(workers=1)
    earlier = NgspiceEngine(workers=1, executable=old)
    fast = median(
        seconds_of(lambda: new.solve(new.prepare(crossbar), crossbar, V)) for _ in range(3)
    )
    slow = seconds_of(lambda: earlier.solve(earlier.prepare(crossbar), crossbar, V))
    names = [f"{i.version}{' KLU' if i.klu else ''}" for i in (ngspice_info(), ngspice_info(old))]
    row(
        work,
        f"{names[0]} {fast:.2f} s, {names[1]} {slow:.1f} s: {slow / fast:.0f}x",
        "reported",
        None,
    )


def overhead(vectors: int, repeats: int) -> None:
    """Share of writing, starting and reading in a 64x64 solve, for both kinds of device."""
    inside: list[float] = []
    original = engine_module.run_deck

    def spy(*args, **kwargs):
        run = original(*args, **kwargs)
        inside.append(run.seconds)
        return run

    engine = NgspiceEngine(workers=1)
    for device, count in (("ohmic", vectors), ("sinh_tio2", max(vectors // 4, 2))):
        crossbar, V = array(64, device), vectors_of(count, 64)
        state = engine.prepare(crossbar)
        shares = []
        inside.clear()
        engine_module.run_deck = spy
        try:
            for _ in range(repeats):
                total = seconds_of(partial(engine.solve, state, crossbar, V, full=True))
                shares.append((total - inside[-1]) / inside[-1])
        finally:
            engine_module.run_deck = original
        share = median(shares)
        row(
            f"runner's own time, 64x64 {device}, {count} vectors, all nodes",
            f"{100 * share:.1f} % of ngspice's {median(inside):.2f} s",
            "<= 15 %",
            share <= 0.15,
        )


def transfers(count: int) -> None:
    """Transfers of a 2-8-1 half-moons network on nonlinear devices, all test points, all cores."""
    rng = np.random.default_rng(0)
    net = Perceptron(
        W=(rng.normal(size=(2, 8)), rng.normal(size=(8, 1))),
        b=(rng.normal(size=8), rng.normal(size=1)),
    )
    split = half_moons(DataConfig())
    config = xb.ArrayConfig(layout="folded", device="sinh_tio2", variation=drolet_2023())
    circuit = xb.nn.convert(perceptron_module(net), config)
    seconds = seconds_of(
        lambda: transfer(circuit, split.x_test, split.y_test, transfers=count, engine="ngspice")
    )
    scaled = seconds * 500 / count
    row(
        f"500 half-moons transfers, {len(split.x_test)} test points, {os.cpu_count()} cores",
        f"{scaled:.0f} s" + ("" if count == 500 else f", scaled from {count}"),
        "< 600 s",
        scaled < 600,
    )


def text(repeats: int) -> None:
    """Netlist text of a 256x256 nonlinear array."""
    crossbar, V = array(256, "sinh_tio2"), np.full(256, 0.1)
    seconds = median(seconds_of(lambda: netlist.write(crossbar, V)) for _ in range(repeats))
    row("netlist text of 256x256 sinh_tio2", f"{seconds:.2f} s", "<= 1 s", seconds <= 1)


def raw_file() -> None:
    """20 000 points x 65 vectors."""
    head = "Title: t\nPlotname: p\nFlags: real\nNo. Variables: 65\nNo. Points: 20000\nVariables:\n"
    names = "".join(f"\t{k}\ti(v{k})\tcurrent\n" for k in range(65))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.raw"
        path.write_bytes(f"{head}{names}Binary:\n".encode() + np.zeros((20000, 65)).tobytes())
        seconds = median(seconds_of(lambda: read_raw(path)) for _ in range(7))
    row("raw file of 20 000 x 65 read", f"{seconds:.3f} s", "<= 0.1 s", seconds <= 0.1)


MEMORY = [("ohmic", 64, 2000), ("sinh_tio2", 16, 4000)]
"""Device, size and vectors of the runs whose memory is measured, with all node voltages."""


def peak(device: str, size: int, count: int) -> None:
    """In a fresh process: growth of its peak memory, and the bytes of the solve's arrays."""
    crossbar, V = array(size, device), vectors_of(count, size)
    engine = NgspiceEngine()
    state = engine.prepare(crossbar)
    engine.solve(state, crossbar, V[:2], full=True)  # what is loaded on first use
    # getrusage would start from the peak of the parent; this starts from what is in use now
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    solution = engine.solve(state, crossbar, V, full=True)
    grown = _status("VmHWM") - before
    arrays = (
        solution.I_out,
        solution.I_in,
        solution.V_wl,
        solution.V_bl,
        solution.I_device,
        V,
        crossbar.G,
    )
    print(grown, sum(a.nbytes for a in arrays))


def _status(name: str) -> int:
    """A figure of this process's memory, bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(x.split()[1]) for x in lines if x.startswith(f"{name}:"))


def memory() -> None:
    for device, size, count in MEMORY:
        command = [sys.executable, "-m", "benchmarks.bench_ngspice", "--peak"]
        process = subprocess.run(
            [*command, device, str(size), str(count)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
        )
        grown, arrays = map(int, process.stdout.split())
        row(
            f"peak memory, {size}x{size} {device}, {count} vectors, all nodes",
            f"{grown / arrays:.2f} times its {arrays / 1e6:.0f} MB of arrays",
            "<= 3",
            grown <= 3 * arrays,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer vectors and transfers")
    parser.add_argument("--ngspice39", default=os.environ.get("XBARSPICE_NGSPICE39"))
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        device, size, count = options.peak
        peak(device, int(size), int(count))
        return
    if options.ngspice39 is not None and not ngspice_info(options.ngspice39).version.startswith(
        "39"
    ):
        raise EngineError(f"--ngspice39 must name ngspice 39; {options.ngspice39} is not.")
    info = ngspice_info()
    print(f"ngspice {info.version}{' with KLU' if info.klu else ''}\n")
    print("| work | found | target | |\n|---|---|---|---|")
    one_process_against_many(10 if options.quick else 50, 3)
    versions(options.ngspice39, 20 if options.quick else 200)
    overhead(20 if options.quick else 200, 3)
    transfers(10 if options.quick else 500)
    text(3)
    raw_file()
    memory()


if __name__ == "__main__":
    main()
