"""What the analyses of one array under one drive vector share: records, sources, the program."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.engines.ngspice.probe import ngspice_info
from xbarspice.engines.ngspice.rawfile import RawFile
from xbarspice.engines.ngspice.runner import Run, control_section, run_deck
from xbarspice.netlist import build
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.netlist.records import Netlist

__all__ = ["deck", "run", "single"]


def single(
    crossbar: Crossbar, V_in: npt.ArrayLike, V_out: npt.ArrayLike | None, *, timeout: float
) -> Netlist:
    """Records of one array and one vector.

    Raises:
        InputError: there are batch axes, or an argument breaks a rule.
        FloatingNodeError: a line has no path to any source.
    """
    if not timeout > 0:
        raise broken_rule("`timeout` must be > 0 s", timeout, "Give a limit in seconds.")
    drive = crossbar.drive(V_in, V_out)
    if drive.batch:
        raise broken_rule(
            "this analysis takes one array and one vector",
            f"a batch of shape {drive.batch}",
            "Call it once for each array and each vector.",
        )
    return build(crossbar, V_in, V_out)


def deck(
    netlist: Netlist,
    waveform: Callable[[str, float], str],
    *,
    analysis: str,
    options: str,
    nodes: bool,
    extra: list[str] | None = None,
) -> list[str]:
    """The lines that ngspice runs.

    Args:
        netlist: records of one vector.
        waveform: text after the nodes of a source, from its name and its voltage in V.
        analysis: command of the control section.
        options: words of the `.options` card.
        nodes: save all node voltages, not only those of the drivers.
        extra: further elements.
    """
    lines = [*dialect.header(netlist), *dialect.passive(netlist), "* drivers and sense nodes"]
    for sources in (
        netlist.word_drives,
        netlist.bit_drives,
        netlist.word_senses,
        netlist.bit_senses,
    ):
        rows = zip(sources.names, sources.nodes, sources.volts[0].tolist(), strict=True)
        lines += [f"{name} {node} 0 {waveform(name, volts)}" for name, node, volts in rows]
    return [
        *lines,
        *(extra or []),
        f".options {options}",
        *([".save all"] if nodes else dialect.saves(netlist)),
        *control_section(analysis),
    ]


def run(
    lines: list[str],
    *,
    executable: str | os.PathLike[str] | None,
    timeout: float,
    points: int | None,
    accept: Callable[[RawFile], None] | None = None,
) -> Run:
    """Run a deck of `deck`, with KLU where the program has it; `points`, `accept`: see `run_deck`.

    Raises:
        EngineError: ngspice is missing or gave no trustworthy answer.
    """
    info = ngspice_info(executable, timeout=min(timeout, 20.0))
    if info.klu:
        lines = [f"{line} klu" if line.startswith(".options ") else line for line in lines]
    return run_deck(
        [info.path, "-n", "-b"],
        lines,
        points=points,
        klu=info.klu,
        timeout=timeout,
        accept=accept,
    )
