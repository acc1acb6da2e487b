"""Programming: write conductances into passive arrays, device by device."""

from xbarspice.programming.channels import Channels
from xbarspice.programming.plans import Plan, plan, unwritten
from xbarspice.programming.results import ORDERS, Programmed, Pulses, order_of
from xbarspice.programming.write_verify import check, compare_orders, program, replay

__all__ = [
    "ORDERS",
    "Channels",
    "Plan",
    "Programmed",
    "Pulses",
    "check",
    "compare_orders",
    "order_of",
    "plan",
    "program",
    "replay",
    "unwritten",
]
