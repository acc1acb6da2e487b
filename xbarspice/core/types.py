"""The three kinds of NumPy arrays that the package passes around."""

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Flags", "Indices"]

Array = npt.NDArray[np.float64]
"""Real numbers, in the unit that the docstring of the argument states."""
Indices = npt.NDArray[np.intp]
"""Positions along an axis, or counts."""
Flags = npt.NDArray[np.bool_]
"""Truth values: one an entry of another array."""
