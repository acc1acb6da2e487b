"""Networks that someone else trained: what is read, what is refused, and that nothing is run."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from xbarspice import network
from xbarspice.errors import InputError
from xbarspice.network import Network


def test_npz_round_trip(tmp_path, network):
    from xbarspice import network as module

    module.save(tmp_path / "n.npz", network)
    again = module.load(tmp_path / "n.npz")
    assert again.sizes == (2, 3, 1)
    assert all(np.array_equal(a, b) for a, b in zip(again.W + again.b, network.W + network.b))  # noqa: B905
    assert list(tmp_path.iterdir()) == [tmp_path / "n.npz"]


def test_state_dict_is_transposed_once(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    torch.save(model.state_dict(), tmp_path / "m.pt")
    loaded = network.load(tmp_path / "m.pt", "relu")
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
            network.load(tmp_path / name)
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
        network.load(tmp_path / "n.npz")


def test_unusable_files_are_refused(tmp_path):
    (tmp_path / "n.npz").write_bytes(b"not a zip file")
    (tmp_path / "n.txt").write_text("")
    conv = torch.nn.Conv2d(1, 2, 3)
    torch.save(conv.state_dict(), tmp_path / "conv.pt")
    torch.save({"weight": torch.ones(1, 2), "running_mean": torch.ones(1)}, tmp_path / "bn.pt")
    torch.save(torch.ones(2, 2), tmp_path / "tensor.pt")
    cases = {
        "n.npz": "reading it failed", "n.txt": "must end in .npz", "none.npz": "must exist",
        "conv.pt": "2 axes", "bn.pt": "only linear layers.*running_mean", "tensor.pt": "state_dict",
    }  # fmt: skip
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            network.load(tmp_path / name)


def test_unknown_activation_and_bad_inputs(network):
    with pytest.raises(InputError, match="`activation` must be one of"):
        Network(W=network.W, b=network.b, activation="gelu")
    for x in ([0.0, 1.0], [[0.0]], [[np.nan, 0.0]]):
        with pytest.raises(InputError, match="network inputs must be finite"):
            network.forward(x)
