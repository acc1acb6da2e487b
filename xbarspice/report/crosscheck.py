"""The report of a cross-check: HTML, Markdown and JUnit XML from one stored run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xbarspice.report.content import Item, Section, Text
from xbarspice.report.junit import junit
from xbarspice.report.page import html, markdown, write_files
from xbarspice.report.records import Run, load
from xbarspice.report.tables import (
    config_section,
    environment_section,
    gate_items,
    line_section,
    repeat_section,
    summary_section,
    verdict,
    worst_section,
)
from xbarspice.report.verification import findings_section, ideal_section, input_section

__all__ = ["write"]


def write(folder: Path) -> dict[str, Path]:
    """Draw `report.html`, `report.md` and `junit.xml` from a run's stored records.

    Nothing is solved again. The files appear when all three are complete, or not at all.

    Args:
        folder: a finished run with `report.json` (`CrossCheck.record` and, as far as known, title,
            xbarspice, config, environment, network, arrays, training, netlists, seconds, command)
            and `results.h5` (`results_tree`, perhaps with `boundary`).

    Returns:
        The three paths by "html", "md" and "junit".

    Raises:
        InputError: there is no record. StoreError: a file is damaged or cannot be written.
    """
    folder = Path(folder)
    run = load(folder)
    title = str(run.record.get("title") or "Cross-check")
    head: dict[str, Any] = {"verdict": verdict(run.record), "subtitle": _subtitle(run.record)}
    sections = _sections(run)
    paths = {k: folder / name for k, name in _NAMES.items()}
    texts = {
        "html": html(title, sections, **head),
        "md": markdown(title, sections, **head),
        "junit": junit(run.record),
    }
    write_files({paths[k]: text for k, text in texts.items()})
    return paths


_NAMES = {"html": "report.html", "md": "report.md", "junit": "junit.xml"}


def _subtitle(record: dict[str, Any]) -> str:
    sizes = (record.get("network") or {}).get("sizes") or []
    parts = [
        f"{'-'.join(str(n) for n in sizes)} network" if sizes else "",
        f"{record['points']} inputs" if record.get("points") is not None else "",
        f"reference {record['reference']}" if record.get("reference") else "",
        f"xbarspice {record['xbarspice']}" if record.get("xbarspice") else "",
        f"calibrated: {record['calibration']}" if record.get("calibration") else "",
    ]
    return ", ".join(p for p in parts if p)


def _sections(run: Run) -> list[Section]:
    gates = gate_items(run.record)
    found = [
        Section(title="Gates", items=gates) if gates else None,
        findings_section(run.record),
        summary_section(run.record),
        ideal_section(run.record),
        line_section(run.record),
        worst_section(run),
        input_section(run.record),
        Section(title="Plots", items=_plots(run)),
        config_section(run.record),
        environment_section(run.record),
        repeat_section(run.record),
    ]
    return [section for section in found if section is not None]


def _plots(run: Run) -> list[Item]:
    # Loaded here: matplotlib takes a second, and reading a record should not.
    from xbarspice.report.figures import network_plots

    if not run.tree:
        return [
            Text(
                text="There is no results.h5 in the run folder, so nothing can be plotted.",
                note=True,
            )
        ]
    return [*network_plots(run)] or [
        Text(text="results.h5 holds no currents or voltages to plot.", note=True)
    ]
