"""JUnit XML: one test case a gate, so that any CI shows a broken gate by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

__all__ = ["junit"]


def junit(record: Mapping[str, Any], classname: str) -> str:
    """JUnit XML of a stored record; value and limit are properties, with all their digits.

    Args:
        record: with `gates`, and as far as known `title`, `seconds`, `calibration`, `findings`.
        classname: of every case, for example "xbarspice.verify".
    """
    gates = record.get("gates") or []
    failures = sum(not gate["passed"] for gate in gates)
    seconds = sum(v for v in (record.get("seconds") or {}).values() if math.isfinite(v))
    counts = {
        "name": _clean(record.get("title") or "xbarspice"),
        "tests": str(len(gates)),
        "failures": str(failures),
        "errors": "0",
        "time": f"{seconds:.3f}",
    }
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", {**counts, "skipped": "0"})
    if card := record.get("calibration"):
        about = ET.SubElement(suite, "properties")
        ET.SubElement(about, "property", {"name": "calibration", "value": _clean(card)})
    for gate in gates:
        attributes = {"classname": classname, "name": _clean(gate["name"]), "time": "0"}
        case = ET.SubElement(suite, "testcase", attributes)
        properties = ET.SubElement(case, "properties")
        for name in ("value", "limit", "allowance"):
            if name in gate:
                ET.SubElement(properties, "property", {"name": name, "value": repr(gate[name])})
        if gate.get("unit"):
            ET.SubElement(properties, "property", {"name": "unit", "value": gate["unit"]})
        if not gate["passed"]:
            message = f"value {gate['value']!r} exceeds the limit {gate['limit']!r}"
            if gate.get("allowance"):
                message += f" by more than the error bounds {gate['allowance']!r}"
            failure = ET.SubElement(case, "failure", {"message": message, "type": "gate"})
            failure.text = _clean(f"{gate['name']}: {message}")
    if findings := record.get("findings"):
        lines = [f"{f['kind']} ({f['where']}): {f['text']} {f['remedy']}" for f in findings]
        ET.SubElement(suite, "system-out").text = _clean("\n".join(lines))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 forbids."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", " ", str(text))
