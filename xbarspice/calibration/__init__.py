"""Calibration: fit the models to measured data, and say how well they are known."""

from xbarspice.calibration.array_fit import fit_reads
from xbarspice.calibration.assignment import best_lines
from xbarspice.calibration.branches import branches_of, fit_curves
from xbarspice.calibration.cards import (
    card_of,
    card_of_spread,
    record_of,
    record_of_spread,
)
from xbarspice.calibration.comparisons import Comparisons, fit_and_compare
from xbarspice.calibration.die import Die, Thresholds, read_die
from xbarspice.calibration.drift import Drifts, drifts_of_maps, fit_drift
from xbarspice.calibration.fit import Fit, Noise, Options
from xbarspice.calibration.handling import Handling, prepare_sweeps
from xbarspice.calibration.inspection import blind_spots, inspect_sweeps
from xbarspice.calibration.joint import Joint, fit_joint
from xbarspice.calibration.joint_problem import MeasuredDie
from xbarspice.calibration.measurements import (
    Kelvin,
    Programming,
    PulseTrains,
    Reads,
    Repeats,
    sweeps,
)
from xbarspice.calibration.noise import fit_noise, fit_read_noise
from xbarspice.calibration.pulses import fit_pulses
from xbarspice.calibration.readers import (
    read_drifts,
    read_kelvin,
    read_programming,
    read_pulses,
    read_reads,
    read_repeats,
    read_sweeps,
)
from xbarspice.calibration.spread import Spread, fit_spread

__all__ = [
    "Comparisons",
    "Die",
    "Drifts",
    "Fit",
    "Handling",
    "Joint",
    "Kelvin",
    "MeasuredDie",
    "Noise",
    "Options",
    "Programming",
    "PulseTrains",
    "Reads",
    "Repeats",
    "Spread",
    "Thresholds",
    "best_lines",
    "blind_spots",
    "branches_of",
    "card_of",
    "card_of_spread",
    "drifts_of_maps",
    "fit_and_compare",
    "fit_curves",
    "fit_drift",
    "fit_joint",
    "fit_noise",
    "fit_pulses",
    "fit_read_noise",
    "fit_reads",
    "fit_spread",
    "inspect_sweeps",
    "prepare_sweeps",
    "read_die",
    "read_drifts",
    "read_kelvin",
    "read_programming",
    "read_pulses",
    "read_reads",
    "read_repeats",
    "read_sweeps",
    "record_of",
    "record_of_spread",
    "sweeps",
]
