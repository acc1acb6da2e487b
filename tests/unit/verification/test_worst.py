"""Worst inputs by search, random inputs, the box that is searched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from xbarspice import engines
from xbarspice.core.errors import InputError
from xbarspice.engines.nodal.engine import NodalEngine
from xbarspice.verification import Gates, Search
from xbarspice.verification.inputs import box_of
from xbarspice.verification.worst import _starts, worst_between_engines, worst_of_ideal

torch.manual_seed(0)
CURVED = xb.ArrayConfig(device="sinh_tio2", R_wl=5.0, R_bl=5.0)
X = torch.rand(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def perceptron():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)).double()


@pytest.fixture(scope="module")
def circuit():
    return xb.nn.convert(perceptron(), CURVED, calibrate=X).eval()


class Tilted(NodalEngine):
    """An engine that is wrong by one part in 1e4 in the last bit line's current."""

    name = "tilted"

    def _solve(self, state, crossbar, drive, full):
        raw = super()._solve(state, crossbar, drive, full)
        raw.I_out[:, -1] *= 1 + 1e-4
        return raw


@pytest.fixture
def tilted_engine(monkeypatch):
    get, names = engines.get, engines.names
    monkeypatch.setattr(
        "xbarspice.engines.get",
        lambda e: Tilted() if isinstance(e, str) and e == "tilted" else get(e),
    )
    monkeypatch.setattr("xbarspice.engines.names", lambda: (*names(), "tilted"))


def distance(circuit, x):
    """How far the outputs of each point are from exact products."""
    with torch.no_grad(), xb.nn.through("nodal"):
        z = circuit(x)
    with torch.no_grad(), xb.nn.exact_products():
        return (z - circuit(x)).abs().flatten(1).amax(dim=1).numpy()


def test_the_search_beats_its_starts_and_repeats(circuit):
    """The found distance is real (by the nodal engine), inside the box, and seeded."""
    bounds = box_of(X, 0.0, 1.0)

    def search():
        plan = Search(starts=4, steps=15)
        return worst_of_ideal(circuit, bounds, np.random.default_rng(3), plan)

    record = search()
    assert record.value >= record.start > 0
    assert (np.array(record.x) >= 0).all()
    assert (np.array(record.x) <= 1).all()
    assert record.x == search().x
    draws = torch.rand(300, 2, dtype=torch.float64)
    worst = distance(circuit, torch.tensor([record.x], dtype=torch.float64))[0]
    assert worst >= 0.98 * distance(circuit, draws).max()  # as far as the worst of 300 random ones


def test_the_worst_input_of_one_positive_matrix_is_full_scale():
    """All inputs at their largest draw the most current through the wires."""
    model = nn.Sequential(nn.Linear(5, 4, bias=False)).double()
    with torch.no_grad():
        model[0].weight.uniform_(0.1, 1.0)
    x = torch.rand(3, 5, dtype=torch.float64)
    circuit = xb.nn.convert(model, xb.ArrayConfig(R_wl=5.0, R_bl=5.0), calibrate=x)
    bounds = box_of(x, 0.0, 1.0)
    record = worst_of_ideal(circuit, bounds, np.random.default_rng(0), Search())
    np.testing.assert_allclose(record.x, 1.0, atol=1e-3)


def test_inputs_of_any_shape_are_searched():
    """A convolution: the found image has the shape of one, and one point spans a box."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    x = torch.rand(1, 1, 4, 4)
    circuit = xb.nn.convert(model, CURVED, calibrate=x)
    record = worst_of_ideal(circuit, box_of(x), np.random.default_rng(0), Search(starts=3, steps=4))
    assert np.shape(record.x) == (1, 4, 4)
    image = torch.tensor([record.x])
    assert x.min() <= image.min()
    assert image.max() <= x.max()
    assert record.value >= record.start


def test_the_search_between_engines_finds_where_they_differ(tilted_engine):
    """The tilted engine differs most where the last bit line carries the most of all current."""
    model = nn.Sequential(nn.Linear(4, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight[:] = -torch.tensor([[1.0, 0.2, 0.2, 0.2]])  # the last line is the minus one
    x = torch.rand(3, 4, dtype=torch.float64)
    circuit = xb.nn.convert(model, xb.ArrayConfig(R_wl=0.0, R_bl=0.0), calibrate=x)
    record = worst_between_engines(
        circuit,
        box_of(x, 0.0, 1.0),
        np.random.default_rng(0),
        Search(rounds=4),
        engines=("tilted",),
        reference="nodal",
    )
    assert record.value == pytest.approx(1e-4, rel=1e-3)
    assert record.value >= record.start


def test_the_search_between_engines_keeps_one_scale(circuit):
    """Its value is the error over the first round's currents, and no candidate had a larger one."""
    bounds = box_of(X, 0.0, 1.0)
    points_known = torch.rand(20, 2, dtype=torch.float64)
    plan = Search(starts=6)
    record = worst_between_engines(
        circuit,
        bounds,
        np.random.default_rng(0),
        plan,
        engines=("linear",),
        reference="nodal",
        also=list(points_known),
    )
    first = torch.cat([_starts(bounds, 6, np.random.default_rng(0)), points_known])

    def currents(engine, x):
        with torch.no_grad(), xb.nn.through(engine, keep=True) as run:
            circuit(x)
        return [torch.cat([t.reshape(len(t), -1) for t in a.I_out], dim=1) for a in run.answers]

    largest = [float(i.abs().max()) for i in currents("nodal", first)]
    points = torch.cat([torch.tensor([record.x], dtype=torch.float64), first])
    pairs = zip(currents("linear", points), currents("nodal", points), largest, strict=True)
    gap = np.max([((a - b).abs() / m).amax(dim=1).numpy() for a, b, m in pairs], axis=0)
    assert record.value == pytest.approx(gap[0], rel=1e-9)
    assert gap[0] >= gap[1:].max() * (1 - 1e-9)
    assert gap[0] > 1e-3


def test_found_inputs_are_judged_and_said(circuit, tmp_path):
    report = xb.verify(
        circuit,
        X,
        reference="nodal",
        worst_case=Search(steps=3, rounds=1),
        gates=Gates(output=1e-6),
    )
    assert [s.target for s in report.searches] == ["ideal", "engines"]
    failed = [gate.name for gate in report.gates if not gate.passed]
    assert failed == [
        "output error through the circuit",
        "output error through the circuit, by search",
    ]
    text = report.save(tmp_path).read_text()
    assert "furthest from exact products" in text
    assert "on which engines and reference differ most" in text


def test_a_search_beyond_the_budget_is_left_out_and_said(circuit):
    report = xb.verify(circuit, X, reference="nodal", worst_case=Search(steps=1), whole=20)
    assert [s.target for s in report.searches] == ["ideal"]
    assert "45 candidates exceed the 10" in report.searched


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((X, X), "one floating-point tensor"),
        (X.long(), "one floating-point tensor"),
        ({"input": X}, "one floating-point tensor"),
        (X[:1] * 0, "a box of inputs"),
    ],
)
def test_inputs_that_cannot_be_searched_are_refused_before_any_work(circuit, inputs, words):
    with pytest.raises(InputError, match=words):
        xb.verify(circuit, inputs, reference="nodal", worst_case=True)


class Mixed(nn.Module):
    """Outputs that are not one row a point."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return self.layer(x).T


def test_outputs_without_a_row_a_point_are_refused():
    circuit = xb.nn.convert(Mixed().double(), calibrate=X)
    with pytest.raises(InputError, match="one row a point"):
        worst_of_ideal(circuit, box_of(X), np.random.default_rng(0), Search(starts=4))


def test_the_box_of_given_inputs():
    box_inputs = torch.tensor([[0.1, 0.2], [0.4, 0.2]])
    low, high = box_of(box_inputs)
    torch.testing.assert_close(torch.stack([low, high]), torch.tensor([[0.1, 0.2], [0.4, 0.2]]))
    low, high = box_of(box_inputs, -1.0, 2.0)
    assert (low.tolist(), high.tolist()) == ([-1, -1], [2, 2])


def test_a_search_has_at_least_one_round():
    with pytest.raises(InputError, match="rounds"):
        Search(rounds=0)
