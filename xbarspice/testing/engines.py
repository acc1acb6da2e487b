"""The kit for engines: the same currents and voltages as the exact nodal engine, everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import FloatingNodeError
from xbarspice.core.line_ends import LineEnds
from xbarspice.core.solution import kirchhoff_residual
from xbarspice.devices import Device
from xbarspice.engines import Engine, get, solve
from xbarspice.testing.engine_cases import CASES, Case
from xbarspice.testing.rules import Rules, need

__all__ = ["check_engine"]

DEVICES = ("ohmic", "cubic_al2o3_tio2", "sinh_tio2")
ASYMMETRIC = Case(
    np.array([[100e-6, 200e-6, 300e-6], [400e-6, 50e-6, 0.0]]),
    np.array([0.2, -0.1]),
    wires={"R_wl": 5.0, "R_bl": 2.0, "R_driver": 10.0, "R_sense": 20.0},
)
"""2x3, every entry another one and one absent: rows, columns and signs cannot be exchanged."""
LIMIT = 1e-9


def check_engine(
    engine: str | Engine,
    *,
    devices: Sequence[str | Device] = DEVICES,
    cases: Mapping[str, Case] = CASES,
    residual: float = 1e-12,
) -> list[str]:
    """Hold an engine that solves the crossbar as it is to the nodal engine.

    Currents agree within 1e-9 of the largest current and voltages within 1e-9 V, inside the array
    too, and Kirchhoff's law holds at every node.

    Args:
        engine: its name or itself. Approximations (`exact = False`) have no kit: what they may be
            wrong by is their own statement.
        devices: models to solve with, by name or themselves.
        cases: problems by name; those of `xbarspice.testing.engine_cases` meet every kind of line
            end, resistances of 0 and such that differ from place to place, batches and an empty
            batch.
        residual: largest `stats.residual` that an answer may state. Engines that end at the
            rounding of node voltages, as ngspice does with wires of 1 milliohm, need more.

    Returns:
        The rules that held.

    Raises:
        AssertionError: a rule broke; the text names it.
    """
    back_end = get(engine)
    rules = Rules(f"engine {back_end.name!r}")
    with rules.rule("it solves the crossbar as it is (`exact`)"):
        need(back_end.exact, "an approximation has no kit")
    for device in devices:
        _check_asymmetric(rules, back_end, device)
        for name, case in cases.items():
            label = device if isinstance(device, str) else device.name
            with rules.rule(f"{name}, {label}: it agrees with the nodal engine to {LIMIT:g}"):
                _compare(back_end, case, device, residual)
    with rules.rule("a line without a path to a source is a FloatingNodeError, not a number"):
        ends = LineEnds(bl_bottom=["sensed", "floating"])
        _refuse_floating(back_end, Crossbar([[1e-4, 0.0], [1e-4, 0.0]], ends=ends))
    return rules.held


def _compare(engine: Engine, case: Case, device: str | Device, residual: float) -> None:
    crossbar = Crossbar(case.G, device=device, **case.arguments)
    drive = (case.V_in, case.V_out)
    answer = solve(crossbar, *drive, engine=engine, full=True, outside="ignore")
    need(answer.status.ok, f"the status is {answer.status.value}")
    if not case.V_in.size:
        need(answer.I_out.shape == (0, crossbar.cols), f"I_out has the shape {answer.I_out.shape}")
        return
    exact = solve(crossbar, *drive, engine="nodal", full=True, outside="ignore")
    need(answer.stats.residual <= residual, f"the residual is {answer.stats.residual:.3g}")
    currents = ("I_out", "I_in", "I_device")
    scale = max(float(np.abs(getattr(exact, name)).max()) for name in currents)
    for name in (*currents, "V_wl", "V_bl"):
        values, expected = getattr(answer, name), getattr(exact, name)
        shapes = f"{values.shape}, not {expected.shape}"
        need(values.shape == expected.shape, f"{name} has the shape {shapes}")
        atol = LIMIT * scale if name in currents else LIMIT
        assert_allclose(values, expected, rtol=0, atol=atol, err_msg=name)
    if scale > 0:
        V_out = 0.0 if case.V_out is None else case.V_out
        excess = kirchhoff_residual(crossbar, answer, case.V_in, V_out)
        need(
            excess < max(LIMIT, residual),
            f"Kirchhoff's law leaves {excess:.3g} of the largest current over",
        )


def _check_asymmetric(rules: Rules, engine: Engine, device: str | Device) -> None:
    crossbar = Crossbar(ASYMMETRIC.G, device=device, **ASYMMETRIC.arguments)
    lazy, full = (solve(crossbar, ASYMMETRIC.V_in, engine=engine, full=f) for f in (False, True))
    with rules.rule("rows, columns and signs of the asymmetric 2x3 array are the nodal engine's"):
        exact = solve(crossbar, ASYMMETRIC.V_in, engine="nodal")
        for name in ("I_out", "I_in"):
            assert_allclose(getattr(lazy, name), getattr(exact, name), rtol=1e-9, err_msg=name)
    with rules.rule("without `full` the inner quantities appear when they are asked for"):
        for name in ("V_wl", "V_bl", "I_device"):
            assert_array_equal(getattr(lazy, name), getattr(full, name), err_msg=name)


def _refuse_floating(engine: Engine, crossbar: Crossbar) -> None:
    try:
        solve(crossbar, [0.1, 0.2], engine=engine)
    except FloatingNodeError as error:
        need("bit line 1" in str(error), f"the error names no line: {error}")
    else:
        raise AssertionError("it gave numbers")
