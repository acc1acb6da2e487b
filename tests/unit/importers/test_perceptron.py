"""Networks that someone else trained: what is read, what is refused, and that nothing is run."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from xbarspice.core.errors import InputError
from xbarspice.importers import perceptron
from xbarspice.importers.perceptron import Perceptron


def test_npz_round_trip(tmp_path, network):
    perceptron.save(tmp_path / "n.npz", network)
    loaded = perceptron.load(tmp_path / "n.npz")
    assert loaded.sizes == (2, 3, 1)
    assert all(np.array_equal(a, b) for a, b in zip(loaded.W + loaded.b, network.W + network.b))  # noqa: B905
    assert list(tmp_path.iterdir()) == [tmp_path / "n.npz"]


def test_state_dict_is_transposed_once(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    torch.save(model.state_dict(), tmp_path / "m.pt")
    loaded = perceptron.load(tmp_path / "m.pt", "relu")
    x = np.random.default_rng(0).normal(size=(7, 4))
    expected = model(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(loaded.forward(x)[-1], expected, rtol=1e-5, atol=1e-6)


def test_pickled_code_is_never_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Trap()))
    torch.save({"weight": Trap()}, tmp_path / "evil2.pt")
    np.savez(tmp_path / "evil.npz", W0=np.array([Trap()], dtype=object))
    for name in ("evil.pt", "evil2.pt", "evil.npz"):
        with pytest.raises(InputError):
            perceptron.load(tmp_path / name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"W0": [[np.nan, 1.0]]}, "`W0` must be finite; received 1 NaN"),
        ({"W0": [[np.inf, 1.0]]}, "`W0` must be finite"),
        ({"W0": np.zeros((0, 2))}, "`W0` must have 2 axes, none empty"),
        ({"W0": [1.0, 2.0]}, "`W0` must have 2 axes"),
        ({"W0": [[1.0, 2.0]], "b0": [[1.0]]}, "`b0` must have 1 axes"),
        ({"W0": [[1.0, 2.0]], "b0": [1.0]}, "layer 0 must take 1 inputs.*W0 \\(1, 2\\)"),
        ({"W0": [[1.0, 2.0]], "W1": [[1.0]]}, "layer 1 must take 2 inputs"),
        ({"weights": [[1.0]]}, "must hold W0, b0"),
        ({"W1": [[1.0]]}, "must hold W0, b0"),
    ],
)
def test_bad_weights_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "n.npz", **arrays)
    with pytest.raises(InputError, match=words):
        perceptron.load(tmp_path / "n.npz")


def test_unusable_files_are_refused(tmp_path):
    (tmp_path / "n.npz").write_bytes(b"not a zip file")
    (tmp_path / "n.txt").write_text("")
    conv = torch.nn.Conv2d(1, 2, 3)
    torch.save(conv.state_dict(), tmp_path / "conv.pt")
    torch.save({"weight": torch.ones(1, 2), "running_mean": torch.ones(1)}, tmp_path / "bn.pt")
    torch.save(torch.ones(2, 2), tmp_path / "tensor.pt")
    cases = {
        "n.npz": "reading it failed",
        "n.txt": "must end in .npz",
        "none.npz": "must exist",
        "conv.pt": r"only linear layers.*weight \(2, 1, 3, 3\)",
        "bn.pt": "only linear layers.*running_mean",
        "tensor.pt": "state_dict",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            perceptron.load(tmp_path / name)


def test_unknown_activation_and_bad_inputs(network):
    with pytest.raises(InputError, match="`activation` must be one of"):
        Perceptron(W=network.W, b=network.b, activation="gelu")
    for x in ([0.0, 1.0], [[0.0]], [[np.nan, 0.0]]):
        with pytest.raises(InputError, match="network inputs must be finite"):
            network.forward(x)


def _chain(*sizes):
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
    return {f"{k}.{n}": v for k, m in enumerate(layers) for n, v in m.state_dict().items()}


def test_a_state_dict_without_a_stated_activation_is_refused_with_what_to_type(tmp_path):
    torch.save(_chain(2, 4, 1), tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"activation must be stated.*--activation relu"):
        perceptron.load(tmp_path / "m.pt")
    torch.save(_chain(2, 4), tmp_path / "one.pt")
    assert perceptron.load(tmp_path / "one.pt").sizes == (2, 4)  # no hidden layer, no activation


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (_chain(2, 4, 1) | {"bn.running_mean": torch.ones(4)}, r"running_mean \(4,\)"),
        (_chain(2, 4, 1) | {"norm.weight": torch.ones(4)}, r"norm.weight \(4,\)"),
        (_chain(2, 4, 1) | {"in_proj_weight": torch.ones(4, 4)}, "in_proj_weight"),
        (_chain(2, 4, 1) | {"9.bias": torch.ones(4)}, "9.bias"),
        (_chain(2, 4) | {"1.weight": torch.ones(3, 2)}, "must take the 4 outputs of `0.weight`"),
        (_chain(2, 4) | {"0.bias": torch.ones(3)}, "layer 0 must take"),
        ({0: torch.ones(2, 2)}, "only linear layers.* 0"),
        ({"weight": torch.ones(2, 2).to_sparse()}, "`weight` must be real numbers"),
        ({"weight": torch.ones(2, 2, dtype=torch.complex64)}, "`weight` must be real numbers"),
        ({"weight": torch.ones(2, 2, dtype=torch.bool)}, "`weight` must be real numbers"),
        ({"weight": "text"}, "weight str"),
        ({}, "no layers"),
    ],
)
def test_a_state_dict_that_is_no_plain_chain_is_refused_by_name(state, words):
    with pytest.raises(InputError, match=words):
        perceptron.from_state_dict(state, "relu")


def test_half_precision_weights_are_taken_exactly():
    state = {"weight": torch.tensor([[0.1, 0.2]], dtype=torch.bfloat16)}
    W = perceptron.from_state_dict(state).W[0]
    assert W.ravel().tolist() == state["weight"].double().ravel().tolist()


def test_a_damaged_npz_is_refused_though_its_header_asks_for_less(tmp_path):
    path = tmp_path / "n.npz"
    np.savez(path, W0=np.ones((40, 1)), b0=np.zeros(1))
    path.write_bytes(path.read_bytes().replace(b"(40, 1)", b"(20, 1)"))
    with pytest.raises(InputError, match=r"W0\.npy is damaged"):
        perceptron.load(path)
