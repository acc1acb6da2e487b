"""All texts of one array: netlists of the dialects, schematic ones for LVS, DSPF and SPEF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from xbarspice.core.array import Crossbar
from xbarspice.core.types import Array
from xbarspice.netlist.cells import Wires
from xbarspice.tapeout.netlists.dspf import prove_dspf, write_dspf
from xbarspice.tapeout.netlists.parasitics import parasitics
from xbarspice.tapeout.netlists.postlayout import NetlistFile, netlists, reads_of
from xbarspice.tapeout.netlists.schematic import (
    FORMS,
    prove_schematic,
    schematic,
    write_schematic,
)
from xbarspice.tapeout.netlists.spef import prove_spef, write_spef
from xbarspice.tapeout.sites import Site, drawn_array
from xbarspice.tapeout.technology import Technology

__all__ = ["array_texts", "handover_texts"]


def array_texts(
    site: Site,
    technology: Technology,
    volts: Mapping[str, Array],
    *,
    names: Sequence[str],
    form: str,
    brackets: str = "<>",
) -> Iterator[NetlistFile]:
    """Every netlist of one array of a tapeout, each proven.

    Args:
        site: the array with its wires as drawn, and the name of its cell.
        technology: of the drawing.
        volts: line voltages of every matrix, V, (vectors, groups, lines).
        names: dialects.
        form: how devices are written in them.
        brackets: of the lines' names, ``"<>"`` or ``"[]"``.

    Raises:
        InputError, NetlistError: as `netlists` and `handover_texts`.
    """
    array = drawn_array(site.array)
    wires = Wires(**technology.capacitances())
    reads = reads_of(site.array, volts)
    yield from netlists(
        array, reads, names=names, wires=wires, form=form, name=site.cell, brackets=brackets
    )
    yield from handover_texts(array, technology, site.cell, brackets)


def handover_texts(
    crossbar: Crossbar, technology: Technology, name: str, brackets: str = "<>"
) -> Iterator[NetlistFile]:
    """Schematic in two forms and the wires net by net, each read back and proven.

    Args:
        crossbar: the array with its wires as drawn.
        technology: names the foundry's cell of the device; nothing is written where it names none.
        name: of the array's cell.
        brackets: of the lines' names, ``"<>"`` or ``"[]"``.

    Raises:
        InputError: a segment or lead has no resistance.
        NetlistError: a text does not say what it must (nothing that is wrong stays unseen).
    """
    if technology.device.subckt is None or technology.device.pins is None:
        return
    for form in FORMS:
        it = schematic(crossbar, technology, name, extracted=form == "spice")
        text = write_schematic(it, form, brackets)
        prove_schematic(text, form, it, brackets)
        yield NetlistFile(dialect=form, file=f"schematic.{form}", kind="schematic", text=text)
    wires = parasitics(crossbar, technology, Wires(**technology.capacitances()), name)
    for form, write, prove in (
        ("dspf", write_dspf, prove_dspf),
        ("spef", write_spef, prove_spef),
    ):
        text = write(wires, brackets)
        prove(text, wires, brackets)
        yield NetlistFile(dialect=form, file=f"array.{form}", kind="parasitics", text=text)
