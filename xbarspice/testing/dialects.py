"""The kit for netlist dialects: the same circuit in every form, read back and proven."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

from xbarspice import __version__
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import InputError
from xbarspice.devices.forms import CONDUCTANCE
from xbarspice.netlist import compare, dialects, write
from xbarspice.netlist.bench import bench
from xbarspice.netlist.cells import FORMS, Wires
from xbarspice.netlist.design import Design, design
from xbarspice.netlist.design_reader import ReadDesign, prove
from xbarspice.netlist.dialects.base import Dialect
from xbarspice.netlist.numbers import conductance
from xbarspice.netlist.records import config_hash, g_hash
from xbarspice.testing.engines import ASYMMETRIC, DEVICES
from xbarspice.testing.rules import Rules, need

__all__ = ["check_dialect"]

RESISTANCES: dict[str, dict[str, Any]] = {
    "resistances": {},
    "word lines and ends of 0": {"R_wl": 0.0, "R_driver": 0.0, "R_sense": 0.0},
    "bit lines and sensed ends of 0": {"R_bl": 0.0, "R_sense": 0.0},
    "wires of 0": {"R_wl": 0.0, "R_bl": 0.0},
    "segments that differ": {"R_wl": [[5.0, 1e-3], [7.1, 1e12]], "R_bl": [[2.0, 2.5, 3.1]]},
    "ends that differ": {"R_driver": [10.0, 11.3], "R_sense": [20.0, 1e-3, 19.5]},
    "single segments and ends of 0": {
        "R_wl": [[0.0, 5.0], [0.0, 0.0]],
        "R_bl": [[2.0, 0.0, 3.0]],
        "R_driver": [0.0, 10.0],
        "R_sense": [0.0, 20.0, 0.0],
    },
}
"""Of the asymmetric array, where other than its own."""
LONGEST = 130
"""Columns that every program reads."""


def check_dialect(name: str, *, devices: tuple[str, ...] = DEVICES) -> list[str]:
    """Hold a registered dialect to what all dialects promise.

    Decks and designs are written of the asymmetric 2x3 array: three devices, resistances of 0 and
    such that differ from place to place, one and two tiles, hierarchical and flat, every form of
    devices. Designs are read back and proven to
    be the circuit, with every conductance bit by bit; so are decks where the dialect reads them.

    Args:
        name: of the dialect, in `xbarspice.netlist.dialects.registry`.
        devices: names of device models.

    Returns:
        The rules that held.

    Raises:
        AssertionError: a rule broke; the text names it.
    """
    rules = Rules(f"dialect {name!r}")
    dialect = dialects.get(name)
    with rules.rule("the registry knows it by the name that it has"):
        need(dialect.name == name, f"its name is {dialect.name!r}")
    for device in devices:
        for wiring, changes in RESISTANCES.items():
            wires = ASYMMETRIC.wires | changes
            crossbar = Crossbar(ASYMMETRIC.G, device=device, **wires)
            where = f"{device}, {wiring}"
            with rules.rule(f"deck ({where}): repeatable, with version and hash, not too wide"):
                _check_deck(dialect, crossbar)
            with rules.rule(f"design ({where}): reads back as the circuit, bit by bit"):
                _check_designs(dialect, crossbar)
            with rules.rule(f"test bench ({where}): drives and senses every pin of the design"):
                _check_bench(dialect, crossbar)
    return rules.held


def _check_text(text: str, repeated: str, hashes: tuple[str, ...]) -> None:
    need(text == repeated, "writing twice gives two texts")
    need(text.endswith("\n"), "the text must end in a new line")
    widest = max(map(len, text.splitlines()))
    need(widest <= LONGEST, f"a line has {widest} columns")
    for words in hashes:
        need(words in text, f"the header does not say {words!r}")


def _check_deck(dialect: Dialect, crossbar: Crossbar) -> None:
    content = config_hash(crossbar) if dialect.runs else g_hash(crossbar)
    vectors = np.outer([1.0, 0.5, -0.25], ASYMMETRIC.V_in)
    for V_in in (ASYMMETRIC.V_in, vectors):
        text, repeated = (write(crossbar, V_in, dialect=dialect.name) for _ in range(2))
        _check_text(text, repeated, (f"version: {__version__}", content))
        if dialect.reads_decks:
            compare(crossbar, text, V_in, dialect=dialect.name)
        elif dialect.runs:
            _refuse_to_read(dialect, text)


def _refuse_to_read(dialect: Dialect, deck: str) -> None:
    try:
        dialect.read_deck(deck)
    except InputError:
        return
    raise AssertionError("`reads_decks` is False and a deck was read")


def _check_designs(dialect: Dialect, crossbar: Crossbar) -> None:
    for tiles, wires in ((1, Wires(C_wl=1e-16, C_bl=3e-16)), (2, None)):
        for hierarchical in (True, False):
            for form in FORMS:
                drawn = design(
                    [crossbar] * tiles, hierarchical=hierarchical, form=form, wires=wires
                )
                if drawn.form not in dialect.forms:
                    _refuse_form(dialect, drawn)
                    continue
                text = dialect.design(drawn)
                header = (f"version: {__version__}", drawn.config, g_hash(crossbar))
                _check_text(text, dialect.design(drawn), header)
                read = prove(text, dialect.name, drawn)
                if tiles == 1 and drawn.form != "verilog_a":  # its instances need not carry G
                    assert_array_equal(_conductances(read, crossbar.G.shape), crossbar.G)


def _refuse_form(dialect: Dialect, drawn: Design) -> None:
    try:
        dialect.design(drawn)
    except InputError as error:
        need("writes devices as" in str(error), f"the error does not say the forms: {error}")
    else:
        raise AssertionError(f"the form {drawn.form!r} is not in `forms` and is written")


def _conductances(read: ReadDesign, shape: tuple[int, ...]) -> np.ndarray:
    G = np.zeros(shape)
    for _, element in read.elements:
        match = re.fullmatch(r"[RXNrxn]d_(\d+)_(\d+)", element.name)
        if match:
            value = dict(element.params).get(CONDUCTANCE)
            G[int(match[1]), int(match[2])] = float(value) if value else conductance(element.value)
    return G


def _check_bench(dialect: Dialect, crossbar: Crossbar) -> None:
    form = "resistor" if crossbar.device.linear else dialect.forms[0]
    drawn = design([crossbar], form=form)
    around = bench(drawn, 0, crossbar, ASYMMETRIC.V_in, include="network")
    if not dialect.runs:
        try:
            dialect.bench(around)
        except InputError:
            return
        raise AssertionError("`runs` is False and a test bench was written")
    text = dialect.bench(around)
    _check_text(text, dialect.bench(around), (drawn.config,))
    for source in (*around.drives, *around.senses):
        need(source.name in text, f"the source {source.name} is missing")
        need(dialect.node(source.node) in text, f"the pin {source.node} is missing")
