"""Programming plans in a tapeout folder: how they are made, and what is wrong with them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xbarspice.core.device import Device
from xbarspice.core.errors import XbarspiceError
from xbarspice.core.types import Array
from xbarspice.mapping.physical_array import PhysicalArray
from xbarspice.programming import Channels, Pulses, unwritten
from xbarspice.programming.expected import expected_reads
from xbarspice.programming.plans import pulses_of_device
from xbarspice.tapeout.sites import Site, drawn_array
from xbarspice.tapeout.technology import Technology

__all__ = ["PLANS", "Programming", "plan_problems"]

CLOSE = 1e-6
"""How far read currents of a plan may be from those of this machine, relative."""


@dataclass(frozen=True, kw_only=True)
class Programming:
    """How the arrays of a tapeout are programmed.

    Args:
        order: write order; see `xbarspice.programming.order_of`.
        scheme: unselected lines while a device is written.
        start: conductance of devices before they are written, S; None: `unwritten` says.
        pulses: the procedure, but for its read voltage; None: `pulses_of_device`.
        compliance: current that no pulse should exceed, A; None: see `xbarspice.programming.plan`.
        channels: pads and channels of the tester, of at least as many lines as the largest array
            has; None: `Channels.numbered`.
    """

    order: str = "smallest"
    scheme: str = "V/3"
    start: float | None = None
    pulses: Pulses | None = None
    compliance: float | None = None
    channels: Channels | None = None

    def arguments(self, array: PhysicalArray, technology: Technology) -> dict[str, Any]:
        """Arguments of `xbarspice.programming.plan` for an array.

        Args:
            array: with the wires as drawn.
            technology: says which electrode the word lines are.

        Raises:
            InputError: `start` is no conductance.
        """
        crossbar = drawn_array(array)
        crossbar = crossbar.replace(device=_placed(crossbar.device, technology))
        pulses = self.pulses or pulses_of_device(crossbar.device)
        return {
            "crossbar": unwritten(crossbar, self.start),
            "target": crossbar.G,
            "pulses": replace(pulses, V_read=array.V_read),
            "compliance": self.compliance,
            "scheme": self.scheme,
            "order": self.order,
            "channels": self.channels,
        }


def _placed(device: Device, technology: Technology) -> Device:
    """The device with the electrode that the technology makes the word lines of."""
    if not hasattr(device, "polarity"):
        return device
    top = technology.array.word_line.metal == technology.device.top
    return replace(device, polarity=1.0 if top else -1.0)  # type: ignore[type-var]


def plan_problems(
    folder: Path, names: Iterable[str], site: Site
) -> Iterator[tuple[str, str | None]]:
    """What each plan of an array says otherwise than its circuit: file and words, or None.

    Conductances must be equal bit by bit; currents are solved again in the order and from the
    conductances before that the plan states.

    Args:
        folder: of the tapeout.
        names: of plans in it, those of `PLANS` in the folder of the array.
        site: the array.
    """
    solved: dict[bytes, tuple[Array, Array]] = {}
    for name in names:
        parse = PLANS[Path(name).name]
        try:
            steps = [_Step(*_numbers(row)) for row in parse((folder / name).read_text("utf-8"))]
            yield name, _problem(steps, site, solved)
        except (
            ValueError,
            IndexError,
            KeyError,
            TypeError,
            RecursionError,
            csv.Error,
            XbarspiceError,
        ) as error:
            yield name, f"cannot be read: {type(error).__name__}: {error}"


class _Step(NamedTuple):
    row: int
    col: int
    G_start: float
    G_target: float
    I_step: float
    I_final: float


def _numbers(row: Any) -> Iterator[Any]:
    for key in ("row", "col"):
        if not re.fullmatch(r"\d+", str(row[key]), re.ASCII):  # -1 would count from the end
            raise ValueError(f"{row[key]!r} is no row or column")
        yield int(row[key])
    for key in ("G_start_S", "G_target_S", "I_step_A", "I_final_A"):
        yield float(row[key])


def _problem(
    steps: list[_Step], site: Site, solved: dict[bytes, tuple[Array, Array]]
) -> str | None:
    array = drawn_array(site.array)
    G, start = np.zeros(array.G.shape), array.G.copy()
    for step in steps:
        G[step.row, step.col], start[step.row, step.col] = step.G_target, step.G_start
    if not np.array_equal(G, array.G):
        return f"does not hold the conductances of {site.array.name}"
    order = np.array([s.row * array.cols + s.col for s in steps], dtype=np.intp)
    key = order.tobytes() + start.tobytes()
    if key not in solved:
        solved[key] = expected_reads(
            array.replace(G=start), G, order, read="grounded", V_read=site.array.V_read
        )
    stated = [s.I_step for s in steps], [s.I_final for s in steps]
    for values, expected in zip(stated, solved[key], strict=True):
        if not np.allclose(values, expected, rtol=CLOSE, atol=0.0):
            return f"does not hold the read currents of {site.array.name}"
    return None


def _csv(text: str) -> Iterable[Any]:
    return csv.DictReader(io.StringIO(text))


def _json(text: str) -> Iterable[Any]:
    return json.loads(text)["steps"]


PLANS = {"plan.csv": _csv, "plan.json": _json}
"""Plans of an array in its folder, and how their steps are read."""
