"""Calibration: fit the models to measured data, and say how well they are known."""

from xbarspice.studies.calibrate.assignment import best_lines
from xbarspice.studies.calibrate.cards import (
    card_of,
    card_of_spread,
    record_of,
    record_of_spread,
)
from xbarspice.studies.calibrate.die import Die, Thresholds, read_die
from xbarspice.studies.calibrate.fit import Fit, Noise, Options, fit_reads
from xbarspice.studies.calibrate.noise import fit_noise, fit_read_noise
from xbarspice.studies.calibrate.pulses import fit_pulses
from xbarspice.studies.calibrate.readers import (
    read_programming,
    read_pulses,
    read_reads,
    read_repeats,
    read_sweeps,
)
from xbarspice.studies.calibrate.records import Programming, PulseTrains, Reads, Repeats, sweeps
from xbarspice.studies.calibrate.spread import Spread, fit_spread

__all__ = [
    "Die",
    "Fit",
    "Noise",
    "Options",
    "Programming",
    "PulseTrains",
    "Reads",
    "Repeats",
    "Spread",
    "Thresholds",
    "best_lines",
    "card_of",
    "card_of_spread",
    "fit_noise",
    "fit_pulses",
    "fit_read_noise",
    "fit_reads",
    "fit_spread",
    "read_die",
    "read_programming",
    "read_pulses",
    "read_reads",
    "read_repeats",
    "read_sweeps",
    "record_of",
    "record_of_spread",
    "sweeps",
]
