"""What is done while and after arrays are programmed, in one description; and those with names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from xbarspice.core.errors import broken_rule
from xbarspice.core.registry import Registry
from xbarspice.core.values import number_of, whole_number_of
from xbarspice.training.remedies import Remedy
from xbarspice.training.remedies import registry as corrections
from xbarspice.training.sums import FITS, SumFit
from xbarspice.variability.bse import ORDERS

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["SENSITIVITY", "Procedure", "get", "names", "registry"]

SENSITIVITY = "sensitivity"
"""The write order in which devices that change the answers most are written last."""


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """How a tester programs the arrays of a model. The default writes every device once.

    It uses only what a tester knows: the wanted conductances, those read back (with read noise),
    which devices do not move when they are written, and the answers for calibration points.

    Attributes:
        order: in which the devices of each array are written: one of `variability.bse.ORDERS`;
            "sensitivity", those last that change the answers most, so that fewer later writes
            disturb them; None: as the errors say (`bse.order`).
        passes: most tuning passes. Every pass after the first reads the arrays back and rewrites
            the devices whose errors weigh most; none is made for a transfer that is good enough.
        rewrite: devices of each array that are rewritten in a further pass.
        enough: share of the calibration points that must be right for no further pass, over the
            share that is right at the wanted conductances.
        compensate: the partner of a stuck device is written so that the pair keeps its difference.
        remap: random orders of lines that are tried in every transfer, of its arrays with stuck
            devices in turn; the best for the calibration points stay. The other lines of an array
            carry the same, on wires of other lengths.
        sums: digital gains and offsets of the sums of every matrix after programming, fitted on the
            calibration inputs (`training.sums`): "offset", "gain_and_offset", or None for none.
        outputs: what is done to the outputs after programming: a name of `training.remedies`, or a
            `Remedy`; None for nothing.
    """

    order: str | None = None
    passes: int = 1
    rewrite: int = 12
    enough: float = 1.0
    compensate: bool = False
    remap: int = 0
    sums: str | None = None
    outputs: str | Remedy | None = None

    def __post_init__(self) -> None:
        for name, low in (("passes", 1), ("rewrite", 1), ("remap", 0)):
            count = whole_number_of(name, getattr(self, name), low=low, remedy="Count them.")
            object.__setattr__(self, name, count)
        object.__setattr__(self, "enough", number_of("enough", self.enough))
        if not 0 < self.enough <= 1:
            raise broken_rule("`enough` must be > 0 and <= 1", self.enough, "1 is usual.")
        known = (None, SENSITIVITY, *ORDERS)
        if self.order not in known:
            raise broken_rule(f"`order` must be one of {known}", repr(self.order), "Use one.")
        if self.sums not in (None, *FITS):
            raise broken_rule(f"`sums` must be one of {(None, *FITS)}", repr(self.sums), "Use one.")
        if not (self.outputs is None or callable(self.outputs)):
            corrections.get(self.outputs)

    @property
    def weighs(self) -> bool:
        """Whether the tester needs to know how much devices change the answers."""
        return self.order == SENSITIVITY or self.passes > 1 or self.remap > 0

    @property
    def on_devices(self) -> bool:
        """Whether something is done to devices, not only to digital values."""
        return replace(self, sums=None, outputs=None) != Procedure()

    @property
    def on_outputs_alone(self) -> bool:
        """Whether nothing is done before the outputs are there."""
        return not self.on_devices and self.sums is None

    @property
    def correction(self) -> Remedy | None:
        """What is done to the outputs."""
        return corrections.get(self.outputs) if isinstance(self.outputs, str) else self.outputs

    def fit_of_sums(self, x: Tensor) -> SumFit | None:
        """What is fitted to the sums, with these calibration inputs."""
        return None if self.sums is None else SumFit(fit=self.sums, x=x)

    @property
    def words(self) -> str:
        """What differs from the default, in words."""
        default = Procedure().record()
        changes = {k: v for k, v in self.record().items() if v != default[k]}
        return ", ".join(f"{k} {v}" for k, v in changes.items()) or "written once"

    def each(
        self,
        circuit: nn.Module,
        numbers: Sequence[int],
        calibration: tuple[Any, Any] | None,
    ) -> Iterator[Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]]:
        """Let the arrays hold one transfer after another; see `programming.program_by`."""
        from xbarspice.training.programming import program_by

        return program_by(circuit, self, numbers, calibration)

    def record(self) -> dict[str, Any]:
        """Plain values; a function by its name."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        if callable(self.outputs):
            out["outputs"] = getattr(self.outputs, "__qualname__", repr(self.outputs))
        return out


registry: Registry[Procedure] = Registry("remedy", "Use one.")
"""What is done to devices, by the names that settings and commands have for it."""

registry.add("write_order", Procedure(order=SENSITIVITY))
registry.add("partners", Procedure(compensate=True))
registry.add("other_lines", Procedure(remap=24))
registry.add("sum_offsets", Procedure(sums="offset"))
registry.add("sum_gains", Procedure(sums="gain_and_offset"))
registry.add("tuning_passes", Procedure(passes=6, rewrite=20, enough=0.99))


def names() -> list[str]:
    """All names of remedies, of devices, sums and outputs, sorted."""
    return sorted([*registry.names(), *corrections.names()])


def get(remedy: str | Remedy | Procedure) -> Procedure:
    """The procedure of a remedy.

    Args:
        remedy: a name, several joined by "+", such as ``"partners+tuning_passes+offset"``; a
            correction of outputs; or a procedure, which is returned as it is.

    Raises:
        InputError: there is no such remedy, or two of them do the same.
    """
    if isinstance(remedy, Procedure):
        return remedy
    if not isinstance(remedy, str):
        return Procedure(outputs=remedy)
    out, changed = Procedure(), dict[str, str]()
    for name in remedy.split("+"):
        changes = _changes(name)
        for key in changes:
            if key in changed:
                raise broken_rule(
                    "remedies that are joined must do different things",
                    f"{changed[key]} and {name} in {remedy!r}",
                    "Leave one of them out.",
                )
        changed |= dict.fromkeys(changes, name)
        out = replace(out, **changes)
    return out


def _changes(name: str) -> dict[str, Any]:
    """What a name changes in the default procedure."""
    if name in corrections:
        return {"outputs": name}
    if name not in registry:
        close = difflib.get_close_matches(name, names(), n=1)
        raise broken_rule(
            f'`remedy` must be one of {names()}, or several joined by "+"',
            repr(name),
            f"Did you mean {close[0]!r}?" if close else "Use one of them.",
        )
    whole, default = registry.get(name), Procedure()
    pairs = ((f.name, getattr(whole, f.name)) for f in fields(Procedure))
    return {key: value for key, value in pairs if value != getattr(default, key)}
