"""The study on fresh draws: encodings, starts, the law, and a small run end to end."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from papers.drolet2023 import fresh, fresh_report, multiclass, multiclass_report, report
from papers.drolet2023.chain import circuit_of
from papers.drolet2023.encodings import ENCODINGS, jittered
from papers.drolet2023.fresh_recipes import Effort
from papers.drolet2023.starts import replicate, small_networks
from xbarspice.config import DataConfig
from xbarspice.core.errors import InputError
from xbarspice.training.data import fresh_half_moons, half_moons, half_moons_posterior

MOONS = DataConfig()
TINY = fresh.Plan(
    draws=(1, 2),
    points=60,
    transfers=20,
    circuit_points=5,
    confirm=2,
    encodings=(ENCODINGS[0].name, ENCODINGS[2].name),
    effort=Effort(plain=4, networks=1, starts=1, trial=2, tune=4, remedied=4, looks=10),
)


@pytest.fixture(scope="module")
def net():
    return small_networks(half_moons(MOONS), 1, 1)[0]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    return folder, fresh.reproduce(folder, TINY)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: e.name)
def test_an_encoding_changes_the_array_and_not_the_function(encoding, net):
    x = half_moons(MOONS).x_test
    driven = encoding.points(x)
    wide = encoding.of(replicate(net, 8))
    np.testing.assert_allclose(wide.forward(driven)[-1], net.forward(x)[-1], atol=1e-9)
    circuit = circuit_of(wide, encoding.config(), driven)
    with torch.no_grad():
        answers = circuit(torch.from_numpy(driven)).numpy()
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


def test_a_small_run_has_every_row(done):
    _, record = done
    rows = {(r["recipe"], r["inputs"], r["remedy"]) for r in record["rows"]}
    for name in ("regular", "weight decay only", "the paper's techniques", "ours"):
        assert {(name, "[0, 1]", ""), (name, "[0, 1]", "bias correction")} <= rows
    assert ("ours", ENCODINGS[2].name, "") in rows
    for row in record["rows"]:
        assert len(row["by_draw"]) == 2
        median = np.median([f["metric"] for f in row["by_draw"]])
        assert row["median"]["metric"] == median
    through = [r["circuit"] for r in record["rows"] if "circuit" in r]
    assert len(through) == 4
    assert all(c["points"] == 10 for c in through)
    assert record["ngspice"]["predictions"] == 2 * 8
    assert record["ngspice"]["differ"] == 0
    assert record["ngspice"]["worst_logit_error"] < 1e-9
    assert 0.9 < record["law"]["accuracy"] <= 1


def test_a_second_run_reads_what_is_there_and_other_points_are_measured_anew(done):
    folder, record = done
    said: list[str] = []
    again = fresh.reproduce(folder, replace(TINY, confirm=0), say=said.append)
    assert again["rows"] == json.loads(json.dumps(record["rows"]))
    assert not [text for text in said if text.startswith(("training", "judging"))]
    fresh.reproduce(folder, replace(TINY, confirm=0, draws=(3,)), say=said.append)
    assert not [text for text in said if text.startswith("training")]
    assert len([text for text in said if text.startswith("judging")]) == len(record["rows"])


def test_the_page_holds_the_tables_and_says_that_it_is_quick(done, tmp_path):
    classes = multiclass.reproduce(
        tmp_path / "multiclass", replace(multiclass.Plan.quick(), tune=2)
    )
    record = {"fresh_draws": done[1], "multiclass": classes}
    report.write(record, tmp_path)
    text = (tmp_path / "report.md").read_text()
    for piece in (
        "Quick run: Half moons",
        "draws 2 of 10",
        "has no errors",
        "best classifier of the law",
        "0 of 16 single predictions differ",
        "convolutional",
        "QUICK RUN",
    ):
        assert piece in text
    assert "SIMULATED" not in text
    full = {k: {**v, "less_than_full": {}} for k, v in record.items()}
    report.write(full, tmp_path)
    assert "SIMULATED" in (tmp_path / "report.md").read_text()
    assert len(fresh_report.short(done[1])) == len(done[1]["rows"]) + 1
    assert len(multiclass_report.short(classes)) == len(classes["rows"]) == 24


def test_ten_classes_are_judged_with_and_without_the_remedy(tmp_path):
    plan = replace(multiclass.Plan.quick(), tune=2, transfers=4, points=40)
    said: list[str] = []
    record = multiclass.reproduce(tmp_path, plan, say=said.append)
    assert len(said) == 4
    for row in record["rows"]:
        middle = row["median"]
        assert middle["lost"] == pytest.approx(middle["software"] - middle["mean"])
        assert 0 <= middle["metric"] <= 1
    by_key = {(r["model"], r["inputs"], r["recipe"], r["remedy"]): r for r in record["rows"]}
    plain, mended = (by_key["64-32-10", "[0, 1]", "regular", name] for name in ("none", "offset"))
    assert plain["median"]["software"] == mended["median"]["software"]
    assert plain["median"]["mean"] != mended["median"]["mean"]
    assert multiclass.reproduce(tmp_path, plan, say=said.append) == record
    assert len(said) == 4


def test_full_plans_are_full_and_quick_ones_are_less():
    assert not fresh.Plan(confirm=500).less_than_full()
    assert not multiclass.Plan().less_than_full()
    assert {"draws", "points", "transfers"} <= set(fresh.Plan.quick().less_than_full())
    assert {"splits", "transfers"} <= set(multiclass.Plan.quick().less_than_full())
    assert not set(fresh.Plan.quick().draws) & set(fresh.Plan().draws)
