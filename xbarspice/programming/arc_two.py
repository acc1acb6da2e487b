"""Program one array with an ArC TWO, device by device, as its plan says.

    python arc_two.py plan.json FIRMWARE [--log log.csv] [--dry]

It needs pyarc2 (PyPI, checked against version 0.6.0) and nothing else of this project. Every device
is ramped by write-verify until its bit-line current is the one that the plan expects at this step;
one row a step goes to the log, and one a device when all are written. Compare it with the plan:

    xbarspice program plan.json --log log.csv

The instrument has no current limit for its fast pulses: `compliance_A` of the plan is not enforced.
With --dry nothing is connected; the plan is checked and the first pulse of each kind is shown.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

CHANNELS, CLUSTER = 64, 8
"""Channels of the instrument; those of one cluster share the timing of a pulse."""
LOG = ("step", "row", "col", "phase", "pulses", "last_pulse_V", "measured_A")


def load_plan(path: Path) -> dict[str, Any]:
    """The plan, with the channels of all lines under "WL" and "BL"; exits if it cannot be run."""
    plan = json.loads(path.read_text(encoding="utf-8"))
    channels = {
        kind: [line["channel"] for line in plan["lines"] if line["line"].startswith(kind)]
        for kind in ("WL", "BL")
    }
    every = channels["WL"] + channels["BL"]
    if plan["pulses"] is None:
        sys.exit("the plan has no pulses: its device model cannot be written")
    if plan["scheme"] not in ("V/2", "V/3") or plan["pulses"]["read"] != "grounded":
        sys.exit("schemes are V/2 and V/3 here, and reads are those with all other lines at 0 V")
    if max(every) >= CHANNELS or len(set(every)) != len(every):
        sys.exit(f"channels must be different and below {CHANNELS}; the plan has {every}")
    return plan | channels


def read_voltages(plan: dict[str, Any], step: dict[str, Any]) -> list[tuple[int, float]]:
    """(channel, V) of all lines for the read of a device."""
    lines = [(channel, 0.0) for channel in plan["WL"] + plan["BL"]]
    selected = plan["WL"][step["row"]]
    return [(c, plan["V_read_V"] if c == selected else V) for c, V in lines]


def pulse_voltages(
    plan: dict[str, Any], step: dict[str, Any], volts: float
) -> list[tuple[int, float]]:
    """(channel, V) of all lines for a pulse of `volts` from word to bit line of a device."""
    shares = plan["line_voltages"]
    out = []
    for lines, index, kind in (("WL", step["row"], "wl"), ("BL", step["col"], "bl")):
        for k, channel in enumerate(plan[lines]):
            share = shares[f"selected_{kind}" if k == index else f"other_{kind}"]
            out.append((channel, volts * share))
    return out


def read_current(arc: Any, plan: dict[str, Any], step: dict[str, Any]) -> float:
    """Size of the current of the device's bit line, A."""
    channel = plan["BL"][step["col"]]
    arc.connect_to_gnd([])
    arc.config_channels(read_voltages(plan, step), None)
    arc.execute()
    values = arc.read_slice_open([channel], False)
    return abs(float(values[channel] if len(values) > 1 else values[0]))


def apply_pulse(arc: Any, plan: dict[str, Any], step: dict[str, Any], volts: float) -> None:
    """One pulse with all lines at their shares; lines at 0 V are grounded."""
    lines = pulse_voltages(plan, step, volts)
    nanos = round(plan["pulses"]["width"] * 1e9)
    pulsed = [(channel, V, 0.0) for channel, V in lines if V != 0.0]
    used = {channel // CLUSTER for channel, _, _ in pulsed}
    timings = [nanos if k in used else None for k in range(CHANNELS // CLUSTER)]
    arc.connect_to_gnd([channel for channel, V in lines if V == 0.0])
    arc.pulse_slice_fast_open(pulsed, timings, True)
    arc.execute()
    arc.wait()


def write_device(arc: Any, plan: dict[str, Any], step: dict[str, Any]) -> tuple[int, float, float]:
    """Ramp one device to the current of its step; pulses, last pulse in V, last current in A."""
    pulses, expected, sign = plan["pulses"], step["I_step_A"], plan["set_sign"]
    size, direction, used, at_limit, volts = pulses["start"], 0.0, 0, 0, 0.0
    while True:
        current = read_current(arc, plan, step)
        last = used >= pulses["max_pulses"] or at_limit >= pulses["max_at_limit"]
        error = current / expected - 1.0
        if abs(error) <= plan["tolerance"] or last:
            return used, volts, current
        towards = 1.0 if error < 0 else -1.0
        limit = pulses["limit_set"] if towards > 0 else pulses["limit_reset"]
        size = min(size + pulses["step"], limit) if towards == direction else pulses["start"]
        at_limit = at_limit + 1 if size >= limit and towards == direction else 0
        direction, volts = towards, towards * sign * size
        apply_pulse(arc, plan, step, volts)
        used += 1


def program_array(arc: Any, plan: dict[str, Any], log: Any) -> None:
    """Write every device in the order of the plan, then read all of them once more."""
    rows = csv.DictWriter(log, LOG, lineterminator="\n")
    rows.writeheader()
    for step in plan["steps"]:
        used, volts, current = write_device(arc, plan, step)
        values = (step["step"], step["row"], step["col"], "step", used, volts, current)
        rows.writerow(dict(zip(LOG, values, strict=True)))
        log.flush()
    for step in plan["steps"]:
        current = read_current(arc, plan, step)
        values = (step["step"], step["row"], step["col"], "final", 0, 0.0, current)
        rows.writerow(dict(zip(LOG, values, strict=True)))


def show(plan: dict[str, Any]) -> None:
    """What would be done, in a few lines."""
    step = plan["steps"][0]
    sys.stdout.write(
        f"{len(plan['steps'])} devices, {plan['scheme']}, read at {plan['V_read_V']} V\n"
        f"first read (channel, V): {read_voltages(plan, step)}\n"
        f"first pulse (channel, V): {pulse_voltages(plan, step, step['first_pulse_V'])}\n"
    )


def main() -> None:
    """Parse the command line, connect, and program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("plan", type=Path)
    parser.add_argument("firmware", nargs="?")
    parser.add_argument("--log", type=Path, default=Path("log.csv"))
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()
    plan = load_plan(arguments.plan)
    if arguments.dry:
        show(plan)
        return
    if arguments.firmware is None:
        sys.exit("the firmware file of the instrument must be named")
    from pyarc2 import (  # pyright: ignore[reportMissingImports] - on the tester's machine
        IdleMode,
        Instrument,
        find_ids,
    )

    ports = find_ids()
    if not ports:
        sys.exit("no ArC TWO is connected")
    arc = Instrument(ports[0], arguments.firmware)
    try:
        with arguments.log.open("w", encoding="utf-8", newline="") as log:
            program_array(arc, plan, log)
    finally:
        arc.finalise_operation(IdleMode.SoftGnd)
        arc.wait()


if __name__ == "__main__":
    main()
