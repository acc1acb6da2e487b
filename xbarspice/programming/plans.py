"""The programming plan: what each device must become, in which order, and what the tester reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice import engines
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.devices import DynamicDevice
from xbarspice.netlist.records import describe_device
from xbarspice.programming.array_state import SCHEMES, SHARES
from xbarspice.programming.channels import Channels
from xbarspice.programming.expected import expected_reads
from xbarspice.programming.results import Pulses, order_of
from xbarspice.programming.write_verify import check, target_of

__all__ = ["COLUMNS", "Plan", "plan", "pulses_of_device", "refuse", "unwritten"]

COLUMNS = (
    "step",
    "row",
    "col",
    "wl_pad",
    "bl_pad",
    "wl_channel",
    "bl_channel",
    "G_start_S",
    "G_target_S",
    "R_target_ohm",
    "I_step_A",
    "I_final_A",
    "I_ideal_A",
    "first_pulse_V",
    "last_pulse_V",
    "compliance_A",
)
READ_WORDS = {
    "grounded": "the word line at V_read, all other word lines at 0 V, all bit lines sensed at 0 V",
    "floating": "the word line at V_read, the bit line at 0 V, all other lines floating",
    "V/2": "the word line at V_read, the bit line at 0 V, all other lines at V_read/2",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """One array's plan: the steps of `xbarspice.programming.program`, one device each.

    Attributes:
        target: wanted conductances, S, (rows, cols); 0 for a cell that is left alone.
        start: conductances before, S, (rows, cols): what unwritten devices count as.
        order: flat index of the device of each step, (steps,).
        rule: the order in words.
        I_step: read current expected when a device was just written, A, (steps,): the devices of
            earlier steps at their targets, those of later steps as before.
        I_final: the same after the last step, A, (steps,).
        I_ideal: current of the device alone at V_read, A, (steps,).
        pulses: the write-verify procedure; V_read and tolerance among it.
        scheme: bias scheme of writing.
        set_sign: sign of the voltage from word to bit line that raises the conductance; None if the
            device model cannot be written: then no pulses are planned.
        compliance: current that a pulse should not exceed, A, (steps,); NaN without pulses.
        device: model and parameters in words.
        channels: pad and channel of every line.
    """

    target: Array
    start: Array
    order: Indices
    rule: str
    I_step: Array
    I_final: Array
    I_ideal: Array
    pulses: Pulses
    scheme: str
    set_sign: float | None
    compliance: Array
    device: str
    channels: Channels

    def steps(self) -> list[dict[str, Any]]:
        """One record a step with the keys `COLUMNS`; None where nothing is planned.

        Pulses are the voltage from word to bit line: the first of the ramp and the largest one.
        """
        cells = np.unravel_index(self.order, self.target.shape)
        out = []
        for k, (row, col) in enumerate(zip(*(c.tolist() for c in cells), strict=True)):
            wl, bl = self.channels.word_lines[row], self.channels.bit_lines[col]
            G, before = float(self.target[row, col]), float(self.start[row, col])
            currents = (float(x[k]) for x in (self.I_step, self.I_final, self.I_ideal))
            places = (k, row, col, wl[0], bl[0], wl[1], bl[1])
            values = (*places, before, G, 1 / G, *currents, *self._pulses_of(k, before <= G))
            out.append(dict(zip(COLUMNS, values, strict=True)))
        return out

    def _pulses_of(self, k: int, rises: bool) -> tuple[float | None, float | None, float | None]:
        """First and largest pulse, V, and compliance, A, of step k."""
        if self.set_sign is None:
            return None, None, None
        sign = self.set_sign if rises else -self.set_sign
        limit = self.pulses.limit_set if rises else self.pulses.limit_reset
        return sign * self.pulses.start, sign * limit, float(self.compliance[k])

    def to_csv(self) -> str:
        """The steps as CSV; numbers read back exactly."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list[str](COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.steps())
        return text.getvalue()

    def record(self) -> dict[str, Any]:
        """The plan for JSON; `xbarspice.programming.tester_log.load_plan` reads it back."""
        names = ("selected_wl", "selected_bl", "other_wl", "other_bl")
        settings = {f.name: getattr(self.pulses, f.name) for f in fields(self.pulses)}
        off = np.max(abs(self.I_step / self.I_final - 1.0), initial=0.0)
        return {
            "device": self.device,
            "shape": list(self.target.shape),
            "V_read_V": self.pulses.V_read,
            "tolerance": self.pulses.tolerance,
            "read": READ_WORDS[self.pulses.read],
            "unwritten": _span(self.start),
            "order": self.rule,
            "scheme": self.scheme,
            "line_voltages": dict(zip(names, SHARES[self.scheme], strict=True)),
            "set_sign": self.set_sign,
            "pulses": None if self.set_sign is None else settings,
            "largest_step_to_final": float(off),
            "lines": self.channels.record(),
            "steps": self.steps(),
        }


def _span(G: Array) -> str:
    """Conductances of present devices in words."""
    present = G[G > 0]
    if not present.size:
        return "no device"
    low, high = 1e6 * present.min(), 1e6 * present.max()
    return f"{low:.4g} uS" if low == high else f"{low:.4g} to {high:.4g} uS"


def pulses_of_device(device: object) -> Pulses:
    """The default procedure, with limits no larger than the device may be written with."""
    if not isinstance(device, DynamicDevice):
        return Pulses()
    sizes = {1.0: device.V_write[1], -1.0: -device.V_write[0]}
    usual, sign = Pulses(), device.set_sign
    return replace(
        usual,
        limit_set=min(usual.limit_set, sizes[sign]),
        limit_reset=min(usual.limit_reset, sizes[-sign]),
    )


def plan(
    crossbar: Crossbar,
    target: npt.ArrayLike,
    *,
    pulses: Pulses | None = None,
    scheme: str = "V/3",
    order: str | Sequence[int] = "smallest",
    compliance: float | None = None,
    channels: Channels | None = None,
    engine: str | engines.Engine = "surrogate",
) -> Plan:
    """Make the programming plan of one array; the arguments are those of `program`.

    A device model that cannot be written has targets and reads, and no pulses.

    Args:
        crossbar: wires, device and the conductances before, S: what unwritten devices count as.
        target: wanted conductances, S, (rows, cols); 0 leaves a cell alone.
        pulses: the procedure; None for `pulses_of_device`.
        scheme: unselected lines while writing.
        order: see `order_of`.
        compliance: current that no pulse should exceed, A; None for that of each device at its
            target under its largest pulse, which it exceeds only where it overshoots.
        channels: pads and channels, of at least as many lines; None for `Channels.numbered`.
        engine: who computes the expected currents.

    Raises:
        InputError: a value breaks a rule, as in `program`.
        EngineError: the currents cannot be computed.
    """
    pulses = pulses or pulses_of_device(crossbar.device)
    refuse(
        crossbar,
        target,
        pulses=pulses,
        scheme=scheme,
        order=order,
        compliance=compliance,
        channels=channels,
    )
    G = target_of(crossbar, target)
    sequence, writable = order_of(order, G), _writable(crossbar)
    I_step, I_final = expected_reads(
        crossbar, G, sequence, read=pulses.read, V_read=pulses.V_read, engine=engine
    )
    targets = G.ravel()[sequence]
    return Plan(
        target=G,
        start=crossbar.G,
        order=sequence,
        rule=order if isinstance(order, str) else "as given",
        I_step=I_step,
        I_final=I_final,
        I_ideal=np.asarray(crossbar.device.current(pulses.V_read + 0 * targets, targets)),
        pulses=pulses,
        scheme=scheme,
        set_sign=None if writable is None else writable.set_sign,
        compliance=_compliance(crossbar, sequence, targets, pulses, writable, compliance),
        device=describe_device(crossbar),
        channels=_channels(channels, crossbar),
    )


def refuse(
    crossbar: Crossbar,
    target: npt.ArrayLike,
    *,
    pulses: Pulses,
    scheme: str,
    order: str | Sequence[int],
    compliance: float | None = None,
    channels: Channels | None = None,
) -> None:
    """Refuse what `plan` would refuse, before any work.

    Raises:
        InputError: an argument breaks a rule.
    """
    if _writable(crossbar) is not None:
        check(crossbar, target, pulses=pulses, scheme=scheme, order=order, passes=1)
    elif scheme not in SCHEMES:
        raise broken_rule(f"`scheme` must be one of {SCHEMES}", repr(scheme), "Use one.")
    order_of(order, target_of(crossbar, target))
    if compliance is not None and not 0 < compliance < np.inf:
        raise broken_rule("`compliance` must be > 0 A", compliance, "Leave it out for the default.")
    _channels(channels, crossbar)


def _channels(channels: Channels | None, crossbar: Crossbar) -> Channels:
    shape = crossbar.rows, crossbar.cols
    return Channels.numbered(*shape) if channels is None else channels.part(*shape)


def unwritten(crossbar: Crossbar, start: float | None = None) -> Crossbar:
    """An array before it is programmed: every device that is present has one conductance.

    Args:
        crossbar: the array as it is wanted.
        start: S; None for the lowest of a device with a state, else the lowest on the array.

    Raises:
        InputError: `start` is no conductance > 0.
    """
    if start is None:
        device, present = crossbar.device, crossbar.G[crossbar.G > 0]
        lowest = float(present.min()) if present.size else 1.0
        start = device.G_range()[0] if isinstance(device, DynamicDevice) else lowest
    if not 0 < start < np.inf:
        raise broken_rule("`start` must be > 0 S", start, "Give the conductance before writing.")
    return crossbar.replace(G=np.where(crossbar.G > 0, start, 0.0))


def _writable(crossbar: Crossbar) -> DynamicDevice | None:
    """The device, if it can be written."""
    device = crossbar.device
    if not isinstance(device, DynamicDevice):
        return None
    try:
        device.refuse_writing()
    except InputError:
        return None
    return device


def _compliance(
    crossbar: Crossbar,
    sequence: Indices,
    wanted: Array,
    pulses: Pulses,
    device: DynamicDevice | None,
    compliance: float | None,
) -> Array:
    if device is None or compliance is not None:
        return np.full(wanted.size, np.nan if device is None else compliance)
    rises = wanted >= crossbar.G.ravel()[sequence]
    limits = np.where(rises, pulses.limit_set, pulses.limit_reset)
    return np.asarray(device.current(limits, wanted))
