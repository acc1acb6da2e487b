"""Calibration: fit the models to measured data, and say how well they are known."""

from xbarspice.studies.calibrate.fit import Fit, Noise, Options, fit_reads
from xbarspice.studies.calibrate.records import Programming, PulseTrains, Reads, sweeps

__all__ = ["Fit", "Noise", "Options", "Programming", "PulseTrains", "Reads", "fit_reads", "sweeps"]
