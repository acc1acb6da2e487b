"""Programming a passive array: write-verify, disturbance, orders, and what is refused."""

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.core.errors import InputError
from xbarspice.programming import write_verify as pg
from xbarspice.programming.array_state import bias
from xbarspice.programming.ranges import writable_range
from xbarspice.variability import BiasingSchemeEffect, bse_table

NILI = pg.Pulses(start=0.8, limit_set=1.15, limit_reset=1.5, width=1e-6)


def problem(device="nili_pulse", size=4, R=1.0, low=30e-6, high=200e-6, start=20e-6, seed=0):
    target = np.random.default_rng(seed).uniform(low, high, (size, size))
    return xb.Crossbar(np.full((size, size), start), device=device, R_wl=R, R_bl=R), target


def test_scheme_voltages():
    """Selected device V; V/2 leaves V/2 or 0 on the others, V/3 leaves V/3 in size everywhere."""
    for scheme, others in (("V/2", {0.0, 0.5}), ("V/3", {1 / 3, -1 / 3}), ("grounded", {0.0, 1.0})):
        b = bias(scheme, 1, 2, 3, 4)
        V = b.V_in[:, None] - b.V_out
        assert V[1, 2] == 1.0
        rest = np.delete(V.ravel(), 6)
        assert all(min(abs(v - o) for o in others) < 1e-15 for v in rest)
    b = bias("floating", 1, 2, 3, 4)
    assert b.ends.wl_left == ("floating", "driven", "floating")
    assert b.ends.bl_bottom == ("floating", "floating", "driven", "floating")


def test_one_device_without_wires_reaches_its_target():
    """No neighbours, no wires: the read is the conductance, and the error the tolerance."""
    crossbar, target = problem(size=1, R=0.0)
    run = pg.program(crossbar, target, pulses=NILI)
    assert abs(run.error[0, 0]) <= 0.01
    assert run.verified[0, 0] == pytest.approx(run.G[0, 0], rel=1e-9)
    assert run.yield_ == 1.0
    assert run.pulses[0, 0] == len(run.sequence) > 0
    assert run.seconds == pytest.approx(len(run.sequence) * 2e-6 + 1e-6)


def test_energy_of_a_single_device():
    """Without wires the energy is the sum of V I over pulses and reads."""
    crossbar, target = problem(size=1, R=0.0)
    run = pg.program(crossbar, target, pulses=NILI)
    device, G, want = crossbar.device, crossbar.G, 0.0
    for _, _, V in run.sequence:
        want += 0.2 * 0.2 * float(G[0, 0]) * 1e-6  # the read before the pulse
        want += V * float(device.current(V, G)[0, 0]) * 1e-6
        G = device.write(G, V, 1e-6)
    want += 0.2 * 0.2 * float(G[0, 0]) * 1e-6
    assert run.energy == pytest.approx(want, rel=1e-9)


def test_repeated_compensated_passes_reach_every_target():
    crossbar, target = problem(size=6)
    once = pg.program(crossbar, target, pulses=NILI)
    many = pg.program(crossbar, target, pulses=NILI, passes=6, compensate=True)
    assert many.yield_ > 0.97 > once.yield_
    assert not many.gave_up.any()


def test_disturb_maps_add_up():
    """Start + all moves = end; the last device has no later drift; the sequence replays to G."""
    crossbar, target = problem("messaris2018", low=100e-6, high=400e-6, start=150e-6)
    run = pg.program(crossbar, target)
    np.testing.assert_allclose(run.start + run.moved.sum(0), run.G, rtol=1e-5)
    assert run.disturb[-1, -1] == 0
    assert np.any(run.disturb != 0)
    assert run.later_writes[0, 0] == 15
    replayed = pg.replay(crossbar, run.sequence, width=200e-9)
    np.testing.assert_allclose(replayed[-1], run.G, rtol=1e-12)


def test_no_half_select_moves_only_the_selected():
    crossbar, target = problem("messaris2018", low=100e-6, high=400e-6, start=150e-6)
    run = pg.program(crossbar, target, half_select=False)
    assert np.all(run.disturb == 0)
    for k, flat in enumerate(run.order):
        others = np.delete(run.moved[k].ravel(), flat)
        assert np.all(others == 0)


def test_v3_halves_no_device_more_than_a_third():
    """A 1 V pulse without wires: each device moves by exactly its own share of the voltage."""
    crossbar, _ = problem("o921c_4k", R=0.0, start=100e-6)
    device = crossbar.device
    for scheme in ("V/2", "V/3"):
        G = pg.replay(crossbar, [(1, 2, 2.0)], width=200e-9, scheme=scheme)[-1]
        b = bias(scheme, 1, 2, 4, 4)
        V = 2.0 * (b.V_in[:, None] - b.V_out)
        np.testing.assert_allclose(G, device.write(crossbar.G, V, 200e-9), rtol=1e-9)


@pytest.mark.parametrize("read", ["grounded", "floating", "V/2"])
def test_reads_have_the_sneak_paths_of_the_array(read):
    """The read is that of an independent engine with the same line ends."""
    crossbar, target = problem(size=3, low=50e-6, high=150e-6)
    run = pg.program(
        crossbar,
        target,
        pulses=pg.Pulses(start=0.8, limit_set=1.15, limit_reset=1.5, width=1e-6, read=read),
    )
    b = bias(read, 2, 2, 3, 3)
    whole = crossbar.replace(G=run.G, ends=b.ends)
    want = xb.solve(whole, 0.2 * b.V_in, 0.2 * b.V_out, engine="nodal").I_out[2] / 0.2
    assert run.verified[2, 2] == pytest.approx(want, rel=1e-9)
    if read == "floating":
        assert abs(want / run.G[2, 2] - 1) > 0.1  # sneak paths are not small


def test_v2_destroys_the_reram_of_sky130_and_v3_holds_it():
    """Pulses of 2.5 V and 1 us switch single devices on; their neighbours stand at 24 uS."""
    target = np.full((8, 8), 24e-6)
    on = np.arange(8), 3 * np.arange(8) % 8
    target[on] = 100e-6
    blank = xb.Crossbar(
        np.full((8, 8), 24e-6), R_wl=0.5, R_bl=0.5, R_driver=10.0, device="sky130_reram"
    )
    pulses = pg.Pulses(
        start=2.5, limit_set=2.5, limit_reset=2.5, width=1e-6, tolerance=0.05, max_pulses=4
    )
    options = {"pulses": pulses, "compensate": True}
    third, half = (pg.program(blank, target, scheme=s, **options) for s in ("V/3", "V/2"))
    assert third.yield_ == 1.0
    others = third.wanted & (target < 50e-6)
    assert np.max(abs(third.G[others] / 24e-6 - 1)) < 1e-6
    np.testing.assert_allclose(half.G, 102.89e-6, rtol=1e-3)  # one switched device leaves none
    assert half.gave_up.sum() == others.sum() == 56


def test_engines_agree():
    crossbar, target = problem("messaris2018", size=3, low=100e-6, high=400e-6, start=150e-6)
    fast, exact = (pg.program(crossbar, target, engine=e) for e in ("surrogate", "nodal"))
    assert np.array_equal(fast.sequence, exact.sequence)
    np.testing.assert_allclose(fast.G, exact.G, rtol=1e-9)


MODELS = {
    "nili_pulse": (30e-6, 200e-6, 20e-6, NILI),
    "n1257r": (300e-6, 700e-6, 280e-6, pg.Pulses(max_pulses=12)),
    "mt2021": (320e-6, 520e-6, 310e-6, pg.Pulses(max_pulses=12)),
    "o921c_4k": (60e-6, 300e-6, 40e-6, pg.Pulses()),
    "messaris2018": (100e-6, 400e-6, 150e-6, pg.Pulses(max_pulses=60)),
    "pickett": (50e-6, 300e-6, 100e-6, pg.Pulses(max_pulses=2)),
    "sky130_reram": (5e-6, 60e-6, 24e-6, pg.Pulses(start=1.0, width=1e-6, max_pulses=8)),
}


@pytest.mark.parametrize("scheme", ["V/2", "V/3", "floating"])
@pytest.mark.parametrize("device", MODELS)
def test_followed_reads_and_warm_starts_do_not_change_the_answer(device, scheme, monkeypatch):
    """The same pulses as with every read solved from nothing; states and reads within 1e-9.

    The energy of a followed read is of first order only: 3e-5 of the total.
    """
    from xbarspice.programming import reads as program_read
    from xbarspice.surrogate.series import SurrogateSeries

    low, high, start, pulses = MODELS[device]
    size = 2 if device == "pickett" else 8  # stiff
    crossbar, target = problem(device, size, low=low, high=high, start=start)
    options = {"pulses": pulses, "scheme": scheme, "compensate": True}
    solved = []
    real = program_read.Reader.exact
    monkeypatch.setattr(program_read.Reader, "exact", lambda self: solved.append(1) or real(self))
    monkeypatch.setattr(program_read, "FOLLOW_FROM", 1)
    fast = pg.program(crossbar, target, **options)
    followed = len(solved)
    monkeypatch.setattr(program_read, "FOLLOW_FROM", 10**9)
    monkeypatch.setattr(SurrogateSeries, "_first_drops", lambda self, scale: None)
    plain = pg.program(crossbar, target, **options)
    assert np.array_equal(plain.sequence, fast.sequence)
    np.testing.assert_allclose(fast.G, plain.G, rtol=1e-9)
    np.testing.assert_allclose(fast.verified, plain.verified, rtol=1e-9)
    assert fast.energy == pytest.approx(plain.energy, rel=3e-5)
    assert followed < len(solved) - followed  # the way that is judged here was taken


@pytest.mark.parametrize("read", ["grounded", "floating", "V/2"])
@pytest.mark.parametrize("device", ["nili_pulse", "o921c_4k", "messaris2018"])
def test_followed_reads_keep_their_bound(device, read):
    """Every first-order read differs from the exact one by less than it says.

    The bound knows no wire from a floating line to a driver: where much has moved it says nothing,
    and the read is solved.
    """
    from xbarspice.programming.array_state import ArrayState
    from xbarspice.programming.reads import Reader

    rng = np.random.default_rng(4)
    G = rng.uniform(60e-6, 300e-6, (32, 33))
    crossbar = xb.Crossbar(G, device=device, R_wl=2.0, R_bl=1.0, R_driver=10.0)
    state = ArrayState(
        crossbar, engine="surrogate", stuck=np.zeros(G.shape, bool), half_select=True, substeps=1
    )
    for cell, size in (((0, 0), 0.3), ((3, 30), 0.1), ((31, 0), 1.0), ((0, 32), 0.5)):
        reader = Reader(state, bias(read, *cell, *G.shape), 0.2, cell)
        before = reader.exact()
        state.G = state.G * (1 + 1e-3 * size * rng.uniform(-1, 1, G.shape))
        state.G[cell] *= 1 + size
        seen, bound = reader.follow()
        power = reader.power
        exact = reader.exact()
        if read == "floating":
            assert abs(seen - exact) <= bound
            continue
        assert abs(seen - exact) <= bound < abs(exact - before)
        assert power == pytest.approx(reader.power, rel=2e-3)


def test_followed_reads_take_each_segment():
    """The bound holds, and is not infinite, where resistances differ."""
    from xbarspice.programming.array_state import ArrayState
    from xbarspice.programming.reads import Reader

    rng = np.random.default_rng(4)
    G = rng.uniform(60e-6, 300e-6, (32, 33))
    crossbar = xb.Crossbar(
        G,
        device="o921c_4k",
        R_wl=rng.uniform(0, 4, (32, 32)),
        R_bl=rng.uniform(0, 2, (31, 33)),
        R_driver=rng.uniform(0, 20, 65),
        ends=xb.LineEnds(bl_bottom="driven"),
    )
    state = ArrayState(
        crossbar, engine="nodal", stuck=np.zeros(G.shape, bool), half_select=True, substeps=1
    )
    for cell in ((0, 0), (3, 30), (31, 32)):
        reader = Reader(state, bias("grounded", *cell, *G.shape), 0.2, cell)
        before = reader.exact()
        state.G = state.G * (1 + 1e-4 * rng.uniform(-1, 1, G.shape))
        state.G[cell] *= 1.3
        seen, bound = reader.follow()
        exact = reader.exact()
        assert abs(seen - exact) <= bound < abs(exact - before)


def test_stuck_devices_are_given_up_and_keep_their_value():
    crossbar, target = problem()
    stuck = np.zeros((4, 4), bool)
    stuck[1, 2] = True
    crossbar = crossbar.replace(G=np.where(stuck, 573e-6, crossbar.G))
    run = pg.program(crossbar, target, pulses=NILI, stuck=stuck)
    assert run.gave_up[1, 2]
    assert run.G[1, 2] == 573e-6
    assert run.pulses[1, 2] < 40
    limited = pg.program(
        crossbar,
        target,
        stuck=stuck,
        pulses=pg.Pulses(start=0.8, limit_set=1.15, limit_reset=1.5, width=1e-6, max_pulses=5),
    )
    assert limited.pulses.max() == 5
    assert limited.gave_up.sum() > 1


@pytest.mark.parametrize("scheme", ["V/2", "V/3"])
def test_devices_hold_still_in_the_writable_range_and_not_in_the_whole(scheme):
    """Two passes inside it bring the devices to their targets; in the whole range they fail."""
    device = xb.devices.get("o921c_4k")
    low, high = writable_range(device, pg.Pulses(), scheme, (8, 8))
    assert device.G_range()[0] < low < high < device.G_range()[1]
    options = {"scheme": scheme, "passes": 2, "compensate": True}
    start = device.G_range()[0]
    crossbar, target = problem(device, 8, low=low, high=high, start=start)
    inside = pg.program(crossbar, target, **options)
    assert inside.yield_ >= 0.95
    crossbar, target = problem(device, 8, low=start, high=high, start=start)
    assert pg.program(crossbar, target, **options).yield_ < 0.5


def test_no_writable_range_where_everything_moves():
    """The pulse map of Nili et al. has no threshold; with one at 0.8 V, all of it holds still."""
    assert writable_range(xb.devices.NiliPulseMap(), NILI, "V/3", (64, 64)) is None
    low, high = writable_range(xb.devices.NiliPulseMap(V_threshold=0.8), NILI, "V/3", (64, 64))
    assert high > 10 * low


def test_orders():
    target = np.array([[3.0, 1.0], [0.0, 2.0]])
    assert pg.order_of("rows", target).tolist() == [0, 1, 3]
    assert pg.order_of("size", target).tolist() == [0, 3, 1]
    assert pg.order_of("smallest", target).tolist() == [1, 3, 0]
    assert pg.order_of("far", target).tolist() == [1, 0, 3]
    assert pg.order_of([3, 1, 0], target).tolist() == [3, 1, 0]
    crossbar, target = problem(size=3)
    runs = pg.compare_orders(crossbar, target, pulses=NILI)
    assert set(runs) == set(pg.ORDERS)
    assert len({tuple(run.order) for run in runs.values()}) == 4


def test_measured_table_in_place_of_half_select():
    """The table follows the order of writing: the last device is left as it was written."""
    crossbar, target = problem()
    options = {"pulses": NILI, "half_select": False, "order": "far"}
    plain = pg.program(crossbar, target, **options)
    drawn = pg.program(
        crossbar, target, bse=BiasingSchemeEffect(), rng=np.random.default_rng(0), **options
    )
    drift = (drawn.G - plain.G).ravel()
    assert drift[plain.order[-1]] == 0
    assert np.count_nonzero(drift) == 15
    assert np.all(np.abs(drift) <= np.abs(bse_table().quantiles).max() + 1e-12)
    assert np.array_equal(drawn.disturb.ravel(), drift)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bse": BiasingSchemeEffect()}, "twice"),
        ({"bse": BiasingSchemeEffect(), "half_select": False}, "generator"),
        ({"scheme": "V/4"}, "scheme"),
        ({"order": "random"}, "order"),
        ({"order": [0, 1]}, "exactly once"),
        ({"passes": 0}, "passes"),
        ({"substeps": 0}, "substeps"),
        ({"stuck": [True]}, "stuck"),
        ({"pulses": pg.Pulses()}, "may be written with"),
    ],
)
def test_misuse(change, words):
    crossbar, target = problem()
    with pytest.raises(InputError, match=words):
        pg.program(crossbar, target, **({"pulses": NILI} | change))


def test_misuse_of_arrays_and_targets():
    crossbar, target = problem()
    cases = [
        (crossbar, target[:2], "shape of the array"),
        (crossbar, target * 100, "targets of"),
        (crossbar, -target, "targets of"),
        (crossbar.replace(device="sinh_tio2"), target, "with a state"),
        (crossbar.replace(G=np.full((4, 4), 1e-3)), target, "start conductances"),
        (crossbar.replace(G=np.zeros((4, 4))), target, "needs a device"),
        (crossbar.replace(G=np.full((2, 4, 4), 20e-6)), target, "one array"),
    ]
    for wrong, wanted, words in cases:
        with pytest.raises(InputError, match=words):
            pg.program(wrong, wanted, pulses=NILI)
    o921c = xb.Crossbar(np.full((2, 2), 2e-4), device="o921c")
    with pytest.raises(InputError, match="RESET"):
        pg.program(o921c, np.full((2, 2), 3e-4))
    for bad in ({"step": 0.0}, {"start": 9.0}, {"read": "none"}):
        with pytest.raises(InputError):
            pg.Pulses(**bad)


def test_cells_without_target_or_device_are_left_alone():
    crossbar, target = problem(R=0.0)
    target[0, 1] = 0.0
    G = crossbar.G.copy()
    G[2, 3], target[2, 3] = 0.0, 0.0
    run = pg.program(crossbar.replace(G=G), target, pulses=NILI, half_select=False)
    assert run.G[2, 3] == 0
    assert run.G[0, 1] == 20e-6
    assert run.order.size == 14
    assert run.error[0, 1] == 0


def test_maps_show_the_run_in_si_units():
    from matplotlib.figure import Figure

    crossbar, target = problem(size=3)
    run = pg.program(crossbar, target, pulses=NILI)
    values = {
        "error": run.error,
        "drift": run.disturb,
        "pulses": run.pulses,
        "conductance": run.G,
        "target": run.target,
    }
    for of, expected in values.items():
        ax = Figure().add_subplot()
        assert xb.plot.programming(run, of=of, ax=ax) is ax
        np.testing.assert_allclose(ax.images[0].get_array(), expected)
        assert ax.get_xlabel() == "bit line (column)"
    ax = xb.plot.programming(run, of="conductance", limits=(0, 1e-3), ax=Figure().add_subplot())
    assert ax.images[0].get_clim() == (0, 1e-3)
    with pytest.raises(InputError, match="`of` must be one of error, drift"):
        xb.plot.programming(run, of="yield")


def test_victims_are_those_of_the_write_and_errors_are_counted():
    from matplotlib.figure import Figure

    crossbar, target = problem(size=3)
    runs = {s: pg.program(crossbar, target, pulses=NILI, scheme=s) for s in ("V/2", "V/3")}
    run = runs["V/2"]
    ax = xb.plot.victims(run, 1, 1, ax=Figure().add_subplot())
    drawn = ax.images[0].get_array()
    moved = run.moved[list(run.order).index(4)]
    assert drawn.mask[1, 1]
    np.testing.assert_allclose(drawn.compressed(), np.delete(moved.ravel(), 4))
    (frame,) = ax.patches
    assert frame.get_xy() == (0.5, 0.5)
    with pytest.raises(InputError, match="written"):
        xb.plot.victims(run, 7, 7)
    ax = xb.plot.programming_errors(runs, ax=Figure().add_subplot())
    for line, one in zip(ax.lines, runs.values(), strict=False):
        x, y = line.get_data()
        np.testing.assert_allclose(x, np.maximum(np.sort(np.abs(one.error.ravel())), 1e-5))
        assert y[-1] == 1.0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["V/2", "V/3", "tolerance"]
    with pytest.raises(InputError, match="there must be a run"):
        xb.plot.programming_errors({})
