"""Fits of arrays: wires, device and conductances from measured currents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from xbarspice.calibration.array_inspection import find_sign_flips
from xbarspice.calibration.fit import Fit, fit_problem
from xbarspice.calibration.held import free_each, held_findings
from xbarspice.calibration.measurements import Reads
from xbarspice.calibration.model import Model
from xbarspice.calibration.problem import Options
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule

__all__ = ["fit_reads"]


def fit_reads(
    crossbar: Crossbar,
    reads: Reads | Sequence[Reads],
    free: Sequence[str],
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    options: Options | None = None,
) -> tuple[Fit, Crossbar]:
    """Fit wires, device and conductances to measured currents, by gradient through the surrogate.

    Args:
        crossbar: the array or arrays, with starting values; what is not fitted stays.
        reads: what was measured: one set, or several with different line ends.
        free: among ``R_wl``, ``R_bl``, ``R_wire`` (both), ``R_driver``, ``R_sense``,
            ``device.<field>`` and ``G`` (every present device).
        bounds: (low, high) by name; resistances and conductances are >= 0 anyway.
        options: how; see `Options`.

    Returns:
        The fit, and the crossbar with fitted values.

    Raises:
        InputError: a name is unknown, the reads do not fit the array, or there are too few.
        ConvergenceError: the fit did not end.
    """
    sets_of_reads = [reads] if isinstance(reads, Reads) else list(reads)
    model = Model(crossbar, sets_of_reads, free, bounds)
    _refuse_flipped(model)
    settings = options or Options()
    fit = fit_problem(model, settings)
    fitted = model.at(fit.values)

    def refit(names: list[str]) -> Fit:
        return fit_problem(Model(fitted, sets_of_reads, names, bounds), settings)

    held = free_each(fit, fitted, model.free, refit) if settings.free_held else ()
    findings = (*fit.findings, *held_findings(fit, held))
    return dataclasses.replace(fit, held=held, findings=findings), fitted


def _refuse_flipped(model: Model) -> None:
    """Say before the fit that currents have the other sign."""
    for part in model.reads:
        flipped = find_sign_flips(Model(model.crossbar, [part], model.free))
        if flipped:
            what = "every current" if flipped == ("all",) else f"{', '.join(flipped)}"
            raise broken_rule(
                "currents must be positive into the sense node, and from the word-line ends into "
                "the array",
                f"currents of the other sign than those of the array at its start: {what}",
                f"Change it with --flip-current {','.join(flipped)}, or that of the voltages.",
            )
