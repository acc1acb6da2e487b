"""Programming pulses: closed-form Python steps against one ngspice transient of the array."""

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.core.errors import InputError
from xbarspice.programming import transient as program_spice
from xbarspice.programming import write_verify as pg

CASES = [
    ("o921c_4k", 4, 24, 60e-6, 300e-6),
    ("messaris2018", 4, 24, 100e-6, 400e-6),
    ("o921c_4k", 8, 8, 60e-6, 300e-6),
]


@pytest.mark.parametrize("scheme", ["V/2", "V/3", "floating"])
@pytest.mark.parametrize(("device", "size", "count", "low", "high"), CASES)
def test_pulses_equal_one_ngspice_transient(device, size, count, low, high, scheme):
    """Every conductance after every pulse within 5e-4, while states move by a tenth and more.

    The Python form takes the device voltages of the middle of each eighth of a pulse, and has
    no edges (ngspice: a ten-thousandth of the width); that is what the tolerance covers.
    """
    rng = np.random.default_rng(1)
    G, target = rng.uniform(low, high, (2, size, size))
    crossbar = xb.Crossbar(G, device=device, R_wl=1.0, R_bl=2.0, R_driver=5.0)
    full = pg.program(crossbar, target, scheme=scheme).sequence
    strongest = np.sort(np.argsort(-np.abs(full[:, 2]), kind="stable")[:count])
    pulses = full[strongest]
    python = pg.replay(crossbar, pulses, width=200e-9, scheme=scheme, substeps=8)
    spice = program_spice.replay_ngspice(crossbar, pulses, width=200e-9, scheme=scheme)
    np.testing.assert_allclose(spice, python, rtol=5e-4)
    assert np.max(np.abs(python[-1] / python[0] - 1)) > 0.1


PULSES_OF_RERAM = {
    "no neighbour runs away": ([(0, 1, 1.2), (1, 2, -1.3), (3, 3, 1.15), (2, 0, -1.6)], 8),
    "half of 2.5 V destroys neighbours": ([(0, 1, 2.5), (2, 2, 2.5), (1, 3, -2.0)], 64),
}


@pytest.mark.parametrize("scheme", ["V/2", "V/3", "floating"])
@pytest.mark.parametrize("case", PULSES_OF_RERAM)
def test_reram_with_self_heating_equals_one_ngspice_transient(case, scheme):
    """Every conductance after every pulse within 5e-4, through runaways to the limit, too."""
    pulses, substeps = PULSES_OF_RERAM[case]
    G = np.random.default_rng(1).uniform(5e-6, 60e-6, (4, 4))
    crossbar = xb.Crossbar(G, device="sky130_reram", R_wl=1.0, R_bl=2.0, R_driver=5.0)
    python = pg.replay(crossbar, pulses, width=200e-9, scheme=scheme, substeps=substeps)
    spice = program_spice.replay_ngspice(crossbar, pulses, width=200e-9, scheme=scheme)
    np.testing.assert_allclose(spice, python, rtol=5e-4)
    selected = {(row, col) for row, col, _ in pulses}
    moved = abs(python[-1] / python[0] - 1)
    others = [moved[cell] for cell in np.ndindex(4, 4) if cell not in selected]
    assert max(others) > 0.3 if (case[0], scheme) == ("h", "V/2") else max(others) < 0.05


@pytest.mark.parametrize("scheme", ["V/2", "floating"])
def test_wires_that_differ_are_in_the_transient(scheme):
    """Large, different resistances, some of them 0: each segment and driver has its own."""
    rng = np.random.default_rng(3)
    G = rng.uniform(60e-6, 300e-6, (3, 4))
    R_wl, R_bl, R_driver = (rng.uniform(10, 900, s) for s in ((3, 3), (2, 4), 7))
    R_wl[1, 0] = R_wl[2, 2] = R_bl[1, 2] = R_bl[0, 0] = R_driver[1] = 0.0
    crossbar = xb.Crossbar(
        G,
        device="o921c_4k",
        R_wl=R_wl,
        R_bl=R_bl,
        R_driver=R_driver,
        ends=xb.LineEnds(bl_bottom="driven"),
    )
    pulses = [(0, 1, 2.2), (1, 2, -2.0), (2, 3, 2.4)]
    options = {"width": 200e-9, "scheme": scheme}
    python = pg.replay(crossbar, pulses, substeps=8, engine="nodal", **options)
    spice = program_spice.replay_ngspice(crossbar, pulses, **options)
    np.testing.assert_allclose(spice, python, rtol=5e-4)
    even = crossbar.replace(R_wl=400.0, R_bl=400.0, R_driver=400.0)
    assert np.abs(pg.replay(even, pulses, engine="nodal", **options) / python - 1).max() > 5e-3


@pytest.mark.parametrize("engine", ["surrogate", "nodal"])
def test_an_array_is_written_through_the_leads_that_it_is_read_through(engine):
    """Leads of word and of bit lines, numbers or one a line, in Python as in ngspice."""
    G = np.random.default_rng(5).uniform(60e-6, 300e-6, (2, 3))
    pulses, options = [(0, 1, 2.2), (1, 2, -2.2)], {"width": 200e-9, "scheme": "V/3"}
    ends = []
    for R_driver, R_sense in (
        (300.0, 300.0),
        (300.0, 900.0),
        ([300.0, 100.0], [900.0, 0.0, 400.0]),
    ):
        crossbar = xb.Crossbar(G, device="o921c_4k", R_driver=R_driver, R_sense=R_sense)
        python = pg.replay(crossbar, pulses, substeps=8, engine=engine, **options)
        spice = program_spice.replay_ngspice(crossbar, pulses, **options)
        np.testing.assert_allclose(spice, python, rtol=5e-4)
        ends.append(python[-1])
    assert all(np.abs(a / b - 1).max() > 5e-3 for a, b in ((ends[0], ends[1]), ends[1:]))


def test_lines_without_a_source_at_the_ends_that_are_driven_are_refused():
    ends = xb.LineEnds(wl_left="floating", wl_right="driven")
    crossbar = xb.Crossbar(np.full((2, 3), 1e-4), device="o921c_4k", ends=ends)
    for work in (
        lambda: pg.replay(crossbar, [(0, 1, 2.0)], width=2e-7),
        lambda: program_spice.transient_deck(crossbar, [(0, 1, 2.0)], width=2e-7),
    ):
        with pytest.raises(InputError, match="left and the lower ends"):
            work()


def test_ideal_wires_are_merged_nodes():
    """R = 0 everywhere: the transient still runs, and each device sees exactly its share."""
    G = np.random.default_rng(2).uniform(60e-6, 300e-6, (2, 3))
    crossbar = xb.Crossbar(G, device="o921c_4k", R_wl=0.0, R_bl=0.0)
    pulses = [(0, 1, 2.0), (1, 2, -2.0)]
    python = pg.replay(crossbar, pulses, width=200e-9)
    spice = program_spice.replay_ngspice(crossbar, pulses, width=200e-9)
    np.testing.assert_allclose(spice, python, rtol=5e-4)


def test_refuses_what_has_no_transient():
    G = np.full((2, 2), 100e-6)
    for device, scheme in (("nili_pulse", "V/2"), ("o921c_4k", "V/4"), ("ohmic", "V/2")):
        with pytest.raises(InputError):
            program_spice.transient_deck(
                xb.Crossbar(G, device=device), [(0, 0, 1.0)], width=1e-6, scheme=scheme
            )
