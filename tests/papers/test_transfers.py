"""The transfer study with a tester: metric, draws, file, procedures, agreement with the circuit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xbarspice as xb
from papers.drolet2023 import batched, tester
from papers.drolet2023.batched import Batch, Placement
from papers.drolet2023.chain import Chain, circuit_of
from papers.drolet2023.placing import alike
from papers.drolet2023.remedies import Procedure, program
from papers.drolet2023.transfers import TransferStudy, metric, transfer
from xbarspice.core import hdf5
from xbarspice.core.errors import InputError
from xbarspice.importers.perceptron import Perceptron
from xbarspice.variability import (
    BiasingSchemeEffect,
    Compose,
    ConductanceTuning,
    StuckDevices,
    drolet_2023,
)


def half_moon_like() -> tuple[Perceptron, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    network = Perceptron(
        W=(rng.normal(size=(2, 8)) * 6, rng.normal(size=(8, 1)) * 3),
        b=(rng.normal(size=8) * 2, np.zeros(1)),
    )
    x = rng.random((40, 2))
    middle = np.median(network.forward(x)[-1])  # as many points of either class
    network = Perceptron(W=network.W, b=(network.b[0], np.array([-middle])))
    return network, x, network.predict(network.forward(x)[-1])


def on_arrays(network, layout="folded", **options) -> Chain:
    return Chain.of(
        circuit_of(network, xb.ArrayConfig(layout=layout, tile_rows=8, tile_cols=8, **options))
    )


def logits_of(chain, x, engine="nodal"):
    """What the circuit itself answers."""
    with xb.nn.through(engine):
        return batched.layer_sums(chain, x)[-1]


def put(chain, G):
    xb.nn.put_conductances(chain.circuit, {a.name: g for a, g in zip(chain.arrays, G, strict=True)})


def test_metric_counts_points_right_in_at_least_the_share_of_transfers():
    right = np.ones((100, 4), bool)
    right[:5, 1] = False  # 95 %: counts
    right[:6, 2] = False  # 94 %: does not
    right[:, 3] = False
    assert metric(right) == 0.5
    assert metric(right, 0.9) == 0.75


LEADS = {"none": {}, "unequal": {"R_driver": 70.0, "R_sense": 15.0}}


@pytest.mark.parametrize("leads", LEADS.values(), ids=LEADS)
@pytest.mark.parametrize("layout", ["folded", "tiled"])
@pytest.mark.parametrize("engine", ["ideal", "matrix", "surrogate", "nodal"])
def test_batches_agree_with_the_circuit_one_by_one(layout, engine, leads):
    """Every path of the batch gives what the circuit itself gives through the nodal engine."""
    network, x, _ = half_moon_like()
    wires = {"R_wl": 3.0, "R_bl": 2.0, **leads}
    if engine == "ideal":
        wires = {"R_wl": 0.0, "R_bl": 0.0}
    chain = on_arrays(network, layout, **wires)
    rng = np.random.default_rng(0)
    G = tuple(g * rng.uniform(0.9, 1.1, (3, *g.shape)) for g in chain.wanted)
    found = batched.logits(chain, x, Batch(G=G), engine)
    for t in range(3):
        put(chain, [g[t] for g in G])
        np.testing.assert_allclose(found[t], logits_of(chain, x), rtol=0, atol=1e-8)


def test_offsets_make_the_ideal_batch_the_circuit_at_the_wanted_conductances():
    network, x, _ = half_moon_like()
    chain = on_arrays(network, R_wl=5.0, R_bl=5.0, device="sinh_tio2")
    batch = Batch(G=tuple(g[None] for g in chain.wanted))
    near = batched.logits(chain, x, batch, offsets=batched.circuit_offsets(chain, x))
    far = batched.logits(chain, x, batch)
    exact = logits_of(chain, x)
    np.testing.assert_allclose(near[0], exact, atol=1e-9)
    assert np.abs(far[0] - exact).max() > 1e-3


@pytest.mark.parametrize("leads", LEADS.values(), ids=LEADS)
def test_input_and_output_lines_never_take_each_others_place(leads):
    """Whatever the leads: word lines 0 to 5 carry inputs, 6 and 7 are sensed in the second pass."""
    network, *_ = half_moon_like()
    rows, cols = alike(on_arrays(network, **leads), 0)
    assert [group.tolist() for group in rows] == [[0, 1, 2, 3, 4, 5], [6, 7]]
    assert [group.tolist() for group in cols] == [list(range(8))]
    rows, cols = alike(on_arrays(network, "tiled", **leads), 0)
    assert [len(group) for group in (*rows, *cols)] == [3, 8]


def test_without_wire_segments_the_answers_do_not_depend_on_the_lines():
    """Then only the leads are left, and every line of a group has the same."""
    network, x, _ = half_moon_like()
    chain = on_arrays(network, R_wl=0.0, R_bl=0.0, device="sinh_tio2", **LEADS["unequal"])
    G = chain.wanted[0]
    plain = batched.logits(chain, x, Batch(G=(G[None],)), "nodal")
    rng = np.random.default_rng(1)
    for _ in range(3):
        lines = [np.arange(8), np.arange(8)]
        for line, groups in zip(lines, alike(chain, 0), strict=True):
            for group in groups:
                line[group] = rng.permutation(group)
        place = Placement(rows=lines[0][None], cols=lines[1][None])
        moved = batched.permute((G[None],), (place,))
        assert not np.array_equal(moved[0][0], G)
        found = batched.logits(chain, x, Batch(G=moved, places=(place,)), "nodal")
        np.testing.assert_allclose(found, plain, rtol=1e-9)


def test_a_model_that_is_no_chain_is_refused():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten()).double()
    with pytest.raises(InputError, match="begins with a Linear layer"):
        Chain.of(xb.nn.convert(model))
    network, *_ = half_moon_like()
    with pytest.raises(InputError, match="one pair a weight"):
        on_arrays(network, "tiled", w_scale="output")


def test_without_errors_every_transfer_is_the_network():
    network, x, y = half_moon_like()
    study = transfer(on_arrays(network), x, y, variation=Compose([]), transfers=7)
    assert study.metric() == study.noise_free == 1.0
    np.testing.assert_allclose(study.logits[6], network.forward(x)[-1], atol=1e-9)


def test_a_shorter_study_is_the_beginning_of_a_longer_one():
    network, x, y = half_moon_like()
    runs = [
        transfer(on_arrays(network), x, y, variation=drolet_2023(), transfers=n) for n in (30, 230)
    ]
    np.testing.assert_array_equal(runs[0].logits, runs[1].logits[:30])
    assert 0.3 < runs[1].by_transfer.mean() < 1.0


def test_leaving_one_effect_out_leaves_the_draws_of_the_others():
    network, x, y = half_moon_like()
    chain = on_arrays(network)
    parts = [ConductanceTuning(), StuckDevices(rate_lrs=0.0, rate_hrs=0.0)]
    with_no_stuck = transfer(chain, x, y, variation=Compose(parts), transfers=20)
    without = transfer(chain, x, y, variation=Compose(parts[:1]), transfers=20)
    np.testing.assert_array_equal(with_no_stuck.logits, without.logits)


def test_drift_has_the_distribution_of_the_variation_itself():
    """The procedure's own drift equals `BiasingSchemeEffect` in law, device by device."""
    network, _, _ = half_moon_like()
    chain = on_arrays(network)
    mine = tester.Tester.of(chain, Procedure(), None, circuit=False)
    drawn = program(mine, BiasingSchemeEffect(), count=4000, seed=1, chunk=0).G[0]
    wanted = np.broadcast_to(chain.wanted[0], drawn.shape)
    other = BiasingSchemeEffect().apply(wanted, np.random.default_rng(5))
    np.testing.assert_allclose(drawn.mean(axis=0), other.mean(axis=0), atol=2e-6)
    np.testing.assert_allclose(drawn.std(axis=0), other.std(axis=0), atol=1.5e-6)
    np.testing.assert_array_equal(drawn[:, -1, -1], wanted[:, -1, -1])  # the last one never drifts


def test_a_study_goes_on_where_it_stopped_and_refuses_another(tmp_path):
    network, x, y = half_moon_like()
    path = tmp_path / "study.h5"
    whole = transfer(on_arrays(network), x, y, variation=drolet_2023(), transfers=250)
    transfer(on_arrays(network), x, y, variation=drolet_2023(), transfers=100, path=path)
    seen = []
    again = transfer(
        on_arrays(network),
        x,
        y,
        variation=drolet_2023(),
        transfers=250,
        path=path,
        progress=lambda done, total: seen.append(done),
    )
    assert seen == [200, 250]
    np.testing.assert_array_equal(again.logits, whole.logits)
    tree = hdf5.read_tree(path, "transfer study")
    np.testing.assert_allclose(tree["accuracy"], whole.by_transfer)
    with pytest.raises(InputError, match="this very study"):
        transfer(on_arrays(network), x, y, variation=drolet_2023(), transfers=5, seed=9, path=path)


def test_interval_holds_the_value_and_narrows_without_points():
    network, x, y = half_moon_like()
    study = transfer(on_arrays(network), x, y, variation=drolet_2023(), transfers=100)
    both, only = study.interval(), study.interval(points=False)
    assert both.low <= both.value <= both.high
    assert only.high - only.low <= both.high - both.low


@pytest.mark.parametrize("engine", ["ideal", "surrogate"])
def test_placements_move_lines_but_not_ideal_answers(engine):
    """Rechain arrays without errors compute the network, through wires of 0 ohm as well."""
    network, x, y = half_moon_like()
    chain = on_arrays(network, R_wl=0.0, R_bl=0.0)
    stuck = StuckDevices(rate_lrs=0.0, rate_hrs=0.05, hrs_min=100e-6, hrs_max=100e-6)
    study = transfer(
        chain,
        x,
        y,
        variation=stuck,
        transfers=20,
        engine=engine,
        procedure=Procedure(remap=3),
        calibration=(x, y),
    )
    plain = transfer(chain, x, y, variation=stuck, transfers=20, engine=engine)
    assert study.by_transfer.mean() >= plain.by_transfer.mean()
    untouched = transfer(
        chain,
        x,
        y,
        variation=Compose([]),
        transfers=3,
        engine=engine,
        procedure=Procedure(remap=3),
        calibration=(x, y),
    )
    np.testing.assert_allclose(untouched.logits[1], network.forward(x)[-1], atol=1e-8)


def test_compensation_restores_the_difference_of_a_pair():
    """Where the partner can make a stuck device good, the error of the answers falls."""
    network, x, y = half_moon_like()
    chain = on_arrays(network)
    stuck = StuckDevices(rate_lrs=0.02, rate_hrs=0.0, lrs_mean=300e-6, lrs_std=0.0)
    mended, broken = (
        transfer(chain, x, y, variation=stuck, transfers=100, procedure=procedure)
        for procedure in (Procedure(compensate=True), Procedure())
    )
    wanted = network.forward(x)[-1]
    errors = [np.abs(study.logits - wanted).mean() for study in (mended, broken)]
    assert errors[0] < 0.5 * errors[1]


def test_further_passes_write_order_and_bias_raise_the_accuracy():
    network, x, y = half_moon_like()
    chain = on_arrays(network)
    accuracy = [
        transfer(
            chain,
            x,
            y,
            variation=drolet_2023(),
            transfers=200,
            procedure=procedure,
            calibration=(x, y),
        ).by_transfer.mean()
        for procedure in (
            Procedure(),
            Procedure(bias=True),
            Procedure(order="sensitivity", passes=5, bias=True),
        )
    ]
    assert accuracy[0] < accuracy[1] < accuracy[2]


def test_two_pairs_per_weight_compute_the_same_and_average_the_errors():
    network, x, y = half_moon_like()
    chain = on_arrays(network)
    twice = chain.redundant()
    same = [
        batched.logits(m, x, Batch(G=tuple(g[None] for g in m.wanted)), "nodal")
        for m in (twice, chain)
    ]
    np.testing.assert_allclose(same[0], same[1], atol=1e-9)
    assert len(twice.arrays) == 2 * len(chain.arrays)
    spread = [
        transfer(m, x, y, variation=ConductanceTuning(), transfers=300).logits.std(axis=0).mean()
        for m in (chain, twice)
    ]
    assert spread[1] == pytest.approx(spread[0] / np.sqrt(2), rel=0.15)


def test_wrong_arguments_are_refused():
    network, x, y = half_moon_like()
    chain = on_arrays(network)
    with pytest.raises(InputError, match="calibration"):
        transfer(chain, x, y, variation=drolet_2023(), procedure=Procedure(bias=True))
    with pytest.raises(InputError, match="number of its class"):
        transfer(chain, x, y[:-1], variation=drolet_2023())
    with pytest.raises(InputError, match="transfers"):
        transfer(chain, x, y, variation=drolet_2023(), transfers=0)
    with pytest.raises(InputError, match="read noise"):
        transfer(chain, x, y, variation=drolet_2023(), engine="matrix", read=ConductanceTuning())


def test_summary_of_many_classes():
    logits = np.zeros((4, 3, 5))
    logits[..., 2] = 1.0
    study = TransferStudy(
        engine="ideal", labels=np.array([2, 2, 0]), logits=logits, clean=logits[0]
    )
    assert study.metric() == study.noise_free == 2 / 3
