"""Six networks of different kinds, trained here on digits, on arrays: against torch and ngspice."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

import xbarspice as xb
from xbarspice.netlist import dialects
from xbarspice.netlist.design import design
from xbarspice.netlist.design_reader import prove
from xbarspice.nn.origin import outputs_of
from xbarspice.tapeout import compare_layout, draw, load_technology
from xbarspice.tapeout.sites import drawn_array
from xbarspice.verification import Gates

CONFIG = xb.ArrayConfig(tile_rows=64, tile_cols=64, R_wl=2.0, R_bl=2.0)
IDEAL = xb.ArrayConfig(tile_rows=64, tile_cols=64, R_wl=0.0, R_bl=0.0)


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 12, 3), nn.BatchNorm2d(12)
        self.fc1, self.fc2 = nn.Linear(12, 24), nn.Linear(24, 10)

    def forward(self, x):
        x = functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 2)
        x = functional.max_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class Separable(nn.Module):
    """A stem, a depthwise and a pointwise convolution with a skip around them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.pointwise, self.bn = nn.Conv2d(12, 12, 1), nn.BatchNorm2d(12)
        self.head = nn.Linear(12 * 4, 10)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(self.bn(self.pointwise(self.depthwise(x))) + x)
        return self.head(functional.avg_pool2d(x, 2).flatten(1))


class Series(nn.Module):
    """A digit as a series of 64 values."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 8, 8, stride=4, padding=2, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv1d(8, 12, 3, dilation=2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(12 * 12, 10)

    def forward(self, x):
        return self.head(self.body(x.flatten(2)))


class RowsLSTM(nn.Module):
    """The eight rows of a digit in time."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 14, batch_first=True), nn.Linear(14, 10)

    def forward(self, x):
        return self.head(self.lstm(x[:, 0])[0][:, -1])


class Encoder(nn.Module):
    """The eight rows of a digit as tokens of two transformer layers."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Linear(8, 16), nn.Parameter(0.1 * torch.randn(8, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x[:, 0]) + self.place).mean(dim=1))


def perceptron():
    """GELU, tanh, and probabilities of softmax as outputs."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 24),
        nn.GELU(),
        nn.Linear(24, 16),
        nn.Tanh(),
        nn.Linear(16, 10),
        nn.Softmax(dim=1),
    )


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a network is made, for how many epochs it is trained, and what it must reach."""

    model: Callable[[], nn.Module]
    epochs: int
    accuracy: float


KINDS = {
    "lenet": Kind(model=LeNet, epochs=8, accuracy=0.9),
    "separable": Kind(model=Separable, epochs=8, accuracy=0.9),
    "series": Kind(model=Series, epochs=8, accuracy=0.9),
    "lstm": Kind(model=RowsLSTM, epochs=15, accuracy=0.85),
    "transformer": Kind(model=Encoder, epochs=12, accuracy=0.85),
    "perceptron": Kind(model=perceptron, epochs=12, accuracy=0.9),
}


@pytest.fixture(scope="session")
def digits():
    """Images (points, 1, 8, 8) in 0 to 1 and classes: for training, and held out."""
    images, classes = load_digits(return_X_y=True)
    split = train_test_split(images / 16, classes, test_size=0.25, random_state=0)
    x, x_test = (torch.from_numpy(part).reshape(-1, 1, 8, 8) for part in split[:2])
    return x, torch.from_numpy(split[2]), x_test, torch.from_numpy(split[3])


def train(kind, x, y):
    """The trained network in double precision; small batches are quickest on one thread."""
    torch.manual_seed(1)
    model, x = kind.model(), x.float()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, total_iters=kind.epochs - 1)
    probabilities = isinstance(model, nn.Sequential)
    for _ in range(kind.epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            out = model(x[batch])
            out = torch.log(out) if probabilities else out
            functional.cross_entropy(out, y[batch]).backward()
            optimiser.step()
        slower.step()
    torch.set_num_threads(threads)
    return model.double().eval()


@pytest.fixture(scope="session")
def train_network(digits):
    """Every network, trained when a test first asks for it."""
    x, y, _, _ = digits
    cache = {}

    def get(name):
        if name not in cache:
            cache[name] = train(KINDS[name], x, y)
        return copy.deepcopy(cache[name])

    return get


@pytest.fixture(scope="session")
def circuits(train_network, digits):
    """The networks on arrays of 2 ohm a segment, batch normalisation folded, calibrated."""
    cache = {}

    def get(name):
        if name not in cache:
            cache[name] = xb.nn.convert(
                train_network(name), CONFIG, calibrate=digits[0][:200], fold_batchnorm=True
            )
        return copy.deepcopy(cache[name])

    return get


@pytest.mark.parametrize("name", KINDS)
def test_on_ideal_wires_it_is_the_trained_network(name, train_network, digits):
    """In float64 on all held-out points; what is compared is a network that has learnt."""
    _, _, x, y = digits
    model = train_network(name)
    (expected,) = outputs_of(model, (x,))
    assert float((expected.argmax(dim=1) == y).double().mean()) >= KINDS[name].accuracy
    circuit = xb.nn.convert(model, IDEAL, calibrate=digits[0][:200], fold_batchnorm=True)
    (outputs,) = outputs_of(circuit, (x,))
    assert float((outputs - expected).abs().max() / expected.abs().max()) < 1e-9
    with xb.nn.exact_products():
        (exact,) = outputs_of(circuit, (x,))
    assert float((exact - expected).abs().max() / expected.abs().max()) < 1e-9


@pytest.mark.parametrize("name", KINDS)
def test_every_array_is_what_ngspice_computes(name, circuits, digits):
    """Import gate 1e-9, every array 1e-9 on drives and a probe, whole forwards decide alike."""
    _, _, x, y = digits
    circuit, x, y = circuits(name), x[:2], y[:2].numpy()
    limits = Gates(current=1e-9, decisions=0)
    report = xb.verify(circuit, x, y, gates=limits, drives=2, whole=10**6, workers=0)
    assert report.passed, [g for g in report.gates if not g.passed]
    assert "original model" in report.imported.against
    assert report.imported.error < report.imported.limit == 1e-9
    checks = report.tiles["surrogate"]
    assert report.sample.checked == report.sample.tiles == len(checks)
    assert max(check.worst for check in checks) < 1e-9
    assert {check.drives for check in checks} == {2}
    surrogate, golden = report.decisions
    assert golden.through == "ngspice"
    assert golden.error == pytest.approx(surrogate.error, abs=1e-8)
    assert surrogate.error > 1e-6  # the wires are in the answer
    assert not report.coverage["silent"]


def loss_at(circuit, parameter, index, value, x, y):
    with torch.no_grad():
        before = parameter[index].clone()
        parameter[index] = value
        out = functional.cross_entropy(circuit(x), y)
        parameter[index] = before
    return float(out)


@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_finite_differences(name, circuits, digits):
    """Of every parameter one value by chance, and the largest one, which sets the scale."""
    _, _, x, y = digits
    circuit, x, y = circuits(name), x[:3], y[:3]
    functional.cross_entropy(circuit(x), y).backward()
    rng = np.random.default_rng(0)
    checked = 0
    for layer in xb.nn.crossbar_layers(circuit).values():
        for parameter in layer.parameters(recurse=False):
            places = [int(parameter.detach().abs().argmax())]
            places += rng.integers(parameter.numel(), size=1).tolist()
            for place in places:
                index = tuple(int(k) for k in np.unravel_index(place, parameter.shape))
                at, step = float(parameter.detach()[index]), 1e-5
                ends = [
                    loss_at(circuit, parameter, index, at + sign * step, x, y) for sign in (1, -1)
                ]
                slope = (ends[0] - ends[1]) / (2 * step)
                assert float(parameter.grad[index]) == pytest.approx(slope, rel=1e-4, abs=1e-7)
                checked += 1
    assert checked >= 8


@pytest.mark.parametrize("name", KINDS)
def test_one_array_of_every_layer_is_drawn_and_extracted_as_that_array(name, circuits):
    """The smallest of each layer; the netlist with the drawn wires is read back as its circuit."""
    circuit, technology = circuits(name), load_technology()
    drawn = set()
    for layer, arrays in by_layer(circuit).items():
        array = min(arrays, key=lambda a: a.crossbar.G.size)
        crossbar = drawn_array(array)
        report = compare_layout(draw(crossbar, technology), crossbar, technology)
        assert report.clean, (layer, report.faults)
        assert report.devices == crossbar.G.size
        drawn_design = design(
            [crossbar.replace(**report.wires.arrays())], form="resistor", name="one"
        )
        prove(dialects.get("cdl").design(drawn_design), "cdl", drawn_design)
        drawn.add(layer)
    assert drawn == {n for n, layer in xb.nn.crossbar_layers(circuit).items() if layer.matrices}


def by_layer(circuit):
    """Arrays of every layer on arrays."""
    layers = {
        m.name: name
        for name, layer in xb.nn.crossbar_layers(circuit).items()
        for m in layer.matrices.values()
    }
    out = {}
    for array in xb.nn.arrays(circuit):
        out.setdefault(layers[array.tiles[0].matrix], []).append(array)
    return out
