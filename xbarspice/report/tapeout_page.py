"""Page of a tapeout: verdict of the layout check, wires and what they change, the drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xbarspice.report.content import Item, Plot, Section, Table, Text, Verdict
from xbarspice.report.page import page
from xbarspice.tapeout import layout
from xbarspice.tapeout.lvs import SCOPE
from xbarspice.tapeout.technology import Technology

__all__ = ["write"]

_WIRES = {
    "R_wl": "word-line segment", "R_bl": "bit-line segment",
    "R_driver": "lead of a word line", "R_sense": "lead of a bit line",
}  # fmt: skip


def write(record: dict[str, Any], folder: Path, path: Path) -> Path:
    """Draw the page of a tapeout.

    Args:
        record: what `xbarspice.tapeout.tapeout` returned.
        folder: where its files lie.
        path: the HTML file; it appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    good = record["passed"]
    faults = sum(len(tile["lvs"]["faults"]) for tile in record["tiles"])
    verdict = Verdict(
        state="pass" if good else "fail", word="PASS" if good else "FAIL",
        text=f"KLayout's netlist of every drawing matches its CDL netlist ({SCOPE}); every design "
        "was read back."
        if good else f"{faults} faults in the drawings.",
    )  # fmt: skip
    sections = [
        Section(title="Wires: assumed and drawn", items=[_wires(record), *_effect(record)]),
        *(_tile(k, tile, record, folder) for k, tile in enumerate(record["tiles"])),
        Section(title="Files", items=[_files(record)]),
    ]
    card = record.get("calibration")
    return page("Tapeout", sections, path, verdict=verdict,
                subtitle=f"Calibrated: {card}" if card else "")  # fmt: skip


def _wires(record: dict[str, Any]) -> Table:
    wires = record["wires"]
    rows = [
        (words, f"{wires['assumed'][name]:.4g} ohm", f"{wires['drawn'][name]:.4g} ohm")
        for name, words in _WIRES.items()
    ]
    caption = f"Resistances; drawn: extracted, technology {record['technology']['name']}"
    return Table(caption=caption, head=("wire", "assumed", "drawn"), rows=rows)


def _effect(record: dict[str, Any]) -> list[Item]:
    effect = record["effect_of_drawn_wires"]
    shares = [("agrees with software", effect["agreement_with_software"])]
    if effect["accuracy"] is not None:
        shares.insert(0, ("accuracy", effect["accuracy"]))
    rows = [
        (words, f"{100 * s['assumed']:.2f} %", f"{100 * s['drawn']:.2f} %",
         f"{100 * (s['drawn'] - s['assumed']):+.2f} points")
        for words, s in shares
    ]  # fmt: skip
    table = Table(
        caption=f"The network on {effect['points']} points", rows=rows,
        head=("", "assumed wires", "drawn wires", "change"),
    )  # fmt: skip
    words = (
        f"{effect['predictions_changed']} of {effect['points']} decisions change; the largest "
        f"change of an output is {effect['largest_logit_change']:.3g}, the largest output "
        f"{effect['largest_logit']:.3g}."
    )
    return [table, Text(text=words)]


def _tile(k: int, tile: dict[str, Any], record: dict[str, Any], folder: Path) -> Section:
    lvs = tile["lvs"]
    rows, cols = tile["shape"]
    figures = [
        ("layout and netlist", f"{'PASS' if lvs['clean'] else 'FAIL'} ({SCOPE})"),
        ("devices", str(lvs["devices"])),
        ("wire segments and leads", str(lvs["segments"])),
        ("sha256 of G", tile["G_sha256"][:16]),
    ]
    items: list[Item] = [Table(caption="Extracted", head=("quantity", "value"), rows=figures)]
    if lvs["faults"]:
        found = [(f["kind"], f["place"], _um(f["x_um"]), _um(f["y_um"])) for f in lvs["faults"]]
        head = ("fault", "place", "x, um", "y, um")
        items.append(Table(caption="Faults", head=head, rows=found, left=(0, 1)))
    drawn = folder / "layout" / f"tile_{k}.oas"
    if rows * cols <= layout.LARGEST_PICTURE:
        technology = Technology.model_validate(record["technology"])
        figure = layout.figure(layout.read(drawn), technology)
        name = f"Layout of tile {k}: {rows} word lines, {cols} bit lines"
        items.append(Plot(figure=figure, alt=name, caption=f"{name}, from {drawn.name}."))
    return Section(title=f"Tile {k} ({rows} x {cols})", items=items)


def _um(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _files(record: dict[str, Any]) -> Table:
    rows = [(f["file"], f["kind"], f["sha256"][:16]) for f in record["files"]]
    return Table(
        caption=f"{len(rows)} files; xbarspice tapeout FOLDER --check finds any that change",
        head=("file", "kind", "sha256"), rows=rows, left=(0, 1, 2), collapse=True,
    )  # fmt: skip
