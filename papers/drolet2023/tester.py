"""What a tester does and knows: the procedure, calibration points, and what matters to answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from papers.drolet2023 import batched
from papers.drolet2023.batched import Batch
from papers.drolet2023.chain import Chain
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import labels_of

__all__ = ["Procedure", "Tester"]


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """What the tester does. The default writes every device once, row by row.

    Attributes:
        order: "rows", or "sensitivity": devices that change the answers most are written last,
            so that fewer later writes disturb them.
        passes: most tuning passes; every pass after the first rewrites the `rewrite` devices
            whose read-back error weighs most, and ends early when the answers are good enough.
        rewrite: devices rewritten in each further pass.
        enough: share of the calibration points that must be right for no further pass, as a
            share of the number that the wanted conductances get right.
        compensate: the partner of a stuck device is tuned to restore the pair's difference.
        remap: random placements of the lines that are tried for arrays with stuck devices.
        bias: the digital output bias is corrected after programming.
    """

    order: Literal["rows", "sensitivity"] = "rows"
    passes: int = 1
    rewrite: int = 12
    enough: float = 1.0
    compensate: bool = False
    remap: int = 0
    bias: bool = False

    def __post_init__(self) -> None:
        if self.passes < 1 or self.rewrite < 1 or self.remap < 0:
            raise broken_rule(
                "`passes` and `rewrite` must be >= 1 and `remap` >= 0",
                (self.passes, self.rewrite, self.remap),
                "passes=1 writes everything once.",
            )

    @property
    def looks(self) -> bool:
        """Whether the tester needs calibration points."""
        return self.order == "sensitivity" or self.passes > 1 or self.remap > 0 or self.bias


@dataclass(frozen=True, kw_only=True, eq=False)
class Tester:
    """A tester with one model to program.

    Attributes:
        chain, procedure: what to program, and how.
        x, y: calibration points and classes, or None.
        offsets: what the circuit adds at the wanted conductances, or None.
        sensitivity: mean change of the calibration answers per siemens, one (rows, cols) an
            array, or None.
    """

    chain: Chain
    procedure: Procedure
    x: Array | None = None
    y: Indices | None = None
    offsets: tuple[Array, ...] | None = None
    sensitivity: tuple[Array, ...] | None = None

    @classmethod
    def of(
        cls,
        chain: Chain,
        procedure: Procedure,
        calibration: tuple[npt.ArrayLike, npt.ArrayLike] | None,
        *,
        circuit: bool,
    ) -> Tester:
        """Prepare a tester; see `transfers.transfer` for the arguments."""
        if not procedure.looks:
            return cls(chain=chain, procedure=procedure)
        if calibration is None:
            raise broken_rule(
                "this procedure needs `calibration` points",
                "None",
                "Pass training points and classes; never test points.",
            )
        x = chain.points(calibration[0])
        y = labels_of("calibration[1]", calibration[1], len(x))
        offsets = batched.circuit_offsets(chain, x) if circuit else None
        tester = cls(chain=chain, procedure=procedure, x=x, y=y, offsets=offsets)
        if procedure.order == "rows" and procedure.passes == 1:
            return tester
        return replace(tester, sensitivity=_sensitivity(tester))

    def logits(self, G: Sequence[Array]) -> Array:
        """Answers for the calibration points from conductances, (transfers, points, outputs)."""
        if self.x is None:
            raise AssertionError("only testers with calibration points compute answers")
        return batched.logits(self.chain, self.x, Batch(G=tuple(G)), offsets=self.offsets)

    def margins(self, logits: Array) -> Array:
        """How far each point is on the right side, (transfers, points), in logits."""
        if self.y is None:
            raise AssertionError("only testers with calibration points compute answers")
        if logits.shape[-1] == 1:
            return logits[..., 0] * (2 * self.y - 1)
        true_logit = np.take_along_axis(logits, self.y[None, :, None], axis=-1)[..., 0]
        other_logits = logits.copy()
        np.put_along_axis(
            other_logits,
            np.broadcast_to(self.y[None, :, None], (*true_logit.shape, 1)),
            -np.inf,
            -1,
        )
        return true_logit - other_logits.max(axis=-1)


def _sensitivity(tester: Tester) -> tuple[Array, ...]:
    """Mean change of the class probabilities per siemens, by differences of 5 % of the range."""
    targets, config = tester.chain.wanted, tester.chain.config
    step = 0.05 * (config.G_max - config.G_min)
    at_rest = tester.margins(tester.logits([g[None] for g in targets]))
    width = max(float(np.median(np.abs(at_rest))) / 2, 1e-12)

    def squash(m: Array) -> Array:
        return np.tanh(m / width)

    out = []
    for k, g in enumerate(targets):
        moves = np.eye(g.size).reshape(-1, *g.shape) * step
        change = np.empty(g.size)
        for start in range(0, g.size, 64):  # a bounded number of arrays at a time
            part = moves[start : start + 64]
            G = [np.broadcast_to(w, (len(part), *w.shape)) for w in targets]
            G[k] = g + part
            moved = squash(tester.margins(tester.logits(G))) - squash(at_rest)
            change[start : start + 64] = np.abs(moved).mean(axis=1) / step
        out.append(change.reshape(g.shape))
    return tuple(out)
