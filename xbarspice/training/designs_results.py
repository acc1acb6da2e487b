"""What a comparison of designs says: what each choice does, and the recommended design."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from xbarspice.training.designs_inputs import InputMap
from xbarspice.transfer.intervals import Interval
from xbarspice.transfer.scores import Metric

__all__ = ["Comparison", "Effect"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one choice does.

    Attributes:
        choice: its name.
        value: what it is.
        gain: of the metric, with its interval.
        same_devices: whether both designs have arrays of equal shapes, so that every device drew
            the same random numbers in both.
    """

    choice: str
    value: Any
    gain: Interval
    same_devices: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Result of `compare_designs`. All gains are of the metric, paired, with 95 % intervals.

    Attributes:
        metric: "mean" or "consistent"; see `transfer.scores.Metric`.
        judged: what is judged, in words.
        classifies: whether the metric is a share of points (0..1); else it is minus the change of
            the outputs.
        trained: whether every design was trained.
        remedy: what was done to every transfer, in words; "" for nothing.
        transfers, points: that every design was judged in.
        base: the metric of the base design.
        base_values: of the choices.
        effects: of every other value of one choice, all others as in the base; most first.
        recommended: values of the choices that win together; all others stay as in the base.
        gain: of the recommended design over the base, in fresh transfers of the same points.
        parts: by how much each recommended choice raises the metric beside the other recommended
            ones, in fresh transfers; most first.
        refused: combinations that cannot be built, with the reason.
        circuit: the recommended design.
        encode: what its inputs need.
    """

    metric: Metric
    judged: str
    classifies: bool
    trained: bool
    remedy: str
    transfers: int
    points: int
    base: Interval
    base_values: dict[str, Any]
    effects: tuple[Effect, ...]
    recommended: dict[str, Any]
    gain: Interval
    parts: tuple[Effect, ...]
    refused: tuple[str, ...]
    circuit: nn.Module = field(repr=False)
    encode: InputMap

    @property
    def confirmed(self) -> bool:
        """Whether the recommended design wins in fresh transfers too; False of the base."""
        return bool(self.recommended) and self.gain.low > 0

    def record(self) -> dict[str, Any]:
        """Plain values, without the circuit."""
        names = ("effects", "parts", "base", "gain", "circuit")
        out = {k: v for k, v in vars(self).items() if k not in names}
        out |= {name: [asdict(e) for e in getattr(self, name)] for name in ("effects", "parts")}
        return (
            out
            | {"base": asdict(self.base), "gain": asdict(self.gain)}
            | {"confirmed": self.confirmed}
            | {"encode": asdict(self.encode)}
        )

    def markdown(self) -> str:
        """The comparison to read."""
        start = f"{self.transfers} transfers of {self.points} points; judged: {self.judged}"
        lines = [
            f"{start}; metric: {self.metric}"
            + ", every design trained" * self.trained
            + f"; remedy: {self.remedy}" * bool(self.remedy),
            f"base: {self._shown(self.base)}",
            "",
            "| choice | base | value | gain [95 %] | same random numbers |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {e.choice} | {self.base_values[e.choice]} | {e.value} | {self._shown(e.gain)} | "
            f"{'yes' if e.same_devices else 'no'} |"
            for e in self.effects
        ]
        lines += ["", self._recommendation()]
        lines += [
            f"- {e.choice} {e.value} beside the others: {self._shown(e.gain)}" for e in self.parts
        ]
        return "\n".join([*lines, *(f"Not built: {text}" for text in self.refused)])

    def _recommendation(self) -> str:
        words = ", ".join(f"{name} {value}" for name, value in self.recommended.items())
        if not words:
            return "Recommended: the base; no other value is shown to win."
        gain = f"{self._shown(self.gain)} in fresh transfers"
        if self.confirmed:
            return f"Recommended: {words}; it wins {gain}."
        return f"Not confirmed: {words} won where it was chosen; its gain is {gain}."

    def _shown(self, part: Interval) -> str:
        scale, digits = (100, ".2f") if self.classifies else (1, ".3g")
        value, low, high = (f"{scale * v:{digits}}" for v in (part.value, part.low, part.high))
        return f"{value} [{low}, {high}]" + " %" * self.classifies
