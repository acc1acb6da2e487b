"""The proof of a design: whatever is not understood completely is refused, in every dialect."""

from __future__ import annotations

import re

import pytest

from tests.helpers import asymmetric_crossbar
from xbarspice.core.errors import InputError, NetlistError
from xbarspice.netlist import dialects
from xbarspice.netlist.cells import Wires
from xbarspice.netlist.design import design
from xbarspice.netlist.design_reader import prove

SPICE = [name for name in dialects.names() if name not in ("spectre", "vacask")]
WIRES = Wires(C_wl=1e-16, C_bl=3e-16)


def written(dialect, *, device="ohmic", hierarchical=True, wires=None):
    form = "verilog_a" if dialect == "vacask" else "subcircuit"
    array = asymmetric_crossbar(device=device)[0]
    it = design([array], hierarchical=hierarchical, form=form, wires=wires, name="dut")
    return dialects.get(dialect).design(it), it


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


def refuses(text, dialect, it, words=r"line \d+"):
    with pytest.raises(NetlistError, match=words):
        prove(text, dialect, it)


@pytest.mark.parametrize("dialect", dialects.names())
@pytest.mark.parametrize(
    "words", ["m=2", "tc1=0.1", "scale=3", "tc=1,2", "ac=1", "temp=100", "$[RWL]", "w=1u", "2"]
)
def test_a_parameter_of_a_resistor_is_refused(dialect, words):
    text, it = written(dialect)
    line = line_of(text, "Rd_0_1 ")
    refuses(text.replace(line, f"{line} {words}"), dialect, it, rf"line \d+.*{re.escape(words)}")


@pytest.mark.parametrize("dialect", dialects.names())
@pytest.mark.parametrize("words", ["m=2", "xb_g=1", "M=1", "xyz"])
def test_a_parameter_of_a_device_or_a_cell_is_refused(dialect, words):
    device = "sinh_tio2"
    for start in ("Xd_0_1 ", "Xtile "):
        text, it = written(dialect, device=device)
        if start == "Xd_0_1 " and dialect == "cdl" and words == "xb_g=1":
            continue
        line = line_of(text, start)
        refuses(text.replace(line, f"{line} {words}"), dialect, it, r"line \d+|value")


@pytest.mark.parametrize("dialect", SPICE)
@pytest.mark.parametrize(
    "card",
    [
        ".options rshunt=1e6",
        ".option scale=2",
        ".param x=1",
        ".temp 100",
        ".ic v(w_0_1)=1",
        ".include other.cir",
        ".lib x y",
        ".global w_0_1",
        ".model r r tc1=1",
        ".nodeset v(a)=1",
        ".control",
        ".if (1)",
        "*.SCALE METER",
        "*#alter r1=2",
        "*ng_script",
        "+ 2",
        " R1 a b 1",
        ".subckt dut__row_0 a b",
        "R1 WL<0> BL<0> 1",
        ".end\nR1 WL<0> 0 1",
        ".connect a b",
        "* note \\",
        "simulator lang=spectre",
        ".data",
        "\\",
        "'",
        "*.EQUIV a b",
    ],
)
def test_a_card_that_we_do_not_write_is_refused(dialect, card):
    for device in ("ohmic", "sinh_tio2"):
        text, it = written(dialect, device=device)
        for at in ("\n.ends", "\n.ENDS", "\n.subckt", "\n.SUBCKT"):
            if at in text and not card.startswith(".end"):
                refuses(text.replace(at, f"\n{card}{at}", 1), dialect, it, "line|refused|differ")
        refuses(text + card + "\n", dialect, it, "line|differ|cut off")


@pytest.mark.parametrize("dialect", ["spectre", "vacask"])
@pytest.mark.parametrize(
    "card",
    [
        "parameters x=1",
        "global 0 w_0_1",
        "o options temp=100",
        'include "x"',
        "ic w_0_1=1",
        "simulator lang=spice",
        "model resistor resistor tc1=1",
        "subckt dut__row_0 (a b)",
        "R1 (WL_0 BL_0) resistor r=1",
        "+ 2",
        "* note",
        "// note \\",
        "R1 (a b) iprobe",
        "}",
        "inline subckt x (a b)",
        "\\",
    ],
)
def test_a_statement_that_we_do_not_write_is_refused(dialect, card):
    for device in ("ohmic", "sinh_tio2"):
        text, it = written(dialect, device=device)
        for at in ("\nends", "\nsubckt"):
            refuses(text.replace(at, f"\n{card}{at}", 1), dialect, it, "line|differ")
        refuses(text + card + "\n", dialect, it, "line|differ|cut off")


@pytest.mark.parametrize("dialect", dialects.names())
@pytest.mark.parametrize("space", ["\xa0", "\u2003", "\u3000", "\x0b", "\x0c", "\x85", "\u200b"])
def test_an_odd_space_inside_a_card_is_refused(dialect, space):
    text, it = written(dialect)
    line = line_of(text, "Rd_0_1 ")
    for odd in (line.replace(" ", f" {space}", 1), line + space, line.replace(" ", space, 1)):
        refuses(text.replace(line, odd), dialect, it, r"line \d+.*(plain ASCII|be R|must read)")


@pytest.mark.parametrize("dialect", dialects.names())
def test_what_means_the_same_is_accepted(dialect):
    """Comments of the dialect, a final .end, factors, other names of inner nodes and instances."""
    marks = {
        "ngspice": ["; x", "$ x", "// x"],
        "hspice": ["$ x"],
        "ltspice": [";x"],
        "xyce": ["; x"],
        "spectre": ["// x"],
        "vacask": ["// x"],
        "cdl": [],
    }
    for device in ("ohmic", "sinh_tio2"):
        for hierarchical in (True, False):
            text, it = written(dialect, device=device, hierarchical=hierarchical, wires=WIRES)
            line = line_of(text, "Rw_0_1 ")
            for mark in marks[dialect]:
                prove(text.replace(line, f"{line} {mark}"), dialect, it)
            renamed = re.sub(r"\bw_(\d)_(\d)\b", r"word\1n\2", text)
            prove(renamed, dialect, it)
            prove(re.sub(r"(?m)^([RX])w_", r"\1metal", text), dialect, it)
            prove(re.sub(r"(?m)^X(?!d_)", "Xanother", text), dialect, it)
            prove(text.replace("dut__row_", "slice"), dialect, it)
            if dialect in SPICE:
                prove(text + "\n\n.end\n", dialect, it)
            if dialect != "vacask":
                prove(text.replace(line, line.replace("5.0", "5000m")), dialect, it)
                refuses(text.replace(line, line.replace("5.0", "5001m")), dialect, it, "value")
    million = text.replace(line, line.replace("5.0", "0.000005M"))
    if dialect == "spectre":
        prove(million, dialect, it)  # Spectre tells M from m
    else:
        refuses(million, dialect, it, "value")


@pytest.mark.parametrize("dialect", dialects.names())
def test_a_subcircuit_that_calls_itself_is_an_error(dialect):
    text, it = written(dialect)
    outer_of = {"tile": "tile", "row": "array"}
    for inner, outer in outer_of.items():  # directly, and in a circle
        cell = line_of(text, next(f for f in (".subckt", ".SUBCKT", "subckt") if f in text))
        call = line_of(text, "Xarray " if inner == "tile" else "Xrow_0 ")
        if inner == "tile":
            changed = text.replace(call, call.replace("dut__array", "dut__tile"))
        else:
            changed = text.replace(cell, f"{cell}\n{call.replace('dut__row_0', f'dut__{outer}')}")
        refuses(changed, dialect, it, "hold itself|not used|must connect")


def test_cells_that_multiply_are_refused_before_they_do():
    """Thirty cells of two instances each would be a thousand million elements."""
    text, it = written("ngspice")
    cells = "".join(
        f".subckt c{k} a b\nX1 a b c{k - 1}\nX2 a b c{k - 1}\n.ends\n" for k in range(1, 31)
    )
    start = ".subckt c0 a b\nR1 a b 1\n.ends\n"
    row = line_of(text, ".subckt dut__row_0")
    bomb = text.replace(row, f"{start}{cells}{row}\nXb W B<0> c30")
    refuses(bomb, "ngspice", it, "at most")


@pytest.mark.parametrize("name", ["0x", "a b", "a__b", "", "a" * 33, "a-b", "é", "_a", "a_"])
def test_a_name_that_some_dialect_cannot_take_is_refused(name):
    with pytest.raises(InputError, match="name of a design"):
        design([asymmetric_crossbar()[0]], name=name)


def test_the_name_follows_from_the_content():
    array = asymmetric_crossbar()[0]
    flat = design([array], hierarchical=False, form="resistor")
    assert design([array]).name == flat.name
    assert design([array.replace(R_wl=7.0)]).name != flat.name
    assert all(cell.name.startswith(f"{flat.name}__") for cell in design([array]).cells[:-1])


def test_a_header_that_lies_is_refused():
    text, it = written("hspice")
    for old, new in (("R_wl=5.0", "R_wl=50.0"), ("form: resistor", "form: subcircuit")):
        assert old in text
        refuses(text.replace(old, new), "hspice", it, "header")


@pytest.mark.parametrize("dialect", dialects.names())
def test_another_master_is_refused(dialect):
    text, it = written(dialect, device="sinh_tio2")
    for start in ("Xd_0_1", "Rw_0_1"):
        line = line_of(text, start)
        old = {"X": it.model, "R": "resistor" if dialect in ("spectre", "vacask") else "Rw_0_1"}
        new = {"X": "other", "R": "capacitor" if dialect in ("spectre", "vacask") else "Cw_0_1"}
        changed = line.replace(old[start[0]], new[start[0]])
        assert changed != line
        refuses(text.replace(line, changed), dialect, it, "line|no subcircuit|value|missing")


@pytest.mark.parametrize("dialect", SPICE)
def test_an_instance_that_is_named_like_a_resistor_is_none(dialect):
    """``X1 a b R value=5`` is an instance of a subcircuit R, which nobody defines."""
    text, it = written(dialect)
    line = line_of(text, "Rw_0_1 ")
    name, a, b, ohm, *resistor_class = line.split()
    word = dialects.get(dialect).params_word
    master = "R" + "".join(resistor_class)
    instance = f"X{name} {a} {b} {master}{word} value={ohm}"
    refuses(text.replace(line, instance), dialect, it, "must be a cell, and a cell has no param")
