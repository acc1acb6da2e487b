"""Netlists of resistor crossbars by any hand: read as arrays by how their elements are joined.

Node names say nothing. Voltage sources to ground (or resistors to ground, or the pins of a
subcircuit without sources) are line ends; lines at sources other than 0 V are word lines. Every
segment keeps its resistance. What is no array is refused with a line of the text.
"""

from __future__ import annotations

from pathlib import Path

from xbarspice.core.errors import InputError, NetlistError
from xbarspice.core.files import read_text
from xbarspice.core.values import number_of
from xbarspice.exchange.circuit import circuit_of
from xbarspice.exchange.placing import place
from xbarspice.exchange.records import ImportedArray, ImportedFile
from xbarspice.exchange.spice_text import flatten
from xbarspice.exchange.wires import lines_of

__all__ = ["parse", "read"]

FORM = "SPICE netlist"


def read(path: str | Path, *, wires_below: float | None = None) -> ImportedFile:
    """The array in a netlist file; see `parse`.

    Args:
        path: the file.
        wires_below: as of `parse`, ohm.

    Raises:
        InputError: there is no such file. NetlistError: as of `parse`, with the name of the file.
    """
    path = Path(path)
    text = read_text(path, "the netlist", "UTF-8 text")
    try:
        return parse(text, wires_below=wires_below)
    except InputError as error:
        raise type(error)(f"`{path.name}`, {error}") from None


def parse(text: str, *, wires_below: float | None = None) -> ImportedFile:
    """The array that a netlist of resistors and voltage sources describes.

    Args:
        text: a netlist of any SPICE: subcircuits, parameters, factors of numbers, comments and
            continuations are understood; as in all of them the first line is the title.
        wires_below: resistors below this many ohm are wires, all others devices; None to find what
            gives a crossbar, the widest gap between resistances first.

    Returns:
        One array with the voltages of the sources as `V_in` (and `V_out` where bit lines are
        driven); its lines have the names of their sources. The notes say what was free.

    Raises:
        NetlistError: a line is not understood, or the resistors make no crossbar.
        InputError: a resistance lies beyond the limits of `Crossbar`.
    """
    if wires_below is not None:
        wires_below = number_of("wires_below", wires_below, positive=True, remedy="Give ohm.")
    flat = flatten(text)
    try:
        circuits = [circuit_of(flat, ends) for ends in ("ground", "all", "none")]
        placed = place(lines_of(circuits, wires_below))
    except NetlistError as error:
        if flat.title_like_element:
            raise NetlistError(f"{error} {flat.title_like_element}") from None
        raise
    array = ImportedArray(
        name="array",
        crossbar=placed.crossbar,
        V_in=placed.V_in,
        V_out=placed.V_out,
        word_lines=placed.word_lines,
        bit_lines=placed.bit_lines,
    )
    return ImportedFile(
        form=FORM,
        arrays=(array,),
        notes=(*filter(None, [flat.title_like_element]), *flat.notes, *placed.notes),
    )
