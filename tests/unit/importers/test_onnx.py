"""ONNX models as exporters write them, and layers whose weights must be read by operator."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import pickle
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from tests.unit.importers.test_onnx_operators import agree, real, write
from xbarspice.core.errors import InputError
from xbarspice.importers import load_model
from xbarspice.importers.onnx_layers import LeftProduct, Recurrent


class Rows(nn.Module):
    """A recurrent layer over rows, and a linear layer on its last output."""

    def __init__(self, kind, **settings):
        super().__init__()
        self.memory = kind(4, 5, batch_first=True, **settings)
        self.head = nn.Linear(10 if settings.get("bidirectional") else 5, 3)

    def forward(self, x):
        return self.head(self.memory(x)[0][:, -1])


class Separable(nn.Module):
    """A depthwise-separable convolution with a skip around it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.depth = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.point = nn.Conv2d(6, 6, 1)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        h = torch.relu(self.norm(self.stem(x)))
        return self.head((h + nn.functional.hardswish(self.point(self.depth(h)))).mean((2, 3)))


def randomise(module):
    """Statistics that differ from their first values, as after training; evaluation mode."""
    generator = torch.Generator().manual_seed(3)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.copy_(torch.randn(layer.num_features, generator=generator))
            layer.running_var.copy_(torch.rand(layer.num_features, generator=generator) + 0.5)
    return module.eval()


def cnn(kind, norm, pool):
    return nn.Sequential(
        kind(2, 4, 3), norm(4), nn.LeakyReLU(), pool(2), norm(4), nn.Flatten(), nn.LazyLinear(3)
    )


MODELS = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3), nn.Softmax(-1)),
        (4,),
    ),
    "cnn": (lambda: cnn(nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d), (2, 8, 8)),
    "cnn1d": (lambda: cnn(nn.Conv1d, nn.BatchNorm1d, nn.AvgPool1d), (2, 10)),
    "lstm": (lambda: Rows(nn.LSTM, num_layers=2, bidirectional=True), (6, 4)),
    "gru": (lambda: Rows(nn.GRU), (6, 4)),
    "rnn": (lambda: Rows(nn.RNN, nonlinearity="relu"), (6, 4)),
    "separable": (Separable, (3, 6, 6)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), nn.Tanh()
        ),
        (2, 4, 4),
    ),
}
EXPORTS = [
    *((name, False) for name in MODELS if name != "transformer"),  # the old exporter fails on it
    *((name, True) for name in ("gru", "separable", "transformer")),
]


@pytest.fixture(scope="session")
def exported_model(tmp_path_factory):
    """Each model once per exporter: name, new -> (module, path, inputs)."""
    folder, models = tmp_path_factory.mktemp("onnx"), {}

    def export(name, new, dynamic=True):
        if (name, new, dynamic) in models:
            return models[name, new, dynamic]
        torch.manual_seed(5)
        make, shape = MODELS[name]
        x = torch.randn(3, *shape)
        module = make()
        module(x)
        path = folder / f"{name}-{new}-{dynamic}.onnx"
        settings = {"dynamo": new, "input_names": ["x"]}
        if new:
            settings |= {"external_data": False, "verbose": False}
            settings["dynamic_shapes"] = ({0: torch.export.Dim("b")},) if dynamic else None
        elif dynamic:
            settings["dynamic_axes"] = {"x": {0: "b"}}
        logging.disable(logging.WARNING)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(randomise(module), (x,), str(path), **settings)
        finally:
            logging.disable(logging.NOTSET)
        models[name, new, dynamic] = (module, path, torch.randn(7, *shape))
        return models[name, new, dynamic]

    return export


@pytest.mark.parametrize(("name", "new"), EXPORTS)
def test_an_exported_model_computes_what_onnx_runtime_and_torch_do(exported_model, name, new):
    module, path, x = exported_model(name, new)
    model = agree(path, {"x": x})
    assert model.kind == "onnx"
    assert model.batch is None
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.library.startswith("xbarspice, graph read by onnx ")
    assert model.original_library.startswith("ONNX Runtime ")
    with torch.no_grad():
        y = module(x)
    assert torch.allclose(model.run(x), y, rtol=0, atol=1e-5 * float(y.abs().max()))
    z = model.run(x, model.in_double())
    assert z.dtype == torch.float64
    with torch.no_grad():
        exact = copy.deepcopy(module).double()(x.double())
    assert torch.allclose(z, exact, rtol=0, atol=1e-6)
    unpickled = pickle.loads(pickle.dumps(model.module))  # noqa: S301  # our own module
    assert torch.equal(model.run(x, unpickled), model.run(x))


def test_layers_keep_the_originals_names_and_weights(exported_model):
    module, path, _ = exported_model("separable", True)
    layers = dict(load_model(path).module.named_modules())
    for name in ("depth", "point", "head"):
        layer = getattr(module, name)
        assert type(layers[name]) is type(layer)
        assert torch.equal(layers[name].weight, layer.weight)
        assert torch.equal(layers[name].bias, layer.bias)
    assert layers["depth"].groups == 6
    module, path, _ = exported_model("mlp", False)
    assert set(load_model(path).module.state_dict()) == set(module.state_dict())


def test_gates_of_recurrent_layers_stand_in_torchs_order(exported_model):
    for name, kind in (("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)):
        module, path, _ = exported_model(name, False)
        layers = [m for m in load_model(path).module.modules() if type(m) is kind]
        assert len(layers) == module.memory.num_layers
        for level, layer in enumerate(layers):
            for key, value in layer.named_parameters():
                assert torch.equal(value, getattr(module.memory, key.replace("l0", f"l{level}")))


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_recurrent_layer_is_exchanged_for_one_of_another_type(exported_model, name):
    class Other(nn.Module):
        """Stands for a converted layer: the same calls and sizes, another type."""

        def __init__(self, layer):
            super().__init__()
            self.inner, self.bidirectional = layer, layer.bidirectional
            self.hidden_size = layer.hidden_size

        def forward(self, x, first):
            return self.inner(x, first)

    _, path, x = exported_model(name, False)
    model = load_model(path)
    exchanged = copy.deepcopy(model.module)
    for module in list(exchanged.modules()):
        if isinstance(module, Recurrent):
            module.layer = Other(module.layer)
    assert torch.equal(model.run(x, exchanged), model.run(x))


def test_batch_normalisation_that_cannot_be_folded_is_its_own_layer(exported_model):
    module, path, _ = exported_model("cnn", False)
    norms = [m for m in load_model(path).module.modules() if type(m) is nn.BatchNorm2d]
    assert len(norms) == 1  # the exporter folded the first into the convolution before it
    assert torch.equal(norms[0].running_var, module[4].running_var)
    assert norms[0].eps == pytest.approx(module[4].eps)


def test_a_fixed_batch_is_fed_in_groups_padded_and_cut(exported_model):
    module, path, x = exported_model("cnn1d", False, dynamic=False)
    model = load_model(path)
    assert model.batch == 3
    for points in (1, 3, 7):
        y = model.run(x[:points])
        assert y.shape == (points, 3)
        assert torch.allclose(y, model.reference(x[:points]), rtol=0, atol=1e-5)
        assert torch.allclose(y, module(x[:points]), rtol=0, atol=1e-5)


# Graphs that torch never writes.


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,), ()])
def test_gemm_with_factors_is_one_linear_layer(tmp_path, transposed, bias):
    constants = {"w": real(*((5, 4) if transposed else (4, 5)))}
    constants |= {} if bias is None else {"b": real(*bias) if bias else np.float32(0.7).reshape(())}
    node = helper.make_node(
        "Gemm", ["x", *constants], ["y"], alpha=0.5, beta=-1.5, transB=transposed
    )
    x = {"x": real(3, 4)}
    model = agree(write(tmp_path / "m.onnx", [node], x, constants, ["y"]), x)
    ((layer),) = model.module.children()
    assert type(layer) is nn.Linear
    W = constants["w"] if transposed else constants["w"].T
    assert np.array_equal(layer.weight.detach().numpy(), np.float32(0.5) * W)


def test_gemm_with_a_bias_a_row_or_a_transposed_input_stays_right(tmp_path):
    x = {"x": real(3, 4)}
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    agree(write(tmp_path / "m.onnx", [node], x, {"w": real(4, 5), "b": real(3, 1)}, ["y"]), x)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=1)
    model = agree(write(tmp_path / "m.onnx", [node], x, {"w": real(3, 5), "b": real(5)}, ["y"]), x)
    assert [type(m) for m in model.module.children()] == [nn.Linear]
    node = helper.make_node("Gemm", ["w", "x"], ["y"])
    agree(write(tmp_path / "m.onnx", [node], x, {"w": real(5, 3)}, ["y"]), x)


@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 4, 3)])
def test_a_constant_matrix_on_the_left_is_a_layer_of_its_own(tmp_path, shape):
    x = {"x": real(*shape)}
    node = helper.make_node("MatMul", ["w", "x"], ["y"])
    model = agree(write(tmp_path / "m.onnx", [node], x, {"w": real(5, 4)}, ["y"]), x)
    (layer,) = model.module.children()
    assert type(layer) is LeftProduct
    assert type(layer.linear) is nn.Linear


@pytest.mark.parametrize("bias", [(5,), (1, 5), (1,), (3, 1), (1, 1, 5), (2, 1, 5)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_product_with_a_constant_takes_the_next_bias(tmp_path, bias, turned):
    x = {"x": real(3, 4)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["b", "h"] if turned else ["h", "b"], ["y"]),
    ]
    constants = {"w": real(4, 5), "b": real(*bias)}
    model = agree(write(tmp_path / "m.onnx", nodes, x, constants, ["y"]), x)
    (layer,) = model.module.children()
    assert type(layer) is nn.Linear
    assert (layer.bias is not None) == (bias in {(5,), (1, 5), (1,)})


def test_a_product_that_is_read_twice_keeps_its_bias_apart(tmp_path):
    x = {"x": real(3, 4)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["y"]),
        helper.make_node("Mul", ["h", "y"], ["z"]),
    ]
    constants = {"w": real(4, 5), "b": real(5)}
    agree(write(tmp_path / "m.onnx", nodes, x, constants, ["z"]), x)
    agree(write(tmp_path / "m.onnx", nodes[:2], x, constants, ["h", "y"]), x)


def test_a_layer_that_is_shared_stays_shared(tmp_path):
    x = {"x": real(3, 4)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w", "b"], ["y"]),
        helper.make_node("Gemm", ["t", "w", "b"], ["z"], alpha=2.0),
    ]
    constants = {"w": real(4, 4), "b": real(4)}
    model = agree(write(tmp_path / "m.onnx", nodes, x, constants, ["y", "z"]), x)
    assert sum(type(m) is nn.Linear for m in model.module.children()) == 2


def test_weights_that_constants_compute_are_weights(tmp_path):
    x = {"x": real(3, 4)}
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("Mul", ["t", "s"], ["v"]),
        helper.make_node("MatMul", ["x", "v"], ["y"]),
    ]
    constants = {"w": real(5, 4), "s": real(1)}
    model = agree(write(tmp_path / "m.onnx", nodes, x, constants, ["y"]), x)
    assert [type(m) for m in model.module.children()] == [nn.Linear]


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 0, 2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [1, 2]},
        {"auto_pad": "VALID"},
        {"group": 2, "pads": [1, 1, 1, 1]},
    ],
)
def test_convolutions_with_every_padding(tmp_path, attributes):
    x = {"x": real(2, 4, 7, 6)}
    constants = {"w": real(6, 4 // attributes.get("group", 1), 3, 2), "b": real(6)}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
    model = agree(write(tmp_path / "m.onnx", [node], x, constants, ["y"]), x)
    assert [type(m) for m in model.module.children()] == [nn.Conv2d]


@pytest.mark.parametrize("shape", [(4, 3, 3), (4, 3, 2, 2, 2)])
def test_convolutions_of_one_and_three_axes(tmp_path, shape):
    axes = len(shape) - 2
    x = {"x": real(2, 4, *[6] * axes)}
    nodes = [
        helper.make_node(
            "ConvTranspose",
            ["x", "w"],
            ["h"],
            strides=[2] * axes,
            pads=[1] * axes + [0] * axes,
            output_padding=[1] * axes,
        ),
        helper.make_node("Conv", ["h", "v"], ["y"]),
    ]
    constants = {"w": real(*shape), "v": real(2, 3, *shape[2:])}
    model = agree(write(tmp_path / "m.onnx", nodes, x, constants, ["y"]), x)
    kinds = {1: [nn.ConvTranspose1d, nn.Conv1d], 3: [nn.ConvTranspose3d, nn.Conv3d]}
    assert [type(m) for m in model.module.children()] == kinds[axes]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("full", [False, True])
def test_recurrent_layers_with_states_and_directions(tmp_path, direction, kind, gates, full):
    ways = 2 if direction == "bidirectional" else 1
    constants = {"w": real(ways, gates * 5, 3), "r": real(ways, gates * 5, 5)}
    x = {"x": real(4, 2, 3)}
    names = ["x", "w", "r"]
    if full:
        constants["b"] = real(ways, gates * 10)
        x["h"] = real(ways, 2, 5)
        names += ["b", "", "h"]
        if kind == "LSTM":
            x["c"] = real(ways, 2, 5)
            names.append("c")
    attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
    outputs = ["y", "yh", "yc"] if kind == "LSTM" else ["y", "yh"]
    node = helper.make_node(kind, names, outputs, hidden_size=5, direction=direction, **attributes)
    model = agree(write(tmp_path / "m.onnx", [node], x, constants, outputs), x)
    (layer,) = model.module.children()
    assert type(layer) is Recurrent
    assert type(layer.layer) is getattr(nn, kind)


def test_recurrent_forms_that_torch_does_not_compute_are_refused(tmp_path):
    def load(kind, gates, names=(), more=(), **attributes):
        constants = {"w": real(1, gates * 5, 3), "r": real(1, gates * 5, 5), **dict(more)}
        node = helper.make_node(
            kind, ["x", "w", "r", *names], ["y"], hidden_size=5, name="memory", **attributes
        )
        load_model(write(tmp_path / "m.onnx", [node], {"x": real(4, 2, 3)}, constants, ["y"]))

    with pytest.raises(InputError, match="GRU `memory` with the reset before the product"):
        load("GRU", 3)
    with pytest.raises(InputError, match="activations Relu, Tanh, Tanh"):
        load("LSTM", 4, activations=["Relu", "Tanh", "Tanh"])
    with pytest.raises(InputError, match="the attribute clip"):
        load("LSTM", 4, clip=1.0)
    with pytest.raises(InputError, match="peephole"):
        load("LSTM", 4, ["", "", "", "", "p"], {"p": real(1, 15)})
    with pytest.raises(InputError, match="sequence_lens"):
        load("LSTM", 4, ["", "n"], {"n": np.array([4, 2], np.int32)})
    with pytest.raises(InputError, match="input_forget"):
        load("LSTM", 4, input_forget=1)


def test_batch_normalisation_by_rank_and_training_mode(tmp_path):
    constants = {name: np.abs(real(3)) + 0.1 for name in "sbmv"}
    for shape, kind in [
        ((2, 3), nn.BatchNorm1d),
        ((2, 3, 4), nn.BatchNorm1d),
        ((2, 3, 4, 4), nn.BatchNorm2d),
        ((2, 3, 2, 2, 2), nn.BatchNorm3d),
    ]:
        x = {"x": real(*shape)}
        node = helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y"], epsilon=1e-3)
        model = agree(write(tmp_path / "m.onnx", [node], x, constants, ["y"]), x)
        (layer,) = model.module.children()
        assert type(layer) is kind
        assert layer.eps == pytest.approx(1e-3)
    node = helper.make_node(
        "BatchNormalization", ["x", *"sbmv"], ["y", "m2", "v2"], training_mode=1
    )
    path = write(tmp_path / "m.onnx", [node], x, constants, ["y"])
    with pytest.raises(InputError, match="training mode"):
        load_model(path)


def test_functions_of_the_file_are_read_as_their_nodes(tmp_path):
    x = {"x": real(3, 4)}
    node = helper.make_node("Twice", ["x"], ["y"], domain="own")
    body = helper.make_node("Add", ["a", "a"], ["b"])
    opsets = [helper.make_opsetid("", 20)]
    function = helper.make_function("own", "Twice", ["a"], ["b"], [body], opsets)
    path = write(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], x, {}, ["y"])
    proto = onnx.load(path)
    del proto.graph.node[:]
    proto.graph.node.append(node)
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(proto, path)
    assert torch.allclose(agree(path, x).run(x["x"]), torch.tensor(2 * x["x"]))


def external(folder, location="weights.bin"):
    """A model whose weight lies in another file."""
    folder.mkdir(exist_ok=True)
    weight = real(400, 4).T
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = write(folder / "m.onnx", [node], {"x": real(3, 4)}, {"w": weight}, ["y"])
    proto = onnx.load(path)
    tensor = proto.graph.initializer[0]
    (folder / "weights.bin").write_bytes(weight.tobytes())
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(weight.nbytes))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(proto.SerializeToString())
    return path, weight


def test_external_data_beside_the_model_is_read_and_hashed(tmp_path):
    path, weight = external(tmp_path)
    model = agree(path, {"x": real(3, 4)})
    (layer,) = model.module.children()
    assert np.array_equal(layer.weight.detach().numpy(), weight.T)
    content = path.read_bytes() + (tmp_path / "weights.bin").read_bytes()
    assert model.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("place", ["../weights.bin", "absolute", "link.bin", "inner/../../w.bin"])
def test_external_data_elsewhere_is_refused(tmp_path, place):
    secret = tmp_path / "weights.bin"
    secret.write_bytes(bytes(6400))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(secret)
    path, _ = external(folder, str(secret) if place == "absolute" else place)
    with pytest.raises(InputError, match="must lie in its own folder"):
        load_model(path)


def test_external_data_that_is_missing_or_short_is_one_clear_error(tmp_path):
    path, _ = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(100))
    with pytest.raises(InputError, match=r"100 bytes in weights.bin where 6400 from 0"):
        load_model(path)
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].external_data[1].value = "-9"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match="6400 from -9 on"):
        load_model(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"no file weights.bin"):
        load_model(path)


def test_a_damaged_onnx_file_is_one_clear_error(tmp_path):
    x = {"x": real(3, 4)}
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = write(tmp_path / "m.onnx", [node], x, {"w": real(4, 5)}, ["y"])
    whole = path.read_bytes()
    generator = np.random.default_rng(1)
    for cut in range(1, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError):
            load_model(path)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):  # any other error fails the test
            load_model(path)
    path.write_bytes(b"\x08\x07 not a model")
    with pytest.raises(InputError, match="must be a whole ONNX model"):
        load_model(path)


def test_other_operator_domains_and_types_are_refused_by_name(tmp_path):
    x = {"x": real(3, 4)}
    path = write(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], x, {}, ["y"])
    proto = onnx.load(path)
    proto.graph.node[0].op_type = "Scaler"
    proto.graph.node[0].domain = "ai.onnx.ml"
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(proto, path)
    with pytest.raises(InputError, match=r"ai.onnx.ml.Scaler.*coefs_"):
        load_model(path)
    proto = onnx.load(path)
    proto.graph.node[0].op_type, proto.graph.node[0].domain = "Neg", ""
    del proto.opset_import[:]
    proto.opset_import.append(helper.make_opsetid("", 6))
    onnx.save(proto, path)
    with pytest.raises(InputError, match="opset 7 to"):
        load_model(path)
    for version in (20, 20):  # skl2onnx states one twice
        proto.opset_import.append(helper.make_opsetid("", version))
    del proto.opset_import[0]
    onnx.save(proto, path)
    assert torch.allclose(agree(path, x).run(x["x"]), -torch.tensor(x["x"]))
    proto.opset_import.append(helper.make_opsetid("ai.onnx", 19))
    onnx.save(proto, path)
    with pytest.raises(InputError, match="opset 7 to"):
        load_model(path)


def test_a_model_of_int8_weights_is_refused(tmp_path):
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    constants = {"q": np.ones((4, 5), np.int8), "s": np.float32(0.1).reshape(())}
    path = write(tmp_path / "m.onnx", nodes, {"x": real(3, 4)}, constants, ["y"])
    with pytest.raises(
        InputError, match=r"DequantizeLinear of a quantised model.*before its quant"
    ):
        load_model(path)


def test_inputs_are_named_and_checked(tmp_path):
    x = {"image": real(2, 4), "scale": real(2, 4)}
    node = helper.make_node("Mul", ["image", "scale"], ["y"])
    path = write(tmp_path / "m.onnx", [node], x, {}, ["y"])
    model = load_model(path)
    assert [spec.name for spec in model.inputs] == ["image", "scale"]
    assert model.inputs[0].shape == (2, 4)
    assert torch.equal(model.run(x), model.run(tuple(x.values())))
    with pytest.raises(InputError, match="takes 2 inputs"):
        model.run(x["image"])
    with pytest.raises(InputError, match=r"must have the shape \(points, 4\)"):
        model.run((real(2, 5), real(2, 4)))
    with pytest.raises(InputError, match="must be named"):
        model.run({"image": x["image"], "other": x["scale"]})
    with pytest.raises(InputError, match="NaN"):
        model.run((np.full((2, 4), np.nan), x["scale"]))
    with pytest.raises(InputError, match="same number of points"):
        model.run((real(4, 4), real(3, 4)))


def test_points_that_see_each_other_cannot_be_fed_in_groups(tmp_path):
    x = real(4, 3)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        helper.make_node("Add", ["x", "m"], ["a"]),
        helper.make_node("CumSum", ["a", "axis"], ["y"]),
    ]
    constants = {"axes": np.array([0]), "axis": np.array(0)}
    path = write(tmp_path / "m.onnx", nodes, {"x": x}, constants, ["y"])
    model = load_model(path)
    assert torch.allclose(model.run(x), model.reference(x), atol=1e-5)
    with pytest.raises(InputError, match="points must not see each other"):
        model.run(real(8, 3))
    path = write(tmp_path / "m.onnx", nodes[:1], {"x": x}, constants, ["m"])
    with pytest.raises(InputError, match="must hold one row a point"):
        load_model(path).run(real(8, 3))
