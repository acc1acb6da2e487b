"""Products with a weight matrix on arrays: inputs as volts, currents as weighted sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xbarspice.core.errors import XbarspiceError, broken_rule
from xbarspice.nn.boundary import between_graphs, refuse_transforms
from xbarspice.nn.converters import quantise
from xbarspice.nn.matrix import ArrayMatrix
from xbarspice.nn.pairs import (
    PairConductances,
    affine_of,
    combine_cells,
    ideal_differences,
    place,
)
from xbarspice.nn.through import Answer, Run, running

__all__ = ["Product"]


@between_graphs
def _eager(product: Product, x: Tensor) -> Tensor:
    return product.compute(x)


@dataclass(eq=False)
class Product:
    """The product with a weight matrix that stands on arrays, for any number of inputs.

    All calls share the conductances: errors are drawn once, a linear array is reduced once.

    Attributes:
        matrix: the arrays.
        weight: (groups, outputs, inputs).
        bias: (groups, outputs) or None.
        training: whether new errors are drawn.
    """

    matrix: ArrayMatrix
    weight: Tensor
    bias: Tensor | None
    training: bool
    _programmed: PairConductances | None = None
    _affine: tuple[Tensor, Tensor | None] | None = None
    _lossless: tuple[Tensor, Tensor | None] | None = None

    @property
    def sources(self) -> tuple[Tensor | None, ...]:
        """All parameters that stand on the arrays."""
        return self.weight, self.bias, *self.matrix.layout.sources()

    def __call__(self, x: Tensor) -> Tensor:
        """``x @ weight.mT + bias`` as the arrays compute it.

        Args:
            x: (vectors, groups, inputs).

        Returns:
            (vectors, groups, outputs), dtype of `x`.

        Raises:
            InputError: `x` is no floating-point tensor, or a weight is not finite.
            XbarspiceError: inside a torch transform (vmap, export) that cannot run compiled solves.
        """
        return _eager(self, x)

    def compute(self, x: Tensor) -> Tensor:
        """What a call computes, outside any graph that torch compiles.

        Raises:
            InputError: the input is no floating-point tensor.
        """
        refuse_transforms("a layer on arrays", x, *self.sources)
        kind = x.dtype
        if not x.is_floating_point():
            raise broken_rule(
                "the input of a layer on arrays must be a floating-point tensor",
                str(kind),
                "Convert it, for example with .float().",
            )
        if kind not in (torch.float32, torch.float64):
            x = x.float()
        with torch.autocast(x.device.type, enabled=False):
            out = self._sums(x)
        return out.to(kind)

    def _sums(self, x: Tensor) -> Tensor:
        run = running()
        x, digital = self._centre_inputs(x)
        if run.see is not None:
            run.see(self.matrix, x)
        out = self._exact(x) if run.is_exact(self.matrix.name) else self.of_arrays(x)
        return out if digital is None else out + digital.to(x.dtype)

    def of_arrays(self, x: Tensor) -> Tensor:
        """Sums (vectors, groups, outputs) as read from the arrays and corrected.

        Args:
            x: inputs about the centre, (vectors, groups, inputs).
        """
        run, matrix = running(), self.matrix
        matrix.ranges.add(x, matrix.config.x_scale)
        x = quantise(x, matrix.config.dac_bits, matrix.config.x_scale)
        if run.see_drive is not None:
            run.see_drive(matrix, matrix.voltages(x, self.program().V_bias).detach())
        if run.multiply is not None:
            out = run.multiply(self, x)
        elif matrix.is_affine and not run.by_tile:
            out = _apply(x, *self.affine())
        else:
            out = self._tile_by_tile(x, run)
        return out if matrix.correction is None else matrix.correction.apply(out)

    def _centre_inputs(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Inputs about `x_centre`, and what is added after reading, (groups, outputs)."""
        digital, centre = None if self.matrix.bias_line else self.bias, self.matrix.config.x_centre
        if centre:
            moved = centre * self.weight.sum(dim=-1)
            digital = moved if digital is None else digital + moved
            x = x - centre
        return x, digital

    def _exact(self, x: Tensor) -> Tensor:
        if self._lossless is None:  # a recurrent layer multiplies at every step
            lossless = self.matrix.config.lossless()
            programmed = place(self.weight, self.matrix.line(self.bias), lossless)
            differences = ideal_differences(programmed.G)
            self._lossless = affine_of(differences, programmed, lossless)
        return _apply(x, *self._lossless)

    def program(self) -> PairConductances:
        """The conductances on the arrays."""
        if self._programmed is None:
            self._programmed = self.matrix.program(self.weight, self.bias, training=self.training)
        return self._programmed

    def affine(self) -> tuple[Tensor, Tensor | None]:
        """The matrix (groups, inputs, outputs) and offset that linear arrays apply to `x`."""
        if self._affine is None:
            self._affine = self.matrix.affine(self)
        return self._affine

    def solve(self, programmed: PairConductances, x: Tensor) -> Tensor:
        """Sums (vectors, groups, outputs) with these conductances, each array solved by itself.

        Args:
            programmed: the conductances.
            x: inputs about the centre, (vectors, groups, inputs).
        """
        return replace(self, _programmed=programmed)._tile_by_tile(x, running())

    def _tile_by_tile(self, x: Tensor, run: Run) -> Tensor:
        m, programmed = self.matrix, self.program()
        volts, G = m.voltages(x, programmed.V_bias), programmed.G
        bands: dict[int, list[Tensor]] = {}
        unrounded: dict[int, list[Tensor]] = {}
        currents = []
        full = m.adc_range(G)
        for top, current, difference in m.layout.currents(programmed, volts, m.config, run.engine):
            currents.append(current.detach())
            if run.see_differences is not None:
                run.see_differences(m, difference)
            if full is not None:
                m.ranges.saturated += int((difference.detach().abs() > full).sum())
                within = torch.maximum(torch.minimum(difference.detach(), full), -full)
                unrounded.setdefault(top, []).append(within.sum(dim=2).flatten(-2))
                difference = quantise(difference, m.config.adc_bits, full)
            bands.setdefault(top, []).append(difference.sum(dim=2).flatten(-2))
        if run.keep:
            answer = Answer(matrix=m.name, V_in=volts.detach(), G=G.detach(), I_out=currents)
            run.answers.append(answer)
        sums, scale = combine_cells(_add_bands(bands), m.config), programmed.sum_scale
        if full is None:
            sums = sums * scale
        else:  # rounding is left out of the gradient by the scale, as it is of all others
            exact = combine_cells(_add_bands(unrounded), m.config)
            sums = sums * scale.detach() + exact * (scale - scale.detach())
        if run.engine is not None:
            sums = self._without_gradient(sums, x, run.engine.name)
        return sums.to(x.dtype)

    def _without_gradient(self, sums: Tensor, x: Tensor, engine: str) -> Tensor:
        sources = [t for t in (x, *self.sources) if t is not None and t.requires_grad]
        if not sources or not torch.is_grad_enabled():
            return sums.detach()
        return _NoGradient.apply(engine, sums.detach(), *sources)  # type: ignore[no-any-return]


def _add_bands(bands: dict[int, list[Tensor]]) -> Tensor:
    """The sum over rows of tiles, (vectors, groups, columns), each row joined from its tiles."""
    return torch.stack([torch.cat(band, dim=-1) for band in bands.values()]).sum(dim=0)


def _apply(x: Tensor, matrix: Tensor, offset: Tensor | None) -> Tensor:
    """``x @ matrix + offset`` group by group, x (vectors, groups, inputs)."""
    matrix = matrix.to(x.dtype)
    if len(matrix) == 1:
        out = x @ matrix[0]
    else:
        out = torch.bmm(x.transpose(0, 1), matrix).transpose(0, 1)
    return out if offset is None else out + offset.to(x.dtype)


class _NoGradient(torch.autograd.Function):
    """Answers of an engine that gives no gradients: the values, which refuse a backward pass."""

    @staticmethod
    def forward(ctx: Any, engine: str, values: Tensor, *_sources: Tensor) -> Tensor:
        ctx.engine = engine
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *_grads: Tensor) -> Any:
        raise XbarspiceError(
            f"only the surrogate gives gradients; this output was solved by {ctx.engine!r}. "
            "Leave `through` for training, or detach the output."
        )
