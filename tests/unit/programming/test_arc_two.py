"""The tester's script: calls of pyarc2 as documented; it writes a die as `program` does."""

import ast
import importlib.util
import inspect
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import xbarspice as xb
from xbarspice.programming import Channels, Pulses, arc_two, plan, program, tester_log, unwritten
from xbarspice.programming.array_state import READ, WRITE, ArrayState, Bias

CALLS = {
    "find_ids": (),
    "Instrument": ("port", "firmware", "init"),
    "config_channels": ("input", "base"),
    "connect_to_gnd": ("chans",),
    "pulse_slice_fast_open": ("chans", "cl_nanos", "preset_state"),
    "read_slice_open": ("highs", "ground_after"),
    "execute": (),
    "wait": (),
    "finalise_operation": ("mode", "control"),
}
"""Names and parameters of pyarc2 0.6.0 (PyPI; docs in github.com/arc-instruments/pyarc2)."""


def calls_of_script():
    """(name, positional arguments) of every call on the instrument and of the module."""
    for node in ast.walk(ast.parse(Path(arc_two.__file__).read_text())):
        if not isinstance(node, ast.Call):
            continue
        f = node.func
        if isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) and f.value.id == "arc":
            yield f.attr, len(node.args), node.keywords
        elif isinstance(f, ast.Name) and f.id in ("find_ids", "Instrument"):
            yield f.id, len(node.args), node.keywords


def test_every_call_is_one_that_the_library_documents():
    calls = list(calls_of_script())
    assert {name for name, _, _ in calls} == set(CALLS)
    for name, count, keywords in calls:
        assert count <= len(CALLS[name])
        assert not keywords
    if importlib.util.find_spec("pyarc2") is None:
        return  # the list above stands for it
    import pyarc2  # pyright: ignore[reportMissingImports]

    for name, count, _ in calls:
        of_module = name in ("find_ids", "Instrument")
        function = getattr(pyarc2 if of_module else pyarc2.Instrument, name)
        signature = inspect.signature(function)
        signature.bind(*([None] * (count + (not of_module))))
        names = [n for n in signature.parameters if n != "self"]
        assert tuple(names) == CALLS[name]
    assert pyarc2.IdleMode.SoftGnd


class Die:
    """An instrument with a simulated die on its channels; it knows only what the calls say."""

    def __init__(self, array, channels):
        self.state = ArrayState(
            array,
            engine="surrogate",
            stuck=np.zeros(array.G.shape, bool),
            half_select=True,
            substeps=1,
        )
        self.word = [c for _, c in channels.word_lines]
        self.bit = [c for _, c in channels.bit_lines]
        self.volts, self.grounded = dict.fromkeys(range(64), 0.0), []
        self.queue, self.pulses, self.idle = [], [], None

    def config_channels(self, config, base):
        assert base is None
        self.queue.append(lambda: self.volts.update(config))

    def connect_to_gnd(self, channels):
        self.queue.append(lambda: setattr(self, "grounded", list(channels)))

    def pulse_slice_fast_open(self, channels, timings, preset):
        assert len(timings) == 8
        for cluster in range(8):  # one kind of transition a cluster, and none without its timing
            volts = {V for c, V, normal in channels if c // 8 == cluster and normal == 0.0}
            assert (timings[cluster] is not None) == bool(volts)
            assert all(V > 0 for V in volts) or all(V < 0 for V in volts)
        (nanos,) = {t for t in timings if t is not None}
        self.queue.append(lambda: self._pulse({c: V for c, V, _ in channels}, nanos))

    def execute(self):
        queue, self.queue = self.queue, []
        for action in queue:
            action()

    def wait(self):
        pass

    def finalise_operation(self, mode):
        self.idle = mode

    def _pulse(self, volts, nanos):
        assert sorted([*volts, *self.grounded]) == sorted(self.word + self.bit)
        V_in, V_out = (np.array([volts.get(c, 0.0) for c in cs]) for cs in (self.word, self.bit))
        at = np.abs(V_in[:, None] - V_out).argmax()
        row, col = divmod(int(at), len(self.bit))
        self.pulses.append((row, col, V_in[row] - V_out[col]))
        self.state.pulse(Bias(WRITE, V_in, V_out), 1.0, nanos * 1e-9, (row, col))

    def read_slice_open(self, channels, ground_after):
        assert not ground_after
        assert not self.grounded
        V_in = np.array([self.volts[c] for c in self.word])
        assert not any(self.volts[c] for c in self.bit)
        I_out = self.state.solve(Bias(READ, V_in, np.zeros(len(self.bit))), 1.0).I_out
        values = np.full(64, np.nan)
        for channel in channels:
            values[channel] = -I_out[self.bit.index(channel)]  # out of the instrument
        return values


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A plan, the die that the script wrote, and the log."""

    def run(scheme="V/3", size=4):
        whole = xb.Crossbar(
            np.random.default_rng(2).uniform(5e-6, 60e-6, (size, size)),
            R_wl=0.5,
            R_bl=0.5,
            R_driver=3.0,
            R_sense=3.0,
            device="sky130_reram",
        )
        blank = unwritten(whole, 24e-6)
        pulses = Pulses(start=0.8, step=0.02, limit_set=2.5, width=1e-6)
        options = {"pulses": pulses, "scheme": scheme, "order": "smallest"}
        planned = plan(blank, whole.G, **options)
        path, log = tmp_path / "plan.json", tmp_path / "log.csv"
        path.write_text(json.dumps(planned.record()))
        die = Die(blank, planned.channels)
        module = types.ModuleType("pyarc2")
        module.IdleMode = types.SimpleNamespace(SoftGnd="soft")
        module.Instrument = lambda port, firmware: die
        module.find_ids = lambda: [0]
        monkeypatch.setitem(sys.modules, "pyarc2", module)
        monkeypatch.setattr(sys, "argv", ["arc_two.py", str(path), "fw.bin", "--log", str(log)])
        arc_two.main()
        return whole, program(blank, whole.G, compensate=True, **options), die, path, log

    return run


@pytest.mark.parametrize("scheme", ["V/3", "V/2"])
def test_the_script_writes_a_die_as_program_does(run, scheme):
    """Pulse by pulse: same devices, same voltages; and the log is what the plan expects."""
    whole, simulated, die, path, log = run(scheme)
    np.testing.assert_allclose(die.pulses, simulated.sequence, rtol=1e-12)
    np.testing.assert_allclose(die.state.G, simulated.G, rtol=1e-9)
    np.testing.assert_allclose(die.state.G, whole.G, rtol=0.02)
    assert die.idle == "soft"
    compared = tester_log.compare(tester_log.load_plan(path), tester_log.load_log(log))
    assert compared["missing"] == []
    assert compared["phases"]["step"]["within"] == 16
    assert compared["phases"]["final"]["reads"] == 16
    read_out = [r["measured_A"] for r in compared["reads"] if r["phase"] == "step"]
    verified = simulated.verified.ravel()[simulated.order]
    np.testing.assert_allclose(read_out, 0.2 * verified, rtol=1e-9)


def test_a_dry_run_needs_no_instrument(run, monkeypatch, capsys):
    _, _, _, path, _ = run(size=2)
    monkeypatch.delitem(sys.modules, "pyarc2")
    monkeypatch.setattr(sys, "argv", ["arc_two.py", str(path), "--dry"])
    arc_two.main()
    assert capsys.readouterr().out.splitlines()[0] == "4 devices, V/3, read at 0.2 V"
    monkeypatch.setattr(sys, "argv", ["arc_two.py", str(path)])
    with pytest.raises(SystemExit, match="firmware"):
        arc_two.main()


def test_plans_that_the_instrument_cannot_run_are_refused(tmp_path):
    device = xb.devices.get("sky130_reram")
    path = tmp_path / "plan.json"

    def written(size, device=device, **options):
        whole = xb.Crossbar(np.full((size, size), 30e-6), device=device)
        path.write_text(json.dumps(plan(unwritten(whole, 20e-6), whole.G, **options).record()))
        return path

    assert arc_two.load_plan(written(32))["WL"] == [*range(16), *range(32, 48)]
    for wrong, words in (
        (lambda: written(33), "below 64"),
        (lambda: written(2, scheme="floating"), "schemes"),
        (lambda: written(2, pulses=Pulses(read="floating")), "schemes"),
        (lambda: written(2, device="sinh_tio2"), "no pulses"),
    ):
        with pytest.raises(SystemExit, match=words):
            arc_two.load_plan(wrong())


def test_the_script_stands_alone():
    """It goes to the tester's machine, where nothing of this package is."""
    tree = ast.parse(Path(arc_two.__file__).read_text())
    names = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    known = {*sys.stdlib_module_names, "pyarc2"}
    assert {str(name).partition(".")[0] for name in names} <= known


def test_channels_of_the_script_follow_the_map():
    step = {"row": 1, "col": 0}
    lines = Channels.numbered(2, 2)
    stored = {
        "WL": [c for _, c in lines.word_lines],
        "BL": [c for _, c in lines.bit_lines],
        "V_read_V": 0.2,
        "line_voltages": {
            "selected_wl": 1.0,
            "selected_bl": 0.0,
            "other_wl": 1 / 3,
            "other_bl": 2 / 3,
        },
    }
    assert arc_two.read_voltages(stored, step) == [(0, 0.0), (1, 0.2), (16, 0.0), (17, 0.0)]
    assert arc_two.pulse_voltages(stored, step, 3.0) == [(0, 1.0), (1, 3.0), (16, 0.0), (17, 2.0)]
