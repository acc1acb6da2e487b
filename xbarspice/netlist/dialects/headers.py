"""The first lines of designs, test benches and decks: what they are, with their hashes."""

from __future__ import annotations

from xbarspice.netlist.bench import Bench
from xbarspice.netlist.design import Design
from xbarspice.netlist.records import Netlist, describe_device, g_hash, wire_text

__all__ = ["bench_header", "deck_header", "design_header"]

_SUBSTRATE = "and last VSS, the substrate, where the wires' capacitances end"


def design_header(design: Design, dialect: str) -> list[str]:
    """What a design is, with its hashes and the order of its pins."""
    from xbarspice import __version__

    lines = [
        f"xbarspice design {design.top.name}, {dialect} dialect, "
        + ("hierarchical" if design.hierarchical else "flat"),
        f"version: {__version__}",
        f"config: {design.config}",
        f"form: {design.form}",
        f"device: {describe_device(design.crossbars[0])}",
    ]
    for k, xb in enumerate(design.crossbars):
        lines += [
            f"tile {k}: {xb.rows} word lines x {xb.cols} bit lines, G sha256 {g_hash(xb)}",
            f"tile {k}: " + " ".join(f"{n}={wire_text(n, R)}" for n, R in xb.wires.items()),
        ]
    lines += [
        "pins: word lines from the top (WL 0 first), then bit lines from the left (BL 0 first)"
    ]
    return [*lines, _SUBSTRATE] if "VSS" in design.top.pins else lines


def bench_header(bench: Bench, dialect: str) -> list[str]:
    """What a test bench drives and reads."""
    lines = [
        f"xbarspice test bench of {bench.cell}, {dialect} dialect: {bench.vectors} vectors",
        f"config of the design: {bench.config}",
    ]
    if bench.senses:
        first, last = bench.senses[0].name, bench.senses[-1].name
        lines += [f"readings: the current into the + terminal of {first} to {last}, A"]
    return lines


def deck_header(netlist: Netlist, dialect: str) -> list[str]:
    """Header of a deck."""
    from xbarspice import __version__

    xb = netlist.crossbar
    return [
        f"xbarspice crossbar, {dialect} dialect, {xb.rows} word lines x {xb.cols} bit lines",
        f"version: {__version__}",
        f"config: {netlist.config}",
        f"device: {describe_device(xb)}",
        f"G sha256: {g_hash(xb)}",
        f"vectors: {netlist.vectors}",
    ]
