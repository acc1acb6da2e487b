"""Digital gains and offsets of the sums of every matrix, fitted after programming.

A tester drives the arrays of each matrix with the inputs that it sees in the network with exact
products, and compares the sums that are read with those of the circuit without errors. Every matrix
is fitted by itself, so that it does not matter in which order, or how often, the model uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xbarspice.core.errors import broken_rule
from xbarspice.nn.corrections import Correction
from xbarspice.nn.layers import matrices_of, products_of
from xbarspice.nn.origin import arguments_of, outputs_of
from xbarspice.nn.product import Product
from xbarspice.nn.through import observe
from xbarspice.training.remedies import fit_gain_and_offset, fit_offset

__all__ = ["FITS", "Calibrator", "SumFit", "correct_sums", "fit_sums", "see_inputs"]

FITS: dict[str, Callable[[Tensor, Tensor, Tensor], Correction]] = {
    "offset": fit_offset,
    "gain_and_offset": fit_gain_and_offset,
}
"""What is fitted, by name."""
VECTORS = 1024
"""Input vectors of every matrix, at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SumFit:
    """Which gains and offsets are fitted, and on what.

    Attributes:
        fit: a name of `FITS`.
        x: calibration inputs of the model, (points, ...).
    """

    fit: str
    x: Tensor


def see_inputs(circuit: nn.Module, run: Callable[[], Any]) -> dict[str, Tensor]:
    """Inputs of every matrix in a run with exact products, by its name.

    Args:
        circuit: a converted model; it is run in evaluation.
        run: calls it with calibration inputs.

    Returns:
        Inputs about the centre, (vectors, groups, inputs), of at most `VECTORS` vectors that are
        spread evenly over all; with their gradient where one is recorded.
    """
    seen: dict[str, list[Tensor]] = {}
    training = circuit.training
    circuit.eval()
    try:
        with observe(lambda matrix, x: seen.setdefault(matrix.name, []).append(x)):
            run()
    finally:
        circuit.train(training)
    return {name: _few(torch.cat(parts)) for name, parts in seen.items()}


def _few(x: Tensor) -> Tensor:
    if len(x) <= VECTORS:
        return x
    return x[torch.linspace(0, len(x) - 1, VECTORS, dtype=torch.float64).long().to(x.device)]


def fit_sums(fit: str, sums: Tensor, wanted: Tensor) -> Correction:
    """The correction of every sum.

    Args:
        fit: a name of `FITS`.
        sums: as read, (draws, vectors, groups, outputs).
        wanted: without errors, (vectors, groups, outputs).

    Returns:
        Gains and offsets, (draws, 1, groups, outputs).
    """
    groups = sums.shape[2:]
    out = FITS[fit](sums.flatten(2), wanted.flatten(1), wanted)
    return Correction(gain=out.gain.unflatten(2, groups), offset=out.offset.unflatten(2, groups))


def correct_sums(circuit: nn.Module, x: Any, fit: str = "gain_and_offset") -> None:
    """Give every sum of a programmed circuit the digital gain and offset that suit its devices.

    The arrays, as they are held now (`nn.put_conductances`, `nn.program`), are driven with the
    inputs that each matrix sees in the network with exact products; the sums are fitted by least
    squares to those of the same arrays without errors. A deployment keeps them.

    Args:
        circuit: a converted model, in evaluation.
        x: calibration inputs, as of the model; never those that it is judged on.
        fit: "gain_and_offset", or "offset".

    Raises:
        InputError: there is no such fit.
    """
    if fit not in FITS:
        raise broken_rule(f"`fit` must be one of {tuple(FITS)}", repr(fit), "Use one.")
    arguments = arguments_of(circuit, x)
    matrices = list(matrices_of(circuit))
    held = [(m.conductances, m.transfer, m.correction) for m in matrices]
    for matrix in matrices:
        matrix.conductances, matrix.transfer, matrix.correction = None, None, None
    try:
        calibrator = Calibrator(circuit, fit, lambda: outputs_of(circuit, arguments))
    finally:
        for matrix, state in zip(matrices, held, strict=True):
            matrix.conductances, matrix.transfer, matrix.correction = state
    calibrator.correct()


class Calibrator:
    """Fits the sums of a circuit whose arrays hold one transfer after another.

    Args:
        circuit: converted, in evaluation; it has no errors now.
        fit: a name of `FITS`.
        run: calls it with calibration inputs.
    """

    @torch.no_grad()
    def __init__(self, circuit: nn.Module, fit: str, run: Callable[[], Any]) -> None:
        self.fit, inputs = fit, see_inputs(circuit, run)
        used = [p for p in products_of(circuit) if p.matrix.name in inputs]
        self.wanted = [(p, x, p.of_arrays(x)) for p in used for x in [inputs[p.matrix.name]]]

    @torch.no_grad()
    def correct(self) -> None:
        """Fit what the arrays hold now, and correct it from now on."""
        for product, x, wanted in self.wanted:
            matrix = product.matrix
            matrix.correction = None
            sums = Product(matrix, product.weight, product.bias, training=False).of_arrays(x)
            fitted = fit_sums(self.fit, sums[None], wanted)
            matrix.correction = Correction(gain=fitted.gain[0, 0], offset=fitted.offset[0, 0])
