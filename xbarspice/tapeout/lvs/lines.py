"""Which net is which line: by labels, and where a line is in pieces or joined by its devices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.tapeout.extraction.extracted import Extracted, LineName, line_name
from xbarspice.tapeout.extraction.shapes import Integers
from xbarspice.tapeout.lvs.faults import Fault
from xbarspice.tapeout.lvs.parts import Bridge, boxes_of, nearest_gap, split_net

__all__ = ["Lines", "find_lines"]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """Lines of an array in a drawing.

    Attributes:
        rows, cols: net of every word line and bit line, -1 where it has none of its own.
        row, col: line of both electrodes of every device, -1 for none.
        joined: lines that share a net with others.
        unclear: those of them that are joined in a way that leaves their devices unclear.
        unclear_nets: their nets.
        faults: of labels, joined lines and broken lines.
    """

    rows: Integers
    cols: Integers
    row: Integers
    col: Integers
    joined: frozenset[LineName]
    unclear: frozenset[LineName]
    unclear_nets: frozenset[int]
    faults: tuple[Fault, ...]


def find_lines(extracted: Extracted, present: Flags) -> Lines:
    """Find the lines of an array.

    Args:
        extracted: the drawing.
        present: which devices the array has, (rows, cols).
    """
    return _Matching(extracted, present).lines()


class _Matching:
    """The steps of `find_lines`: labels, then joined nets, then pieces without a label."""

    def __init__(self, extracted: Extracted, present: Flags) -> None:
        self.extracted, self.present = extracted, present
        self.count = {"WL": present.shape[0], "BL": present.shape[1]}
        self.nets = {kind: np.full(n, -1, dtype=np.int64) for kind, n in self.count.items()}
        self.line_of: dict[str, Integers] = {
            kind: np.full(len(extracted.devices), -1, dtype=np.int64) for kind in self.count
        }
        self.unclear: set[LineName] = set()
        self.unclear_nets: set[int] = set()
        self.faults: list[Fault] = []

    def lines(self) -> Lines:
        self._read_labels()
        self._take_apart()
        self._give_pieces()
        return Lines(
            rows=self.nets["WL"],
            cols=self.nets["BL"],
            row=self.line_of["WL"],
            col=self.line_of["BL"],
            joined=frozenset(n for names in self.named.values() if len(names) > 1 for n in names),
            unclear=frozenset(self.unclear),
            unclear_nets=frozenset(self.unclear_nets),
            faults=tuple(self.faults),
        )

    def _fault(self, kind: str, place: str, at: tuple[float, float], line: LineName | None) -> None:
        """Note a fault at a place in um."""
        number = {} if line is None else {_AXIS[line.kind]: line.number}
        self.faults.append(Fault(kind=kind, place=place, x=at[0], y=at[1], **number))  # type: ignore[arg-type]

    def _read_labels(self) -> None:
        """Faults of labels; nets that have one label, and their devices."""
        ex = self.extracted
        for label in ex.connectivity.labels:
            name, at = line_name(label.text), (label.x * ex.dbu, label.y * ex.dbu)
            metal = ex.technology.metal[label.metal].name
            if name is None:
                continue
            if name.number >= self.count[name.kind]:
                size = f"{self.count['WL']} x {self.count['BL']}"
                words = f"label {label.text} names no line of the {size} array"
                self._fault("label", words, at, None)
            elif label.net < 0:
                self._fault("label", f"label {label.text} stands on no {metal}", at, name)
            elif label.pin is False:
                words = f"label {label.text} stands on no pin shape of {metal}"
                self._fault("pin", words, at, name)
        self.named: dict[int, set[LineName]] = {}
        for name, nets in ex.line_nets().items():
            if name.number < self.count[name.kind]:
                for net in nets:
                    self.named.setdefault(net, set()).add(name)
        for net, names in self.named.items():
            if len(names) == 1:
                self._assign(net, next(iter(names)))
        self._find_repeated_labels()

    def _assign(self, net: int, name: LineName) -> None:
        """A net, and its device electrodes, belong to a line."""
        held = self.nets[name.kind][name.number]
        self.nets[name.kind][name.number] = net if held < 0 else held
        side = self.extracted.nets_of(name.kind, "devices")
        self.line_of[name.kind][side == net] = name.number

    def _find_repeated_labels(self) -> None:
        """One label on two nets: the line is in two pieces, or another one has its label."""
        ex = self.extracted
        for name, nets in ex.line_nets().items():
            if len(nets) < 2 or name.number >= self.count[name.kind]:
                continue
            counts = [int((ex.nets_of(name.kind, "devices") == net).sum()) for net in nets]
            self.nets[name.kind][name.number] = nets[int(np.argmax(counts))]
            labels = [x for x in ex.connectivity.labels if line_name(x.text) == name and x.net >= 0]
            at = labels[-1].x * ex.dbu, labels[-1].y * ex.dbu
            words = f"label {labels[-1].text} stands on {len(nets)} nets that are not joined"
            self._fault("open", words, at, name)

    def _take_apart(self) -> None:
        """Nets with labels of several lines."""
        for net, names in self.named.items():
            if len(names) < 2:
                continue
            for name in names:
                self.nets[name.kind][name.number] = net
            split = split_net(self.extracted, net)
            for bridge in split.bridges:
                self._fault("short", *self._bridge_words(bridge), bridge.lines[0])
            for a, b in split.shared:
                at = next(
                    (x.x, x.y) for x in self.extracted.labels_of(net) if line_name(x.text) == a
                )
                place = at[0] * self.extracted.dbu, at[1] * self.extracted.dbu
                self._fault("label", f"labels of {a} and {b} stand on one metal", place, a)
                for name in (a, b):
                    self.nets[name.kind][name.number] = -1
            if split.penalty > 0:
                self.unclear.update(names)
                self.unclear_nets.add(net)
            bottom = self.extracted.is_bottom("WL")
            for (device, side), name in split.lines.items():
                # a device between two word lines has a word line on the bit line's side
                if (side == "bottom") == (bottom if name.kind == "WL" else not bottom):
                    self.line_of[name.kind][device] = name.number

    def _bridge_words(self, bridge: Bridge) -> tuple[str, tuple[float, float]]:
        """What joins two lines, and where in um."""
        a, b = bridge.lines
        dbu = self.extracted.dbu
        at = ((bridge.box[0] + bridge.box[2]) / 2 * dbu, (bridge.box[1] + bridge.box[3]) / 2 * dbu)
        same = f"{a} and {b.number}" if a.kind == b.kind else f"{a} and {b}"
        if a.kind == b.kind:
            same = same.replace(" line ", " lines ")
        return f"{same} are joined by {bridge.layer}", at

    def _give_pieces(self) -> None:
        """Nets with devices and without a label: pieces of a line that lacks their devices."""
        ex = self.extracted
        for kind in self.count:
            side = ex.nets_of(kind, "devices")
            other = self.line_of["BL" if kind == "WL" else "WL"]
            loose = (self.line_of[kind] < 0) & (other >= 0)
            for net in np.unique(side[loose]).tolist():
                if net not in self.named:
                    self._give(kind, net, np.flatnonzero(loose & (side == net)), other)

    def _give(self, kind: str, net: int, devices: Integers, other: Integers) -> None:
        """Give a net to the line whose devices it has; say where that line is open."""
        crossed = np.unique(other[devices])
        missing = self._missing(kind)
        fits = np.flatnonzero(missing[:, crossed].all(axis=1))
        if not len(fits):
            return  # its devices are told as extra ones
        line = LineName(kind, self._nearest(kind, net, fits))
        held = int(self.nets[kind][line.number])
        if held < 0:
            self.nets[kind][line.number] = net
            x, y = (
                float(v[devices].mean()) for v in self.extracted.um(self.extracted.devices.boxes)
            )
            self._fault("label", f"{line} has no label", (x, y), line)
        else:
            near = np.unique(other[self.line_of[kind] == line.number])
            words, at = self._gap(kind, held, net, near, crossed)
            self._fault("open", f"{line} is open {words}", at, line)
        self.line_of[kind][devices] = line.number

    def _missing(self, kind: str) -> Flags:
        """Devices of the array that no line has yet, (lines, lines that cross)."""
        missing = self.present.copy()
        r, c = self.line_of["WL"], self.line_of["BL"]
        held = (r >= 0) & (c >= 0)
        missing[r[held], c[held]] = False
        return missing if kind == "WL" else missing.T

    def _nearest(self, kind: str, net: int, fits: Integers) -> int:
        """Of several lines, one without a net, else the one whose metal is nearest."""
        if len(fits) == 1:
            return int(fits[0])
        metal = self.extracted.metal_of(kind)
        boxes_of_net = boxes_of(self.extracted, [net], metal)
        far = np.full(len(fits), np.inf)
        for i, held in enumerate(self.nets[kind][fits].tolist()):
            for m in range(len(self.extracted.connectivity.metals) if held >= 0 else 0):
                boxes = boxes_of(self.extracted, [held], m)
                if len(boxes):
                    far[i] = min(far[i], nearest_gap(boxes_of_net, boxes)[0])
        if np.isinf(far).any():  # a line of which nothing else is there
            return self._in_order(kind, net, fits[np.isinf(far)])
        return int(fits[far.argmin()])

    def _in_order(self, kind: str, net: int, fits: Integers) -> int:
        """Of several lines without any net, the one whose place in the array the net has."""
        x, y = self.extracted.um(self.extracted.devices.boxes)
        side = self.extracted.nets_of(kind, "devices")
        known = [
            (k, n) for k, n in enumerate(self.nets[kind].tolist()) if (side == n).any() and n >= 0
        ]
        if len(known) < 2:
            return int(fits[0])
        numbers = np.array([k for k, _ in known], dtype=np.float64)
        places = np.array([[x[side == n].mean(), y[side == n].mean()] for _, n in known])
        fit, *_ = np.linalg.lstsq(np.stack([np.ones_like(numbers), numbers], 1), places, rcond=None)
        here = np.array([x[side == net].mean(), y[side == net].mean()])
        expected = fit[0] + fits[:, None] * fit[1]
        return int(fits[np.hypot(*(expected - here).T).argmin()])

    def _gap(
        self, kind: str, a: int, b: int, near: Integers, far: Integers
    ) -> tuple[str, tuple[float, float]]:
        """Where two pieces of a line miss each other, in words and um."""
        ex, con = self.extracted, self.extracted.connectivity
        best: tuple[float, tuple[float, float], str] = (np.inf, (np.nan, np.nan), "")
        stacks = [(m, m, f"in {con.metals[m].name}") for m in range(len(con.metals))]
        stacks += [
            (lower, upper, f"where {v.name} is missing")
            for k, v in enumerate(ex.technology.via)
            for lower, upper in (con.via_metals(k), con.via_metals(k)[::-1])
        ]
        for m, n, words in stacks:
            boxes = boxes_of(ex, [a], m), boxes_of(ex, [b], n)
            if not len(boxes[0]) or not len(boxes[1]):
                continue
            distance, at = nearest_gap(*boxes)
            if m == n or distance == 0:
                cost = 0.0 if m != n else distance
                if cost < best[0]:
                    best = cost, at, words
        x, y = best[1]
        cross, pair = "column" if kind == "WL" else "row", _between(near, far)
        if pair is None:
            last = "" if len(far) == 1 else f" to {far[-1]}"
            ends = f"between its label and {cross} {far[0]}{last}"
        else:
            ends = f"between {cross} {pair[0]} and {cross} {pair[1]}"
        return f"{ends} {best[2]}".rstrip(), (x * ex.dbu, y * ex.dbu)


_AXIS = {"WL": "row", "BL": "col"}


def _between(near: Integers, far: Integers) -> tuple[int, int] | None:
    """The nearest numbers of two sets; None if one of them is empty."""
    if not len(near) or not len(far):
        return None
    distance = np.abs(near[:, None] - far[None, :])
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    return int(near[i]), int(far[j])
