"""Crossbar solvers side by side: times, ratios and errors of the same arrays in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_solvers [--sizes 16 64 128] [--ngspice] [--large]

Every time is CPU time (wall-clock time beside other programs says little): the median of
repetitions that take turns in bursts of `BURST` seconds; what the first call after another solver
takes, whose data fill the caches then, stands beside it. One thread. The surrogate and the nodal
engine are timed through the public `xb.solve`, on a crossbar object that exists; the peers on
matrices that exist: building objects and matrices is left out for all. Peers that are not installed
are named as such.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

import xbarspice as xb
from benchmarks import peers
from xbarspice.core.wires import WIRES
from xbarspice.engines.ngspice import NgspiceEngine
from xbarspice.surrogate.engine import SurrogateEngine
from xbarspice.surrogate.native import build, library

R = 1.0  # ohm, every segment and every end, as badcrossbar counts them


def problem(size, device="ohmic"):
    rng = np.random.default_rng(size)
    G = rng.uniform(1 / 15e3, 1 / 5e3, (size, size))
    crossbar = xb.Crossbar(G, R_wl=R, R_bl=R, R_driver=R, R_sense=R, device=device)
    return crossbar, rng.uniform(0, 1, size)


def nodal_matrix(G):
    """The nodal matrix (word-line nodes, then bit-line nodes) of a square array in read mode."""
    n = len(G)
    chain = sp.diags_array(
        [np.full(n - 1, -1 / R), np.r_[np.full(n - 1, 2 / R), 1 / R], np.full(n - 1, -1 / R)],
        offsets=[-1, 0, 1],
    )
    flipped = sp.diags_array(
        [np.full(n - 1, -1 / R), np.r_[1 / R, np.full(n - 1, 2 / R)], np.full(n - 1, -1 / R)],
        offsets=[-1, 0, 1],
    )
    eye, D = sp.eye_array(n), sp.diags_array(G.ravel())
    return sp.csc_matrix(
        sp.block_array([[sp.kron(eye, chain) + D, -D], [-D, sp.kron(flipped, eye) + D]])
    )


def sparse_lu(crossbar, V):
    n = crossbar.rows
    K = nodal_matrix(crossbar.G)
    rhs = np.zeros(2 * n * n)
    rhs[: n * n : n] = V / R
    return lambda: splu(K).solve(rhs)[-n:] / R


def badcrossbar(crossbar, V):
    peer = peers.badcrossbar()
    resistances = 1 / crossbar.G
    return lambda: peer.compute(
        V[:, None], resistances, r_i=R, node_voltages=False, all_currents=False
    ).currents.output[0]


def surrogate(crossbar, V):
    engine = SurrogateEngine(threads=1)
    return lambda: xb.solve(crossbar, V, engine=engine).I_out


def nodal(crossbar, V):
    return lambda: xb.solve(crossbar, V, engine="nodal").I_out


def ngspice(crossbar, V):
    return lambda: xb.solve(crossbar, V, engine="ngspice").I_out


def ideal(crossbar, V):
    return lambda: V @ crossbar.G


def alpha_beta(crossbar, V):
    """The fitted formula I = V (alpha * G * beta): attenuation of every device by its two wires.

    alpha_ij = (g f + sum_{k<i} (i-k) G_kj) / (g f + f_a sum_k (m-k) G_kj) along the bit line, beta
    alike along the word line, with closed forms for the fit factors f and f_a. Written from the
    formulas of the model comparison github.com/alambertini01/Crossbar_Models_Comparison ("gamma"),
    since their paper could not be had.
    """
    G, g = crossbar.G, 1 / R
    n = len(G)
    k = np.arange(n)

    def call():
        mean = G.mean()
        near = 1 / (1 + (n - k) @ G.mean(1) / g) / (1 + (k + 1) @ G.mean(0) / g)
        s, A, B, X = np.sqrt(near), (n - 2) / n, 2 / n, n * (n - 1) / 2 * mean
        fit = max(A * X * s * (g + X) / (g * (g - g * s + A * X * (1 - s) - B * X * s)), 0)
        q, Y = (n - 1) / (n + 1), n * (n + 1) / 2 * mean
        edge = (q * (g + Y) + 2 / (n + 1) * g * fit) / (g + q * Y)
        down = np.zeros((n + 1, n))
        np.cumsum(np.cumsum(G, axis=0), axis=0, out=down[1:])
        right = np.zeros((n, n + 1))
        np.cumsum(np.cumsum(G[:, ::-1], axis=1), axis=1, out=right[:, 1:])
        alpha = (g * fit + down[:-1]) / (g * fit + edge * down[-1])
        beta = (g * fit + right[:, -2::-1]) / (g * fit + edge * right[:, -1:])
        return V @ (alpha * G * beta)

    return call


OTHER_CIRCUIT = "aihwkit layer with IR drop"
BURST = 0.02


def cpu_seconds():
    """CPU time of this process and of those that it has waited for: ngspice runs in one."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(calls, seconds=4.0):
    """Median CPU seconds of each callable in bursts, of the first calls of its bursts, answers."""
    times, first = {name: [] for name in calls}, {name: [] for name in calls}
    answers = {name: call() for name, call in calls.items()}  # fills the caches
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            clock = cpu_seconds if name == "ngspice" else time.process_time
            begun = len(times[name])
            until = time.perf_counter() + BURST
            while len(times[name]) == begun or time.perf_counter() < until:
                start = clock()
                call()
                times[name].append(clock() - start)
            first[name].append(times[name][begun])
    medians = [{k: statistics.median(t) for k, t in samples.items()} for samples in (times, first)]
    return *medians, answers


def linear_rows(size, with_ngspice):
    crossbar, V = problem(size)
    makers = {
        "surrogate": surrogate,
        "ideal product": ideal,
        "SciPy sparse LU": sparse_lu,
        "nodal engine": nodal,
        "badcrossbar": badcrossbar,
        "alpha-beta formula": alpha_beta,
        f"CrossSim at {peers.VERR:g}, best gamma": peers.crosssim_best,
        f"CrossSim at {peers.VERR:g}, its own search": peers.crosssim_search,
        OTHER_CIRCUIT: peers.aihwkit_layer,
    }
    if with_ngspice:
        makers["ngspice"] = ngspice
    calls, rows = {}, []
    for name, make in makers.items():
        try:
            call = make(crossbar, V)
            call()
            calls[name] = call
        except (ImportError, xb.errors.EngineError) as missing:
            note = f"skipped: {missing}"
            rows.append({"work": f"{size}x{size}, 1 vector", "solver": name, "note": note})
    times, first, answers = measure(calls)
    old = os.environ.get("XBARSPICE_NGSPICE39")
    if with_ngspice and old and size <= 64:  # its solver takes seconds: once
        start = time.perf_counter()
        answers["ngspice 39"] = xb.solve(crossbar, V, engine=NgspiceEngine(executable=old)).I_out
        times["ngspice 39"] = first["ngspice 39"] = time.perf_counter() - start
    expected = xb.solve(crossbar, V, engine="nodal").I_out
    for name, seconds in times.items():
        rows.append(
            {
                "work": f"{size}x{size}, 1 vector",
                "solver": name,
                "ms": 1e3 * seconds,
                "first_ms": 1e3 * first[name],
                "ratio": seconds / times["surrogate"],
                "error": float(np.abs(answers[name] - expected).max() / np.abs(expected).max()),
            }
        )
        if name == OTHER_CIRCUIT:
            rows[-1].pop("error")
            rows[-1]["note"] = "pairs of columns, bit-line wires only, inputs as pulses"
    return rows


def new_object(crossbar, V):
    engine = SurrogateEngine(threads=1)
    return lambda: xb.solve(crossbar.replace(G=crossbar.G), V, engine=engine).I_out


def batch_rows():
    """Many inputs on one 64x64 array, ohmic and sinh, on one core: time an input."""
    rows = []
    for device, make in (
        ("ohmic", surrogate),
        ("ohmic, a new object each time", new_object),
        ("sinh_tio2", surrogate),
        ("cubic_al2o3_tio2", surrogate),
    ):
        crossbar, _ = problem(64, device.partition(",")[0])
        V = np.random.default_rng(0).uniform(0, 1, (200, 64))
        times, _, answers = measure({"surrogate": make(crossbar, V)})
        expected = xb.solve(crossbar, V[:3], engine="nodal").I_out
        rows.append(
            {
                "work": f"64x64 {device}, 200 inputs up to 1 V, an input",
                "solver": "surrogate",
                "ms": 1e3 * times["surrogate"] / 200,
                "error": float(
                    np.abs(answers["surrogate"][:3] - expected).max() / np.abs(expected).max()
                ),
            }
        )
    return rows


def gradient_rows():
    """Backward against forward, one vector a solve."""
    from xbarspice.surrogate import adjoint

    rows = []
    for size in (64, 128):
        for device in ("ohmic", "sinh_tio2"):
            crossbar, V = problem(size, device)
            drive = crossbar.drive(V)
            _, saved = adjoint.forward(crossbar, drive, threads=1)
            g = np.ones((1, size))
            times, *_ = measure(
                {
                    "forward": lambda c=crossbar, d=drive: adjoint.forward(c, d, threads=1),
                    "backward": lambda s=saved, g=g: adjoint.backward(s, I_out=g),
                },
                seconds=2.0,
            )
            for name, seconds in times.items():
                rows.append(
                    {
                        "work": f"{size}x{size} {device}, gradients",
                        "solver": f"surrogate {name}",
                        "ms": 1e3 * seconds,
                        "ratio": seconds / times["forward"],
                    }
                )
    return rows


def large_rows():
    """One vector through large arrays: median of a few calls after the first."""
    rows = []
    for size, R_wire in ((512, R), (1024, R), (1024, 5.0), (2048, R), (2048, 5.0)):
        crossbar, V = problem(size)
        crossbar = crossbar.replace(**dict.fromkeys(WIRES, R_wire))
        call = surrogate(crossbar, V)
        times, first, _ = measure({"surrogate": call}, seconds=3.0)
        stats = xb.solve(crossbar, V, engine=SurrogateEngine(threads=1)).stats
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append(
            {
                "work": f"{size}x{size}, 1 vector, {R_wire:g} ohm a segment",
                "solver": "surrogate",
                "ms": 1e3 * times["surrogate"],
                "first_ms": 1e3 * first["surrogate"],
                "note": f"{stats.iterations} iterations, residual {stats.residual:.1e}, peak "
                f"memory of the process {peak:.0f} MiB",
            }
        )
    return rows


COLD = """
import time; t = [time.process_time()]
import xbarspice as xb; t.append(time.process_time())
import numpy as np
for device in ("ohmic", "sinh_tio2"):
    crossbar = xb.Crossbar(np.full((8, 8), 1e-4), device=device)
    xb.solve(crossbar, np.full(8, 0.2)); t.append(time.process_time())
from xbarspice.surrogate import adjoint
_, saved = adjoint.forward(crossbar, crossbar.drive(np.full(8, 0.2)))
adjoint.backward(saved, I_out=np.ones((1, 8))); t.append(time.process_time())
print(*[b - a for a, b in zip(t, t[1:])])
"""
COLD_STEPS = ("import xbarspice", "first solve, ohmic", "then sinh", "then forward and backward")


def start_rows():
    """CPU time of new processes with the kernels of each instruction set, and of compiling them."""
    known = build.levels()
    rows = []
    for chosen in known[known.index(library.level()) :: -1]:
        runs = []
        for _ in range(5):
            out = subprocess.run(
                [sys.executable, "-c", COLD],
                capture_output=True,
                check=True,
                env=os.environ | {"XBARSPICE_KERNELS": chosen},
            )
            runs.append([float(x) for x in out.stdout.split()])
        medians = [statistics.median(column) for column in zip(*runs, strict=True)]
        rows += [
            {"work": f"new process: {step}", "solver": f"kernels {chosen}", "ms": 1e3 * t}
            for step, t in zip(COLD_STEPS, medians, strict=True)
        ]
    return rows


def compile_row():
    """CPU time of compiling the kernels for all instruction sets."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    kept = build.BUILT
    with tempfile.TemporaryDirectory() as folder:
        build.BUILT = Path(folder)
        build.build()
    build.BUILT = kept
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    note = f"once, when the package is installed: {', '.join(build.levels())}"
    return {"work": "kernels compiled", "solver": "", "ms": 1e3 * seconds, "note": note}


def hardware():
    info = Path("/proc/cpuinfo")
    model = [x for x in info.read_text().splitlines() if "model name" in x] if info.exists() else []
    return {
        "processor": model[0].split(":")[1].strip() if model else platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": 1,
    }


def markdown(rows):
    out = [
        "| work | solver | CPU ms | first call | times the surrogate (or forward) | error | note |",
        "|" + "---|" * 7,
    ]
    for row in rows:
        ms, ratio, error = row.get("ms"), row.get("ratio"), row.get("error")
        first = row.get("first_ms")
        out.append(
            f"| {row['work']} | {row['solver']} | {'' if ms is None else f'{ms:.4g}'} | "
            f"{'' if first is None else f'{first:.4g}'} | "
            f"{'' if ratio is None else f'{ratio:.3g}'} | "
            f"{'' if error is None else f'{error:.1e}'} | {row.get('note', '')} |"
        )
    return "\n".join(out)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sizes", type=int, nargs="*", default=[16, 64, 128])
    options.add_argument("--ngspice", action="store_true", help="include ngspice (slow)")
    options.add_argument("--large", action="store_true", help="include 512x512 to 2048x2048")
    options.add_argument("--brief", action="store_true", help="no batches and gradients")
    choices = options.parse_args()
    rows = [row for size in choices.sizes for row in linear_rows(size, choices.ngspice)]
    rows += ([] if choices.brief else batch_rows() + gradient_rows()) + start_rows()
    if not choices.brief:
        rows.append(compile_row())
    if choices.large:
        rows += large_rows()
    about = ", ".join(f"{name} {value}" for name, value in hardware().items())
    print(f"{about}.\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
