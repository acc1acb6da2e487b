"""One weight matrix on arrays: its configuration, errors and what the arrays hold."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xbarspice.core.seeds import child_seed
from xbarspice.core.wires import WIRES, Resistance
from xbarspice.mapping import ArrayConfig
from xbarspice.mapping.reads import LineOrder
from xbarspice.mapping.tile import Tile
from xbarspice.nn.affine_cache import CachedMap, Identity
from xbarspice.nn.converters import RangeRecord
from xbarspice.nn.corrections import Correction
from xbarspice.nn.layout import Layout, layouts
from xbarspice.nn.pairs import (
    PairConductances,
    affine_of,
    ideal_differences,
    place,
    stack_states,
)

if TYPE_CHECKING:
    from xbarspice.nn.folded import Folded
    from xbarspice.nn.product import Product

__all__ = ["ArrayMatrix"]


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
