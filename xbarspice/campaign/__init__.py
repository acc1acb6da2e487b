"""Campaigns: many solves whose results survive anything that stops the program.

A campaign is a list (or generator) of `Item` and a function that turns an item's parameters into a
dictionary of arrays and numbers. Each result is written to HDF5 soon after it comes (see
`xbarspice.campaign.journal` for what is on disk), so that a campaign that was killed
continues with ``resume=True`` where it stopped. An item counts as finished when its result is
committed to the disk; only such items are reported as done, and none of them is ever done again.
"""

from typing import TYPE_CHECKING

from xbarspice.campaign.cost import CostModel, Estimate, probe_costs
from xbarspice.campaign.items import Item, content_hash
from xbarspice.campaign.results import Failure, Results, load
from xbarspice.campaign.runner import Summary, run
from xbarspice.campaign.solves import solve_item, verify_item
from xbarspice.campaign.work import Work
from xbarspice.core.lazy import names_on_first_use

if TYPE_CHECKING:
    from xbarspice.campaign.circuits import CircuitModel, circuit_item

__all__ = [
    "CircuitModel",
    "CostModel",
    "Estimate",
    "Failure",
    "Item",
    "Results",
    "Summary",
    "Work",
    "circuit_item",
    "content_hash",
    "load",
    "probe_costs",
    "run",
    "solve_item",
    "verify_item",
]

__getattr__ = names_on_first_use(
    __name__,
    {
        "CircuitModel": "xbarspice.campaign.circuits",
        "circuit_item": "xbarspice.campaign.circuits",
    },
)
"""Models on arrays need torch, which takes seconds; every worker imports this package."""


def __dir__() -> list[str]:
    return sorted(__all__)
