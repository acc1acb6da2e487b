"""What a variation is: a frozen object with ``apply(G, rng)``, found by name, composable."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from xbarspice.core.errors import broken_rule
from xbarspice.core.parameters import Range, check_parameters
from xbarspice.core.registry import Registry
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of, number_of, whole_number_of

__all__ = [
    "Compose",
    "Draws",
    "Variation",
    "check_conductances",
    "from_config",
    "make",
    "names",
    "need",
    "register",
    "registry",
    "to_config",
    "where",
]


class Draws:
    """Random numbers from either kind of generator, in the array kind of `like`."""

    def __init__(self, rng: Any, like: Any) -> None:
        self.rng, self.like = rng, like
        self.shape = tuple(like.shape)
        self.torch = not isinstance(like, np.ndarray)
        self.numpy_rng = isinstance(rng, np.random.Generator)
        if not self.numpy_rng and type(rng).__module__.partition(".")[0] != "torch":
            raise broken_rule(
                "`rng` must be a numpy.random.Generator or a torch.Generator",
                type(rng).__name__,
                "Make one from a seed: numpy.random.default_rng(seed).",
            )

    def _get(self, numpy_name: str, torch_name: str) -> Any:
        if self.numpy_rng:
            drawn = getattr(self.rng, numpy_name)(size=self.shape)
            return self.array(drawn) if self.torch else drawn
        import torch

        dtype = self.like.dtype if self.torch else torch.float64
        drawn = getattr(torch, torch_name)(
            self.shape, generator=self.rng, dtype=dtype, device=self.rng.device
        )
        return drawn.to(self.like.device) if self.torch else drawn.numpy()

    def normal(self) -> Any:
        """Standard normal numbers in the shape and array kind of `like`."""
        return self._get("standard_normal", "randn")

    def uniform(self) -> Any:
        """Numbers uniform in [0, 1), in the shape and array kind of `like`."""
        return self._get("random", "rand")

    def array(self, values: Any) -> Any:
        """Constant data in the array kind, dtype and device of `like`."""
        if not self.torch:
            return np.asarray(values)
        import torch

        return torch.tensor(values, dtype=self.like.dtype, device=self.like.device)

    def lookup(self, levels: Array, table: Array, index: Indices, u: Any) -> Any:
        """Interpolate row `index` of `table` (rows, levels) at `u`; shapes broadcast."""
        if not self.torch:
            rows = np.broadcast_to(index, self.shape)
            k = np.clip(np.searchsorted(levels, u, side="right") - 1, 0, levels.size - 2)
            low, high = table[rows, k], table[rows, k + 1]
            return low + (high - low) * (u - levels[k]) / (levels[k + 1] - levels[k])
        if (even := _evenly(levels, table)) is not None:
            return self._lookup_evenly(*even, index, u)
        import torch

        p, t = self.array(levels), self.array(table)
        at = torch.as_tensor(np.broadcast_to(index, self.shape).copy(), device=self.like.device)
        k = (torch.searchsorted(p, u.contiguous(), right=True) - 1).clamp(0, levels.size - 2)
        low, high = t[at, k], t[at, k + 1]
        return low + (high - low) * (u - p[k]) / (p[k + 1] - p[k])

    def _lookup_evenly(self, levels: Array, table: Array, index: Indices, u: Any) -> Any:
        """`lookup` on tensors in a table whose levels are equally far apart."""
        import torch

        cells = levels.size - 1
        place = (u - levels[0]) * (cells / (levels[-1] - levels[0]))
        k = place.to(torch.int32).clamp_(0, cells - 1)
        place -= k
        k += torch.as_tensor(index * cells, dtype=torch.int32, device=self.like.device)
        low, step = self.array(table[:, :-1]).flatten(), self.array(np.diff(table)).flatten()
        low, step = (each.index_select(0, k.flatten()).reshape(self.shape) for each in (low, step))
        return low.addcmul_(place, step)


FINER = 4
"""How often the smallest step of levels is divided at most, to make them equally distant."""
CELLS = 2000
"""Equal steps of a table, at most."""


def _evenly(levels: Array, table: Array) -> tuple[Array, Array] | None:
    """The same piecewise linear functions on equally distant levels, if a few of them hold all."""
    span, smallest = levels[-1] - levels[0], np.diff(levels).min()
    for parts in range(1, FINER + 1):
        cells = parts * span / smallest
        places = (levels - levels[0]) * (round(cells) / span)
        if cells < CELLS and np.abs(places - places.round()).max() < 1e-9:
            even = np.linspace(levels[0], levels[-1], round(cells) + 1)
            k = np.clip(np.searchsorted(levels, even, side="right") - 1, 0, levels.size - 2)
            share = (even - levels[k]) / (levels[k + 1] - levels[k])
            return even, table[:, k] + share * (table[:, k + 1] - table[:, k])
    return None


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Choose by condition, in the array kind of the condition."""
    if isinstance(condition, np.ndarray):
        return np.where(condition, yes, no)
    import torch

    return torch.where(condition, yes, no)


def _finish(changed: Any, G: Any) -> Any:
    """Keep absent devices absent and the rest at or above 0 S."""
    present = G > 0
    return changed.clip(min=0.0) if present.all() else changed.clip(min=0.0) * present


def check_conductances(G: Any) -> Any:
    """`G` as an array or tensor of at least two axes.

    Raises:
        InputError: there are fewer than two axes.
    """
    out = G if hasattr(G, "requires_grad") else array_of("G", G, remedy="Pass conductances in S.")
    if out.ndim < 2:
        raise broken_rule(
            "`G` must have the shape (..., rows, cols)", tuple(out.shape), "Pass conductances in S."
        )
    return out


def need(rule: bool, text: str, received: object, remedy: str) -> None:
    """Raise the usual error unless the rule holds."""
    if not rule:
        raise broken_rule(text, received, remedy)


class Variation(abc.ABC):
    """One cause of difference between the wanted and the real conductances."""

    name: ClassVar[str]
    source: ClassVar[str]
    """Where the equation and its figures come from."""
    ranges: ClassVar[Mapping[str, Range]] = {}
    """Ranges of parameters by name; all others must be finite numbers."""

    def __post_init__(self) -> None:
        check_parameters(self, self.ranges)

    def apply(self, G: Any, rng: Any) -> Any:
        """Draw one realisation.

        Args:
            G: conductances, S, (..., rows, cols); NumPy array or torch tensor.
            rng: `numpy.random.Generator` or `torch.Generator`; its state advances.

        Returns:
            New conductances of the same shape and kind, S; `G` itself is not changed.

        Raises:
            InputError: `G` has fewer than two axes, or `rng` is not a generator.
        """
        G = check_conductances(G)
        return _finish(self._apply(G, Draws(rng, G)), G)

    @abc.abstractmethod
    def _apply(self, G: Any, draws: Draws) -> Any: ...


registry: Registry[type[Variation]] = Registry("variation", "Use one.")
"""Variations by the names that files and commands have for them."""
register = registry.register
"""Class decorator: files and commands know a variation by this name."""
names = registry.names


@dataclass(frozen=True)
class Compose(Variation):
    """Several variations, applied in the order given.

    Args:
        parts: the variations.
    """

    name: ClassVar[str] = "compose"
    source: ClassVar[str] = "its parts"

    parts: Sequence[Variation] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        parts = tuple(self.parts)
        need(
            all(isinstance(part, Variation) for part in parts),
            "`parts` must be Variation objects",
            [type(part).__name__ for part in parts],
            "Build each with its class, or from names with variability.from_config.",
        )
        object.__setattr__(self, "parts", parts)

    def _apply(self, G: Any, draws: Draws) -> Any:
        for part in self.parts:
            G = part.apply(G, draws.rng)
        return G


def make(name: str, **parameters: Any) -> Variation:
    """Build a variation by name, for example ``make("saf", rate_hrs=0.005)``.

    Raises:
        InputError: the name or a parameter is unknown, or a needed parameter is missing.
    """
    cls = registry.get(name)
    declared = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    extra = sorted(set(parameters) - set(declared))
    need(not extra, f"parameters of {name!r} must be among {declared}", extra, "Correct the name.")
    types = {f.name: str(f.type) for f in fields(cls)}  # type: ignore[arg-type]
    for key, value in parameters.items():
        if types[key].startswith("float") and not (value is None and "None" in types[key]):
            parameters[key] = number_of(f"{name}.{key}", value)
        elif types[key] == "int":
            parameters[key] = whole_number_of(f"{name}.{key}", value, low=0, remedy="Count.")
    try:
        return cls(**parameters)
    except TypeError as error:
        raise broken_rule(f"{name!r} must be complete", error, "Give what is missing.") from None


def from_config(terms: Sequence[Mapping[str, Any]]) -> Compose:
    """Build a `Compose` from records such as ``{"name": "saf", "rate_hrs": 0.005}``, in order."""
    for term in terms:
        need("name" in term, "each variation must have a `name`", dict(term), f"One of {names()}.")
    return Compose([make(**{str(k): v for k, v in term.items()}) for term in terms])


def to_config(variation: Variation) -> list[dict[str, Any]]:
    """The records of which `from_config` makes the same errors again.

    Raises:
        InputError: a part cannot be made by name, or a parameter is no plain value.
    """
    if isinstance(variation, Compose):
        return [record for part in variation.parts for record in to_config(part)]
    kind = type(variation)
    values = {f.name: getattr(variation, f.name) for f in fields(variation)}  # type: ignore[arg-type]
    plain = {key: _plain(value) for key, value in values.items()}
    need(
        getattr(kind, "name", "") in registry
        and registry.get(kind.name) is kind
        and all(_is_plain(value) for value in plain.values()),
        "a variation that is kept in a file must be one that can be made by name",
        repr(variation)[:200],
        f"Use one of {names()}.",
    )
    return [{"name": kind.name, **plain}]


def _plain(value: Any) -> Any:
    """Tuples as lists, and records as dictionaries."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Variation):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, bool | int | float | str | None)
