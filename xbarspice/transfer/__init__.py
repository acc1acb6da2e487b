"""How a model on arrays fares over many transfers of its weights onto imperfect devices."""

from xbarspice.transfer.budget import Budget, loss_budget
from xbarspice.transfer.circuits import at_level, only_on, with_variation
from xbarspice.transfer.intervals import Interval
from xbarspice.transfer.programming import Programming
from xbarspice.transfer.results import TransferStudy
from xbarspice.transfer.study import transfer
from xbarspice.transfer.workers import Workers

__all__ = [
    "Budget",
    "Interval",
    "Programming",
    "TransferStudy",
    "Workers",
    "at_level",
    "loss_budget",
    "only_on",
    "transfer",
    "with_variation",
]
