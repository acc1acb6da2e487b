"""What detectors look at: one class a kind of evidence.

| evidence | `xb.verify` makes it | `xb.verify_array` makes it |
|---|---|---|
| `CircuitEvidence` | once | - |
| `MatrixEvidence` | of every weight matrix | - |
| `WeightEvidence` | of a matrix whose arrays hold other weights than its own | - |
| `MagnitudeEvidence` | of one array of every matrix | of the array |
| `ArrayEvidence` | of every array, with the largest drives of its lines | of the array |
| `CurrentEvidence` | of the worst array, where currents disagree | where currents disagree |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineError, InputError
from xbarspice.core.types import Array
from xbarspice.engines import get
from xbarspice.verification.finding import SHARE, Finding, rms

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xbarspice.nn import ArrayMatrix

__all__ = [
    "EXPLAINED",
    "KINDS",
    "ArrayEvidence",
    "CircuitEvidence",
    "CurrentEvidence",
    "MagnitudeEvidence",
    "MatrixEvidence",
    "WeightEvidence",
]

EXPLAINED = 20
"""Vectors of an array whose currents are explained: enough to tell one mistake from another."""
NOTICED = 0.05
"""Relative rms difference of weights below which nothing is wrong."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CircuitEvidence:
    """A converted model after a forward.

    Attributes:
        circuit: the model.
        labels: classes, (points,), -1 where unknown; None without any.
        decisions: with exact products, (points,); None of a model that does not classify.
    """

    circuit: nn.Module
    labels: np.ndarray | None
    decisions: np.ndarray | None


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixEvidence:
    """One weight matrix on arrays after a forward.

    Attributes:
        matrix: with its configuration and the ranges that the forward saw.
        weight: (groups, outputs, inputs).
        bias: (groups, outputs), or None.
    """

    matrix: ArrayMatrix
    weight: Tensor
    bias: Tensor | None

    @property
    def where(self) -> str:
        """Name of the matrix."""
        return self.matrix.name

    @cached_property
    def sizes(self) -> Array:
        """|w| of all weights, (weights,)."""
        return self.weight.detach().abs().cpu().numpy().ravel()

    @cached_property
    def G_held(self) -> Array:
        """Conductances that its arrays hold, S, (groups, lines, columns)."""
        import torch

        with torch.no_grad():
            G = self.matrix.program(self.weight, self.bias, training=False).G
        return G.double().cpu().numpy()

    @cached_property
    def G_target(self) -> Array:
        """Conductances that its weights ask for, S, (groups, lines, columns)."""
        import torch

        from xbarspice.nn.pairs import place

        with torch.no_grad():
            G = place(self.weight, self.matrix.line(self.bias), self.matrix.config).G
        return G.double().cpu().numpy()

    def weights(self) -> Iterator[WeightEvidence]:
        """Weights of every group whose arrays hold other conductances than the weights ask for."""
        if np.array_equal(self.G_held, self.G_target):
            return
        for group, (target, held) in enumerate(zip(self.G_target, self.G_held, strict=True)):
            where = self.where if len(self.G_held) == 1 else f"{self.where}, group {group}"
            pairs = [G[:, 0::2] - G[:, 1::2] for G in (target, held)]
            yield WeightEvidence(target=pairs[0], held=pairs[1], where=where)


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightEvidence:
    """Weights that were asked for and those that arrays hold, each (inputs, outputs).

    Both are in one unit.
    """

    target: Array
    held: Array
    where: str = ""

    def difference(self, model: Array) -> float:
        """``rms(held - model) / rms(target)``."""
        return rms(self.held - model) / (rms(self.target) or 1.0)

    def agrees_with(self, model: Array) -> bool:
        """Whether the held weights are this model of them, and not the target."""
        base = self.difference(self.target)
        return base > NOTICED and self.difference(model) <= SHARE * base


@dataclass(frozen=True, kw_only=True, eq=False)
class MagnitudeEvidence:
    """An array and the full scale of its line voltages.

    Attributes:
        crossbar: one array.
        V: largest voltage, V.
        pairs: whether its devices are pairs of weights, whose range `MatrixEvidence` shows.
        where: what it is.
    """

    crossbar: Crossbar
    V: float
    pairs: bool
    where: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayEvidence:
    """An array and voltages of its lines.

    Attributes:
        crossbar: one array.
        V_in, V_out: line voltages, V, (vectors, rows) and (vectors, cols).
        largest: whether they are one vector: the largest of every line over the drives of a model.
        where: what it is.
    """

    crossbar: Crossbar
    V_in: Array
    V_out: Array
    largest: bool
    where: str


@dataclass(frozen=True, kw_only=True, eq=False)
class CurrentEvidence:
    """An array, the voltages of its lines, and currents that someone states for them.

    Attributes:
        crossbar: one array as it is described.
        V_in, V_out: line voltages, V, (points, rows) and (points, cols).
        I_out: the currents to explain, A, (points, cols).
        tolerance: rms difference over the largest current below which nothing is to explain.
        where: whose currents they are.
    """

    crossbar: Crossbar
    V_in: Array
    V_out: Array
    I_out: Array
    tolerance: float = 1e-3
    where: str = ""

    def solve(self, crossbar: Crossbar, V_in: Array, V_out: Array) -> Array | None:
        """I_out by the nodal engine, A; None where such an array has no answer."""
        engine = get("nodal")
        try:
            return engine.solve(engine.prepare(crossbar), crossbar, V_in, V_out).I_out
        except (InputError, EngineError):  # a hypothesis may be an absurd circuit
            return None

    def difference(self, I_out: Array | None) -> float:
        """``rms(I - I_out) / max |I|`` of the currents to explain."""
        if I_out is None or not np.isfinite(I_out).all():
            return np.inf
        return rms(self.I_out - I_out) / (float(np.max(np.abs(self.I_out))) or 1.0)

    def base(self) -> Array | None:
        """What the array gives as it is described, A, (points, cols)."""
        return self.solve(self.crossbar, self.V_in, self.V_out)

    def agrees_with(self, I_out: Array | None, base: Array | None) -> bool:
        """Whether these currents explain the stated ones, and the described array does not."""
        plain = min(self.difference(base), self.difference(0 * self.I_out))
        return plain > self.tolerance and self.difference(I_out) <= SHARE * plain

    def finding(
        self,
        kind: str,
        text: str,
        remedy: str,
        *,
        base: Array | None,
        model: Array | None,
        **evidence: float,
    ) -> Finding:
        """The finding that a model explains the currents, with the difference before and after.

        Args:
            kind, text, remedy: as of `Finding`.
            base: currents of the described array, A, (points, cols).
            model: currents of the array with the mistake, A, (points, cols).
            evidence: more figures by name.
        """
        before, after = self.difference(base), self.difference(model)
        return Finding(
            kind=kind,
            where=self.where,
            text=f"{text} The difference falls from {before:.2g} to {after:.2g} of full scale.",
            remedy=remedy,
            evidence={"as_is": before, "explained": after, **evidence},
        )


KINDS = (
    CircuitEvidence,
    MatrixEvidence,
    WeightEvidence,
    MagnitudeEvidence,
    ArrayEvidence,
    CurrentEvidence,
)
"""All kinds of evidence that a verification shows to detectors."""
