"""Models in the style of packages that nobody here wrote: right on arrays, or refused by name."""

import dataclasses
import math
from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import nn
from torch.nn import functional

import xbarspice as xb
from xbarspice.nn.origin import outputs_of

IDEAL = xb.ArrayConfig(tile_rows=16, tile_cols=16, R_wl=0.0, R_bl=0.0)
WIRED = xb.ArrayConfig(tile_rows=16, tile_cols=16, R_wl=2.0, R_bl=2.0)


def data(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def tokens(*shape):
    return torch.randint(0, 11, shape, generator=torch.Generator().manual_seed(sum(shape)))


class SpeakerEncoder(nn.Module):
    """Three LSTM layers, the last hidden state, a projection, a unit vector; own similarity."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(10, 12, 3, batch_first=True)
        self.linear = nn.Linear(12, 8)
        self.relu = nn.ReLU()
        self.similarity_weight = nn.Parameter(torch.tensor([10.0]))

    def forward(self, mels):
        _, (hidden, _) = self.lstm(mels)
        raw = self.relu(self.linear(hidden[-1]))
        return raw / torch.norm(raw, dim=1, keepdim=True)


class Cascade(nn.Module):
    """A face-detection stage: PReLU, pooling with ceil_mode, three heads, a permuted flatten."""

    def __init__(self):
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 5, 3), nn.PReLU(5)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(5, 6, 2), nn.PReLU(6)
        self.dense, self.prelu3 = nn.Linear(6 * 4 * 4, 9), nn.PReLU(9)
        self.heads = nn.ModuleList([nn.Linear(9, 2), nn.Linear(9, 4), nn.Linear(9, 10)])
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x):
        x = self.pool(self.prelu1(self.conv1(x)))
        x = self.prelu2(self.conv2(x)).permute(0, 3, 2, 1).contiguous()
        x = self.prelu3(self.dense(x.view(x.shape[0], -1)))
        a, b, c = (head(x) for head in self.heads)
        return b, c, self.softmax(a)


class Pitch(nn.Module):
    """A 1-d pitch CNN kept in 2-d layers: tall kernels, large strides, unequal padding."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, (32, 1), stride=(4, 1))
        self.norm1 = nn.BatchNorm2d(8, eps=0.001)
        self.conv2 = nn.Conv2d(8, 4, (8, 1))
        self.norm2 = nn.BatchNorm2d(4, eps=0.001)
        self.classifier = nn.Linear(4 * 8, 12)

    def block(self, x, conv, norm, pad):
        x = norm(functional.relu(conv(functional.pad(x, pad))))
        return functional.max_pool2d(x, (2, 1), (2, 1))

    def forward(self, x):
        x = self.block(x[:, None, :, None], self.conv1, self.norm1, (0, 0, 14, 14))
        x = self.block(x, self.conv2, self.norm2, (0, 0, 3, 4))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))


@dataclasses.dataclass
class Encoding:
    last_hidden_state: torch.Tensor
    pooled: torch.Tensor


class ModelOutput(OrderedDict):
    """A dictionary with attributes, as model hubs return."""

    def __getattr__(self, name):
        return self[name]


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.dense = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(0.1)

    def split(self, x):
        return x.view(*x.shape[:-1], self.heads, self.size).permute(0, 2, 1, 3)

    def forward(self, hidden, mask):
        q, k, v = self.split(self.query(hidden)), self.split(self.key(hidden)), self.value(hidden)
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.size) + mask
        mixed = self.dropout(scores.softmax(dim=-1)) @ self.split(v)
        return self.dense(mixed.permute(0, 2, 1, 3).reshape(hidden.shape))


class SentenceTransformer(nn.Module):
    """Embeddings of tokens and positions, own attention, mean pooling; integer inputs."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.embeddings = nn.ModuleDict(
            {"word": nn.Embedding(11, 12, padding_idx=0), "position": nn.Embedding(9, 12)}
        )
        self.register_buffer("positions", torch.arange(9)[None])
        self.norm = nn.LayerNorm(12, eps=1e-12)
        self.layer = nn.ModuleList(
            nn.ModuleDict(
                {
                    "attention": SelfAttention(12, 3),
                    "norm1": nn.LayerNorm(12),
                    "up": nn.Linear(12, 20),
                    "down": nn.Linear(20, 12),
                    "norm2": nn.LayerNorm(12),
                }
            )
            for _ in range(2)
        )

    def forward(self, input_ids, attention_mask=None):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        h = self.embeddings["word"](input_ids)
        h = self.norm(h + self.embeddings["position"](self.positions[:, : input_ids.shape[1]]))
        mask = (1.0 - attention_mask[:, None, None, :].to(h.dtype)) * -10000.0
        for layer in self.layer:
            h = layer["norm1"](h + layer["attention"](h, mask))
            h = layer["norm2"](h + layer["down"](functional.gelu(layer["up"](h))))
        weight = attention_mask[..., None].to(h.dtype)
        pooled = functional.normalize((h * weight).sum(1) / weight.sum(1), dim=1)
        if self.kind == "dataclass":
            return Encoding(last_hidden_state=h, pooled=pooled)
        return ModelOutput(last_hidden_state=h, pooled=pooled)


class SamePadded(nn.Conv2d):
    """A convolution with "same" padding of its own in forward, as EfficientNet has."""

    def forward(self, x):
        return self._conv_forward(functional.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


class MBConv(nn.Module):
    """Expansion, depthwise, squeeze-excite and projection with swish and a skip."""

    def __init__(self, conv=nn.Conv2d):
        super().__init__()
        self.expand, self.bn0 = nn.Conv2d(4, 12, 1, bias=False), nn.BatchNorm2d(12)
        padding = {"padding": 1} if conv is nn.Conv2d else {}
        self.depthwise = conv(12, 12, 3, groups=12, bias=False, **padding)
        self.bn1 = nn.BatchNorm2d(12)
        self.reduce, self.restore = nn.Conv2d(12, 2, 1), nn.Conv2d(2, 12, 1)
        self.project, self.bn2 = nn.Conv2d(12, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.swish = nn.SiLU()

    def forward(self, x):
        h = self.swish(self.bn0(self.expand(x)))
        h = self.swish(self.bn1(self.depthwise(h)))
        s = self.restore(self.swish(self.reduce(functional.adaptive_avg_pool2d(h, 1))))
        return self.bn2(self.project(torch.sigmoid(s) * h)) + x


class UNet(nn.Module):
    """Down, up by a transposed convolution, a joined skip."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = self.down(x)
        b = self.up(self.deep(functional.max_pool2d(a, 2)))
        return self.out(torch.cat([a, b], dim=1))


class Mixer(nn.Module):
    """Two MLPs, one over transposed tokens, with skips."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.tokens = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4))
        self.channels = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norm2(x))
        return self.head(x.mean(dim=1))


class Decoder(nn.Module):
    """A GRU decoder that feeds its own output back, with additive attention over an encoder."""

    def __init__(self):
        super().__init__()
        self.embed, self.encoder = nn.Embedding(11, 6), nn.GRU(6, 7, batch_first=True)
        self.cell = nn.GRUCell(6 + 7, 7)
        self.W1, self.W2 = nn.Linear(7, 5, bias=False), nn.Linear(7, 5, bias=False)
        self.v, self.out = nn.Linear(5, 1, bias=False), nn.Linear(7, 11)

    def forward(self, source, steps):
        states, last = self.encoder(self.embed(source))
        h, token, logits = last[0], source[:, 0], []
        for _ in range(steps):
            scores = self.v(torch.tanh(self.W1(states) + self.W2(h)[:, None]))
            context = (scores.softmax(dim=1) * states).sum(dim=1)
            h = self.cell(torch.cat([self.embed(token), context], dim=1), h)
            logits.append(self.out(h))
            token = logits[-1].argmax(dim=1)
        return {"logits": torch.stack(logits, dim=1), "state": h}


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, LayerNorm over channels last, layer scale."""

    def __init__(self):
        super().__init__()
        self.dwconv = nn.Conv2d(6, 6, 7, padding=3, groups=6)
        self.norm = nn.LayerNorm(6, eps=1e-6)
        self.pwconv1, self.act, self.pwconv2 = nn.Linear(6, 24), nn.GELU(), nn.Linear(24, 6)
        self.gamma = nn.Parameter(0.5 * torch.ones(6))

    def forward(self, x):
        h = self.dwconv(x).permute(0, 2, 3, 1)
        h = self.gamma * self.pwconv2(self.act(self.pwconv1(self.norm(h))))
        return x + h.permute(0, 3, 1, 2)


class TiedLanguageModel(nn.Module):
    """The head is the embedding's weight."""

    def __init__(self):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(11, 6), nn.LSTM(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.rnn(self.embed(x))[0])


class TwoTowers(nn.Module):
    """Two inputs, one shared layer called twice, a similarity, keyword arguments."""

    def __init__(self):
        super().__init__()
        self.shared, self.user = nn.Linear(5, 4), nn.Linear(3, 4)

    def forward(self, item, user, *, scale=1.0):
        return scale * (self.shared(item) * self.shared(self.user(user) @ self.mix())).sum(-1)

    def mix(self):
        return torch.ones(4, 5, dtype=self.user.bias.dtype)


class Highway(nn.Module):
    """Layers in a dictionary, chosen in forward; one of them stays silent."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({"a": nn.Linear(5, 5), "b": nn.Linear(5, 5)})
        self.gate = nn.Linear(5, 5)

    def forward(self, x, which="a"):
        g = torch.sigmoid(self.gate(x))
        return g * torch.relu(self.layers[which](x)) + (1 - g) * x


class WaveBlock(nn.Module):
    """Dilated causal convolutions with gates and a skip sum."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(4, 8, 2, dilation=2**k) for k in range(3))
        self.outs = nn.ModuleList(nn.Conv1d(4, 4, 1) for _ in range(3))

    def forward(self, x):
        total = 0
        for k, (conv, out) in enumerate(zip(self.convs, self.outs, strict=True)):
            a, b = conv(functional.pad(x, (2**k, 0))).chunk(2, dim=1)
            step = out(torch.tanh(a) * torch.sigmoid(b))
            x, total = x + step, total + step
        return total


MODELS = {
    "speaker encoder": (SpeakerEncoder, (data(3, 7, 10),)),
    "cascade": (Cascade, (data(2, 3, 11, 11),)),
    "pitch": (Pitch, (data(3, 128),)),
    "sentence dictionary": (lambda: SentenceTransformer("dictionary"), (tokens(3, 6),)),
    "sentence dataclass": (lambda: SentenceTransformer("dataclass"), (tokens(3, 6),)),
    "sentence mask": (
        lambda: SentenceTransformer("dictionary"),
        (tokens(2, 4), torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])),
    ),
    "mbconv": (MBConv, (data(2, 4, 6, 6),)),
    "unet": (UNet, (data(2, 1, 8, 8),)),
    "mixer": (Mixer, (data(3, 1, 8, 8),)),
    "decoder": (Decoder, (tokens(2, 5), 4)),
    "convnext": (ConvNeXtBlock, (data(2, 6, 8, 8),)),
    "tied": (TiedLanguageModel, (tokens(5, 2),)),
    "two towers": (TwoTowers, (data(4, 5), data(4, 3))),
    "highway": (Highway, (data(3, 5),)),
    "wave": (WaveBlock, (data(2, 4, 12),)),
}


def make_model(kind):
    torch.manual_seed(5)
    model = kind().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
    return model.eval()


@pytest.fixture(params=MODELS, ids=lambda name: name.replace(" ", "_"))
def case(request):
    kind, inputs = MODELS[request.param]
    return make_model(kind), inputs


def difference(a, b):
    assert len(a) == len(b) > 0
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))


def test_on_ideal_arrays_a_foreign_model_computes_what_it_computed(case):
    model, inputs = case
    expected = outputs_of(model, inputs)
    circuit = xb.nn.convert(model, IDEAL, calibrate=inputs, fold_batchnorm=True)
    assert difference(outputs_of(circuit, inputs), expected) < 1e-11
    assert difference(outputs_of(xb.nn.to_torch(circuit), inputs), expected) < 1e-12
    plain = xb.nn.convert(model, IDEAL)
    assert list(plain.state_dict()) == list(model.state_dict())
    assert type(model(*inputs)) is type(plain(*inputs))


def test_a_foreign_model_is_verified_with_wires(case):
    """All its outputs, of whatever form, take part: wires change them and the gate sees them."""
    model, inputs = case
    report = xb.verify(model, inputs, config=WIRED, reference="nodal", drives=2, whole=0, workers=0)
    assert report.passed, [g for g in report.gates if not g.passed]
    outputs = outputs_of(model, inputs)
    assert report.imported.outputs == sum(t.numel() for t in outputs) > 0
    assert report.decisions[0].error > 1e-6
    assert report.coverage["product_share"] > 0


def test_a_convolution_with_padding_of_its_own_is_refused_or_registered():
    """EfficientNet's: named, with the ways out, both of which compute what torch computes."""
    model, x = make_model(lambda: MBConv(SamePadded)), data(2, 4, 6, 6)
    with pytest.raises(xb.errors.InputError, match="`depthwise` is a SamePadded"):
        xb.nn.convert(model, IDEAL)
    output = xb.nn.convert(model, IDEAL, exclude=["depthwise"], calibrate=x)
    assert difference(outputs_of(output, (x,)), outputs_of(model, (x,))) < 1e-12
    assert "depthwise.weight" in {w.name for w in xb.nn.coverage(output).ideal}

    class Padded(SamePadded):
        """A type of this test's own, as a registration lasts."""

    @xb.nn.register(Padded)
    class CrossbarSamePadded(xb.nn.CrossbarConv2d):
        def forward(self, x):
            return super().forward(functional.pad(x, (1, 1, 1, 1)))

    model = make_model(lambda: MBConv(Padded))
    whole = xb.nn.convert(model, IDEAL)
    assert type(whole.depthwise) is CrossbarSamePadded
    assert difference(outputs_of(whole, (x,)), outputs_of(model, (x,))) < 1e-12


Pair = namedtuple("Pair", "first second")


class Returning(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.linear, self.result = nn.Linear(3, 3), result

    def forward(self, x):
        return self.result(self.linear(x), x)


class Opaque:
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("result", "tensors"),
    [
        (lambda h, x: Pair(h, {"a": [h, None], "n": 3, "b": True}), 2),
        (lambda h, x: (h, torch.zeros(2) + h[0, :2]), 2),  # made in the forward, in single
        (lambda h, x: h.argmax(dim=1), "floating-point tensors to compare"),
        (lambda h, x: Opaque(h), "must return tensors.*Opaque"),
        (lambda h, x: h + functional.linear(x.float(), torch.ones(3, 3)), "double precision"),
    ],
    ids=["nested", "zeros", "decisions", "object", "single"],
)
def test_outputs_of_every_form_are_compared_or_refused(result, tensors):
    torch.manual_seed(0)
    model, x = Returning(result), torch.rand(4, 3)
    if isinstance(tensors, str):
        with pytest.raises(xb.errors.InputError, match=tensors):
            xb.nn.convert(model, IDEAL, calibrate=x)
        return
    circuit = xb.nn.convert(model, IDEAL, calibrate=x)
    assert len(outputs_of(circuit, (x,))) == tensors
    report = xb.verify(circuit, x, reference="nodal")
    assert report.imported.passed
    assert report.imported.error < 1e-14
    assert torch.get_default_dtype() == torch.float32


def test_folding_in_single_precision_is_said_and_allowed_for(tmp_path):
    """The folded weights are rounded, which the gate says; without folding it is the strict one."""
    model, x = make_model(MBConv).float(), data(2, 4, 6, 6).float()
    strict, rounded = (
        xb.verify(
            xb.nn.convert(model, WIRED, calibrate=x, fold_batchnorm=fold), x, reference="nodal"
        ).imported
        for fold in (False, True)
    )
    assert (strict.limit, rounded.limit) == (1e-9, 1e-5)
    assert strict.error < 1e-14
    assert 1e-12 < rounded.error < 1e-6
    assert strict.passed
    assert rounded.passed
    assert "folded into weights of single precision" in rounded.against
    assert "single" not in strict.against
    folded = xb.nn.convert(model, WIRED, calibrate=x, fold_batchnorm=True)
    xb.save(tmp_path / "model.h5", folded)
    assert xb.verify(xb.load(tmp_path / "model.h5"), x, reference="nodal").imported == rounded
