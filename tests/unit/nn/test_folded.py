"""Two Linear layers on one folded array: what stands where, what is read, and what is refused."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import xbarspice as xb
from xbarspice.core.errors import InputError
from xbarspice.core.line_ends import End, LineEnds
from xbarspice.nn.through import observe_differences, observe_drives
from xbarspice.variability import from_config

WIRES = {"R_wl": 5.0, "R_bl": 2.0, "R_driver": 10.0, "R_sense": 20.0}
SPREAD = from_config([{"name": "relative_noise", "sigma": 0.1}])


def model_of(inputs=2, hidden=8, outputs=1, seed=0, bias=True):
    torch.manual_seed(seed)
    layers = (nn.Linear(inputs, hidden, bias), nn.Sigmoid(), nn.Linear(hidden, outputs, bias))
    return nn.Sequential(*layers).double()


def circuit_of(model=None, x=None, **changes):
    config = {"layout": "folded", "tile_rows": 16, "tile_cols": 8} | WIRES | changes
    return xb.nn.convert(model or model_of(), xb.ArrayConfig(**config), calibrate=x).eval()


def points(count=6, inputs=2):
    return torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (count, inputs)))


def pairs_of(values, config):
    span = config.G_max - config.G_min
    return config.G_min + span * values.clip(min=0), config.G_min + span * (-values).clip(min=0)


def interleave(pos, neg):
    """Rows + and - in turn."""
    return np.stack([pos, neg], axis=1).reshape(-1, pos.shape[1])


def by_hand(circuit, x, engine, device="ohmic", wires=WIRES):
    """Logits of a 2-layer sigmoid model from crossbars that are written down here."""
    first, second = circuit[0], circuit[2]
    W0, b0, W1, b1 = (
        first.parameter("weight").detach().numpy(),
        first.parameter("bias").detach().numpy(),
        second.parameter("weight").detach().numpy(),
        second.parameter("bias").detach().numpy(),
    )
    config = first.matrices["weight"].config
    in_scale, out_scale = (c.matrices["weight"].config.x_scale for c in (first, second))
    w_scale = max(np.abs(W0).max(), np.abs(b0).max() / in_scale)
    share = b0 / (w_scale * in_scale)
    beta = np.abs(share).max()
    upper = interleave(*pairs_of(np.vstack([W0.T / w_scale, share / beta]), config))
    lower = interleave(*pairs_of(W1 / np.abs(W1).max(), config))
    G, top, V = np.vstack([upper, lower]), len(upper), config.V_read
    span = config.G_max - config.G_min

    volts = np.hstack([x * (V / in_scale), np.full((len(x), 1), V * beta)])
    V_in = np.zeros((len(x), len(G)))
    V_in[:, 0:top:2], V_in[:, 1:top:2] = volts, -volts
    read = xb.Crossbar(G, **wires, device=device)
    I_out = xb.solve(read, V_in, engine=engine).I_out
    h = 1 / (1 + np.exp(-I_out * (w_scale * in_scale / (V * span))))

    ends = LineEnds(wl_left=[End.DRIVEN] * top + [End.SENSED] * len(lower), bl_bottom=End.DRIVEN)
    leads = dict(wires)
    if wires["R_driver"] != wires["R_sense"]:  # an undriven word line has the lead of its own kind
        leads["R_driver"], leads["R_sense"] = wires["R_sense"], wires["R_driver"]
        ends = LineEnds(wl_left=End.SENSED, bl_bottom=End.DRIVEN)
    reverse = xb.Crossbar(G, **leads, device=device, ends=ends)
    volts = h * (V / out_scale)
    I_in = -xb.solve(reverse, np.zeros((len(x), len(G))), volts, engine=engine).I_in[:, top:]
    gain = np.abs(W1).max() * out_scale / (V * span)
    return G, (I_in[:, 0::2] - I_in[:, 1::2]) * gain + b1


@pytest.mark.parametrize("leads", [(0.0, 0.0), (10.0, 20.0)], ids=str)
@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
@pytest.mark.parametrize("engine", ["surrogate", "nodal", "ngspice"])
def test_conductances_and_answers_are_those_of_the_crossbars_by_hand(engine, device, leads):
    wires = WIRES | dict(zip(("R_driver", "R_sense"), leads, strict=True))
    x = points()
    circuit = circuit_of(model_of(outputs=2), x, device=device, **wires)
    G, expected = by_hand(circuit, x.numpy(), engine, device, wires)
    (array,) = xb.nn.arrays(circuit)
    assert array.crossbar.G.shape == (10, 8)
    assert np.array_equal(array.crossbar.G, G)
    with torch.no_grad(), xb.nn.through(engine):
        answers = circuit(x).numpy()
    assert np.abs(answers - expected).max() <= 1e-12 * np.abs(expected).max()


def test_pairs_are_those_of_the_tiled_layout():
    model = model_of(outputs=3)
    folded, tiled = circuit_of(model, points()), circuit_of(model, points(), layout="tiled")
    for a, b in zip((folded[0], folded[2]), (tiled[0], tiled[2]), strict=True):
        block = next(a.weight_matrices())[1:]
        pairs = a.matrices["weight"].program(*block, training=False).G
        lines = pairs.shape[1]
        tiled_pairs = b.matrices["weight"].program(*block, training=False).G
        if a is folded[0]:
            assert torch.equal(pairs, tiled_pairs)
        else:  # its bias is added after reading
            assert lines == 8
            assert tiled_pairs.shape[1] == 9


def test_tiles_drive_and_sense_the_lines_of_their_read():
    circuit = circuit_of(model_of(outputs=2))
    first, second = xb.nn.tiles(circuit)
    assert (first.array, first.name, second.name) == ("0+2", "0[0,0,0]", "2[0,0,0]")
    assert first.array == second.array
    volts = np.array([[0.1, -0.05, 0.2]])
    V_in, V_out = first.drive(volts)
    assert V_in.tolist() == [[0.1, -0.1, -0.05, 0.05, 0.2, -0.2, 0, 0, 0, 0]]
    assert not V_out.any()
    V_in, V_out = second.drive(np.arange(8.0)[None])
    assert V_out.tolist() == [list(range(8))]
    assert not V_in.any()
    answer = xb.solve(second.crossbar, V_in, V_out)
    assert np.array_equal(second.currents(answer), -answer.I_in[:, 6:])
    assert second.crossbar.R_driver == 20.0
    assert second.crossbar.R_sense == 10.0
    assert [a.name for a in xb.nn.arrays(circuit)] == ["0+2"]
    assert [t.name for t in xb.nn.arrays(circuit)[0].tiles] == ["0[0,0,0]", "2[0,0,0]"]


@pytest.mark.parametrize("changes", [{}, {"device": "sinh_tio2"}], ids=["ohmic", "sinh"])
def test_gradients_equal_finite_differences(changes):
    circuit = circuit_of(model_of(hidden=4, outputs=2), points(), **changes)
    x = points(3)
    target = torch.tensor([[1.0, -2.0], [0.5, 1.0], [-1.0, 0.3]], dtype=torch.float64)

    def loss():
        return (circuit(x) * target).sum()

    loss().backward()
    rng = np.random.default_rng(0)
    for name, parameter in circuit.named_parameters():
        flat, grad = parameter.data.view(-1), parameter.grad.view(-1)
        for k in rng.permutation(len(flat))[:3]:
            value, step = float(flat[k]), 1e-6
            circuits = []
            for sign in (1, -1):
                flat[k] = value + sign * step
                with torch.no_grad():
                    circuits.append(float(loss()))
            flat[k] = value
            difference = (circuits[0] - circuits[1]) / (2 * step)
            assert abs(float(grad[k]) - difference) < 1e-6 * max(1, abs(difference)), (name, k)


@pytest.mark.parametrize("changes", [{}, {"device": "sinh_tio2"}], ids=["ohmic", "sinh"])
@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_gradients_through_a_checkpoint_are_the_same(layout, changes):
    """Checkpointing gives a backward pass its saved tensors once."""
    adc = {"adc_bits": 12} if layout == "tiled" and not changes else {}  # array by array
    circuit, x = circuit_of(None, points(), layout=layout, **changes, **adc), points(3)
    circuit(x).sum().backward()
    expected = [p.grad.clone() for p in circuit.parameters()]
    circuit.zero_grad()
    checkpoint(circuit, x, use_reentrant=False).sum().backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(circuit.parameters(), expected, strict=True))


@pytest.mark.parametrize("layout", ["tiled", "folded"])
def test_compiled_autocast_and_mapped_over(layout):
    circuit, x = circuit_of(layout=layout), points()
    with torch.no_grad():
        expected = circuit(x)
        assert torch.equal(torch.compile(circuit)(x), expected)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.allclose(circuit(x.float()).double(), expected, atol=1e-4)
    weights = torch.stack([circuit[2].parameter("weight").detach()] * 2)

    def with_weight(weight):
        return torch.func.functional_call(circuit, {"2.weight": weight}, (x,))

    with pytest.raises(xb.errors.XbarspiceError, match="vmap"):
        torch.vmap(with_weight)(weights)


def test_each_layer_feels_the_weights_of_the_other():
    circuit = circuit_of()
    x = points()
    circuit[0](x).sum().backward()
    assert circuit[2].parameter("weight").grad.abs().max() > 0  # through the shared wires
    with torch.no_grad():
        before = circuit[0](x)
        assert torch.equal(circuit[0](x), before)  # kept
        circuit[2].parameter("weight").data[0, 0] *= 0.5
        assert not torch.equal(circuit[0](x), before)


def test_a_layer_feels_a_new_configuration_of_the_other():
    circuit, x = circuit_of(), points()
    with torch.no_grad():
        before = circuit[0](x)
        matrix = circuit[2].matrices["weight"]
        matrix.config = replace(matrix.config, G_min=200e-6)
        assert not torch.equal(circuit[0](x), before)


def test_errors_on_one_matrix_alone():
    """As a study of transfers asks for them: the other layer reads the array as wanted."""
    circuit, x = circuit_of(variation=SPREAD), points()
    circuit[2].matrices["weight"].config = replace(
        circuit[2].matrices["weight"].config, variation=None
    )
    with torch.no_grad():
        hidden, nominal = circuit[0](x), circuit[2](torch.ones(1, 8).double())
        for _ in xb.nn.program_each(circuit, [1, 2]):
            assert not torch.equal(circuit[0](x), hidden)
            assert torch.equal(circuit[2](torch.ones(1, 8).double()), nominal)


def test_copies_and_pickles_stand_alone_and_keep_the_array():
    circuit, x = circuit_of(None, points()), points()
    with torch.no_grad():
        expected = circuit(x)
        copies = [
            copy.deepcopy(circuit),
            pickle.loads(pickle.dumps(circuit)),  # noqa: S301 - our own bytes
            xb.nn.copy_circuit(circuit),
        ]
        for copied in copies:
            assert torch.equal(copied(x), expected)
            assert [a.name for a in xb.nn.arrays(copied)] == ["0+2"]
            assert copied[0].matrices["weight"].folded.layers == (copied[0], copied[2])
            copied[2].parameter("weight").data.zero_()
        assert torch.equal(circuit(x), expected)
        plain = xb.nn.to_torch(circuit)
    assert list(circuit.state_dict()) == list(model_of().state_dict()) == list(plain.state_dict())
    assert type(plain[0]) is nn.Linear
    assert torch.equal(plain(x), model_of()(x))


def test_functional_call_uses_the_parameters_that_it_is_given():
    circuit, x = circuit_of(), points()
    donor = circuit_of(model_of(seed=3))
    with torch.no_grad():
        expected = donor(x)
        parameters = {name: p.detach() for name, p in donor.named_parameters()}
        assert torch.equal(torch.func.functional_call(circuit, parameters, (x,)), expected)


@pytest.mark.parametrize("device", ["ohmic", "sinh_tio2"])
def test_both_reads_of_a_transfer_see_one_array(device):
    circuit, x = circuit_of(variation=SPREAD, device=device), points()
    with torch.no_grad():
        nominal = circuit(x)
        xb.nn.program(circuit, 3)
        first, second = xb.nn.tiles(circuit)
        assert np.array_equal(first.crossbar.G, second.crossbar.G)
        changed = circuit(x)
        assert not torch.equal(changed, nominal)
        xb.nn.program(circuit, 4)
        assert not torch.equal(circuit(x), changed)
        xb.nn.program(circuit, 3)
        with xb.nn.through("nodal"):
            assert torch.allclose(circuit(x), changed, rtol=1e-9)
        xb.nn.program(circuit, None)
        assert torch.equal(circuit(x), nominal)


def test_training_draws_one_array_a_step():
    circuit, x = circuit_of(variation=SPREAD), points()
    circuit.train()
    blocks = [next(circuit[k].weight_matrices())[1:] for k in (0, 2)]
    matrices = [circuit[k].matrices["weight"] for k in (0, 2)]
    with torch.no_grad():
        answers = [circuit(x) for _ in range(2)]
        assert not torch.equal(*answers)
        drawn = [m.program(*b, training=True).array for m, b in zip(matrices, blocks, strict=True)]
    assert torch.equal(*drawn)
    assert [m.draws for m in matrices] == [3, 3]


def test_measured_conductances_are_read_by_both_layers():
    circuit, x = circuit_of(), points()
    (array,) = xb.nn.arrays(circuit)
    G = array.crossbar.G * np.random.default_rng(0).uniform(0.9, 1.1, array.crossbar.G.shape)
    with torch.no_grad():
        before = circuit(x)
        xb.nn.put_conductances(circuit, {"0+2": G})
        assert all(np.array_equal(t.crossbar.G, G) for t in xb.nn.tiles(circuit))
        assert not torch.allclose(circuit(x), before)
        changed = circuit(x)
        with xb.nn.through("nodal"):
            assert torch.allclose(circuit(x), changed, rtol=1e-9)
        xb.nn.put_conductances(circuit, None)
        assert torch.equal(circuit(x), before)
    with pytest.raises(InputError, match="must be 8 x 8"):
        xb.nn.put_conductances(circuit, {"0+2": np.ones((3, 3))})


def test_coverage_counts_the_array_once():
    circuit = circuit_of(None, points())
    record = xb.nn.coverage(circuit)
    assert [m.name for m in record.matrices] == ["0", "2"]
    assert sum(m.arrays for m in record.matrices) == 1
    assert sum(m.devices for m in record.matrices) == 64
    assert [m.bias_line for m in record.matrices] == [True, False]
    assert record.weight_share == 1.0
    assert record.product_share == 1.0


def test_ranges_converters_and_observers():
    x = points() * 3
    circuit = circuit_of(None, x, adc_bits=10, dac_bits=10)
    configs = [circuit[k].matrices["weight"].config for k in (0, 2)]
    assert configs[0].x_scale == float(x.abs().max())
    assert configs[1].x_scale < 1
    assert all(c.adc_range is not None and c.adc_range > 0 for c in configs)
    calls: dict[str, torch.Tensor] = {}
    with torch.no_grad(), observe_differences(lambda m, d: calls.update({m.name: d})):
        outputs = circuit(x)
    assert calls["0"].shape == (6, 1, 1, 1, 8)
    assert calls["2"].shape == (6, 1, 1, 1, 1)
    largest = [float(calls[k].abs().max()) for k in ("0", "2")]
    assert largest == pytest.approx([c.adc_range for c in configs], rel=0.05)
    drives: dict[str, torch.Tensor] = {}
    with torch.no_grad(), observe_drives(lambda m, v: drives.update({m.name: v})):
        assert torch.equal(circuit(x), outputs)
    assert drives["0"].shape == (6, 1, 3)
    assert drives["2"].shape == (6, 1, 8)
    with torch.no_grad():
        circuit(2 * x)
    assert circuit[0].matrices["weight"].ranges.beyond > 0
    fine = circuit_of(None, x)
    with torch.no_grad():
        assert 0 < (fine(x) - outputs).abs().max() < 0.02


def test_kept_answers_are_the_sensed_currents():
    circuit, x = circuit_of(model_of(outputs=2)), points()
    with torch.no_grad(), xb.nn.through("nodal", keep=True) as run:
        circuit(x)
    assert [a.matrix for a in run.answers] == ["0", "2"]
    for tile, answer in zip(xb.nn.tiles(circuit), run.answers, strict=True):
        solution = xb.solve(tile.crossbar, *tile.drive(answer.V_in[:, 0].numpy()), engine="nodal")
        assert np.array_equal(answer.I_out[0].squeeze().numpy(), tile.currents(solution))


def test_single_precision_and_no_gradients_of_other_engines():
    circuit, x = circuit_of(), points()
    single = circuit_of(dtype="float32")
    with torch.no_grad():
        assert (single(x) - circuit(x)).abs().max() < 1e-4
    for parameter in circuit[0].parameters():
        parameter.requires_grad_(False)
    with xb.nn.through("nodal"):
        out = circuit[0](x)
    with pytest.raises(xb.errors.XbarspiceError, match="only the surrogate gives gradients"):
        out.sum().backward()  # the second layer's weights are on the same wires


def test_without_biases_and_with_digital_ones():
    x = points()
    bare, digital = circuit_of(model_of(bias=False)), circuit_of(bias="digital")
    for circuit in (bare, digital):
        assert xb.nn.arrays(circuit)[0].crossbar.G.shape == (6, 8)
        with torch.no_grad(), xb.nn.exact_products():
            assert torch.allclose(circuit(x), xb.nn.to_torch(circuit)(x), atol=1e-12)


class Backwards(nn.Module):
    """The layer that is called first is registered last."""

    def __init__(self, hidden: int, outputs: int = 3) -> None:
        super().__init__()
        self.out = nn.Linear(hidden, outputs)
        self.hidden = nn.Linear(2, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.hidden(x)))


def test_the_order_of_reads_is_the_one_that_fits():
    circuit, x = circuit_of(Backwards(5).double()), points()
    (array,) = xb.nn.arrays(circuit)
    assert array.name == "hidden+out"
    assert [t.matrix for t in array.tiles] == ["hidden", "out"]
    assert array.crossbar.G.shape == (12, 5)
    with torch.no_grad(), xb.nn.exact_products():
        assert torch.allclose(circuit(x), xb.nn.to_torch(circuit)(x), atol=1e-12)


@pytest.mark.parametrize(
    ("model", "changes", "rule"),
    [
        (nn.Sequential(nn.Linear(2, 8)), {}, "exactly two Linear layers.*`0`"),
        (nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 4), nn.Linear(4, 1)), {}, "exactly two"),
        (nn.Sequential(nn.Linear(2, 8), nn.Linear(4, 1)), {}, "outputs of one"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 8)), {}, "Conv2d"),
        (model_of(), {"tile_rows": 7}, "8 x 8 devices on tiles of 7 x 8"),
        (model_of(), {"tile_cols": 7}, "8 x 8 devices on tiles of 16 x 7"),
    ],
)
def test_what_does_not_fit_is_refused(model, changes, rule):
    with pytest.raises(InputError, match=rule):
        circuit_of(model, **changes)


def test_configurations_that_cannot_be_folded_are_refused():
    config = xb.ArrayConfig(layout="folded")
    with pytest.raises(InputError, match="one pair a weight"):
        replace(config, cells=2)
    with pytest.raises(InputError, match="`layout` must be one of"):
        replace(config, layout="round")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one configuration"):
        xb.nn.convert(model_of(), {"0": config, "2": replace(config, R_wl=3.0)})
    with pytest.raises(InputError, match="needs both of its layers"):
        xb.nn.CrossbarLinear(2, 8, config=config)(torch.zeros(1, 2))


def test_two_layers_of_a_larger_model_can_share_an_array():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), *model_of(4, 6, 2)).double()
    folded = xb.ArrayConfig(layout="folded", tile_rows=16, tile_cols=8)
    circuit = xb.nn.convert(model, {"0": xb.ArrayConfig(), "*": folded}).eval()
    assert [a.name for a in xb.nn.arrays(circuit)] == ["0[0,0,0]", "2+4"]


@pytest.mark.parametrize("transfer", [None, 2])
@pytest.mark.parametrize(
    "model",
    [model_of(), Backwards(5).double(), Backwards(5, 2).double(), model_of(2, 2, 2)],
    ids=["2-8-1", "one order", "either order", "2-2-2"],
)
def test_a_deployment_gives_the_same_array_back(tmp_path, model, transfer):
    x = points()
    circuit = circuit_of(model, x, variation=SPREAD, tile_rows=24)
    xb.nn.program(circuit, transfer)
    xb.save(tmp_path / "net.h5", circuit)
    loaded = xb.load(tmp_path / "net.h5")
    (a,), (b,) = xb.nn.arrays(circuit), xb.nn.arrays(loaded)
    assert np.array_equal(a.crossbar.G, b.crossbar.G)
    assert [t.matrix for t in a.tiles] == [t.matrix for t in b.tiles]
    with torch.no_grad():
        assert torch.equal(loaded(x), circuit(x))


def test_a_read_that_does_not_fit_is_refused(tmp_path):
    from xbarspice.core import hdf5
    from xbarspice.deployment.reading import KIND

    circuit = circuit_of(None, points())
    xb.save(tmp_path / "net.h5", circuit)
    tree = hdf5.read_tree(tmp_path / "net.h5", KIND)
    tree["matrices"]["1"]["read"] = None
    hdf5.write_tree(tmp_path / "bad.h5", tree, KIND)
    with pytest.raises(InputError, match="read as it was saved"):
        xb.load(tmp_path / "bad.h5")
