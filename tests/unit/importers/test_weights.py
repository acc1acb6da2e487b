"""Weights without code: state_dicts, checkpoints, safetensors and plain perceptrons."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from xbarspice.core.errors import InputError
from xbarspice.importers import load_model
from xbarspice.importers.perceptron import Perceptron, save

HERE = "tests.unit.importers.test_weights"


def build():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.GELU(), nn.Linear(6, 3))


class Tied(nn.Module):
    """An output layer that shares the weight of the input layer."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last.weight = self.first.weight

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


def fails():
    raise KeyError("no width")


def no_module():
    return "text"


@pytest.fixture(scope="module")
def trained_model():
    torch.manual_seed(2)
    model = build()
    model[1].running_mean.copy_(torch.randn(6))
    return model.eval()


X = torch.linspace(-1, 1, 28).reshape(7, 4)


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "safetensors"])
def test_weights_go_into_the_factorys_module(tmp_path, trained_model, suffix):
    path = tmp_path / f"net.{suffix}"
    if suffix == "safetensors":
        save_file(trained_model.state_dict(), path)
    else:
        torch.save(trained_model.state_dict(), path)
    model = load_model(path, factory=f"{HERE}:build")
    assert model.kind == ("safetensors" if suffix == "safetensors" else "state_dict")
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not model.module.training
    assert model.notes == ()
    with torch.no_grad():
        assert torch.equal(model.run(X), trained_model(X))
    assert torch.equal(model.reference(X), model.run(X))
    with torch.no_grad():
        model.module[0].weight.zero_()
    assert not torch.equal(model.reference(X), model.run(X))  # the reference is untouched


def test_the_older_form_of_torch_is_read(tmp_path, trained_model):
    path = tmp_path / "net.pt"
    torch.save(trained_model.state_dict(), path, _use_new_zipfile_serialization=False)
    model = load_model(path, factory=build)
    with torch.no_grad():
        assert torch.equal(model.run(X), trained_model(X))


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net", "generator"])
def test_a_checkpoint_holds_the_weights_one_level_down(tmp_path, trained_model, key):
    path = tmp_path / "checkpoint.pt"
    torch.save(
        {"epoch": 3, key: trained_model.state_dict(), "optimizer": {"state": {}, "lr": 0.1}}, path
    )
    model = load_model(path, factory=build)
    assert torch.equal(model.run(X), trained_model(X).detach())
    assert key in model.notes[0]


def test_two_sets_of_weights_in_a_checkpoint_are_refused(tmp_path, trained_model):
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": trained_model.state_dict(), "ema": trained_model.state_dict()}, path)
    with pytest.raises(InputError, match="'model' and 'ema'"):
        load_model(path, factory=build)
    torch.save({"epoch": 3}, path)
    with pytest.raises(InputError, match="one state_dict; received none"):
        load_model(path, factory=build)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="must hold a state_dict; received list"):
        load_model(path, factory=build)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_removed(tmp_path, trained_model, prefix):
    path = tmp_path / "net.pt"
    torch.save({prefix + k: v for k, v in trained_model.state_dict().items()}, path)
    model = load_model(path, factory=build)
    assert torch.equal(model.run(X), trained_model(X).detach())
    assert f"`{prefix}`" in model.notes[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_and_noted(tmp_path, trained_model, dtype):
    path = tmp_path / "net.safetensors"
    half = {
        k: v.to(dtype) if v.is_floating_point() else v
        for k, v in trained_model.state_dict().items()
    }
    save_file(half, path)
    model = load_model(path, factory=build)
    assert model.module[0].weight.dtype == torch.float32
    assert torch.equal(model.module[0].weight, half["0.weight"].float())
    assert "widened to float32" in model.notes[0]
    assert str(dtype).split(".")[1] in model.notes[0]


def test_double_precision_is_kept(tmp_path, trained_model):
    path = tmp_path / "net.pt"
    double = {
        k: v.double() if v.is_floating_point() else v for k, v in trained_model.state_dict().items()
    }
    double["0.weight"] += 1e-12
    torch.save(double, path)
    model = load_model(path, factory=build)
    assert torch.equal(model.module[0].weight, double["0.weight"])
    assert model.run(X).dtype == torch.float64
    assert "float64" in model.notes[0]


def test_keys_and_shapes_must_fit_and_are_listed(tmp_path, trained_model):
    path = tmp_path / "net.pt"
    state = trained_model.state_dict()
    del state["0.bias"]
    state["4.extra"] = torch.zeros(2)
    state["3.weight"] = torch.zeros(3, 7)
    torch.save(state, path)
    with pytest.raises(InputError) as caught:
        load_model(path, factory=build)
    text = str(caught.value)
    assert "missing: 0.bias" in text
    assert "unexpected: 4.extra" in text
    assert "3.weight is (3, 7) in the file and (3, 6) in the module" in text


def test_a_shared_weight_stays_shared(tmp_path):
    tied = Tied()
    for path, state in (
        (tmp_path / "a.pt", tied.state_dict()),
        (tmp_path / "b.pt", {k: v for k, v in tied.state_dict().items() if k != "last.weight"}),
    ):
        torch.save(state, path)
        model = load_model(path, factory=f"{HERE}:Tied")
        assert model.module.last.weight is model.module.first.weight
        assert torch.equal(model.run(X), tied(X).detach())
    state = {k: v.clone() for k, v in tied.state_dict().items()}
    state["last.weight"] += 1
    torch.save(state, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"other values for first.weight"):
        load_model(tmp_path / "c.pt", factory=f"{HERE}:Tied")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("build", "must be named as module:callable"),
        ("no_such_package_at_all:build", "must be importable; ModuleNotFoundError"),
        (f"{HERE}:absent", "must be importable; AttributeError"),
        (f"{HERE}:HERE", "must be callable"),
        (f"{HERE}:fails", "without arguments; KeyError"),
        (f"{HERE}:no_module", r"must return a torch.nn.Module; received str"),
    ],
)
def test_a_factory_that_makes_no_module_is_one_clear_error(
    tmp_path, trained_model, factory, message
):
    path = tmp_path / "net.pt"
    torch.save(trained_model.state_dict(), path)
    with pytest.raises(InputError, match=message):
        load_model(path, factory=factory)


@pytest.mark.filterwarnings("ignore")  # torch's own, of the quantised tensor made here
def test_quantised_weights_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"0.weight": torch.zeros(3, 4, dtype=torch.int8), "0.scales": torch.ones(3)}, path)
    with pytest.raises(InputError, match=r"0.weight are quantised integers"):
        load_model(path, factory=build)
    tensor = torch.quantize_per_tensor(torch.ones(3, 4), 0.1, 0, torch.qint8)
    torch.save({"0.weight": tensor}, tmp_path / "net.pt")
    with pytest.raises(InputError, match="quantised integers"):
        load_model(tmp_path / "net.pt", factory=build)


def test_damaged_weights_are_one_clear_error(tmp_path, trained_model):
    for path, write in (
        (tmp_path / "net.safetensors", save_file),
        (tmp_path / "net.pt", torch.save),
    ):
        write(trained_model.state_dict(), path)
        whole = path.read_bytes()
        for cut in (1, 9, 60, len(whole) // 2, len(whole) - 3):
            path.write_bytes(whole[:cut])
            with pytest.raises(InputError) as caught:
                load_model(path, factory=build)
            assert len(str(caught.value)) < 500


def test_a_flipped_byte_of_a_weight_is_noticed(tmp_path, trained_model):
    path = tmp_path / "net.pt"
    torch.save(trained_model.state_dict(), path)
    whole = path.read_bytes()
    place = whole.index(trained_model[3].weight.detach().numpy().tobytes()) + 5
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(InputError, match="must be whole; received damage in"):
        load_model(path, factory=build)


def test_weights_alone_are_no_model(tmp_path, trained_model):
    path = tmp_path / "net.pt"
    torch.save(trained_model.state_dict(), path)
    with pytest.raises(InputError, match=r"weights alone are no model.*activation"):
        load_model(path)
    with pytest.raises(InputError, match="with both"):
        load_model(path, factory=build, activation="tanh")


# Perceptrons.


@pytest.fixture(scope="module")
def network():
    random = np.random.default_rng(4)
    W = (random.normal(size=(4, 5)), random.normal(size=(5, 3)))
    return Perceptron(W=W, b=(random.normal(size=5), random.normal(size=3)), activation="tanh")


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_a_perceptron_of_plain_arrays(tmp_path, network, activation):
    path = tmp_path / "net.npz"
    save(path, Perceptron(W=network.W, b=network.b, activation=activation))
    model = load_model(path)
    assert model.kind == "perceptron"
    assert [type(m) for m in model.module][::2] == [nn.Linear, nn.Linear]
    assert model.run(X).dtype == torch.float64
    assert model.inputs[0].shape == ("points", 4)
    assert model.original_library.startswith("NumPy")
    assert torch.allclose(model.run(X), model.reference(X), rtol=0, atol=1e-14)
    expected = Perceptron(W=network.W, b=network.b, activation=activation).forward(X.numpy())[-1]
    assert np.allclose(model.reference(X), expected, rtol=0, atol=0)
    with pytest.raises(InputError, match="must have the shape"):
        model.run(X[:, :3])


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_a_perceptron_as_state_dict_needs_its_activation(tmp_path, network, kind):
    layers = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    path = tmp_path / f"net.{kind}"
    (torch.save if kind == "pt" else save_file)(layers.state_dict(), path)
    model = load_model(path, activation="tanh")
    assert model.kind == "perceptron"
    expected = layers.double()(X.double()).detach()
    assert torch.allclose(model.run(X), expected, rtol=0, atol=1e-14)
    with pytest.raises(InputError, match="weights alone are no model"):
        load_model(path)
    with pytest.raises(InputError, match="must be one of"):
        load_model(path, activation="gelu")


def test_layers_of_a_safetensors_file_stand_in_the_order_of_their_numbers(tmp_path):
    path = tmp_path / "net.safetensors"
    layers = nn.Sequential(*[m for _ in range(7) for m in (nn.Linear(3, 3), nn.Tanh())][:-1])
    save_file(layers.state_dict(), path)  # which writes 10 and 12 before 2
    expected = layers.double()(X[:, :3].double()).detach()
    assert torch.allclose(load_model(path, activation="tanh").run(X[:, :3]), expected, atol=1e-14)
    state = {f"{name}.weight": torch.ones(3, 3) for name in ("encoder", "decoder")}
    save_file(state, path)
    with pytest.raises(InputError, match="does not tell their order"):
        load_model(path, activation="tanh")


def test_arrays_without_an_activation_need_one(tmp_path, network):
    path = tmp_path / "net.npz"
    np.savez(path, W0=network.W[0], b0=network.b[0])
    with pytest.raises(InputError, match="needs the activation that it was trained with"):
        load_model(path)
    assert load_model(path, activation="relu").kind == "perceptron"
    np.savez(path, other=network.W[0], activation="tanh")
    with pytest.raises(InputError):
        load_model(path)
    with pytest.raises(InputError, match="a factory is for weights without code"):
        load_model(path, factory=build)
