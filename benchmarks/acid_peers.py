"""Other programs on the acid test: each adapter puts one problem into a peer's words.

    python -m benchmarks.acid_peers
    python -m xbarspice.testing benchmarks.acid_peers:badcrossbar

The first prints one table of all of them (docs/acid-test.md has it), the second one scorecard.
Nothing of a peer's code stands here. badcrossbar and aihwkit are used where they are installed;
`CROSSSIM` and `MEMTORCH` name checkouts of github.com/sandialabs/cross-sim and
github.com/coreylammie/MemTorch. What a peer has no argument for is declined.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
import warnings
from pathlib import Path

import numpy as np

from benchmarks import peers
from xbarspice.core.types import Array
from xbarspice.testing import AcidCase, NotSupported, Score, Scorecard, Verdict, acid_test

CROSSSIM_VERR = 1e-12
"""Device voltages, as a share of the drive, at which CrossSim stops (its default is 1e-3)."""
LEVEL = 0.2
"""aihwkit's cells see 0.6, 0.4 or 0.2 V against 0.4 V of a column: inputs of this size, V."""


def _need(condition: bool, text: str) -> None:
    """Decline a problem that a peer has no argument for."""
    if not condition:
        raise NotSupported(text)


def badcrossbar(case: AcidCase) -> dict[str, Array]:
    """badcrossbar: lines begin and end with one segment; absent devices are infinite ohm."""
    try:
        peer = peers.badcrossbar()
    except ImportError as error:
        raise NotSupported(f"badcrossbar is not installed ({error})") from error
    wires = {"R_wl unlike R_bl", "ends unlike segments", "ideal segments", "ideal ends"}
    case.need_only({"batches", "absent devices", *wires})
    c = case.crossbar
    _need(c.G.ndim == 2, "several arrays in one call")
    _need(c.R_driver == c.R_wl and c.R_sense == c.R_bl, "ends that are no segments")
    with np.errstate(divide="ignore"):
        R = 1 / c.G
    V = case.V_in.reshape(-1, c.rows).T
    s = peer.compute(V, R, r_i_word_line=c.R_wl, r_i_bit_line=c.R_bl)
    shape = (*case.V_in.shape[:-1], c.cols)
    out = {"I_out": np.asarray(s.currents.output, float).reshape(shape)}
    if case.V_in.ndim == 1:
        out["I_device"] = np.asarray(s.currents.device, float)
        out["V_wl"], out["V_bl"] = (np.asarray(v, float) for v in s.voltages)
    return out


def crosssim(case: AcidCase) -> dict[str, Array]:
    """CrossSim's iteration with input sources at the rows and a pair's columns apart."""
    _need(peers.VARIABLE in os.environ, f"CrossSim is not there (${peers.VARIABLE})")
    wires = {"R_wl unlike R_bl", "ends unlike segments", "ideal segments", "ideal ends"}
    case.need_only({"absent devices", *wires})
    c = case.crossbar
    _need(c.R_driver >= c.R_wl and c.R_sense >= c.R_bl, "ends below one segment")
    _need(c.G.any(), "an array without devices has no largest conductance")
    array, matrix, largest = peers.crosssim_array(c, None, CROSSSIM_VERR)
    with np.errstate(all="ignore"):
        return {"I_out": array.iterative_solve(matrix, case.V_in) * largest}


def memtorch(case: AcidCase) -> dict[str, Array]:
    """MemTorch's passive solver in Python (`use_bindings=False`), float32."""
    import torch

    case.need_only({"ends unlike segments", "ideal segments", "ideal ends", "absent devices"})
    c = case.crossbar
    _need(c.R_driver == c.R_sense, "drivers unlike sense resistances")
    _need(c.R_wl + c.R_driver > 0, "arrays without any resistance in their lines")
    G, V = (torch.tensor(a, dtype=torch.float32) for a in (c.G, case.V_in))
    solve = _memtorch_passive().solve_passive
    I_out = solve(G, V, torch.zeros(c.cols), c.R_driver, c.R_wl, use_bindings=False)
    return {"I_out": I_out.numpy().astype(float)}


def _memtorch_passive() -> types.ModuleType:
    """The module of a checkout, with stand-ins for its compiled parts, which it does not call."""
    _need("MEMTORCH" in os.environ, "MemTorch is not there ($MEMTORCH)")
    stand_in = types.ModuleType("memtorch")
    stand_in.__version__ = "cpu"
    sys.modules.setdefault("memtorch", stand_in)
    sys.modules.setdefault("memtorch_bindings", types.ModuleType("memtorch_bindings"))
    path = Path(os.environ["MEMTORCH"], "memtorch/bh/crossbar/Passive.py")
    spec = importlib.util.spec_from_file_location("memtorch_passive", path)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def aihwkit(case: AcidCase) -> dict[str, Array]:
    """aihwkit's Thevenin equivalents of columns at one instant: wires on bit lines only, float32.

    Inputs are 0.2 V, 0 or -0.2 V, since time carries their size there; the last half segment lies
    before the sense node.
    """
    import torch

    try:
        from aihwkit.simulator.tiles.analog_mvm_irdrop_t import AnalogMVMIRDropT
    except ImportError as error:
        raise NotSupported(f"aihwkit is not installed ({error})") from error
    case.need_only({"R_wl unlike R_bl", "ends unlike segments", "ideal segments", "ideal ends"})
    c = case.crossbar
    _need(c.R_wl == c.R_driver == 0, "resistances in word lines")
    _need(c.R_sense == c.R_bl / 2, "sense resistances other than half a segment")
    _need(bool(np.isin(case.V_in, [LEVEL, 0, -LEVEL]).all()), "inputs other than 0.2, 0, -0.2 V")
    G = torch.tensor(1e6 * c.G, dtype=torch.float32)
    x = torch.tensor(np.sign(case.V_in)[None], dtype=torch.float32)
    V, R = AnalogMVMIRDropT._thev_equiv(
        x,
        [G, torch.zeros_like(G)],
        time_steps=1,
        segments=c.rows,
        r_s=float(c.R_bl),
        phys_input_size=c.rows,
        use_extension=False,
    )
    return {"I_out": 1e-6 * ((V - 2 * LEVEL) / R)[0, :, 0].numpy().astype(float)}


PEERS = {
    "badcrossbar": (badcrossbar, 1e-9),
    "CrossSim": (crosssim, 1e-9),
    "MemTorch": (memtorch, 1e-4),
    "aihwkit": (aihwkit, 1e-4),
}
"""Adapters and the error that passes: two compute in float32."""


def _cell(score: Score) -> str:
    if score.verdict is Verdict.NOT_SUPPORTED:
        return "declined"
    return score.verdict.value + (f" {score.error:.1e}" if score.error is not None else "")


def table(cards: dict[str, Scorecard]) -> str:
    """The problems that some peer claims, with each peer's error, as Markdown."""
    rows = [["problem", "what it teaches", *cards], ["---"] * (2 + len(cards))]
    for scores in zip(*(card.scores for card in cards.values()), strict=True):
        if any(score.verdict is not Verdict.NOT_SUPPORTED for score in scores):
            rows.append([scores[0].case, scores[0].teaches, *map(_cell, scores)])
    for verdict in Verdict:
        rows.append(
            [f"**{verdict}**", "problems", *(str(c.counts[verdict]) for c in cards.values())]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    cards = {
        name: acid_test(solver, name=name, tolerance=tolerance)
        for name, (solver, tolerance) in PEERS.items()
    }
    print(table(cards))
    for card in cards.values():
        for score in card.scores:
            if score.verdict is Verdict.FAIL and score.error is None:
                print(f"{card.solver}, {score.case}: {score.text}")
