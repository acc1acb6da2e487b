import numpy as np
import pytest
import torch

import xbarspice as xb
from xbarspice.core.errors import InputError


@pytest.fixture(scope="module")
def crossbar():
    rng = np.random.default_rng(0)
    G = rng.uniform(1e-5, 1e-4, (4, 3))
    G[1, 2] = 0
    return xb.Crossbar(G, R_wl=2.0, R_bl=3.0, device="sinh_tio2")


@pytest.fixture(scope="module")
def solutions(crossbar):
    """By vectors and engine: one, three and twenty."""
    V = np.random.default_rng(1).uniform(0.05, 0.2, (20, 4))
    return {
        (n, engine): xb.solve(crossbar, V[:n], engine=engine, full=True)
        for n in (1, 3, 20)
        for engine in ("surrogate", "nodal")
    }


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("of", ["bit lines", "word lines"])
def test_currents_are_those_of_the_solution_in_amperes(solutions, ax, n, of):
    solution = solutions[n, "nodal"]
    assert xb.plot.currents(solution, of=of, ax=ax) is ax
    values = solution.I_out if of == "bit lines" else solution.I_in
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], values)
    assert ax.get_ylabel() == "current (uA)"
    assert ax.get_xlabel() == {"bit lines": "bit line (column)"}.get(of, "word line (row)")


def test_currents_of_many_vectors_are_a_median_in_a_band(solutions, ax):
    I_out = solutions[20, "nodal"].I_out
    xb.plot.currents(solutions[20, "nodal"], ax=ax)
    (line,), (band,) = ax.lines, ax.collections
    np.testing.assert_array_equal(line.get_ydata(), np.median(I_out, axis=0))
    corners = band.get_paths()[0].vertices[:, 1]
    assert (corners.min(), corners.max()) == (I_out.min(), I_out.max())
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["smallest to largest", "median of 20 vectors"]


def test_curves_that_are_added_are_named_and_differ(solutions, ax):
    xb.plot.currents(solutions[1, "nodal"], label="golden", ax=ax)
    xb.plot.currents(solutions[1, "surrogate"], label="fast $1", ax=ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["golden", r"fast \$1"]
    assert ax.lines[0].get_color() != ax.lines[1].get_color()


@pytest.mark.parametrize("of", ["devices", "word lines", "bit lines"])
def test_voltages_are_those_of_the_vector_that_was_asked_for(solutions, ax, of):
    s = solutions[3, "nodal"]
    values = {"devices": s.V_wl - s.V_bl, "word lines": s.V_wl, "bit lines": s.V_bl}[of][2]
    assert xb.plot.voltages(s, of=of, vector=2, ax=ax) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), values)
    assert ax.images[0].get_clim() == (values.min(), values.max())
    unit = "uV" if of == "bit lines" and values.max() < 1e-3 else "mV"
    assert ax.figure.axes[1].get_ylabel().endswith(f"({unit})")


def test_errors_are_over_the_largest_golden_current(solutions, ax):
    fast, golden = solutions[20, "surrogate"], solutions[20, "nodal"]
    assert xb.plot.errors(fast, golden, ax=ax) is ax
    share = np.abs(fast.I_out - golden.I_out) / np.abs(golden.I_out).max()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.maximum(share.max(0), 1e-17))
    np.testing.assert_allclose(ax.lines[1].get_ydata(), np.maximum(np.median(share, 0), 1e-17))
    assert ax.lines[2].get_ydata()[0] == fast.stats.error_at_most
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names[0] == "surrogate against nodal, largest of 20 vectors"
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize(
    ("draw", "rule"),
    [
        (lambda s: xb.plot.currents(s[1, "nodal"], of="cells"), "`of` must be one of bit lines"),
        (lambda s: xb.plot.voltages(s[1, "nodal"], of="cells"), "`of` must be one of devices"),
        (lambda s: xb.plot.voltages(s[3, "nodal"], vector=3), "one of the 3 of the solution"),
        (lambda s: xb.plot.errors(s[1, "nodal"], s[3, "nodal"]), "equally many vectors"),
        (
            lambda s: xb.plot.errors(*2 * [xb.solve(xb.Crossbar([[1e-4]]), [0.0])]),
            "some golden current must differ from 0",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_a_figure_is_made(solutions, draw, rule):
    from matplotlib import pyplot as plt

    with pytest.raises(InputError, match=rule):
        draw(solutions)
    assert plt.get_fignums() == []


def test_without_axes_a_figure_of_pyplot_is_made(solutions):
    from matplotlib import pyplot as plt

    ax = xb.plot.currents(solutions[1, "nodal"])
    assert plt.gcf() is ax.figure


def test_solutions_of_tensors_are_drawn_too(crossbar, solutions, ax):
    G = torch.tensor(crossbar.G, requires_grad=True)
    V = torch.full((4,), 0.1, dtype=torch.float64)
    solution = xb.nn.solve(G, V, R_wl=2.0, R_bl=3.0, device="sinh_tio2")
    xb.plot.currents(solution, ax=ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), solution.I_out.detach().numpy())
    drawn = np.asarray(xb.plot.voltages(solution).images[0].get_array())
    np.testing.assert_array_equal(drawn, (solution.V_wl - solution.V_bl).detach().numpy())


def test_absent_devices_are_left_out_of_the_map_of_conductances(crossbar, ax):
    assert xb.plot.conductances(crossbar, ax=ax) is ax
    drawn = ax.images[0].get_array()
    np.testing.assert_array_equal(drawn.mask, crossbar.G == 0)
    np.testing.assert_array_equal(drawn.compressed(), crossbar.G[crossbar.G > 0])
    assert ax.figure.axes[1].get_ylabel() == "conductance (uS)"
    with pytest.raises(InputError, match="one of the 1 arrays"):
        xb.plot.conductances(crossbar, item=1)


def test_pairs_are_the_weights_up_to_one_scale(ax):
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 3, bias=False).double()
    circuit = xb.nn.convert(torch.nn.Sequential(layer), xb.ArrayConfig())
    (tile,) = xb.nn.tiles(circuit)
    assert xb.plot.pairs(tile, ax=ax) is ax
    drawn, W = np.asarray(ax.images[0].get_array()), layer.weight.detach().numpy().T
    np.testing.assert_allclose(drawn / np.abs(drawn).max(), W / np.abs(W).max(), atol=1e-12)
    xb.plot.conductances(tile)


def test_curves_of_a_device_are_its_currents(ax):
    device = xb.devices.get("sinh_tio2")
    assert xb.plot.device_currents("sinh_tio2", [2e-5, 1e-4], ax=ax) is ax
    for line, G in zip(ax.lines, (2e-5, 1e-4), strict=True):
        V = line.get_xdata()
        np.testing.assert_array_equal(line.get_ydata(), device.current(V, np.full_like(V, G)))
        assert V.max() <= device.V_max
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["20 uS", "100 uS"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("voltage (V)", "current (uA)")


def test_writes_go_up_and_come_down_again(ax):
    device = next(d for n in xb.devices.names() if is_writable(d := xb.devices.get(n)))
    xb.plot.device_writes(device, pulses=5, ax=ax)
    for line in ax.lines:
        G = np.asarray(line.get_ydata())
        assert len(G) == 11
        assert G[5] > G[0]
        assert G[-1] < G[5]
    with pytest.raises(InputError, match="need a device with a state"):
        xb.plot.device_writes("ohmic")
    with pytest.raises(InputError, match="`V` must be two voltages"):
        xb.plot.device_writes(device, V=[1.0])


def is_writable(device):
    try:
        device.refuse_writing()
    except (AttributeError, InputError):
        return False
    return True
