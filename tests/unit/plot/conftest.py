"""Axes of figures that no test shares, and a look at what is drawn."""

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def ax():
    return Figure(layout="constrained").add_subplot()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    from matplotlib import pyplot as plt

    plt.close("all")
