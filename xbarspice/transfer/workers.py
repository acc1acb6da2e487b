"""Transfers in other processes: of this machine, or of a Dask cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from xbarspice import campaign
from xbarspice.campaign import CircuitModel, Item
from xbarspice.campaign.items import Function
from xbarspice.core.errors import EngineError, broken_rule

__all__ = ["Answers", "Workers"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What workers gave, in the order of the items, up to the first that is missing.

    Attributes:
        values: of the items.
        stopped: why items are missing; None where none is.
    """

    values: list[dict[str, Any]]
    stopped: BaseException | None

    def complete(self) -> list[dict[str, Any]]:
        """All values.

        Raises:
            EngineError: an item failed.
            KeyboardInterrupt: the work was stopped.
        """
        if self.stopped is not None:
            raise self.stopped
        return self.values


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who computes transfers.

    Attributes:
        processes: of this machine; None for one a core.
        scheduler: address of a Dask scheduler, "tcp://host:8786", to compute there instead.
        factory: ``module:factory`` of a model that cannot be exported; every worker imports it.
        together: transfers of one item of work.
    """

    processes: int | None = None
    scheduler: str | None = None
    factory: str | None = None
    together: int = 32

    def __post_init__(self) -> None:
        count = self.processes
        if count is not None and (count < 1 or self.scheduler is not None):
            raise broken_rule(
                "workers are >= 1 processes of this machine, or those of a scheduler",
                f"{count} processes, scheduler {self.scheduler!r}",
                "Leave one of them out.",
            )
        if self.together < 1:
            raise broken_rule("`together` must be >= 1", self.together, "32 is usual.")

    def parts(self, first: int, end: int) -> list[dict[str, int]]:
        """Transfers from `first` to before `end`, as parameters of items."""
        return [
            {"first": start, "end": min(start + self.together, end)}
            for start in range(first, end, self.together)
        ]

    def pack(self, circuit: nn.Module, arguments: Sequence[Any]) -> dict[str, Any]:
        """A model and its inputs as they travel: `model` and `x` of an item's function.

        Raises:
            InputError: the model cannot be saved.
        """
        model = CircuitModel.of(circuit, tuple(arguments), factory=self.factory)
        return {"model": model, "x": [argument.cpu().numpy() for argument in arguments]}

    def run(
        self,
        function: Function,
        items: Sequence[Mapping[str, Any]],
        progress: Callable[[int, int], None],
    ) -> Answers:
        """Run a function over items; `progress` is called with (items done, items in all).

        Raises:
            EngineError: the workers cannot start, or the cluster is lost.
        """
        stopped: BaseException | None = None
        with tempfile.TemporaryDirectory(prefix="xbarspice-") as folder:
            path = Path(folder) / "items.h5"
            try:
                campaign.run(
                    items,
                    function,
                    path,
                    workers=self.processes,
                    scheduler=self.scheduler,
                    progress=lambda done, total: progress(done, total or len(items)),
                )
            except KeyboardInterrupt as error:
                stopped = error
            results = campaign.load(path)
        keys = [Item(item).key for item in items]
        missing = next((k for k, key in enumerate(keys) if key not in results), len(keys))
        if stopped is None and missing < len(keys):
            failure = results.failures[keys[missing]]
            stopped = EngineError(f"a worker failed: {failure.error}: {failure.text}")
        return Answers(values=[results[key] for key in keys[:missing]], stopped=stopped)
