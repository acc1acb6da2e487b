"""Every kind of fit that `xbarspice calibrate` knows, drawn from known truth: do intervals hold?

    python -m tests.unit.calibration.kinds [--repeats 100] [KIND ...]

prints the share of 95 % intervals that hold the truth, as a table in Markdown.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import xbarspice as xb
from xbarspice import calibration, devices
from xbarspice.calibration import Fit, Options, Programming, PulseTrains, Reads, Repeats, Spread
from xbarspice.calibration.model import TIED
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array

PLAIN, OUTLIERS, COMPLIANCE = "plain", "2 % outliers", "compliance dropped"
NOISE = 0.01
"""Relative scatter of measured currents and conductances."""
SHARE = 0.02
"""Of all points that are outliers."""
Intervals = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Trial:
    """One fit to one draw: whether it holds, and its intervals."""

    holds: bool
    intervals: Intervals


@dataclass(frozen=True)
class Kind:
    """A kind of fit.

    Attributes:
        name: of the command and what it is fitted to.
        truth: true values.
        draw: fit of one draw, by seed and case.
        cases: that the command handles.
    """

    name: str
    truth: Mapping[str, float]
    draw: Callable[[int, str], Trial]
    cases: tuple[str, ...] = (PLAIN, OUTLIERS)

    def coverage(self, case: str, repeats: int) -> tuple[dict[str, float], float]:
        """Share of intervals that hold the truth by parameter, and share of fits refused.

        All conductances count as one parameter.
        """
        trials = [self.draw(seed, case) for seed in range(repeats)]
        hits: dict[str, list[bool]] = {name.partition("[")[0]: [] for name in self.truth}
        for intervals in (trial.intervals for trial in trials if trial.holds):
            for name, value in self.truth.items():
                low, high = intervals[name]
                hits[name.partition("[")[0]].append(low <= value <= high)
        shares = {name: float(np.mean(values)) for name, values in hits.items()}
        return shares, float(np.mean([not trial.holds for trial in trials]))


def scatter(clean: Array, rng: np.random.Generator, case: str, noise: float = NOISE) -> Array:
    """Values with noise, and where the case says so with outliers of 30 % either way."""
    return spoil(clean * (1 + noise * rng.standard_normal(clean.shape)), rng, case)


def spoil(values: Array, rng: np.random.Generator, case: str) -> Array:
    """Values, where the case says so with outliers of 30 % either way."""
    if case == OUTLIERS:
        values = values.copy()
        where = rng.choice(values.size, max(round(SHARE * values.size), 1), replace=False)
        values.flat[where] *= 1 + 0.3 * rng.choice([-1, 1], len(where))
    return values


def options(case: str, seed: int) -> Options:
    return Options(loss="huber" if case == OUTLIERS else "linear", seed=seed, free_held=False)


def trial_of(fit: Fit) -> Trial:
    pairs = zip(fit.parameters, fit.low, fit.high, strict=True)
    return Trial(fit.holds, {p.name: (float(low), float(high)) for p, low, high in pairs})


# --- sweeps -------------------------------------------------------------------------------------

RISING = np.linspace(0.02, 0.6, 21)
LOOP = np.concatenate([RISING, RISING[::-1]])
VOLTS = np.concatenate([LOOP, -LOOP])
STATIC = {"cubic_al2o3_tio2": {"T": 30.0}, "nili_pulse": {"T": 30.0}, "ohmic": {}}
"""Fields of the static current, with true values; of all other models b."""
SLOW = ("pickett",)
"""Models of which one fit takes minutes: each evaluation solves two nested equations a point."""


def static_fields(name: str) -> dict[str, float]:
    """Fields of a device model that shape its I-V curve, and their true values."""
    return STATIC.get(name, {"b": 0.9 * getattr(devices.get(name), "b", 1.0)})


def static_conductance(name: str) -> float:
    return {"nili_pulse": 2e-5, "cubic_al2o3_tio2": 2e-5}.get(name, 2e-4)


@functools.cache
def curve_of(name: str) -> Array:
    """Noise-free currents of the loop, A."""
    device = devices.with_parameters(name, static_fields(name))
    crossbar = xb.Crossbar([[static_conductance(name)]], device=device)
    return xb.solve(crossbar, VOLTS[:, None], outside="ignore").I_out[:, 0]


def draw_sweep(name: str, seed: int, case: str) -> Trial:
    rng = child_rng(seed, f"sweeps {name} {case}")
    current = scatter(curve_of(name), rng, case)
    if case == COMPLIANCE:
        limit = 0.6 * np.abs(curve_of(name)).max()
        current = np.clip(current, -limit, limit)
    data = calibration.sweeps(["a"] * VOLTS.size, VOLTS, current)
    if case == COMPLIANCE:
        data = calibration.prepare_sweeps(data, calibration.Handling(drop_compliance=True))
    apart = {field: 1.2 * value for field, value in static_fields(name).items()}
    near = devices.with_parameters(name, apart)
    start = xb.Crossbar([[1.2 * static_conductance(name)]], device=near)
    free = [*(f"device.{field}" for field in static_fields(name)), "G"]
    return trial_of(calibration.fit_reads(start, data, free, options=options(case, seed))[0])


def sweep_kind(name: str) -> Kind:
    truth = {f"device.{field}": value for field, value in static_fields(name).items()}
    return Kind(
        f"sweeps, {name}",
        {**truth, "G[0, 0, 0]": static_conductance(name)},
        functools.partial(draw_sweep, name),
        (PLAIN, OUTLIERS, COMPLIANCE),
    )


# --- arrays -------------------------------------------------------------------------------------

G = np.random.default_rng(0).uniform(1e-4, 5e-4, (4, 4))
WIRES = {"R_wl": 2.0, "R_bl": 2.0, "R_driver": 20.0, "R_sense": 10.0}
ARRAY = xb.Crossbar(G, **WIRES, device=devices.SinhTiO2(b=2.2))


def draw_reads(free: Sequence[str], seed: int, case: str) -> Trial:
    rng = child_rng(seed, f"reads {free} {case}")
    V_in = rng.uniform(0, 0.6, (24, 4))
    I_out = scatter(xb.solve(ARRAY, V_in, outside="ignore").I_out, rng, case)
    start = {
        name: 1.5 * value if name in free or name in TIED.get(free[0], ()) else value
        for name, value in WIRES.items()
    }
    model = devices.SinhTiO2() if "device.b" in free else ARRAY.device
    crossbar = xb.Crossbar(1.1 * G if "G" in free else G, **start, device=model)
    data = Reads(V_in=V_in, I_out=I_out)
    return trial_of(calibration.fit_reads(crossbar, data, free, options=options(case, seed))[0])


def reads_kind(free: Sequence[str]) -> Kind:
    known = {**WIRES, "R_wire": 2.0, "device.b": 2.2}
    truth = {name: known[name] for name in free if name != "G"}
    if "G" in free:
        truth |= {f"G[0, {i}, {j}]": float(G[i, j]) for i, j in np.ndindex(G.shape)}
    return Kind(f"reads, {', '.join(free)}", truth, functools.partial(draw_reads, free))


# --- pulses -------------------------------------------------------------------------------------

PULSED = {
    name: {field: 1.15 * getattr(devices.get(name), field) for field in ("A_p", "A_n")}
    for name in ("o921c_4k", "mt2021", "n1257r", "messaris2018")
}
"""Fields of dynamic models, with true values."""


def draw_pulses(name: str, seed: int, case: str) -> Trial:
    rng = child_rng(seed, f"pulses {name} {case}")
    true = devices.with_parameters(name, PULSED[name])
    assert isinstance(true, devices.DynamicDevice)
    device, V, clean = [], [], []
    for d in range(3):
        low, high = true.state_range
        x = np.array(low + (high - low) * rng.uniform(0.2, 0.5))
        for k in range(31):
            sign = 1 if (k // 10) % 2 == 0 else -1
            V.append(sign * rng.uniform(0.8, 2.0) if k else 0.0)
            x = true.step(x, V[-1], 200e-9, outside="clamp") if k else x
            device.append(d)
            clean.append(float(true.conductance(x)))
    trains = PulseTrains(
        device=np.array(device),
        V=np.array(V),
        width=np.where(np.array(V) == 0, 0.0, 200e-9),
        G=scatter(np.array(clean), rng, case, 0.005),
    )
    chosen = options(case, seed)
    return trial_of(calibration.fit_pulses(name, trains, list(PULSED[name]), options=chosen)[0])


def pulses_kind(name: str) -> Kind:
    truth = {f"device.{field}": value for field, value in PULSED[name].items()}
    return Kind(f"pulses, {name}", truth, functools.partial(draw_pulses, name))


# --- spread and noise ---------------------------------------------------------------------------


def trial_of_spread(spread: Spread) -> Trial:
    return Trial(
        spread.holds, {k.partition(".")[2]: (v.low, v.high) for k, v in spread.values.items()}
    )


def draw_spread(
    truth: Mapping[str, float], devices_count: int, each: int, seed: int, case: str
) -> Trial:
    rng = child_rng(seed, f"spread {truth} {devices_count} {case}")
    device = np.repeat(np.arange(devices_count), each)
    target = rng.uniform(100e-6, 500e-6, device.size)
    offset = truth["cti.offset_mean"] + truth["cti.offset_std"] * rng.standard_normal(devices_count)
    sigma = truth["cti.sigma_0"] + truth["cti.sigma_slope"] * target
    G = target * (1 + offset[device] + sigma * rng.standard_normal(device.size))
    data = Programming(
        device=device,
        target=target,
        G=spoil(G, rng, case),
        G_end=np.full(device.size, np.nan),
        later_writes=np.zeros(device.size, np.intp),
    )
    return trial_of_spread(calibration.fit_spread(data, drop_outliers=case == OUTLIERS))


def spread_kind(name: str, slope: float, devices_count: int = 30, each: int = 4) -> Kind:
    truth = {
        "cti.offset_mean": -0.006,
        "cti.offset_std": 0.01,
        "cti.sigma_0": 0.012,
        "cti.sigma_slope": slope,
    }
    return Kind(
        f"spread, {name}", truth, functools.partial(draw_spread, truth, devices_count, each)
    )


NOISE_TRUTH = {"read_noise.slope": 1e-6, "read_noise.sigma_0": 0.004}
RETENTION_TRUTH = {"retention.nu": 0.02, "retention.nu_std": 0.008}


def draw_noise(timed: bool, seed: int, case: str) -> Trial:
    rng = child_rng(seed, f"noise {timed} {case}")
    level = np.geomspace(50e-6, 500e-6, 24)
    t = np.geomspace(1.0, 1e4, 12)
    nu = RETENTION_TRUTH["retention.nu"] + RETENTION_TRUTH[
        "retention.nu_std"
    ] * rng.standard_normal(24)
    clean = level[:, None] * (t ** -nu[:, None] if timed else np.ones((24, 12)))
    slope, sigma = NOISE_TRUTH.values()
    G_read = clean + (slope + sigma * clean) * rng.standard_normal(clean.shape)
    data = Repeats(
        device=np.repeat(np.arange(24), 12),
        G=spoil(G_read.ravel(), rng, case),
        t=np.tile(t if timed else np.full(12, np.nan), 24),
    )
    return trial_of_spread(calibration.fit_noise(data, drop_outliers=case == OUTLIERS))


def draw_array_noise(seed: int, case: str) -> Trial:
    rng = child_rng(seed, f"noise of an array {case}")
    levels = np.geomspace(20e-6, 500e-6, 12).reshape(3, 4, order="F")
    V = np.repeat(np.vstack([0.2 * np.eye(3), rng.uniform(-0.2, 0.2, (3, 3))]), 20, axis=0)
    slope, sigma = NOISE_TRUTH.values()
    drawn = levels + (slope + sigma * levels) * rng.standard_normal((len(V), 3, 4))
    data = Reads(V_in=V, I_out=spoil((V[:, None] @ drawn)[:, 0], rng, case))
    return trial_of_spread(calibration.fit_read_noise(data, levels, drop_outliers=case == OUTLIERS))


KINDS = (
    *(sweep_kind(name) for name in devices.names() if name not in SLOW),
    reads_kind(["R_wire"]),
    reads_kind(["R_wire", "R_driver"]),
    reads_kind(["R_driver", "R_sense", "device.b"]),
    reads_kind(["G"]),
    reads_kind(["device.b", "G"]),
    *(pulses_kind(name) for name in PULSED),
    spread_kind("slope", -10.0),
    spread_kind("no slope", 0.0),
    spread_kind("no slope, few writes", 0.0, 8, 3),
    Kind("noise, devices", NOISE_TRUTH, functools.partial(draw_noise, False)),
    Kind(
        "noise, retention",
        {**NOISE_TRUTH, **RETENTION_TRUTH},
        functools.partial(draw_noise, True),
    ),
    Kind("noise, array", NOISE_TRUTH, draw_array_noise),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("kinds", nargs="*")
    chosen = parser.parse_args()
    write = sys.stdout.write
    write("| fit | case | intervals that hold the truth, % | refused, % |\n|---|---|---|---|\n")
    for kind in KINDS:
        if chosen.kinds and not any(word in kind.name for word in chosen.kinds):
            continue
        for case in kind.cases:
            shares, refused = kind.coverage(case, chosen.repeats)
            cells = ", ".join(f"`{name}` {100 * share:.1f}" for name, share in shares.items())
            write(f"| {kind.name} | {case} | {cells} | {100 * refused:.1f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
