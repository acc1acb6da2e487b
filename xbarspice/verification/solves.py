"""Vectors of every array, and their answers through a campaign that can go on after a stop."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice import campaign
from xbarspice.campaign.choice import choose_workers
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.mapping.tile import Tile
from xbarspice.verification.clock import Progress
from xbarspice.verification.compare import compare_item
from xbarspice.verification.tiles import Drives, dense_probes, unit_vectors

__all__ = ["Vectors", "solve_arrays"]

WORTH_A_POOL = 32
"""Arrays from which starting worker processes pays."""


class Vectors:
    """Drives and probes of every array."""

    def __init__(self, drives: Drives, *, probes: int, all_units: bool, seed: int) -> None:
        if probes < 1:
            raise broken_rule("`probes` must be >= 1", probes, "Inputs alone leave lines undriven.")
        self.drives, self.probes, self.all_units, self.seed = drives, probes, all_units, seed

    def of(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Drives and probes of an array's lines, V, each (vectors, lines)."""
        V_read = tile.config.V_read
        probes = dense_probes(tile, V_read, self.probes, self.seed)
        if self.all_units:
            probes = np.concatenate([probes, unit_vectors(tile, V_read)])
        return self.drives.of(tile), probes

    def counts(self, tile: Tile) -> tuple[int, int]:
        """How many drives and probes an array has."""
        extra = tile.size if self.all_units else 0
        return len(self.drives.of(tile)), self.probes + extra


def solve_arrays(
    items: list[dict[str, Any]],
    folder: str | Path | None,
    workers: int | None,
    scheduler: str | None,
    progress: Progress,
) -> list[Mapping[str, Any]]:
    """Results of all arrays, in order, through a campaign that a later call can go on with.

    Raises:
        EngineError: the engine failed on an array, which is named.
    """
    with tempfile.TemporaryDirectory(prefix="xbarspice-") as temporary:
        place = Path(folder) if folder is not None else Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        path = place / "tiles.h5"
        campaign.run(
            items,
            compare_item,
            path,
            resume=path.exists(),
            retry_failed=True,
            workers=choose_workers(workers, scheduler, items=len(items), worth=WORTH_A_POOL),
            scheduler=scheduler,
            progress=lambda count, total: progress("arrays", count, total or len(items)),
        )
        results = campaign.load(path)
        out = []
        for item in items:
            key = campaign.Item(item).key
            if key not in results:
                failure = results.failures[key]
                raise EngineError(f"array {item['label']}: {failure.error}: {failure.text}")
            out.append(results[key])
        return out
