"""What a campaign over a model will take: one item is looked at, the probe does the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from xbarspice import engines
from xbarspice.campaign.cost import CostModel, Estimate, probe_costs
from xbarspice.campaign.items import Function
from xbarspice.campaign.work import Work
from xbarspice.core.array import Crossbar, Drive
from xbarspice.core.errors import broken_rule
from xbarspice.engines.base import Engine, Raw

__all__ = ["WorkRecorder", "estimate_circuits"]


class WorkRecorder(Engine[Any]):
    """Solves by the surrogate, and notes what another engine would have had to do.

    Args:
        engine: name of the other engine.

    Attributes:
        works: how often each call happened.
        cpu_seconds: that the surrogate took for them.
    """

    name = "recorder"

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.works: Counter[Work] = Counter()
        self.cpu_seconds = 0.0
        self._inner = engines.get("surrogate")

    def _prepare(self, crossbar: Crossbar) -> Any:
        start = time.process_time()
        state = self._inner.prepare(crossbar)
        self.cpu_seconds += time.process_time() - start
        return state

    def _solve(self, state: Any, crossbar: Crossbar, drive: Drive, full: bool) -> Raw:
        arrays = len(crossbar.G_flat)
        if len(drive.array):
            work = Work(
                rows=crossbar.rows,
                cols=crossbar.cols,
                arrays=arrays,
                vectors=-(-len(drive.array) // arrays),
                device=crossbar.device.name,
                engine=self.engine,
            )
            self.works[work] += 1
        start = time.process_time()
        raw = self._inner._solve(state, crossbar, drive, full)
        self.cpu_seconds += time.process_time() - start
        return raw


def estimate_circuits(
    items: Iterable[Mapping[str, Any]], function: Function, *, workers: int | None = None
) -> tuple[Estimate, CostModel]:
    """What a campaign of `circuit_item` will take, from a probe on this machine, now.

    The first item of each number of points is run by the surrogate to see what it has to solve.
    Transfers and wires are taken to cost alike.

    Args:
        items: of the campaign, with the name of its engine.
        function: the campaign's, a `functools.partial` of `circuit_item`.
        workers: processes on this machine; None for one a core.

    Returns:
        The estimate, and the costs that it was made of.

    Raises:
        InputError: no items, or none of them solves an array.
        EngineError: a solve failed.
    """
    firsts: dict[int, Mapping[str, Any]] = {}
    counts: Counter[int] = Counter()
    for item in items:
        start, end = item.get("points") or (0, 0)
        firsts.setdefault(end - start, item)
        counts[end - start] += 1
    works: Counter[Work] = Counter()
    other = 0.0
    for size, item in firsts.items():
        recorder = WorkRecorder(item["engine"])
        begin = time.process_time()
        function({**item, "engine": recorder})
        other += counts[size] * max(time.process_time() - begin - recorder.cpu_seconds, 0.0)
        for work, times in recorder.works.items():
            works[work] += times * counts[size]
    if not works:
        raise broken_rule(
            "a campaign must solve arrays", "items that solve none", "Check the model."
        )
    model = probe_costs(works, workers=workers, imports=["xbarspice.campaign.circuits"])
    return model.estimate(works, counts.total(), other_cpu_seconds=other), model
