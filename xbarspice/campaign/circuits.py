"""Items over a model on arrays: transfers, engines, wires and points of one deployment."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice import deployment, engines
from xbarspice.core.errors import broken_rule
from xbarspice.core.wires import WIRES
from xbarspice.nn import copy_circuit, program, through
from xbarspice.nn.layers import matrices_of
from xbarspice.nn.origin import arguments_of, circuit_hash, decisions_of, outputs_of

__all__ = ["CircuitModel", "circuit_item"]


@dataclasses.dataclass(frozen=True)
class CircuitModel:
    """A model on arrays as it travels to workers: its deployment, read once in every process.

    Make it with `of`. The campaign remembers it by its hash, not by the bytes of a file.

    Attributes:
        sha256: `nn.origin.circuit_hash` of the model.
        factory: ``module:factory`` of a model that cannot be exported; it is imported and run by
            every worker.
    """

    sha256: str
    factory: str | None = None

    @classmethod
    def of(cls, circuit: Any, inputs: Any = None, *, factory: str | None = None) -> CircuitModel:
        """The model; `inputs` and `factory` are those of `xbarspice.save`.

        Raises:
            InputError: the model cannot be saved.
        """
        out = cls(circuit_hash(circuit), factory)
        with tempfile.TemporaryDirectory(prefix="xbarspice-") as folder:
            path = Path(folder) / "model.h5"
            deployment.save(path, circuit, inputs=inputs, model=factory)
            object.__setattr__(out, "_data", path.read_bytes())
        return out

    def circuit(self) -> Any:
        """The model on arrays; all calls in one process share it."""
        return _load(self.sha256, self.factory, self.__dict__["_data"])


@functools.lru_cache(maxsize=2)
def _load(sha256: str, factory: str | None, data: bytes) -> Any:
    with tempfile.TemporaryDirectory(prefix="xbarspice-") as folder:
        path = Path(folder) / "model.h5"
        path.write_bytes(data)
        return deployment.load(path, factory=factory)


def circuit_item(
    parameters: Mapping[str, Any], *, model: CircuitModel, x: Any, y: Any = None
) -> dict[str, Any]:
    """Run inputs through a model on arrays with one engine.

    Args:
        parameters: engine (its name); and if wanted transfer (its number, None for none), any of
            `WIRES` in ohm, and points (first and last + 1 of those to run).
        model, x, y: the model, its inputs (arrays, one an argument) and classes, if known; fix them
            with ``functools.partial``, so that they travel to every worker once.

    Returns:
        output0, output1, ... as the model gives them, solve_seconds, and of a model that classifies
        predictions (points,); with `y` the accuracy.

    Raises:
        InputError, EngineError: as `xbarspice.solve`.
    """
    names = {"engine", "transfer", "points", *WIRES}
    if extra := sorted(set(parameters) - names):
        raise broken_rule(f"parameters must be among {sorted(names)}", extra, "Correct the name.")
    wires = {name: parameters[name] for name in WIRES if name in parameters}
    circuit = copy_circuit(model.circuit())
    for matrix in matrices_of(circuit):
        matrix.change(**wires)
    if (transfer := parameters.get("transfer")) is not None:
        program(circuit, transfer)
    arguments = arguments_of(circuit, tuple(x) if isinstance(x, list | tuple) else x)
    part = slice(*(parameters.get("points") or (None,)))
    labels = None if y is None else np.asarray(y)[part]
    start = time.perf_counter()
    with through(engines.get(parameters["engine"])):
        outputs = outputs_of(circuit, tuple(a[part] for a in arguments))
    out: dict[str, Any] = {"solve_seconds": time.perf_counter() - start}
    out |= {f"output{k}": t.cpu().numpy() for k, t in enumerate(outputs)}
    decided = decisions_of(outputs, labels)
    if decided is not None:
        out["predictions"] = decided
        if labels is not None:
            out["accuracy"] = float(np.mean(decided == labels))
    return out
