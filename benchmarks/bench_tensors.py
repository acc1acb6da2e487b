"""Crossbars on tensors of a device of torch against the compiled kernels on all CPU cores.

    python -m benchmarks.bench_tensors [--device cuda] [--quick]

Times are medians of five runs, errors those of the largest output current of an array or, of
effective matrices, of their largest entry. The first run of a job is left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import xbarspice as xb
from xbarspice.core.array import WIRES
from xbarspice.nn.tensor_solver import effective_matrix_on_tensors, solve_on_tensors


def median(job: Callable[[], object], device: str) -> float:
    """Seconds of a job that is finished on the device."""
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        job()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def problem(arrays: int, size: int, device: str) -> tuple[xb.Crossbar, np.ndarray]:
    """Arrays of 100 to 500 uS with 1 ohm a segment, and a vector of up to 0.2 V for each."""
    rng = np.random.default_rng(0)
    G = rng.uniform(100e-6, 500e-6, (arrays, size, size))
    return xb.Crossbar(G, R_wl=1.0, R_bl=1.0, device=device), rng.uniform(0, 0.2, (arrays, size))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(f"device: {name}, torch {torch.__version__}, {torch.get_num_threads()} CPU threads")
    print("| job | precision | tensors, s | compiled on the CPU, s | ratio | error |")
    print("|---|---|---|---|---|---|")
    scale = 100 if options.quick else 1
    for arrays, size, model in (
        (100_000, 8, "sinh_tio2"),
        (1000, 64, "sinh_tio2"),
        (50, 128, "ohmic"),
    ):
        array, volts = problem(max(1, arrays // scale), size, model)
        compiled = median(lambda a=array, v=volts: xb.solve(a, v), "cpu")
        expected = xb.solve(array, volts).I_out
        R = torch.tensor([getattr(array, n) for n in WIRES], device=options.device).double()
        G, V = (torch.tensor(x, device=options.device) for x in (array.G, volts))
        for precision in ("float64", "mixed"):

            def job(a=array, g=G, v=V, r=R, p=precision) -> torch.Tensor:
                answers, _ = solve_on_tensors(a, a.device, g, v, 0 * v, r, precision=p)
                return answers["I_out"]

            seconds = median(job, options.device)
            off = np.abs(job().cpu().numpy() - expected) / np.abs(expected).max(-1, keepdims=True)
            print(
                f"| {len(G)} x {size}x{size} {model} | {precision} | {seconds:.3g} | "
                f"{compiled:.3g} | {compiled / seconds:.2f} | {off.max():.1e} |"
            )
    array, _ = problem(max(1, 500 // scale), 64 if scale == 1 else 16, "ohmic")
    compiled = median(lambda: xb.effective_matrix(array), "cpu")
    exact = xb.effective_matrix(array)
    G = torch.tensor(array.G, device=options.device)
    R = torch.tensor([getattr(array, n) for n in WIRES], device=options.device).double()
    for precision in ("float64", "mixed"):

        def matrices(p=precision) -> torch.Tensor:
            return effective_matrix_on_tensors(array, G, R, precision=p)

        with torch.no_grad():
            seconds = median(matrices, options.device)
            off = np.abs(matrices().cpu().numpy() - exact).max() / np.abs(exact).max()
        print(
            f"| {len(G)} effective matrices {array.rows}x{array.cols} | {precision} | "
            f"{seconds:.3g} | {compiled:.3g} | {compiled / seconds:.2f} | {off:.1e} |"
        )


if __name__ == "__main__":
    main()
