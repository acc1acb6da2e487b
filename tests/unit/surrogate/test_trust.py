"""The trust region: levels, the map, its sweep, and warnings that come once."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

import xbarspice as xb
from tests.helpers import small_network
from xbarspice import nn
from xbarspice.config import SweepConfig
from xbarspice.core.errors import InputError, TrustWarning
from xbarspice.importers.perceptron_model import perceptron_module
from xbarspice.surrogate import trust
from xbarspice.surrogate.levels import IdealEngine
from xbarspice.transfer import transfer
from xbarspice.variability import drolet_2023
from xbarspice.verification.trust_sweep import journal_of, sweep

TINY = SweepConfig(
    sizes=(2, 5),
    R_wire=(1.0, 10.0),
    G_max=(1e-4, 5e-4),
    V_read=(0.1, 0.2),
    devices=("ohmic", "sinh_tio2"),
    vectors=2,
)
POINTS = 2 * 2 * 2 * 2


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Every test starts as a new program does: nothing was warned of."""
    monkeypatch.setattr(trust, "_said", set())
    monkeypatch.delenv(trust.VARIABLE, raising=False)


def hand_made(**changes):
    """Errors 1, 2, 3 ... along the sizes, 10 times that for the larger wire; one bump."""
    ideal = np.array([[1e-3, 1e-2], [2e-3, 2e-2], [3e-3, 3e-2]])[:, :, None, None]
    ideal = np.tile(ideal, (1, 1, 2, 2))
    ideal[0, 0, 0, 0] = 2.5e-3  # not monotone: a larger point inherits it
    values = {
        "axes": {
            "size": (4, 8, 16),
            "R_wire": (1.0, 10.0),
            "G_max": (1e-4, 5e-4),
            "V_read": (0.1, 0.2),
        },
        "errors": {"ohmic": {"ideal": ideal}},
        "source": {"seed": 0},
    }
    return trust.TrustMap(**(values | changes))


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ((4, 1.0, 1e-4, 0.1), 2.5e-3),
        ((8, 1.0, 1e-4, 0.1), 2.5e-3),
        ((9, 0.5, 1e-5, 0.05), 3e-3),
        ((16, 1.0, 5 * 100e-6, 0.2), 3e-3),
        ((2, 1.1, 1e-4, 0.1), 1e-2),
        ((17, 1.0, 1e-4, 0.1), math.nan),
        ((4, 10.1, 1e-4, 0.1), math.nan),
        ((4, 1.0, 6e-4, 0.1), math.nan),
        ((4, 1.0, 1e-4, 0.3), math.nan),
    ],
)
def test_a_problem_is_looked_up_on_the_safe_side(place, error):
    level_error = hand_made().look_up("ideal", "ohmic", **dict(zip(trust.AXES, place, strict=True)))
    assert level_error == pytest.approx(error, nan_ok=True)


def test_what_the_map_does_not_hold_is_not_trusted():
    trust_map = hand_made()
    place = {"size": 4, "R_wire": 1.0, "G_max": 1e-4, "V_read": 0.1}
    assert math.isnan(trust_map.look_up("linear", "ohmic", **place))
    assert math.isnan(trust_map.look_up("ideal", "sinh_tio2", **place))
    device = xb.devices.SinhTiO2(b=1.0)
    crossbar = xb.Crossbar(np.full((2, 2), 1e-4), device=device)
    assert math.isnan(trust.packaged().error("linear", crossbar, 0.1))
    sizes = trust_map.largest("ideal", "ohmic", 2.5e-3)
    assert sizes.shape == (2, 2, 2)
    assert (sizes[0] == 8).all()
    assert (sizes[1] == 0).all()


def test_above_a_size_the_surrogate_stands_for_the_reference_but_for_one_point(tmp_path):
    """There it differs by its bound at most, which is then more than at the sizes below."""
    both = [
        sweep(TINY.model_copy(update={"reference_up_to": up_to}), tmp_path / f"{up_to}.toml")
        for up_to in (5, 2)
    ]
    for device in TINY.devices:
        full, reduced = (m.errors[device] for m in both)
        np.testing.assert_array_equal(full["ideal"][0], reduced["ideal"][0])
        assert reduced["nonlinear"][1].min() > 0
        assert reduced["nonlinear"][1].max() < 1e-9
        assert full["ideal"][1] == pytest.approx(reduced["ideal"][1], rel=0.5)
    assert both[1].source["reference_up_to"] == 2


def test_toml_and_back(tmp_path):
    trust_map = hand_made()
    (tmp_path / "map.toml").write_text(trust_map.to_toml())
    copy = trust.load(tmp_path / "map.toml")
    assert copy.axes == trust_map.axes
    assert copy.source == trust_map.source
    np.testing.assert_allclose(copy.errors["ohmic"]["ideal"], trust_map.errors["ohmic"]["ideal"])


@pytest.mark.parametrize("text", ["x = = 1", "a = 1", "[axes]\nsize = [4]"])
def test_a_file_that_is_no_map_is_refused(tmp_path, text):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(InputError, match=r"must be (a map|TOML)"):
        trust.load(tmp_path / "map.toml")
    with pytest.raises(InputError, match="must exist"):
        trust.load(tmp_path / "none.toml")


def test_the_shipped_map():
    """It covers all devices and levels, was made with ngspice, and the exact level is exact."""
    trust_map = trust.packaged()
    assert trust_map.source["reference"].startswith("ngspice")
    assert set(trust_map.errors) == {"ohmic", "sinh_tio2", "cubic_al2o3_tio2"}
    assert max(trust_map.axes["size"]) >= 256
    large = np.array(trust_map.axes["size"]) > trust_map.source["reference_up_to"]
    for levels in trust_map.errors.values():
        assert set(levels) == set(trust.LEVELS)
        assert levels["nonlinear"][~large].max() < 1e-8
        assert levels["nonlinear"][large].max() < 1e-7  # upper bounds, not measured errors
        assert levels["float32"].max() < 1e-4
        assert (levels["ideal"] > 0).all()
    np.testing.assert_allclose(trust_map.errors["ohmic"]["linear"], 0, atol=1e-8)
    assert (np.diff(trust_map.errors["ohmic"]["ideal"], axis=0) > 0).all()
    ideal = trust_map.errors["ohmic"]["ideal"]
    assert (np.diff(ideal[~large], axis=1) > 0).all()
    assert (np.diff(ideal[:, 0], axis=0) > 0).all()
    # far beyond 1 what is left of the currents is that of a few rows by chance
    assert (np.diff(ideal, axis=1)[ideal[:, 1:] < 1] > 0).all()


def test_the_shipped_map_is_on_the_safe_side_for_other_arrays():
    """Random arrays, ends and inputs off the grid: the real error stays below the map's."""
    rng = np.random.default_rng(0)
    trust_map = trust.packaged()
    for _ in range(40):
        rows, cols = rng.integers(2, 20, 2)
        wires = {
            "R_wl": rng.uniform(0, 8),
            "R_bl": rng.uniform(0, 8),
            "R_driver": rng.uniform(0, 20),
            "R_sense": rng.uniform(0, 20),
        }
        device = str(rng.choice(["ohmic", "sinh_tio2"]))
        c = xb.Crossbar(rng.uniform(50e-6, 450e-6, (rows, cols)), **wires, device=device)
        V = rng.uniform(0, 0.2, (5, rows))
        exact = xb.solve(c, V, engine="nodal").I_out
        for level in ("ideal", "linear", "float32"):
            I_out = xb.solve(c, V, engine=xb.engines.registry.get(level)(warn=False)).I_out
            error = np.abs(I_out - exact).max() / np.abs(exact).max()
            bound = trust_map.error(level, c, float(V.max()))
            assert error <= bound + 1e-12, (level, c, error, bound)


def test_levels_are_what_they_say():
    rng = np.random.default_rng(0)
    G, V = rng.uniform(1e-4, 5e-4, (5, 4)), rng.uniform(0, 0.2, (3, 5))
    c = xb.Crossbar(G, R_wl=3.0, R_bl=2.0, device="sinh_tio2")
    engines = {k: xb.engines.registry.get(k)(warn=False) for k in ("ideal", "linear", "float32")}
    answer = {k: xb.solve(c, V, engine=e, full=True) for k, e in engines.items()}
    np.testing.assert_allclose(answer["ideal"].I_out, V @ G, rtol=1e-13)
    ohmic = xb.solve(c.replace(device="ohmic"), V, engine="nodal", full=True)
    np.testing.assert_allclose(answer["linear"].I_out, ohmic.I_out, rtol=1e-11)
    np.testing.assert_allclose(answer["linear"].V_bl, ohmic.V_bl, atol=1e-13)
    exact = xb.solve(c, V, engine="nodal").I_out
    error = np.abs(answer["float32"].I_out - exact).max() / exact.max()
    assert 1e-9 < error < 1e-6
    single = xb.solve(c.replace(device="ohmic"), V, engine=engines["float32"]).I_out
    assert 1e-9 < np.abs(single - ohmic.I_out).max() / ohmic.I_out.max() < 1e-5


def test_levels_are_engines_for_batches_and_floating_lines():
    ends = xb.LineEnds(wl_left=["driven", "floating"])
    c = xb.Crossbar(np.full((3, 2, 2), 1e-4), R_wl=1.0, R_bl=1.0, ends=ends)
    V = np.array([0.1, 0.0])
    for level in ("ideal", "linear", "float32"):
        solution = xb.solve(c, V, engine=xb.engines.registry.get(level)(warn=False), full=True)
        assert solution.I_out.shape == (3, 2)
        np.testing.assert_allclose(solution.I_out.sum(axis=1), solution.I_in.sum(axis=1), rtol=1e-6)


def _caught(work):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [str(w.message) for w in caught if issubclass(w.category, TrustWarning)]


def test_a_level_outside_warns_once_and_clearly():
    c = xb.Crossbar(np.full((16, 16), 5e-4), R_wl=10.0, R_bl=10.0)
    V = np.full(16, 0.2)

    def work():
        engine = xb.engines.get("ideal")
        state = engine.prepare(c)
        for _ in range(3):
            engine.solve(state, c, V)
        xb.solve(c, V, engine="ideal")

    (message,) = _caught(work)
    for words in ("ideal", "16x16", "10 ohm", "500 uS", 'engine="surrogate"', "verify --map"):
        assert words in message
    assert _caught(work) == []


def test_inside_and_exact_levels_stay_silent():
    small = xb.Crossbar(np.full((4, 4), 1e-5), R_wl=0.1, R_bl=0.1)
    bare = xb.Crossbar(np.full((16, 16), 5e-4), R_wl=0.0, R_bl=0.0)
    wired = xb.Crossbar(np.full((16, 16), 5e-4), R_wl=10.0, R_bl=10.0)

    def work():
        xb.solve(small, np.full(4, 0.1), engine="ideal")
        xb.solve(bare, np.full(16, 0.2), engine="ideal")
        xb.solve(wired, np.full(16, 0.2), engine="linear")  # ohmic: exact
        xb.solve(wired, np.full(16, 0.2), engine="surrogate")
        xb.solve(wired, np.full(16, 0.2), engine="float32")

    assert _caught(work) == []


def test_what_the_map_does_not_reach_warns():
    huge = xb.Crossbar(np.full((3, 3), 5e-4), R_wl=1e3, R_bl=1e3)
    (message,) = _caught(lambda: xb.solve(huge, np.full(3, 0.1), engine="float32"))
    assert "the map has no such array" in message


def test_a_stricter_error_and_an_own_map(tmp_path, monkeypatch):
    c = xb.Crossbar(np.full((4, 4), 1e-4), R_wl=1.0, R_bl=1.0)
    V = np.full(4, 0.1)
    trust_map = hand_made()
    for limit, count in ((3e-3, 0), (1e-3, 1)):
        engine = IdealEngine(error=limit, trust=trust_map)
        assert len(_caught(lambda engine=engine: xb.solve(c, V, engine=engine))) == count
    (tmp_path / "map.toml").write_text(trust_map.to_toml())
    monkeypatch.setenv(trust.VARIABLE, str(tmp_path / "map.toml"))
    assert trust.trusted("ideal", c, 0.1)
    assert not trust.trusted("ideal", c, 0.1, error=1e-3)
    assert not trust.trusted("linear", c.replace(device="sinh_tio2"), 0.1)


def test_single_precision_layers_and_matrices_check_once_a_configuration():
    def layers(R):
        config = nn.ArrayConfig(dtype=torch.float32, R_wl=R, R_bl=R, tile_rows=8, tile_cols=8)
        layer = nn.CrossbarLinear(4, 3, config=config)
        for _ in range(3):
            layer(torch.rand(2, 4))

    assert _caught(lambda: layers(1.0)) == []
    assert len(_caught(lambda: layers(200.0))) == 1
    c = xb.Crossbar(np.full((5, 5), 5e-4), R_wl=200.0, R_bl=200.0)
    assert len(_caught(lambda: [xb.effective_matrix(c, dtype="f4") for _ in range(3)])) == 1
    assert _caught(lambda: xb.effective_matrix(c)) == []


def test_transfer_studies_without_the_circuit_say_so():
    config = xb.ArrayConfig(device="sinh_tio2", R_wl=10.0, R_bl=10.0, variation=drolet_2023())
    circuit = nn.convert(perceptron_module(small_network()), config)
    x, y = np.full((2, 2), 0.5), np.array([0, 1])

    def study(engine):
        transfer(circuit, x, y, transfers=2, engine=engine)

    shapes = {a.crossbar.G.shape for a in nn.arrays(circuit)}
    assert len(_caught(lambda: study("ideal"))) == len(shapes)
    assert _caught(lambda: study("surrogate")) == []


def test_line_ends_count_as_wire():
    c = xb.Crossbar(np.full((10, 20), 1e-4), R_wl=1.0, R_bl=2.0, R_driver=50.0, R_sense=5.0)
    assert trust.equivalent_wire(c) == pytest.approx(max(1 + 2 * 50 / 20, 2 + 2 * 5 / 10))


def test_a_stopped_sweep_goes_on(tmp_path):
    """Stopped after five points, with a line cut short: the same map as in one go."""
    path = tmp_path / "map.toml"

    def stop(count, total):
        assert total == POINTS
        if count == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(TINY, path, reference="nodal", progress=stop)
    assert not path.exists()
    journal = journal_of(path)
    journal.write_text(journal.read_text() + '{"point": "ohm')
    begun = []
    sweep(TINY, path, reference="nodal", progress=lambda count, total: begun.append(count))
    assert begun[0] == 5
    assert not journal.exists()
    sweep(TINY, tmp_path / "once.toml", reference="nodal")
    assert path.read_text() == (tmp_path / "once.toml").read_text()
    assert trust.load(path).errors["sinh_tio2"]["nonlinear"].max() < 1e-9


def test_the_journal_of_another_sweep_is_refused(tmp_path):
    def stop(count, total):
        if count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(TINY, tmp_path / "map.toml", reference="nodal", progress=stop)
    with pytest.raises(InputError, match="this very sweep"):
        sweep(TINY, tmp_path / "map.toml", reference="nodal", seed=1)
