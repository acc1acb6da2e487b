"""How a model on arrays fares over many transfers of its weights onto imperfect devices."""

from xbarspice.transfer.results import Interval, TransferStudy
from xbarspice.transfer.study import at_level, only_on, transfer, with_variation

__all__ = ["Interval", "TransferStudy", "at_level", "only_on", "transfer", "with_variation"]
