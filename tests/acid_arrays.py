"""Writes the acid test's golden arrays: `python -m tests.acid_arrays [FILE]`; needs ngspice.

Golden numbers are those of the star-mesh rule in 60 digits (`tests.exact`). A nonlinear device is
replaced by its chord conductance I(V)/V, which is found anew until no voltage moves by 1e-40 V:
each pass is an ohmic array. Derivatives are central differences of steps of 1e-15 in 60 digits.
Each answer of ngspice stands beside.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np

import xbarspice as xb
from tests import exact
from xbarspice.core import crossbar_file
from xbarspice.core.hdf5 import write_tree
from xbarspice.testing.acid_cases import FILE, GRADIENTS, KIND, QUANTITIES
from xbarspice.testing.engine_cases import CASES

STILL = Decimal("1e-40")
STEP = Decimal("1e-15")
MOST_PASSES = 200
TOLERANCE = 1e-9
FIELDS = [name for name in QUANTITIES if name not in GRADIENTS]
FROM = "star-mesh elimination in 60 digits"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A problem that is to be solved and written."""

    name: str
    teaches: str
    crossbar: xb.Crossbar
    V_in: np.ndarray
    V_out: np.ndarray | None = None
    gradients: bool = False


def _array(rows, cols, seed=1, **arguments):
    """Conductances from 1 to 100 uS, all different, and input voltages of both signs."""
    rng = np.random.default_rng([rows, cols, seed])
    G = 10 ** rng.uniform(-6, -4, (rows, cols))
    wires = {"R_wl": 2.0, "R_bl": 3.0, "R_driver": 10.0, "R_sense": 5.0}
    return {"crossbar": xb.Crossbar(G, **(wires | arguments)), "V_in": rng.uniform(-0.4, 0.4, rows)}


def _alike(rows, cols, R=2.0, **arguments):
    """The same with one resistance everywhere."""
    wires = {"R_wl": R, "R_bl": R, "R_driver": R, "R_sense": R}
    return _array(rows, cols, **(wires | arguments))


def _without(values, cells):
    """The same without some devices, counted row by row."""
    G = values["crossbar"].G.copy()
    G.flat[cells] = 0.0
    return {**values, "crossbar": values["crossbar"].replace(G=G)}


def _vectors(values, many):
    """The same with several input vectors."""
    factors = np.linspace(-1, 1, many)[:, None] + 0.3 * np.eye(many, values["V_in"].size)
    return {**values, "V_in": factors * values["V_in"]}


def _of_kit(name, device="ohmic"):
    """A problem of the kit for engines, `xbarspice.testing.engine_cases`."""
    case = CASES[name]
    crossbar = xb.Crossbar(case.G, device=device, **case.arguments)
    return {"crossbar": crossbar, "V_in": case.V_in, "V_out": case.V_out}


PULSES = np.array([0.2, -0.2, 0.0, 0.2, 0.2, -0.2, 0.0, 0.2])
NO_ENDS = {"R_driver": 0.0, "R_sense": 0.0}
SINGLE = {
    "one cell, no wires": ("Ohm's law and the sign of I_out", _alike(1, 1, 0.0)),
    "one cell": ("driver and sense resistance stand once in the path", _alike(1, 1, 1e4)),
    "2x3, no wires": ("I_out = V_in @ G; rows are inputs", _alike(2, 3, 0.0)),
    "2x3": ("a transposed or mirrored matrix, exchanged wires", _array(2, 3)),
    "3x2": ("a transposed matrix of a tall array", _array(3, 2)),
    "4x4": ("a transposed matrix that no shape betrays", _alike(4, 4, 200.0)),
    "1x64": ("one word line: the drop adds up along it", _alike(1, 64, 20.0)),
    "64x1": ("one bit line: the drop adds up along it", _alike(64, 1, 20.0)),
    "6x4, one resistance": ("read mode as most solvers state it", _alike(6, 4)),
    "6x4, two resistances": (
        "exchanged word and bit lines where the ends are segments, too",
        _array(6, 4, R_wl=20.0, R_bl=300.0, R_driver=20.0, R_sense=300.0),
    ),
    "6x4, absent devices": ("devices of 0 S", _without(_alike(6, 4), [0, 7, 8, 9, 20])),
    "6x4, vectors": ("several input vectors in one call", _vectors(_alike(6, 4), 5)),
    "16x12, one resistance": ("the same with more sneak paths", _alike(16, 12)),
    "16x12, long wires": ("drops as large as the drive", _alike(16, 12, 1e3)),
    "64x48, one resistance": ("size, and a matrix that is not square", _alike(64, 48)),
    "large driver": (
        "the driver stands once in a row, not in each column",
        _array(6, 4, R_driver=1e4),
    ),
    "large sense resistance": ("the bit line is no virtual ground", _array(6, 4, R_sense=1e4)),
    "only word lines": ("exchanged R_wl and R_bl", _array(6, 4, R_wl=500.0, R_bl=0.0, **NO_ENDS)),
    "only bit lines": ("exchanged R_bl and R_wl", _array(6, 4, R_wl=0.0, R_bl=500.0, **NO_ENDS)),
    "only bit lines, one level": (
        "a resistance of half a segment before the sense node; inputs as pulses",
        {**_array(8, 6, R_wl=0.0, R_bl=500.0, R_driver=0.0, R_sense=250.0), "V_in": PULSES},
    ),
    "only ends": ("wires of exactly 0 ohm join nodes", _array(6, 4, R_wl=0.0, R_bl=0.0)),
    "only segments": ("sources of exactly 0 ohm", _array(6, 4, **NO_ENDS)),
}
OF_KIT = {
    "stiff and soft": "wires of 1 milliohm beside such of 10 kohm",
    "absent": "devices of 0 S: no division by a conductance",
    "all absent": "nothing flows, and nothing is NaN",
    "shorts": "devices of 0.1 S among such of 1 uS",
    "zero volts": "nothing flows, and nothing is divided by the drive",
    "V/2": "driven bit lines: the signs of their currents",
    "V/3": "driven bit lines at several voltages",
    "both ends": "two drivers and two sense nodes a line; their currents add up",
    "both ends, ideal": "the same with sources of 0 ohm",
    "through lines": "lines that are driven at one end and sensed at the other",
    "mixed ends": "each line with ends of its own, some floating",
    "one cell, others float": "a floating line takes no current but carries sneak paths",
    "segments differ": "each segment at its own place",
    "ends differ": "each driver and sense node at its own line",
    "some segments and ends 0": "some nodes joined, others not",
    "a word line nearly broken": "a segment of 1e12 ohm",
    "V/2, ends differ": "the order of drivers over both kinds of lines",
    "mixed ends, all differ": "everything at once",
    "batch of vectors": "the leading axis of V_in",
    "batch of arrays": "the leading axis of G",
    "arrays x vectors": "leading axes that broadcast",
    "batch of wires": "wires of its own for each array",
}
NONLINEAR = {
    **{name: SINGLE[name][1] for name in ("2x3", "6x4, one resistance", "16x12, long wires")},
    "driver of 2 kohm": _array(6, 4, R_driver=2e3),
}
NONLINEAR_OF_KIT = ("V/2", "mixed ends", "absent", "batch of vectors")
GRADIENTS_OF = {
    "4x3": ("dI_out/dG and dI_out/dV_in, sneak paths included", _array(4, 3, R_driver=200.0)),
    "3x4, long wires": ("the same where drops are large", _alike(3, 4, 1e3)),
}


def planned():
    """All problems in their order."""
    sinh, cubic = "sinh_tio2", "cubic_al2o3_tio2"
    out = [Planned(name=n, teaches=t, **values) for n, (t, values) in SINGLE.items()]
    out += [Planned(name=n, teaches=t, **_of_kit(n)) for n, t in OF_KIT.items()]
    for device in (sinh, cubic):
        teaches = f"{device.split('_')[0]} law: the chord at 0.2 V is G, and drops change it"
        for name, values in NONLINEAR.items():
            here = {**values, "crossbar": values["crossbar"].replace(device=device)}
            out.append(Planned(name=f"{name}, {device}", teaches=teaches, **here))
        for name in NONLINEAR_OF_KIT:
            values = _of_kit(name, device)
            out.append(Planned(name=f"{name}, {device}", teaches=teaches, **values))
    for name, (teaches, values) in GRADIENTS_OF.items():
        for device in ("ohmic", sinh):
            here = {**values, "crossbar": values["crossbar"].replace(device=device)}
            title = f"gradient, {name}, {device}"
            out.append(Planned(name=title, teaches=teaches, gradients=True, **here))
    return out


def _chord(device, V, G):
    """I(V)/V of one device, S, in Decimal; the constants of the law are those in float64."""
    if not G or device.name == "ohmic":
        return G
    V_read = Decimal(device.V_read)
    if device.name == "sinh_tio2":
        b = Decimal(device.b)
        if not V:
            return G * V_read * b / _sinh(b * V_read)
        return G * V_read / _sinh(b * V_read) * _sinh(b * V) / V
    A1 = Decimal(float(device.derivative(np.zeros(1), np.array([float(G)]))[0]))
    return A1 + (G - A1) * (V / V_read) ** 2


def _sinh(x):
    """By its series: no difference of exponentials."""
    term, total, k = x, x, 1
    while abs(term) > abs(total) * Decimal("1e-59"):
        term *= x * x / ((k + 1) * (k + 2))
        total, k = total + term, k + 2
    return total


def solve_exactly(crossbar, V_in, V_out, G=None):
    """`FIELDS` of one array and vector as object arrays of Decimal."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = exact.DIGITS, -99999, 99999
        G = [[Decimal(g) for g in row] for row in crossbar.G.tolist()] if G is None else G
        shape, chord, before = crossbar.G.shape, G, None
        for _ in range(MOST_PASSES):
            wl, bl = (np.array(V) for V in exact.node_voltages(crossbar, V_in, V_out, chord))
            V = wl - bl
            if before is not None and abs(V - before).max() < STILL:
                break
            chord = [
                [_chord(crossbar.device, V[i, j], G[i][j]) for j in range(shape[1])]
                for i in range(shape[0])
            ]
            if crossbar.device.name == "ohmic":
                break
            before = V
        else:
            raise RuntimeError("the chord conductances do not come to rest")
        device = np.array(chord) * V
        return {
            "I_out": device.sum(axis=0),
            "I_in": device.sum(axis=1),
            "I_device": device,
            "V_wl": wl,
            "V_bl": bl,
        }


def gradients_exactly(crossbar, V_in, V_out):
    """`dI_dG` (cols, rows, cols) and `dI_dV` (cols, rows): central differences in Decimal."""
    rows, cols = crossbar.G.shape
    G = [[Decimal(g) for g in row] for row in crossbar.G.tolist()]
    V = [Decimal(v) for v in V_in]
    by_G, by_V = np.empty((cols, rows, cols), object), np.empty((cols, rows), object)

    def slope(values, k, out):
        """Of `I_out` by entry k of a list that the problem reads."""
        middle, ends = values[k], []
        step = STEP * abs(middle)
        for at in (middle + step, middle - step):
            values[k] = at
            ends.append(solve_exactly(crossbar, V, V_out, G)["I_out"])
        values[k] = middle
        with localcontext() as context:
            context.prec = exact.DIGITS
            out[...] = (ends[0] - ends[1]) / (2 * step)

    for i in range(rows):
        slope(V, i, by_V[:, i])
        for j in range(cols):
            slope(G[i], j, by_G[:, i, j])
    return {"dI_dG": by_G, "dI_dV": by_V}


def golden(plan):
    """Golden arrays of one problem, float64, batch axes leading."""
    crossbar = plan.crossbar
    drive = crossbar.drive(plan.V_in, plan.V_out)
    answers = []
    for array, V_in, V_out in zip(drive.array, drive.V_in, drive.V_out, strict=True):
        one = crossbar.array(int(array))
        answer = solve_exactly(one, V_in.tolist(), V_out.tolist())
        if plan.gradients:
            answer |= gradients_exactly(one, V_in.tolist(), V_out.tolist())
        answers.append(answer)
    stacked = {n: np.array([a[n] for a in answers]).astype(float) for n in answers[0]}
    return {n: a.reshape(*drive.batch, *a.shape[1:]) for n, a in stacked.items()}


def by_ngspice(plan):
    """The same numbers of ngspice, without gradients, and its name and version."""
    s = xb.solve(
        plan.crossbar, plan.V_in, plan.V_out, engine="ngspice", full=True, outside="ignore"
    )
    return {name: getattr(s, name) for name in FIELDS}, s.stats.method.partition(",")[0]


def case_tree(plan):
    """What the file holds of one problem, and which ngspice answered."""
    answers, program = by_ngspice(plan)
    means = FROM if plan.crossbar.device.name == "ohmic" else f"{FROM} of chord conductances"
    tree = {
        "name": plan.name,
        "teaches": plan.teaches,
        "tolerance": TOLERANCE,
        "crossbar": crossbar_file.to_tree(plan.crossbar),
        "V_in": np.asarray(plan.V_in, float),
        "V_out": None if plan.V_out is None else np.asarray(plan.V_out, float),
        "golden": golden(plan),
        "golden_from": means,
        "ngspice": answers,
    }
    return tree, program


def write(path):
    """Solve every problem and write the file."""
    cases, programs = {}, set()
    for number, plan in enumerate(planned(), 1):
        tree, program = case_tree(plan)
        programs.add(program)
        cases[f"{number:03d}"] = tree
        off = max(
            np.abs(tree["ngspice"][n] - tree["golden"][n]).max(initial=0)
            / (np.abs(tree["golden"][n]).max(initial=0) or 1)
            for n in FIELDS
        )
        print(f"{number:3d} {plan.name}: ngspice differs by {off:.1e}", flush=True)  # noqa: T201
    (ngspice,) = programs
    made_by = f"python -m tests.acid_arrays, xbarspice {xb.__version__}"
    write_tree(path, {"made_by": made_by, "ngspice": ngspice, "cases": cases}, KIND)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
