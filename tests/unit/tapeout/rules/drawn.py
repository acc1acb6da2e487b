"""A small crossbar in SKY130B drawn by hand, part by part, and faults that are put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import klayout.db as kdb

from xbarspice.tapeout import load_technology
from xbarspice.tapeout.decks import decks_of, run_deck
from xbarspice.tapeout.rules import rules_of, save_script
from xbarspice.tapeout.rules.rule import drawing_layers
from xbarspice.tapeout.technology import Technology

PITCH, HALF, LAST = 0.68, 0.16, 1.36

Box = tuple[float, float, float, float]
Parts = dict[str, tuple[str, Box]]


def clean() -> Parts:
    """Three word lines and three bit lines with their landings: name -> layer, box in um."""
    parts: Parts = {}
    for k in range(3):
        a = k * PITCH
        low, high = a - HALF, a + HALF
        parts[f"wl{k}"] = "met1", (-1.5, low, LAST + 0.19, high)
        parts[f"via{k}"] = "via", (-1.275, a - 0.075, -1.125, a + 0.075)
        parts[f"land{k}"] = "met2", (-1.4, low, -1.0, high)
        parts[f"cut{k}"] = "via2", (-1.3, a - 0.1, -1.1, a + 0.1)
        parts[f"lead{k}"] = "met3", (-2.0, a - 0.17, -1.0, a + 0.17)
        parts[f"bl{k}"] = "met2", (low, -1.5, high, LAST + 0.19)
        parts[f"end{k}"] = "via2", (a - 0.1, -1.3, a + 0.1, -1.1)
        parts[f"tail{k}"] = "met3", (a - 0.17, -2.0, a + 0.17, -1.0)
        for m in range(3):
            b = m * PITCH
            parts[f"device{k}{m}"] = "device", (b - HALF, low, b + HALF, high)
    return parts


def only_met1_needs_contact(technology: Technology | None = None) -> Technology:
    """SKY130B whose upper metals may float: a lone shape breaks the rule it is drawn for."""
    technology = technology or load_technology("sky130b")
    free = {"needs_contact": False}
    metals = [m if m.name == "met1" else m.model_copy(update=free) for m in technology.metal]
    return technology.model_copy(update={"metal": tuple(metals)})


def insert(top: kdb.Cell, parts: Parts, technology: str = "sky130b", shift: float = 0.0) -> None:
    """Put parts into a cell, all of them moved to the right, um."""
    layers = drawing_layers(load_technology(technology))
    for name, (a, b, c, d) in parts.values():
        box = kdb.DBox(a + shift, b, c + shift, d)
        top.shapes(top.layout().layer(*layers[name])).insert(box)


def layout_of(parts: Parts, technology: str = "sky130b", dbu: float = 0.001) -> kdb.Layout:
    """A layout with one cell."""
    layout = kdb.Layout()
    layout.dbu = dbu
    insert(layout.create_cell("TOP"), parts, technology)
    return layout


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A change of the clean drawing, the rules that it breaks, and where, um."""

    name: str
    rules: tuple[str, ...]
    at: tuple[float, float]
    change: Callable[[Parts], object]

    @property
    def parts(self) -> Parts:
        """The drawing with the fault."""
        parts = clean()
        self.change(parts)
        return parts


def put(*boxes: tuple[str, Box]) -> Callable[[Parts], object]:
    """Add shapes."""
    return lambda parts: parts.update({f"more{k}": box for k, box in enumerate(boxes)})


def move(name: str, x: float, y: float) -> Callable[[Parts], object]:
    """Move a part, um."""

    def change(parts: Parts) -> None:
        layer, (a, b, c, d) = parts[name]
        parts[name] = layer, (a + x, b + y, c + x, d + y)

    return change


def reshape(**boxes: Box) -> Callable[[Parts], object]:
    """Give parts other boxes."""
    return lambda parts: parts.update({n: (parts[n][0], box) for n, box in boxes.items()})


def split(name: str, *boxes: Box) -> Callable[[Parts], object]:
    """Draw a part as several boxes."""

    def change(parts: Parts) -> None:
        layer, _ = parts.pop(name)
        parts.update({f"{name}_{k}": (layer, box) for k, box in enumerate(boxes)})

    return change


def both(*changes: Callable[[Parts], object]) -> Callable[[Parts], object]:
    """One change after the other."""
    return lambda parts: [change(parts) for change in changes]


def _faults() -> Iterable[tuple[str, str, tuple[float, float], Callable[[Parts], object]]]:
    yield (
        "a line necked to 50 nm",
        "met1.width",
        (-0.5, 0.0),
        split(
            "wl0", (-1.5, -HALF, -0.6, HALF), (-0.6, -0.025, -0.4, 0.025), (-0.4, -HALF, 1.55, HALF)
        ),
    )
    yield "a sliver", "met2.width", (0.2, -0.895), put(("met2", (HALF, -0.9, 0.26, -0.89)))
    yield "a short distance", "met1.space", (-0.8, 0.21), put(("met1", (-0.9, 0.26, -0.7, 0.52)))
    yield (
        "a notch",
        "met2.space",
        (0.21, -0.85),
        put(("met2", (HALF, -1.05, 0.26, -0.9)), ("met2", (HALF, -0.8, 0.26, -0.65))),
    )
    yield (
        "a small hole",
        "met3.space",
        (11.1, 1.1),
        put(
            ("met3", (10.0, 0.0, 11.0, 2.2)),
            ("met3", (11.2, 0.0, 12.2, 2.2)),
            ("met3", (11.0, 0.0, 11.2, 1.0)),
            ("met3", (11.0, 1.2, 11.2, 2.2)),
        ),
    )
    yield (
        "a neighbour of wide metal",
        "met3.wide.space",
        (14.2, 0.5),
        put(("met3", (10.0, 0.0, 14.0, 4.0)), ("met3", (14.35, 0.0, 15.35, 1.0))),
    )
    yield (
        "corners that touch",
        "met3.width met3.space",
        (11.0, 1.0),
        put(("met3", (10.0, 0.0, 11.0, 1.0)), ("met3", (11.0, 1.0, 12.0, 2.0))),
    )
    yield "a small shape", "met2.area", (10.1, 0.1), put(("met2", (10.0, 0.0, 10.2, 0.2)))
    yield "an edge off the grid", "met3.grid", (-1.0, 0.0), reshape(lead0=(-2, -0.17, -1.002, 0.17))
    yield "a cut off the grid", "via.grid", (-1.2, 0.0), move("via0", 0.001, 0.0)
    yield (
        "a corner off the grid inside metal",
        "met1.grid",
        (0.352, 0.0),
        put(("met1", (0.352, -0.1, 0.7, 0.1))),
    )
    yield "metal without a via", "met1.contact", (10.5, 0.5), put(("met1", (10.0, 0.0, 11.0, 1.0)))
    yield "a long cut", "via.size", (-1.2, 0.0), reshape(via0=(-1.275, -0.09, -1.125, 0.09))
    yield "a small cut", "via2.size", (0.0, -1.2), reshape(end0=(-0.09, -1.29, 0.09, -1.11))
    yield (
        "two cuts too close",
        "via.space",
        (-1.075, 0.0),
        both(
            put(("via", (-1.025, -0.075, -0.875, 0.075))),
            reshape(land0=(-1.4, -HALF, -0.78, HALF)),
        ),
    )
    yield (
        "a cut at the edge of its metals",
        "via.enclosure.met1 via.enclosure.met2",
        (-1.2, 0.14),
        move("via0", 0.0, 0.05),
    )
    yield (
        "a cut beside its line",
        "via.enclosure.met1 via.enclosure.met1.two via.enclosure.met2 via.enclosure.met2.two "
        "met1.contact",
        (-1.2, 0.34),
        move("via0", 0.0, 0.34),
    )
    yield (
        "one of two opposite sides",
        "via2.enclosure.met2.two",
        (0.0, -1.2),
        reshape(bl0=(-HALF, -1.35, HALF, 1.55)),
    )
    yield (
        "a lead that ends early",
        "via2.enclosure.met3",
        (-1.1, 0.0),
        reshape(lead0=(-2.0, -0.17, -1.05, 0.17)),
    )
    yield "no lead", "via2.enclosure.met3", (-1.2, 0.68), lambda parts: parts.pop("lead1")
    yield (
        "a device of 10 nm",
        "device.width",
        (0.68, 0.68),
        reshape(device11=(0.675, 0.675, 0.685, 0.685)),
    )
    yield (
        "two devices too close",
        "device.space device.overhang.met2",
        (0.2, 0.0),
        put(("device", (0.21, -HALF, 0.47, HALF))),
    )
    yield (
        "a device twice",
        "device.touching",
        (0.68, 0.68),
        lambda parts: parts.update(twin=parts["device11"]),
    )
    yield (
        "two devices that touch",
        "device.touching",
        (0.68, 0.68),
        split("device11", (0.52, 0.52, 0.68, 0.84), (0.68, 0.52, 0.84, 0.84)),
    )
    yield (
        "two devices that overlap",
        "device.touching device.overhang.met1",
        (0.68, 0.68),
        put(("device", (0.52, 0.54, 0.84, 0.86))),
    )
    yield (
        "a word line flush with its last device",
        "device.overhang.met1",
        (1.36, 0.0),
        reshape(wl0=(-1.5, -HALF, 1.52, HALF)),
    )
    yield (
        "a bit line flush with its last device",
        "device.overhang.met2",
        (0.0, 1.36),
        reshape(bl0=(-HALF, -1.5, HALF, 1.52)),
    )
    yield (
        "a device beside its crossing",
        "device.overhang.met1 device.overhang.met2",
        (1.7, 1.36),
        move("device22", 0.34, 0.0),
    )
    yield (
        "a via on a device",
        "device.excludes.via",
        (0.0, 0.0),
        put(("via", (-0.075, -0.075, 0.075, 0.075))),
    )


FAULTS = [
    Fault(name=name, rules=tuple(rules.split()), at=at, change=change)
    for name, rules, at, change in _faults()
]


def judge(layout, cell, folder, technology, suffix=".lydrc"):
    """What KLayout's application finds with the script of a technology, by the name of the rule."""
    script = folder / f"rules{suffix}"
    save_script(technology, script)
    result = run_deck(decks_of([script])[0], layout, cell, folder / "kept", schematics={})
    assert result.failure == ""
    assert result.looked_at == f"cell {cell}, {len(rules_of(technology))} rules"
    return {item.rule: item for item in result.items}
