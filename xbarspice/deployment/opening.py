"""Any model file on arrays: a deployment as it is, others converted by a configuration."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xbarspice.config import RunConfig
from xbarspice.core.errors import InputError, broken_rule, first_line
from xbarspice.core.seeds import child_rng
from xbarspice.deployment import reading
from xbarspice.deployment.cards import keep_calibration
from xbarspice.deployment.kinds import is_deployment, refuse_old
from xbarspice.deployment.notes import wire_notes
from xbarspice.deployment.settings import state_arrays, state_ranges
from xbarspice.importers import ImportedModel, load_model
from xbarspice.importers.archive import hash_files
from xbarspice.importers.inputs import draw_inputs, random_inputs, read_inputs
from xbarspice.importers.model import common_batch
from xbarspice.nn import convert

__all__ = ["Circuit", "Opened", "deployed_circuit", "open_model"]

NO_INPUTS = (
    "No inputs were given: the input range of every layer is mapping.x_scale (1 unless stated), "
    "whatever the layer before it can give."
)

Circuit = nn.Module
"""A model on arrays."""
Values = np.ndarray | Mapping[str, np.ndarray]
"""Inputs of a model: one array, or one of each name."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A model on arrays with its inputs.

    Attributes:
        name: of its file.
        model: the importer's view of it; its module is the circuit for a deployment.
        circuit: on arrays.
        x: inputs as the file has them.
        arguments: inputs as the circuit takes them.
        y: classes, (points,), or None.
        notes: of the importer or the deployment.
    """

    name: str
    model: ImportedModel
    circuit: nn.Module
    x: Any
    arguments: tuple[Tensor, ...]
    y: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def points(self) -> int:
        """How many inputs there are."""
        first = self.arguments[0]
        return len(first) if first.ndim else 1

    def outputs(self) -> tuple[Tensor, ...]:
        """Tensors that the circuit gives for the inputs."""
        out = self.model.run(self.x, self.circuit)
        return out if isinstance(out, tuple) else (out,)

    def expected(self) -> tuple[Any, str]:
        """What another runtime says of the inputs, and which.

        None where the module is the original.
        """
        if self.model.kind != "onnx":
            return None, ""
        return self.model.reference(self.x), self.model.original_library or ""


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
    refuse_old(path)
    if factory is not None:  # the user names code to run, so it may lie where the user stands
        sys.path.insert(0, str(Path.cwd()))
    if is_deployment(path):
        model, notes = _deployed(path, run, factory, activation), ()
        circuit = model.module
    else:
        model = load_model(path, factory=factory, activation=activation)
        notes = () if inputs is not None else (NO_INPUTS,)
        random = random if model.kind == "perceptron" else None
        circuit = None
    x, y = _add_random(*_read_or_draw(model, inputs, random, run.seed), more, run)
    arguments = model.tensors(x, _weight_type(model.module))
    if circuit is None:
        circuit = _on_arrays(model.module, arguments, run, calibrated=inputs is not None)
    keep_calibration(circuit, run, calibration)
    if more:
        notes = (*notes, f"{more} of the inputs are random.")
    return Opened(
        name=path.name,
        model=model,
        circuit=circuit,
        x=x,
        arguments=arguments,
        y=y,
        notes=(*model.notes, *notes),
    )


def deployed_circuit(path: Path, run: RunConfig) -> nn.Module:
    """The circuit of a deployment that needs no code, with every stated value of `[array]`."""
    return _deployed(path, run, None, None).module


def _deployed(
    path: Path, run: RunConfig, factory: str | None, activation: str | None
) -> ImportedModel:
    """A deployment with every stated value of `[array]`; its mapping is fixed."""
    if activation is not None:
        raise broken_rule(
            "a deployment holds its whole model", f"--activation {activation}", "Leave it out."
        )
    file = reading.read(path, factory=factory)
    of_file = wire_notes(file.circuit)
    state_arrays(file.circuit, run)
    notes = [note for note in file.notes if note not in of_file]
    return ImportedModel(
        module=file.circuit,
        kind="deployment",
        sha256=hash_files([path]),
        batch=common_batch(file.inputs),
        inputs=file.inputs,
        library="xbarspice",
        notes=(*notes, *wire_notes(file.circuit)),
    )


def _read_or_draw(
    model: ImportedModel, path: Path | None, random: int | None, seed: int
) -> tuple[Values, np.ndarray | None]:
    """Inputs and classes of a file, or random inputs."""
    if path is not None:
        return read_inputs(path, model.inputs)
    if random is None:
        raise broken_rule(
            "a model needs inputs, which set the ranges of its arrays",
            "no --inputs",
            "Pass --inputs x.npz, made by np.savez('x.npz', x=..., y=...).",
        )
    return random_inputs(model.inputs, random, child_rng(seed, "inputs")), None


def _add_random(
    x: Values, y: np.ndarray | None, more: int, run: RunConfig
) -> tuple[Values, np.ndarray | None]:
    """Inputs with random ones after them, whose class nobody knows."""
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
    drawn = draw_inputs(x.shape[1:], more, run.seed, low=low, high=high).astype(x.dtype)
    unknown = np.full(more, -1)
    return np.concatenate([x, drawn]), None if y is None else np.concatenate([y, unknown])


def _weight_type(module: nn.Module) -> torch.dtype | None:
    """The type of a module's weights, which its inputs take."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)


def _on_arrays(
    module: nn.Module, arguments: tuple[Tensor, ...], run: RunConfig, *, calibrated: bool
) -> nn.Module:
    """The model on arrays; its ranges are those of the arguments, or of the configuration."""
    options: dict[str, Any] = {"seed": run.seed, **run.convert.model_dump()}
    options |= {"calibrate": arguments} if calibrated else {}
    try:
        circuit = convert(module, run.layer_configs(), **options)
    except (RuntimeError, IndexError) as error:  # torch's own words for inputs that do not fit
        shapes = ", ".join(str(tuple(a.shape)) for a in arguments)
        raise InputError(
            f"the model must run on the inputs; with shapes {shapes} it fails: "
            f"{first_line(error)}. Check the shapes in the file, points first."
        ) from error
    if calibrated:
        state_ranges(circuit, arguments, run)
    return circuit.eval()
