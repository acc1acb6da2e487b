"""The sweep behind the trust map: every level against ngspice over a grid, resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from xbarspice import engines
from xbarspice.config import SweepConfig
from xbarspice.core.array import Crossbar
from xbarspice.core.errors import StoreError, broken_rule
from xbarspice.core.files import store_errors, write_whole
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array
from xbarspice.engines.ngspice import ngspice_info
from xbarspice.surrogate.trust import LEVELS, TrustMap

__all__ = ["journal_of", "point_errors", "sweep"]


def journal_of(path: Path) -> Path:
    """Where the finished points of an unfinished map stand."""
    return path.with_name(path.name + ".points.jsonl")


def sweep(
    config: SweepConfig,
    path: Path,
    *,
    seed: int = 0,
    reference: str = "ngspice",
    version: str = "",
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> TrustMap:
    """Measure the errors of all levels over the grid and write the map.

    Every finished point goes to a journal beside `path` at once, so a sweep that was stopped goes
    on where it was; the map itself appears whole at the end, and the journal goes.

    Args:
        config: the grid.
        path: TOML file of the map; replaced if it exists.
        seed: of conductances and inputs.
        reference: the engine that the levels are judged against; the shipped map uses ngspice.
        version: of xbarspice, for the file.
        progress: called with (points finished, points in all).

    Raises:
        InputError: the journal belongs to another sweep.
        EngineError: the reference failed. StoreError: the file cannot be written.
    """
    golden = ngspice_info().version if reference in {"ngspice", "pyspice"} else ""
    key = _fingerprint(config, seed, reference, golden)
    journal = journal_of(path)
    errors = _read(journal, key)
    points = list(_points(config))
    progress(len(errors), len(points))
    with _open(journal, key, new=not errors) as file:
        for place in points:
            name = "/".join(str(p) for p in place)
            if name not in errors:
                errors[name] = point_errors(config, place, seed, reference)
                file.write(json.dumps({"point": name, "errors": errors[name]}) + "\n")
                file.flush()
            progress(len(errors), len(points))
    trust_map = _collect(config, errors, seed, reference, golden, version)
    with store_errors("the map", path):
        write_whole({path: trust_map.to_toml()})
    journal.unlink()
    return trust_map


Place = tuple[str, int, int, int]


def _points(config: SweepConfig) -> Iterator[Place]:
    """(device, index of the size, of R_wire, of G_max); all voltages are solved at once."""
    for i in range(len(config.sizes)):  # small arrays of all devices first
        for device in config.devices:
            for j in range(len(config.R_wire)):
                for k in range(len(config.G_max)):
                    yield device, i, j, k


def _inputs(vectors: int, n: int, rng: np.random.Generator) -> list[Array]:
    """Three sets of inputs over full scale: all on, in [0, 1], in [-1, 1]."""
    shape = (vectors, n)
    return [np.ones((1, n)), rng.random(shape), rng.uniform(-1, 1, shape)]


def point_errors(
    config: SweepConfig, place: Place, seed: int, reference: str
) -> dict[str, list[float]]:
    """Errors of every level at one grid point, one a read voltage; see `surrogate.trust`."""
    device, i, j, k = place
    n, R, G_max = config.sizes[i], config.R_wire[j], config.G_max[k]
    large = n > config.reference_up_to
    rng = child_rng(seed, f"trust map {n}")  # the same arrays and inputs for all wires and devices
    G = np.stack([np.ones((n, n)), rng.uniform(1 / config.G_ratio, 1.0, (n, n))]) * G_max
    sets = _inputs(1 if large else config.vectors, n, rng)
    unit = np.concatenate(sets)
    V = np.concatenate([unit * v for v in config.V_read])
    crossbar = Crossbar(G[:, None], R_wl=R, R_bl=R, device=device)
    # `full`, so that Kirchhoff's law was checked at every node, not for the array as a whole.
    engine = "surrogate" if large else reference
    golden = engines.solve(crossbar, V, engine=engine, full=not large, outside="ignore")
    out = {}
    for level in LEVELS:
        if large and level == "nonlinear":
            continue
        engine = "surrogate" if level == "nonlinear" else engines.registry.get(level)(warn=False)
        I_out = engines.solve(crossbar, V, engine=engine, outside="ignore").I_out
        out[level] = [
            float(f"{np.max([*_errors(I_out[:, part], golden.I_out[:, part], sets)]):.3e}")
            for part in np.split(np.arange(len(V)), len(config.V_read))
        ]
    if large:
        error = golden.stats.error_at_most
        if (j, k) == (len(config.R_wire) // 2, len(config.G_max) // 2):
            last = slice(len(V) - len(unit), None)
            exact = engines.solve(crossbar, V[last], engine=reference, outside="ignore").I_out
            error = max(error, *_errors(golden.I_out[:, last], exact, sets))
        out["nonlinear"] = [float(f"{error:.3e}")] * len(config.V_read)
    return out


def _errors(I_out: Array, golden: Array, sets: list[Array]) -> Iterator[float]:
    """Largest error over the largest current, for each array and each set of inputs."""
    edges = np.cumsum([0, *(len(s) for s in sets)])
    for array in range(len(golden)):
        for start, stop in pairwise(edges):
            exact = golden[array, start:stop]
            yield float(np.max(np.abs(I_out[array, start:stop] - exact)) / np.max(np.abs(exact)))


def _fingerprint(config: SweepConfig, seed: int, reference: str, golden: str | None) -> str:
    text = json.dumps([config.model_dump(mode="json"), seed, reference, golden])
    return hashlib.sha256(text.encode()).hexdigest()


def _read(journal: Path, key: str) -> dict[str, Any]:
    """Points of an earlier run of this very sweep; a line that a kill cut short is left out."""
    if not journal.exists():
        return {}
    lines = journal.read_text(encoding="utf-8").splitlines()
    errors = {}
    for number, line in enumerate(lines):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if number == 0 and entry.get("sweep") != key:
            raise broken_rule(
                f"`{journal.name}` must belong to this very sweep",
                "one with other settings",
                "Choose another file for the map, or remove it.",
            )
        if "point" in entry:
            errors[entry["point"]] = entry["errors"]
    return errors


def _open(journal: Path, key: str, *, new: bool) -> TextIO:
    try:
        file = journal.open("w" if new else "a", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"the map must lie in a folder that can be written; {error}. Choose another file."
        ) from error
    if new:
        file.write(json.dumps({"sweep": key}) + "\n")
    else:
        file.write("\n")  # after a line that a kill cut short
    return file


def _collect(
    config: SweepConfig,
    points: dict[str, dict[str, list[float]]],
    seed: int,
    reference: str,
    golden: str | None,
    version: str,
) -> TrustMap:
    """The map of all points."""
    shape = (len(config.sizes), len(config.R_wire), len(config.G_max), len(config.V_read))
    errors = {d: {level: np.zeros(shape) for level in LEVELS} for d in config.devices}
    for device, i, j, k in _points(config):
        for level, values in points[f"{device}/{i}/{j}/{k}"].items():
            errors[device][level][i, j, k] = values
    names = ("size", "R_wire", "G_max", "V_read")
    values = (config.sizes, config.R_wire, config.G_max, config.V_read)
    source = {
        "reference": f"{reference} {golden}".strip(),
        "xbarspice": version,
        "seed": seed,
        "vectors": config.vectors,
        "G_ratio": config.G_ratio,
        "reference_up_to": config.reference_up_to,
    }
    return TrustMap(axes=dict(zip(names, values, strict=True)), errors=errors, source=source)
