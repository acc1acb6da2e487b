"""A whole network in one ngspice run against the same circuit, layer by layer."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.crosscheck.test_ngspice import parse_columns
from tests.helpers import PATIENCE, run_command
from xbarspice import netlist
from xbarspice.core.errors import ConvergenceError, EngineError, InputError
from xbarspice.core.line_ends import LineEnds
from xbarspice.engines.ngspice import chain as whole
from xbarspice.mapping import activations
from xbarspice.netlist.chain import build_chain, chain_design, chain_options
from xbarspice.netlist.dialects import ngspice as dialect
from xbarspice.nn.chain import chain_of

ENDS = [(0.0, 0.0), (15.0, 0.0), (0.0, 20.0), (10.0, 20.0)]
CASES = {
    "folded 2-3-1": ((2, 3, 1), {"layout": "folded"}),
    "folded 2-8-1": ((2, 8, 1), {"layout": "folded", "R_wl": 5.0, "R_bl": 2.0}),
    "tiled 5-7-4-3": ((5, 7, 4, 3), {"tile_rows": 3, "tile_cols": 4}),
}


def model_of(sizes, activation=nn.Sigmoid, seed=0, scale=1.0):
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for k in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[k], sizes[k + 1]), activation()]
        nn.init.normal_(layers[-2].weight, std=1.5 * scale if k == 0 else 1.5)
    return nn.Sequential(*layers[:-1]).double()


def circuit_of(case, activation=nn.Sigmoid, points=6, **changes):
    sizes, options = CASES[case]
    x = np.random.default_rng(1).uniform(-1, 1, (points, sizes[0]))
    config = xb.ArrayConfig(**(options | changes))
    model = model_of(sizes, activation)
    return xb.nn.convert(model, config, calibrate=torch.from_numpy(x)).eval(), x


def agree(circuit, x, answer, limit=1e-8):
    with torch.no_grad(), xb.nn.through("ngspice", keep=True) as run:
        outputs = circuit(torch.from_numpy(x)).numpy()
    assert np.abs(answer.outputs - outputs).max() <= limit * np.abs(outputs).max()
    currents = [tiles for answer in run.answers for tiles in answer.I_out]
    largest = max(float(tiles.abs().max()) for tiles in currents)
    total = sum(float(tiles.sum()) for tiles in currents)
    assert abs(sum(float(c.sum()) for c in answer.currents) - total) <= limit * largest * len(x)
    if outputs.shape[1] > 1:
        assert np.array_equal(answer.predictions, outputs.argmax(axis=1))
    elif answer.predictions is not None:
        assert np.array_equal(answer.predictions, outputs[:, 0] > 0)


@pytest.mark.parametrize("ends", ENDS, ids=str)
@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("case", CASES)
def test_one_run_equals_layer_by_layer(case, activation, ends):
    circuit, x = circuit_of(case, activation, R_driver=ends[0], R_sense=ends[1])
    answer = whole.solve_network(chain_of(circuit, x), x)
    agree(circuit, x, answer)
    assert answer.residual < 1e-9


@pytest.mark.parametrize("device", ["sinh_tio2", "cubic_al2o3_tio2"])
@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh, nn.LeakyReLU])
@pytest.mark.parametrize("case", CASES)
def test_nonlinear_devices(case, activation, device):
    circuit, x = circuit_of(case, activation, device=device, R_driver=10.0, R_sense=20.0)
    agree(circuit, x, whole.solve_network(chain_of(circuit, x), x))


@pytest.mark.parametrize("name", activations.names())
def test_every_activation_stands_in_a_deck(name):
    kind = getattr(nn, activations.get(name).torch)
    circuit, x = circuit_of("folded 2-3-1", kind)
    chain = chain_of(circuit, x)
    assert [stage.activation.name if stage.activation else None for stage in chain.stages] == [
        name,
        None,
    ]
    agree(circuit, x, whole.solve_network(chain, x))


def test_one_point_and_saturated_neurons():
    model = model_of((3, 6, 4), scale=500.0)
    x = np.array([[0.9, -0.8, 0.7]])
    circuit = xb.nn.convert(model, calibrate=torch.from_numpy(x)).eval()
    answer = whole.solve_network(chain_of(circuit, x), x)
    assert np.abs(answer.sums[0]).max() > 400
    agree(circuit, x, answer)


@pytest.mark.parametrize(
    "changes",
    [
        {"cells": 2, "cell_code": "slices", "levels": 8},
        {"w_scale": "output", "placement": "middle"},
        {"bias": "digital", "clip": 95.0},
        {"dtype": "float32"},
    ],
    ids=str,
)
def test_options_of_the_mapping(changes):
    circuit, x = circuit_of("tiled 5-7-4-3", nn.Tanh, **changes)
    single = "dtype" in changes
    agree(circuit, x, whole.solve_network(chain_of(circuit, x), x), 1e-5 if single else 1e-8)


def test_programmed_arrays_and_an_activation_at_the_end():
    model = nn.Sequential(*model_of((2, 3, 1)), nn.Sigmoid())
    circuit = xb.nn.convert(model, xb.ArrayConfig(layout="folded")).eval()
    (array,) = xb.nn.arrays(circuit)
    xb.nn.put_conductances(circuit, {array.name: array.crossbar.G * 1.05})
    x = np.random.default_rng(0).uniform(-1, 1, (3, 2))
    chain = chain_of(circuit, x)
    answer = whole.solve_network(chain, x)
    assert answer.predictions is None
    agree(circuit, x, answer)
    assert "class" not in netlist.write_chain(chain, x)


class Functional(nn.Module):
    """A chain whose activation is a function, with a layer that stands for nothing in eval."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.hidden = nn.Linear(4, 3), nn.Linear(2, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.out(self.drop(torch.tanh(self.hidden(x.flatten(1)))))


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_any_forward_that_is_a_chain_and_its_deployment(tmp_path, layout):
    x = np.random.default_rng(0).uniform(-1, 1, (4, 2)).astype(np.float32)
    config = xb.ArrayConfig(layout=layout, R_wl=3.0)
    circuit = xb.nn.convert(Functional(), config, calibrate=torch.from_numpy(x)).eval()
    xb.save(tmp_path / "net.h5", circuit)
    expected = netlist.write_chain(chain_of(circuit, x), x)
    assert netlist.write_chain(chain_of(xb.load(tmp_path / "net.h5"), x), x) == expected
    answer = whole.solve_network(chain_of(circuit, x), x)
    assert answer.outputs.shape == (4, 3)


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.b(x) + torch.tanh(self.a(x))


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (Skip(), {}, "used 2 times"),
        (nn.Sequential(nn.Linear(3, 3), nn.Softmax(1), nn.Linear(3, 2)), {}, "no known activation"),
        (nn.Sequential(nn.Linear(3, 3), nn.Softplus(), nn.Linear(3, 2)), {}, "no known activation"),
        (nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU(0.2), nn.Linear(3, 2)), {}, "no known"),
        (nn.Sequential(nn.Tanh(), nn.Linear(3, 2)), {}, "does not follow a layer"),
        (nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Tanh()), {}, "does not follow a layer"),
        (nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 3)), {}, "no known activation"),
        (nn.Sequential(nn.Conv1d(3, 2, 1)), {}, "a Conv1d layer"),
        (nn.Sequential(nn.Linear(3, 2)), {"adc_bits": 8}, "with converters"),
        (nn.Sequential(nn.Linear(3, 2)), {"x_centre": 0.5}, "x_centre"),
    ],
)
def test_what_is_no_chain_is_refused(model, changes, words):
    x = torch.rand(4, 3)
    with pytest.raises(InputError, match=words):
        chain_of(xb.nn.convert(model, xb.ArrayConfig(**changes)).eval(), x)


def test_a_chain_that_is_not_the_model_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    circuit = xb.nn.convert(model).eval()  # the graph does not show what a hook does
    circuit.register_forward_hook(lambda _m, _i, out: 2 * out)
    with pytest.raises(InputError, match="outputs the chain misses"):
        chain_of(circuit, torch.rand(4, 3))


def test_many_points_become_several_sweeps(monkeypatch):
    monkeypatch.setattr(whole, "longest_sweep", lambda numbers: 4)
    circuit, x = circuit_of("folded 2-3-1")
    agree(circuit, x, whole.solve_network(chain_of(circuit, x), x))


def test_the_text_is_complete_and_repeatable():
    circuit, x = circuit_of("folded 2-3-1", nn.Tanh, device="sinh_tio2")
    chain = chain_of(circuit, x)
    text = netlist.write_chain(chain, x)
    assert text == netlist.write_chain(chain, x)
    devices = int(np.count_nonzero(chain.passes[0].crossbar.G))
    assert len(re.findall(r"^Xnet_\w+_p\d_d_", text, re.MULTILINE)) == 2 * devices
    assert text.count(".subckt") == 1
    assert text.startswith("* xbarspice network 2-3-1")


def test_every_name_begins_with_the_design():
    circuit, x = circuit_of("folded 2-3-1", device="sinh_tio2")
    text = chain_design(build_chain(chain_of(circuit, x), x, name="moons"))
    inside = False
    for line in text:
        word = line.split()[0] if line.strip() else ""
        inside = word == ".subckt" or (inside and word != ".ends")
        if word == ".subckt":
            assert line.split()[1].startswith("moons_")
        elif word and not inside and word[0].isalpha():
            assert word[1:].startswith("moons_"), line
    with pytest.raises(InputError, match="name of a design"):
        build_chain(chain_of(circuit, x), x, name="2 moons")


def test_two_designs_stand_in_one_bench(tmp_path):
    """Both networks side by side in one deck answer as each alone."""
    nets, decisions = [], []
    for name, case in (("first", "folded 2-3-1"), ("second", "tiled 5-7-4-3")):
        circuit, x = circuit_of(case, device="sinh_tio2")
        chain = chain_of(circuit, x)
        nets.append(build_chain(chain, x, name=name))
        decisions.append(whole.solve_network(chain, x).predictions)
    lines = ["* bench", *dialect.SWEEP, *(line for net in nets for line in chain_design(net))]
    lines += [chain_options(nets[0], klu=True), ".save v(first_class) v(second_class)"]
    lines += [".control", "set numdgt=15", "dc Vidx 0 5 1", "print all", ".endc", ".end"]
    (tmp_path / "bench.cir").write_text("\n".join(lines) + "\n")
    printed = parse_columns(command(tmp_path, "ngspice", "-n", "-b", "bench.cir"))
    for name, classes in zip(("first", "second"), decisions, strict=True):
        assert np.rint(printed[f"{name}_class"]).astype(int).tolist() == classes.tolist()


def test_a_wrong_neuron_is_noticed(monkeypatch):
    circuit, x = circuit_of("folded 2-3-1", nn.Tanh)
    chain = chain_of(circuit, x)
    wrong = dataclasses.replace(activations.get("tanh"), spice="{v}")
    first = dataclasses.replace(chain.stages[0], activation=wrong)
    with pytest.raises(EngineError, match="drive voltages"):
        whole.solve_network(dataclasses.replace(chain, stages=(first, chain.stages[1])), x)


@pytest.mark.parametrize(
    ("pattern", "text", "words"),
    [(r"^(Fnet_\w+_p\d_\d+ .*) -1\S*$", r"\1 1", "add up"), (r"> 0 \?", "< 0 ?", "largest output")],
)
def test_a_wrong_sum_or_decision_is_noticed(monkeypatch, pattern, text, words):
    circuit, x = circuit_of("folded 2-3-1")
    right = whole.chain_circuit
    changed = []

    def wrong(net):
        changed.extend(re.sub(pattern, text, s) for s in right(net))
        assert changed != right(net)
        return changed

    monkeypatch.setattr(whole, "chain_circuit", wrong)
    with pytest.raises(EngineError, match=words) as caught:
        whole.solve_network(chain_of(circuit, x), x)
    assert not isinstance(caught.value, ConvergenceError)


def test_lines_that_cannot_be_read_are_refused():
    circuit, x = circuit_of("folded 2-3-1")
    chain = chain_of(circuit, x)
    first = chain.stages[0]
    crossbar = first.passes[0].crossbar.replace(ends=LineEnds(bl_bottom="driven"))
    wrong = dataclasses.replace(first.passes[0], crossbar=crossbar)
    broken = dataclasses.replace(first, passes=(wrong,))
    with pytest.raises(InputError, match="output lines of a read must be sensed"):
        netlist.write_chain(dataclasses.replace(chain, stages=(broken, chain.stages[1])), x)
    with pytest.raises(InputError, match="none empty"):
        netlist.write_chain(chain, np.zeros((0, 2)))


def command(folder, *arguments):
    """What a program printed in a folder; it must succeed."""
    process = subprocess.run(
        arguments,
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize(
    ("case", "points"), [("folded 2-8-1", 6), ("tiled 5-7-4-3", 6), ("tiled 5-7-4-3", 1)]
)
def test_the_written_network_runs_by_hand(tmp_path, case, points):
    """`netlist --whole`, then ``ngspice -b network.cir``: the decisions of every other way."""
    circuit, x = circuit_of(case, points=points, device="sinh_tio2", R_driver=10.0)
    xb.save(tmp_path / "m.h5", circuit)
    np.savez(tmp_path / "x.npz", x=x)
    words = ["netlist", "m.h5", "--inputs", "x.npz", "--whole", "--name", "hand", "--out", "w"]
    record = json.loads(run_command(*words, "--json", cwd=tmp_path).stdout)
    assert record["sizes"] == list(CASES[case][0])
    assert record["netlists"] == ["network.cir"]
    printed = parse_columns(command(tmp_path / "w", "ngspice", "-n", "-b", "network.cir"))
    decided = np.rint(printed["hand_class"]).astype(int)
    last, width = len(record["sizes"]) - 2, record["sizes"][-1]
    logits = np.array([printed[f"hand_z{last}_{j}"] for j in range(width)]).T
    for engine in ("surrogate", "nodal", "ngspice"):
        with torch.no_grad(), xb.nn.through(engine):
            outputs = circuit(torch.from_numpy(x)).numpy()
        assert np.abs(outputs - logits).max() < 1e-6 * np.abs(logits).max()
        classes = outputs.argmax(axis=1) if width > 1 else outputs[:, 0] > 0
        assert np.array_equal(classes, decided)
    assert np.array_equal(whole.solve_network(chain_of(circuit, x), x).predictions, decided)


def test_the_command_refuses_what_is_no_whole_network(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Softplus(), nn.Linear(3, 2))
    x = torch.rand(4, 3)
    xb.save(tmp_path / "m.h5", xb.nn.convert(model, calibrate=x).eval())
    np.savez(tmp_path / "x.npz", x=x.numpy())
    for more, words in (
        ((), "`softplus`, which is no known activation"),
        (("--dialect", "spectre"), "written for ngspice"),
    ):
        process = run_command(
            "netlist", "m.h5", "--inputs", "x.npz", "--whole", *more, cwd=tmp_path
        )
        assert process.returncode == 2
        assert words in " ".join(process.stderr.split())
        assert not (tmp_path / "netlists").exists()
