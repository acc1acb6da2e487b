"""Fields of a dynamic device that a fit held fixed: each is freed once, by one linear step.

With the weighted residuals r, their Jacobian J of what was fitted and the column z of a held field,
the joint fit is ``(dtheta, df) = -[J z]^+ r`` from the solution: one step of Gauss and Newton,
exact where the model is linear (a score test; Rao 1948, doi:10.1017/S0305004100023987). The
intervals of freed fields are of 99 % for all fields together (Student's t, Bonferroni): a held
value outside is a finding, of 1 % of the fits of a model that holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from xbarspice import devices
from xbarspice.calibration.fit import Fit, Held
from xbarspice.calibration.goodness import LEVEL
from xbarspice.core.errors import XbarspiceError
from xbarspice.core.types import Array
from xbarspice.devices import DynamicDevice

__all__ = ["field_findings", "free_fields"]

SETTINGS = ("V_read", "polarity", "V_threshold", "T", "xi")
"""Fields that are a choice of the measurement, or that move nothing smoothly."""

CLOSE = 1e6
"""Condition from which a field cannot be told from what was fitted."""
NEAR = 2.0
"""Standard errors within which a value has not moved."""


def free_fields(
    fit: Fit,
    J: Array,
    model: DynamicDevice,
    free: Sequence[str],
    conductances: Callable[[DynamicDevice, Array], Array],
) -> tuple[Held, ...]:
    """Free every field that was not fitted, in turn.

    Args:
        fit: of the fields in `free`.
        J: Jacobian of the conductances at the solution, S a unit of each parameter.
        model: the fitted device.
        free: fields that were fitted.
        conductances: of a device and parameters, S, (points,).
    """
    names = [
        f.name
        for f in dataclasses.fields(model)  # type: ignore[arg-type]
        if f.name not in (*free, *SETTINGS)
    ]
    columns = {
        name: _column(model, name, lambda device: conductances(device, fit.values))
        for name in names
    }
    tests = sum(column is not None for column in columns.values())
    return tuple(
        _not_told(name, float(getattr(model, name)), f"the model refuses {name} just beside it")
        if z is None
        else _free_one(fit, J, z, name, float(getattr(model, name)), tests)
        for name, z in columns.items()
    )


def _not_told(name: str, value: float, reason: str) -> Held:
    return Held(name=f"device.{name}", value=value, freed=None, moved=(), reason=reason, unit="")


def _column(
    model: DynamicDevice, name: str, conductances: Callable[[DynamicDevice], Array]
) -> Array | None:
    """Change of the conductances with a field; None where the model refuses other values."""
    value = float(getattr(model, name))
    h = 1e-5 * (abs(value) or 1.0)
    try:
        down, up = (
            conductances(devices.with_parameters(model, {name: value + sign * h}))  # type: ignore[arg-type]
            for sign in (-1, 1)
        )
    except XbarspiceError:
        return None
    return (up - down) / (2 * h)


def _free_one(fit: Fit, J: Array, z: Array, name: str, value: float, tests: int) -> Held:
    """One linear step of the fit with one more parameter."""
    use = fit.fitted
    A = np.column_stack([J, z])[use] / fit.sigma[use, None]
    r = ((fit.predicted - fit.measured) / fit.sigma)[use]
    length = np.linalg.norm(A, axis=0)
    length = np.where(length > 0, length, 1.0)
    scaled, freedom = A / length, len(r) - A.shape[1]
    if not z[use].any() or freedom < 1 or np.linalg.cond(scaled) > CLOSE:
        return _not_told(name, value, "the data cannot tell it from what was fitted")
    step = -np.linalg.lstsq(scaled, r, rcond=None)[0] / length
    s = np.linalg.norm(r + A @ step) / freedom**0.5
    error = s * np.sqrt(np.diag(np.linalg.inv(scaled.T @ scaled))) / length
    half = error * stats.t.ppf(1 - LEVEL / (2 * tests), freedom)
    now, margin = value + float(step[-1]), float(half[-1])
    changed = zip(fit.parameters, fit.values + step[:-1], half, fit.error, step, strict=False)
    moved = tuple(
        (p.name, float(v), float(v - h), float(v + h))
        for p, v, h, old, d in changed
        if abs(now - value) > margin and abs(d) > NEAR * old and not p.name.startswith("G[")
    )
    freed = (now, now - margin, now + margin)
    return Held(name=f"device.{name}", value=value, freed=freed, moved=moved, unit="")


def field_findings(held: Sequence[Held]) -> Iterator[str]:
    """A finding for every held field that the data would move."""
    for h in held:
        if h.freed is None or h.freed[1] <= h.value <= h.freed[2]:
            continue
        shifts = ", ".join(
            f"`{name}` is {value:.4g} [{low:.3g}, {high:.3g}]"
            for name, value, low, high in h.moved[:3]
        )
        yield (
            f"the intervals are given `{h.name}` = {h.value:.5g}, which was held: by one linear "
            f"step it is {h.freed[0]:.5g} [{h.freed[1]:.4g}, {h.freed[2]:.4g}], and "
            f"{shifts or 'no other value moves'}. Fit it as well (--free)"
        )
