"""Remedies on devices: what each does to arrays of any size, and how transfers are programmed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.unit.training.models import three_classes
from xbarspice.core.errors import InputError
from xbarspice.core.seeds import child_seed
from xbarspice.nn.pairs import place
from xbarspice.training import Procedure, Settings, fit, procedures, study_remedies, tester
from xbarspice.training.objectives import margins
from xbarspice.training.programmed import ProgrammedDraws
from xbarspice.training.programming import program_by
from xbarspice.training.writing import Writing
from xbarspice.transfer import Workers, loss_budget, transfer
from xbarspice.variability import (
    BiasingSchemeEffect,
    Compose,
    ConductanceTuning,
    RelativeNoise,
    StuckDevices,
    drolet_2023,
)

ERRORS = drolet_2023(rate_lrs=0.02, rate_hrs=0.02)
SIZES = {"folded": ("folded", 16), "one tile": ("tiled", 16), "odd tiles": ("tiled", 5)}
X, Y = three_classes(90)


def circuit_of(layout: str = "tiled", size: int = 5, **options: Any) -> nn.Module:
    """A network of three classes with a hidden layer, trained a little, on arrays."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(120):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimiser.step()
    config = {"variation": ERRORS, "tile_rows": size, "tile_cols": size, "layout": layout}
    return xb.nn.convert(model, xb.ArrayConfig(**{**config, **options}), calibrate=X).eval()


def programmed(
    circuit: nn.Module, procedure: Procedure, count: int = 40, seed: int = 0
) -> tuple[tester.Tester, list[Writing]]:
    of_circuit = tester.Tester(circuit, procedure, (X, Y))
    names = {stack.name for stack in of_circuit.stacks}
    generators = {n: [torch.Generator().manual_seed(seed)] for n in names}
    return of_circuit, of_circuit.program(count, generators)


def by_pair(circuit: nn.Module, writings: list[Writing], what: str) -> list[torch.Tensor]:
    """Wanted differences and a value of both devices of all pairs, (3, transfers, ...) a matrix."""
    out = []
    for layer in xb.nn.crossbar_layers(circuit).values():
        for key, weight, bias in layer.weight_matrices():
            matrix = layer.matrices[key]
            placed = place(weight, matrix.line(bias), matrix.config)
            name = matrix.layout.name_of(matrix)
            stacks = [getattr(w, what).double() for w in writings if w.stack.name == name]
            values = matrix.layout.logical(matrix, placed, stacks).G
            wanted = (placed.G[..., 0::2] - placed.G[..., 1::2]).expand_as(values[..., 0::2])
            out.append(torch.stack([wanted, values[..., 0::2], values[..., 1::2]]).detach())
    return out


@pytest.mark.parametrize(("layout", "size"), SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("errors", ["measured", "read after all"])
def test_written_once_a_transfer_is_that_of_program_each_bit_for_bit(layout, size, errors):
    variation = {"measured": ERRORS, "read after all": Compose([ERRORS, RelativeNoise(sigma=0.1)])}
    circuit = circuit_of(layout, size, variation=variation[errors])
    with torch.no_grad():
        plain = [circuit(X) for _ in xb.nn.program_each(circuit, range(70))]
        mended = [mend((circuit(X),))[0] for mend in program_by(circuit, Procedure(), range(70))]
        after = circuit(X)
    assert all(torch.equal(a, b) for a, b in zip(plain, mended, strict=True))
    assert not torch.equal(plain[0], plain[69])
    assert float((after - plain[0]).abs().max()) > 1e-3  # the arrays hold the weights again


PAIRS = [*((*way, 1) for way in SIZES.values()), ("tiled", 16, 2), ("tiled", 5, 2)]


@pytest.mark.parametrize(("layout", "size", "cells"), PAIRS)
def test_partners_restore_the_difference_of_pairs_as_far_as_they_reach(layout, size, cells):
    """Of two pairs a weight each by itself."""
    value, low, high = 300e-6, 100e-6, 500e-6
    errors = StuckDevices(rate_lrs=0.05, rate_hrs=0.0, lrs_mean=value, lrs_std=0.0)
    circuit = circuit_of(layout, size, variation=errors, cells=cells)
    _, writings = programmed(circuit, Procedure(compensate=True), 200)
    restored = 0
    for of_G, of_stuck in zip(
        by_pair(circuit, writings, "G"), by_pair(circuit, writings, "stuck"), strict=True
    ):
        wanted, pos, neg = of_G
        _, stuck_pos, stuck_neg = of_stuck.bool()
        expected = torch.where(stuck_pos, value - (value - wanted).clamp(low, high), wanted)
        expected = torch.where(stuck_neg, (value + wanted).clamp(low, high) - value, expected)
        expected = torch.where(stuck_pos & stuck_neg, 0.0, expected)
        torch.testing.assert_close(pos - neg, expected, rtol=0, atol=1e-15)
        one = stuck_pos ^ stuck_neg
        restored += int((one & ((expected - wanted).abs() < 1e-15)).sum())
        assert bool((stuck_pos & stuck_neg).any())
        assert bool((one & ((expected - wanted).abs() > 1e-6)).any())  # the partner lacks room
    assert restored > 100


@pytest.mark.parametrize(("layout", "size"), SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_placed_lines_hold_the_same_on_other_wires_through_every_engine(layout, size, device):
    """The surrogate and the nodal engine agree, and without wires the order makes no difference."""
    stuck = StuckDevices(rate_lrs=0.03, rate_hrs=0.03)
    circuit = circuit_of(layout, size, variation=stuck, R_wl=20.0, R_bl=20.0, device=device)
    procedure, moved = Procedure(remap=4), 0
    for _ in program_by(circuit, procedure, range(4), (X, Y)):
        with torch.no_grad():
            ours = circuit(X[:3])
            with xb.nn.through("nodal"):
                theirs = circuit(X[:3])
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)
        layers = xb.nn.crossbar_layers(circuit).values()
        moved += sum(len(m.orders) for layer in layers for m in layer.matrices.values())
    assert moved
    assert not any(
        m.orders or m.conductances is not None
        for layer in xb.nn.crossbar_layers(circuit).values()
        for m in layer.matrices.values()
    )


@pytest.mark.parametrize(("layout", "size"), SIZES.values(), ids=SIZES)
def test_other_lines_move_stuck_devices_to_where_they_cost_less(layout, size):
    circuit = circuit_of(layout, size, variation=StuckDevices(rate_lrs=0.05), R_wl=0.0, R_bl=0.0)
    operator, plain = programmed(circuit, Procedure(remap=1), 60)
    for writing in plain:
        assert writing.lines is not None
        for lines in (writing.lines.rows, writing.lines.cols):  # permutations
            torch.testing.assert_close(
                lines.sort(dim=-1).values,
                torch.arange(lines.shape[-1]).expand_as(lines),
                rtol=0,
                atol=0,
            )
    scores = []
    for trials in (0, 30):
        _, writings = programmed(circuit, Procedure(remap=trials), 60)
        lines = [w.lines for w in writings]
        scores.append(operator._score([w.G for w in writings], lines))
    assert bool((scores[1] >= scores[0] - 1e-12).all())
    assert float(scores[1].mean()) > float(scores[0].mean()) + 0.01


def test_devices_that_change_answers_most_are_written_last():
    """The last of each array never drifts; it is the most sensitive one."""
    circuit = circuit_of(variation=BiasingSchemeEffect())
    operator, writings = programmed(circuit, Procedure(order="sensitivity"))
    assert operator.sensitivity is not None
    for writing, weight in zip(writings, operator.sensitivity, strict=True):
        still = (writing.target == writing.G).all(dim=0).flatten(-2)
        assert torch.equal(still.sum(dim=-1), torch.ones_like(still.sum(dim=-1)))
        assert torch.equal(still.double().argmax(-1), weight.flatten(-2).argmax(-1))
    _, stated = programmed(circuit, Procedure(order="rows_reversed"))
    first = (stated[0].target == stated[0].G).all(dim=0)
    assert bool(first[..., 0, 0].all())
    assert int(first.sum()) == first[..., 0, 0].numel()


def test_sensitivity_is_the_mean_change_of_the_squashed_margins():
    circuit = circuit_of("folded", 16, R_wl=0.0, R_bl=0.0)
    operator, _ = programmed(circuit, Procedure(order="sensitivity"), 1)
    assert operator.sensitivity is not None
    (stack,), (weight,), step = operator.stacks, operator.sensitivity, 1e-9
    moves = step * torch.eye(stack.wanted.numel(), dtype=torch.float64)
    moved = stack.wanted + moves.reshape(-1, *stack.wanted.shape)

    def squashed(G: torch.Tensor) -> torch.Tensor:
        margin = margins(operator.answers([G]), Y)
        return torch.tanh(margin / operator.typical)

    by_difference = (squashed(moved) - squashed(stack.wanted[None])).abs().mean(dim=1) / step
    torch.testing.assert_close(by_difference.reshape(weight.shape), weight, rtol=1e-3, atol=1e-2)


def test_further_passes_rewrite_the_worst_devices_until_the_answers_are_good_enough():
    circuit = circuit_of(variation=Compose([ConductanceTuning(offset_std=0.15)]))
    _, once = programmed(circuit, Procedure(), 200)
    operator, often = programmed(circuit, Procedure(passes=6, rewrite=4), 200)
    assert operator.sensitivity is not None
    weighed = [
        sum(
            ((w.G - w.target).abs() * weight).flatten(1).sum(dim=1)
            for w, weight in zip(writings, operator.sensitivity, strict=True)
        )
        for writings in (once, often)
    ]
    changed = weighed[0] != weighed[1]
    assert 0.1 < float(changed.double().mean()) < 0.9  # all others were good enough
    assert float((weighed[1] - weighed[0])[changed].mean()) < 0
    _, lax = programmed(circuit, Procedure(passes=6, rewrite=4, enough=0.01), 200)
    assert all(torch.equal(a.G, b.G) for a, b in zip(once, lax, strict=True))
    right = [
        (margins(operator.answers([w.G for w in each]), Y) > 0).double().mean()
        for each in (once, often)
    ]
    assert right[1] > right[0] + 0.01


def test_the_same_random_numbers_whatever_is_done():
    """Errors of devices that no remedy touches are those of the plain transfer."""
    circuit = circuit_of()
    _, plain = programmed(circuit, Procedure())
    _, mended = programmed(circuit, Procedure(compensate=True))
    for a, b in zip(plain, mended, strict=True):
        untouched = a.target == b.target
        assert 0.5 < float(untouched.double().mean()) < 1
        assert torch.equal(a.G[untouched], b.G[untouched])


def test_remedies_of_devices_are_studied_in_the_transfers_of_the_plain_study():
    circuit = circuit_of(variation=drolet_2023(rate_lrs=0.05))
    told = {"transfers": 40, "seed": 1}
    names = ["partners", "partners+other_lines+tuning_passes+offset"]
    one, all_ = study_remedies(circuit, X, Y.numpy(), remedies=names, **told)
    assert one.before == all_.before
    assert [one.remedy, all_.remedy] == names
    assert all_.gain.low > 0
    assert all_.gain.value > one.gain.value
    named = {"mine": Procedure(compensate=True)}
    (mine,) = study_remedies(circuit, X, Y.numpy(), remedies=named, **told)
    assert (mine.remedy, mine.after) == ("mine", one.after)
    workers = Workers(processes=1, together=20)
    again = study_remedies(circuit, X, Y.numpy(), remedies=names, workers=workers, **told)
    assert [each.after for each in again] == [one.after, all_.after]


def test_transfers_and_budgets_take_a_procedure():
    circuit = circuit_of("folded", 16, R_wl=2.0, R_bl=2.0)
    x, y, calibration = X[:40], Y[:40].numpy(), (X[40:], Y[40:])
    procedure = procedures.get("partners+tuning_passes+offset")
    told: dict[str, Any] = {"transfers": 30, "seed": 3}
    plain = transfer(circuit, x, y, **told)
    mended = transfer(circuit, x, y, procedure=procedure, calibration=calibration, golden=1, **told)
    assert plain.right is not None
    assert mended.right is not None
    assert mended.right.mean() > plain.right.mean()
    words = "passes 6, rewrite 20, enough 0.99, compensate True, outputs offset"
    assert mended.record()["procedure"] == words
    assert "procedure" not in plain.record()
    assert mended.golden is not None
    assert mended.golden.error < 1e-6
    again = transfer(circuit, x, y, procedure=Procedure(), **told)
    assert np.array_equal(again.predictions, plain.predictions)
    options = {"procedure": procedure, "calibration": calibration}
    budgets = [loss_budget(circuit, x, y, **told, **more) for more in ({}, options)]
    assert budgets[1].lost.value < budgets[0].lost.value
    assert [budget.procedure for budget in budgets] == ["", words]
    workers = Workers(processes=1, together=15)
    spread = transfer(circuit, x, y, workers=workers, **options, **told)
    assert np.array_equal(spread.predictions, mended.predictions)


def test_a_study_of_another_procedure_is_another_study(tmp_path):
    circuit, path = circuit_of(), tmp_path / "study.h5"
    transfer(circuit, X, Y.numpy(), transfers=3, path=path)
    told = {"procedure": Procedure(compensate=True), "path": path}
    with pytest.raises(InputError, match="study"):
        transfer(circuit, X, Y.numpy(), transfers=3, **told)


def test_gradients_pass_through_what_a_remedy_leaves_behind():
    """A compensated pair keeps its whole gradient; a stuck device passes none of its own."""
    stuck = StuckDevices(rate_lrs=0.1, rate_hrs=0.0, lrs_mean=300e-6, lrs_std=0.0)
    circuit = circuit_of(variation=stuck, R_wl=0.0, R_bl=0.0)
    slopes = {}
    for name in ("partners", "write_order"):
        procedure = procedures.get(name)
        draws = ProgrammedDraws(model=circuit, procedure=procedure, calibration=(X, Y), draws=50)
        draws.begin("a")
        pairs = list(zip(draws._stacks, draws._outcomes, strict=True))
        leaves = [s.wanted.clone().requires_grad_() for s, _ in pairs]
        sums = [
            draws._of_stack(s, left, G).sum() for (s, left), G in zip(pairs, leaves, strict=True)
        ]
        slopes[name] = torch.autograd.grad(sum(sums), leaves)
        healthy = [(~left["stuck"]).double().sum(dim=0) for _, left in pairs]
    for slope, count in zip(slopes["write_order"], healthy, strict=True):
        torch.testing.assert_close(slope, count)  # 1 a transfer, 0 where it is stuck
        assert float(count.min()) < 50
    # a partner in reach follows its own target and, the other way, that of the stuck device
    taken = zip(slopes["partners"], healthy, strict=True)
    assert min(float((slope - count).min()) for slope, count in taken) <= -1


@pytest.mark.parametrize(("layout", "size"), SIZES.values(), ids=SIZES)
def test_draws_in_the_loop_are_the_circuit_that_the_procedure_leaves_behind(layout, size):
    circuit = circuit_of(layout, size, R_wl=5.0, R_bl=5.0)
    procedure = procedures.get("write_order+partners+tuning_passes")
    draws = ProgrammedDraws(model=circuit, procedure=procedure, calibration=(X, Y), draws=3)
    draws.begin("a")
    with torch.no_grad():
        answers = draws.outputs(X[:5])
        assert torch.equal(answers, draws.outputs(X, nominal=True)[1:, :5])
    left = {}
    for stack, of_stack in zip(draws._stacks, draws._outcomes, strict=True):
        G = draws._of_stack(stack, of_stack, stack.wanted)
        flat = G.reshape(3, -1, *G.shape[-2:])
        for k, (group, row, col) in enumerate(stack.places):
            name = f"{stack.name}[{group},{row},{col}]" if layout == "tiled" else stack.name
            left[name] = flat[:, k].numpy()
    for number in range(3):
        xb.nn.put_conductances(circuit, {name: G[number] for name, G in left.items()})
        with torch.no_grad(), xb.nn.through("nodal"):
            torch.testing.assert_close(circuit(X[:5]), answers[number], rtol=0, atol=1e-8)


WIRED: dict[str, tuple[str, dict[str, Any]]] = {
    "shared gradient": ("shared_gradient", {}),
    "exact": ("exact", {}),
    "curves": ("exact", {"device": "sinh_tio2"}),
    "converters": ("exact", {"adc_bits": 8}),
}


@pytest.mark.parametrize(("layout", "size"), SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(("through", "options"), WIRED.values(), ids=WIRED)
def test_placed_lines_have_the_wires_of_where_they_stand_as_in_the_study(
    layout, size, through, options
):
    """In the loop and for the tester: the answers of the circuit that a study programs."""
    stuck = StuckDevices(rate_lrs=0.03, rate_hrs=0.03)
    circuit = circuit_of(layout, size, variation=stuck, R_wl=20.0, R_bl=30.0, **options)
    for layer in xb.nn.crossbar_layers(circuit).values():
        for matrix in layer.matrices.values():
            matrix.seed = 7
    procedure, moved, told = Procedure(remap=3), 0, {"calibration": (X, Y), "seed": 7}
    operator = tester.Tester(circuit, procedure, (X, Y), circuit=through)
    draws = ProgrammedDraws(model=circuit, procedure=procedure, draws=1, circuit=through, **told)
    names = {stack.name for stack in operator.stacks}
    study = tester.Tester(circuit, procedure, (X, Y))  # as of a study
    with torch.no_grad():
        for number, _ in enumerate(program_by(circuit, procedure, range(3), (X, Y))):
            wanted = circuit(X)
            layers = xb.nn.crossbar_layers(circuit).values()
            held = [(m, m.conductances, m.orders) for k in layers for m in k.matrices.values()]
            for matrix, _G, _orders in held:
                matrix.conductances, matrix.orders = None, {}
            draws.begin(f"transfer {number}", tester=study)
            answers = draws.outputs(X, nominal=True)
            torch.testing.assert_close(answers[1], wanted, rtol=0, atol=1e-8)
            torch.testing.assert_close(answers[0], circuit(X), rtol=0, atol=1e-8)
            key = {
                n: [torch.Generator().manual_seed(child_seed(7, f"{n}: transfer {number}"))]
                for n in names
            }
            writings = study.program(1, key)
            known = operator.answers([w.G for w in writings], [w.lines for w in writings])
            torch.testing.assert_close(known[0], wanted, rtol=0, atol=1e-8)
            as_they_come = operator.answers([w.G for w in writings])
            moved += float((as_they_come[0] - wanted).abs().max()) > 1e-4
            for matrix, G, orders in held:
                matrix.conductances, matrix.orders = G, orders
    assert moved


@pytest.mark.parametrize("through", ["exact", "shared_gradient"])
@pytest.mark.parametrize(("layout", "size"), SIZES.values(), ids=SIZES)
def test_gradients_of_placed_lines_are_those_of_their_own_wires(layout, size, through):
    stuck = StuckDevices(rate_lrs=0.05, rate_hrs=0.05)
    circuit = circuit_of(layout, size, variation=stuck, R_wl=50.0, R_bl=50.0)
    told: dict[str, Any] = {"calibration": (X, Y), "draws": 2, "circuit": through}
    draws = ProgrammedDraws(model=circuit, procedure=Procedure(remap=3), **told)
    draws.begin("a")  # what the tester left stays while the weights move
    assert draws.lines
    direction = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    weight = circuit[2].weight
    slope = torch.autograd.grad((draws.outputs(X[:5]) * direction).sum(), weight)[0]
    with torch.no_grad():
        for at in ((0, 0), (1, 3)):
            ends = []
            for step in (1e-6, -2e-6):
                weight[at] += step
                ends.append(float((draws.outputs(X[:5]) * direction).sum()))
            weight[at] += 1e-6
            assert float(slope[at]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


def test_training_with_a_remedy_of_devices_is_judged_as_the_study_judges_it():
    """The kept state is as good over fresh transfers as over the validation draws."""
    remedy = "partners+tuning_passes+offset"
    told = {"steps": 30, "draws": 8, "look_every": 15, "look_draws": 60, "learning_rate": 0.01}
    settings = Settings(remedy=remedy, gradient="straight_through", redraw_every=5, **told)
    train, validation = (X, Y), three_classes(80, seed=5)
    fitted = fit(circuit_of(variation=drolet_2023(rate_lrs=0.05)), train, validation, settings)
    options = {"procedure": procedures.get(remedy), "calibration": train}
    x, y = validation[0], validation[1].numpy()
    mended = transfer(fitted.model, x, y, transfers=60, **options)
    plain = transfer(fitted.model, x, y, transfers=60)
    assert mended.right is not None
    assert plain.right is not None
    error = mended.right.mean(axis=1).std() / np.sqrt(60)
    assert abs(fitted.best.accuracy - mended.right.mean()) < 4 * np.sqrt(2) * error
    assert mended.right.mean() - plain.right.mean() > 8 * error  # what is in the loop tells


class LastStep(nn.Module):
    """Classes of a sequence from the last step of a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.GRU(2, 4)
        self.out = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.inner(x.transpose(0, 1))
        return self.out(steps[-1])


MODELS = {
    "recurrent": (LastStep, (4, 2)),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
        ),
        (2, 3, 3),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_any_model_can_be_programmed_by_a_procedure(name):
    """Points on another axis inside the model, groups of weights: one after the other, or not."""
    make, shape = MODELS[name]
    torch.manual_seed(0)
    x = torch.randn(40, *shape, dtype=torch.float64)
    config = xb.ArrayConfig(variation=drolet_2023(rate_lrs=0.03), tile_rows=6, tile_cols=6)
    circuit = xb.nn.convert(make().double(), config, calibrate=x).eval()
    procedure = procedures.get("write_order+partners+other_lines+tuning_passes+offset")
    told: dict[str, Any] = {"transfers": 30, "seed": 1}
    plain = transfer(circuit, x[:20], **told)
    mended = transfer(circuit, x[:20], procedure=procedure, calibration=(x[20:], None), **told)
    difference = plain.rms - mended.rms  # the same random numbers, transfer by transfer
    assert difference.mean() > 4 * difference.std() / np.sqrt(30)
    for _ in program_by(circuit, procedures.get("other_lines"), range(2), (x[20:], None)):
        with torch.no_grad():
            ours = circuit(x[:3])
            with xb.nn.through("nodal"):
                theirs = circuit(x[:3])
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)


def test_names_are_joined_and_misspelt_ones_are_corrected():
    joined = procedures.get("partners+tuning_passes+offset")
    assert joined == Procedure(compensate=True, passes=6, rewrite=20, enough=0.99, outputs="offset")
    assert procedures.get(joined) is joined
    assert not procedures.get("offset").on_devices
    assert procedures.get("write_order").weighs
    assert {"partners", "other_lines", "offset"} <= set(procedures.names())


BAD = {
    "name": (lambda: procedures.get("partner"), "Did you mean 'partners'"),
    "twice": (lambda: procedures.get("offset+gain_and_offset"), "must do different things"),
    "passes": (lambda: Procedure(passes=0), "passes"),
    "enough": (lambda: Procedure(enough=1.5), "`enough` must be > 0 and <= 1"),
    "order": (lambda: Procedure(order="diagonal"), "`order` must be one of"),
    "outputs": (lambda: Procedure(outputs="prayer"), "prayer"),
    "no points": (
        lambda: transfer(circuit_of(), X, Y.numpy(), transfers=2, procedure=Procedure(remap=2)),
        "needs calibration points",
    ),
    "two drifts": (
        lambda: programmed(
            circuit_of(variation=Compose([BiasingSchemeEffect(), BiasingSchemeEffect()])),
            Procedure(),
        ),
        "one drift",
    ),
    "outputs without points": (
        lambda: transfer(
            circuit_of(), X, Y.numpy(), transfers=2, procedure=procedures.get("offset")
        ),
        "calibration points",
    ),
}


@pytest.mark.parametrize(("wrong", "text"), BAD.values(), ids=BAD)
def test_wrong_procedures_are_refused(wrong, text):
    with pytest.raises(InputError, match=text):
        wrong()


def test_lines_that_are_placed_already_are_not_placed_again():
    circuit = circuit_of("folded", 16)
    (array,) = xb.nn.arrays(circuit)
    rows = np.arange(array.crossbar.rows)
    rows[[0, 1]] = rows[[1, 0]]
    xb.nn.place_lines(circuit, {array.name: (rows, np.arange(array.crossbar.cols))})
    with pytest.raises(InputError, match="placed once"):
        programmed(circuit, Procedure(remap=1))
    with torch.no_grad():  # all else is done on the lines as they stand
        plain = [circuit(X) for _ in xb.nn.program_each(circuit, range(3))]
        mended = [mend((circuit(X),))[0] for mend in program_by(circuit, Procedure(), range(3))]
    assert all(torch.equal(a, b) for a, b in zip(plain, mended, strict=True))


def test_remedies_that_weigh_devices_need_a_model_that_classifies():
    torch.manual_seed(0)
    config = xb.ArrayConfig(variation=ERRORS)
    circuit = xb.nn.convert(nn.Linear(2, 1).double(), config, calibrate=X)
    (one,) = study_remedies(circuit, X, remedies=["partners+offset"], transfers=10)
    assert not one.classifies
    with pytest.raises(InputError, match="needs a model that classifies"):
        study_remedies(circuit, X, remedies=["partners", "other_lines"], transfers=2)
