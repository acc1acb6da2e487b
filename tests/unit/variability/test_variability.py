"""Variability: each term follows its stated distribution, is seeded, same in both array kinds."""

import numpy as np
import pytest
import torch

from xbarspice import variability as vr
from xbarspice.core.errors import InputError
from xbarspice.testing import check_variation
from xbarspice.variability.base import Draws
from xbarspice.variability.bse import ORDERS, tail_of

KINDS = ["numpy", "torch"]
SAMPLES = 40_000


def draw(term, G, kind, seed=7):
    """Apply a term with a seeded generator of either kind; the answer as an array."""
    if kind == "numpy":
        return term.apply(np.asarray(G), np.random.default_rng(seed))
    out = term.apply(torch.as_tensor(G), torch.Generator().manual_seed(seed))
    assert isinstance(out, torch.Tensor)
    return out.numpy()


def near(value, wanted, standard_error):
    """Within five standard errors: fails by chance once in two million."""
    return abs(value - wanted) < 5 * standard_error


@pytest.mark.parametrize("kind", KINDS)
def test_cti_has_the_stated_mean_and_spread(kind):
    """At 300 uS the relative offset is -0.589 % and the two spreads add in squares."""
    x = draw(vr.ConductanceTuning(), np.full((SAMPLES, 1, 1), 300e-6), kind) / 300e-6 - 1
    sigma = (-6.24e-4 * 300 + 0.691) / 100
    total = np.hypot(0.339e-2, sigma)
    assert near(x.mean(), -0.589e-2, total / SAMPLES**0.5)
    assert near(x.std(), total, total / (2 * SAMPLES) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("later", [1, 7, 20, 35, 53, 63])
def test_bse_reproduces_the_quantiles_of_the_table(kind, later):
    """The share of drifts below each measured quantile is its level, within sampling error."""
    table = vr.bse_table()
    row = min(later, 53) - 1
    term = vr.BiasingSchemeEffect(later_writes=later)
    drift = draw(term, np.full((SAMPLES, 1, 1), 300e-6), kind).ravel() - 300e-6
    for level, quantile in zip(table.levels, table.quantiles[row], strict=True):
        error = (level * (1 - level) / SAMPLES) ** 0.5
        assert abs((drift <= quantile + 1e-15).mean() - level) <= 5 * error + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_bse_reproduces_the_moments_of_the_table(kind):
    """Mean within a quarter of the measurement's own standard error; spread within 3 %.

    The spread of rows with fewer than 100 measured drifts is not resolved by 25 quantiles and is
    only bounded by the sampling error of so few measurements (three standard errors).
    """
    table = vr.bse_table()
    drift = draw(vr.BiasingSchemeEffect(), np.full((SAMPLES, 1, 54), 300e-6), kind) - 300e-6
    drift = drift[:, 0, ::-1][:, 1:]  # column k - 1 has k later writes
    measured = table.std / table.samples**0.5
    assert np.all(abs(drift.mean(0) - table.mean) < 0.25 * measured + 5 * table.std / SAMPLES**0.5)
    ratio = drift.std(0) / table.std
    assert np.all(abs(ratio - 1)[table.samples >= 100] < 0.05)
    assert np.all(abs(ratio - 1) < 3 / (2 * table.samples) ** 0.5 + 0.03)


def test_thin_rows_of_the_drift_table_are_pooled_with_the_rows_before_them():
    """Row 53 is the mixture of rows 50 to 53 (13, 9, 5 and 3 drifts); rows of 30 stand as measured.

    Against the mean of the single distribution functions, and moments by drawing from the parts.
    """
    pooled, released = vr.bse_table(), vr.bse_table("released")
    assert (released.samples[-4:] == [13, 9, 5, 3]).all()
    assert (released.samples < 30).sum() == 7
    assert pooled.samples.min() >= 30
    assert pooled.samples[-1] == 30
    thick = released.samples >= 30
    for name in ("quantiles", "mean", "std", "samples"):
        np.testing.assert_array_equal(getattr(pooled, name)[thick], getattr(released, name)[thick])
    x = np.linspace(-45e-6, 45e-6, 2001)
    weight = np.array([13, 9, 5, 3]) / 30
    shares = [np.interp(x, q, released.levels, left=0, right=1) for q in released.quantiles[-4:]]
    at_quantiles = np.interp(pooled.quantiles[-1], x, weight @ np.array(shares))
    np.testing.assert_allclose(at_quantiles, pooled.levels, atol=5e-3)
    rng = np.random.default_rng(0)
    row = rng.choice(4, size=200_000, p=weight)
    drawn = released.mean[-4:][row] + released.std[-4:][row] * rng.standard_normal(len(row))
    assert pooled.mean[-1] == pytest.approx(drawn.mean(), abs=5 * drawn.std() / len(row) ** 0.5)
    assert pooled.std[-1] == pytest.approx(drawn.std(), rel=0.01)
    assert (np.diff(pooled.quantiles, axis=1) >= 0).all()


@pytest.mark.parametrize("tail", ["pooled", "released"])
def test_the_reading_of_the_drift_table_is_chosen_by_name(tail):
    term = vr.BiasingSchemeEffect(later_writes=60, tail=tail)
    drift = draw(term, np.full((SAMPLES, 1, 1), 300e-6), "numpy").ravel() - 300e-6
    table = vr.bse_table(tail)
    np.testing.assert_allclose(np.quantile(drift, 0.5), table.quantiles[-1][12], atol=0.6e-6)
    made = vr.drolet_2023(tail=tail)
    other = vr.other_reading(made)
    assert {tail_of(made), tail_of(other)} == {"pooled", "released"}
    assert vr.other_reading(other) == made
    assert vr.from_config([{"name": "bse", "tail": tail}]) == vr.Compose(
        [vr.BiasingSchemeEffect(tail=tail)]
    )


def test_there_is_no_other_reading_without_the_drift_table():
    assert vr.other_reading(vr.RelativeNoise(sigma=0.1)) is None
    assert vr.other_reading(vr.dot_calibration_2024()) is None
    with pytest.raises(InputError, match=r"`bse\.tail` must be one of"):
        vr.BiasingSchemeEffect(tail="long")


def test_bse_depends_on_the_order_of_writing():
    """The device written last does not drift, wherever it stands; row by row is the default."""
    G = np.full((500, 3, 4), 200e-6)
    moved = draw(vr.BiasingSchemeEffect(), G, "numpy") != G
    assert moved[:, :2].any(axis=0).all()
    assert not moved[:, 2, 3].any()
    reverse = vr.BiasingSchemeEffect(order=range(11, -1, -1))
    assert not (draw(reverse, G, "numpy") != G)[:, 0, 0].any()
    assert np.array_equal(reverse.later(3, 4), np.arange(12).reshape(3, 4))
    assert vr.BiasingSchemeEffect(later_writes=5).later(1, 2).tolist() == [[6, 5]]


def test_write_orders_by_name_suit_arrays_of_any_shape():
    later = {name: vr.BiasingSchemeEffect(order=name).later(2, 3).tolist() for name in ORDERS}
    assert later == {
        "rows": [[5, 4, 3], [2, 1, 0]],
        "columns": [[5, 3, 1], [4, 2, 0]],
        "rows_reversed": [[0, 1, 2], [3, 4, 5]],
        "columns_reversed": [[0, 2, 4], [1, 3, 5]],
    }
    (term,) = vr.to_config(vr.BiasingSchemeEffect(order="columns"))
    assert vr.from_config([term]).parts[0] == vr.BiasingSchemeEffect(order="columns")
    with pytest.raises(InputError, match=r"`bse\.order` must be one of"):
        vr.BiasingSchemeEffect(order="diagonal")


def test_bse_released_rule_replaces_far_drifts():
    """With the released rule no drift beyond four standard deviations is left, but +60 uS is."""
    G = np.full((SAMPLES, 1, 2), 300e-6)
    plain = draw(vr.BiasingSchemeEffect(), G, "numpy")[:, 0, 0] - 300e-6
    far = abs(plain) > 4 * vr.bse_table().std[0]
    assert 0.005 < far.mean() < 0.03
    ruled = draw(vr.BiasingSchemeEffect(beyond_4_sigma=60e-6), G, "numpy")[:, 0, 0] - 300e-6
    np.testing.assert_allclose(ruled, np.where(far, 60e-6, plain), rtol=0, atol=1e-18)


@pytest.mark.parametrize("kind", KINDS)
def test_stuck_devices_have_the_stated_rates_and_values(kind):
    """Rates and both value distributions; untouched devices keep their conductance exactly."""
    term = vr.StuckDevices(rate_lrs=0.2, rate_hrs=0.1)
    x = draw(term, np.full((SAMPLES, 1, 1), 1.0), kind).ravel()
    lrs, hrs = x[(x < 1) & (x > 110e-6)], x[x <= 100e-6]
    assert near((x == 1.0).mean(), 0.7, (0.21 / SAMPLES) ** 0.5)
    assert near(len(hrs) / SAMPLES, 0.1, (0.09 / SAMPLES) ** 0.5)
    assert near(lrs.mean(), 573e-6, 99e-6 / len(lrs) ** 0.5)
    assert near(lrs.std(), 99e-6, 99e-6 / (2 * len(lrs)) ** 0.5)
    assert near(hrs.mean(), 55e-6, 26e-6 / len(hrs) ** 0.5)
    assert hrs.min() >= 10e-6


def test_stuck_mask_is_what_apply_uses():
    """`draw` with the same seed names exactly the devices that `apply` changes."""
    G = np.full((50, 8, 8), 1.0)
    stuck, value = vr.StuckDevices(rate_lrs=0.3).draw(G, np.random.default_rng(3))
    out = vr.StuckDevices(rate_lrs=0.3).apply(G, np.random.default_rng(3))
    assert np.array_equal(out, np.where(stuck, value, G))


@pytest.mark.parametrize("kind", KINDS)
def test_read_noise_has_the_stated_spread(kind):
    """sigma[%] = 1.672e-5 R + 0.06645 at 2 and 10 kohm."""
    for R in (2e3, 10e3):
        x = draw(vr.ReadNoise(), np.full((SAMPLES, 1, 1), 1 / R), kind) * R
        sigma = (1.672e-5 * R + 0.06645) / 100
        assert near(x.std(), sigma, sigma / (2 * SAMPLES) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_device_spread_is_one_draw_a_device(kind):
    """At 100 uS, 25 C: sigma_A1 + 0.04 sigma_A3 in closed form."""
    x = draw(vr.DeviceSpread(), np.full((SAMPLES, 1, 1), 100e-6), kind)
    s1 = -1.07e-6 + 0.25e-4 + 2.2e-8 * 25 - 1300e-8
    s3 = 1.17e-5 + 1.3e-4 - 25e-7 - 6500e-8 - 2.5e-3 * 1e-4 * 25
    assert near(x.std(), s1 + 0.04 * s3, (s1 + 0.04 * s3) / (2 * SAMPLES) ** 0.5)


def test_retention_is_a_power_law():
    """A decade of time costs a factor 10^-nu; the spread of nu shows in the logarithm."""
    G = np.full((SAMPLES, 1, 1), 1e-4)
    exact = draw(vr.RetentionDrift(nu=0.01, t=1e4, t_0=10.0), G, "numpy")
    np.testing.assert_allclose(exact, 1e-4 * 10 ** (-0.03), rtol=1e-14)
    spread = np.log10(draw(vr.RetentionDrift(nu=0.01, nu_std=0.002, t=100.0), G, "torch") / 1e-4)
    assert near(spread.std(), 0.004, 0.004 / (2 * SAMPLES) ** 0.5)


TERMS = [
    vr.ConductanceTuning(),
    vr.BiasingSchemeEffect(),
    vr.StuckDevices(rate_lrs=0.1, rate_hrs=0.1),
    vr.ReadNoise(),
    vr.RelativeNoise(sigma=0.1),
    vr.DeviceSpread(),
    vr.RetentionDrift(nu=0.1, nu_std=0.05, t=10.0),
    vr.Quantisation(),
    vr.drolet_2023(),
    vr.dot_calibration_2024(),
]


@pytest.mark.parametrize("term", TERMS, ids=lambda t: t.name)
def test_every_term_holds_every_rule_of_the_kit(term):
    """Seeded, pure, alike for arrays and tensors; absent devices stay absent; records."""
    check_variation(term, random=not isinstance(term, vr.Quantisation))


def test_every_registered_term_is_held_to_the_kit():
    parts = [part for term in TERMS for part in getattr(term, "parts", (term,))]
    shipped = {
        name for name in vr.names() if vr.registry.get(name).__module__.startswith("xbarspice.")
    }
    assert shipped == {part.name for part in parts}


@pytest.mark.parametrize("name", ["cti", "bse", "saf"])
def test_numpy_and_torch_agree_in_distribution(name):
    """Two-sample Kolmogorov-Smirnov test between the two generators' draws."""
    from scipy.stats import ks_2samp

    term = vr.make(name, rate_lrs=0.4, rate_hrs=0.3) if name == "saf" else vr.make(name)
    G = np.full((SAMPLES, 1, 6), 250e-6)
    a, b = (draw(term, G, kind, seed=11)[:, 0, 0] for kind in KINDS)
    assert ks_2samp(a, b).pvalue > 1e-4


def test_gradients_pass_through():
    """Additive and relative terms keep the gradient; a stuck device has none."""
    G = torch.full((2, 4, 4), 3e-4, dtype=torch.float64, requires_grad=True)
    vr.drolet_2023(rate_lrs=0.5).apply(G, torch.Generator().manual_seed(0)).sum().backward()
    assert G.grad is not None
    stuck = G.grad == 0
    assert 0 < stuck.sum() < stuck.numel()
    assert torch.all((G.grad[~stuck] - 1).abs() < 0.05)


def test_terms_are_built_from_names_and_records():
    """A run configuration can hold the terms as records; mistakes are named."""
    built = vr.from_config([{"name": "cti"}, {"name": "saf", "rate_hrs": 0.005}])
    assert built == vr.Compose([vr.ConductanceTuning(), vr.StuckDevices(rate_hrs=0.005)])
    assert "retention" in vr.names()
    with pytest.raises(InputError, match="rate_hr"):
        vr.make("saf", rate_hr=0.1)
    with pytest.raises(InputError, match="one of"):
        vr.make("magic")
    with pytest.raises(InputError, match="complete"):
        vr.make("retention")
    with pytest.raises(InputError, match="name"):
        vr.from_config([{"rate_hrs": 0.1}])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: vr.StuckDevices(rate_lrs=0.9, rate_hrs=0.2), "at most 1"),
        (lambda: vr.StuckDevices(hrs_min=1.0, hrs_max=0.1), "hrs_min"),
        (lambda: vr.BiasingSchemeEffect(order=[0, 0, 1]), "exactly once"),
        (lambda: vr.BiasingSchemeEffect(later_writes=-1), "later_writes"),
        (lambda: vr.RelativeNoise(sigma=-1.0), "sigma"),
        (lambda: vr.RetentionDrift(nu=0.1, t=0.5), "t_0"),
        (lambda: vr.RetentionDrift(nu=0.1, nu_std=-1.0, t=5.0), "nu_std"),
        (lambda: vr.dot_calibration_2024(R_min=5.0, R_max=1.0), "R_min"),
        (lambda: vr.Compose(["cti"]), "Variation"),
        (lambda: vr.ReadNoise().apply(np.ones(3), np.random.default_rng(0)), "rows, cols"),
        (lambda: vr.ReadNoise().apply(np.ones((2, 2)), 5), "Generator"),
        (
            lambda: vr.BiasingSchemeEffect(order=[1, 0]).apply(
                np.ones((2, 2)), np.random.default_rng(0)
            ),
            "all 4 devices",
        ),
    ],
)
def test_misuse_is_an_error_that_says_the_rule(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    "levels",
    [
        vr.bse_table().levels,
        np.array([0.0, 0.1, 0.2, 0.5, 1.0]),
        np.array([0.0, 0.001, 0.31, 1.0]),  # no few equal steps hold these
        np.array([0.0, 1e-7, 0.5, 1.0]),
    ],
    ids=["built-in", "tenths", "uneven", "far apart"],
)
def test_tables_are_read_alike_in_both_array_kinds(levels):
    rng = np.random.default_rng(0)
    table = np.sort(rng.normal(size=(5, levels.size)), axis=1)
    rows = np.array([[0, 4], [2, 1]])
    u = rng.uniform(levels[0], levels[-1], size=(300, 2, 2))
    u[0, 0, 0], u[0, 0, 1] = levels[0], levels[-1]
    wanted = Draws(rng, u).lookup(levels, table, rows, u)
    like = torch.from_numpy(u)
    values = Draws(torch.Generator(), like).lookup(levels, table, rows, like)
    np.testing.assert_allclose(values.numpy(), wanted, rtol=0, atol=1e-12)
    single = Draws(torch.Generator(), like.float()).lookup(levels, table, rows, like.float())
    slope = np.abs(np.diff(table) / np.diff(levels)).max()
    np.testing.assert_allclose(single.numpy(), wanted, rtol=0, atol=1e-6 * (slope + 1))
