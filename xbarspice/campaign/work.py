"""What a campaign has to solve, in numbers that time and memory follow from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array
from xbarspice.engines.ngspice.engine import NgspiceEngine
from xbarspice.engines.ngspice.plan import Plan

__all__ = ["Work"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One call of an engine: a batch of arrays of one size, each under some vectors.

    Attributes:
        rows, cols: of each array.
        arrays: of the batch.
        vectors: of each array.
        device: name of the device model.
        engine: name of the engine.
        engine_workers: arrays that the engine solves at the same time, for ngspice; None for its
            usual number.

    Raises:
        InputError: a number is below 1, or there is no such engine or device.
    """

    rows: int
    cols: int
    arrays: int = 1
    vectors: int = 1
    device: str = "ohmic"
    engine: str = "ngspice"
    engine_workers: int | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "cols", "arrays", "vectors"):
            if getattr(self, name) < 1:
                raise broken_rule(f"`{name}` must be >= 1", getattr(self, name), "Correct it.")
        engines.get(self.engine)

    @property
    def cells(self) -> int:
        """Of each array."""
        return self.rows * self.cols

    def solver(self) -> engines.Engine:
        """The engine itself."""
        engine = engines.get(self.engine)
        if self.engine_workers is not None and isinstance(engine, NgspiceEngine):
            return type(engine)(workers=self.engine_workers)
        return engine

    def example(self, seed: int) -> tuple[Crossbar, Array]:
        """Random arrays and voltages (V, (vectors, arrays, rows)) of this kind."""
        rng = np.random.default_rng(seed)
        G = rng.uniform(100e-6, 500e-6, (self.arrays, self.rows, self.cols))
        V_in = rng.uniform(0, 0.2, (self.vectors, self.arrays, self.rows))
        return Crossbar(G, R_wl=1.0, R_bl=1.0, device=self.device), V_in

    def _plan(self) -> Plan:
        engine = self.solver()
        if not isinstance(engine, NgspiceEngine):
            return Plan(processes=1, side_by_side=1, sweeps=self.arrays, points=self.vectors)
        single = Crossbar(np.full((self.rows, self.cols), 1e-4), device=self.device)
        return engine.plan(single, self.arrays, self.vectors)

    def time_terms(self) -> Array:
        """What the CPU time of the call is a sum of, with coefficients that are not negative.

        Starts of the engine, sweeps, their cells and points; a sparse solve of n cells takes
        between n and n^1.5.
        """
        plan, n = self._plan(), float(self.cells)
        point = plan.sweeps * plan.points
        return np.array(
            [
                plan.processes,
                *(plan.sweeps * power for power in (1.0, n, n**1.5)),
                *(point * power for power in (n, n**1.5)),
            ]
        )

    def memory_terms(self) -> Array:
        """The same for the memory of a worker and what it started: what is held at one time."""
        plan, n = self._plan(), float(self.cells)
        held = plan.side_by_side * n
        answers = float(self.arrays * self.vectors * (self.rows + self.cols))
        return np.array([1.0, held, held * plan.points, self.arrays * n, answers])
