"""The adapters of other programs: what they hand over, and that an absent program is declined."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest

import xbarspice as xb
from benchmarks import acid_peers, peers
from xbarspice.testing import Verdict, acid_test


def segments_everywhere(V, R, *, r_i_word_line, r_i_bit_line):
    """A solver with badcrossbar's arguments, conventions and results: ends are segments."""
    with np.errstate(divide="ignore"):
        G = 1 / np.asarray(R)
    crossbar = xb.Crossbar(
        G, R_wl=r_i_word_line, R_bl=r_i_bit_line, R_driver=r_i_word_line, R_sense=r_i_bit_line
    )
    s = xb.solve(crossbar, V.T, engine="nodal", full=True)
    fields = (s.I_device[0], s.V_wl[0], s.V_bl[0])
    currents = SimpleNamespace(output=s.I_out, device=fields[0])
    return SimpleNamespace(currents=currents, voltages=fields[1:])


def test_the_adapter_of_badcrossbar_hands_over_the_same_circuit(monkeypatch):
    stand_in = SimpleNamespace(compute=segments_everywhere)
    monkeypatch.setattr(peers, "badcrossbar", lambda: stand_in)
    card = acid_test(acid_peers.badcrossbar)
    assert card.counts["fail"] == 0
    passed = {s.case for s in card.scores if s.verdict is Verdict.PASS}
    assert {"4x4", "6x4, two resistances", "6x4, absent devices", "6x4, vectors"} <= passed
    assert not passed & {"2x3", "large driver", "V/2", "absent, sinh_tio2"}


def test_a_mistake_behind_the_adapter_is_found(monkeypatch):
    def exchanged(V, R, *, r_i_word_line, r_i_bit_line):
        return segments_everywhere(V, R, r_i_word_line=r_i_bit_line, r_i_bit_line=r_i_word_line)

    monkeypatch.setattr(peers, "badcrossbar", lambda: SimpleNamespace(compute=exchanged))
    card = acid_test(acid_peers.badcrossbar)
    assert [s.case for s in card.scores if s.verdict is Verdict.FAIL] == ["6x4, two resistances"]


@pytest.mark.parametrize("name", acid_peers.PEERS)
def test_programs_that_are_not_there_are_declined(name, monkeypatch):
    for variable in (peers.VARIABLE, "MEMTORCH"):
        monkeypatch.delenv(variable, raising=False)
    for module in ("aihwkit", "badcrossbar"):
        monkeypatch.setitem(sys.modules, module, None)
    solver, tolerance = acid_peers.PEERS[name]
    card = acid_test(solver, tolerance=tolerance)
    assert card.counts["not supported"] == len(card.scores)
    assert not card.passed


def test_memtorch_runs_from_a_checkout(tmp_path, monkeypatch):
    """With stand-ins for its compiled parts; what it gives is compared in its own words."""
    place = tmp_path / "memtorch/bh/crossbar"
    place.mkdir(parents=True)
    (place / "Passive.py").write_text(
        "import memtorch, memtorch_bindings, xbarspice as xb\n"
        "def solve_passive(G, V, V_BL, R_source, R_line, use_bindings):\n"
        "    assert memtorch.__version__ == 'cpu' and not use_bindings and not V_BL.any()\n"
        "    ends = {'R_driver': R_source, 'R_sense': R_source}\n"
        "    s = xb.nn.solve(G.double(), V.double(), R_wl=R_line, R_bl=R_line, **ends)\n"
        "    return s.I_out.float()\n"
    )
    for module in ("memtorch", "memtorch_bindings"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    sys.modules["memtorch"].__version__ = "cpu"
    monkeypatch.setenv("MEMTORCH", str(tmp_path))
    card = acid_test(acid_peers.memtorch, tolerance=1e-4)
    assert card.counts["fail"] == 0
    assert "4x4" in {s.case for s in card.scores if s.verdict is Verdict.PASS}


def test_the_table_has_the_problems_that_some_peer_claims(monkeypatch):
    monkeypatch.setattr(peers, "badcrossbar", lambda: SimpleNamespace(compute=segments_everywhere))
    cards = {
        "one": acid_test(acid_peers.badcrossbar, cases=["4x4", "2x3"]),
        "two": acid_test(lambda case: {}, cases=["4x4", "2x3"]),
    }
    head, _, *rows = acid_peers.table(cards).splitlines()
    assert head == "| problem | what it teaches | one | two |"
    assert rows[0].startswith("| 4x4 |")
    assert "| pass " in rows[0]
    assert rows[0].endswith("| fail |")
    assert rows[1].endswith("| declined | fail |")
    assert rows[2:] == [
        "| **pass** | problems | 1 | 0 |",
        "| **fail** | problems | 0 | 2 |",
        "| **not supported** | problems | 1 | 0 |",
    ]
