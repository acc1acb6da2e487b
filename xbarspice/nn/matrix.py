"""One weight matrix on arrays: pairs, scales and tiles; volts in, weighted sums out."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xbarspice.core.errors import XbarspiceError, broken_rule
from xbarspice.core.seeds import child_seed
from xbarspice.core.wires import WIRES, Resistance
from xbarspice.mapping import ArrayConfig
from xbarspice.mapping.reads import LineOrder
from xbarspice.nn.affine_cache import CachedMap, Identity
from xbarspice.nn.boundary import between_graphs, refuse_transforms
from xbarspice.nn.converters import RangeRecord, quantise
from xbarspice.nn.corrections import Correction
from xbarspice.nn.layout import Layout, layouts
from xbarspice.nn.pairs import (
    PairConductances,
    combine_cells,
    ideal_differences,
    place,
    stack_states,
)
from xbarspice.nn.through import Answer, Run, running
from xbarspice.nn.tile import Tile

if TYPE_CHECKING:
    from xbarspice.nn.folded import Folded

__all__ = ["ArrayMatrix", "Product", "affine_of"]


@dataclass(eq=False)
class ArrayMatrix:
    """A weight matrix, or a group of equal ones, on passive arrays.

    It holds no weights: the layer passes them, so that they stay ordinary parameters.

    Attributes:
        config: how it stands on arrays.
        bias_line: whether its bias is a word line; fixed, whatever the bias's values are.
        name: full name in the converted model.
        seed: of its errors.
        transfer: number of the transfer (draw of `config.variation`) that the arrays hold in
            `eval`; None: no errors. In `train` every call draws a new one.
        draws: transfers drawn so far in training.
        ranges: inputs against their range.
        conductances: what stands on the arrays in `eval` whatever the weights are, S, (groups,
            lines, columns); None: what the weights and the transfer say. See
            `nn.put_conductances`.
        orders: of the lines of its arrays by (group, row, col), where lines were placed; of
            a folded array with the matrix that is read first. See `nn.place_lines`.
        wires: of its arrays by (group, row, col), where they have wires of their own: resistances
            by name, ohm, as of a `Crossbar` in read mode; those that are not named are those of
            `config`. Of a folded array with the matrix that is read first. See `nn.put_wires`.
        folded: the array that it shares with another matrix, if `config.layout` is "folded".
        correction: of the sums that the arrays give, (groups, outputs), after reading and before
            what is digital is added; None: none.
    """

    config: ArrayConfig
    bias_line: bool
    name: str = ""
    seed: int = 0
    transfer: int | None = None
    draws: int = 0
    ranges: RangeRecord = field(default_factory=RangeRecord)
    conductances: Tensor | None = None
    orders: Mapping[tuple[int, int, int], LineOrder] = field(default_factory=dict)
    wires: Mapping[tuple[int, int, int], Mapping[str, Resistance]] = field(default_factory=dict)
    folded: Folded | None = None
    correction: Correction | None = None
    _cached_map: CachedMap | None = field(default=None, repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> ArrayMatrix:
        memo[id(self)] = out = copy.copy(self)  # the configuration is frozen: it is shared
        out.ranges, out._cached_map = replace(self.ranges), None
        out.folded = copy.deepcopy(self.folded, memo)
        return out

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cached_map": None}

    def change(self, **changes: Any) -> None:
        """Change the configuration; a resistance in it is that of all its arrays from then on.

        Raises:
            InputError: a value breaks a rule of `ArrayConfig`.
        """
        self.config = replace(self.config, **changes)
        if self.wires and not changes.keys().isdisjoint(WIRES):
            left = {
                place: {name: R for name, R in wires.items() if name not in changes}
                for place, wires in self.wires.items()
            }
            self.wires = {place: wires for place, wires in left.items() if wires}

    @property
    def is_affine(self) -> bool:
        """Whether the arrays multiply by one matrix: linear devices and no converter a tile."""
        return self.config.model.linear and self.config.adc_bits is None

    @property
    def layout(self) -> Layout:
        """Where the matrix stands.

        Raises:
            InputError: on a folded array without the other matrix.
        """
        return layouts.get(self.config.layout).of(self)

    def line(self, bias: Tensor | None) -> Tensor | None:
        """The bias if it is a word line."""
        return bias if self.bias_line else None

    def program(self, weight: Tensor, bias: Tensor | None, *, training: bool) -> PairConductances:
        """The conductances that stand on the arrays, with errors where there are any."""
        placed = place(weight, self.line(bias), self.config)
        return self.layout.program(self, placed, training=training)

    def generator(
        self, *, training: bool, name: str = "", seed: int | None = None
    ) -> torch.Generator | None:
        """Random numbers for the errors on its arrays; None if they have none.

        `name` and `seed` are those of an array that it shares with another matrix.
        """
        if self.config.variation is None or (self.transfer is None and not training):
            return None
        number = f"transfer {self.transfer}"
        if training:
            self.draws += 1
            number = f"training draw {self.draws}"
        draw_seed = child_seed(
            self.seed if seed is None else seed, f"{name or self.name}: {number}"
        )
        return torch.Generator().manual_seed(draw_seed)

    def affine(self, product: Product) -> tuple[Tensor, Tensor | None]:
        """The affine map of linear arrays, cached while no gradient by what it holds is wanted."""
        sources = product.sources
        held = (*sources, self.conductances)
        records_gradient = torch.is_grad_enabled() and any(
            t is not None and t.requires_grad for t in held
        )
        if records_gradient or (product.training and self.config.variation is not None):
            self._cached_map = None
            return self._reduce_one(product)
        cached = self._cached_map
        if cached is None or not cached.belongs_to(sources, self.config, self._state(product)):
            with torch.no_grad():
                affine = self._reduce_one(product)
            cached = self.cache(product, affine)
        return cached.affine

    def cache(self, product: Product, affine: tuple[Tensor, Tensor | None]) -> CachedMap:
        """Keep the affine map that belongs to these weights and to what the arrays hold now."""
        self._cached_map = CachedMap(
            sources=tuple(None if t is None else t.detach().clone() for t in product.sources),
            config=self.config,
            state=self._state(product),
            affine=affine,
        )
        return self._cached_map

    def forget(self) -> None:
        """Drop the affine map that is kept."""
        self._cached_map = None

    def _state(self, product: Product) -> tuple[Hashable, ...]:
        """What else the affine map depends on: the transfer, conductances, the other matrix."""
        weight, held = product.weight, Identity(self.conductances)
        return self.transfer, held, weight.device, weight.dtype, *self.layout.state()

    def _reduce_one(self, product: Product) -> tuple[Tensor, Tensor | None]:
        return self.reduce([product.program()])[0]

    def reduce(self, states: Sequence[PairConductances]) -> list[tuple[Tensor, Tensor | None]]:
        """The affine maps of linear arrays in several states, from one call of the surrogate."""
        wholes = self.layout.pairs(stack_states(states), self.config)
        pairs = zip(wholes, states, strict=True)
        return [affine_of(whole, state, self.config) for whole, state in pairs]

    def voltages(self, x: Tensor, V_bias: Tensor | None) -> Tensor:
        """Line voltages, V, (vectors, groups, lines), for inputs about the centre."""
        volts = (x * (self.config.V_read / self.config.x_scale)).to(
            getattr(torch, self.config.dtype)
        )
        if V_bias is None:
            return volts
        line = V_bias.to(volts.dtype).expand(*volts.shape[:-1], 1)
        return torch.cat([volts, line], dim=-1)

    def adc_range(self, G: Tensor) -> Tensor | None:
        """Current difference at full scale of the converters, A; None without converters."""
        if self.config.adc_bits is None:
            return None
        if self.config.adc_range is not None:
            return torch.as_tensor(self.config.adc_range, dtype=G.dtype, device=G.device)
        bands = self.layout.bands(ideal_differences(G.detach()).abs(), self.config)
        largest = max(float(band.sum(dim=-2).amax()) for band in bands)
        return torch.as_tensor(largest * self.config.V_read, dtype=G.dtype, device=G.device)

    def size(self, weight: Tensor) -> tuple[int, int]:
        """Arrays and devices that a weight (groups, outputs, inputs) takes.

        An array that two matrices share counts with the one that is read first.
        """
        groups, outputs, inputs = weight.shape
        pairs = outputs * self.config.cells
        arrays, devices = self.layout.size(self, inputs + self.bias_line, 2 * pairs)
        return groups * arrays, groups * devices

    def tiles(self, weight: Tensor, bias: Tensor | None) -> Iterator[Tile]:
        """The arrays of the matrix as programmed, group by group, by rows of tiles."""
        with torch.no_grad():
            programmed = self.program(weight, bias, training=False)
        yield from self.layout.tiles(self, programmed)


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


def affine_of(
    differences: Tensor, programmed: PairConductances, config: ArrayConfig
) -> tuple[Tensor, Tensor | None]:
    """Matrix and offset for the inputs, from current differences for 1 V.

    Args:
        differences: S, (..., groups, lines, pairs).
        programmed: scales of the matrix.
        config: how it stands on arrays.

    Returns:
        (..., groups, inputs, outputs) and (..., groups, outputs), or None without a bias line.
    """
    matrix = combine_cells(differences, config)
    scale = programmed.sum_scale
    scale = scale[:, None, :] if scale.ndim else scale
    by_input = scale * (config.V_read / config.x_scale)
    if programmed.V_bias is None:
        return matrix * by_input, None
    lines, last = matrix.split([matrix.shape[-2] - 1, 1], dim=-2)  # one gradient, not two to add
    return lines * by_input, (last * (scale * programmed.V_bias))[..., 0, :]


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
