"""Digital gains and offsets of the sums of every matrix, fitted as a tester would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.unit.training.models import three_classes
from tests.unit.training.test_procedures import MODELS, SIZES, X, Y, circuit_of
from xbarspice.core.errors import InputError
from xbarspice.training import ErrorDraws, Procedure, Settings, fit, procedures, study_remedies
from xbarspice.training.programmed import ProgrammedDraws
from xbarspice.training.programming import program_by
from xbarspice.training.slices import Slices
from xbarspice.training.sums import VECTORS, SumFit, fit_sums, see_inputs
from xbarspice.transfer import transfer
from xbarspice.variability import Variation, drolet_2023


@dataclass(frozen=True, kw_only=True)
class Weaker(Variation):
    """Every device of an array keeps the same share of its conductance."""

    source: ClassVar[str] = "none"
    share: float = 0.7

    def _apply(self, G, draws):
        return G * self.share


def corrections(circuit: nn.Module) -> list[Any]:
    layers = xb.nn.crossbar_layers(circuit).values()
    return [matrix.correction for layer in layers for matrix in layer.matrices.values()]


def test_a_common_loss_of_conductance_is_mended_by_gains_and_not_by_offsets():
    circuit = circuit_of(variation=Weaker(), R_wl=0.0, R_bl=0.0)
    with torch.no_grad():
        exact = circuit(X)
        left = {}
        for name in ("sum_gains", "sum_offsets"):
            for _ in program_by(circuit, procedures.get(name), [0], (X, Y)):
                left[name] = float((circuit(X) - exact).abs().max())
                (gain, *_), (offset, *_) = zip(
                    *((c.gain, c.offset) for c in corrections(circuit)), strict=True
                )
                if name == "sum_gains":
                    torch.testing.assert_close(gain, torch.full_like(gain, 1 / 0.7))
                    torch.testing.assert_close(offset, torch.zeros_like(offset))
                else:
                    assert torch.equal(gain, torch.ones_like(gain))
            assert torch.equal(circuit(X), exact)
    assert left["sum_gains"] < 1e-10 < 0.01 < left["sum_offsets"]
    assert corrections(circuit) == [None, None]


def test_offsets_are_the_mean_of_what_is_missing_and_gains_the_least_squares():
    generator = torch.Generator().manual_seed(3)
    sums = torch.randn(5, 40, 2, 3, dtype=torch.float64, generator=generator)
    wanted = torch.randn(40, 2, 3, dtype=torch.float64, generator=generator)
    offset = fit_sums("offset", sums, wanted)
    torch.testing.assert_close(offset.offset, (wanted - sums).mean(dim=1, keepdim=True))
    line = fit_sums("gain_and_offset", sums, wanted)
    assert line.gain.shape == (5, 1, 2, 3)
    for draw, group, output in np.ndindex(5, 2, 3):
        slope, start = np.polyfit(sums[draw, :, group, output], wanted[:, group, output], 1)
        assert float(line.gain[draw, 0, group, output]) == pytest.approx(slope)
        assert float(line.offset[draw, 0, group, output]) == pytest.approx(start)


@pytest.mark.parametrize(("layout", "size"), SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", ["sum_gains", "partners+sum_offsets"])
def test_draws_in_the_loop_are_corrected_as_the_circuit_is(layout, size, name):
    """What the loop computes is what arrays solved one by one give, corrected by hand."""
    wires = {"R_wl": 5.0, "R_bl": 5.0}
    circuit = circuit_of(layout, size, device="sinh_tio2", **wires)
    procedure = procedures.get(name)
    draws = ProgrammedDraws(
        model=circuit, procedure=procedure, calibration=(X, Y), draws=2, circuit="exact"
    )
    draws.begin("a")
    matrices = [m for k in xb.nn.crossbar_layers(circuit).values() for m in k.matrices.values()]
    with torch.no_grad():
        answers = draws.outputs(X[:4])
        inputs = see_inputs(circuit, lambda: circuit(X))
        wanted = read(circuit, inputs)
    for number in range(2):
        xb.nn.put_conductances(circuit, conductances(draws, layout, number))
        with torch.no_grad(), xb.nn.through("nodal"):
            for matrix, sums, aim in zip(matrices, read(circuit, inputs), wanted, strict=True):
                fitted = fit_sums(procedure.sums, sums[None], aim)
                matrix.correction = xb.training.Correction(
                    gain=fitted.gain[0, 0], offset=fitted.offset[0, 0]
                )
            torch.testing.assert_close(circuit(X[:4]), answers[number], rtol=0, atol=1e-7)
        for matrix in matrices:
            matrix.correction = None


def conductances(draws: ProgrammedDraws, layout: str, number: int) -> dict[str, Any]:
    out = {}
    for stack, of_stack in zip(draws._stacks, draws._outcomes, strict=True):
        G = draws._of_stack(stack, of_stack, stack.wanted)[number].reshape(
            -1, *stack.wanted.shape[-2:]
        )
        for k, (group, row, col) in enumerate(stack.places):
            name = f"{stack.name}[{group},{row},{col}]" if layout == "tiled" else stack.name
            out[name] = G[k].detach().numpy()
    return out


def read(circuit: nn.Module, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Sums of every matrix, (vectors, groups, outputs)."""
    out = []
    for layer in xb.nn.crossbar_layers(circuit).values():
        for key, weight, bias in layer.weight_matrices():
            matrix = layer.matrices[key]
            product = xb.nn.product.Product(matrix, weight, bias, training=False)
            out.append(product.of_arrays(inputs[matrix.name]))
    return out


@pytest.mark.parametrize("name", MODELS)
def test_recurrent_layers_and_groups_are_corrected(name):
    """A matrix that is used at every step has one correction, fitted on all steps."""
    make, shape = MODELS[name]
    torch.manual_seed(0)
    x = torch.randn(60, *shape, dtype=torch.float64)
    config = xb.ArrayConfig(variation=drolet_2023(rate_lrs=0.02), tile_rows=6, tile_cols=6)
    circuit = xb.nn.convert(make().double(), config, calibrate=x).eval()
    procedure = procedures.get("sum_gains")
    told: dict[str, Any] = {"transfers": 30, "seed": 1}
    plain = transfer(circuit, x[:20], **told)
    mended = transfer(circuit, x[:20], procedure=procedure, calibration=(x[20:], None), **told)
    difference = plain.rms - mended.rms  # the same random numbers, transfer by transfer
    assert difference.mean() > 4 * difference.std() / np.sqrt(30)
    draws = ErrorDraws(circuit, draws=2, seed=4, sums=SumFit(fit="offset", x=x[20:]))
    apart = draws.keeps_apart(x[:2])
    draws.one_by_one = not apart
    draws.begin("b")
    with torch.no_grad():
        answers = draws.outputs(x[:3])
        draws.one_by_one = True
        torch.testing.assert_close(draws.outputs(x[:3]), answers, rtol=0, atol=1e-9)
    assert apart == (name == "convolution")


def test_the_gradient_is_that_of_finite_differences_of_the_fit_too():
    circuit = circuit_of(variation=drolet_2023(rate_lrs=0.0, rate_hrs=0.0)).train()
    fitted = SumFit(fit="gain_and_offset", x=X[:20])
    draws = ErrorDraws(circuit, draws=3, circuit="ideal", gradient="straight_through", sums=fitted)
    draws.begin("c")
    weight = circuit[0].weight
    answers = draws.outputs(X[20:30])
    (answers.square().sum()).backward()
    slope, step = weight.grad[2, 1].clone(), 1e-5
    # errors are constants in this gradient: they are drawn at the same weights
    base = conductance_errors(circuit, draws)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[2, 1] += sign * step
            values.append(float(with_errors(circuit, draws, base, X[20:30]).square().sum()))
            weight[2, 1] -= sign * step
    assert float(slope) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


def conductance_errors(circuit: nn.Module, draws: ErrorDraws) -> dict[str, list[torch.Tensor]]:
    out = {}
    with torch.no_grad():
        for matrix, placed in draws._matrices():
            stacks = matrix.layout.physical(matrix, placed)
            drawn = draws.arrays(matrix.name, matrix, stacks)
            out[matrix.name] = [d - s for d, s in zip(drawn, stacks, strict=True)]
    return out


def with_errors(circuit, draws, errors, x):
    def arrays(name, matrix, stacks):
        return [s + e for s, e in zip(stacks, errors[name], strict=True)]

    return Slices(circuit, arrays, "ideal", sums=draws.sums).outputs(x, 3)


def test_sums_of_hidden_layers_are_mended_too():
    """The same transfers, judged on points that the fit has not seen."""
    x, y = three_classes(200, seed=3)
    circuit = circuit_of(variation=drolet_2023(rate_lrs=0.03, rate_hrs=0.01))
    errors = {}
    for name in ("sum_gains+gain_and_offset", "gain_and_offset"):
        told: dict[str, Any] = {"procedure": procedures.get(name), "calibration": (X, Y)}
        errors[name] = transfer(circuit, x, y.numpy(), transfers=60, **told).rms
    difference = errors["gain_and_offset"] - errors["sum_gains+gain_and_offset"]
    assert difference.mean() > 4 * difference.std() / np.sqrt(60)
    (gains,) = study_remedies(circuit, x, y.numpy(), remedies=["sum_gains"], transfers=60)
    assert gains.gain.low > 0


def test_training_with_sums_in_the_loop_is_judged_as_the_study_judges_it():
    told = {"steps": 20, "draws": 8, "look_every": 10, "look_draws": 60, "learning_rate": 0.01}
    train, validation = (X, Y), three_classes(80, seed=5)
    variation = drolet_2023(rate_lrs=0.05)
    fitted = fit(
        circuit_of(variation=variation), train, validation, Settings(remedy="sum_gains", **told)
    )
    x, y = validation[0], validation[1].numpy()
    options = {"procedure": procedures.get("sum_gains"), "calibration": train}
    mended = transfer(fitted.model, x, y, transfers=60, **options)
    plain = transfer(fitted.model, x, y, transfers=60)
    error = mended.right.mean(axis=1).std() / np.sqrt(60)
    assert abs(fitted.best.accuracy - mended.right.mean()) < 4 * np.sqrt(2) * error
    assert mended.right.mean() - plain.right.mean() > 4 * error


def test_exact_products_have_no_correction_and_many_vectors_are_thinned():
    circuit = circuit_of()
    many = X.repeat(30, 1)
    inputs = see_inputs(circuit, lambda: circuit(many))
    assert len(many) > VECTORS
    assert {len(v) for v in inputs.values()} == {VECTORS}
    with torch.no_grad(), xb.nn.exact_products():
        exact = circuit(X)
        matrix = next(iter(xb.nn.crossbar_layers(circuit).values())).matrices["weight"]
        ones = torch.ones(1, 6, dtype=torch.float64)
        matrix.correction = xb.training.Correction(gain=2 * ones, offset=ones)
        assert torch.equal(circuit(X), exact)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(InputError, match="`sums` must be one of"):
        Procedure(sums="slope")
    with pytest.raises(InputError, match="must do different things"):
        procedures.get("sum_gains+sum_offsets")
    with pytest.raises(InputError, match="fitted on calibration points"):
        transfer(circuit_of(), X, Y.numpy(), transfers=2, procedure=procedures.get("sum_gains"))
    joined = procedures.get("sum_gains+offset")
    assert (joined.sums, joined.outputs, joined.on_devices) == ("gain_and_offset", "offset", False)
