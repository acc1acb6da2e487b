"""Resistances segment by segment and end by end: answers and gradients of the surrogate."""

from __future__ import annotations

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.core.line_ends import places
from xbarspice.core.wires import WIRES
from xbarspice.surrogate import adjoint
from xbarspice.surrogate.engine import SurrogateEngine
from xbarspice.surrogate.ladders import linear, solves, sweeps
from xbarspice.surrogate.ladders.lines import networks

D, S, F = "driven", "sensed", "floating"
ENDS = {
    "read": xb.LineEnds(),
    "write": xb.LineEnds(bl_bottom=D),
    "both ends": xb.LineEnds(wl_left=D, wl_right=D, bl_top=S, bl_bottom=S),
    "through": xb.LineEnds(wl_left=D, wl_right=S, bl_top=D, bl_bottom=S),
    "backward": xb.LineEnds(wl_left=S, wl_right=D, bl_top=S, bl_bottom=D),
    "one word line feeds": xb.LineEnds(wl_left=F, wl_right=D, bl_bottom=[S, F] * 20),
}
SHAPES = [(1, 1), (2, 1), (1, 2), (3, 5), (8, 8), (17, 9), (9, 33)]


def _ends(name: str, shape: tuple[int, int]) -> xb.LineEnds:
    ends = ENDS[name]
    return (
        ends
        if isinstance(ends.bl_bottom, str)
        else xb.LineEnds(
            wl_left=ends.wl_left, wl_right=ends.wl_right, bl_bottom=ends.bl_bottom[: shape[1]]
        )
    )


def _wires(kind: str, shape, ends, rng, batch=()) -> dict[str, np.ndarray]:
    """Random resistances of every segment and end, ohm."""
    shapes = places((ends.word_lines(shape[0]), ends.bit_lines(shape[1])))
    out = {name: rng.lognormal(1.0, 0.7, (*batch, *shapes[name])) for name in WIRES}
    for name, R in out.items():
        if kind == "some 0":
            R[rng.random(R.shape) < 0.4] = 0.0
        if kind == "segments 0" and name in ("R_wl", "R_bl"):
            R[rng.random(R.shape) < 0.8] = 0.0
        if kind == "ideal ends" and name in ("R_driver", "R_sense"):
            R[...] = 0.0
        if kind == "broken" and name in ("R_wl", "R_bl") and R.size:
            R[..., shape[0] // 2 - (name == "R_bl"), (shape[1] - 1) // 2] = 1e12
    return out


def _case(kind, ends, shape, device="ohmic", batch=(), seed=3):
    """A crossbar and its voltages; None where a driver would be joined to a sense node."""
    rng = np.random.default_rng(seed)
    ends = _ends(ends, shape)
    G = 10 ** rng.uniform(-5.5, -3.5, (*batch, *shape))
    wires = _wires(kind, shape, ends, rng, batch)
    try:
        crossbar = xb.Crossbar(G, device=device, ends=ends, **wires)
    except xb.errors.InputError:
        return None
    V_in = rng.uniform(-0.4, 0.4, shape[0]) * (crossbar.wl_ends == D).any(axis=1)
    V_out = rng.uniform(-0.4, 0.4, shape[1]) * (crossbar.bl_ends == D).any(axis=1)
    return crossbar, V_in, V_out


def _assert_same(actual, expected, share=1e-12):
    """Currents to a share of the largest, voltages to that of 1 V.

    Where a broken wire carries all current, that is rounding of device voltages: 1e-10 A is then
    the largest.
    """
    scale = max(np.abs(expected.I_out).max(), np.abs(expected.I_in).max(), 1e-10)
    for name in ("I_out", "I_in", "I_device"):
        difference = np.abs(getattr(actual, name) - getattr(expected, name)).max()
        assert difference <= share * scale, name
    for name in ("V_wl", "V_bl"):
        assert np.abs(getattr(actual, name) - getattr(expected, name)).max() <= share, name


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2", "cubic_al2o3_tio2"])
@pytest.mark.parametrize("kind", ["all", "some 0", "segments 0", "ideal ends", "broken"])
def test_the_nodal_engine_agrees(kind, device, direct):
    """Within 1e-12 of the largest current, at all line ends and at sizes that fill no vector."""
    solved = 0
    for ends in ENDS:
        for shape in SHAPES:
            if (case := _case(kind, ends, shape, device)) is None:
                continue
            crossbar, V_in, V_out = case
            engine = SurrogateEngine(threads=1, direct=direct)
            actual = xb.solve(crossbar, V_in, V_out, engine=engine, full=True)
            _assert_same(actual, xb.solve(crossbar, V_in, V_out, engine="nodal", full=True))
            assert actual.stats.error_at_most < (1e-8 if kind == "broken" else 1e-9)
            solved += 1
    assert solved > 20


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("ends", ENDS)
def test_equal_segments_are_the_number(ends, device):
    """Arrays that are filled with one number give its answers, to rounding."""
    wires = {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 4.0, "R_sense": 5.0}
    for zero in ({}, {"R_wl": 0.0}, {"R_bl": 0.0}, {"R_driver": 0.0, "R_sense": 0.0}):
        crossbar, V_in, V_out = _case("all", ends, (9, 11), device)
        shapes = places((crossbar.wl_ends, crossbar.bl_ends))
        numbers = wires | zero
        arrays = {name: np.full(shapes[name], R) for name, R in numbers.items()}
        expected, actual = (
            xb.solve(crossbar.replace(**each), V_in, V_out, full=True) for each in (numbers, arrays)
        )
        _assert_same(actual, expected, 1e-14 if device == "ohmic" else 1e-12)


def test_a_broken_segment_takes_its_devices_away():
    """Behind 1e12 ohm a word line gets its voltage from its devices, as if it were floating."""
    G = np.full((4, 6), 1e-4)
    R_wl = np.ones((4, 5))
    R_wl[1, 2] = 1e12
    V = np.array([0.3, 0.3, -0.2, 0.1])
    full = xb.solve(xb.Crossbar(G, R_wl=R_wl, R_sense=2.0), V, full=True)
    assert np.all(np.abs(full.V_wl[1, 3:]) < 1e-3)
    assert np.all(full.V_wl[1, :3] > 0.299)
    np.testing.assert_allclose(full.I_in[1], 3 * 0.3 * 1e-4, rtol=2e-3)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_every_array_of_a_batch_has_its_wires(device):
    """A batch of wires is solved as each array alone, also over threads and in any order."""
    for kind in ("all", "some 0"):
        crossbar, V_in, V_out = _case(kind, "write", (24, 31), device, batch=(3, 2))
        volts = V_in * np.linspace(0.5, 1.0, 7)[:, None, None, None]
        actual = xb.solve(crossbar, volts, V_out, engine=SurrogateEngine(threads=2), full=True)
        for k in range(6):
            alone = xb.solve(crossbar.array(k), volts[:, 0, 0], V_out, full=True)
            for name in ("I_out", "I_in", "V_wl", "V_bl"):
                part = getattr(actual, name).reshape(7, 6, *getattr(alone, name).shape[1:])[:, k]
                np.testing.assert_array_equal(part, getattr(alone, name))


def test_wires_of_a_batch_may_be_shared_along_an_axis():
    rng = np.random.default_rng(0)
    G = 10 ** rng.uniform(-5, -4, (2, 3, 4, 5))
    R_wl, R_driver = rng.lognormal(size=(3, 4, 4)), rng.lognormal(size=(2, 1, 4))
    actual = xb.solve(xb.Crossbar(G, R_wl=R_wl, R_driver=R_driver), np.linspace(0.1, 0.3, 4))
    for a in range(2):
        for b in range(3):
            one = xb.Crossbar(G[a, b], R_wl=R_wl[b], R_driver=R_driver[a, 0])
            expected = xb.solve(one, np.linspace(0.1, 0.3, 4))
            np.testing.assert_array_equal(actual.I_out[a, b], expected.I_out)


@pytest.mark.parametrize("ends", ["read", "through", "both ends"])
def test_newton_starts_from_voltages_that_break_the_joints(ends):
    """A start keeps ideal ends at their source and nodes that are joined at one voltage."""
    crossbar, V_in, V_out = _case("some 0", ends, (9, 13), "sinh_tio2")
    expected = xb.solve(crossbar, V_in, V_out, full=True)
    rng = np.random.default_rng(1)
    start = tuple(rng.uniform(-0.4, 0.4, (9, 13)) for _ in range(2))
    far = xb.solve(crossbar, V_in, V_out, start=start, full=True)
    near = xb.solve(crossbar, V_in, V_out, start=expected, full=True)
    _assert_same(far, expected)
    _assert_same(near, expected)
    assert near.stats.newton_steps <= 1


def test_nodes_that_are_joined_keep_one_total():
    """Settling sums currents over joined nodes; what an ideal end holds is dropped."""
    R = np.array([[1.0, 0.0, 0.0, 2.0, 0.0]])
    bl = networks(xb.Crossbar(np.ones((6, 1)), R_bl=R.T))[0].bl
    f = np.arange(1.0, 7.0)[:, None].copy()
    square = sweeps.settle(f, bl.record)
    np.testing.assert_array_equal(f[:, 0], [1.0, 9.0, 0.0, 0.0, 0.0, 0.0])
    assert square == 82.0
    wl = networks(xb.Crossbar(np.ones((1, 6)), R_wl=R))[0].wl
    f = np.arange(1.0, 7.0)[None].copy()
    assert sweeps.settle_rows(f, wl.record) == 9.0**2 + 11.0**2
    np.testing.assert_array_equal(f[0], [0.0, 9.0, 0.0, 0.0, 11.0, 0.0])


# --- gradients -----------------------------------------------------------------------------------


def _slope(f, x, h):
    if x == 0:  # towards positive values
        y = [f(k * h) for k in range(5)]
        return (-25 * y[0] + 48 * y[1] - 36 * y[2] + 16 * y[3] - 3 * y[4]) / (12 * h)
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


def _loss_and_gradients(crossbar, V_in, V_out):
    rng = np.random.default_rng(8)
    rows, cols, batch = crossbar.rows, crossbar.cols, crossbar.batch
    shapes = {"I_out": (cols,), "I_in": (rows,)}
    shapes |= dict.fromkeys(("V_wl", "V_bl", "I_device"), (rows, cols))
    size = {"V_wl": 1e-3, "V_bl": 1e-3}
    weights = {k: rng.normal(size=(*batch, *s)) * size.get(k, 1.0) for k, s in shapes.items()}

    def loss(changed):
        actual = xb.solve(changed, V_in, V_out, engine="nodal", full=True)
        return sum(float((w * getattr(actual, k)).sum()) for k, w in weights.items())

    _, saved = adjoint.forward(crossbar, crossbar.drive(V_in, V_out))
    flat = {k: w.reshape(-1, *w.shape[len(batch) :]) for k, w in weights.items()}
    return loss, adjoint.backward(saved, **flat)


def _check_gradients(crossbar, V_in, V_out):
    loss, actual = _loss_and_gradients(crossbar, V_in, V_out)
    size = abs(loss(crossbar)) + 1e-4
    for name, R in crossbar.wires.items():
        gradient = getattr(actual, name)
        assert np.shape(gradient) == np.shape(R), name
        for place in np.ndindex(np.shape(R)):

            def at(value, name=name, R=R, place=place):
                changed = np.array(R)
                changed[place] = value
                return loss(crossbar.replace(**{name: changed if changed.ndim else float(changed)}))

            x = np.asarray(R)[place]
            expected = _slope(at, x, 0.02 * x if x else 0.01)
            value = np.asarray(gradient)[place]
            assert value == pytest.approx(expected, rel=1e-6, abs=1e-8 * size), (name, place)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("kind", ["all", "some 0", "segments 0", "ideal ends"])
@pytest.mark.parametrize("ends", [*ENDS])
def test_the_gradient_of_every_resistance_is_its_difference(ends, kind, device):
    """Also of single zeros, of their own: towards positive values while the others stay."""
    for seed in (3, 4, 5, 6):
        if (case := _case(kind, ends, (3, 4), device, seed=seed)) is not None:
            break
    else:
        pytest.skip("every draw joins a driver to a sense node")
    _check_gradients(*case)


@pytest.mark.parametrize("kind", ["all", "some 0"])
@pytest.mark.parametrize("ends", ["read", "through"])
def test_gradients_of_numbers_beside_arrays(ends, kind):
    """Numbers get numbers, arrays their shape, in every mixture."""
    crossbar, V_in, V_out = _case(kind, ends, (3, 4), seed=4)
    wires = dict(crossbar.wires)
    for numbers in (("R_wl",), ("R_bl", "R_driver"), ("R_sense", "R_wl"), ("R_driver", "R_sense")):
        mixed = crossbar.replace(**(wires | dict.fromkeys(numbers, 2.0)))
        _check_gradients(mixed, V_in, V_out)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_gradients_of_a_batch_of_wires(device):
    """Every array has its own; what arrays share is summed, in the shape that was given."""
    crossbar, V_in, V_out = _case("some 0", "write", (2, 3), device, batch=(2, 2))
    _check_gradients(crossbar, V_in, V_out)
    shared = crossbar.replace(R_wl=crossbar.R_wl[:1], R_driver=crossbar.R_driver[0, 0], R_sense=3.0)
    _check_gradients(shared, V_in, V_out)


def test_two_ideal_ends_of_a_line_without_resistance():
    """Raised together they share its current; one that is raised alone gives it to the other."""
    ends = ENDS["both ends"]
    G = np.array([[1e-4, 3e-4, 2e-4], [2e-4, 1e-4, 1e-4]])
    for R_driver in (0.0, np.zeros(4)):
        for R_wl in (np.zeros((2, 2)), 0.0):
            crossbar = xb.Crossbar(
                G, R_wl=R_wl, R_bl=np.ones((1, 3)), R_driver=R_driver, R_sense=2.0, ends=ends
            )
            if isinstance(R_wl, float) and isinstance(R_driver, np.ndarray):
                continue  # both are raised in directions of their own
            V = np.array([0.3, 0.2])
            loss, actual = _loss_and_gradients(crossbar, V, None)
            if isinstance(R_driver, float):
                expected = _slope(lambda R: loss(crossbar.replace(R_driver=R)), 0.0, 0.05)  # noqa: B023
                assert actual.R_driver == pytest.approx(expected, rel=1e-6)
            else:
                np.testing.assert_array_equal(actual.R_driver, 0.0)
            if isinstance(R_wl, np.ndarray):
                np.testing.assert_array_equal(actual.R_wl, 0.0)


def test_the_direct_fallback_gives_the_same_gradients(monkeypatch):
    """When iterations do not suffice, sparse LU solves the adjoint equations."""
    crossbar, V_in, V_out = _case("some 0", "through", (5, 6), seed=4)
    _, expected = _loss_and_gradients(crossbar, V_in, V_out)
    one = solves.AimsRecord(residual=1e-12, gradient_share=1e-13, rounding=1e-3, limit=1)
    monkeypatch.setattr(linear, "aims", lambda *_: one)
    _, actual = _loss_and_gradients(crossbar, V_in, V_out)
    for name in WIRES:
        scale = np.abs(getattr(expected, name)).max()
        np.testing.assert_allclose(
            getattr(actual, name), getattr(expected, name), rtol=1e-9, atol=1e-12 * scale
        )
