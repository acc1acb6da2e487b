"""The physical arrays of a model, written device by device, and the model on what was reached."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import nn

from xbarspice import campaign, devices
from xbarspice.campaign.choice import choose_workers
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import EngineError, broken_rule
from xbarspice.devices import DynamicDevice
from xbarspice.devices.dynamic import writable
from xbarspice.nn import (
    PhysicalArray,
    arrays,
    copy_circuit,
    exact_products,
    put_conductances,
    through,
)
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.origin import decisions_of, outputs_of
from xbarspice.programming.plans import unwritten
from xbarspice.programming.ranges import SHARES, round_range, writable_range
from xbarspice.programming.results import Programmed, Pulses
from xbarspice.programming.write_verify import check, program

__all__ = [
    "Blank",
    "Written",
    "blank_arrays",
    "compare",
    "held_range",
    "put_written",
    "with_devices",
    "write_arrays",
]

WORTH_A_POOL = 2
"""Arrays from which on several processes are used."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Blank:
    """An array before it is programmed.

    Attributes:
        name: of the physical array.
        crossbar: wires, dynamic device and the conductances before, S.
        target: wanted conductances, S, (rows, cols); 0 for no device.
    """

    name: str
    crossbar: Crossbar
    target: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """An array after it was programmed.

    Attributes:
        blank: what it was.
        run: what was reached; its `moved` is left out.
        moving: flat index of the device whose writes moved all others most; -1 if none was wanted.
        victims: change of every device while that one was written, S, (rows, cols).
    """

    blank: Blank
    run: Programmed
    moving: int
    victims: np.ndarray


def with_devices(
    circuit: nn.Module, device: str | None, G_min: float | None, G_max: float | None
) -> Any:
    """A copy of a converted model on other devices, or in another conductance range.

    Ranges of converters follow the conductance range.
    """
    out = copy_circuit(circuit)
    for matrix in matrices_of(out):
        old = matrix.config
        low, high = old.G_min if G_min is None else G_min, old.G_max if G_max is None else G_max
        changes: dict[str, Any] = {"G_min": low, "G_max": high}
        if device is not None:
            changes["device"] = devices.get(device)
        if old.adc_range is not None and high > low:
            changes["adc_range"] = old.adc_range * (high - low) / (old.G_max - old.G_min)
        matrix.config = dataclasses.replace(old, **changes)
    return out


def choose_arrays(circuit: nn.Module, names: Sequence[str]) -> list[PhysicalArray]:
    """The named physical arrays of a model, or all.

    Raises:
        InputError: it has no array of that name.
    """
    by_name = {array.name: array for array in arrays(circuit)}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise broken_rule(
            "--array must name arrays of the model",
            unknown,
            f"Its arrays are {list(by_name)[:10]}.",
        )
    return [by_name[name] for name in dict.fromkeys(names)] if names else list(by_name.values())


def blank_arrays(
    circuit: nn.Module, names: Sequence[str], start: float | None, pulses: Pulses, scheme: str
) -> list[Blank]:
    """The arrays before programming.

    Args:
        circuit: a converted model on devices with a state.
        names: of its physical arrays; none for all.
        start: conductance before, S; None for the lowest of the device.
        pulses, scheme: of the procedure, for the remedy.

    Raises:
        InputError: a device cannot be written, or a target lies outside of its range.
    """
    return [_blank(array, start, pulses, scheme) for array in choose_arrays(circuit, names)]


def _blank(array: PhysicalArray, start: float | None, pulses: Pulses, scheme: str) -> Blank:
    crossbar = array.crossbar
    model = writable(crossbar.device, purpose="programmed arrays")
    low, high = model.G_range()
    G = crossbar.G[crossbar.G > 0]
    if G.size and (G.min() < low * (1 - 1e-9) or G.max() > high * (1 + 1e-9)):
        width = high - low
        held = held_range(crossbar, pulses, scheme)
        a, b = round_range(held or (low + 0.05 * width, high - 0.15 * width))
        why = f" (finished devices hold still there under {scheme})" if held else ""
        raise broken_rule(
            f"targets of {model.name} must lie in {low * 1e6:.4g} to {high * 1e6:.4g} uS",
            f"{G.min() * 1e6:.4g} to {G.max() * 1e6:.4g} uS in {array.name}",
            "Put the model into that range, for example "
            f"--set mapping.G_min={1e6 * a:.0f}e-6 --set mapping.G_max={1e6 * b:.0f}e-6{why}.",
        )
    return Blank(name=array.name, crossbar=unwritten(crossbar, start), target=crossbar.G)


def held_range(crossbar: Crossbar, pulses: Pulses, scheme: str) -> tuple[float, float] | None:
    """Range in which finished devices hold still, S, if the scheme exists and one was found."""
    model = cast("DynamicDevice", crossbar.device)
    shape = (crossbar.rows, crossbar.cols)
    return writable_range(model, pulses, scheme, shape) if scheme in SHARES else None


def program_item(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Write one array: an item of a campaign.

    Args:
        parameters: crossbar, target, pulses, label, and options of `programming.program`.

    Returns:
        Every field of `Programmed` but `moved`; instead ``moving`` and ``victims`` of `Written`.
    """
    options = dict(parameters)
    crossbar, target, _ = (options.pop(name) for name in ("crossbar", "target", "label"))
    run = program(crossbar, target, **options)
    out = {f.name: getattr(run, f.name) for f in fields(run) if f.name != "moved"}
    if not run.order.size:
        return {**out, "moving": -1, "victims": np.zeros_like(run.G)}
    shifts = abs(run.moved).reshape(run.order.size, -1).astype(np.float64)
    shifts[np.arange(run.order.size), run.order] = 0.0
    worst = int(shifts.sum(axis=1).argmax())
    victims = run.moved[worst].astype(np.float64)
    return {**out, "moving": int(run.order[worst]), "victims": victims}


def write_arrays(
    blanks: Sequence[Blank],
    path: Path,
    *,
    pulses: Pulses,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda count, total: None,
    **options: Any,
) -> list[Written]:
    """Write arrays by write-verify, as a campaign that goes on where it was stopped.

    Args:
        blanks: the arrays.
        path: campaign file, ``.h5``; results in it are taken.
        pulses: the procedure.
        workers: processes on this machine, 0 for none; None for one a core, or for none in a script
            without ``if __name__ == "__main__":``, which processes would run again.
        progress: called with (arrays done, arrays in all).
        options: scheme, order, passes, compensate of `programming.program`.

    Raises:
        InputError: an argument breaks a rule; before any work.
        EngineError: an array could not be programmed; says which and why.
        KeyboardInterrupt: after the results so far were kept.
    """
    for blank in blanks:
        check(blank.crossbar, blank.target, pulses=pulses, **options)
    items = [
        {
            "crossbar": blank.crossbar,
            "target": blank.target,
            "pulses": pulses,
            "label": blank.name,
            **options,
        }
        for blank in blanks
    ]
    campaign.run(
        items,
        program_item,
        path,
        resume=path.exists(),
        retry_failed=True,
        workers=choose_workers(workers, items=len(items), worth=WORTH_A_POOL),
        progress=lambda count, total: progress(count, total or len(items)),
    )
    results = campaign.load(path)
    out = []
    for blank, item in zip(blanks, items, strict=True):
        key = campaign.Item(item).key
        if key not in results:
            failure = results.failures[key]
            raise EngineError(f"array {blank.name}: {failure.error}: {failure.text}")
        out.append(_written(blank, results[key]))
    return out


def _written(blank: Blank, result: Mapping[str, Any]) -> Written:
    values = {f.name: result[f.name] for f in fields(Programmed) if f.name != "moved"}
    empty = np.zeros((0, *values["G"].shape), np.float32)
    run = Programmed(**values, moved=empty)
    return Written(blank=blank, run=run, moving=int(result["moving"]), victims=result["victims"])


def put_written(circuit: nn.Module, written: Sequence[Written]) -> Any:
    """A copy of a converted model whose arrays hold what was reached."""
    out = copy_circuit(circuit)
    put_conductances(out, {w.blank.name: w.run.G for w in written})
    return out


def compare(
    circuit: nn.Module, programmed: nn.Module, arguments: tuple[Any, ...], labels: Any, engine: str
) -> dict[str, Any]:
    """A model as wanted, and with devices as they are, through an engine.

    Args:
        circuit: as its weights ask for.
        programmed: the same with conductances that were put on it.
        arguments: of the model.
        labels: classes, (points,), or None.
        engine: who solves the arrays.

    Returns:
        engine; for "exact", "wanted" and "reached" the accuracy, None without labels; agreement of
        the decisions of reached and wanted, None of a model that does not classify; and the change
        of the outputs, rms over the largest.
    """
    with exact_products():
        exact = outputs_of(circuit, arguments)
    with through(engine):
        expected, reached = (outputs_of(c, arguments) for c in (circuit, programmed))
    decisions = [decisions_of(outputs, labels) for outputs in (exact, expected, reached)]
    accuracy = [
        None if d is None or labels is None else float(np.mean(d == np.asarray(labels)))
        for d in decisions
    ]
    squares = [
        ((b.double() - a.double()) / (float(a.abs().max()) or 1.0)).square().mean()
        for a, b in zip(expected, reached, strict=True)
    ]
    agreement = None
    if decisions[1] is not None and decisions[2] is not None:
        agreement = float(np.mean(decisions[1] == decisions[2]))
    return {
        "engine": engine,
        "accuracy": dict(zip(("exact", "wanted", "reached"), accuracy, strict=True)),
        "agreement": agreement,
        "output_change": float(np.sqrt(np.mean([float(s) for s in squares]))),
    }
