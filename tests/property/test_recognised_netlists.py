"""Any array, written, stripped of its header and of all names: it comes back as the same array."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import xbarspice as xb
from tests.helpers import many
from xbarspice.exchange import spice

BY_HAND = """title
.param rw=2 ron={1k * 5}
.subckt cell a b params: r=10k
R1 a b {r}
.ends
V1 a 0 DC 0.2
V2 0 b 100m ; below
Ra a a1 'rw'
Rb b b1 {rw}
X1 a1 c1 cell r={ron}
Rd2 a2 d1 10k
+ $ goes on
Rd3 b1 c2 20k
X2 b2 d2 cell
Rw1 a1 a2 {rw}
Rw2 b1 b2 {rw}
Rc c1 c2 3
Rd d1 d2 3
Rload1 c2 0 50
Vsense d2 0 0
.op
.end
"""
MARKS = "0123456789abekmnprx(){}'=+-*/. $;\\\0\t\u00e9"
DIALECTS = ("ngspice", "xyce", "hspice", "ltspice", "spectre", "vacask")


def resistances(rng, shape):
    """0, one number, one for each place, or some of them 0."""
    kind = rng.integers(0, 4)
    if kind < 2:
        return float(kind * rng.uniform(0.5, 20))
    return rng.uniform(0.5, 20, shape) * (rng.random(shape) > 0.3 * (kind - 2))


def drawn_array(rng, rows, cols, *, gaps):
    G = rng.uniform(2e-5, 5e-4, (rows, cols))
    if gaps:
        G[rng.random(G.shape) < 0.25] = 0
    sizes = {"R_wl": (rows, cols - 1), "R_bl": (rows - 1, cols), "R_driver": rows, "R_sense": cols}
    try:
        return xb.Crossbar(G, **{name: resistances(rng, size) for name, size in sizes.items()})
    except xb.errors.InputError:
        assume(False)
        raise


SPICE_LINE = re.compile(r"([RV])(\w+) (\S+) (\S+) (\S+)")
SPECTRE_LINE = re.compile(r"([RV])(\w+) \((\S+) (\S+)\) (\w+) (?:r|dc)=(\S+)")
HEADS = {"spectre": "simulator lang=spectre", "vacask": 'load "resistor.osdi"\nmodel A resistor'}


def nameless(rng, text, dialect):
    """The elements of a deck in any order, with numbers for names; and the sources' old names."""
    like_spectre = dialect in HEADS
    parameters = dict(re.findall(r"(p_\w+)=(\S+)", text))
    pattern = SPECTRE_LINE if like_spectre else SPICE_LINE
    lines = [m.groups() for line in text.split("\n") if (m := pattern.fullmatch(line))]
    rng.shuffle(lines)
    nodes = sorted({node for words in lines for node in words[2:4]} - {"0"})
    names = dict(zip(nodes, rng.permutation(len(nodes)) + 1, strict=True)) | {"0": 0}
    masters = {"R": "A" if dialect == "vacask" else "resistor", "V": "vsource"}
    out, sources = [HEADS.get(dialect, "any title")], {}
    for k, (kind, name, a, b, *_, value) in enumerate(lines):
        new = f"{kind.lower()}{k}"
        if kind == "V":
            sources[new] = name
            value = parameters.get(value.strip("{}'"), value)
        ends = [names[a], names[b]]
        if kind == "R" and rng.random() < 0.5:
            ends.reverse()
        if like_spectre:
            key = "r" if kind == "R" else "dc"
            out.append(f"{new} ({ends[0]} {ends[1]}) {masters[kind]} {key}={value}")
        else:
            out.append(f"{new} {ends[0]} {ends[1]} {value}")
    return "\n".join(out), sources


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=many(25))
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    gaps=st.booleans(),
)
def test_an_exported_array_is_recognised_without_its_names(dialect, seed, rows, cols, gaps):
    rng = np.random.default_rng(seed)
    array = drawn_array(rng, rows, cols, gaps=gaps)
    assume((array.G.sum(axis=0) > 0).all() and (array.G.sum(axis=1) > 0).all())
    V_in = rng.uniform(0.1, 1, rows)
    text, sources = nameless(rng, xb.netlist.write(array, V_in, dialect=dialect), dialect)
    (back,) = spice.parse(text).arrays

    r = [int(sources[name].rpartition("_")[2]) for name in back.word_lines]
    c = [int(sources[name].rpartition("_")[2]) for name in back.bit_lines]
    assert sorted(r) == list(range(rows))
    assert sorted(c) == list(range(cols))
    assert np.array_equal(back.crossbar.G, array.G[np.ix_(r, c)])
    assert np.array_equal(back.V_in[0], V_in[r])
    want = xb.solve(array, V_in, engine="nodal")
    got = xb.solve(back.crossbar, back.V_in[0], engine="nodal")
    size = np.abs(want.I_out).max()
    np.testing.assert_allclose(got.I_out, want.I_out[c], rtol=0, atol=1e-9 * size)
    np.testing.assert_allclose(got.I_in, want.I_in[r], rtol=0, atol=1e-9 * size)
    if r == sorted(r) and c == sorted(c) and (array.G > 0).all():
        parts = ("segment_resistances", "end_resistances")
        for ours, theirs in ((getattr(array, n), getattr(back.crossbar, n)) for n in parts):
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


CLEAR = ("drivers", "senses", "both ends", "no wires")
"""What the place of each resistor tells, however large it is."""


def overlapping(rng, kind):
    """An array with wires of 1 to 15 ohm and devices of 1 to 50 kohm, but for what `kind` says."""
    rows, cols = rng.integers(1, 6, 2)
    if kind == "one line":
        rows, cols = rng.permutation([1, cols])
    shapes = {"R_wl": (rows, cols - 1), "R_bl": (rows - 1, cols), "R_driver": rows, "R_sense": cols}
    wires = {name: rng.uniform(1, 15, shape) for name, shape in shapes.items()}
    R = rng.uniform(1e3, 5e4, (rows, cols))
    large = {"drivers": ["R_driver"], "senses": ["R_sense"], "both ends": ["R_driver", "R_sense"]}
    for name in large.get(kind, ()):
        wires[name] = 10 ** rng.uniform(3, 5, shapes[name])
    if kind == "all overlap":
        wires, R = {name: 150 * ohm for name, ohm in wires.items()}, rng.uniform(1e3, 3e3, R.shape)
    elif kind == "one line" and rng.random() < 0.7:
        wires = {name: 200 * ohm for name, ohm in wires.items()}
    elif kind == "one wire":
        ohm = wires[rng.choice([name for name, ohm in wires.items() if ohm.size])]
        R, ohm.flat[rng.integers(ohm.size)] = np.maximum(R, 1900.0), rng.uniform(1.9e3, 2e4)
    elif kind == "some wires":
        for ohm in wires.values():
            ohm[rng.random(ohm.shape) < 0.2] = 10 ** rng.uniform(3, 5)
    elif kind == "no wires":
        wires = dict.fromkeys(wires, 0.0)
    elif kind == "equal":
        wires, R = {name: np.full(ohm.shape, 1e3) for name, ohm in wires.items()}, R * 0 + 1e3
    elif kind in ("shorts", "opens and shorts"):
        at = rng.random(R.shape) < 0.3
        R[at] = rng.uniform(2, 15, at.sum())
    G = 1 / R
    if kind in ("opens", "opens and shorts"):
        G[rng.random(G.shape) < 0.35] = 0
    return xb.Crossbar(G, **wires)


KINDS = (
    *("all overlap", "one line", "one wire", "some wires", "equal"),
    *(*CLEAR, "opens", "shorts", "opens and shorts"),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=many(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_array_is_recognised_or_refused_and_never_another(kind, seed):
    """Wires as large as devices, open and shorted cells: the array as written, or the line."""
    rng = np.random.default_rng(seed)
    array = overlapping(rng, kind)
    V_in = rng.uniform(0.1, 1, array.rows)
    text, sources = nameless(rng, xb.netlist.write(array, V_in), "ngspice")
    refusal = ""
    try:
        (back,) = spice.parse(text).arrays
    except xb.errors.NetlistError as error:
        refusal = str(error)
    if refusal:
        assert kind not in CLEAR or array.cols == 1, refusal  # a driver and one device in series
        assert re.match(r"line \d+: ", refusal)
        return
    words, bits = (
        [sources.get(name, name) for name in names] for names in (back.word_lines, back.bit_lines)
    )
    assert sorted(words) == [f"in_{r}" for r in range(array.rows)]
    assert sorted(bits) == [f"bs_{c}" for c in range(array.cols)]
    r, c = ([int(name.rpartition("_")[2]) for name in names] for names in (words, bits))
    assert np.array_equal(back.crossbar.G, array.G[np.ix_(r, c)])
    want = xb.solve(array, V_in, engine="nodal")
    got = xb.solve(back.crossbar, back.V_in[0], engine="nodal")
    size = np.abs(want.I_in).max()
    np.testing.assert_allclose(got.I_out, want.I_out[c], rtol=0, atol=1e-9 * size)
    np.testing.assert_allclose(got.I_in, want.I_in[r], rtol=0, atol=1e-9 * size)


def damaged(rng, text):
    """A text with lines and words removed, doubled and exchanged, and strange characters."""
    lines = text.split("\n")
    for _ in range(rng.integers(1, 4)):
        k, m = rng.integers(0, len(lines), 2)
        kind = rng.integers(0, 5)
        if kind == 0 and len(lines) > 1:
            del lines[k]
        elif kind == 1:
            lines.insert(k, lines[m])
        elif kind == 2:
            lines[k], lines[m] = lines[m], lines[k]
        elif kind == 3 and lines[k].split() and lines[m].split():
            words = lines[k].split()
            words[rng.integers(len(words))] = rng.choice(lines[m].split())
            lines[k] = " ".join(words)
        elif lines[k]:
            marks = list(lines[k])
            marks[rng.integers(len(marks))] = rng.choice(list(MARKS))
            lines[k] = "".join(marks)
    return "\n".join(lines)


@settings(max_examples=many(200))
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_texts_are_read_or_refused_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    array = xb.Crossbar(rng.uniform(1e-4, 5e-4, (3, 3)), R_wl=2.0, R_bl=3.0, R_sense=3.0)
    text = BY_HAND if rng.random() < 0.7 else xb.netlist.write(array, [0.1, 0.2, 0.3])
    with contextlib.suppress(xb.errors.InputError):  # no other error comes
        (back,) = spice.parse(damaged(rng, text)).arrays
        assert (back.crossbar.G > 0).any()
