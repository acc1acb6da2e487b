"""What the core must do without torch, matplotlib, scikit-learn and PySpice: run as a program."""

import sys
import tempfile
from pathlib import Path

import numpy as np

import xbarspice as xb
from xbarspice.core import crossbar_file

EXTRAS = ("torch", "matplotlib", "sklearn", "PySpice", "onnx", "safetensors", "dask", "klayout")


def solve(crossbar: xb.Crossbar, V: np.ndarray, engines: tuple[str, ...]) -> None:
    """All engines give the currents of the nodal one."""
    exact = xb.solve(crossbar, V, engine="nodal")
    for engine in engines:
        answer = xb.solve(crossbar, V, engine=engine, full=True)
        np.testing.assert_allclose(answer.I_out, exact.I_out, rtol=1e-6)
        np.testing.assert_allclose(answer.V_wl, exact.V_wl, rtol=1e-6)


def reduce(crossbar: xb.Crossbar, V: np.ndarray) -> None:
    """The effective matrix gives the currents of the ohmic array."""
    ohmic = crossbar.replace(device="ohmic")
    I_out = V @ xb.effective_matrix(ohmic)
    np.testing.assert_allclose(I_out, xb.solve(ohmic, V, engine="nodal").I_out, rtol=1e-9)


def write(crossbar: xb.Crossbar, V: np.ndarray) -> None:
    """The netlist of every dialect is written; that of ngspice is read back equal."""
    texts = {d: xb.netlist.write(crossbar, V, dialect=d) for d in xb.netlist.dialects.names()}
    assert all(texts.values())
    again = xb.netlist.read(texts["ngspice"]).crossbar
    np.testing.assert_array_equal(again.G, crossbar.G)


def keep(crossbar: xb.Crossbar) -> None:
    """A crossbar comes back from its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "array.h5"
        crossbar_file.save(path, crossbar)
        np.testing.assert_array_equal(crossbar_file.load(path).G, crossbar.G)


def main() -> None:
    """Do all of it, and look that none of the extras was loaded."""
    rng = np.random.default_rng(0)
    V = rng.uniform(0.05, 0.2, 4)
    crossbar = xb.Crossbar(rng.uniform(1e-5, 1e-4, (4, 3)), R_wl=2.0, R_bl=3.0, device="sinh_tio2")
    engines = tuple(sys.argv[1:])
    solve(crossbar, V, engines)
    solve(crossbar.replace(device="ohmic"), V, engines)
    reduce(crossbar, V)
    write(crossbar, V)
    keep(crossbar)
    noisy = xb.variability.make("relative_noise", sigma=0.1).apply(crossbar.G, rng)
    assert noisy.shape == crossbar.G.shape
    assert xb.ArrayConfig(R_wl=1.0).without_wires().wires["R_wl"] == 0.0
    loaded = [name for name in EXTRAS if name in sys.modules]
    assert not loaded, loaded
    sys.stdout.write(f"solved with {' '.join(engines)}\nwithout {' '.join(EXTRAS)}\n")


if __name__ == "__main__":
    main()
