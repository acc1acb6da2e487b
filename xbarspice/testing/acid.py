"""The acid test for crossbar solvers: any solver against published golden answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xbarspice.core.errors import PackageMissingError, broken_rule, first_line
from xbarspice.core.types import Array
from xbarspice.core.values import array_of, number_of
from xbarspice.engines import Engine, get, solve
from xbarspice.testing.acid_cases import (
    FILE,
    GRADIENTS,
    QUANTITIES,
    AcidCase,
    AcidFile,
    NotSupported,
    acid_file,
)
from xbarspice.testing.scorecard import Score, Scorecard, Verdict

__all__ = ["Answer", "Solver", "acid_test", "score"]

Answer: TypeAlias = Mapping[str, npt.ArrayLike]
"""Some of `QUANTITIES` by name."""
WHERE_ZERO = {"I": 1e-6, "V": 1.0, "d": 1.0}
"""What errors are a share of where all golden values are 0: A, V, and the unit of a derivative."""
MOST = 0.5
"""Largest tolerance: from 1 on an answer of zeros would pass."""
Solver: TypeAlias = Callable[[AcidCase], Answer]


def acid_test(
    solver: str | Engine | Solver,
    *,
    name: str | None = None,
    cases: Sequence[str] | None = None,
    tolerance: float | None = None,
    file: Path = FILE,
) -> Scorecard:
    """Hold a solver against golden answers and say for each problem what it taught.

    Args:
        solver: a function of an `AcidCase` that returns `I_out` (A) and, if it has them, `I_in`,
            `I_device` (A), `V_wl`, `V_bl` (V), in the shapes of the golden arrays; problems with
            gradients ask for `dI_dG` and `dI_dV` too. It raises `NotSupported` for what it does not
            claim to solve (`AcidCase.need_only`). Or an engine of this package, by name or itself.
        name: of the solver on the scorecard; by default its own.
        cases: names of the problems, each asked once; None: all.
        tolerance: largest error that passes, as a share, in place of each problem's own (a solver
            in float32 may state 1e-4); the scorecard shows it.
        file: of golden answers; by default the published one.

    Returns:
        The scorecard. What a solver returns is compared, and nothing else: each quantity fails
        alone, and an exception, a missing quantity, a wrong shape or a number that is not finite is
        a failure. What it declines is shown and counts neither as pass nor as failure.

    Raises:
        InputError: a name is no problem of the file, or no engine; `tolerance` is not in [0, 0.5].
        StoreError: the file is damaged or of another kind.
    """
    if tolerance is not None:
        number_of("tolerance", tolerance, low=0.0, high=MOST, remedy="Give a share, as 1e-4.")
    golden = acid_file(file)
    chosen = _chosen(golden, cases)
    if tolerance is not None:
        chosen = tuple(replace(case, tolerance=tolerance) for case in chosen)
    own_name, call = _solver(solver)
    scores = tuple(score(case, call) for case in chosen)
    return Scorecard(
        solver=name or own_name,
        golden=golden.origin,
        scores=scores,
        problems=len(golden.cases),
        tolerance=tolerance,
    )


def _chosen(file: AcidFile, names: Sequence[str] | None) -> tuple[AcidCase, ...]:
    known = {case.name: case for case in file.cases}
    if names is None:
        return file.cases
    for name in names:
        if name not in known:
            raise broken_rule(
                f"a case must be one of {', '.join(map(repr, known))}", repr(name), "Use one."
            )
    return tuple(known[name] for name in dict.fromkeys(names))


def _solver(solver: str | Engine | Solver) -> tuple[str, Solver]:
    if isinstance(solver, (str, Engine)):
        engine = get(solver)
        return engine.name, lambda case: _by_engine(engine, case)
    return getattr(solver, "__name__", type(solver).__name__), solver


def score(case: AcidCase, solver: Solver) -> Score:
    """What a solver makes of one problem; its exceptions become texts."""
    errors: dict[str, float] = {}
    verdict, text = Verdict.FAIL, ""
    try:
        errors, text = _errors(case, solver(case))
        if not text and all(error <= case.tolerance for error in errors.values()):
            verdict = Verdict.PASS
    except (NotSupported, PackageMissingError) as declined:
        verdict, text = Verdict.NOT_SUPPORTED, first_line(declined)
    except Exception as error:  # a foreign solver may raise anything
        text = f"{type(error).__name__}: {first_line(error)}"
    return Score(
        case=case.name,
        teaches=case.teaches,
        verdict=verdict,
        tolerance=case.tolerance,
        error=max(errors.values()) if errors else None,
        errors=errors,
        text=text,
    )


def _errors(case: AcidCase, answer: Answer) -> tuple[dict[str, float], str]:
    """Error of each returned quantity, and what an answer lacks, in words."""
    lacks, errors = [], {}
    needed = ("I_out", *(name for name in GRADIENTS if name in case.golden))
    lacks += [f"{name} is missing" for name in needed if name not in answer]
    lacks += [f"{name} is no quantity of the test" for name in answer if name not in QUANTITIES]
    for name in QUANTITIES:
        if name in answer and name in case.golden:
            values, right = array_of(name, answer[name], finite=False), case.golden[name]
            if values.shape != right.shape:
                lacks.append(f"{name} has the shape {values.shape}, not {right.shape}")
            else:
                errors[name] = _error(values, right, _scale(case, name))
    return errors, "; ".join(lacks)


def _scale(case: AcidCase, name: str) -> float:
    """Largest golden value of the kind of a quantity; `WHERE_ZERO` where all of them are 0."""
    alike = [n for n in case.golden if n not in GRADIENTS and n[0] == name[0]]
    alike = [name] if name in GRADIENTS else alike
    largest = max(float(np.abs(case.golden[n]).max(initial=0.0)) for n in alike)
    return largest or WHERE_ZERO[name[0]]


def _error(values: Array, right: Array, scale: float) -> float:
    off = float(np.abs(values - right).max(initial=0.0))
    return off / scale if np.isfinite(off) else float("inf")


def _by_engine(engine: Engine, case: AcidCase) -> Answer:
    if "dI_dG" in case.golden:
        if engine.name != "surrogate":
            raise NotSupported("the engine has no gradients")
        return _by_tensors(case)
    s = solve(case.crossbar, case.V_in, case.V_out, engine=engine, full=True, outside="ignore")
    return {name: getattr(s, name) for name in QUANTITIES if name not in GRADIENTS}


def _by_tensors(case: AcidCase) -> Answer:
    """The surrogate's answer with its gradients, by its adjoint."""
    import torch

    from xbarspice import nn

    c = case.crossbar
    G, V = (torch.tensor(a, requires_grad=True) for a in (c.G, case.V_in))
    wl, bl, driver, sense = (torch.as_tensor(R) for R in c.wires.values())
    s = nn.solve(
        G,
        V,
        R_wl=wl,
        R_bl=bl,
        R_driver=driver,
        R_sense=sense,
        device=c.device,
        ends=c.ends,
    )
    slopes = [torch.autograd.grad(current, (G, V), retain_graph=True) for current in s.I_out]
    out = {name: getattr(s, name).detach().numpy() for name in QUANTITIES[:5]}
    by_G, by_V = (torch.stack(parts).numpy() for parts in zip(*slopes, strict=True))
    return {**out, "dI_dG": by_G, "dI_dV": by_V}
