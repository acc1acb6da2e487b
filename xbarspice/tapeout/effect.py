"""How the outputs of a model change from the assumed to the drawn wires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.nn import copy_circuit, exact_products, put_wires
from xbarspice.nn.origin import decisions_of, outputs_of

__all__ = ["as_drawn", "wire_effect"]


def as_drawn(circuit: Any, wires: Mapping[str, Mapping[str, Any]]) -> Any:
    """A copy of a model on arrays with the wires of a drawing.

    Args:
        circuit: a converted model.
        wires: R_wl, R_bl, R_driver (leads of the word lines) and R_sense (of the bit lines), ohm,
            by name of the physical array, numbers or one a place as of `xb.nn.put_wires`. What is
            not named stays as it is.

    Raises:
        InputError: no array has that name, or a value does not fit.
    """
    out = copy_circuit(circuit).eval()
    put_wires(out, wires)
    return out


def wire_effect(
    circuit: Any, arguments: tuple[Any, ...], drawn: tuple[Any, ...], y: npt.ArrayLike | None
) -> dict[str, Any]:
    """What the drawn wires change, solved by the surrogate.

    Args:
        circuit: the model on arrays with the assumed wires.
        arguments: its inputs, tensors.
        drawn: outputs of the model with the drawn wires, tensors.
        y: classes of the points, (points,); None where they are not known.
    """
    with exact_products():
        software = outputs_of(circuit, arguments)
    outputs = {"assumed": outputs_of(circuit, arguments), "drawn": drawn}
    decisions = {name: decisions_of(out) for name, out in {"software": software, **outputs}.items()}

    def shares(classes: Any, names: Sequence[str]) -> dict[str, float] | None:
        if classes is None or any(decisions[name] is None for name in names):
            return None
        return {name: float(np.mean(decisions[name] == np.asarray(classes))) for name in names}

    changed = None
    if decisions["drawn"] is not None:
        changed = int(np.sum(decisions["assumed"] != decisions["drawn"]))
    return {
        "points": len(arguments[0]) if arguments[0].ndim else 1,
        "engine": "surrogate",
        "accuracy": None if y is None else shares(y, ("software", "assumed", "drawn")),
        "agreement_with_software": shares(decisions["software"], ("assumed", "drawn")),
        "decisions_changed": changed,
        "largest_output": max((float(t.abs().max()) for t in software if t.numel()), default=0.0),
        "largest_output_change": _difference(outputs["assumed"], drawn),
        "error_against_software": {n: _difference(out, software) for n, out in outputs.items()},
    }


def _difference(a: tuple[Any, ...], b: tuple[Any, ...]) -> float:
    """Largest difference of two models' outputs."""
    return max(
        (float((p - q).abs().max()) for p, q in zip(a, b, strict=True) if p.numel()), default=0.0
    )
