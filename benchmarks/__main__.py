"""Runs every benchmark: `make bench` writes benchmarks/RESULTS.md, `--quick` benchmarks/out only.

Beside the page stands a JSON file with its tables. A run in which a part fails leaves both as they
are and writes benchmarks/out/failed.md.
"""

from __future__ import annotations

import json
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
        ["--ngspice", "--large"],
        ["--sizes", "8", "16", "--brief"],
    ),
    ("Share of the memory bandwidth, one core", "bench_roofline", [], None),
    ("Effective matrices and training", "bench_training", [], None),
    ("Training on drawn transfers", "bench_training_draws", [], None),
    ("Any network on arrays", "bench_any_network", [], None),
    ("Reduced effective matrices", "bench_reduced", [], ["--quick"]),
    ("The golden engine", "bench_ngspice", [], ["--quick"]),
    ("Campaigns", "bench_campaign", [], None),
    ("Programming", "bench_program", [], ["--quick"]),
    ("Tapeout", "bench_tapeout", [], ["--quick"]),
]
"""Title, module, arguments, and arguments of a quick run (None: left out of it)."""
QUIET = 0.5
"""Load of the machine from which on its figures are those of a shared one."""
THREADED = ("bench_training", "bench_training_draws", "bench_any_network")
"""Parts that run on all threads of torch, as a user would."""


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.processor()


def head(quick: bool) -> list[str]:
    ngspice, load = ngspice_info(), os.getloadavg()[0]
    shared = "; other programs ran beside it" if load > QUIET else ""
    return [
        "# Benchmarks, quick run: no figures to quote" if quick else "# Benchmarks",
        "",
        "Written by `make bench`; repeat it on a quiet machine. The figures to compare are the "
        "ratios in one run: absolute times are those of this machine and of what else it did.",
        "",
        f"{processor()}, {os.cpu_count()} cores, load {load:.1f} at start{shared}; Python "
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


def tables(text: list[str]) -> dict[str, list[dict[str, str]]]:
    """The tables of a page in Markdown by their headings, each row by the names of its columns."""
    out: dict[str, list[dict[str, str]]] = {}
    heading, columns = "", []
    for line in "\n".join(text).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not columns:
            columns = cells
        elif set(line) - set("|-: "):
            out.setdefault(heading, []).append(dict(zip(columns, cells, strict=True)))
    return out


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
        text += ["", f"## {title}", "", process.stdout.strip().replace("\n## ", "\n### ")]
        if process.returncode:
            failed.append(name)
            text.append(
                f"\nFAILED with status {process.returncode}: {process.stderr.strip()[-400:]}"
            )
        text.append(f"\n`python -m benchmarks.{name}`: {time.perf_counter() - start:.0f} s")
    good = not quick and not failed
    target = HERE / "RESULTS.md" if good else OUT / ("quick.md" if quick else "failed.md")
    target.write_text("\n".join(text) + "\n", encoding="utf-8")
    found = {"head": text[4], **tables(text)}
    target.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {target}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}; RESULTS.md was left as it is", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
