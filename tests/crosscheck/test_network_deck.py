"""A whole network in one ngspice run against the same network, layer by layer."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.crosscheck.test_ngspice import printed_columns
from xbarspice import activations, mapping, netlist, network
from xbarspice.array import LineEnds
from xbarspice.engines.ngspice import network as whole
from xbarspice.errors import ConvergenceError, EngineError, InputError
from xbarspice.network import Network
from xbarspice.studies.inference import infer

ENDS = [(0.0, 0.0), (15.0, 0.0), (0.0, 20.0), (10.0, 20.0)]
CASES = {
    "folded 2-3-1": ((2, 3, 1), {"layout": "folded"}),
    "folded 2-8-1": ((2, 8, 1), {"layout": "folded", "R_wl": 5.0, "R_bl": 2.0}),
    "tiled 5-7-4-3": ((5, 7, 4, 3), {"tile_rows": 3, "tile_cols": 4, "bias": "array"}),
}


def random_network(sizes, activation, seed=0):
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(sizes))
    return Network(
        W=tuple(rng.normal(scale=1.5, size=p) for p in pairs),
        b=tuple(rng.normal(size=p[1]) for p in pairs),
        activation=activation,
    )


def mapped_case(case, activation, **changes):
    sizes, options = CASES[case]
    net = random_network(sizes, activation)
    x = np.random.default_rng(1).uniform(-1, 1, (6, sizes[0]))
    if activation == "relu":
        changes["x_scale"] = mapping.calibrate_inputs(net, x)
    return mapping.map_network(net, **(options | changes)), x


def agree(mapped, x, answer):
    want = infer(mapped, x, "ngspice")
    for found, expected in zip(answer.sums, want.sums, strict=True):
        assert np.abs(found - expected).max() <= 1e-8 * np.abs(expected).max()
    for found, block in zip(answer.currents, want.blocks, strict=True):
        assert np.abs(found - block.currents).max() <= 1e-8 * np.abs(block.currents).max()
    assert np.array_equal(answer.predictions, want.predictions)


@pytest.mark.parametrize("ends", ENDS, ids=str)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("case", CASES)
def test_one_run_equals_layer_by_layer(case, activation, ends):
    mapped, x = mapped_case(case, activation, R_driver=ends[0], R_sense=ends[1])
    answer = whole.solve_network(mapped, x)
    agree(mapped, x, answer)
    assert answer.residual < 1e-9


@pytest.mark.parametrize("device", ["sinh_tio2", "cubic_al2o3_tio2"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("case", CASES)
def test_nonlinear_devices(case, activation, device):
    mapped, x = mapped_case(case, activation, device=device, R_driver=10.0, R_sense=20.0)
    agree(mapped, x, whole.solve_network(mapped, x))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_one_point_and_saturated_neurons(activation):
    net = random_network((3, 6, 4), activation)
    net = Network(W=(net.W[0] * 500, net.W[1]), b=net.b, activation=activation)
    x = np.array([[0.9, -0.8, 0.7]])
    scale = mapping.calibrate_inputs(net, x)
    mapped = mapping.map_network(net, x_scale=scale, bias="digital")
    assert np.abs(net.forward(x)[0]).max() > 800
    agree(mapped, x, whole.solve_network(mapped, x))


def test_many_points_become_several_sweeps(monkeypatch):
    monkeypatch.setattr(whole, "longest_sweep", lambda numbers: 4)
    mapped, x = mapped_case("folded 2-3-1", "sigmoid")
    agree(mapped, x, whole.solve_network(mapped, x))


def test_the_text_is_complete_and_repeatable():
    mapped, x = mapped_case("folded 2-3-1", "tanh", device="sinh_tio2")
    text = netlist.write_network(mapped, x)
    assert text == netlist.write_network(mapped, x)
    devices = int(np.count_nonzero(mapped.arrays[0].G))
    assert len(re.findall(r"^Xp\d_d_", text, re.MULTILINE)) == 2 * devices
    assert text.count(".subckt") == 1
    assert text.startswith("* xbarspice network 2-3-1")


def test_a_wrong_neuron_is_noticed(monkeypatch):
    mapped, x = mapped_case("folded 2-3-1", "tanh")
    wrong = dataclasses.replace(activations.get("tanh"), spice="{v}")
    monkeypatch.setitem(activations._ACTIVATIONS, "tanh", wrong)
    with pytest.raises(EngineError, match="drive voltages"):
        whole.solve_network(mapped, x)


@pytest.mark.parametrize(
    ("pattern", "text", "words"),
    [(r"^(Fp\d_\d+ .*) -1$", r"\1 1", "add up"), (r"> 0 \?", "< 0 ?", "largest logit")],
)
def test_a_wrong_sum_or_decision_is_noticed(monkeypatch, pattern, text, words):
    mapped, x = mapped_case("folded 2-3-1", "sigmoid")
    right = whole.network_circuit
    monkeypatch.setattr(
        whole, "network_circuit", lambda net: [re.sub(pattern, text, s) for s in right(net)]
    )
    with pytest.raises(EngineError, match=words) as caught:
        whole.solve_network(mapped, x)
    assert not isinstance(caught.value, ConvergenceError)


def test_lines_that_cannot_be_read_are_refused():
    mapped, x = mapped_case("folded 2-3-1", "sigmoid")
    first, second = mapped.blocks
    wrong = type(first)(**{**first.__dict__, "ends": LineEnds(bl_bottom="driven")})
    broken = type(mapped)(**{**mapped.__dict__, "blocks": (wrong, second)})
    with pytest.raises(InputError, match="output lines of a block must be sensed"):
        netlist.write_network(broken, x)
    with pytest.raises(InputError, match="at least one row"):
        netlist.write_network(mapped, np.zeros((0, 2)))


def command(folder, *arguments):
    """What a program printed in a folder; it must succeed."""
    done = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("case", "points"), [("folded 2-8-1", 6), ("tiled 5-7-4-3", 6), ("tiled 5-7-4-3", 1)]
)
def test_the_written_network_runs_by_hand(tmp_path, case, points):
    """`netlist --whole`, then ``ngspice -b network.cir``: the decisions of every other way."""
    sizes, options = CASES[case]
    net = random_network(sizes, "sigmoid")
    x = np.random.default_rng(2).uniform(-1, 1, (points, sizes[0]))
    network.save(tmp_path / "n.npz", net)
    np.savez(tmp_path / "x.npz", x=x)
    asked = {"layout": "tiled"} | options | {"device": "sinh_tio2", "R_driver": 10.0}
    array = {"R_wl", "R_bl", "R_driver", "device"}
    words = [
        word
        for key, value in asked.items()
        for word in ("--set", f"{'array' if key in array else 'mapping'}.{key}={value}")
    ]
    xbarspice = [sys.executable, "-m", "xbarspice"]
    command(tmp_path, *xbarspice, "map", "n.npz", "--out", "m.h5", *words)
    command(tmp_path, *xbarspice, "netlist", "m.h5", "--inputs", "x.npz", "--whole", "--out", "w")
    printed = printed_columns(command(tmp_path / "w", "ngspice", "-n", "-b", "network.cir"))
    decided = np.rint(printed["class"]).astype(int)
    logits = np.array([printed[f"z{len(sizes) - 2}_{j}"] for j in range(sizes[-1])]).T
    for engine in ("surrogate", "nodal", "ngspice"):
        out = command(
            tmp_path, *xbarspice, "solve", "m.h5", "--engine", engine, "--inputs", "x.npz",
            "--out", f"{engine}.h5", "--json",
        )  # fmt: skip
        answer = json.loads(out)
        assert answer["predictions"] == decided.tolist()
        assert np.abs(np.array(answer["logits"]) - logits).max() < 1e-6 * np.abs(logits).max()
    mapped = mapping.map_network(net, **asked)
    assert np.array_equal(whole.solve_network(mapped, x).predictions, decided)
