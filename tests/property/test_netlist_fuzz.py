"""Netlists with random changes: refused, or truly the same circuit; never a traceback.

What a changed text truly means is found without our readers: by a lenient interpreter here, which
knows multipliers, factors and comments as simulators do, and by ngspice for decks.
"""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from tests.helpers import PATIENCE, asymmetric_crossbar, many
from xbarspice import netlist
from xbarspice.core.errors import InputError
from xbarspice.netlist import dialects
from xbarspice.netlist.design import design
from xbarspice.netlist.design_reader import prove

TOKENS = (
    "m=2",
    "M=1",
    "tc1=0.1",
    "scale=2",
    "2",
    "0",
    "w_0_1",
    "W",
    "=",
    "(",
    ")",
    "+",
    "*",
    ";",
    "$",
    "//",
    "\\",
    "\xa0",
    "²",
    "é",
    "\x0c",
    "1k",
    "1M",
    "1meg",
    "1e3",
    "nan",
    "-1",
    "g=1",
    "xb_g=1",
    "resistor",
    "$[RWL]",
    "params:",
    "0.5",
    ",",
    "{1}",
    "'1'",
    "; x",
    "$ x",
    "// x",
    "\t",
    "gnd",
)
CARDS = (
    ".options rshunt=1e6",
    ".option scale=2",
    ".param x=1",
    ".temp 9",
    ".end",
    ".ends",
    "ends",
    ".control",
    ".endc",
    "alter Rd_0_0=1",
    "op",
    ".global w_0_1",
    ".model r r",
    "* note",
    "// note",
    "*#alter",
    "+",
    "+ 2",
    "",
    " ",
    "R9 w_0_1 W 5",
    "R9 WL<0> BL<0> 1",
    "X9 a b c",
    ".subckt a b c",
    "subckt a (b)",
    "parameters g=1",
    "*.SCALE METER",
    "*.EQUIV a b",
    ".ic v(a)=1",
    "R9 (WL_0 BL_0) resistor r=1",
    ".save v(w_0_1)",
    "* rows: 2",
    "\\",
    "simulator lang=spice",
)


@st.composite
def changes(draw):
    """A function that changes a text in one place or a few."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        "token",
                        "word",
                        "card",
                        "drop",
                        "digit",
                        "swap",
                        "rename",
                        "case",
                        "cut",
                        "twice",
                        "character",
                    ]
                ),
                st.integers(0, 10**6),
                st.integers(0, 10**6),
                st.sampled_from(TOKENS),
                st.sampled_from(CARDS),
            ),
            min_size=1,
            max_size=2,
        )
    )

    def change(text):
        for kind, i, j, token, card in steps:
            text = "\n".join(change_lines(kind, text.split("\n"), i, j, token, card))
        return text

    return change


def change_lines(kind, lines, i, j, token, card):
    at = i % len(lines)
    words = lines[at].split(" ")
    k = j % len(words)
    if kind == "token":
        words.insert(j % (len(words) + 1), token)
    elif kind == "word":
        words[k] = token
    elif kind == "digit":
        digits = [m.start() for m in re.finditer(r"\d", lines[at])]
        if digits:
            spot = digits[j % len(digits)]
            words = [lines[at][:spot] + str(i % 10) + lines[at][spot + 1 :]]
    elif kind == "swap" and len(words) > 1:
        words[k - 1], words[k] = words[k], words[k - 1]
    elif kind == "case":
        words[k] = words[k].swapcase()
    elif kind == "character":
        spot = j % (len(lines[at]) + 1)
        words = [lines[at][:spot] + token[:1] + lines[at][spot:]]
    lines = [*lines[:at], " ".join(words), *lines[at + 1 :]]
    if kind == "card":
        lines.insert(at, card)
    elif kind == "drop":
        del lines[at]
    elif kind == "cut":
        lines = lines[:at] if at else lines
    elif kind == "twice":
        lines.insert(at, lines[j % len(lines)])
    elif kind == "rename":
        old = f"w_{i % 2}_{j % 3}"
        lines = [re.sub(rf"\b{old}\b", "another", line) for line in lines]
    return lines


FACTORS = {
    "": 1.0,
    "k": 1e3,
    "m": 1e-3,
    "meg": 1e6,
    "u": 1e-6,
    "n": 1e-9,
    "p": 1e-12,
    "f": 1e-15,
    "g": 1e9,
    "t": 1e12,
}


def resistance(word, dialect):
    number = re.fullmatch(r"([+-]?[\d.]+(?:e[+-]?\d+)?)([a-z]*)", word, re.IGNORECASE)
    assert number, f"nobody knows what {word!r} means"
    factor = number[2] if dialect == "spectre" else number[2].lower()
    return float(number[1]) * (1e6 if factor == "M" else FACTORS[factor.lower()])


def resistors(text, dialect):
    """(node, node, ohm) of a flat design of resistors, as a simulator takes it."""
    spectre = dialect in ("spectre", "vacask")
    text = re.sub(r"\\\n" if spectre else r"\n\+", " ", text)
    marks = {
        "spectre": r"//.*",
        "vacask": r"//.*",
        "ngspice": r"(;| //| \$( |$)).*",
        "hspice": r" \$( |$).*",
        "cdl": r"(?!)",
    }
    inside = False
    for raw in text.split("\n"):
        line = re.sub(marks.get(dialect, r";.*"), "", raw)
        if raw.startswith("*") or not line.split():
            continue
        words = line.replace("(", " ").replace(")", " ").split()
        head = words[0].lower().lstrip(".")
        if head in ("subckt", "ends", "end"):
            inside = head == "subckt"
        elif inside:
            assert words[0][0] in "Rr" or spectre, f"nobody knows what {line!r} means"
            values = words[3:]
            if spectre:
                assert len(values) == 2, line
                assert "resistor" in values[0], line
                yield words[1], words[2], resistance(values[1].removeprefix("r="), dialect)
            else:
                assert len(values) == 1 or (dialect == "cdl" and values[1][:2] == "$["), line
                yield words[1], words[2], resistance(values[0], dialect)


def ports(text, dialect, pins):
    """Conductance matrix between the pins, S: Schur complement of the nodal matrix."""
    fold = str if dialect in ("spectre", "vacask") else str.lower
    names = dict.fromkeys(fold(pin) for pin in pins)
    parts = [(fold(a), fold(b), R) for a, b, R in resistors(text, dialect)]
    names |= dict.fromkeys(n for a, b, _ in parts for n in (a, b))
    at = {name: k for k, name in enumerate(names)}
    Y = np.zeros((len(at), len(at)))
    for a, b, R in parts:
        i, k = at[a], at[b]
        Y[[i, k], [i, k]] += 1 / R
        Y[[i, k], [k, i]] -= 1 / R
    n = len(pins)
    return Y[:n, :n] - Y[:n, n:] @ np.linalg.solve(Y[n:, n:], Y[n:, :n])


@pytest.mark.parametrize("dialect", dialects.names())
@settings(max_examples=many(150))
@given(change=changes())
def test_a_changed_design_is_refused_or_the_same_circuit(dialect, change):
    array = asymmetric_crossbar(device="ohmic")[0]
    writer = dialects.get(dialect)
    it = design([array], hierarchical=False, name="dut")
    text = writer.design(it)
    changed = change(text)
    assume(changed != text)
    try:
        prove(changed, dialect, it)
    except InputError:
        event("refused")
        return
    event("accepted")
    pins = [writer.node(pin) for pin in it.top.pins]
    np.testing.assert_allclose(
        ports(changed, dialect, pins), ports(text, dialect, pins), rtol=1e-12, atol=1e-18
    )


@pytest.mark.parametrize("dialect", dialects.names())
@settings(max_examples=many(80))
@given(change=changes(), hierarchical=st.booleans(), tiles=st.integers(1, 2))
def test_a_changed_nonlinear_design_never_ends_in_a_traceback(dialect, change, hierarchical, tiles):
    array = asymmetric_crossbar(device="cubic_al2o3_tio2")[0]
    form = dialects.get(dialect).forms[0] if dialect != "cdl" else "resistor"
    it = design([array] * tiles, hierarchical=hierarchical, form=form, name="dut")
    text = dialects.get(dialect).design(it)
    prove(text, dialect, it)
    try:
        prove(change(text), dialect, it)
    except InputError:
        event("refused")


def currents(text, folder):
    (folder / "deck.cir").write_text(text)
    ran = subprocess.run(
        ["ngspice", "-n", "-b", "deck.cir"],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=True,
    )
    lines = (line.split() for line in ran.stdout.splitlines())
    printed = {w[0]: float(w[2]) for w in lines if len(w) == 3 and w[1] == "="}
    return {name: value for name, value in printed.items() if name.startswith("vbs")}


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@settings(
    max_examples=many(200),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(change=changes())
def test_a_changed_deck_is_refused_or_gives_the_same_currents_in_ngspice(device, change, tmp_path):
    crossbar, V_in = asymmetric_crossbar(device=device)
    text = netlist.write(crossbar, V_in)
    changed = change(text)
    assume(changed != text)
    try:
        back = netlist.read(changed)
    except InputError:
        event("refused")
        back = None
    try:
        netlist.compare(crossbar, changed, V_in)
    except InputError:
        if back is None:
            return
        event("read as another array")
        reference = netlist.write(back.crossbar, back.V_in, back.V_out)
    else:
        event("accepted")
        reference = text
    actual, expected = currents(changed, tmp_path), currents(reference, tmp_path)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, rel=1e-9, abs=1e-20)
