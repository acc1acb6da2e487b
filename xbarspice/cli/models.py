"""Any trained model in `map`, `verify` and `solve`: opened, put on arrays, and said."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.cli import cards, screens
from xbarspice.cli.runs import output_file
from xbarspice.config import ARRAY, RunConfig
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.seeds import child_rng

__all__ = [
    "MAPPED",
    "Opened",
    "about",
    "expected_of",
    "is_deployment",
    "is_model",
    "map_model",
    "open_model",
    "reads_of",
    "said_of",
    "solve_model",
    "state_ranges",
]

PLAIN = {".npz", ".h5", ".hdf5", ".mat", ".csv", ".pt"}
"""Endings of files that the commands have other readers for."""
MAPPED = ("mapping", "layers", "convert")
"""Settings by which a model is put on arrays, beside those of `[array]`."""
POINTS = 20
"""Random inputs on which a model that is mapped without inputs is compared with its original."""


def is_deployment(path: Path | None) -> bool:
    """Whether a file is a deployment of `xbarspice map` or `xb.save`."""
    from xbarspice.core import hdf5

    if path is None or path.suffix not in {".h5", ".hdf5"} or not path.is_file():
        return False
    return hdf5.kind_of(path) == "deployment"


def is_model(path: Path | None, factory: str | None) -> bool:
    """Whether a file is a model for `xb.nn.convert` rather than an array."""
    if path is None:
        return False
    if factory is not None or is_deployment(path) or path.suffix not in PLAIN:
        return True
    if path.suffix != ".pt" or not path.is_file():
        return False
    from xbarspice.importers.detect import identify

    return identify(path) != "torch"


def reads_of(path: Path, *, calibrated: bool = True) -> tuple[str, ...]:
    """Settings by which a model is put on arrays; of a deployment only those of its arrays.

    Args:
        path: of the model.
        calibrated: whether inputs set the ranges of its layers.
    """
    if is_deployment(path):
        return ("array",)
    converting = ("convert",) if calibrated else ("convert.exclude", "convert.fold_batchnorm")
    return ("array", "mapping", "layers", *converting)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A model on arrays with its inputs.

    Attributes:
        name: of its file.
        model: the importer's view of it; its module is the circuit for a deployment.
        circuit: on arrays.
        x: inputs as the file has them.
        arguments: inputs as the circuit takes them.
        y: classes or None.
        notes: of the importer or the deployment.
    """

    name: str
    model: Any
    circuit: Any
    x: Any
    arguments: tuple[Any, ...]
    y: Any
    notes: tuple[str, ...]

    def outputs(self) -> tuple[Any, ...]:
        """Tensors that the circuit gives for the inputs."""
        out = self.model.run(self.x, self.circuit)
        return out if isinstance(out, tuple) else (out,)


def open_model(
    path: Path,
    inputs: Path | None,
    run: RunConfig,
    factory: str | None,
    activation: str | None,
    *,
    random: int | None = None,
    more: int = 0,
    calibration: Path | None = None,
) -> Opened:
    """A model or deployment on arrays as the configuration says, with its inputs.

    The ranges of a model's arrays come from its inputs. A perceptron and a deployment may do
    without: the ranges are then those of the configuration or the file, and `random` inputs stand
    for the file's.

    Args:
        path, inputs: files.
        run: the configuration.
        factory, activation: as of `importers.load_model`.
        random: number of random inputs in [0, 1] where no `inputs` are given; None refuses that.
        more: random inputs after those of the file, in [verify.low, verify.high] or [0, 1].
        calibration: the card that the configuration was overlaid with, for the circuit to carry.

    Raises:
        InputError: the file, the inputs or a setting does not fit.
    """
    from xbarspice.deployment import refuse_old
    from xbarspice.importers import load_model

    refuse_old(path)
    if factory is not None:  # the user names code to run, so it may lie where the user stands
        sys.path.insert(0, str(Path.cwd()))
    if is_deployment(path):
        model, circuit, notes = _deployment(path, run, factory, activation)
        x, y = _with_more(*_inputs(model, inputs, random, run.seed), more, run)
        arguments = model.tensors(x, _dtype(circuit))
    else:
        model = load_model(path, factory=factory, activation=activation)
        known = inputs is not None
        drawn = random if model.kind == "perceptron" else None
        x, y = _with_more(*_inputs(model, inputs, drawn, run.seed), more, run)
        arguments = model.tensors(x, _dtype(model.module))
        circuit = _on_arrays(model, arguments, run, calibrated=known)
        notes = model.notes if known else (*model.notes, NO_INPUTS)
    cards.keep(circuit, run, calibration)
    if more:
        notes = (*notes, f"{more} of the inputs are random.")
    return Opened(
        name=path.name, model=model, circuit=circuit, x=x, arguments=arguments, y=y, notes=notes
    )


NO_INPUTS = (
    "No inputs were given: the input range of every layer is mapping.x_scale (1 unless stated), "
    "whatever the layer before it can give."
)


def _inputs(model: Any, path: Path | None, random: int | None, seed: int) -> tuple[Any, Any]:
    """Inputs and classes of a file, or random inputs."""
    from xbarspice.importers.inputs import random_inputs, read_inputs

    if path is not None:
        return read_inputs(path, model.inputs)
    if random is None:
        raise broken_rule(
            "a model needs inputs, which set the ranges of its arrays",
            "no --inputs",
            "Pass --inputs x.npz, made by np.savez('x.npz', x=..., y=...).",
        )
    return random_inputs(model.inputs, random, child_rng(seed, "inputs")), None


def _with_more(x: Any, y: Any, more: int, run: RunConfig) -> tuple[Any, Any]:
    """Inputs with random ones after them, whose class nobody knows."""
    from xbarspice.verification.inputs import random_inputs

    if not more:
        return x, y
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        raise broken_rule(
            "random inputs are added to one array of floating-point numbers",
            "other inputs",
            "Leave --random out.",
        )
    low = 0.0 if run.verify.low is None else run.verify.low
    high = 1.0 if run.verify.high is None else run.verify.high
    drawn = random_inputs(x.shape[1:], more, run.seed, low=low, high=high).astype(x.dtype)
    unknown = np.full(more, -1)
    return np.concatenate([x, drawn]), None if y is None else np.concatenate([y, unknown])


def _dtype(module: Any) -> Any:
    """The type of a module's weights, which its inputs take."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)


def _on_arrays(
    model: Any, arguments: tuple[Any, ...], run: RunConfig, *, calibrated: bool = True
) -> Any:
    """The model on arrays; its ranges are those of the arguments, or of the configuration."""
    from xbarspice.nn import convert

    options: dict[str, Any] = {"seed": run.seed, **run.convert.model_dump()}
    options |= {"calibrate": arguments} if calibrated else {}
    try:
        circuit = convert(model.module, run.layer_configs(), **options)
    except (RuntimeError, IndexError) as error:  # torch's own words for inputs that do not fit
        shapes = ", ".join(str(tuple(a.shape)) for a in arguments)
        said = (str(error).splitlines() or [""])[0][:200]
        raise InputError(
            f"the model must run on the inputs; with shapes {shapes} it fails: {said}. "
            "Check the shapes in the file, points first."
        ) from error
    if calibrated:
        state_ranges(circuit, arguments, run)
    return circuit.eval()


def state_ranges(circuit: Any, arguments: tuple[Any, ...], run: RunConfig) -> None:
    """Put the ranges that the configuration states in place of those of the inputs."""
    from xbarspice.nn import crossbar_layers
    from xbarspice.nn.ranges import calibrate_converters

    layers = {
        name: (layer, ranges)
        for name, layer in crossbar_layers(circuit).items()
        if (ranges := _stated_ranges(name, run))
    }
    for name in ("x_scale", "adc_range"):
        for layer, ranges in layers.values():
            for matrix in layer.matrices.values():
                if name in ranges:
                    matrix.config = dataclasses.replace(matrix.config, **{name: ranges[name]})
                    matrix.ranges.reset()
        if name == "x_scale" and any(name in ranges for _, ranges in layers.values()):
            calibrate_converters(circuit, arguments)


def _stated_ranges(layer: str, run: RunConfig) -> dict[str, float]:
    """What the configuration states of the ranges of a layer, under its name or its owner's."""
    from xbarspice.nn.convert import fits

    parts = layer.split(".")
    names = [".".join(parts[:k]) for k in range(len(parts), 0, -1)]
    own = next((s for p, s in run.layers.items() if any(fits(n, p) for n in names)), None)
    sections = [run.mapping, run.array, *([own] if own else [])]
    out: dict[str, float] = {}
    for section in sections:
        out |= section.model_dump(include={"x_scale", "adc_range"} & section.model_fields_set)
    return {name: value for name, value in out.items() if value is not None}


def deployed_circuit(path: Path, run: RunConfig) -> Any:
    """The circuit of a deployment that needs no code, with every stated value of `[array]`."""
    return _deployment(path, run, None, None)[1]


def _deployment(
    path: Path, run: RunConfig, factory: str | None, activation: str | None
) -> tuple[Any, Any, tuple[str, ...]]:
    """The circuit of a deployment with every stated value of `[array]`; its mapping is fixed."""
    from xbarspice import deployment
    from xbarspice.cli.settings import stated_array
    from xbarspice.importers import ImportedModel
    from xbarspice.importers.archive import hash_files
    from xbarspice.importers.model import common_batch
    from xbarspice.nn import crossbar_layers

    if activation is not None:
        raise broken_rule(
            "a deployment holds its whole model", f"--activation {activation}", "Leave it out."
        )
    made = deployment.read(path, factory=factory)
    changes = stated_array(run)
    for layer in crossbar_layers(made.circuit).values():
        for matrix in layer.matrices.values():
            matrix.config = dataclasses.replace(matrix.config, **changes(matrix.config))
    model = ImportedModel(
        module=made.circuit,
        kind="deployment",
        sha256=hash_files([path]),
        batch=common_batch(made.inputs),
        inputs=made.inputs,
        library="xbarspice",
        notes=made.notes,
    )
    return model, made.circuit, made.notes


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
        gate = import_gate(opened.circuit, opened.arguments, *expected_of(opened))
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
        "points": _points(opened),
        "matrices": len(covered.matrices),
        "arrays": sum(m.arrays for m in covered.matrices),
        "devices": sum(m.devices for m in covered.matrices),
        "weights_on_arrays": covered.weights_on_arrays,
        "weight_share": covered.weight_share,
        "product_share": covered.product_share,
        "left_ideal": [f"{w.name}: {w.reason}" for w in covered.ideal],
        "config": said_of(opened.circuit, run),
        "notes": list(opened.notes),
    }
    if json:
        return record | {"coverage": covered.record()}
    said = (
        f"{'holds' if gate.passed else 'FAILS'}: {gate.error:.2g} (limit {gate.limit:g}) "
        f"against {gate.against}"
    )
    return record | {"import": said, "config": [f"{k} = {v}" for k, v in _flat(record["config"])]}


def about(opened: Opened, run: RunConfig, circuit: Any = None) -> dict[str, Any]:
    """What every record says of its model: version, points, coverage, configuration and notes.

    `circuit` is what was solved, if it is not the one that was opened.
    """
    import xbarspice
    from xbarspice.nn import coverage

    return {
        "xbarspice": xbarspice.__version__,
        "model": {"file": opened.name, "kind": opened.model.kind, "sha256": opened.model.sha256},
        "points": _points(opened),
        "coverage": coverage(opened.circuit).record(),
        "config": said_of(opened.circuit if circuit is None else circuit, run),
        "notes": list(opened.notes),
    }


def _flat(config: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (f"{a}.{b}", v)
        for a, part in config.items()
        for b, v in part.items()
        if v not in (None, {})
    ]


def expected_of(opened: Opened) -> tuple[Any, str]:
    """What another runtime says of the inputs, and which; None where the module is the original."""
    if opened.model.kind != "onnx":
        return None, ""
    return opened.model.reference(opened.x), opened.model.original_library


def _points(opened: Opened) -> int:
    first = opened.arguments[0]
    return len(first) if first.ndim else 1


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
    import time

    from xbarspice import engines
    from xbarspice.core import hdf5
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
        "points": _points(opened),
        "outputs": ["x".join(map(str, t.shape)) for t in outputs],
        "seconds": seconds,
        "config": said_of(opened.circuit, run),
    }
    if decided is not None:
        record["accuracy"] = None if y is None else float((decided.numpy() == y).mean())
        record["predictions"] = decided.tolist() if json else decided[:10].tolist()
    if json:
        return record | {"values": [t.tolist() for t in outputs]}
    return record | {"config": [f"{k} = {v}" for k, v in _flat(record["config"])]}


def said_of(circuit: Any, run: RunConfig) -> dict[str, Any]:
    """`[mapping]`, `[array]` and `[layers]` of a model on arrays.

    With the same model and inputs they make the same arrays again. Ranges that the inputs set are
    left out, stated ones are said.
    """
    from xbarspice.nn import crossbar_layers

    layers: dict[str, dict[str, Any]] = {}
    for name, layer in crossbar_layers(circuit).items():
        owner = next((n for n in layers if name.startswith(f"{n}." if n else "")), name)
        for matrix in layer.matrices.values():
            layers.setdefault(owner, _plain(matrix.config) | _stated_ranges(name, run))
    first, *rest = layers.values()
    common = {k: v for k, v in first.items() if all(k in o and o[k] == v for o in rest)}
    device = {"device", "parameters"}
    if not device <= set(common):
        common = {k: v for k, v in common.items() if k not in device}
    own = {
        name: {k: v for k, v in values.items() if k not in common}
        for name, values in layers.items()
    }
    return {
        "mapping": {k: v for k, v in common.items() if k not in (*ARRAY, "parameters")},
        "array": {k: v for k, v in common.items() if k in (*ARRAY, "parameters")},
        **({"layers": own} if any(own.values()) else {}),
    }


def _plain(config: Any) -> dict[str, Any]:
    """An `ArrayConfig` in the words of a configuration, without its ranges and variation."""
    left_out = {"x_scale", "adc_range", "variation", "device"}
    fields = [f.name for f in dataclasses.fields(config) if f.name not in left_out]
    return {name: getattr(config, name) for name in fields} | cards.as_config(config.model)
