"""Runs every benchmark: `make bench` writes benchmarks/RESULTS.md, `--quick` benchmarks/out only.

A run in which a part fails leaves RESULTS.md as it is and writes benchmarks/out/failed.md.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy
import torch

from xbarspice.engines.ngspice import ngspice_info
from xbarspice.surrogate.native.library import level

HERE = Path(__file__).parent
OUT = HERE / "out"
PARTS = [
    (
        "Solvers, one thread",
        "bench_solvers",
        ["--ngspice", "--large", "--json", str(OUT / "solvers.json")],
        ["--sizes", "8", "16", "--brief"],
    ),
    ("Effective matrices and training", "bench_training", [], None),
    ("Any network on arrays", "bench_any_network", [], None),
    ("Reduced effective matrices", "bench_reduced", [], ["--quick"]),
    ("The golden engine", "bench_ngspice", [], ["--quick"]),
    ("Campaigns", "bench_campaign", [], None),
    ("Programming", "bench_program", [], ["--quick"]),
    ("Tapeout", "bench_tapeout", [], ["--quick"]),
]
"""Title, module, arguments, and arguments of a quick run (None: left out of it)."""
THREADED = ("bench_training", "bench_any_network")
"""Parts that run on all threads of torch, as a user would."""


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.processor()


def head(quick: bool) -> list[str]:
    ngspice = ngspice_info()
    return [
        "# Benchmarks, quick run: no figures to quote" if quick else "# Benchmarks",
        "",
        "Written by `make bench`; repeat it on a quiet machine. The figures to compare are the "
        "ratios in one run: absolute times are those of this machine and of what else it did.",
        "",
        f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at start; Python "
        f"{platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, torch "
        f"{torch.__version__}; kernels {level()}; ngspice {ngspice.version}"
        f"{' with KLU' if ngspice.klu else ''}.",
    ]


def run(name: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        capture_output=True,
        text=True,
        cwd=HERE.parent,
        env=os.environ | ({} if name in THREADED else {"OMP_NUM_THREADS": "1"}),
    )


def main(arguments: list[str]) -> int:
    """Run all parts; the table of the repository is replaced only by a full run without failure."""
    quick = "--quick" in arguments
    OUT.mkdir(exist_ok=True)
    text, failed = head(quick), []
    for title, name, options, short in PARTS:
        flags = short if quick else options
        if flags is None:
            continue
        print(f"running {name}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        process = run(name, flags)
        text += ["", f"## {title}", "", process.stdout.strip()]
        if process.returncode:
            failed.append(name)
            text.append(
                f"\nFAILED with status {process.returncode}: {process.stderr.strip()[-400:]}"
            )
        text.append(f"\n`python -m benchmarks.{name}`: {time.perf_counter() - start:.0f} s")
    good = not quick and not failed
    target = HERE / "RESULTS.md" if good else OUT / ("quick.md" if quick else "failed.md")
    target.write_text("\n".join(text) + "\n", encoding="utf-8")
    print(f"written: {target}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}; RESULTS.md was left as it is", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
