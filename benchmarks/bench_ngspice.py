"""What the golden engine costs: many vectors in one process, overhead, text, raw files.

Run: python benchmarks/bench_ngspice.py [--quick]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import xbarspice as xb
from xbarspice import netlist
from xbarspice.engines.ngspice import NgspiceEngine, ngspice_info
from xbarspice.engines.ngspice.rawfile import read_raw
from xbarspice.engines.ngspice.runner import control_section, run_deck
from xbarspice.netlist import ngspice as dialect


def timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def array(size: int, device: str = "ohmic") -> xb.Crossbar:
    rng = np.random.default_rng(size)
    return xb.Crossbar(rng.uniform(6.7e-5, 2e-4, (size, size)), device=device)


def one_process_against_many(vectors: int, samples: int) -> None:
    """200 vectors on one 32x32 linear array, against as many processes on the same netlist."""
    crossbar = array(32)
    V = np.random.default_rng(0).uniform(0, 0.2, (vectors, 32))
    engine = NgspiceEngine(workers=1)
    state = engine.prepare(crossbar)
    together = min(timed(lambda: engine.solve(state, crossbar, V)) for _ in range(3))
    info = ngspice_info()
    deck = [
        *dialect.circuit(netlist.build(crossbar, V[0])),
        f".options {dialect.OPTIONS}{' klu' if info.klu else ''}",
        *dialect.saves(netlist.build(crossbar, V[0]), nodes=False),
        *control_section("op"),
    ]
    command = [info.path, "-n", "-b"]

    def separate() -> None:
        for _ in range(samples):
            run_deck(command, deck, points=1, klu=info.klu, timeout=60)

    each = timed(separate) / samples
    ratio = each * vectors / together
    print(f"{vectors} vectors, 32x32: one process {together:.3f} s; {vectors} processes")
    print(f"  {each * vectors:.2f} s ({samples} measured): {ratio:.1f} times (target 20)")


def overhead(vectors: int) -> None:
    """Share of writing, starting and reading in a 64x64 solve."""
    crossbar = array(64)
    V = np.random.default_rng(1).uniform(0, 0.2, (vectors, 64))
    from xbarspice.engines.ngspice import engine as module

    inside: list[float] = []
    original = module.run_deck

    def spy(*args, **kwargs):
        run = original(*args, **kwargs)
        inside.append(run.seconds)
        return run

    module.run_deck = spy
    engine = NgspiceEngine(workers=1)
    state = engine.prepare(crossbar)
    total = timed(lambda: engine.solve(state, crossbar, V, full=True))
    module.run_deck = original
    share = (total - inside[0]) / inside[0]
    print(f"64x64, {vectors} vectors, all nodes: ngspice {inside[0]:.2f} s, all {total:.2f} s:")
    print(f"  overhead {100 * share:.1f} % of ngspice's time (target 15)")


def text() -> None:
    """Netlist text of a 256x256 nonlinear array, and reading it back."""
    crossbar = array(256, "sinh_tio2")
    V = np.full(256, 0.1)
    seconds = min(timed(lambda: netlist.write(crossbar, V)) for _ in range(3))
    written = netlist.write(crossbar, V)
    back = timed(lambda: netlist.read(written))
    print(f"text of 256x256 sinh_tio2: {seconds:.2f} s (target 1); read and proven {back:.2f} s")


def raw_file() -> None:
    """20 000 points x 65 vectors."""
    head = "Title: t\nPlotname: p\nFlags: real\nNo. Variables: 65\nNo. Points: 20000\nVariables:\n"
    names = "".join(f"\t{k}\ti(v{k})\tcurrent\n" for k in range(65))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.raw"
        path.write_bytes(f"{head}{names}Binary:\n".encode() + np.zeros((20000, 65)).tobytes())
        seconds = min(timed(lambda: read_raw(path)) for _ in range(5))
    print(f"raw file of 20 000 x 65: {seconds:.3f} s (target 0.1)")


if __name__ == "__main__":
    quick = "--quick" in sys.argv
    print(ngspice_info())
    one_process_against_many(200, 20 if quick else 200)
    overhead(20 if quick else 200)
    text()
    raw_file()
