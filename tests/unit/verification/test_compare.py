"""One array by the reference and the engines: what is solved, and what its time counts."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice.engines.nodal.engine import NodalEngine
from xbarspice.verification.compare import compare_item
from xbarspice.verification.tiles import dense_probes, tile_item

PAUSE = 0.05


class SlowToPrepare(NodalEngine):
    """The nodal engine, which counts its solves and takes its time before them."""

    name = "slow_to_prepare"
    solves = 0

    def _prepare(self, crossbar):
        time.sleep(PAUSE)
        return super()._prepare(crossbar)

    def _solve(self, *arguments):
        SlowToPrepare.solves += 1
        return super()._solve(*arguments)


@pytest.mark.usefixtures("registries")
def test_the_reference_solves_an_array_once_and_its_time_is_counted_whole():
    xb.engines.registry.add("slow_to_prepare", SlowToPrepare)
    circuit = xb.nn.convert(nn.Linear(4, 2).double(), xb.ArrayConfig(R_wl=2.0))
    (tile,) = xb.nn.tiles(circuit)
    drives = 0.1 * torch.rand(2, tile.size).double().numpy()
    probes = dense_probes(tile, 0.2, 1, 0)
    SlowToPrepare.solves = 0
    result = compare_item(tile_item(tile, drives, probes, "slow_to_prepare", ["surrogate"]))
    assert SlowToPrepare.solves == 1
    assert result["seconds"] >= PAUSE
    assert result["surrogate"]["worst"] < 1e-9
