"""What `xbarspice verify` does with a model or an array: open, verify, leave a run folder."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.cli import models, screens
from xbarspice.cli.doctor import environment
from xbarspice.cli.interrupts import resumable
from xbarspice.cli.runs import run_folder
from xbarspice.cli.settings import run_toml
from xbarspice.config import RunConfig
from xbarspice.core.counts import counted

if TYPE_CHECKING:
    from xbarspice.config.card_use import Use
    from xbarspice.core.array import Crossbar
    from xbarspice.core.types import Array
    from xbarspice.deployment.opening import Circuit
    from xbarspice.training.data import Split
    from xbarspice.training.train import Trained
    from xbarspice.verification import Verification

__all__ = [
    "ARRAY_READS",
    "RANDOM",
    "demonstrate",
    "model_reads",
    "verify_array_file",
    "verify_model",
]

RANDOM = 50
"""Random inputs of a perceptron or an array that came with none."""
JUDGED = ("engines", "reference", "gates", "verify.t_read", "verify.trust_error")
SEARCHED = ("verify.starts", "verify.steps", "verify.rounds")
BOX = ("verify.low", "verify.high")
DEMO_READS = ("seed", "data", "train", "mapping", "array", *JUDGED)
"""Settings of the demo."""
ARRAY_READS = ("seed", "mapping.V_read", "array", *JUDGED)
"""Settings that an array is verified with."""


def model_reads(path: Path, *, calibrated: bool, more: bool, worst_case: bool) -> tuple[str, ...]:
    """Settings that a model or deployment is verified with, by the options of the command."""
    box = BOX if more or worst_case else ()
    placing = models.reads_of(path, calibrated=calibrated)
    return ("seed", *placing, *JUDGED, *box, *(SEARCHED if worst_case else ()))


def verify_model(
    path: Path,
    out: Path,
    inputs: Path | None,
    run: RunConfig,
    options: dict[str, Any],
    *,
    random: int | None,
    worst_case: bool,
    factory: str | None,
    activation: str | None,
    calibration: Path | None,
    json: bool,
) -> dict[str, Any]:
    """Run `xb.verify` on a model or deployment and leave its run folder.

    Args:
        options: further arguments of `xb.verify`.

    Returns:
        The record of the verification.
    """
    from xbarspice.deployment import refuse_old
    from xbarspice.deployment.opening import open_model
    from xbarspice.deployment.settings import circuit_settings
    from xbarspice.verification import Search, verify

    refuse_old(path)
    search = Search(**run.verify.model_dump(include=set(Search.__dataclass_fields__)))
    options |= _judging(run) | {"worst_case": search if worst_case else False}
    if "engines" not in run.model_fields_set:
        options["engines"] = ("surrogate",)
    drawn = {"random": random or RANDOM, "more": (random or 0) if inputs is not None else 0}
    work = options.get("folder")
    kept = nullcontext() if work is None else resumable(work / "tiles.h5")
    with kept, run_folder(out) as folder:
        with screens.waiting("reading the model", quiet=json):
            opened = open_model(
                path, inputs, run, factory, activation, calibration=calibration, **drawn
            )
        expected, source = opened.expected()
        with screens.stages_progress(quiet=json) as report:
            result = verify(
                opened.circuit,
                opened.arguments,
                opened.y,
                expected=expected,
                expected_source=source,
                title=f"{path.name} on passive arrays",
                progress=report,
                **options,
            )
        values = circuit_settings(opened.circuit, run)
        about = _about(run, options["engines"], values, opened.notes)
        _save(result, folder, about)
    return result.record() | about


def _judging(run: RunConfig) -> dict[str, Any]:
    """Arguments of every verification that the configuration states."""
    return {
        "engines": run.engines,
        "reference": run.reference,
        "gates": run.gates,
        "t_read": run.verify.t_read,
        "trust_error": run.verify.trust_error,
        "seed": run.seed,
    }


def _save(result: Verification, folder: Path, about: dict[str, Any]) -> None:
    """The report, and the configuration that makes it again."""
    result.save(folder, about)
    (folder / "run.toml").write_text(run_toml(about["config"]), encoding="utf-8")


def verify_array_file(
    path: Path,
    out: Path,
    run: RunConfig,
    random: int | None,
    calibration: Path | None,
    json: bool,
) -> dict[str, Any]:
    """Run `xb.verify_array` on an array file and leave its run folder; returns the record."""
    from xbarspice.config.arrays import array_settings, with_stated_array
    from xbarspice.deployment.cards import card_in_file, card_text_of, card_to_keep
    from xbarspice.verification.array import verify_array
    from xbarspice.verification.array_file import load_array

    with run_folder(out) as folder:
        file = load_array(path, run.array.arguments())
        crossbar = with_stated_array(file.crossbar, run)
        drawn = RANDOM if random is None and file.V_in is None else random or 0
        with screens.stages_progress(quiet=json) as report:
            result = verify_array(
                crossbar,
                file.V_in,
                file.V_out,
                I_out=file.I_out,
                random=drawn,
                V_read=run.mapping.V_read,
                title=f"The array of {path.name}",
                progress=report,
                **_judging(run),
            )
        values = {"mapping": {"V_read": run.mapping.V_read}, "array": array_settings((crossbar,))}
        about = _about(run, run.engines, values, (), _use_of_array(crossbar, file.V_in))
        card = card_text_of(card_to_keep(run, calibration, card_in_file(path)))
        result.save(folder, about, card)
        (folder / "run.toml").write_text(run_toml(about["config"]), encoding="utf-8")
    return result.record() | about


def _use_of_array(crossbar: Crossbar, V_in: Array | None) -> Use:
    """Conductances of an array, and its inputs where the file has any."""
    from xbarspice.config.card_use import Use, range_of

    covered = range_of(V=V_in, G=crossbar.G)
    return Use(V=covered.of("V"), G=covered.of("G"))


def demonstrate(out: Path, run: RunConfig, json: bool) -> dict[str, Any]:
    """Train the half-moons perceptron, put it on arrays, verify it; returns the record.

    The run folder holds network.npz, points.npz (the test points), net.h5 (the deployment) and
    netlists/ (a deck a read of an array, with every test point) beside the report.
    """
    from xbarspice import deployment
    from xbarspice.cli import steps
    from xbarspice.deployment.settings import circuit_settings, state_ranges
    from xbarspice.importers import perceptron
    from xbarspice.importers.perceptron_model import perceptron_module
    from xbarspice.nn import convert
    from xbarspice.nn.origin import arguments_of
    from xbarspice.training import data
    from xbarspice.training import train as training
    from xbarspice.verification import verify

    split = data.half_moons(run.data)
    with run_folder(out) as folder:
        with screens.progress("training", quiet=json) as report:
            trained = training.train_perceptron(split, run.train, seed=run.seed, progress=report)
        perceptron.save(folder / "network.npz", trained.network)
        steps.save_points(folder / "points.npz", split)
        model = perceptron_module(trained.network)
        points = arguments_of(model, split.x_test)
        circuit = convert(model, run.layer_configs(), calibrate=points, seed=run.seed)
        state_ranges(circuit, points, run)
        with screens.waiting("writing the netlists", quiet=json):
            deployment.save(folder / "net.h5", circuit)
            decks = _write_decks(circuit, points, folder / "netlists")
        with screens.stages_progress(quiet=json) as progress:
            result = verify(
                circuit,
                split.x_test,
                split.y_test,
                title=_subject(circuit),
                progress=progress,
                **_judging(run),
            )
        notes = _notes_of_demo(trained, split, decks)
        about = _about(run, run.engines, circuit_settings(circuit, run), notes)
        about["config"] |= {"data": run.data.model_dump(), "train": run.train.model_dump()}
        _save(result, folder, about)
    return result.record() | about


def _notes_of_demo(trained: Trained, split: Split, decks: list[str]) -> tuple[str, ...]:
    """What the network is, and how its decks are run by hand."""
    from xbarspice.report.units import percent

    return (
        f"The network {'-'.join(map(str, trained.network.sizes))} was trained on "
        f"{counted(len(split.x_train), 'point')} in {counted(trained.epochs, 'epoch')}; as "
        "software it is right for "
        f"{percent(trained.accuracy_test)} of the {len(split.x_test)} test points.",
        f"{len(decks)} decks in netlists/ hold every read of every array with all test points; "
        f"each runs by hand: ngspice -b {decks[0]}.",
    )


def _subject(circuit: Circuit) -> str:
    """How many arrays of which size and device the demo stands on."""
    from xbarspice.nn import arrays

    physical = arrays(circuit)
    first = physical[0].crossbar
    sizes = {f"{a.crossbar.rows}x{a.crossbar.cols}" for a in physical}
    count = "one" if len(physical) == 1 else str(len(physical))
    plural = "" if len(physical) == 1 else "s"
    return f"Half moons on {count} {', '.join(sorted(sizes))} {first.device.name} crossbar{plural}"


def _write_decks(circuit: Circuit, points: tuple[Any, ...], folder: Path) -> list[str]:
    """A deck of every read of every array, driven as by these inputs; their names."""
    from xbarspice import netlist
    from xbarspice.nn import tiles
    from xbarspice.verification.tiles import record_drives

    drives, _ = record_drives(circuit, points, len(points[0]), 0)
    folder.mkdir()
    names = []
    for number, tile in enumerate(tiles(circuit)):
        text = netlist.write(tile.crossbar, *tile.drive(drives.of(tile)))
        names.append(f"netlists/read{number}_of_{tile.array.replace('+', '_')}.cir")
        (folder.parent / names[-1]).write_text(text, encoding="utf-8")
    return names


def _about(
    run: RunConfig,
    engines: tuple[str, ...],
    placing: dict[str, Any],
    notes: tuple[str, ...],
    use: Use | None = None,
) -> dict[str, Any]:
    """Settings that were read (mapping and array as the solved objects have them), and versions."""
    from xbarspice.cli.steps import name_card

    card = run.calibration
    values = {
        "seed": run.seed,
        **placing,
        "engines": list(engines),
        "reference": run.reference,
        "gates": run.gates.model_dump(),
        "verify": run.verify.model_dump(exclude_none=True),
    }
    about: dict[str, Any] = {"config": values, "environment": environment(), "notes": list(notes)}
    if card is not None:
        values["calibration"] = card.model_dump(mode="json")
    return name_card(about, run, use=use)
