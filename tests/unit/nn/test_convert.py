"""Any torch model on arrays: every layer type, what is refused, ranges, coverage, engines."""

import copy
import pickle
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

import xbarspice as xb
from xbarspice.nn.origin import flatten

IDEAL = {"R_wl": 0.0, "R_bl": 0.0}


def config(**changes):
    return xb.ArrayConfig(**({"tile_rows": 6, "tile_cols": 8} | changes))


def data(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def seed_parameters(module):
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return module.double().eval()


STATES = (data(4, 2, 3), data(4, 2, 7))
LAYERS = {
    "linear": (nn.Linear(20, 7), (data(3, 20),)),
    "linear of one vector": (nn.Linear(20, 7, bias=False), (data(20),)),
    "conv1d same circular": (
        nn.Conv1d(4, 6, 3, padding="same", dilation=2, groups=2, padding_mode="circular"),
        (data(2, 4, 11),),
    ),
    "conv2d depthwise": (
        nn.Conv2d(4, 8, (3, 2), stride=2, padding=(1, 0), groups=4),
        (data(2, 4, 9, 8),),
    ),
    "conv2d reflect": (nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"), (data(4, 9, 8),)),
    "conv3d": (nn.Conv3d(2, 3, 2, padding=1), (data(2, 2, 4, 5, 4),)),
    "transposed 1d": (
        nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        (data(2, 4, 7),),
    ),
    "transposed 2d": (
        nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=1, dilation=(2, 1)),
        (data(2, 4, 7, 5),),
    ),
    "rnn": (nn.RNN(5, 7, 2, bidirectional=True, nonlinearity="relu"), (data(4, 2, 5),)),
    "lstm projected": (
        nn.LSTM(5, 7, 2, bidirectional=True, batch_first=True, proj_size=3),
        (data(2, 4, 5), STATES),
    ),
    "lstm": (nn.LSTM(5, 7), (data(4, 2, 5),)),
    "gru of one sequence": (nn.GRU(5, 7, batch_first=True), (data(4, 5),)),
    "gru": (nn.GRU(5, 7, bias=False), (data(4, 2, 5), data(1, 2, 7))),
    "rnn cell": (nn.RNNCell(5, 7), (data(5),)),
    "lstm cell": (nn.LSTMCell(5, 7), (data(3, 5), (data(3, 7), data(3, 7)))),
    "gru cell": (nn.GRUCell(5, 7), (data(3, 5),)),
    "attention": (nn.MultiheadAttention(8, 2, batch_first=True), (data(2, 5, 8),) * 3),
    "attention of other sizes": (
        nn.MultiheadAttention(8, 2, kdim=4, vdim=6, add_bias_kv=True, add_zero_attn=True),
        (data(5, 2, 8), data(6, 2, 4), data(6, 2, 6)),
    ),
    "encoder layer": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (data(2, 5, 8),)),
    "encoder": (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
        (data(2, 5, 8),),
    ),
    "transformer": (
        nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
        (data(2, 5, 8), data(2, 4, 8)),
    ),
}


@pytest.fixture(params=LAYERS, ids=lambda name: name.replace(" ", "_"))
def case(request):
    model, inputs = LAYERS[request.param]
    return seed_parameters(copy.deepcopy(model)), inputs


def assert_equal(actual, expected, tolerance=1e-12):
    actual, expected = flatten(actual), flatten(expected)
    assert len(actual) == len(expected)
    for part, expected_part in zip(actual, expected, strict=True):
        torch.testing.assert_close(part, expected_part, rtol=0, atol=tolerance)


@pytest.mark.parametrize("bias", ["array", "digital"])
def test_ideal_arrays_compute_what_torch_computes(case, bias):
    """Every layer type, with and without gradients recorded, and its way back."""
    model, inputs = case
    expected = model(*inputs)
    circuit = xb.nn.convert(model, config(bias=bias, **IDEAL))
    assert list(circuit.state_dict()) == list(model.state_dict())
    assert_equal(circuit(*inputs), expected)
    with torch.no_grad():
        assert_equal(circuit(*inputs), expected)
    back = xb.nn.to_torch(circuit)
    assert [type(m) for m in back.modules()] == [type(m) for m in model.modules()]
    assert_equal(back(*inputs), expected, 0.0)


def test_wires_are_in_the_answer_and_every_engine_gives_the_same(case):
    """At 20 ohm the answer moves; no fused evaluation of torch passes the arrays by."""
    model, inputs = case
    circuit = xb.nn.convert(model, config(R_wl=20.0, R_bl=20.0), calibrate=inputs)
    with_gradients = circuit(*inputs)
    with torch.no_grad():
        outputs = circuit(*inputs)
        assert_equal(with_gradients, outputs, 1e-12)
        with xb.nn.through("nodal", keep=True) as run:
            assert_equal(circuit(*inputs), outputs, 1e-10)
        with xb.nn.exact_products():
            assert_equal(circuit(*inputs), model(*inputs))
    names = {m.name for m in xb.nn.coverage(circuit).matrices}
    assert {answer.matrix for answer in run.answers} == names
    assert any(
        float((a - b).abs().max()) > 1e-4
        for a, b in zip(flatten(outputs), flatten(model(*inputs)), strict=True)
    )


def test_masks_of_attention():
    """Boolean and additive masks, padding and causality, weights of every head."""
    model = seed_parameters(nn.MultiheadAttention(8, 2, batch_first=True))
    circuit = xb.nn.convert(model, config(**IDEAL))
    x = data(2, 5, 8)
    causal = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    for options in (
        {"attn_mask": causal, "is_causal": True, "need_weights": False},
        {"attn_mask": causal == float("-inf"), "average_attn_weights": False},
        {"key_padding_mask": padding},
        {"attn_mask": causal.expand(4, 5, 5), "key_padding_mask": padding.double() * -1e9},
    ):
        assert_equal(circuit(x, x, x, **options), model(x, x, x, **options))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Named(nn.Linear):
    """A subclass that computes as its parent does."""

    def extra_repr(self):
        return "named"


def make_pruned():
    layer = nn.Linear(3, 2)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    return layer


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Doubled(3, 2), "Doubled, which changes Linear"),
        (parametrizations.weight_norm(nn.Linear(3, 2)), "parametrised"),
        (nn.utils.spectral_norm(nn.Linear(3, 2)), "in a hook"),
        (make_pruned(), "in a hook"),
        (nn.LazyLinear(2), "LazyLinear, which changes Linear|not initialised"),
        (nn.Bilinear(3, 3, 2), "Bilinear"),
    ],
)
def test_what_cannot_be_carried_over_is_refused_by_name(layer, reason):
    """And stays as it is where it is excluded."""
    model = nn.Sequential(nn.Linear(3, 3), layer)
    with pytest.raises(xb.errors.InputError, match=reason) as error:
        xb.nn.convert(model)
    assert "`1`" in str(error.value)
    if prune.is_pruned(layer):  # torch itself cannot copy such a layer
        with pytest.raises(xb.errors.InputError, match="deepcopy can copy"):
            xb.nn.convert(model, exclude=["1"])
        return
    circuit = xb.nn.convert(model, exclude=["1"])
    assert type(circuit[1]) is type(layer)


def test_a_subclass_that_computes_as_its_parent_is_converted():
    model = nn.Sequential(Named(3, 2)).double()
    circuit = xb.nn.convert(model, config(**IDEAL))
    assert_equal(circuit(data(4, 3)), model(data(4, 3)))


def test_hooks_move_with_their_layer():
    """A forward hook that doubles the output still does, and a pre-hook sees the input."""
    model = nn.Sequential(nn.Linear(3, 2)).double()
    shapes = []
    model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    model[0].register_forward_pre_hook(lambda module, inputs: shapes.append(inputs[0].shape))
    circuit = xb.nn.convert(model, config(**IDEAL))
    assert_equal(circuit(data(4, 3)), model(data(4, 3)))
    assert shapes == [(4, 3)] * 2
    assert_equal(xb.nn.to_torch(circuit)(data(4, 3)), model(data(4, 3)))


class Bypass(nn.Module):
    """Its layer computes, and its weight is used ("calls", "uses") or only looked at."""

    def __init__(self, how):
        super().__init__()
        self.layer, self.other, self.how = nn.Linear(3, 3), nn.Linear(3, 3), how

    def forward(self, x):
        kind, size = self.layer.weight.dtype, self.layer.weight.shape[0]  # no use of its values
        h = self.layer(x) if "calls" in self.how else x
        if "uses" in self.how:
            h = h + functional.linear(x, self.layer.weight)
        if "breaks" in self.how:
            raise KeyError("layer")
        return self.other(h.to(kind)[:, :size])


def test_a_weight_that_is_used_past_its_arrays_raises():
    """Also if the layer computes as well; what is asked of a weight's type or shape is no use."""
    circuit = xb.nn.convert(Bypass("calls"))
    circuit(torch.rand(2, 3)).sum().backward()
    assert circuit.layer.weight.grad.abs().sum() > 0
    assert circuit.layer.use.reads == ()
    for how, words in (
        ("uses", "uses weight of `layer` itself and never calls"),
        ("calls, uses", "uses weight of `layer` itself beside calling"),
    ):
        broken = xb.nn.convert(Bypass(how))
        with pytest.raises(xb.errors.XbarspiceError, match=words):
            broken(torch.rand(2, 3))


def test_outside_a_forward_a_weight_is_an_ordinary_parameter():
    """Penalties, optimisers and state_dict use it freely, also after a forward that failed."""
    circuit = xb.nn.convert(Bypass("calls, breaks"))
    with pytest.raises(KeyError):
        circuit(torch.rand(2, 3))
    assert type(circuit.layer.weight) is nn.Parameter
    (circuit.layer.weight**2).sum().backward()
    torch.optim.SGD(circuit.parameters(), 0.1).step()
    circuit.load_state_dict(circuit.state_dict())
    assert circuit.layer.use.reads == ()


class ByName(nn.Module):
    """Takes tensors by name, one in a dictionary, and returns decisions beside scores."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x, *, extra, mask=None):
        z = self.layer(x + extra["shift"])
        return {"scores": z if mask is None else z * mask, "classes": z.argmax(dim=1)}


def test_a_model_called_by_name_is_calibrated_and_verified():
    torch.manual_seed(0)
    x, extra = torch.rand(5, 3), {"shift": torch.rand(5, 3)}
    for inputs in ({"x": x, "extra": extra}, ((x,), {"extra": extra, "mask": torch.ones(4)})):
        circuit = xb.nn.convert(ByName(), calibrate=inputs)
        assert xb.nn.coverage(circuit).measured
        report = xb.verify(circuit, inputs, reference="nodal")
        assert report.passed
        assert report.points == 5
        assert report.imported.outputs == 5 * 4 + 5
    with pytest.raises(xb.errors.InputError, match=r"passed by position.*extra="):
        xb.save("unused.h5", circuit)
    with pytest.raises(xb.errors.InputError, match="finite"):
        xb.verify(circuit, {"x": x / 0, "extra": extra}, reference="nodal")


def test_nothing_on_arrays_is_an_error():
    with pytest.raises(xb.errors.InputError, match="must have a layer on arrays"):
        xb.nn.convert(nn.Sequential(nn.ReLU(), nn.Embedding(3, 2)))
    with pytest.raises(xb.errors.InputError, match="none chosen"):
        xb.nn.convert(nn.Sequential(nn.Linear(2, 2)), exclude=["*"])


def test_configurations_by_pattern_and_a_layer_that_is_shared():
    """The first pattern that fits counts; a layer under two names is one layer on one set."""
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": shared, "c": nn.Linear(4, 4)})
    circuit = xb.nn.convert(model, {"c": None, "*": config(tile_rows=3)})
    assert circuit["a"] is circuit["b"]
    assert type(circuit["c"]) is nn.Linear
    assert circuit["a"].matrices["weight"].config.tile_rows == 3


def test_ordinary_torch_machinery_works():
    """deepcopy, pickle, functional_call, checkpointing, autocast, load_state_dict, .to()."""
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    circuit = xb.nn.convert(model, config())
    x = torch.rand(3, 5)
    expected = circuit(x)
    assert_equal(copy.deepcopy(circuit)(x), expected)
    assert_equal(pickle.loads(pickle.dumps(circuit))(x), expected)  # noqa: S301 - our own bytes
    doubled = {k: 2 * v for k, v in circuit.state_dict().items()}
    called = torch.func.functional_call(circuit, doubled, (x,))
    twin = copy.deepcopy(circuit)
    twin.load_state_dict(doubled)
    assert_equal(called, twin(x), 1e-6)
    recomputed = torch.utils.checkpoint.checkpoint(circuit, x.requires_grad_(), use_reentrant=False)
    (by_x,) = torch.autograd.grad(recomputed.sum(), x)
    torch.testing.assert_close(by_x, torch.autograd.grad(circuit(x).sum(), x)[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = circuit(x)
    torch.testing.assert_close(rough.float(), expected, rtol=0.02, atol=0.02)
    assert circuit.double()(x.double()).dtype == torch.float64


def test_compile_runs_and_transforms_say_what_they_meet():
    model = xb.nn.convert(nn.Sequential(nn.Linear(5, 4), nn.Tanh()), config())
    x = torch.rand(3, 5)
    compiled = torch.compile(model, backend="eager")
    assert_equal(compiled(x), model(x))
    with pytest.raises(xb.errors.XbarspiceError, match=r"torch\.func"):
        torch.func.vmap(model)(x)
    with pytest.raises(
        Exception, match=r"cannot run inside torch\.export|no graph of tensor operations"
    ):
        torch.export.export(model.eval(), (x,))
    with pytest.raises(xb.errors.InputError, match="floating-point"):
        model(torch.ones(3, 5, dtype=torch.int64))
    (g,) = torch.autograd.grad(model(x).sum(), model[0].weight, create_graph=True)
    with pytest.raises(xb.errors.XbarspiceError, match="differentiated again"):
        g.sum().backward()


def test_packed_sequences_are_refused():
    circuit = xb.nn.convert(nn.LSTM(3, 2))
    packed = nn.utils.rnn.pack_padded_sequence(torch.rand(4, 2, 3), [4, 2])
    with pytest.raises(xb.errors.InputError, match="pad_packed_sequence"):
        circuit(packed)


def test_batch_normalisation_is_folded_where_it_is_exact():
    """Conv-BN pairs in evaluation become one layer; a BN whose input is used twice stays."""
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3))
    model(torch.rand(8, 2, 5, 5))
    model.double().eval()
    circuit = xb.nn.convert(model, config(**IDEAL), fold_batchnorm=True)
    assert [type(m).__name__ for m in circuit][1::2] == ["Identity", "BatchNorm2d"]
    x = data(2, 2, 5, 5)
    assert_equal(circuit(x), model(x))
    training = xb.nn.convert(model.train(), config(**IDEAL), fold_batchnorm=True)
    assert type(training[1]) is nn.BatchNorm2d


def test_a_layer_type_of_a_user_is_registered(registries):
    """An outside class, registered by exact type, converts like a built-in one."""

    class Gain(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    @xb.nn.register(Gain)
    class CrossbarGain(xb.nn.CrossbarLinear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = nn.Sequential(Gain(3, 2)).double()
    circuit = xb.nn.convert(model, config(**IDEAL))
    assert type(circuit[0]) is CrossbarGain
    assert_equal(circuit(data(4, 3)), model(data(4, 3)))
    with pytest.raises(xb.errors.InputError, match="subclass of CrossbarLayer"):
        xb.nn.register(Gain)(nn.Linear)
    with pytest.raises(xb.errors.InputError, match="torch layer must be new"):
        xb.nn.register(Gain)(CrossbarGain)


def test_every_layout_of_a_configuration_is_in_the_registry():
    words = get_args(get_type_hints(xb.ArrayConfig)["layout"])
    assert sorted(words) == xb.nn.layouts.names()
    assert all(issubclass(xb.nn.layouts.get(word), xb.nn.Layout) for word in words)


def test_a_graph_in_which_nothing_was_folded_is_judged_in_double():
    """The names of an exported graph's weights differ; its values do not."""
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    normed = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    for model, limit in ((plain, 1e-9), (normed, 1e-5)):
        graph = torch.export.export(model, (torch.rand(5, 3),)).module()
        circuit = xb.nn.convert(graph, calibrate=torch.rand(5, 3), fold_batchnorm=True)
        report = xb.verify(circuit, torch.rand(5, 3), reference="nodal")
        assert report.imported.limit == limit
        assert report.imported.passed
