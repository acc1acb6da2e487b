"""Designs compared: what each choice does to a model on arrays, and which wins."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.unit.training.models import three_classes
from xbarspice.core.errors import InputError
from xbarspice.core.seeds import child_seed
from xbarspice.nn.layers import matrices_of
from xbarspice.report.content import Text
from xbarspice.training import (
    Procedure,
    Settings,
    compare_designs,
    designs_page,
    reexpress_inputs,
)
from xbarspice.training.designs_build import build, usual_choices
from xbarspice.training.procedures import get
from xbarspice.training.selection import CALIBRATION
from xbarspice.transfer import Interval, transfer
from xbarspice.variability import (
    Compose,
    ConductanceTuning,
    RelativeNoise,
    StuckDevices,
    drolet_2023,
)

X = torch.linspace(0.0, 1.0, 12, dtype=torch.float64).reshape(6, 2)
NOISY = xb.ArrayConfig(variation=RelativeNoise(sigma=0.1), R_wl=0.0, R_bl=0.0)


def classifier() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A 2-4-3 network, points in [0, 1], and the classes that it gives them."""
    x, _ = three_classes(60)
    torch.manual_seed(1)
    first, second = nn.Linear(2, 4).double(), nn.Linear(4, 3).double()
    with torch.no_grad():
        for layer in (first, second):
            layer.weight.mul_(4)
            layer.bias.sub_(layer.weight.sum(dim=1) / 2)
        model = nn.Sequential(first, nn.Sigmoid(), second)
        return model, x, model(x).argmax(dim=1)


def linear_classifier() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """One layer of three classes that meet in the middle of [0, 1]^2, with points and classes."""
    x = torch.rand(600, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = nn.Linear(2, 3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]]))
        layer.bias.copy_(-layer.weight.sum(dim=1) / 2)
        model = nn.Sequential(layer)
        return model, x, model(x).argmax(dim=1)


MODELS = {
    "linear": (nn.Linear(2, 3), (2,)),
    "without bias": (nn.Linear(2, 3, bias=False), (2,)),
    "flattened": (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh()), (2, 2)),
    "convolution": (nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU()), (1, 4, 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_inputs_in_another_range_computes_the_same(name):
    model, shape = MODELS[name]
    model = model.double()
    x = torch.rand(7, *shape, dtype=torch.float64)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    changed, encode = reexpress_inputs(model, x, to=(-1.0, 1.0))
    moved = encode.apply(x)
    assert float(moved.min()) == pytest.approx(-1)
    assert float(moved.max()) == pytest.approx(1)
    torch.testing.assert_close(changed(moved), model(x))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


class Skipping(nn.Module):
    """Adds its inputs to what a layer makes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + x


def test_inputs_that_cannot_move_are_refused():
    padded = nn.Conv2d(1, 2, 3, padding=1).double()
    with pytest.raises(InputError, match="linear layers alone take them, unpadded"):
        reexpress_inputs(padded, torch.rand(2, 1, 4, 4, dtype=torch.float64))
    with pytest.raises(InputError, match="linear layers alone"):
        reexpress_inputs(Skipping(), X)
    with pytest.raises(InputError, match="from one range of numbers to another"):
        reexpress_inputs(nn.Linear(2, 2).double(), X, to=(1.0, 0.0))
    with pytest.raises(InputError, match="from one range of numbers to another"):
        reexpress_inputs(nn.Linear(2, 2).double(), torch.ones(3, 2, dtype=torch.float64))


DESIGNS: dict[str, Any] = {
    "input_range": (-1.0, 1.0),
    "centring": "middle",
    "conductance_range": (2e-4, 4e-4),
    "write_order": "columns",
    "x_quantile": 0.8,
    "x_scale": {"2": 0.5},
    "placement": "high",
    "bias": "digital",
    "w_scale": "output",
}


@pytest.mark.parametrize("layout", ["tiled", "folded"])
@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_is_the_same_function_without_errors(name, layout):
    model, x, _ = classifier()
    config = xb.ArrayConfig(layout=layout, R_wl=0.0, R_bl=0.0, variation=drolet_2023())
    design = build(model, config, x, {name: DESIGNS[name]})
    torch.testing.assert_close(design.circuit(design.encode.apply(x)), model(x))


def test_centred_layers_use_both_signs_of_their_full_range():
    model, x, _ = classifier()
    circuit = build(model, NOISY, x, {"centring": "middle"}).circuit
    for matrix in matrices_of(circuit):
        assert matrix.config.x_centre > 0.2
        assert matrix.config.x_scale < 0.51


def test_the_full_swing_of_the_inputs_wins_and_is_recommended():
    model, x, y = linear_classifier()
    choices = {"input_range": [(-1.0, 1.0)], "x_scale": [2.0], "placement": ["low", "high"]}
    named: list[str] = []
    found = compare_designs(
        model, NOISY, x, y, choices=choices, transfers=60, progress=named.append
    )
    effects = {e.choice: e for e in found.effects}
    assert len(found.effects) == 3  # the base's own placement is no change
    assert effects["input_range"].gain.low > 0.02
    assert effects["x_scale"].gain.value == pytest.approx(0, abs=0.01)
    assert effects["placement"].gain.high < 0  # relative errors grow with conductance
    assert found.recommended["input_range"] == (-1.0, 1.0)
    assert "placement" not in found.recommended
    assert found.gain.low > 0.02
    assert found.parts[0].choice == "input_range"
    assert named[0] in {"base", "input_range (-1.0, 1.0)"}
    out = found.circuit(found.encode.apply(x))
    torch.testing.assert_close(out, model(x))
    assert json.loads(json.dumps(found.record()))["trained"] is False
    text = found.markdown()
    assert "Recommended: input_range (-1.0, 1.0)" in text
    assert "judged: decisions, against the labels; metric: mean" in text


def test_a_choice_that_changes_no_device_changes_no_answer():
    """With linear devices half the voltage gives the same sums: the same draws, no difference."""
    model, x, y = classifier()
    choices = {"V_read": [0.1], "bias": ["digital"]}
    found = compare_designs(model, NOISY, x, y, choices=choices, transfers=20)
    effects = {e.choice: e for e in found.effects}
    voltage = effects["V_read"].gain
    assert voltage.value == 0
    assert voltage.low == -voltage.high  # of the points drawn; others may change
    assert effects["V_read"].same_devices
    assert not effects["bias"].same_devices


def test_choices_that_win_apart_are_joined():
    model, x, y = linear_classifier()
    errors = Compose([RelativeNoise(sigma=0.08), ConductanceTuning()])
    config = xb.ArrayConfig(variation=errors, G_min=1e-4, G_max=3e-4, R_wl=0.0, R_bl=0.0)
    choices = {"input_range": [(-1.0, 1.0)], "G_max": [2e-4, 6e-4], "G_min": [2e-4]}
    found = compare_designs(model, config, x, y, choices=choices, transfers=60)
    assert set(found.recommended) == {"input_range", "G_max"}
    assert found.recommended["G_max"] == 6e-4
    assert {part.choice for part in found.parts} == {"input_range", "G_max"}
    assert all(part.gain.low > 0 for part in found.parts)
    assert found.gain.low > max(part.gain.low for part in found.parts)


def test_combinations_that_cannot_be_built_are_said():
    model, x, y = classifier()
    choices = {"cells": [6], "layout": ["folded"]}
    found = compare_designs(model, NOISY, x, y, choices=choices, transfers=40)
    assert found.recommended == {"cells": 6}
    (reason,) = found.refused
    assert "a folded array holds one pair a weight" in reason
    assert f"Not built: {reason}" in found.markdown()


def test_what_fresh_transfers_do_not_confirm_is_not_recommended(tmp_path):
    model, x, y = linear_classifier()
    choices = {"input_range": [(-1.0, 1.0)], "G_max": [2e-4]}
    found = compare_designs(model, NOISY, x, y, choices=choices, transfers=5)
    for chosen, gain, word, words in (
        ({"G_max": 2e-4}, (0.01, 0.002, 0.02), "RECOMMENDED", "wins 1.00"),
        ({"G_max": 2e-4}, (0.01, 0.0, 0.02), "NOT CONFIRMED", "which may be none"),
        ({"G_max": 2e-4}, (-0.01, -0.02, 0.0), "NOT CONFIRMED", "is -1.00 [-2.00, 0.00] %"),
        ({}, (0.0, 0.0, 0.0), "BASE KEPT", "no choice that was tried is shown to win"),
    ):
        value, low, high = gain
        interval = Interval(value=value, low=low, high=high)
        one = dataclasses.replace(found, recommended=chosen, gain=interval)
        assert one.confirmed == (word == "RECOMMENDED")
        record = one.record() | {
            "title": "Designs", "variation": "noise", "seed": 0, "model": {}, "notes": [],
            "coverage": {"layers": [], "weights": 0, "on_arrays": 0}, "config": {},
        }  # fmt: skip
        rows = dict(designs_page.figures(record))
        assert ("won by it in fresh transfers [95 % interval]" in rows) == bool(chosen)
        assert designs_page._word(record) == word
        assert words in designs_page._sentence(record)
        assert one.markdown().count("Not confirmed:") == (word == "NOT CONFIRMED")


def test_a_trained_comparison_does_not_say_that_nothing_was_trained():
    model, x, y = linear_classifier()
    found = compare_designs(model, NOISY, x, y, choices={"G_max": [2e-4]}, transfers=3)
    for trained, words in ((False, "none of them retrained"), (True, "was trained once")):
        record = dataclasses.replace(found, trained=trained).record()
        (text,) = [i.text for i in designs_page._effects(record).items if isinstance(i, Text)]
        assert words in text
        assert text.count("retrained") == (not trained)


def test_the_base_is_recommended_where_nothing_wins():
    model, x, y = classifier()
    found = compare_designs(model, NOISY, x, y, choices={"G_max": [1.5e-4]}, transfers=10)
    assert found.effects[0].gain.value < 0
    assert found.recommended == {}
    assert found.gain.value == found.gain.low == found.gain.high == 0
    assert "Recommended: the base" in found.markdown()


def test_designs_are_judged_after_training_too():
    model, x, y = classifier()
    found = compare_designs(
        model,
        NOISY,
        x,
        y,
        choices={"input_range": [(-1.0, 1.0)]},
        transfers=10,
        settings=Settings(steps=4, draws=2, look_every=4, look_draws=2, learning_rate=0.01),
        train_data=(x, y),
        validation_data=(x, y),
    )
    assert found.trained
    assert "every design trained" in found.markdown()
    plain = build(model, NOISY, x, found.recommended).circuit.state_dict()
    trained = found.circuit.state_dict()
    assert plain.keys() == trained.keys()
    assert not any(torch.equal(plain[name], trained[name]) for name in plain)


def test_what_cannot_be_compared_is_refused_before_any_work():
    model, x, y = classifier()
    seen: list[str] = []
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"choices": {"colour": ["red"]}}, "choices must be among"),
        ({"choices": {"placement": "high"}}, "must be a list of values"),
        ({"choices": {"bias": ["digital"], "placement": ["top"]}}, "placement = 'top'"),
        ({"choices": {"write_order": ["columns"]}}, "without the term `bse`"),
        ({"choices": {"centring": ["left"]}}, "`centring` must be"),
        ({"choices": {"x_scale": [{"9": 2.0}]}}, "`x_scale` must be a factor"),
        ({"choices": {"input_range": [1.0]}}, "`input_range` must be two numbers"),
        ({"model": xb.nn.convert(model, NOISY)}, "must be a plain torch module"),
        ({"config": xb.ArrayConfig()}, "under errors of the devices"),
        ({"settings": Settings(steps=1)}, "training of designs needs"),
        ({"transfers": 1}, "`transfers`"),
        ({"metric": "best"}, "`metric`"),
        ({"engine": "spice"}, "spice"),
    ]
    for change, words in wrong:
        arguments = {"model": model, "config": NOISY, "choices": {"bias": ["digital"]}} | change
        with pytest.raises(InputError, match=words):
            compare_designs(**arguments, x=x, y=y, progress=seen.append)
    assert seen == []


def test_designs_are_judged_after_a_remedy_that_saw_other_points():
    """Errors of offsets, which a remedy mends, no longer speak for one design."""
    model, x, y = linear_classifier()
    errors = Compose([RelativeNoise(sigma=0.02), StuckDevices(rate_lrs=0.03)])
    config = xb.ArrayConfig(variation=errors, R_wl=0.0, R_bl=0.0)
    told: dict[str, Any] = {"choices": {"placement": ["high"]}, "transfers": 40}
    plain = compare_designs(model, config, x[:75], y[:75], **told)
    calibration = (x[75:], y[75:])
    mended = compare_designs(
        model, config, x[:75], y[:75], remedy="partners+offset", calibration=calibration, **told
    )
    assert mended.base.value > plain.base.value
    assert (plain.remedy, mended.remedy) == ("", "compensate True, outputs offset")
    assert "remedy: compensate True, outputs offset" in mended.markdown()
    with pytest.raises(InputError, match="calibration points"):
        compare_designs(model, config, x, y, remedy="offset", **told)


def test_trained_designs_are_judged_with_the_remedy_of_their_settings_as_by_the_study():
    model, x, y = linear_classifier()
    errors = Compose([RelativeNoise(sigma=0.05), StuckDevices(rate_lrs=0.05)])
    config = xb.ArrayConfig(variation=errors, R_wl=0.0, R_bl=0.0)
    trained: dict[str, Any] = {
        "settings": Settings(
            steps=4,
            draws=2,
            look_every=4,
            look_draws=2,
            gradient="straight_through",
            remedy="partners+offset",
        ),
        "train_data": (x[50:], y[50:]),
        "validation_data": (x[50:], y[50:]),
    }
    told: dict[str, Any] = {"choices": {"G_max": [2.5e-4]}, "transfers": 20, "seed": 2}
    judged = x[:50], y[:50].numpy()
    comparison = compare_designs(model, config, *judged, **trained, **told)
    assert comparison.recommended == {}  # so that the circuit is the base
    assert comparison.remedy == "compensate True, outputs offset"
    seed = child_seed(2, "choice")
    seen = x[50:][:CALIBRATION], y[50:][:CALIBRATION]
    options = {"procedure": get("partners+offset"), "calibration": seen}
    values = {}
    for name, more in {"with": options, "without": {}}.items():
        study = transfer(comparison.circuit, *judged, transfers=20, seed=seed, **more)
        assert study.right is not None
        values[name] = float(study.right.mean())
    assert comparison.base.value == pytest.approx(values["with"], abs=1e-12)
    assert values["with"] > values["without"]
    plain = compare_designs(model, config, *judged, remedy=Procedure(), **trained, **told)
    assert plain.base.value == pytest.approx(values["without"], abs=1e-12)


def test_usual_choices_are_those_that_a_model_can_have():
    model, x, _ = classifier()
    config = xb.ArrayConfig(layout="folded", variation=RelativeNoise(sigma=0.1))
    choices, refused = usual_choices(model, config, x)
    assert choices["input_range"] == [(-1.0, 1.0)]
    assert choices["placement"] == ["high", "middle"]
    assert {"0": 2.0} in choices["x_scale"]
    assert "write_order" not in choices
    assert {"cells = 2", "write_order = columns"} <= set(refused)
    for name, values in choices.items():
        for value in values:
            build(model, config, x, {name: value})
    tiled = xb.ArrayConfig(variation=drolet_2023())
    choices, refused = usual_choices(model, tiled, 2 * x - 1)
    assert choices["write_order"] == ["columns", "rows_reversed", "columns_reversed"]
    assert choices["cells"] == [2]
    assert "input_range" not in choices
    assert not refused
