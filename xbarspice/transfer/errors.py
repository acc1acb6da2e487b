"""Transfer errors of a study: whose they are, and the other reading of the drift table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from xbarspice.config import RunConfig
from xbarspice.core.counts import counted
from xbarspice.core.errors import broken_rule
from xbarspice.nn.layers import matrices_of
from xbarspice.transfer.circuits import with_variation
from xbarspice.transfer.study import transfer
from xbarspice.variability import Variation, drolet_2023, from_config, other_reading, to_config
from xbarspice.variability.bse import tail_of

__all__ = ["describe", "read_otherwise", "variation_of"]


def variation_of(circuit: nn.Module, run: RunConfig, **rates: Any) -> Variation:
    """Errors of the configuration, else of the deployment, else of Drolet et al. 2023.

    Args:
        circuit: a model on arrays.
        run: the configuration.
        rates: `rate_lrs`, `rate_hrs` of stuck devices of Drolet et al., which then go first.

    Raises:
        InputError: arrays of the deployment have different errors.
    """
    if run.variability:
        return from_config(run.variability)
    variations = [matrix.config.variation for matrix in matrices_of(circuit)]
    first = variations[0]
    if rates or first is None:
        return drolet_2023(**rates)
    if any(variation != first for variation in variations):
        raise broken_rule(
            "all arrays of a transfer study have the same errors",
            "a deployment whose matrices have different ones",
            "State them: --set 'variability=[{name = \"relative_noise\", sigma = 0.02}]'.",
        )
    return first


def describe(variation: Variation) -> str:
    """A variation in words: every term with its stated values."""
    terms = to_config(variation)
    return "; ".join(
        " ".join([str(t.pop("name")), *(f"{k}={_word(v)}" for k, v in t.items() if v is not None)])
        for t in [dict(term) for term in terms]
    )


def _word(value: Any) -> str:
    """A value of a term; a drift table by its size."""
    if not isinstance(value, Mapping):
        return str(value)
    later = value["later_writes"]
    return (
        f"measured ({counted(len(later), 'row')} to {later[-1]} later writes, "
        f"{counted(sum(value['samples']), 'drift')})"
    )


def read_otherwise(
    circuit: nn.Module,
    arguments: tuple[Tensor, ...],
    y: np.ndarray | None,
    variation: Variation,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> dict[str, Any]:
    """The metric with the other reading of the drift table, where that plays a part.

    Args:
        circuit, arguments, y: as of `transfer`.
        variation: errors of the study.
        progress: called with (transfers done, transfers in all).
        options: of the study; its own golden and single-matrix transfers are left out.
    """
    reading = other_reading(variation)
    if reading is None:
        return {}
    options |= {"golden": 0, "layers": 0}
    study = transfer(with_variation(circuit, reading), arguments, y, progress=progress, **options)
    record: Mapping[str, Any] = study.record()
    name = tail_of(reading)
    out: dict[str, Any] = {"drift_table": tail_of(variation)}
    if "metric" in record:
        out |= {f"{key}_{name}_drift_table": record[key] for key in ("metric", "mean")}
    return out | {f"output_change_{name}_drift_table": record["output_change"]["mean"]}
