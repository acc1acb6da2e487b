"""Any trained model in `map` and `solve`, and what all commands say of the model they opened."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarspice.cli import screens
from xbarspice.cli.runs import output_file
from xbarspice.config import RunConfig
from xbarspice.core.errors import broken_rule

if TYPE_CHECKING:
    from xbarspice.deployment.opening import Circuit, Opened

__all__ = ["about", "map_model", "reads_of", "refuse_array", "solve_model"]

POINTS = 20
"""Random inputs on which a model that is mapped without inputs is compared with its original."""


def reads_of(path: Path, *, calibrated: bool = True) -> tuple[str, ...]:
    """Settings by which a model is put on arrays; of a deployment only those of its arrays.

    Args:
        path: of the model.
        calibrated: whether inputs set the ranges of its layers.

    Raises:
        InputError: the file holds a single array.
    """
    from xbarspice.deployment.kinds import is_deployment

    refuse_array(path)
    if is_deployment(path):
        return ("array",)
    converting = ("convert",) if calibrated else ("convert.exclude", "convert.fold_batchnorm")
    return ("array", "mapping", "layers", *converting)


def refuse_array(path: Path) -> None:
    """Refuse a single array where a model is needed.

    Raises:
        InputError: the file holds one.
    """
    from xbarspice.verification.array_file import holds_array

    if holds_array(path):
        raise broken_rule(
            "the command takes a model or a deployment",
            f"`{path.name}`, a single array",
            "Single arrays go into verify, netlist, lvs and export, and into xb.solve, "
            "xb.programming and xb.campaign in Python.",
        )


def map_model(
    path: Path,
    out: Path,
    inputs: Path | None,
    run: RunConfig,
    factory: str | None,
    activation: str | None,
    json: bool,
    calibration: Path | None = None,
) -> dict[str, Any]:
    """Put a model on arrays, hold it against its original, and write its deployment.

    Returns:
        The record; `passed` says whether the import gate holds. If not, nothing is written.
    """
    from xbarspice import deployment
    from xbarspice.deployment.kinds import is_deployment
    from xbarspice.deployment.opening import open_model
    from xbarspice.deployment.settings import circuit_settings
    from xbarspice.nn import coverage
    from xbarspice.verification.forward import import_gate

    if is_deployment(path):
        raise broken_rule(
            "a deployment is on arrays already", path.name, "Map the model that it was made from."
        )
    output_file(out, ".h5")
    with screens.waiting("reading the model", quiet=json):
        opened = open_model(
            path, inputs, run, factory, activation, random=POINTS, calibration=calibration
        )
    with screens.waiting("comparing with the original", quiet=json):
        gate = import_gate(opened.circuit, opened.arguments, *opened.expected())
    if gate.passed:
        with screens.waiting("writing the deployment", quiet=json):
            deployment.save(
                out, opened.circuit, inputs=opened.arguments, model=factory, notes=opened.notes
            )
    covered = coverage(opened.circuit)
    record: dict[str, Any] = {
        "file": str(out) if gate.passed else None,
        "passed": gate.passed,
        "import": dataclasses.asdict(gate),
        "points": opened.points,
        "matrices": len(covered.matrices),
        "arrays": sum(m.arrays for m in covered.matrices),
        "devices": sum(m.devices for m in covered.matrices),
        "weights_on_arrays": covered.weights_on_arrays,
        "weight_share": covered.weight_share,
        "product_share": covered.product_share,
        "left_ideal": [f"{w.name}: {w.reason}" for w in covered.ideal],
        "config": circuit_settings(opened.circuit, run),
        "notes": list(opened.notes),
    }
    if json:
        return record | {"coverage": covered.record()}
    words = (
        f"{'holds' if gate.passed else 'FAILS'}: {gate.error:.2g} (limit {gate.limit:g}) "
        f"against {gate.against}"
    )
    return record | {"import": words, "config": [f"{k} = {v}" for k, v in _flat(record["config"])]}


def about(opened: Opened, run: RunConfig, circuit: Circuit | None = None) -> dict[str, Any]:
    """What every record says of its model: version, points, coverage, configuration and notes.

    `circuit` is what was solved, if it is not the one that was opened.
    """
    import xbarspice
    from xbarspice.deployment.settings import circuit_settings
    from xbarspice.nn import coverage

    return {
        "xbarspice": xbarspice.__version__,
        "model": {"file": opened.name, "kind": opened.model.kind, "sha256": opened.model.sha256},
        "points": opened.points,
        "coverage": coverage(opened.circuit).record(),
        "config": circuit_settings(opened.circuit if circuit is None else circuit, run),
        "notes": list(opened.notes),
    }


def _flat(config: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (f"{a}.{b}", v)
        for a, part in config.items()
        for b, v in part.items()
        if v not in (None, {})
    ]


def solve_model(
    path: Path,
    engine: str,
    out: Path | None,
    inputs: Path | None,
    run: RunConfig,
    factory: str | None,
    activation: str | None,
    random: int,
    json: bool,
) -> dict[str, Any]:
    """Run inputs through a model's arrays with one engine; the outputs go to `out`."""
    from xbarspice import engines
    from xbarspice.core import hdf5
    from xbarspice.deployment.opening import open_model
    from xbarspice.deployment.settings import circuit_settings
    from xbarspice.nn import through
    from xbarspice.nn.origin import classes

    if engine not in engines.names():
        raise broken_rule(
            f"engines must be among {engines.names()}", repr(engine), "Use one of their names."
        )
    opened = open_model(path, inputs, run, factory, activation, random=random)
    start = time.perf_counter()
    with screens.waiting(f"solving with {engine}", quiet=json), through(engine):
        outputs = opened.outputs()
    seconds = time.perf_counter() - start
    decided = classes(outputs, opened.y)
    y = opened.y
    if out is not None:
        tree: dict[str, Any] = {"engine": engine}
        tree |= {f"x{k}": a.numpy() for k, a in enumerate(opened.arguments)}
        tree |= {f"output{k}": t.numpy() for k, t in enumerate(outputs)}
        tree |= {} if y is None else {"y": y}
        hdf5.write_tree(out, tree, "outputs of a model on arrays")
    record: dict[str, Any] = {
        "engine": engine,
        "points": opened.points,
        "outputs": ["x".join(map(str, t.shape)) for t in outputs],
        "seconds": seconds,
        "config": circuit_settings(opened.circuit, run),
    }
    if decided is not None:
        record["accuracy"] = None if y is None else float((decided.numpy() == y).mean())
        record["predictions"] = decided.tolist() if json else decided[:10].tolist()
    if json:
        return record | {"values": [t.tolist() for t in outputs]}
    return record | {"config": [f"{k} = {v}" for k, v in _flat(record["config"])]}
