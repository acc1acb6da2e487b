"""The effective matrix by dissection: equal to the nodal engine, and its reverse mode exact."""

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.core.line_ends import LineEnds
from xbarspice.core.wires import WIRES
from xbarspice.mapping.tiling import Tiling
from xbarspice.surrogate.dissection import reduction as part
from xbarspice.surrogate.dissection.kernels import best_lanes
from xbarspice.surrogate.dissection.matrix import effective_matrix, reduce, reduce_pairs
from xbarspice.surrogate.native.library import lanes

CASES = {
    "read": {},
    "ends with resistance": {"R_driver": 20.0, "R_sense": 7.0},
    "no wires": {"R_wl": 0.0, "R_bl": 0.0, "R_driver": 5.0, "R_sense": 3.0},
    "no resistance at all": {"R_wl": 0.0, "R_bl": 0.0},
    "ideal word lines": {"R_wl": 0.0, "R_driver": 4.0},
    "ideal bit lines": {"R_bl": 0.0, "R_sense": 4.0},
    "both ends": {
        "R_driver": 2.0,
        "ends": LineEnds(wl_right="driven", bl_top="sensed"),
    },
    "sensed word lines": {
        "R_driver": 2.0,
        "R_sense": 50.0,
        "ends": LineEnds(wl_right="sensed", bl_top="driven", bl_bottom="sensed"),
    },
    "some float": {
        "ends": LineEnds(
            wl_left=["driven", "floating", "driven", "sensed", "driven"],
            bl_bottom=["sensed", "floating", "sensed", "driven", "sensed", "sensed", "floating"],
        ),
        "R_sense": 1.5,
    },
}


def conductances(shape, seed=0):
    return np.random.default_rng(seed).uniform(1 / 15e3, 1 / 5e3, shape)


def by_nodal(crossbar):
    """G_eff column by column from the independent engine."""
    driven = (crossbar.wl_ends == "driven").any(axis=1)
    out = np.zeros((len(crossbar.G_flat), crossbar.rows, crossbar.cols))
    for k, G in enumerate(crossbar.G_flat):
        one = crossbar.replace(G=G)
        held = np.array([[end != "floating" for end in pair] for pair in crossbar.bl_ends]).any(1)
        out[k, driven] = xb.solve(one, np.eye(crossbar.rows)[driven], engine="nodal").I_out * held
    return out.reshape(crossbar.G.shape)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_nodal_engine(case):
    """Every boundary case agrees with sparse LU, entry by entry."""
    crossbar = xb.Crossbar(conductances((3, 5, 7)), **CASES[case])
    expected = by_nodal(crossbar)
    actual = effective_matrix(crossbar)
    assert actual.shape == crossbar.G.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-12 * expected.max())


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 3), (9, 4), (13, 17)])
def test_every_shape(shape):
    """Single lines and sizes that are no power of two."""
    crossbar = xb.Crossbar(conductances(shape), R_sense=3.0)
    np.testing.assert_allclose(effective_matrix(crossbar), by_nodal(crossbar), rtol=1e-11)


def test_batch_larger_than_the_lanes_keeps_its_axes():
    """Leading axes survive, and array k of a batch equals the array alone."""
    crossbar = xb.Crossbar(conductances((3, 7, 4, 5)))
    actual = effective_matrix(crossbar)
    assert actual.shape == (3, 7, 4, 5)
    alone = effective_matrix(crossbar.replace(G=crossbar.G[2, 6]))
    np.testing.assert_array_equal(actual[2, 6], alone)


def test_absent_devices_and_shorts():
    """G = 0 is absent, 0.1 S is a stuck short; both stay exact."""
    G = conductances((8, 8))
    G[1, 2] = G[7, 0] = G[0, 0] = 0
    G[:, 5] = 0
    G[3, 3] = 0.1
    crossbar = xb.Crossbar(G, R_wl=10.0, R_bl=10.0)
    actual = effective_matrix(crossbar)
    np.testing.assert_allclose(actual, by_nodal(crossbar), rtol=1e-10, atol=1e-18)
    assert not actual[:, 5].any()


def test_no_wire_resistance_gives_the_ideal_product():
    """Without any resistance the effective matrix is G itself."""
    G = conductances((2, 6, 5))
    np.testing.assert_allclose(effective_matrix(xb.Crossbar(G, R_wl=0, R_bl=0)), G, rtol=1e-15)


def test_float32_states_its_error():
    """float32 stays within 2e-6 of float64, relative, entry by entry."""
    crossbar = xb.Crossbar(conductances((9, 40, 24)), R_driver=1.0)
    actual = effective_matrix(crossbar, dtype=np.float32)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, effective_matrix(crossbar), rtol=2e-6)


def test_misuse_is_refused():
    """Nonlinear devices have no effective matrix; floating lines and other dtypes are errors."""
    with pytest.raises(xb.errors.InputError, match="linear device"):
        effective_matrix(xb.Crossbar(conductances((2, 2)), device="sinh_tio2"))
    with pytest.raises(xb.errors.InputError, match="float64 or float32"):
        effective_matrix(xb.Crossbar(conductances((2, 2))), dtype=np.int32)
    with pytest.raises(xb.errors.FloatingNodeError):
        effective_matrix(xb.Crossbar([[1e-4, 0.0]], ends=LineEnds(bl_bottom="floating")))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_error_of_a_matrix_is_bounded(case, dtype):
    """Not below the distance from the nodal engine, and near it; also of a wrong matrix."""
    crossbar = xb.Crossbar(conductances((3, 5, 7)), **CASES[case])
    driven = (crossbar.wl_ends == "driven").any(axis=1)
    matrix = reduce(crossbar, dtype=dtype).G_eff
    exact = by_nodal(crossbar)
    for shift in (0.0, 1e-9):
        off = np.abs(matrix + shift * driven[:, None] - exact).max(axis=-1)
        bound = xb.effective_matrix_error(crossbar, matrix + shift * driven[:, None])
        assert bound.shape == (3, 5)
        slack = 1e-15 * exact.max()  # of the nodal engine
        assert (bound >= off - slack).all()
        assert (bound <= off + 1e-11 * exact.max()).all()
    matrix[0, 0, 0] = np.nan
    assert np.isinf(xb.effective_matrix_error(crossbar, matrix)[0, 0])


def test_the_error_needs_the_arrays_of_the_matrix():
    crossbar = xb.Crossbar(conductances((2, 3)))
    with pytest.raises(xb.errors.InputError, match="G_eff"):
        xb.effective_matrix_error(crossbar, np.ones((3, 2)))
    with pytest.raises(xb.errors.InputError, match="linear device"):
        xb.effective_matrix_error(crossbar.replace(device="sinh_tio2"), np.ones((2, 3)))


def numeric(function, x, step):
    """Fourth-order central difference."""
    f = [function(x + k * step) for k in (-2, -1, 1, 2)]
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step)


@pytest.mark.parametrize("factors_kept", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_reverse_mode_equals_differences(case, factors_kept, monkeypatch):
    """dL/dG and dL/dR agree with differences, with kept factors and with repeated elimination."""
    if not factors_kept:
        monkeypatch.setattr(part, "KEEP_BYTES", 0)
    crossbar = xb.Crossbar(conductances((10, 5, 7)), **CASES[case])
    M = np.random.default_rng(1).standard_normal(crossbar.G.shape)
    matrices = reduce(crossbar, keep=True)
    ((_, reduction),) = matrices.parts
    assert (reduction.panels.size > 0) == (factors_kept and reduction.plan.panels > 0)
    dG, dR = matrices.reverse(M)

    def loss(**changes):
        return float((effective_matrix(crossbar.replace(**changes)) * M).sum())

    for where in [(0, 0, 0), (9, 4, 6), (4, 2, 3)]:
        unit = np.zeros_like(crossbar.G)
        unit[where] = 1.0
        expected = numeric(lambda x, u=unit: loss(G=crossbar.G + x * u), 0.0, 1e-6)
        assert dG[where] == pytest.approx(expected, rel=1e-7, abs=1e-9)
    for name in WIRES:
        R = getattr(crossbar, name)
        if R == 0:
            assert np.isnan(dR[name])
        else:
            expected = numeric(lambda x, n=name: loss(**{n: x}), R, 1e-2 * R)
            assert dR[name] == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_factors_of_living_reductions_never_share_memory():
    """The memory of a reduction is used again only after it is gone."""
    first = reduce(xb.Crossbar(conductances((9, 6, 6), seed=1)), keep=True)
    M = np.ones((9, 6, 6))
    expected = first.reverse(M)[0]
    for seed in range(3):  # the memory of these goes from one to the next
        later = reduce(xb.Crossbar(conductances((9, 6, 6), seed=seed)), keep=True)
        assert not np.shares_memory(first.parts[0][1].panels, later.parts[0][1].panels)
        later.reverse(M)
    np.testing.assert_array_equal(first.reverse(M)[0], expected)


@pytest.mark.parametrize("shape", [(37, 50), (64, 64), (70, 33)])
def test_large_fronts_are_exact_in_both_modes(shape):
    """Shapes whose rows of fronts are long and no whole number of tiles."""
    rng = np.random.default_rng(3)
    crossbar = xb.Crossbar(conductances((2, *shape)), R_wl=2.0, R_driver=5.0, R_sense=3.0)
    expected = xb.solve(
        crossbar.replace(G=crossbar.G[:, None]), np.eye(shape[0]), engine="nodal"
    ).I_out
    matrices = reduce(crossbar, keep=True)
    np.testing.assert_allclose(matrices.G_eff, expected, rtol=1e-11, atol=0)
    M = rng.standard_normal(crossbar.G.shape)
    dG, _dR = matrices.reverse(M)
    along = crossbar.G * rng.standard_normal(crossbar.G.shape)
    slope = numeric(
        lambda t: float((effective_matrix(crossbar.replace(G=crossbar.G + t * along)) * M).sum()),
        0.0,
        1e-3,
    )
    assert float((dG * along).sum()) == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("shape", [(23, 26), (2, 15, 12), (8, 12)])
def test_tiles_of_unequal_sizes_are_reduced_together(shape, kept, dtype):
    """Each tile of a matrix equals the array alone, in both modes, though some have a line less."""
    wires = {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 20.0, "R_sense": 7.0}
    G = conductances(shape).astype(dtype)
    tiling = Tiling(rows=8, cols=8, pairs=True)
    got, reduction = reduce_pairs(G, tiling, wires, keep=kept)
    M = np.random.default_rng(1).standard_normal(got.shape).astype(dtype)
    dG = reduction.reverse_pairs(M)
    by_column = np.stack([M, -M], axis=-1).reshape(G.shape)
    for tiles, by_tile, dG_tile in zip(
        tiling.stacks(G), tiling.stacks(by_column), tiling.stacks(dG), strict=True
    ):
        alone = reduce(xb.Crossbar(tiles, **wires), keep=True)
        expected = alone.reverse(by_tile)[0].reshape(tiles.shape)
        rtol = 1e-12 if dtype == np.float64 else 1e-6
        np.testing.assert_allclose(dG_tile, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    whole = tiling.join(
        [effective_matrix(xb.Crossbar(tiles, **wires)) for tiles in tiling.stacks(G)],
        np.empty(shape),
    )
    expected = whole[..., 0::2] - whole[..., 1::2]
    rtol = 1e-13 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose(got, expected, rtol=0, atol=rtol * whole.max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_vectors_of_every_length_give_the_same(dtype, monkeypatch):
    """A group may hold fewer arrays than the processor's vectors have lanes."""
    crossbar = xb.Crossbar(conductances((5, 9, 7)), R_driver=3.0)
    M = np.random.default_rng(1).standard_normal(crossbar.G.shape).astype(dtype)
    counts, answers = [lanes(dtype)], []
    while counts[-1] * np.dtype(dtype).itemsize > 16:
        counts.append(counts[-1] // 2)
    for count in counts:
        monkeypatch.setattr(part, "best_lanes", lambda *_, count=count: count)
        matrices = reduce(crossbar, dtype=dtype, keep=True)
        assert matrices.parts[0][1].groups == -(-5 // count)
        dG, dR = matrices.reverse(M)
        answers.append((matrices.G_eff, dG, *dR.values()))
    for answer in answers[1:]:
        for got, expected in zip(answer, answers[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_groups_are_chosen_for_the_number_of_arrays_and_of_threads():
    """One array takes the shortest vectors; many take the longest; threads share few arrays."""
    widest, dtype = lanes(np.float32), np.dtype(np.float32)
    assert best_lanes(1, dtype, 1) == 4
    assert best_lanes(100 * widest, dtype, 1) == widest
    assert best_lanes(widest, dtype, 2) == max(widest // 2, 4)
