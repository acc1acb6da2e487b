"""`xbarspice verify`: judge engines on a mapped network or an array, with gates and a report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from xbarspice.cli import models, screens
from xbarspice.cli.options import (
    Activation,
    Calibration,
    Config,
    Factory,
    Inputs,
    Json,
    RunFolder,
    Seed,
    Settings,
)
from xbarspice.cli.runs import output_file, run_folder
from xbarspice.errors import EngineError, broken_rule

__all__ = ["JUDGED", "crosscheck", "register"]

JUDGED = ("gates", "verify.t_read", "verify.trust_error")
"""Settings that every cross-check reads."""

RANDOM = 50
"""Random inputs where none are asked for in any other way."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: xbarspice verify network.pt --activation relu --worst-case\n\n"
        "xbarspice verify array.npz --engine surrogate --engine nodal --reference pyspice"
    )(verify)


def verify(
    subject: Annotated[
        Path | None,
        typer.Argument(
            help="Deployment (.h5); model (.pt2, .onnx; weights with --model); mapped network "
            "(.h5), network to map (.npz, .pt); or one array: .npz or .h5 with G in S, and R_wl, "
            "R_bl, R_driver, R_sense, device, V_in, I_out as far as known."
        ),
    ] = None,
    out: RunFolder = Path("runs/verify"),
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            help="Engine to judge: surrogate, nodal, ngspice, pyspice, or a level (ideal, "
            "linear, float32); repeatable.",
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Engine to judge against (default: ngspice).")
    ] = None,
    inputs: Inputs = None,
    test_set: Annotated[
        bool, typer.Option("--test-set", help="Also the test points of the configured data.")
    ] = False,
    random: Annotated[
        int | None,
        typer.Option(help=f"Random inputs ({RANDOM} where no other inputs are asked for)."),
    ] = None,
    worst_case: Annotated[
        bool,
        typer.Option(
            "--worst-case",
            help="Also two inputs found by search: furthest from the ideal product, and where "
            "the engines differ most.",
        ),
    ] = False,
    map_: Annotated[
        bool,
        typer.Option(
            "--map",
            help="Instead: sweep \\[sweep] of the configuration and map where each surrogate level "
            "stays near ngspice; a stopped sweep goes on.",
        ),
    ] = False,
    map_out: Annotated[Path, typer.Option("--map-out", help="Trust map to write, .toml.")] = Path(
        "trust_map.toml"
    ),
    model: Factory = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Of a model: solve by the reference only so many arrays that a share of "
            "--bad-tiles bad ones is met with this confidence; all by default."
        ),
    ] = None,
    bad_tiles: Annotated[
        float | None, typer.Option("--bad-tiles", help="See --confidence; 0.001 by default.")
    ] = None,
    corners: Annotated[
        bool,
        typer.Option("--corners", help="Of a model: also at the corners; judged at the worst."),
    ] = False,
    work: Annotated[
        Path | None,
        typer.Option(help="Of a model: folder for the arrays' answers, to go on after a stop."),
    ] = None,
    activation: Activation = None,
    config: Config = None,
    calibration: Calibration = None,
    settings: Settings = None,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Cross-check engines on a model, a mapped network or an array; exit 1 if a gate fails."""
    from xbarspice.cli import steps

    steps.need("matplotlib", "jinja2")
    asked = {
        "--confidence": confidence is not None,
        "--bad-tiles": bad_tiles is not None,
        "--corners": corners,
        "--work": work is not None,
    }
    if not map_ and models.is_model(subject, model):
        _refuse(
            "a model on arrays",
            {
                "--test-set": test_set,
                "--random": random is not None,
                "--worst-case": worst_case,
            },
        )
        options = {
            "confidence": confidence,
            "corners": corners,
            "folder": work,
            **({} if bad_tiles is None else {"bad_tiles": bad_tiles}),
        }
        subject = Path() if subject is None else subject
        chosen: dict[str, Any] = {"engines": tuple(engine)} if engine else {}
        chosen |= {"reference": reference} if reference else {}
        mapping = () if models.is_deployment(subject) else models.MAPPED
        reads = ("seed", *mapping, "array", *(n for n in models.JUDGED if n not in chosen))
        run = steps.configuration(
            config, settings, reads=reads, calibration=calibration, seed=seed
        ).model_copy(update=chosen)
        record = models.verify_model(subject, out, inputs, run, model, activation, options, json)
        screens.verification(record, out, json)
        raise typer.Exit(0 if record["passed"] else 1)
    _refuse("a mapped network or an array", asked)
    file = None if map_ else subject
    chosen = {"engines": tuple(engine)} if engine else {}
    chosen |= {"reference": reference} if reference else {}
    read_random = random or (random is None and not (inputs or test_set))
    reads = _reads(map_, worst_case, test_set, chosen, bool(read_random), file)
    run = steps.configuration(
        config, settings, reads=reads, calibration=calibration, mapped=file, seed=seed
    ).model_copy(update=chosen)
    if map_:
        if calibration is not None:
            raise broken_rule(
                "the trust map sweeps wires and devices of its own, so a card has no place in it",
                str(calibration),
                "Set sweep.R_wire and sweep.devices around the card's values, or leave it out.",
            )  # fmt: skip
        _trust_map(run, map_out, json)
        return
    if subject is None:
        raise broken_rule(
            "verify needs a network or an array", "no file", "Name it: xbarspice verify mapped.h5"
        )
    mapped, file = _subject(subject, run, activation, calibration)
    with run_folder(out) as folder:
        points = _points(mapped, file, run, inputs, test_set, random)
        extra: dict[str, Any] = {"title": f"Cross-check of {subject.name}"}
        if worst_case:
            points = _with_worst(mapped, points, run, extra, json)
        record = crosscheck(
            folder, run, (*reads, *chosen), mapped, points.x, points.y, extra, json,
            origins=points.origin, I_out=None if file is None else file.I_out,
        )  # fmt: skip
    screens.crosscheck(record, out, json)
    raise typer.Exit(0 if record["passed"] else 1)


def _refuse(subject: str, asked: dict[str, bool]) -> None:
    """Refuse options that another kind of subject has."""
    names = [name for name, is_asked in asked.items() if is_asked]
    if names:
        raise broken_rule(
            f"{subject} is verified without {', '.join(asked)}", ", ".join(names), "Leave it out."
        )


def _reads(
    map_: bool, worst_case: bool, test_set: bool, chosen: dict[str, Any], random: bool,
    file: Path | None,
) -> tuple[str, ...]:  # fmt: skip
    """Settings that the command reads, by its options."""
    from xbarspice.cli.steps import TEST_SET
    from xbarspice.studies.verify.subject import is_array_file

    engines = tuple(name for name in ("engines", "reference") if name not in chosen)
    if map_:
        return ("seed", "sweep", "verify.trust_error", *engines[-1:])
    single = file is not None and file.is_file() and is_array_file(file)
    return (
        *(("seed",) if random or worst_case else ()),
        *(TEST_SET if test_set else ()),
        "mapping.V_read" if single else "mapping",
        "array",
        *engines,
        *JUDGED[:1],
        *(("verify",) if worst_case else JUDGED[1:]),
    )


def _trust_map(run: Any, path: Path, quiet: bool) -> None:
    """Sweep, write the map, and show the largest trusted size of every level."""
    import xbarspice
    from xbarspice.studies.verify.sweep import journal_of, sweep

    output_file(path, ".toml")
    try:
        with screens.progress("trust map", quiet=quiet) as report:
            found = sweep(
                run.sweep, path, seed=run.seed, reference=run.reference,
                version=xbarspice.__version__, progress=report,
            )  # fmt: skip
    except KeyboardInterrupt:
        screens.error(
            f"stopped by Ctrl-C; the finished points stand in {journal_of(path)}: "
            "the same command goes on from there"
        )
        raise typer.Exit(130) from None
    screens.trust_map(found, path, run.verify.trust_error, quiet)


def _subject(
    path: Path, run: Any, activation: str | None, calibration: Path | None
) -> tuple[Any, Any]:
    """The network on its arrays or the single array, and what came with the array's file."""
    from xbarspice.cli import steps
    from xbarspice.studies.verify.subject import is_array_file, load_array, single_array

    if is_array_file(path):
        file = load_array(path, run.array.arguments())
        crossbar = steps.with_stated_array(file.crossbar, run)
        return single_array(crossbar, V_read=run.mapping.V_read), file
    return steps.mapped_network(path, run, activation, calibration), None


def _points(
    mapped: Any, file: Any, run: Any, inputs: Path | None, test_set: bool, random: int | None
) -> Any:
    """All inputs that were asked for, in the order file, test set, random."""
    from xbarspice.cli import steps
    from xbarspice.studies.verify.inputs import Inputs, joined, random_inputs

    parts = []
    if file is not None and file.x is not None:
        parts.append(Inputs.of(file.x, None, "file"))
    if inputs is not None:
        x, y = steps.inputs(mapped.network, inputs, 0, run.seed)
        parts.append(Inputs.of(x, y, "file"))
    if test_set:
        parts.append(_test_set(mapped, run))
    if random is None:
        random = 0 if parts else RANDOM
    if random < 0 or not (parts or random):
        raise broken_rule("verify needs at least one input", random, "Raise --random.")
    if random:
        parts.append(random_inputs(mapped, random, run.seed))
    return joined(parts)


def _test_set(mapped: Any, run: Any) -> Any:
    from xbarspice.studies import data
    from xbarspice.studies.verify.inputs import Inputs

    sizes = mapped.network.sizes
    if (sizes[0], sizes[-1]) in {(2, 1), (2, 2)}:
        split = data.half_moons(run.data)
    elif (sizes[0], sizes[-1]) == (64, 10):
        split = data.digits()
    else:
        raise broken_rule(
            "the test sets that xbarspice knows are half moons (2 inputs) and digits (64 to 10)",
            f"a network of {sizes}", "Give your test set with --inputs.",
        )  # fmt: skip
    return Inputs.of(split.x_test, split.y_test, "test set")


def _with_worst(mapped: Any, points: Any, run: Any, extra: dict[str, Any], quiet: bool) -> Any:
    """The points and the two worst inputs; the searches are recorded in `extra`."""
    from xbarspice.config import child_rng
    from xbarspice.studies.verify import worst
    from xbarspice.studies.verify.inputs import Inputs, box, joined

    start = time.perf_counter()
    known = points if set(points.origin) != {"random"} else None
    bounds = box(mapped, known, run.verify.low, run.verify.high)
    with screens.progress("search: ideal product", quiet=quiet) as report:
        ideal = worst.worst_of_ideal(
            mapped, bounds, child_rng(run.seed, "worst of ideal"), starts=run.verify.starts,
            steps=run.verify.steps, progress=report,
        )  # fmt: skip
    with screens.progress("search: engines", quiet=quiet) as report:
        engines = worst.worst_between_engines(
            mapped, bounds, child_rng(run.seed, "worst between engines"), engines=run.engines,
            reference=run.reference, starts=run.verify.starts, rounds=run.verify.rounds,
            also=[ideal.x], progress=report,
        )  # fmt: skip
    extra["worst_inputs"] = []
    extra.setdefault("seconds", {})["search"] = time.perf_counter() - start
    for w, origin in ((ideal, "worst: ideal product"), (engines, "worst: engines")):
        same = np.flatnonzero((points.x == w.x).all(axis=1))
        if not same.size:  # both searches may end at one input, or at a given one
            points = joined([points, Inputs.of(w.x[None], None, origin)])
        place = int(same[0]) if same.size else len(points.x) - 1
        extra["worst_inputs"].append({**w.record(), "point": place})
    return points


def crosscheck(
    folder: Path,
    run: Any,
    reads: Sequence[str],
    mapped: Any,
    x: Any,
    y: Any,
    extra: dict[str, Any],
    quiet: bool,
    *,
    origins: Sequence[str] = (),
    I_out: Any = None,
) -> dict[str, Any]:
    """Cross-check, look for common mistakes, and fill a run folder; returns its record."""
    from xbarspice.cli import steps
    from xbarspice.studies.crosscheck import crosscheck as study

    start = time.perf_counter()
    findings = _before(mapped, x, y)
    try:
        with screens.engines_progress(quiet=quiet) as report:
            check = study(
                mapped,
                x,
                y,
                engines=run.engines,
                reference=run.reference,
                gates=run.gates,
                origins=origins,
                t_read=run.verify.t_read,
                findings=len(findings),
                given=None if I_out is None else (np.arange(len(I_out)), I_out),
                searched={w["target"]: w["value"] for w in extra.get("worst_inputs", ())},
                progress=report,
            )  # fmt: skip
    except EngineError as error:
        if not findings:
            raise
        hints = " ".join(f"{f.where}: {f.text} {f.remedy}" for f in findings)
        raise type(error)(f"{error} Before the solve: {hints}") from error
    with screens.waiting("looking for common mistakes", quiet=quiet):
        after = [*_beyond(check), *_after(check, run, I_out)]
    if after:  # the gate of the findings counts them all
        check = dataclasses.replace(check, gates=_recounted(check.gates, len(findings + after)))
    extra["trust"] = _trust(mapped, x, run.verify.trust_error)
    extra["findings"] = [dataclasses.asdict(f) for f in (*findings, *after)]
    extra.setdefault("seconds", {})["crosscheck"] = time.perf_counter() - start
    with screens.waiting("writing the report", quiet=quiet):
        values = steps.solved(run, reads, mapped)
        return steps.write_run(folder, run, values, mapped, check, x, y, extra)


def _trust(mapped: Any, x: Any, limit: float) -> dict[str, Any]:
    """What the trust map says of each level for these arrays: its largest error, None if none."""
    from xbarspice.studies.verify.subject import SingleArray
    from xbarspice.surrogate.trust import LEVELS, packaged

    known = packaged()
    V = float(np.max(np.abs(x))) if isinstance(mapped, SingleArray) else mapped.V_read
    errors = {}
    for level in LEVELS:
        found = float(np.max([known.error(level, array, V) for array in mapped.arrays]))
        errors[level] = found if np.isfinite(found) else None
    return {"limit": limit, "V": V, "source": known.source, "errors": errors}


def _recounted(gates: Any, count: int) -> tuple[Any, ...]:
    return tuple(
        dataclasses.replace(g, value=count, passed=count <= g.limit)
        if g.name == "findings of the detectors"
        else g
        for g in gates
    )


def _before(mapped: Any, x: Any, y: Any) -> list[Any]:
    """What can be seen before anything is solved: weights, labels and magnitudes."""
    from xbarspice.studies.verify.detectors import (
        chance_labels,
        magnitude_findings,
        network_findings,
    )
    from xbarspice.studies.verify.subject import SingleArray

    if not isinstance(mapped, SingleArray):
        decisions = mapped.network.predict(mapped.network.forward(x)[-1])
        chance = None if y is None else chance_labels(decisions, y)
        return [*network_findings(mapped), *([chance] if chance else [])]
    return magnitude_findings(
        mapped.arrays[0], x, mapped.G_min, mapped.G_max, pairs=False, where="the array"
    )


def _beyond(check: Any) -> list[Any]:
    """What of the reference's drive lies beyond the ranges of layers and device."""
    from xbarspice.studies.verify.detectors import range_findings

    return range_findings(check.answers[check.reference])


def _after(check: Any, run: Any, I_out: Any) -> list[Any]:
    """What explains currents that disagree: those of the file, then those of each engine."""
    from xbarspice.studies.verify.current_detectors import CurrentEvidence, current_findings

    golden = check.answers[check.reference]
    cases = []
    if check.given is not None and check.given.worst > (run.gates.given or 1e-3):
        cases.append((golden.blocks[0], I_out, "the currents of the file"))
    for engine in check.engines[1:]:
        layer = max(engine.layers, key=lambda k: k.worst)
        if layer.worst <= run.gates.current:
            continue
        both = zip(check.answers[engine.engine].blocks, golden.blocks, strict=True)
        own = [(a, g) for a, g in both if a.block.layer == layer.layer]
        a, g = max(own, key=lambda pair: np.abs(pair[0].currents - pair[1].currents).max())
        cases.append((g, a.solution.I_out, f"the currents of {engine.engine}"))
    found = []
    for g, currents, where in cases:
        points = slice(0, min(len(currents), 20))  # enough to tell one mistake from another
        found += current_findings(
            CurrentEvidence(
                crossbar=g.crossbar,
                V_in=g.V_in[points],
                V_out=g.V_out[points],
                I_out=currents[points],
                tolerance=min(run.gates.given or 1e-3, 1e-3),
                where=where,
            )
        )  # fmt: skip
    return found
