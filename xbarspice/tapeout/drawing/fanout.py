"""Routes the leads from the landings of the lines to pads at the pitch of a probe card.

All leads of one direction lie in one metal and never cross. They leave the array side by side, and
turn one after the other into a lane of their own, the one nearest to the corner of the die that the
pads run towards first; each lane ends at the height of its pad. Word lines leave to the left and
turn up, bit lines leave at the bottom and turn right; both are the same problem in (out, along):
``x = -out, y = along`` and ``x = along, y = -out``.

The width of a lane follows from what the lead must carry and from a resistance that it may have.
The estimate is ``sheet * length / width`` of the stretches; what counts is extracted later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xbarspice.core.errors import broken_rule
from xbarspice.tapeout.drawing.places import KINDS, Kind, Places, Rectangle
from xbarspice.tapeout.technology.landing import pad_cuts
from xbarspice.tapeout.technology.layers import Metal
from xbarspice.tapeout.technology.schema import Pads

__all__ = ["FanOut", "Lead", "fan_out"]

_TRIALS = 90
_STEP = 0.95
"""Targets of the resistance that are tried, each this share of the one before."""


@dataclass(frozen=True, kw_only=True)
class Lead:
    """One lead.

    Attributes:
        boxes: its metal; neighbours overlap.
        pad: centre of its pad.
        width: of its lane, um.
        resistance: of cuts and metal up to the pad's edge, typical, ohm; an estimate.
    """

    boxes: tuple[Rectangle, ...]
    pad: tuple[int, int]
    width: float
    resistance: float


@dataclass(frozen=True, kw_only=True)
class FanOut:
    """The leads of one direction, in the order of the lines, and their metal."""

    kind: Kind
    metal: str
    leads: tuple[Lead, ...]


def fan_out(places: Places, kind: Kind) -> FanOut:
    """Route the leads of one direction.

    With ``lead.resistance`` the lanes are the narrowest that keep it; without, those with the least
    resistance of the worst lead.

    Raises:
        InputError: the metal cannot carry the current between the lines, or no widths keep the
            resistance of every lead.
    """
    pads = places.technology.pads
    if pads is None:
        raise broken_rule("a fan-out needs [pads]", "none", "State metal, size and pitch of pads.")
    router = _Router(places, kind, pads)
    budget = places.technology.lead.resistance

    targets = [router.highest() * _STEP**k for k in range(_TRIALS)]
    if budget is not None:
        targets = [min(target, budget) for target in targets]
    plans = [router.plan(router.widths(target)) for target in targets]
    reached = [max(router.resistances(plan)) for plan in plans]
    if budget is None:
        return router.route(plans[reached.index(min(reached))])
    for plan, resistance in zip(plans, reached, strict=True):
        if resistance <= budget:
            return router.route(plan)
    raise broken_rule(
        f"lead.resistance = {budget:g} ohm must suffice for the leads of {router.count} "
        f"{KINDS[kind].replace('_', ' ')}s",
        f"{min(reached):.4g} ohm, the least that {pads.metal} at this pitch reaches",
        "Raise lead.resistance or the pitch of the array, or use pads on two sides (pads.sides).",
    )


class _Plan(NamedTuple):
    """Where everything of one direction stands, database units.

    Attributes:
        widths: of the lanes.
        lanes: their inner edges, and one more for what lies beyond.
        column: centre of the pads of the first side.
        risers: centres of the pads of the second side.
        bars: lower edges of the bars that lead there, and one more for these pads.
    """

    widths: tuple[int, ...]
    lanes: tuple[int, ...]
    column: int
    risers: tuple[int, ...]
    bars: tuple[int, ...]


class _Router:
    """Lanes and heights of the leads of one direction, in (out, along), database units.

    Lead 0 is the one that turns first: the top word line, the rightmost bit line.
    """

    def __init__(self, places: Places, kind: Kind, pads: Pads) -> None:
        t = places.technology
        self.places = places
        self.kind: Kind = kind
        self.metal: Metal = t.metals[pads.metal]
        self.count = places.count(kind)
        self.size, self.pitch = places.units(pads.size), places.units(pads.pitch)
        self.step = places.pitch[1 if kind == "WL" else 0]
        sides = pads.sides.word_line if kind == "WL" else pads.sides.bit_line
        self.beyond = self.count // 2 if len(sides) == 2 else 0  # leads to the second side
        self.space = places.units(self.metal.wide.space if self.metal.wide else self.metal.space)
        self.narrow = self._even(self.step - places.units(self.metal.space), down=True)
        self.widest = self._even(places.units(t.lead.width or pads.pitch / 4), down=True)
        self.narrow = min(self.narrow, self.widest)
        self.sheet = t.at("typ").sheet[pads.metal]
        self.cuts = sum(t.at("typ").via[cuts.via] / cuts.count for cuts in places.lands[kind].cuts)
        self.cuts += sum(
            t.at("typ").via[name] / pad_cuts(t, t.vias[name]) ** 2 for name in pads.stack[1::2]
        )
        self.least = self._least(t.lead.current if places.current is None else places.current)
        plate = places.plates(kind)[-1][1]
        x, y = places.landing(kind, 0)
        self.out = -x if kind == "WL" else -y
        self.edge = self.out + (plate.right if kind == "WL" else plate.top)

    def _even(self, units: float, *, down: bool = False) -> int:
        """A multiple of twice the grid."""
        step = 2 * self.places.grid
        return (math.floor if down else math.ceil)(units / step + (1e-6 if down else -1e-6)) * step

    def _least(self, current: float) -> int:
        """Width that carries the current; it must fit between two lines."""
        limit, units = self.metal.current, self.places.units
        width = self._even(units(max(self.metal.width, current / limit if limit else 0.0)))
        if width > self.narrow:
            raise broken_rule(
                f"{self.metal.name}.current: a lead between two lines must carry {current:g} A",
                f"{self.narrow * self.places.technology.dbu:g} um of metal, where "
                f"{width * self.places.technology.dbu:g} um are needed",
                "Lower lead.current or raise the pitch of the array.",
            )
        return width

    def along(self, lead: int) -> int:
        """Where a lead leaves the array."""
        places = self.places
        return places.y(lead) if self.kind == "WL" else places.x(self.count - 1 - lead)

    def plan(self, widths: Sequence[int]) -> _Plan:
        """Where lanes, bars and pads stand with these widths of the lanes."""
        lanes = [self.edge + self.space]
        for width in widths:
            lanes.append(lanes[-1] + width + self.space)
        step = self.places.grid
        column = max(-(-(lanes[-1] + self.size // 2) // step) * step, self.edge + self.pitch)
        risers = [column - self.pitch * (self.beyond - lead) for lead in range(self.beyond)]
        bars = self._bars(widths, lanes, risers)
        return _Plan(tuple(widths), tuple(lanes), column, tuple(risers), bars)

    def _bars(
        self, widths: Sequence[int], lanes: Sequence[int], risers: Sequence[int]
    ) -> tuple[int, ...]:
        """Lower edges of the bars that lead along the second side, and one more for its pads.

        Bars towards the inside stand higher the later they turn, those towards the outside lower,
        so that no bar crosses a lane or a riser.
        """
        inside = sum(x < lanes[k] + widths[k] // 2 for k, x in enumerate(risers))
        inner = self.places.inner
        base = self.height(self.beyond) + self.size // 2
        base = max(base, inner.top if self.kind == "WL" else inner.right) + self.space
        edges, tops = [0] * self.beyond, [base]
        for group in (range(inside), range(self.beyond - 1, inside - 1, -1)):
            at = base
            for lead in group:
                edges[lead] = at
                at += widths[lead] + self.space
            tops.append(at)
        return (*edges, max(tops))

    def height(self, lead: int) -> int:
        """Of a pad on the first side: the last lead's stands lowest, beside the array."""
        last = self.along(self.count - 1)
        return last + self.size // 2 + (self.count - 1 - lead) * self.pitch

    def arm(self, width: int) -> int:
        """Width of the last stretch before a pad of the first side, where there is room."""
        return max(width, min(self.widest, self._even(self.pitch / 4, down=True)))

    def highest(self) -> float:
        """Resistance with the narrowest lanes, ohm: where the search begins without a budget."""
        return max(self.resistances(self.plan([self.least] * self.count)))

    def widths(self, target: float) -> list[int]:
        """Lanes that bring every lead near a resistance, ohm, if that is possible."""
        out: list[int] = []
        at = self.edge + self.space
        for lead in range(self.count):
            room = target - self.cuts - self.sheet * (at - self.out) / self.narrow
            length = self._lane(lead)
            width = self.sheet * length / room if room > 0 else self.widest
            width = min(max(self._even(width), self.least), self.widest)
            out.append(width)
            at += width + self.space
        return out

    def _lane(self, lead: int) -> int:
        """About how long the lane of a lead is, with its bar."""
        if lead >= self.beyond:
            return self.height(lead) - self.along(lead)
        up = self.height(self.beyond) + self.size - self.along(lead)
        return up + self.pitch * (self.beyond - lead)

    def resistances(self, plan: _Plan) -> list[float]:
        """Of cuts and metal of every lead up to the edge of its pad, ohm."""
        out = []
        for lead, width in enumerate(plan.widths):
            middle = plan.lanes[lead] + width // 2
            squares = (middle - self.out) / self.narrow
            if lead >= self.beyond:
                squares += (self.height(lead) - self.along(lead)) / width
                squares += (plan.column - self.size // 2 - middle) / self.arm(width)
            else:
                bar = plan.bars[lead] + width // 2
                squares += (bar - self.along(lead)) / width
                squares += abs(plan.risers[lead] - middle) / width
                squares += max(plan.bars[-1] - bar, 0) / width
            out.append(self.cuts + self.sheet * squares)
        return out

    def route(self, plan: _Plan) -> FanOut:
        """All leads of a plan, in the order of the lines."""
        resistances = self.resistances(plan)
        leads = []
        for lead, width in enumerate(plan.widths):
            boxes, pad = self._boxes(lead, plan)
            leads.append(
                Lead(
                    boxes=tuple(self._turn(*box) for box in boxes),
                    pad=(-pad[0], pad[1]) if self.kind == "WL" else (pad[1], -pad[0]),
                    width=width * self.places.technology.dbu,
                    resistance=resistances[lead],
                )
            )
        ordered = leads if self.kind == "WL" else leads[::-1]
        return FanOut(kind=self.kind, metal=self.metal.name, leads=tuple(ordered))

    def _boxes(
        self, lead: int, plan: _Plan
    ) -> tuple[list[tuple[int, int, int, int]], tuple[int, int]]:
        """Boxes (out from, along from, out to, along to) of a lead, and the centre of its pad."""
        width, at, half = plan.widths[lead], plan.lanes[lead], self.narrow // 2
        y, arm = self.along(lead), self.arm(width) // 2
        # a wide lane keeps more space to the next lead than narrow leads to each other
        foot = y - half + min(max(self.space - (self.step - self.narrow), 0), half)
        boxes = [(self.out, y - half, at + min(width, self.narrow), y + half)]
        if lead >= self.beyond:
            height = self.height(lead)
            boxes.append((at, foot, at + width, height + arm))
            boxes.append((at, height - arm, plan.column, height + arm))
            return boxes, (plan.column, height)
        bar, x, row = plan.bars[lead], plan.risers[lead], plan.bars[-1] + self.size // 2
        boxes.append((at, foot, at + width, bar + width))
        edge = x - width // 2  # a riser wider than its lane could reach the next lane
        boxes.append((min(at, edge), bar, max(at, edge) + width, bar + width))
        boxes.append((edge, bar, edge + width, row))
        return boxes, (x, row)

    def _turn(self, out: int, along: int, far: int, high: int) -> Rectangle:
        if self.kind == "WL":
            return Rectangle(-far, along, -out, high)
        return Rectangle(along, -far, high, -out)
