"""Any array, written, stripped of its header and of all names: it comes back as the same array."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import xbarspice as xb
from tests.helpers import many
from xbarspice.exchange import spice

DIALECTS = ("ngspice", "xyce", "hspice", "ltspice")


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


def nameless(rng, text):
    """The elements of a deck in any order, with numbers for names; and the sources' old names."""
    parameters = dict(re.findall(r"(p_\w+)=(\S+)", text))
    lines = [line.split() for line in text.split("\n") if re.match(r"[RV]\w+ ", line)]
    rng.shuffle(lines)
    nodes = sorted({node for words in lines for node in words[1:3]} - {"0"})
    names = dict(zip(nodes, rng.permutation(len(nodes)) + 1, strict=True)) | {"0": 0}
    out, sources = ["any title"], {}
    for k, (name, a, b, value) in enumerate(lines):
        new = f"{name[0].lower()}{k}"
        if name[0] == "V":
            sources[new] = name
            value = parameters.get(value.strip("{}'"), value)
        ends = (
            (names[a], names[b]) if rng.random() < 0.5 or name[0] == "V" else (names[b], names[a])
        )
        out.append(f"{new} {ends[0]} {ends[1]} {value}")
    return "\n".join(out), sources


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=many(25), deadline=None)
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
    text, sources = nameless(rng, xb.netlist.write(array, V_in, dialect=dialect))
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
