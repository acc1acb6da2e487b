"""What stands beside a fit: other device models, other losses, intervals drawn from the data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xbarspice import devices
from xbarspice.calibration.array_fit import fit_reads
from xbarspice.calibration.bootstrap import Bootstrap, bootstrap
from xbarspice.calibration.fit import Fit, fit_problem
from xbarspice.calibration.losses import LossFit, compare_losses, loss_findings
from xbarspice.calibration.measurements import Reads
from xbarspice.calibration.model import Model
from xbarspice.calibration.problem import Options
from xbarspice.calibration.ranking import Ranking, rank_models
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule

__all__ = ["Comparisons", "fit_and_compare"]


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """What stands beside a fit.

    Attributes:
        ranking: device models; in words why there is none; None if it was not asked for.
        by_ranking: whether the ranking chose the model that was fitted.
        free: names that were fitted, as of `Model.free`.
        losses: the fit by every loss.
        bootstrap: intervals from samples of the data; None where the linear ones need none.
    """

    ranking: Ranking | str | None
    by_ranking: bool
    free: tuple[str, ...]
    losses: tuple[LossFit, ...]
    bootstrap: Bootstrap | None

    def findings(self, fit: Fit) -> tuple[str, ...]:
        """Sentences on what disagrees."""
        better = self.ranking.finding if isinstance(self.ranking, Ranking) else None
        return (
            *([better] if better and not self.by_ranking else []),
            *loss_findings(fit, self.losses),
            *(self.bootstrap.findings if self.bootstrap else ()),
        )

    def record(self) -> dict[str, Any]:
        """Plain values for JSON and reports; None for what is not finite."""
        ranking: Any = self.ranking
        if isinstance(ranking, Ranking):
            ranking = {**dataclasses.asdict(ranking), "chosen": self.by_ranking}
        return {
            "ranking": _plain(ranking),
            "losses": [_plain(dataclasses.asdict(each)) for each in self.losses],
            "bootstrap": self.bootstrap and _plain(dataclasses.asdict(self.bootstrap)),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fit_and_compare(
    crossbar: Crossbar,
    reads: Reads | Sequence[Reads],
    free: Sequence[str],
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    options: Options | None = None,
    choose: bool = False,
    rank: bool | None = None,
    samples: int | None = None,
) -> tuple[Fit, Crossbar, Comparisons]:
    """`fit_reads`, with everything that a reader may hold against it.

    Args:
        crossbar, reads, free, bounds, options: as in `fit_reads`.
        choose: take the device model that the ranking puts first, all fields of its curve fitted.
        rank: whether device models are ranked; None: where it takes little time.
        samples: of the bootstrap; see `bootstrap`.

    Raises:
        InputError, ConvergenceError: as in `fit_reads`; or no ranking where `choose` needs one.
    """
    parts = (reads,) if isinstance(reads, Reads) else tuple(reads)
    settings = options or Options()
    ranking: Ranking | str | None = None
    if choose or rank is not False:
        ranking = rank_models(
            crossbar, parts, free, bounds=bounds, options=settings, work=rank is True
        )
    if choose:
        crossbar, free = _choose(ranking, crossbar, parts, free)
    fit, fitted = fit_reads(crossbar, parts, free, bounds=bounds, options=settings)
    names = Model(fitted, parts, free).free

    def refit(trial_options: Options) -> Fit:
        return fit_problem(Model(fitted, parts, names, bounds), trial_options)

    comparisons = Comparisons(
        ranking=ranking,
        by_ranking=choose,
        free=names,
        losses=compare_losses(fit, settings, refit),
        bootstrap=bootstrap(fitted, parts, fit, names, settings, samples),
    )
    findings = (*fit.findings, *comparisons.findings(fit))
    return dataclasses.replace(fit, findings=findings), fitted, comparisons


def _choose(
    ranking: Ranking | str | None, crossbar: Crossbar, parts: Sequence[Reads], free: Sequence[str]
) -> tuple[Crossbar, list[str]]:
    """The array with the device that predicts best, and what of it is fitted."""
    if not isinstance(ranking, Ranking):
        raise broken_rule(
            "a device model can be chosen where models can be ranked", ranking, "Name the model."
        )
    best = ranking.candidates[ranking.best]
    if best.name != crossbar.device.name:
        crossbar = crossbar.replace(device=devices.get(best.name))
    wires = [n for n in free if n not in ("device", "G") and not n.startswith("device.")]
    fields = [f"device.{name}" for name in best.fitted]
    return crossbar, [*wires, *fields, *(["G"] if "G" in free else [])]
