"""How much of the experiment is done: all of it, or a quick part for continuous integration."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from papers.drolet2023 import digits
from papers.drolet2023.recipes import FULL, QUICK, Effort

__all__ = ["Plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do.

    Attributes:
        seeds: seeds of the networks.
        transfers, circuit_transfers: a network and setting, without and with the circuit.
        budget_transfers: a row of the loss budget.
        confirm: transfers of (c) that ngspice repeats for the network in the middle of its row; 0
            leaves it out.
        fresh: newly drawn points of the same law, on which the networks of (b) are judged as well.
        tried: steps of each trial in the table of what was tried; 0 leaves the table out.
        effort: of the training.
        digits: the second case; None leaves it out.
    """

    seeds: tuple[int, ...] = tuple(range(6))
    transfers: int = 2000
    circuit_transfers: int = 2000
    budget_transfers: int = 500
    confirm: int = 0
    fresh: int = 4000
    tried: int = 250
    effort: Effort = FULL
    digits: digits.Plan | None = None

    def less_than_full(self) -> dict[str, tuple[int, int]]:
        """What is smaller than in the full experiment: name -> (this run, full run)."""
        full = Plan()
        names = ("transfers", "circuit_transfers", "budget_transfers", "fresh", "tried")
        pairs = {name: (getattr(self, name), getattr(full, name)) for name in names}
        pairs["seeds"] = (len(self.seeds), len(full.seeds))
        pairs |= {
            f"training_{name}": (value, getattr(full.effort, name))
            for name, value in asdict(self.effort).items()
        }
        return {name: pair for name, pair in pairs.items() if pair[0] < pair[1]}

    @classmethod
    def full(cls, *, confirm: int = 0) -> Plan:
        """Both cases; with `confirm`, 20 transfers of the digits go through ngspice as well."""
        return cls(confirm=confirm, digits=digits.Plan(confirm=20 if confirm else 0))

    @classmethod
    def quick(cls, *, confirm: int = 0) -> Plan:
        """Two seeds and a few transfers, for continuous integration."""
        return cls(
            seeds=(0, 1),
            transfers=200,
            circuit_transfers=100,
            budget_transfers=100,
            confirm=confirm,
            fresh=400,
            tried=0,
            effort=QUICK,
            digits=digits.Plan.quick(confirm=confirm),
        )
