"""`xbarspice program`: write a mapped network into its passive arrays, pulse by pulse."""

from __future__ import annotations

import dataclasses
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from xbarspice.cli import screens
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Json,
    Mapped,
    RunFolder,
    Settings,
)
from xbarspice.cli.runs import run_folder
from xbarspice.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.array import Crossbar
    from xbarspice.config import RunConfig
    from xbarspice.devices import DynamicDevice
    from xbarspice.mapping import MappedNetwork
    from xbarspice.studies.program import Programmed, Pulses

__all__ = ["register"]

WIRES = ("R_wl", "R_bl", "R_driver", "R_sense")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: xbarspice program mapped.h5 --device o921c_4k --scheme V/3 "
        "--set mapping.G_min=60e-6 --set mapping.G_max=300e-6"
    )(program)


def program(
    mapped: Mapped,
    out: RunFolder = Path("runs/program"),
    scheme: Annotated[
        str, typer.Option(help="Unselected lines while writing: v/2, v/3 or floating.")
    ] = "v/2",
    order: Annotated[
        str, typer.Option(help="Order of writing: rows, size (largest first) or far (cells).")
    ] = "rows",
    device: Annotated[
        str | None, typer.Option(help="Dynamic model, such as o921c_4k; else that of the arrays.")
    ] = None,
    passes: Annotated[
        int, typer.Option(help="Times that each array is gone through; later ones repair.")
    ] = 1,
    pulse: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Pulse setting, e.g. limit_set=1.05; repeatable."),
    ] = None,
    start: Annotated[
        float | None, typer.Option(help="Conductance before, S; else the lowest of the device.")
    ] = None,
    compensate: Annotated[
        bool, typer.Option("--compensate", help="Judge reads by what the full array would read.")
    ] = False,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Program the arrays by write-verify, with sneak paths and half-select disturbance."""
    from xbarspice.cli import steps
    from xbarspice.report import programming_page
    from xbarspice.studies.program import program as study

    wires = tuple(f"array.{name}" for name in WIRES)
    device_read = () if device else ("array.device", "array.parameters")
    steps.need("matplotlib", "jinja2")
    placed = ("layout", "tile_rows", "tile_cols", "G_min", "G_max", "bias", "x_scale")
    reads = (*(f"mapping.{name}" for name in placed), *wires, *device_read)
    run = steps.configuration(config, settings, reads=reads, calibration=calibration, mapped=mapped)
    if device is not None:
        run = steps.overruled(run, "array.device")
    network = _network(mapped, run, activation)
    wanted = network.arrays
    options: dict[str, Any] = {"order": order, "passes": passes, "compensate": compensate}
    options |= {"scheme": scheme.upper() if scheme.lower() != "floating" else "floating"}
    procedure = _pulses(pulse or [])
    problems = [_blank(array, device, start, procedure, options["scheme"]) for array in wanted]
    blank = dataclasses.replace(network, arrays=tuple(problems))
    values = steps.solved(run, (*reads, "array"), blank)
    done: list[Programmed] = []
    with run_folder(out) as folder:
        with screens.progress("programming", quiet=json) as report:
            for crossbar, array in zip(problems, wanted, strict=True):
                report(len(done), len(wanted))
                done.append(study(crossbar, array.G, pulses=procedure, **options))
            report(len(done), len(wanted))
        record = steps.named(_record(mapped, problems, done, options, procedure), run)
        with screens.waiting("writing the report", quiet=json):
            _write(folder, values, problems, done, record)
            programming_page.write(record, done, folder / "report.html")
    screens.show(record if json else steps.named(_short(record, out), run), json, "Programmed")


def _network(path: Path, run: RunConfig, activation: str | None) -> MappedNetwork:
    """The network with its wanted conductances.

    A mapped network is written into the stated conductance range: the one value of `[mapping]` that
    can be changed without mapping again.
    """
    from xbarspice.cli import steps
    from xbarspice.mapping import with_range

    if path.suffix != ".h5":
        return steps.mapped_network(path, run, activation)
    stated = run.mapping.model_fields_set & {"G_min", "G_max"}
    rest = run.mapping.model_copy()
    rest.model_fields_set.difference_update(stated)
    network = steps.mapped_network(path, run.model_copy(update={"mapping": rest}), activation)
    low, high = (
        getattr(run.mapping if name in stated else network, name) for name in ("G_min", "G_max")
    )
    if not low < high:
        raise broken_rule(
            "G_min must be smaller than G_max", f"{low:g} and {high:g} S", "Set both."
        )
    return with_range(network, low, high) if stated else network


def _blank(
    array: Crossbar, device: str | None, start: float | None, pulses: Pulses, scheme: str
) -> Crossbar:
    """The array before programming; refuses devices and targets that cannot be written."""
    from xbarspice import devices
    from xbarspice.devices import DynamicDevice
    from xbarspice.report.units import rounded_range

    model = array.device if device is None else devices.get(device)
    if not isinstance(model, DynamicDevice):
        raise broken_rule(
            "only a device with a state can be programmed", model.name,
            "Choose a dynamic model, for example --device o921c_4k or --device nili_pulse.",
        )  # fmt: skip
    model.refuse_writing()
    low, high = model.G_range()
    G = array.G[array.G > 0]
    if G.size and (G.min() < low * (1 - 1e-9) or G.max() > high * (1 + 1e-9)):
        width = high - low
        held = _held(model, pulses, scheme, array)
        a, b = rounded_range(held or (low + 0.05 * width, high - 0.15 * width))
        why = f" (finished devices hold still there under {scheme})" if held else ""
        raise broken_rule(
            f"targets of {model.name} must lie in {low * 1e6:.4g} to {high * 1e6:.4g} uS",
            f"{G.min() * 1e6:.4g} to {G.max() * 1e6:.4g} uS",
            "Map the network into that range, for example "
            f"--set mapping.G_min={1e6 * a:.0f}e-6 --set mapping.G_max={1e6 * b:.0f}e-6{why}.",
        )
    before = low if start is None else start
    return array.replace(G=before * (array.G > 0), device=model)


def _held(
    model: DynamicDevice, pulses: Pulses, scheme: str, array: Crossbar
) -> tuple[float, float] | None:
    """Range in which finished devices hold still, S, if the scheme exists and one was found."""
    from xbarspice.studies.program_range import SHARES, writable_range

    return (
        writable_range(model, pulses, scheme, (array.rows, array.cols))
        if scheme in SHARES
        else None
    )


def _pulses(texts: list[str]) -> Pulses:
    from xbarspice.studies.program import Pulses

    kinds = {f.name: type(f.default) for f in fields(Pulses)}
    values: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            values[name] = kinds[name](value)
        except (KeyError, ValueError):
            raise broken_rule(
                f"a pulse setting must read NAME=VALUE with a name of {', '.join(kinds)}",
                repr(text), "For example --pulse limit_set=1.05.",
            ) from None  # fmt: skip
    return Pulses(**values)


def _record(
    path: Path, problems: list[Crossbar], done: list[Programmed], options: dict[str, Any],
    pulses: Pulses,
) -> dict[str, Any]:  # fmt: skip
    import xbarspice
    from xbarspice.studies.drift import beside_measured

    arrays, sizes = [], [int(run.wanted.sum()) for run in done]
    for crossbar, run in zip(problems, done, strict=True):
        model = cast("DynamicDevice", crossbar.device)
        arrays.append(
            {
                "shape": [crossbar.rows, crossbar.cols], "device": crossbar.device.name,
                **{name: getattr(crossbar, name) for name in WIRES},
                "left_within_tolerance": _share_left(run),
                "targets_S": [float(run.target[run.wanted].min()), float(run.target.max())],
                "held_S": _held(model, pulses, options["scheme"], crossbar),
                **run.summary(), "drift": beside_measured(run),
            }
        )  # fmt: skip

    def mean(name: str) -> float:
        return sum(a[name] * n for a, n in zip(arrays, sizes, strict=True)) / sum(sizes)

    return {
        "xbarspice": xbarspice.__version__,
        "title": f"Programming of {path.name} by {options['scheme']}",
        **options,
        "pulses": {f.name: getattr(pulses, f.name) for f in fields(pulses)},
        "devices": sum(sizes),
        "tolerance": pulses.tolerance,
        "within_tolerance": mean("yield"),
        "left_within_tolerance": mean("left_within_tolerance"),
        "mean_pulses": mean("mean_pulses"),
        "gave_up": sum(a["gave_up"] for a in arrays),
        "seconds": sum(a["seconds"] for a in arrays),
        "energy_J": sum(a["energy_J"] for a in arrays),
        "arrays": arrays,
    }


def _share_left(run: Programmed) -> float:
    """Devices whose true conductance was within the tolerance when they were left."""
    wanted = run.wanted
    error = abs(run.finished[wanted] / run.target[wanted] - 1.0)
    return float((error <= run.tolerance).mean())


def _write(
    folder: Path, values: dict[str, Any], problems: list[Crossbar], done: list[Programmed],
    record: dict[str, Any],
) -> None:  # fmt: skip
    from xbarspice import store
    from xbarspice.cli import steps

    tree = {}
    for k, (crossbar, answer) in enumerate(zip(problems, done, strict=True)):
        numbers = {f.name: getattr(answer, f.name) for f in fields(answer)}
        maps = {"error": answer.error, "disturb": answer.disturb}
        tree[str(k)] = {**numbers, **maps, "crossbar": store.crossbar_to_tree(crossbar)}
    store.write_tree(folder / "program.h5", {"arrays": tree}, "programming")
    (folder / "run.toml").write_text(steps.run_toml(values), encoding="utf-8")
    (folder / "report.json").write_text(steps.to_json(record), encoding="utf-8")


def _short(record: dict[str, Any], out: Path) -> dict[str, Any]:
    from xbarspice.report.programming_page import ranges
    from xbarspice.report.units import si

    tolerance = f"within {100 * record['tolerance']:g} %"
    drift = [
        f"{k}: {name} {si(values['mean_S'], 'S', 3)} +- {si(values['std_S'], 'S', 3)}"
        for k, array in enumerate(record["arrays"])
        for name, values in array["drift"].items()
    ]
    return {
        "devices": record["devices"],
        f"{tolerance} at the end (yield)": f"{100 * record['within_tolerance']:.1f} %",
        f"{tolerance} when left": f"{100 * record['left_within_tolerance']:.1f} %",
        "given up (read outside the tolerance)": f"{record['gave_up']:.0f}",
        "mean pulses a device": record["mean_pulses"],
        "time on the tester": si(record["seconds"], "s", 3),
        "energy": si(record["energy_J"], "J", 3),
        "drift of finished devices, array": drift,
        "targets, array": [f"{k}: {ranges(a)}" for k, a in enumerate(record["arrays"])],
        "report": str(out / "report.html"),
    }
