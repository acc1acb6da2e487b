"""Runs every benchmark and writes benchmarks/RESULTS.md: `make bench` (or with `--quick`)."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import scipy
import torch

from xbarspice.engines.ngspice import ngspice_info

HERE = Path(__file__).parent
JSON = ["--json", str(HERE / "out" / "solvers.json")]
PARTS = [
    (
        "Solvers, one thread",
        "bench_solvers",
        ["--ngspice", "--large", *JSON],
        ["--sizes", "16", "64"],
    ),
    ("Effective matrices and training", "bench_training", [], ["--quick"]),
    ("Reduced effective matrices", "bench_reduced", [], ["--quick"]),
    ("The golden engine", "bench_ngspice", [], ["--quick"]),
    ("Campaigns", "bench_campaign", [], []),
    ("Programming", "bench_program", [], ["--quick"]),
    ("Tapeout", "bench_tapeout", [], ["--quick"]),
]


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.processor()


def main() -> None:
    quick = "--quick" in sys.argv
    ngspice = ngspice_info()
    text = [
        "# Benchmarks",
        "",
        "Written by `make bench`; repeat it on a quiet machine. The figures to compare are the "
        "ratios in one run: absolute times are those of this machine and of what else it did.",
        "",
        f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at start; Python "
        f"{platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, numba "
        f"{numba.__version__}, torch {torch.__version__}; ngspice {ngspice.version}"
        f"{' with KLU' if ngspice.klu else ''}." + (" Short run (--quick)." if quick else ""),
    ]
    failed = []
    for title, name, options, short in PARTS:
        if not (HERE / f"{name}.py").exists():
            continue
        print(f"running {name}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *(short if quick else options)],
            capture_output=True, text=True, cwd=HERE.parent,
            env=os.environ | ({} if name == "bench_training" else {"OMP_NUM_THREADS": "1"}),
        )  # fmt: skip
        text += ["", f"## {title}", "", done.stdout.strip()]
        if done.returncode:
            failed.append(name)
            text.append(f"\nFAILED with status {done.returncode}: {done.stderr.strip()[-400:]}")
        text.append(f"\n`python -m benchmarks.{name}`: {time.perf_counter() - start:.0f} s")
    (HERE / "RESULTS.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
