"""Detectors of whole models on arrays: layers that nothing calls, labels at chance level."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from xbarspice.report.units import percent
from xbarspice.verification.detectors import CircuitEvidence, register
from xbarspice.verification.finding import Finding

__all__ = ["chance_labels", "labels_at_chance", "silent_layers"]

LABELLED = 20
"""Fewer labels than this say nothing about the network that they belong to."""


@register("silent layers", CircuitEvidence)
def silent_layers(e: CircuitEvidence) -> Iterator[Finding]:
    """Layers on arrays that the forward did not use."""
    from xbarspice.nn import coverage

    for name in coverage(e.circuit).silent:
        yield Finding(
            kind="silent layer",
            where=name,
            text="It is on arrays, and this forward neither called it nor read its weights.",
            remedy="Its arrays were solved with dense probes alone.",
        )


@register("labels at chance level", CircuitEvidence)
def labels_at_chance(e: CircuitEvidence) -> Finding | None:
    """Labels that the model without any circuit does not know."""
    if e.labels is None or e.decisions is None:
        return None
    return chance_labels(e.decisions, e.labels)


def chance_labels(decisions: npt.ArrayLike, y: npt.ArrayLike) -> Finding | None:
    """The network in software is no better on its labels than naming the commonest class.

    Weights, activation or labels are then probably not those that belong together. The 95 %
    binomial (Clopper-Pearson) interval of the accuracy must lie above the share of the commonest
    class. Nothing is said of fewer than `LABELLED` labels or of a single class.

    Args:
        decisions: of the network without any circuit, (points,).
        y: classes, (points,); points below 0 have none and are left out.
    """
    from scipy.stats import binomtest

    labels = np.asarray(y)
    labelled = labels >= 0
    counts = np.unique(labels[labelled], return_counts=True)[1]
    if labelled.sum() < LABELLED or counts.size < 2:
        return None
    count, share = int(labelled.sum()), float(counts.max() / labelled.sum())
    right = int(np.sum(np.asarray(decisions)[labelled] == labels[labelled]))
    low = float(binomtest(right, count).proportion_ci(0.95).low)
    if low > share:
        return None
    return Finding(
        kind="labels at chance level",
        where="the labelled inputs",
        text=f"The network in software is right for {percent(right / count)} of {count} labels "
        f"(at least {percent(low)} with 95 % confidence); the commonest class alone gives "
        f"{percent(share)}.",
        remedy="Check --activation, the order of the layers, the scaling of the inputs, and that "
        "the labels count classes from 0 in the network's order.",
        evidence={"accuracy": right / count, "low": low, "commonest_class": share},
    )
