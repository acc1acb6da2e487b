"""Exported graphs stand on arrays as the model they were exported from, tile by tile."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import xbarspice as xb
from xbarspice.nn.origin import flatten

IDEAL = {"R_wl": 0.0, "R_bl": 0.0}
CONFIG = xb.ArrayConfig(tile_rows=6, tile_cols=8, **IDEAL)


class Everything(nn.Module):
    """One of each operator that becomes a layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding="same"), nn.BatchNorm2d(4)
        self.lstm = nn.LSTM(8, 5, batch_first=True, bidirectional=True)
        self.encoder = nn.TransformerEncoderLayer(10, 2, 12, batch_first=True)
        self.up = nn.ConvTranspose1d(8, 2, 3, stride=2, padding=1)
        self.gru, self.head, self.rnn = nn.GRU(10, 4), nn.Linear(10, 3), nn.RNN(3, 4, bias=False)
        self.strided = nn.Conv1d(8, 4, 3, stride=2, groups=2)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv(x))).mean(1)
        y, (last, _cell) = self.lstm(h)
        y = self.encoder(y)
        z = self.head(y)
        return z[:, 0], last, self.up(h), self.gru(y)[0], self.rnn(z)[1], self.strided(h)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Everything()
    model(torch.rand(16, 1, 8, 8))  # running statistics
    return model.eval()


@pytest.fixture(scope="module")
def graph(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(model, (X,)).module()


X = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def arrays(circuit):
    return {
        (tile.matrix, tile.group, tile.row, tile.col): tile.crossbar.G
        for layer in xb.nn.crossbar_layers(circuit).values()
        for tile in layer.tiles()
    }


@pytest.mark.parametrize("fold", [False, True])
def test_a_graph_and_its_model_have_equal_arrays(model, graph, fold):
    """All layers are lifted; conductances are equal bit by bit, outputs to single precision."""
    on_graph = xb.nn.convert(graph, CONFIG, fold_batchnorm=fold)
    on_model = xb.nn.convert(model, CONFIG, fold_batchnorm=fold)
    first, second = arrays(on_graph), arrays(on_model)
    assert set(first) == set(second)
    assert all(np.array_equal(first[key], second[key]) for key in first)
    for a, b in zip(flatten(on_graph(X)), flatten(on_model(X)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    shares = [
        xb.nn.coverage(xb.nn.convert(m, CONFIG, calibrate=X)).product_share for m in (graph, model)
    ]
    assert shares[0] == shares[1]
    if not fold:
        assert set(on_graph.state_dict()) == set(model.state_dict())


def test_a_graph_verifies_against_its_own_outputs(graph):
    circuit = xb.nn.convert(graph, CONFIG, calibrate=X)
    report = xb.verify(circuit, X, reference="nodal", confidence=0.5, bad_tiles=0.3)
    assert report.passed
    assert "original model's outputs" in report.imported.against
    back = xb.nn.to_torch(circuit)
    for a, b in zip(flatten(back(X)), flatten(graph(X)), strict=True):
        assert torch.equal(a, b)


def test_decomposed_products_become_linear_layers():
    """Graphs of core operators hold addmm and mm with a transposed weight."""
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    x = torch.rand(3, 5)
    program = torch.export.export(model, (x,)).run_decompositions()
    circuit = xb.nn.convert(program.module(), CONFIG)
    assert [layer.matrices["weight"].name for layer in xb.nn.crossbar_layers(circuit).values()] == [
        "0",
        "2",
    ]
    torch.testing.assert_close(circuit(x), model(x))


class Loose(nn.Module):
    """A raw parameter as a weight, a weight that a table shares, a layer that is called twice."""

    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.rand(4, 4))
        self.table, self.twice = nn.Embedding(6, 4), nn.Linear(4, 4)

    def forward(self, index):
        h = self.twice(self.twice(self.table(index)))
        return functional.linear(functional.linear(h, self.raw), self.table.weight)


def test_what_cannot_be_lifted_is_left_and_listed():
    model = Loose()
    index = torch.tensor([[1, 2, 3]])
    circuit = xb.nn.convert(torch.export.export(model, (index,)).module(), CONFIG)
    torch.testing.assert_close(circuit(index), model(index))
    cover = xb.nn.coverage(circuit)
    assert {m.name for m in cover.matrices} == {"table", "twice"}
    assert [w.name for w in cover.ideal] == ["raw"]


def test_an_operator_of_a_user_is_registered(registries):
    """A function for one more operator makes a layer of it."""

    @xb.nn.register_operator(torch.ops.aten.bilinear.default)
    def _skip(lifting, node):
        return False

    model = nn.Sequential(nn.Linear(3, 2))
    circuit = xb.nn.convert(torch.export.export(model, (torch.rand(2, 3),)).module(), CONFIG)
    assert list(xb.nn.crossbar_layers(circuit)) == ["0"]
    with pytest.raises(xb.errors.InputError, match="operator must be new"):
        xb.nn.register_operator(torch.ops.aten.linear.default)(_skip)
