"""Draws of errors: all at once as one by one, gradients, and what each choice means."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.unit.training.models import ERRORS, gradients, perceptron, points
from xbarspice.core.errors import InputError
from xbarspice.training import ErrorDraws
from xbarspice.variability import BiasingSchemeEffect, Compose, RelativeNoise

LAYOUTS = ["tiled", "folded"]


def drawn(model: nn.Module, draws: int = 4, label: str = "a", **options) -> ErrorDraws:
    out = ErrorDraws(model, draws=draws, **options)
    out.begin(label)
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_every_draw_is_the_circuit_with_those_conductances(layout, device):
    """The conductances of a draw, put onto the arrays, give its answers by the nodal engine."""
    model, x = perceptron(layout=layout, device=device), points(3)
    draws = drawn(model, draws=2, circuit="exact")
    answers = draws.outputs(x).detach()
    seen = conductances_of(draws, model, x)
    model.eval()
    for number in range(2):
        xb.nn.put_conductances(model, {name: G[number] for name, G in seen.items()})
        with torch.no_grad(), xb.nn.through("nodal"):
            torch.testing.assert_close(answers[number], model(x), rtol=0, atol=1e-9)
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def conductances_of(draws: ErrorDraws, model: nn.Module, x: torch.Tensor) -> dict:
    """Conductances of every draw by the name of the physical array, (draws, rows, cols)."""
    kept: dict[str, list[torch.Tensor]] = {}
    inner = draws.arrays

    def watch(name, matrix, stacks):
        kept[name] = [s.detach() for s in inner(name, matrix, stacks)]
        return kept[name]

    draws.arrays = watch  # type: ignore[method-assign]
    with torch.no_grad():
        draws.outputs(x)
    out = {}
    for array in xb.nn.arrays(model):
        name, _, rest = array.name.partition("[")
        if not rest:  # a folded array
            out[array.name] = kept[name][0].numpy()
            continue
        tile = array.tiles[0]
        number = 0
        for stack in kept[name]:
            if stack.shape[-2:] == array.crossbar.G.shape:
                rows = sorted({t.tiles[0].lines[0] for t in same_shape(model, name, stack)})
                cols = sorted({t.tiles[0].columns[0] for t in same_shape(model, name, stack)})
                place = rows.index(tile.lines[0]), cols.index(tile.columns[0])
                out[array.name] = stack[:, tile.group, *place].numpy()
                number += 1
        assert number == 1
    return out


def same_shape(model, name, stack):
    return [
        a
        for a in xb.nn.arrays(model)
        if a.name.startswith(f"{name}[") and a.crossbar.G.shape == stack.shape[-2:]
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stuck", ["by_chance", "stratified", "every_device"])
def test_the_answer_without_errors_is_that_of_the_circuit(layout, stuck):
    model, x = perceptron(layout=layout), points(4)
    draws = drawn(model, stuck=stuck)
    answers = draws.outputs(x, nominal=True)
    assert len(answers) == 1 + draws.count == 1 + len(draws.weights)
    assert float(draws.weights.sum()) == pytest.approx(1.0)
    torch.testing.assert_close(answers[0], model.eval()(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_label_is_one_set_of_errors(layout):
    draws, x = drawn(perceptron(layout=layout)), points(4)
    first = draws.outputs(x)
    torch.testing.assert_close(draws.outputs(x), first, rtol=0, atol=0)
    draws.begin("b")
    assert (draws.outputs(x) - first).abs().min() > 0
    draws.begin("a")
    torch.testing.assert_close(draws.outputs(x), first, rtol=0, atol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("circuit", ["exact", "ideal"])
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_the_pathwise_gradient_is_that_of_finite_differences(layout, circuit, device):
    model, x = perceptron(layout=layout, device=device), points(2)
    draws = drawn(model, draws=3, circuit=circuit)
    weights = torch.randn(3, 2, 3, dtype=torch.float64)

    def loss() -> torch.Tensor:
        return (draws.outputs(x) * weights).sum()

    loss().backward()
    step = 1e-5
    for parameter in model.parameters():
        # the largest weight sets the scale of all: it has a kink, and stays out
        place = int(parameter.detach().abs().flatten().argsort()[0])
        flat = parameter.detach().view(-1)
        before = float(flat[place])
        either_side = []
        for sign in (1.0, -1.0):
            flat[place] = before + sign * step
            either_side.append(float(loss().detach()))
        flat[place] = before
        slope = (either_side[0] - either_side[1]) / (2 * step)
        assert float(parameter.grad.view(-1)[place]) == pytest.approx(slope, rel=2e-4, abs=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_shared_gradient_has_exact_values_and_is_near_the_exact_one(layout):
    model, x = perceptron(layout=layout, R_wl=5.0, R_bl=5.0), points(6)
    out = {}
    for circuit in ("exact", "shared_gradient", "ideal"):
        model.zero_grad()
        answers = drawn(model, draws=8, circuit=circuit).outputs(x)
        answers.square().mean().backward()
        out[circuit] = answers.detach(), gradients(model)
    exact = out["exact"]
    torch.testing.assert_close(out["shared_gradient"][0], exact[0], rtol=1e-12, atol=1e-12)
    far = {name: float((g - exact[1]).norm() / exact[1].norm()) for name, (_, g) in out.items()}
    assert far["shared_gradient"] < 0.3 * far["ideal"]
    assert far["shared_gradient"] < 0.01


@pytest.mark.parametrize("layout", LAYOUTS)
def test_curves_count_to_first_order_in_the_errors(layout):
    """With half the errors, what the shared way lacks to the exact one falls to about half."""
    lacking, missed = [], []
    for sigma in (0.04, 0.02):
        model = perceptron(layout=layout, device="sinh_tio2", variation=RelativeNoise(sigma=sigma))
        x = points(6)
        exact, shared, ideal = (
            drawn(model, draws=6, circuit=c).outputs(x, nominal=True).detach()
            for c in ("exact", "shared_gradient", "ideal")
        )
        torch.testing.assert_close(shared[0], exact[0], rtol=0, atol=1e-12)
        lacking.append(float((shared - exact).std()))
        missed.append(float((ideal - exact).std()))
    assert lacking[1] < 0.65 * lacking[0]
    assert lacking[0] < 0.5 * missed[0]


@pytest.mark.parametrize("gradient", ["pathwise", "straight_through"])
@pytest.mark.parametrize("circuit", ["exact", "shared_gradient", "ideal"])
def test_gradients_by_conductances_of_stuck_devices_are_exactly_zero(gradient, circuit):
    model = perceptron()
    draws = drawn(model, draws=5, circuit=circuit, gradient=gradient)
    leaves: list[tuple[torch.Tensor, torch.Tensor]] = []
    put = draws._with_stuck

    def with_leaves(name, matrix, stacks):
        out = []
        for number, stack in enumerate(stacks):
            leaf = stack.detach().expand(5, *stack.shape).clone().requires_grad_()

            def watch(G, *arguments, leaf=leaf):
                changed = put(G, *arguments)
                leaves.append((leaf, (changed != G).detach()))
                return changed

            draws._with_stuck = watch  # type: ignore[method-assign]
            out.append(draws._errors(leaf, matrix.config.variation, f"{name} {number}", 0))
        return out

    draws.arrays = with_leaves  # type: ignore[method-assign]
    draws.outputs(points(4)).square().sum().backward()
    assert len(leaves) > 1
    assert sum(int(stuck.sum()) for _, stuck in leaves) > 5
    for leaf, stuck in leaves:
        assert torch.equal(leaf.grad[stuck], torch.zeros(int(stuck.sum()), dtype=torch.float64))
        assert (leaf.grad[~stuck] != 0).any()


def test_the_straight_through_gradient_takes_errors_as_constants():
    """RelativeNoise: pathwise the gradient of a device is 1 + error, straight through it is 1."""
    model = perceptron(variation=RelativeNoise(sigma=0.3))
    G = torch.full((3, 4, 6), 2e-4, dtype=torch.float64, requires_grad=True)
    for gradient, relative in (("pathwise", True), ("straight_through", False)):
        G.grad = None
        out = drawn(model, draws=3, gradient=gradient)._errors(G, RelativeNoise(sigma=0.3), "a", 0)
        out.sum().backward()
        expected = (out / G).detach() if relative else torch.ones_like(G)
        torch.testing.assert_close(G.grad, expected)


def test_every_array_has_errors_of_its_own_in_its_write_order():
    """The device that each tile programs last does not drift: one in every tile, in every draw."""
    model = perceptron(variation=BiasingSchemeEffect())
    draws = drawn(model, draws=3)
    seen = conductances_of(draws, model, points(1))
    changes = []
    for array in xb.nn.arrays(model):
        change = seen[array.name] - array.crossbar.G
        assert (change[:, -1, -1] == 0).all()
        assert ((change != 0).sum(axis=(1, 2)) == array.crossbar.G.size - 1).all()
        changes.append(change[:, 0, 0])
    assert len({float(c) for each in changes for c in each}) == sum(map(len, changes))


def test_convolutions_groups_and_shared_layers_are_drawn_at_once():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, groups=2)
            self.same = nn.Linear(36, 36)
            self.last = nn.Linear(36, 3)

        def forward(self, x):
            h = self.conv(x).relu().flatten(1)[:, :36]
            return self.last(self.same(self.same(h).tanh()).tanh())

    torch.manual_seed(0)
    x = torch.rand(4, 2, 5, 5, dtype=torch.float64)
    config = xb.ArrayConfig(tile_rows=16, tile_cols=16, variation=ERRORS)
    model = xb.nn.convert(Twice().double(), config, calibrate=x).train()
    draws = drawn(model, draws=3, circuit="exact")
    together = draws.outputs(x)
    alone = [drawn(model, draws=3, circuit="exact").outputs(x[k : k + 1]) for k in range(4)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=0, atol=1e-12)


def test_what_cannot_be_drawn_is_refused_before_any_work():
    with pytest.raises(InputError, match="need arrays with a `variation`"):
        ErrorDraws(perceptron(variation=None), draws=2)
    with pytest.raises(InputError, match="`draws` must be >= 1"):
        ErrorDraws(perceptron(), draws=0)
    noise = perceptron(variation=Compose([RelativeNoise(sigma=0.1)]))
    with pytest.raises(InputError, match="needs a `variation` with stuck devices"):
        ErrorDraws(noise, draws=2, stuck="stratified")


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LSTM(5, 6, batch_first=True, bidirectional=True)
        self.last = nn.Linear(12, 3)

    def forward(self, x):
        return self.last(self.inner(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.inner = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.inner(self.first(x).transpose(0, 1)).mean(dim=0))


@pytest.mark.parametrize("kind", [Recurrent, Attention])
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_models_that_mix_the_draws_are_computed_one_by_one(kind, device):
    """Each draw is the answer of the circuit that holds its conductances."""
    torch.manual_seed(0)
    config = xb.ArrayConfig(tile_rows=8, tile_cols=8, variation=ERRORS, device=device)
    model = xb.nn.convert(kind().double(), config).train()
    x = torch.rand(2, 3, 5, dtype=torch.float64)
    draws = drawn(model, draws=2, circuit="exact", one_by_one=True)
    assert not draws.keeps_apart(x)
    answers = draws.outputs(x, nominal=True)
    model.eval()
    torch.testing.assert_close(answers[0], model(x), rtol=0, atol=1e-9)
    seen = conductances_of(draws, model, x)
    xb.nn.put_conductances(model, {name: G[1] for name, G in seen.items()})
    torch.testing.assert_close(answers[2], model(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("circuit", ["exact", "shared_gradient", "ideal"])
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_one_by_one_is_the_same_as_together(circuit, device):
    model, x = perceptron(device=device), points(4)
    assert drawn(model).keeps_apart(x)
    results = []
    for one_by_one in (False, True):
        model.zero_grad()
        draws = drawn(model, circuit=circuit, one_by_one=one_by_one, stuck="stratified")
        answers = draws.outputs(x)
        answers.square().sum().backward()
        results.append((answers.detach(), gradients(model)))
    torch.testing.assert_close(*(r[0] for r in results), rtol=0, atol=1e-10)
    torch.testing.assert_close(*(r[1] for r in results), rtol=1e-6, atol=1e-8)


def test_a_model_that_does_not_answer_with_one_tensor_of_points_is_refused():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(5, 4)

        def forward(self, x):
            return self.inner(x), x

    config = xb.ArrayConfig(variation=ERRORS)
    with pytest.raises(InputError, match="one tensor"):
        drawn(xb.nn.convert(Pair().double(), config)).outputs(points(3))
    summed = nn.Sequential(nn.Linear(5, 4), nn.Flatten(0)).double()
    with pytest.raises(InputError, match="one_by_one=True"):
        drawn(xb.nn.convert(summed, config)).outputs(points(3))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_converters_round_the_currents_of_every_draw(layout):
    """With few bits each draw is what its own arrays give, not one rounding for all."""
    model, x = perceptron(layout=layout, adc_bits=4, adc_range=2e-4), points(3)
    draws = drawn(model, draws=2)
    answers = draws.outputs(x).detach()
    seen = conductances_of(draws, model, x)
    model.eval()
    for number in range(2):
        xb.nn.put_conductances(model, {name: G[number] for name, G in seen.items()})
        torch.testing.assert_close(answers[number], model(x), rtol=0, atol=1e-9)
    assert (perceptron(layout=layout).eval()(x) - model(x)).abs().max() > 1e-3
