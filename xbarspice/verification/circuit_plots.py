"""What the page of a verified model draws, with captions."""

from __future__ import annotations

from functools import partial

from xbarspice.report.content import Plot
from xbarspice.verification import plots
from xbarspice.verification.page_parts import Record

__all__ = ["cost_bars", "read_errors"]


def read_errors(record: Record, engine: str) -> Plot:
    """Worst error of every read that the reference solved, over the largest current of its array.

    Args:
        record: of `Verification.record()`.
        engine: whose errors.
    """
    reference, count = record["reference"], len(record["tiles"][engine])
    return Plot(
        draw=partial(plots.network, record, engine),
        alt=f"Worst error of {engine} against {reference} of {count} array reads",
        caption=f"{engine} against {reference}: each point is one read of one array, over all its "
        "vectors and columns.",
        width=5.2,
    )


def cost_bars(record: Record) -> Plot:
    """What each matrix and cause does to the outputs, the largest first.

    Args:
        record: of `Verification.record()`.
    """
    return Plot(
        draw=partial(plots.costs, record),
        alt="Change of the outputs by each matrix and cause",
        caption="One matrix: it on arrays, all others exact. A cause: the circuit with it against "
        "without it.",
        width=5.2,
        height=plots.costs_height(record),
    )
