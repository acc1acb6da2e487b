"""Plots of subjects on real objects: labels and units, and that what is drawn is what they hold."""

from __future__ import annotations

from functools import partial

import klayout.db as kdb
import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.unit.calibration.test_drift import drawn as some_drifts
from tests.unit.calibration.test_figures import fit_of
from tests.unit.calibration.test_inspection import LOOP, ideal, sweep
from tests.unit.calibration.test_life import baked, cycled
from tests.unit.calibration.test_life import log as tuning_log
from tests.unit.calibration.test_pulses import staircase, trains_of
from tests.unit.tapeout.rules.drawn import FAULTS, layout_of
from tests.unit.training.test_designs import NOISY, linear_classifier
from tests.unit.training.test_fitting import TRAIN, VALIDATION, model, short
from tests.unit.transfer.test_study import moons
from xbarspice import calibration
from xbarspice.campaign.forecast import Forecast
from xbarspice.core.errors import InputError
from xbarspice.report import Plot, Section, html
from xbarspice.tapeout.rules import check_layout
from xbarspice.training import compare_designs, fit


def names(ax):
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


@pytest.fixture(scope="module")
def report():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    x = torch.rand(5, 3, dtype=torch.float64)
    config = xb.ArrayConfig(device="sinh_tio2", R_wl=2.0)
    return xb.verify(network.double(), x, np.arange(5) % 2, config=config, reference="nodal")


@pytest.fixture(scope="module")
def study():
    circuit, x, y = moons(R_wl=20.0, R_bl=20.0)
    return xb.transfer.transfer(circuit, x, y, transfers=12)


def test_a_network_is_drawn_by_the_errors_of_its_reads(report, ax):
    assert xb.plot.network(report, ax=ax) is ax
    drawn = np.concatenate([points.get_offsets() for points in ax.collections])
    checks = report.record()["tiles"]["surrogate"]
    expected = [(n, max(check["worst"], 1e-17)) for n, check in enumerate(checks, start=1)]
    np.testing.assert_allclose(sorted(map(tuple, drawn)), expected)
    assert names(ax) == ["0", "2", "gate"]
    gate = next(g["limit"] for g in report.record()["gates"] if "current" in g["name"])
    assert ax.lines[0].get_ydata()[0] == gate
    assert ax.get_ylabel() == "worst error / largest current"
    with pytest.raises(InputError, match="Choose among: surrogate"):
        xb.plot.network(report, "ngspice")


def test_lines_of_an_array_are_drawn_engine_by_engine(ax):
    crossbar = xb.Crossbar([[1e-4, 2e-4], [3e-4, 4e-4]], device="sinh_tio2")
    report = xb.verify_array(crossbar, engines=("surrogate", "linear"), reference="nodal")
    assert xb.plot.lines(report, ax=ax) is ax
    record = report.record()
    for points, engine in zip(ax.collections, record["engines"], strict=True):
        worst = [max(line["worst"], 1e-17) for line in engine["lines"]]
        np.testing.assert_allclose(points.get_offsets()[:, 1], worst)
    ticks = [t.get_text() for t in ax.get_xticklabels()]
    assert ticks == [line["line"] for line in record["engines"][0]["lines"]]
    assert names(ax)[:2] == ["surrogate", "linear"]


def test_reads_of_an_array_stand_beside_its_start_and_compliances_are_marked(ax):
    start, measured = np.array([1e-5, 2e-5, 4e-5]), np.array([1.1e-5, 2e-5, 3e-5])
    limit = calibration.inspection.Irregularity(
        kind="compliance", points=np.array([False, False, True]), option="", text="", limit=3e-5
    )
    assert xb.plot.array_reads(start, measured, [limit], ax=ax) is ax
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), np.stack([start, measured], axis=1))
    np.testing.assert_array_equal(ax.lines[2].get_xydata(), [[4e-5, 3e-5]])
    assert (ax.get_ylabel(), names(ax)) == ("measured (uA)", ["compliance"])


def test_costs_are_bars_and_the_largest_stands_at_the_top(report, ax):
    assert xb.plot.costs(report.record(), ax=ax) is ax
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in ax.patches}
    expected = sorted(cost["rms"] for cost in report.record()["costs"])
    assert [bars[k] for k in range(len(bars))] == expected
    with pytest.raises(InputError, match="costs of parts"):
        xb.plot.costs({"costs": []})


def test_transfers_are_counted_by_their_share_of_right_points(study, ax):
    assert xb.plot.transfers(study, ax=ax) is ax
    record = study.record()
    (stairs, band) = ax.patches
    assert stairs.get_data().values.sum() == study.transfers == 12
    np.testing.assert_allclose(stairs.get_data().edges, record["histogram"]["edges"])
    left, width = band.get_x(), band.get_width()
    assert (left, left + width) == pytest.approx((record["mean_low"], record["mean_high"]))
    assert ax.lines[0].get_xdata()[0] == record["mean"] == pytest.approx(study.right.mean())
    assert ax.get_xlabel() == "right points (%)"


def test_points_are_sorted_by_their_share_of_the_transfers(study, ax):
    xb.plot.transfer_points(study, ax=ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.sort(study.right.mean(axis=0)))
    assert ax.lines[1].get_ydata()[0] == 0.95


def test_transfers_of_outputs_without_classes_are_counted_by_their_change(ax):
    noise = xb.variability.make("relative_noise", sigma=0.05)
    layer = torch.nn.Linear(3, 1).double()
    circuit = xb.nn.convert(layer, xb.ArrayConfig(variation=noise))
    study = xb.transfer.transfer(circuit, torch.rand(6, 3, dtype=torch.float64), transfers=10)
    xb.plot.transfers(study, ax=ax)
    assert ax.get_xlabel() == "change of the outputs, rms / largest (%)"
    assert ax.lines[0].get_xdata()[0] == pytest.approx(study.rms.mean())
    with pytest.raises(InputError, match="only of a model that classifies"):
        xb.plot.transfer_points(study)


def test_a_loss_budget_has_bars_with_intervals(ax):
    circuit, x, y = moons(R_wl=20.0, R_bl=20.0)
    budget = xb.transfer.loss_budget(circuit, x, y, transfers=5)
    assert xb.plot.loss_budget(budget, ax=ax) is ax
    parts = [*(cost.alone for cost in budget.costs), budget.lost]
    alone, among = ax.containers[:2] if len(ax.containers) == 2 else ax.containers[1::2]
    np.testing.assert_allclose([bar.get_width() for bar in alone], [p.value for p in parts])
    (lines,) = alone.errorbar.lines[2]
    ends = np.array([segment[:, 0] for segment in lines.get_segments()])
    np.testing.assert_allclose(ends, [(p.low, p.high) for p in parts], atol=1e-12)
    assert len(among) == len(parts)
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        *(cost.source for cost in budget.costs),
        "all",
    ]
    assert ax.get_xlabel() == "lost right points (%)"


@pytest.mark.parametrize("of", ["objective", "accuracy"])
def test_looks_of_training_are_drawn_over_the_steps(ax, of):
    fitted = fit(model(), TRAIN, VALIDATION, short())
    assert xb.plot.training(fitted, of=of, ax=ax) is ax
    fields = {"objective": ("loss", "objective"), "accuracy": ("noise_free", "accuracy", "count")}
    for line, name in zip(ax.lines, fields[of], strict=False):
        np.testing.assert_array_equal(line.get_xdata(), [look.step for look in fitted.history])
        values = [getattr(look, name) for look in fitted.history]
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert ax.lines[-1].get_xdata()[0] == fitted.best.step
    unit = {"objective": "objective", "accuracy": "right validation points (%)"}
    assert ax.get_ylabel() == unit[of]
    with pytest.raises(InputError, match="`of` must be one of accuracy, objective"):
        xb.plot.training(fitted, of="loss")


def test_choices_of_a_design_are_bars_with_the_recommended_one_at_the_end(ax):
    network, x, y = linear_classifier()
    choices = {"x_scale": [2.0], "placement": ["low", "high"]}
    found = compare_designs(network, NOISY, x, y, choices=choices, transfers=10)
    assert xb.plot.designs(found, ax=ax) is ax
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [*(effect.gain.value for effect in found.effects), found.gain.value]
    ticks = [t.get_text() for t in ax.get_yticklabels()]
    assert ticks[-1] == "recommended"
    assert f"x_scale = {found.effects[ticks.index('x_scale = 2.0')].value}" in ticks


def test_a_fit_is_drawn_as_model_against_data(ax):
    fitted = fit_of()
    assert xb.plot.fit(fitted, ax=ax) is ax
    drawn = np.concatenate([line.get_xydata() for line in ax.lines[1:]])
    both = np.stack([fitted.measured, fitted.predicted], axis=1)
    np.testing.assert_array_equal(sorted(map(tuple, drawn)), sorted(map(tuple, both)))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("measured (uA)", "model (uA)")
    assert names(ax) == ["fitted", "held out"]
    with pytest.raises(InputError, match="`over` must be voltage or order"):
        xb.plot.residuals(fitted, over="time")


@pytest.mark.parametrize("of", ["current", "conductance"])
def test_sweeps_are_drawn_with_what_is_seen_in_them(ax, of):
    current = ideal(LOOP)
    current[10] *= 1.5
    data = sweep(LOOP, current, seed=0)
    (outliers,) = (i for i in calibration.inspect_sweeps(data) if i.kind == "outliers")
    assert xb.plot.sweeps(data, of=of, ax=ax) is ax
    V, current = data.V_in[:, 0], data.I_out[:, 0]
    y = ax.lines[0].get_ydata()
    expected = current[V != 0] if of == "current" else current[V != 0] / V[V != 0]
    np.testing.assert_array_equal(y[V != 0], expected)
    (marked,) = (line for line in ax.lines if line.get_label() == "outliers")
    np.testing.assert_array_equal(marked.get_ydata(), y[outliers.points])
    assert "outliers" in names(ax)
    units = {"current": "current (uA)", "conductance": "current / voltage (uS)"}
    assert ax.get_ylabel() == units[of]


def test_points_that_were_left_out_are_open_circles(ax):
    data = sweep(LOOP, ideal(LOOP), seed=0)
    some = data.take(np.arange(len(data.V_in)) > 5)
    xb.plot.sweeps(some, measured=data, ax=ax)
    assert names(ax)[0] == "left out"
    assert ax.lines[0].get_markerfacecolor() == "none"
    with pytest.raises(InputError, match="`of` must be current or conductance"):
        xb.plot.sweeps(data, of="power")


def test_a_die_shows_stuck_devices_and_the_lines_in_use(ax):
    G = np.full((4, 5), 2e-4)
    G[0, 1], G[2, 3] = 8e-4, 1e-6
    die = calibration.Die(G=G, V_read=0.2, unit="S", settings={}, notices=())
    stuck = die.stuck(calibration.Thresholds(G_min=1e-4, G_max=5e-4))
    choice = {"rows": [1, 3], "cols": [0, 2]}
    assert xb.plot.die(die, stuck, choice=choice, ax=ax) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), G)
    assert names(ax) == ["stuck at low ohm", "stuck at high ohm"]
    assert [tuple(*line.get_xydata()) for line in ax.lines] == [(1, 0), (3, 2)]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1: row 0", "3: row 1"]
    paled = ax.images[1].get_array()[..., 3] > 0
    assert not paled[np.ix_([1, 3], [0, 2])].any()
    assert paled.sum() == 16
    histogram = xb.plot.die_histogram(die, [9e-5, 5.5e-4])
    assert sum(bar.get_height() for bar in histogram.patches) == 20
    assert histogram.get_xlabel() == "conductance (uS)"


@pytest.mark.parametrize("over", ["later writes", "conductance"])
def test_drifts_are_drawn_in_siemens(ax, over):
    data = some_drifts(0)
    assert xb.plot.drifts(data, over=over, ax=ax) is ax
    lines = ax.lines[:1] if over == "later writes" else ax.lines
    drawn = np.concatenate([line.get_ydata() for line in lines])
    np.testing.assert_array_equal(np.sort(drawn), np.sort(data.G_end - data.G))
    assert ax.get_ylabel() == "drift (uS)"
    with pytest.raises(InputError, match="`over` must be later writes or conductance"):
        xb.plot.drifts(data, over="time")


def test_tuning_errors_stand_in_the_band_that_was_fitted(ax):
    data = tuning_log(0)
    found = calibration.fit_tuning_log(data)
    values = {name.rpartition(".")[2]: entry.value for name, entry in found.values.items()}
    assert xb.plot.tuning_errors(data, values, ax=ax) is ax
    np.testing.assert_array_equal(ax.lines[0].get_xydata()[:, 1], data.G - data.target)
    edge = ax.collections[0].get_paths()[0].vertices
    t = edge[:, 0].max()
    width = np.ptp(edge[edge[:, 0] == t, 1])
    assert width == pytest.approx(2 * 1.96 * values["sigma_0"] * t)
    assert names(ax) == ["fitted, 95 %", "fitted, mean"]


def test_stuck_devices_do_not_hide_the_errors_of_the_others(ax):
    data = tuning_log(0)
    count = len(data.target)
    G = data.G.copy()
    G[:2], G[2] = 2e-3, 0.0
    stuck = calibration.Programming(
        device=np.arange(count),
        target=data.target,
        G=G,
        G_end=np.full(count, np.nan),
        later_writes=np.zeros(count, dtype=np.intp),
    )
    values = {"offset_mean": 0.0, "sigma_0": 0.01, "offset_std": 0.01}
    xb.plot.tuning_errors(stuck, values, ax=ax)
    width = 4 * 1.96 * np.hypot(0.01, 0.01) * data.target.max()
    assert ax.get_ylim()[1] == pytest.approx(1.1 * width)
    assert names(ax)[-2:] == ["1 beyond", "2 beyond"]


def test_read_noise_is_about_the_mean_of_the_repeats(ax):
    repeats = calibration.Repeats(
        device=np.array([0, 1, 0, 1]), G=np.array([1e-4, 3e-4, 1.2e-4, 3e-4]), t=np.full(4, np.nan)
    )
    assert xb.plot.read_noise(repeats, ax=ax) is ax
    drawn = ax.lines[1].get_xydata()
    expected = [(1.1e-4, -1e-5), (3e-4, 0), (1.1e-4, 1e-5), (3e-4, 0)]
    np.testing.assert_allclose(drawn, expected, atol=1e-15)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "conductance, mean of its reads (uS)",
        "read - mean (uS)",
    )
    V, I_out = np.array([[0.1], [0.2], [0.1]]), np.array([[1e-5], [2e-5], [3e-5]])
    axes = xb.plot.read_noise(calibration.Reads(V_in=V, I_out=I_out))
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [-1e-5, 0, 1e-5], atol=1e-15)


def test_retention_is_over_the_first_read_and_cycles_have_two_states(ax):
    data = baked(0, devices=10)
    assert xb.plot.retention(data, 0.1, ax=ax) is ax
    first = data.device == 0
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), data.G[first] / data.G[first][0])
    assert names(ax)[-1] == "failed beyond"
    assert len(names(ax)) == 8 + 1
    both = xb.plot.cycles(states := cycled(0, devices=2))
    for line, state in zip(both.lines, ("HRS", "LRS"), strict=False):
        of = states.device == 0
        values = states.state(state)[of]
        assert any(np.array_equal(values, other.get_ydata()) for other in both.lines), line
    assert both.get_ylabel() == "conductance (S)"


def test_pulses_and_branches_are_dots_with_the_model_as_lines(ax):
    branches = calibration.branches_of(staircase(0))
    curves = calibration.fit_curves(branches)
    assert xb.plot.branch_curves(curves, branches, "depression", ax=ax) is ax
    assert names(ax) == ["d0", "d1"]
    assert ax.get_ylabel() == "conductance (uS)"
    with pytest.raises(InputError, match="`branch` must be one that the data have"):
        xb.plot.branch_curves(curves, branches, "sideways")
    _, trains = trains_of("o921c_4k", {}, (1.5, 1.5), 2e-7, 0, pulses=10)
    found = calibration.fit_pulses("o921c_4k", trains, ["A_p"])
    axes = xb.plot.pulse_trains(found[0], trains)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), trains.G[trains.device == 0])
    assert axes.get_xlabel() == "pulse"


def test_parts_of_a_tapeout_are_drawn(ax):
    places = [
        {"number": str(k), "left": 10.0 * k, "right": 10.0 * k + 8, "bottom": 0.0, "top": 5.0}
        for k in range(3)
    ]
    assert xb.plot.floorplan(places, ["a", "a", "b"], ax=ax) is ax
    assert [(p.get_x(), p.get_width()) for p in ax.patches] == [(0, 8), (10, 8), (20, 8)]
    assert names(ax) == ["a", "b"]
    assert [t.get_text() for t in ax.texts] == ["0", "1", "2"]
    drop = np.array([[0.01, 0.02]])
    axes = xb.plot.voltage_drop(drop)
    np.testing.assert_array_equal(axes.images[0].get_array(), drop)
    assert axes.figure.axes[1].get_ylabel() == "voltage drop (%)"
    parts = [
        {"line": "word line", "part": "wire", "largest_share": share} for share in (0.2, 1.5, 0.4)
    ]
    bars = xb.plot.loads(parts)
    assert [bar.get_width() for bar in bars.patches] == [1.5]
    assert bars.get_xlabel() == "load, share of the limit (%)"


def test_faults_are_marked_in_the_layout_at_their_places(ax):
    technology = xb.tapeout.load_technology("sky130b")
    layout = layout_of(FAULTS[0].parts)
    (violation,) = check_layout(layout, technology).record()["violations"]
    lost = {"kind": "drawing", "place": "somewhere", "x_um": None, "y_um": None}
    assert xb.plot.layout_faults(layout, technology, [violation, lost], ax=ax) is ax
    assert names(ax)[-1] == "met1.width (1)"
    marks = ax.collections[-1].get_offsets()
    left, bottom, right, top = violation["box"]
    centre = [(left + right) / 2, (bottom + top) / 2]
    np.testing.assert_allclose(marks, [centre])
    close = xb.plot.layout_faults(layout, technology, [violation], near=violation)
    room = 3 * max(technology.array.pitch)
    assert np.mean(close.get_xlim()) == pytest.approx(centre[0])
    assert np.diff(close.get_xlim()) == pytest.approx(2 * room * 1.06, rel=1e-3)
    fault = {"kind": "short", "place": "there", "x_um": 0.5, "y_um": 0.25}
    again = xb.plot.layout_faults(layout, technology, [fault], cell="TOP")
    np.testing.assert_allclose(again.collections[-1].get_offsets(), [(0.5, 0.25)])
    with pytest.raises(InputError, match="must name a cell"):
        xb.plot.layout_faults(layout, technology, [fault], cell="none")


def test_a_layout_of_too_many_shapes_is_an_outline(ax):
    technology = xb.tapeout.load_technology("sky130b")
    layout = layout_of({})
    layer, top = layout.layer(*technology.device.layer), layout.top_cell()
    for k in range(20_001):
        top.shapes(layer).insert(kdb.Box(10 * k, 0, 10 * k + 5, 5))
    xb.plot.layout_faults(layout, technology, [], ax=ax)
    assert names(ax) == ["outline of the cell"]
    (outline,) = ax.patches
    assert outline.get_width() == pytest.approx(200.005)


@pytest.mark.parametrize("lines", [2, 9])
def test_segments_stand_beside_the_nominal_ones(ax, lines):
    values = np.linspace(0.9, 1.3, 3 * lines).reshape(lines, 3)
    record = {
        "lines": [{"name": f"WL<{k}>", "segments_ohm": v.tolist()} for k, v in enumerate(values)],
        "nominal_ohm": {"R_wl": 1.0, "R_bl": 2.0},
    }
    record["lines"].append({"name": "BL<0>", "segments_ohm": None})
    assert xb.plot.segments(record, "WL", ax=ax) is ax
    *curves, nominal = ax.lines
    np.testing.assert_array_equal(nominal.get_ydata(), [1.0, 1.0])
    expected = values if lines == 2 else [np.median(values, axis=0)]
    np.testing.assert_allclose([curve.get_ydata() for curve in curves], expected)
    np.testing.assert_array_equal(curves[0].get_xdata(), [0.5, 1.5, 2.5])
    assert ax.get_ylabel() == "segment of a word line (ohm)"
    assert xb.plot.segments(record, "BL").lines[0].get_ydata()[0] == 2.0
    with pytest.raises(InputError, match="WL or BL"):
        xb.plot.segments(record, "XL")


def test_a_campaign_is_drawn_with_the_forecast_of_the_rest(ax):
    seconds, done = np.arange(601.0), 100 + 2 * np.arange(601)
    rest = Forecast(rate=2.0, seconds=900.0, low=800.0, high=1200.0)
    assert xb.plot.campaign(seconds, done, total=3100, rest=rest, ax=ax) is ax
    curve, whole, ahead = ax.lines
    assert len(curve.get_xdata()) == 200
    assert (curve.get_xdata()[-1], curve.get_ydata()[-1]) == (600, 1300)
    assert whole.get_ydata()[0] == 3100
    np.testing.assert_array_equal(np.transpose(ahead.get_data()), [(600, 1300), (1500, 3100)])
    (band,) = ax.patches
    np.testing.assert_array_equal(
        band.get_xy(), [(600, 1300), (1400, 3100), (1800, 3100), (600, 1300)]
    )
    assert ax.get_xlabel() == "time of this run (min)"
    ax.figure.canvas.draw()
    assert [t.get_text() for t in ax.get_xticklabels()][1:5] == ["0", "5", "10", "15"]
    endless = xb.plot.campaign(
        seconds, done, total=3100, rest=Forecast(rate=2.0, seconds=900.0, low=1.0, high=np.inf)
    )
    assert endless.get_xlim()[1] == 600 + 2 * 900
    assert "95 % interval" in names(endless)
    unknown = Forecast(rate=2.0, seconds=900.0, low=0.0, high=np.inf)
    assert "95 % interval" not in names(xb.plot.campaign(seconds, done, total=3100, rest=unknown))
    assert names(xb.plot.campaign([0.0], [0])) == ["done"]


def test_on_a_page_text_takes_the_colour_of_the_page():
    crossbar = xb.Crossbar([[1e-4, 0.0], [2e-4, 3e-4]])
    plot = Plot(draw=partial(xb.plot.conductances, crossbar), alt="map", caption="A map.")
    text = html("Page", [Section(title="One", items=[plot])])
    assert "conductance (uS)" in text
    assert "#000000" not in text
    assert "currentColor" in text


def test_a_page_is_drawn_in_the_default_style_whatever_the_users_is():
    import matplotlib as mpl

    crossbar = xb.Crossbar([[1e-4, 2e-4]])
    plot = Plot(draw=partial(xb.plot.conductances, crossbar), alt="map", caption="A map.")
    section = [Section(title="One", items=[plot])]
    plain = html("Page", section)
    with mpl.rc_context({"text.color": "white", "axes.labelcolor": "red", "font.size": 20}):
        assert html("Page", section) == plain
