"""Netlists of a tapeout: post-layout ones with every segment, and schematic ones for LVS."""

from xbarspice.tapeout.netlists.handover import array_texts, handover_texts
from xbarspice.tapeout.netlists.postlayout import (
    NetlistFile,
    Read,
    decks,
    netlists,
    reads_of,
    refuse_form,
    write_netlists,
)

__all__ = [
    "NetlistFile",
    "Read",
    "array_texts",
    "decks",
    "handover_texts",
    "netlists",
    "reads_of",
    "refuse_form",
    "write_netlists",
]
