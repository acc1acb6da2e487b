"""The half moons: encodings, starts, the law, and a small run end to end."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import xbarspice as xb
from papers.drolet2023 import moons, moons_report, published
from papers.drolet2023.encodings import ENCODINGS, jittered
from papers.drolet2023.hardware import Hardware
from papers.drolet2023.judging import Judge, figures_of
from papers.drolet2023.kept import Kept
from papers.drolet2023.recipes import LOOPS, OURS, RECIPES, REMEDIES, Effort, Recipes
from papers.drolet2023.starts import replicate, small_networks
from xbarspice.config import DataConfig
from xbarspice.core.errors import InputError
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.training.data import fresh_half_moons, half_moons, half_moons_posterior
from xbarspice.variability import Compose, StuckDevices, drolet_2023

MOONS = DataConfig()
EFFORT = Effort(plain=4, networks=2, starts=1, trial=2, finalists=1, tune=4, remedied=4, looks=10)
TINY = moons.Plan(
    draws=(1, 2),
    points=60,
    transfers=20,
    circuit_points=5,
    confirm=2,
    encodings=(ENCODINGS[0].name, ENCODINGS[2].name),
    effort=EFFORT,
)
HARDWARE = Hardware.of(None, wire=1.0, device="sinh_tio2")


@pytest.fixture(scope="module")
def net():
    return small_networks(half_moons(MOONS), 1, 1)[0]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moons")
    return folder, moons.reproduce(Kept(folder=folder), HARDWARE, TINY)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: e.name)
def test_an_encoding_changes_the_array_and_not_the_function(encoding, net):
    x = half_moons(MOONS).x_test
    driven = encoding.points(x)
    wide = encoding.of(replicate(net, 8))
    np.testing.assert_allclose(wide.forward(driven)[-1], net.forward(x)[-1], atol=1e-9)
    points = torch.as_tensor(driven)
    circuit = xb.nn.convert(perceptron_module(wide), encoding.config(), calibrate=points).eval()
    with torch.no_grad():
        answers = circuit(points).numpy()
    np.testing.assert_allclose(answers, net.forward(x)[-1], atol=1e-9)


def test_small_networks_see_more_than_a_line(net):
    split = half_moons(MOONS)
    right = (net.forward(split.x_train)[-1][:, 0] > 0) == split.y_train
    assert right.mean() > 0.93  # a line reaches 0.89


def test_jittered_copies_keep_the_points_first():
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    out = jittered(x, 3, 0.1, np.random.default_rng(0))
    assert out.shape == (8, 2)
    np.testing.assert_array_equal(out[:2], x)
    assert 0 < np.abs(out[2:4] - x).max() < 1


def test_every_draw_has_points_of_its_own():
    (a, _), (b, _), (c, _) = (fresh_half_moons(MOONS, 50, draw=k) for k in (None, 1, 2))
    assert not set(map(tuple, a)) & set(map(tuple, b))
    assert not set(map(tuple, b)) & set(map(tuple, c))
    np.testing.assert_array_equal(b, fresh_half_moons(MOONS, 50, draw=1)[0])


def test_the_posterior_is_that_of_the_law():
    """Among points of equal posterior, classes are as frequent as it says."""
    x, y = fresh_half_moons(MOONS, 20000, draw=3)
    p = half_moons_posterior(MOONS, x)
    assert ((p >= 0) & (p <= 1)).all()
    assert np.mean((p > 0.5) == y) == pytest.approx(np.mean(np.maximum(p, 1 - p)), abs=0.004)
    for low in (0.1, 0.3, 0.5, 0.7):
        part = (p > low) & (p <= low + 0.2)
        assert np.mean(y[part]) == pytest.approx(np.mean(p[part]), abs=0.08)
    with pytest.raises(InputError, match="`noise` must be > 0"):
        half_moons_posterior(MOONS.model_copy(update={"noise": 0.0}), x)


def test_the_metric_counts_points_right_in_at_least_the_share_of_transfers():
    right = np.ones((100, 4), bool)
    right[:5, 1] = False  # 95 %: counts
    right[:6, 2] = False  # 94 %: does not
    right[:, 3] = False
    figures = figures_of(right, np.array([True, True, True, False]))
    assert (figures["metric"], figures["noise_free"]) == (0.5, 0.75)
    assert figures["worst"] == 0.25


def judged(net, errors, **options):
    split = half_moons(MOONS)
    judge = Judge(
        network=replicate(net, 8),
        encoding=ENCODINGS[0],
        seen=(split.x_train, split.y_train),
        transfers=40,
    )
    return judge.on(
        [(split.x_test, split.y_test), (split.x_train, split.y_train)], errors, **options
    )


def test_without_errors_the_judge_sees_the_network(net):
    split = half_moons(MOONS)
    nothing = Compose([StuckDevices(rate_lrs=0.0, rate_hrs=0.0)])
    for figures, x, y in zip(
        judged(net, nothing),
        (split.x_test, split.x_train),
        (split.y_test, split.y_train),
        strict=True,
    ):
        right = np.mean((net.forward(x)[-1][:, 0] > 0) == y)
        assert figures["metric"] == figures["noise_free"] == pytest.approx(right, abs=1e-12)


def test_errors_cost_and_the_remedy_and_the_circuit_change_the_figures(net):
    errors = drolet_2023(tail="released")
    plain, mended = judged(net, errors), judged(net, errors, remedy=REMEDIES[0])
    through, ideal = (
        judged(net, errors, hardware=hardware, dtype="float64") for hardware in (HARDWARE, None)
    )
    assert plain[1]["metric"] < plain[1]["noise_free"]
    assert mended[1]["mean"] > plain[1]["mean"]
    assert through[1]["mean"] != ideal[1]["mean"]
    assert through[1]["mean"] == pytest.approx(ideal[1]["mean"], abs=0.005)
    near = Hardware.of(None, wire=1e-6, device="ohmic")
    (same,) = judged(net, errors, hardware=near, dtype="float64")[:1]
    assert same["metric"] == ideal[0]["metric"]  # the same transfers
    assert same["mean"] == ideal[0]["mean"]


def test_a_small_run_has_every_row(done):
    _, record = done
    rows = {(r["recipe"], r["inputs"], r["loop"], r["remedy"]) for r in record["rows"]}
    for name in RECIPES:
        for encoding in TINY.encodings:
            assert {(name, encoding, False, remedy) for remedy in ("", *REMEDIES)} <= rows
            for remedy, changes in LOOPS.items():
                assert ((name, encoding, True, remedy) in rows) == (name in changes)
    assert all(set(changes) == {"the paper's techniques", OURS} for changes in LOOPS.values())
    assert (OURS, TINY.encodings[1], False, "decision_offset") in rows
    for row in record["rows"]:
        assert len(row["by_draw"]) == 2
        median = np.median([f["metric"] for f in row["by_draw"]])
        assert row["median"]["metric"] == median
        assert row["circuit"]["points"] == 10
        assert row["other_reading"]["tail"] == "pooled"
    readings = [(r["median"]["mean"], r["circuit"]["ideal"]["mean"]) for r in record["rows"]]
    assert any(a != b for a, b in readings)
    assert record["ngspice"]["predictions"] == 2 * 8
    assert record["ngspice"]["differ"] == 0
    assert record["ngspice"]["worst_logit_error"] < 1e-9
    assert 0.9 < record["law"]["accuracy"] <= 1


def test_a_second_run_reads_what_is_there_and_other_draws_are_measured_anew(done):
    folder, record = done
    said: list[str] = []
    kept = Kept(folder=folder, say=said.append)
    # networks of the setting as published stand in the same folder
    published.reproduce(kept, published.Plan(seeds=(0,), transfers=5, effort=EFFORT))
    assert said
    said.clear()
    again = moons.reproduce(kept, HARDWARE, replace(TINY, confirm=0))
    assert again["rows"] == json.loads(json.dumps(record["rows"]))
    assert not said
    moons.reproduce(kept, HARDWARE, replace(TINY, confirm=0, draws=(3,)))
    assert len(said) == len(record["rows"])
    assert all(text.startswith("judging") for text in said)


def test_other_hardware_is_other_rows_and_not_other_networks(done):
    """Wires and device come in after training, so networks stay; a row names what it had."""
    folder, record = done
    said: list[str] = []
    kept = Kept(folder=folder, say=said.append)
    record = moons.reproduce(
        kept, Hardware.of(None, wire=9.0, device="ohmic"), replace(TINY, confirm=0)
    )
    assert record["hardware"]["wires_ohm"]["R_wl"] == 9.0
    assert said
    assert all(text.startswith("judging") for text in said)
    text = moons_report.section(record).items[5].text
    assert "9 ohm a wire segment and the device ohmic" in text


def test_values_are_made_anew_when_what_they_depend_on_changes(tmp_path):
    said: list[str] = []
    kept = Kept(folder=tmp_path, say=said.append)
    assert kept.value("a [0, 1]", (1, "x"), lambda: {"v": 0.1}) == {"v": 0.1}
    assert kept.value("a [0, 1]", (1, "x"), lambda: {"v": 0.2}) == {"v": 0.1}
    assert kept.value("a [0, 1]", (2, "x"), lambda: {"v": 0.2}) == {"v": 0.2}
    assert said == ["a [0, 1]"] * 2


def test_a_network_is_kept_bit_for_bit(net, tmp_path):
    kept = Kept(folder=tmp_path)
    kept.network("net", 0, lambda: net)
    again = kept.network("net", 0, lambda: pytest.fail("it is there"))
    for a, b in zip((*net.W, *net.b), (*again.W, *again.b), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.activation == net.activation


def test_accurate_networks_come_before_robust_lines(net, tmp_path):
    """A line keeps more points right in the transfers, and is not chosen for it."""
    recipes = Recipes(
        kept=Kept(folder=tmp_path),
        split=half_moons(MOONS),
        encoding=ENCODINGS[0],
        variation=drolet_2023(tail="released"),
        effort=replace(EFFORT, looks=100),
    )
    x, y = recipes.seen()
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(x, y)
    line = replace(  # eight neurons that all see the same line
        replicate(net, 8),
        W=(np.tile(fitted.coef_.T, 8), np.full((8, 1), 4.0)),
        b=(np.full(8, fitted.intercept_[0]), np.array([-16.0])),
    )
    figures = [recipes.judge(each, recipes.seen(), 1) for each in (line, replicate(net, 8))]
    assert figures[0]["metric"] > figures[1]["metric"]
    assert figures[0]["noise_free"] < figures[1]["noise_free"]
    assert recipes._ordered([line, replicate(net, 8)], recipes.seen())[1] is line


def test_as_published_most_test_points_are_training_points(tmp_path):
    split = published.released_split(MOONS)
    trained = set(map(tuple, split.x_train))
    assert 150 < sum(tuple(p) in trained for p in split.x_test) < 200
    honest = half_moons(MOONS)
    assert not set(map(tuple, honest.x_train)) & set(map(tuple, honest.x_test))
    plan = published.Plan(seeds=(0, 1), transfers=20, effort=replace(EFFORT, networks=1))
    record = published.reproduce(Kept(folder=tmp_path), plan)
    assert [row["recipe"] for row in record["rows"]] == list(RECIPES)
    assert all(len(row["seeds"]) == 2 for row in record["rows"])
    assert 150 < record["overlap"] < 200
    table = moons_report.published(record).items[0]
    by_name = {row[0]: row for row in table.rows}
    assert by_name["regular"][-1] == "18.5"
    assert by_name["the paper's techniques"][-1] == "79.5"
    assert by_name[OURS][-1] == ""


def test_full_plans_are_full_and_quick_ones_are_less():
    assert not moons.Plan(confirm=500).less_than_full()
    assert not published.Plan().less_than_full()
    assert {"draws", "points", "transfers"} <= set(moons.Plan.quick().less_than_full())
    assert {"seeds", "transfers", "training_plain"} <= set(published.Plan.quick().less_than_full())
    assert not set(moons.Plan.quick().draws) & set(moons.Plan().draws)
