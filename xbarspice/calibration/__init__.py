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
from xbarspice.calibration.cycling import Cycles, fit_cycling
from xbarspice.calibration.die import Die, Thresholds, read_die
from xbarspice.calibration.drift import Drifts, drifts_of_maps, fit_drift
from xbarspice.calibration.fit import Fit
from xbarspice.calibration.handling import Handling, prepare_sweeps
from xbarspice.calibration.inspection import blind_spots, inspect_sweeps
from xbarspice.calibration.joint import Joint, fit_joint
from xbarspice.calibration.joint_problem import MeasuredDie
from xbarspice.calibration.log_readers import (
    read_cycles,
    read_pulses,
    read_retention,
    read_tuning,
)
from xbarspice.calibration.measurements import (
    Kelvin,
    Programming,
    PulseTrains,
    Reads,
    Repeats,
    sweeps,
)
from xbarspice.calibration.noise import fit_noise, fit_read_noise
from xbarspice.calibration.problem import Noise, Options
from xbarspice.calibration.pulses import fit_pulses
from xbarspice.calibration.readers import (
    read_drifts,
    read_kelvin,
    read_programming,
    read_reads,
    read_repeats,
    read_sweeps,
)
from xbarspice.calibration.retention import Retention, fit_retention
from xbarspice.calibration.spread import Spread, fit_spread
from xbarspice.calibration.tuning_log import TuningLog, fit_tuning_log

__all__ = [
    "Comparisons",
    "Cycles",
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
    "Retention",
    "Spread",
    "Thresholds",
    "TuningLog",
    "best_lines",
    "blind_spots",
    "branches_of",
    "card_of",
    "card_of_spread",
    "drifts_of_maps",
    "fit_and_compare",
    "fit_curves",
    "fit_cycling",
    "fit_drift",
    "fit_joint",
    "fit_noise",
    "fit_pulses",
    "fit_read_noise",
    "fit_reads",
    "fit_retention",
    "fit_spread",
    "fit_tuning_log",
    "inspect_sweeps",
    "prepare_sweeps",
    "read_cycles",
    "read_die",
    "read_drifts",
    "read_kelvin",
    "read_programming",
    "read_pulses",
    "read_reads",
    "read_repeats",
    "read_retention",
    "read_sweeps",
    "read_tuning",
    "record_of",
    "record_of_spread",
    "sweeps",
]
