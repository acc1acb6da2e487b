import itertools
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import xbarspice as xb
from xbarspice.plot import axes, maps


def ticks(axis):
    """Texts of the ticks in view, after drawing."""
    axis.get_figure().draw_without_rendering()
    low, high = sorted(axis.get_view_interval())
    return [
        t.get_text()
        for t, x in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if low <= x <= high
    ]


@pytest.mark.parametrize(
    ("values", "unit", "label", "texts"),
    [
        ([0, 1e-4], "A", "current (uA)", ["0", "20", "40", "60", "80", "100"]),
        ([0, 0.2], "V", "current (mV)", ["0", "50", "100", "150", "200"]),
        ([-0.02, 0.02], "%", "current (%)", ["\N{MINUS SIGN}2.0", "0.0", "1.5"]),
        ([0, 4], "", "current", ["0.0", "0.5", "4.0"]),
        ([199.9999e-3, 200.0001e-3], "V", "current (mV)", None),
    ],
)
def test_the_prefix_follows_the_range(ax, values, unit, label, texts):
    ax.plot([0, 1], values)
    axes.set_quantity(ax.yaxis, "current", unit)
    shown = ticks(ax.yaxis)
    assert ax.get_ylabel() == label
    if texts is None:  # a narrow range: digits enough to tell the ticks apart
        assert len(set(shown)) == len(shown) >= 3
        assert shown[0].startswith("199.999")
    else:
        assert set(texts) <= set(shown)


def test_the_prefix_is_right_after_more_curves_and_after_zooming(ax):
    ax.plot([0, 1], [0, 3e-6])
    axes.set_quantity(ax.yaxis, "current", "A")
    assert ax.get_ylabel() == "current (uA)"
    ax.plot([0, 1], [0, 3e-3])
    ticks(ax.yaxis)
    assert ax.get_ylabel() == "current (mA)"
    ax.set_ylim(0, 5e-9)
    assert ticks(ax.yaxis)[-1] == "5"
    assert ax.get_ylabel() == "current (nA)"


def test_each_tick_of_a_logarithmic_axis_has_its_prefix(ax):
    ax.plot([0, 1], [1e-8, 1e-5])
    ax.set_yscale("log")
    axes.set_quantity(ax.yaxis, "conductance", "S")
    assert {"10n", "100n", "1u", "10u"} <= set(ticks(ax.yaxis))
    assert ax.get_ylabel() == "conductance (S)"


def test_legends_stand_above_the_curves_and_in_the_figure():
    for count, words in ((2, "short"), (6, "a label with several words"), (30, "x")):
        ax = Figure(figsize=(4.6, 3.4), layout="constrained").add_subplot()
        for k in range(count):
            ax.plot([0, 1], [k, k], label=f"{words} {k}")
        axes.place_legend(ax)
        ax.figure.draw_without_rendering()
        box, frame = ax.get_legend().get_window_extent(), ax.get_window_extent()
        assert box.y0 >= frame.y1 - 1
        assert box.x1 <= ax.figure.bbox.x1
        assert box.y1 <= ax.figure.bbox.y1


def test_no_legend_stands_where_nothing_has_a_name(ax):
    ax.plot([0, 1])
    axes.place_legend(ax)
    assert ax.get_legend() is None


SIMULATED = {
    "all cones": np.eye(3),
    "no red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
"""What linear sRGB becomes: Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113."""
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.95047], [1.0], [1.08883]])


def _linear(colour):
    """Linear sRGB of a colour (IEC 61966-2-1)."""
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear):
    """CIE L*a*b* under D65."""
    xyz = TO_XYZ @ np.clip(linear, 0, 1)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("ground", ["#ffffff", "#14181c"])
def test_curves_can_be_told_from_the_light_and_the_dark_page(ground):
    """Contrast as of WCAG 2.2."""
    for colour in (*axes.COLOURS, axes.ABSENT):
        both = (float(_linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (colour, ground))
        low, high = sorted(both)
        assert high / low >= 3, colour


@pytest.mark.parametrize("kind", SIMULATED)
def test_curves_can_be_told_apart_by_people_who_lack_cones(kind):
    seen = [_lab(np.array(SIMULATED[kind]) @ _linear(colour)) for colour in axes.COLOURS]
    for a, b in itertools.combinations(range(len(seen)), 2):
        distance = np.linalg.norm(seen[a] - seen[b])
        assert distance >= 25, (axes.COLOURS[a], axes.COLOURS[b], distance)


def test_reference_lines_take_the_colour_of_text():
    from matplotlib import style

    with style.context("dark_background"):
        assert axes.text_colour() == "white"
    assert axes.text_colour() == "black"


def test_curves_have_markers_where_colours_repeat():
    kinds = [(axes.colour(k), axes.marker(k)) for k in range(36)]
    assert len(set(kinds)) == 36


def test_numbers_in_cells_are_the_values_in_the_units_of_the_bar(ax):
    values = np.array([[1.25e-5, np.nan], [0.0, -4e-5]])
    image = maps.cell_map(ax, values, "drift", "S", signed=True)
    assert [t.get_text() for t in ax.texts] == ["12.5", "0.0", "-40.0"]
    np.testing.assert_array_equal(image.get_array().filled(np.nan), values)
    assert image.get_clim() == (-4e-5, 4e-5)
    assert to_hex(image.cmap(np.ma.masked)) == axes.ABSENT
    assert ax.figure.axes[1].get_ylabel() == "drift (uS)"


@pytest.mark.parametrize("value", [3e-4, 0.0, np.nan])
def test_maps_of_equal_or_no_values_are_drawn(ax, value):
    image = maps.cell_map(ax, np.full((2, 3), value), "conductance", "S")
    low, high = image.get_clim()
    assert low < high
    ax.figure.draw_without_rendering()


def test_every_public_plot_takes_axes_and_gives_axes():
    import inspect

    assert set(dir(xb.plot)) == set(xb.plot.__all__)
    for name in xb.plot.__all__:
        parameter = inspect.signature(getattr(xb.plot, name)).parameters["ax"]
        assert (parameter.kind, parameter.default) == (parameter.KEYWORD_ONLY, None), name


def test_without_matplotlib_a_plot_is_one_sentence_and_the_module_stands():
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import xbarspice as xb\n"
        "s = xb.solve(xb.Crossbar([[1e-4]]), [0.1], engine='nodal')\n"
        "xb.plot.currents(s)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert "PackageMissingError: xbarspice needs the Python package `matplotlib`" in last
    assert 'pip install "xbarspice[plot]"' in last
