"""The transfer study: its metric, its draws, its file, and agreement with the engines."""

from __future__ import annotations

import numpy as np
import pytest

from xbarspice import store
from xbarspice.errors import InputError
from xbarspice.mapping import map_network
from xbarspice.network import Network
from xbarspice.studies import batched
from xbarspice.studies.batched import Batch
from xbarspice.studies.inference import infer
from xbarspice.studies.remedies import Procedure, redundant
from xbarspice.studies.transfer import metric, transfer
from xbarspice.variability import (
    BiasingSchemeEffect,
    Compose,
    ConductanceTuning,
    StuckDevices,
    drolet_2023,
)


def half_moon_like() -> tuple[Network, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    network = Network(
        W=(rng.normal(size=(2, 8)) * 6, rng.normal(size=(8, 1)) * 3),
        b=(rng.normal(size=8) * 2, np.zeros(1)),
    )
    x = rng.random((40, 2))
    middle = np.median(network.forward(x)[-1])  # as many points of either class
    network = Network(W=network.W, b=(network.b[0], np.array([-middle])))
    return network, x, network.predict(network.forward(x)[-1])


def folded(network, **options):
    return map_network(network, layout="folded", tile_rows=8, tile_cols=8, **options)


def test_metric_counts_points_right_in_at_least_the_share_of_transfers():
    right = np.ones((100, 4), bool)
    right[:5, 1] = False  # 95 %: counts
    right[:6, 2] = False  # 94 %: does not
    right[:, 3] = False
    assert metric(right) == 0.5
    assert metric(right, 0.9) == 0.75


@pytest.mark.parametrize("layout", ["folded", "tiled"])
@pytest.mark.parametrize("engine", ["ideal", "matrix", "surrogate", "nodal"])
def test_batches_agree_with_inference_one_by_one(layout, engine):
    """Every path of the batch gives what the single inference gives through the nodal engine."""
    network, x, _ = half_moon_like()
    wires = {"R_wl": 0.0, "R_bl": 0.0} if engine == "ideal" else {"R_wl": 3.0, "R_bl": 2.0}
    mapped = map_network(network, layout=layout, tile_rows=8, tile_cols=8, **wires)
    rng = np.random.default_rng(0)
    G = tuple(a.G * rng.uniform(0.9, 1.1, (3, *a.G.shape)) for a in mapped.arrays)
    found = batched.logits(mapped, x, Batch(G=G), engine)
    for t in range(3):
        single = infer(mapped.with_conductances(tuple(g[t] for g in G)), x, "nodal")
        np.testing.assert_allclose(found[t], single.sums[-1], rtol=0, atol=1e-8)


def test_offsets_make_the_ideal_batch_the_circuit_at_the_wanted_conductances():
    network, x, _ = half_moon_like()
    mapped = folded(network, R_wl=5.0, R_bl=5.0, device="sinh_tio2")
    batch = Batch(G=tuple(a.G[None] for a in mapped.arrays))
    near = batched.logits(mapped, x, batch, offsets=batched.circuit_offsets(mapped, x))
    far = batched.logits(mapped, x, batch)
    exact = infer(mapped, x, "nodal").sums[-1]
    np.testing.assert_allclose(near[0], exact, atol=1e-9)
    assert np.abs(far[0] - exact).max() > 1e-3


def test_without_errors_every_transfer_is_the_network():
    network, x, y = half_moon_like()
    study = transfer(folded(network), x, y, variation=Compose([]), transfers=7)
    assert study.metric() == study.noise_free == 1.0
    np.testing.assert_allclose(study.logits[6], network.forward(x)[-1], atol=1e-9)


def test_a_shorter_study_is_the_beginning_of_a_longer_one():
    network, x, y = half_moon_like()
    runs = [
        transfer(folded(network), x, y, variation=drolet_2023(), transfers=n) for n in (30, 230)
    ]
    np.testing.assert_array_equal(runs[0].logits, runs[1].logits[:30])
    assert 0.3 < runs[1].by_transfer.mean() < 1.0


def test_leaving_one_effect_out_leaves_the_draws_of_the_others():
    network, x, y = half_moon_like()
    mapped = folded(network)
    parts = [ConductanceTuning(), StuckDevices(rate_lrs=0.0, rate_hrs=0.0)]
    with_no_stuck = transfer(mapped, x, y, variation=Compose(parts), transfers=20)
    without = transfer(mapped, x, y, variation=Compose(parts[:1]), transfers=20)
    np.testing.assert_array_equal(with_no_stuck.logits, without.logits)


def test_drift_has_the_distribution_of_the_variation_itself():
    """The procedure's own drift equals `BiasingSchemeEffect` in law, device by device."""
    from xbarspice.studies.remedies import Tester, program

    network, _, _ = half_moon_like()
    mapped = folded(network)
    tester = Tester.of(mapped, Procedure(), None, circuit=False)
    mine = program(tester, BiasingSchemeEffect(), count=4000, seed=1, chunk=0).G[0]
    wanted = np.broadcast_to(mapped.arrays[0].G, mine.shape)
    other = BiasingSchemeEffect().apply(wanted, np.random.default_rng(5))
    np.testing.assert_allclose(mine.mean(axis=0), other.mean(axis=0), atol=2e-6)
    np.testing.assert_allclose(mine.std(axis=0), other.std(axis=0), atol=1.5e-6)
    np.testing.assert_array_equal(mine[:, -1, -1], wanted[:, -1, -1])  # the last one never drifts


def test_a_study_goes_on_where_it_stopped_and_refuses_another(tmp_path):
    network, x, y = half_moon_like()
    path = tmp_path / "study.h5"
    whole = transfer(folded(network), x, y, variation=drolet_2023(), transfers=250)
    transfer(folded(network), x, y, variation=drolet_2023(), transfers=100, path=path)
    seen = []
    again = transfer(
        folded(network), x, y, variation=drolet_2023(), transfers=250, path=path,
        progress=lambda done, total: seen.append(done),
    )  # fmt: skip
    assert seen == [200, 250]
    np.testing.assert_array_equal(again.logits, whole.logits)
    tree = store.read_tree(path, "transfer study")
    np.testing.assert_allclose(tree["accuracy"], whole.by_transfer)
    with pytest.raises(InputError, match="this very study"):
        transfer(folded(network), x, y, variation=drolet_2023(), transfers=5, seed=9, path=path)


def test_interval_holds_the_value_and_narrows_without_points():
    network, x, y = half_moon_like()
    study = transfer(folded(network), x, y, variation=drolet_2023(), transfers=100)
    both, only = study.interval(), study.interval(points=False)
    assert both.low <= both.value <= both.high
    assert only.high - only.low <= both.high - both.low


@pytest.mark.parametrize("engine", ["ideal", "surrogate"])
def test_placements_move_lines_but_not_ideal_answers(engine):
    """Remapped arrays without errors compute the network, through wires of 0 ohm as well."""
    network, x, y = half_moon_like()
    mapped = folded(network, R_wl=0.0, R_bl=0.0)
    stuck = StuckDevices(rate_lrs=0.0, rate_hrs=0.05, hrs_min=100e-6, hrs_max=100e-6)
    study = transfer(
        mapped, x, y, variation=stuck, transfers=20, engine=engine,
        procedure=Procedure(remap=3), calibration=(x, y),
    )  # fmt: skip
    plain = transfer(mapped, x, y, variation=stuck, transfers=20, engine=engine)
    assert study.by_transfer.mean() >= plain.by_transfer.mean()
    untouched = transfer(
        mapped, x, y, variation=Compose([]), transfers=3, engine=engine,
        procedure=Procedure(remap=3), calibration=(x, y),
    )  # fmt: skip
    np.testing.assert_allclose(untouched.logits[1], network.forward(x)[-1], atol=1e-8)


def test_compensation_restores_the_difference_of_a_pair():
    """Where the partner can make a stuck device good, the error of the answers falls."""
    network, x, y = half_moon_like()
    mapped = folded(network)
    stuck = StuckDevices(rate_lrs=0.02, rate_hrs=0.0, lrs_mean=300e-6, lrs_std=0.0)
    mended, broken = (
        transfer(mapped, x, y, variation=stuck, transfers=100, procedure=procedure)
        for procedure in (Procedure(compensate=True), Procedure())
    )
    wanted = network.forward(x)[-1]
    errors = [np.abs(study.logits - wanted).mean() for study in (mended, broken)]
    assert errors[0] < 0.5 * errors[1]


def test_further_passes_write_order_and_bias_raise_the_accuracy():
    network, x, y = half_moon_like()
    mapped = folded(network)
    accuracy = [
        transfer(
            mapped, x, y, variation=drolet_2023(), transfers=200, procedure=procedure,
            calibration=(x, y),
        ).by_transfer.mean()
        for procedure in (
            Procedure(),
            Procedure(bias=True),
            Procedure(order="sensitivity", passes=5, bias=True),
        )
    ]  # fmt: skip
    assert accuracy[0] < accuracy[1] < accuracy[2]


def test_two_pairs_per_weight_compute_the_same_and_average_the_errors():
    network, x, y = half_moon_like()
    mapped = folded(network)
    twice = redundant(mapped)
    np.testing.assert_allclose(
        infer(twice, x, "nodal").sums[-1], infer(mapped, x, "nodal").sums[-1], atol=1e-9
    )
    spread = [
        transfer(m, x, y, variation=ConductanceTuning(), transfers=300).logits.std(axis=0).mean()
        for m in (mapped, twice)
    ]
    assert spread[1] == pytest.approx(spread[0] / np.sqrt(2), rel=0.15)


def test_wrong_arguments_are_refused():
    network, x, y = half_moon_like()
    mapped = folded(network)
    with pytest.raises(InputError, match="calibration"):
        transfer(mapped, x, y, variation=drolet_2023(), procedure=Procedure(bias=True))
    with pytest.raises(InputError, match="number of its class"):
        transfer(mapped, x, y[:-1], variation=drolet_2023())
    with pytest.raises(InputError, match="transfers"):
        transfer(mapped, x, y, variation=drolet_2023(), transfers=0)
    with pytest.raises(InputError, match="read noise"):
        transfer(mapped, x, y, variation=drolet_2023(), engine="matrix", read=ConductanceTuning())
