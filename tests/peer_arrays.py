"""Answers of other programs for the tests of imports: `python -m tests.peer_arrays NAME`.

`crosssim` needs a checkout of github.com/sandialabs/cross-sim, named by the variable CROSSSIM.
What it writes into tests/data/peers is our own content, computed by that program.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data" / "peers"
STYLES = {"balanced": (1, 1), "two_sided": (1, 2), "offset": (3, 1)}
"""Name -> CrossSim's core style and balanced style."""


def crosssim_parameters(style: str, *, pairs: bool = False) -> dict[str, Any]:
    """Parameters of CrossSim with wires; what they leave out has its default."""
    core, balanced = STYLES[style]
    wires = {"enable": True, "Rp_row": 3.0, "Rp_col": 7.0, "Rp_col_terminal": 20.0}
    return {
        "core": {"style": core, "balanced": {"style": balanced, "interleaved_posneg": pairs}},
        "simulation": {"Verr_th_mvm": 1e-10, "Niters_max_parasitics": 1000},
        "xbar": {
            "device": {"Rmin": 2000.0, "Rmax": 50000.0},
            "array": {"parasitics": wires},
        },
    }


def matrix() -> tuple[np.ndarray, np.ndarray]:
    """Weights (4, 6) and inputs (6,) within -1 and 1."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 6)), rng.uniform(-1, 1, 6)


def crosssim() -> None:
    """Products by CrossSim's circuit solver, of each style, apart and as pairs at one node."""
    sys.path.append(os.environ["CROSSSIM"])
    from simulator import AnalogCore, CrossSimParameters

    W, x = matrix()
    answers = {}
    for style in STYLES:
        for pairs in (False, True):
            parameters = CrossSimParameters(**crosssim_parameters(style, pairs=pairs))
            name = f"{style}{'_pairs' if pairs else ''}"
            answers[name] = (AnalogCore(W, parameters) @ x).tolist()
    made_by = "CrossSim 3.1, github.com/sandialabs/cross-sim at 0a2eb1e"
    text = json.dumps({"made_by": made_by, "products": answers}, indent=1)
    (FOLDER / "crosssim.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    {"crosssim": crosssim}[sys.argv[1]]()
