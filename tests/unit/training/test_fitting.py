"""`fit`: what it learns, what it keeps, how it goes on, and what it refuses."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

import xbarspice as xb
from tests.unit.training.models import ERRORS, three_classes
from xbarspice.core.errors import InputError, StoreError
from xbarspice.training import Settings, fit
from xbarspice.variability import Compose, RelativeNoise, StuckDevices

STRONG = Compose([RelativeNoise(sigma=0.2), StuckDevices(rate_lrs=0.05, rate_hrs=0.05)])
TRAIN, VALIDATION = three_classes(300), three_classes(120, seed=1)


def model(seed: int = 0, dropout: float = 0.0, **options) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Linear(2, 10), nn.Tanh(), nn.Dropout(dropout), nn.Linear(10, 3)]
    config = xb.ArrayConfig(tile_rows=8, tile_cols=8, **({"variation": ERRORS} | options))
    return xb.nn.convert(nn.Sequential(*layers).double(), config, calibrate=TRAIN[0])


def short(**options) -> Settings:
    return Settings(
        **{"steps": 12, "draws": 4, "look_every": 4, "look_draws": 6, "learning_rate": 0.02}
        | options
    )


def test_three_classes_are_learned_for_the_errors():
    """Trained on draws, the user's network stands errors that the plainly trained one does not."""
    steps = {"steps": 150, "look_every": 50, "look_draws": 40}
    plain = fit(model(variation=STRONG), TRAIN, VALIDATION, short(**steps, draws=0))
    aware = fit(model(variation=STRONG), TRAIN, VALIDATION, short(**steps, draws=8))
    means = {name: mean_accuracy(r.model) for name, r in (("plain", plain), ("aware", aware))}
    assert plain.best.noise_free > 0.9
    assert means["aware"] > means["plain"] + 0.02
    assert aware.best.accuracy == pytest.approx(means["aware"], abs=0.05)
    assert [look.step for look in aware.history] == [50, 100, 150]
    assert not aware.model.training


def mean_accuracy(trained: nn.Module) -> float:
    x, y = VALIDATION
    shares = []
    for _ in xb.nn.program_each(trained, range(60)):
        with torch.no_grad():
            shares.append(float((trained(x).argmax(dim=-1) == y).double().mean()))
    return sum(shares) / len(shares)


OPTIONS = [
    {"stuck": "stratified", "hold": 0.9, "remedy": "offset"},
    {
        "remedy": "write_order+partners+other_lines+tuning_passes+offset",
        "gradient": "straight_through",
        "redraw_every": 5,
    },
    {"objective": "worst", "share": 0.3, "redraw_every": 3, "optimiser": "sgd"},
    {"objective": "count", "gradient": "straight_through", "batch": None, "select": "count"},
    {"stuck": "every_device", "draws": 2, "line_penalty": 0.1, "circuit": "ideal"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_resumed_run_ends_bit_for_bit_as_one_that_was_never_stopped(options, tmp_path):
    settings = short(**options)
    whole = fit(model(dropout=0.3), TRAIN, VALIDATION, settings)
    path = tmp_path / "run.pt"
    interrupted = model(dropout=0.3)

    def stop(step: int, total: int) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            interrupted,
            TRAIN,
            VALIDATION,
            settings,
            checkpoint=path,
            checkpoint_every=3,
            progress=stop,
        )
    torch.rand(5)  # the user's random numbers do not matter
    resumed = fit(model(dropout=0.3), TRAIN, VALIDATION, settings, checkpoint=path)
    assert resumed.history == whole.history
    for (name, a), b in zip(
        whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    again = fit(model(dropout=0.3), TRAIN, VALIDATION, settings, checkpoint=path)
    assert again.history == whole.history


def test_ctrl_c_finishes_the_step_and_keeps_the_run(tmp_path):
    path = tmp_path / "run.pt"

    def press(step: int, total: int) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), TRAIN, VALIDATION, short(), checkpoint=path, progress=press)
    assert signal.getsignal(signal.SIGINT) is before
    seen: list[int] = []
    fit(
        model(),
        TRAIN,
        VALIDATION,
        short(),
        checkpoint=path,
        progress=lambda step, total: seen.append(step),
    )
    assert seen == [*range(5, 13)]
    seen.clear()
    fit(
        model(),
        TRAIN,
        VALIDATION,
        short(),
        checkpoint=path,
        progress=lambda step, total: seen.append(step),
    )
    assert seen == [12]  # nothing is left to do, and that is said


def test_the_global_random_state_is_the_users():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    fit(model(), TRAIN, VALIDATION, short())
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    net = model()
    torch.set_rng_state(before)
    fit(net, TRAIN, VALIDATION, short())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    fit(model(), TRAIN, VALIDATION, short(), checkpoint=path)
    for other, settings in ((model(seed=1), short()), (model(), short(seed=3))):
        with pytest.raises(InputError, match="this very run"):
            fit(other, TRAIN, VALIDATION, settings, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(StoreError, match="must be a checkpoint"):
        fit(model(), TRAIN, VALIDATION, short(), checkpoint=path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_the_multiplier_holds_the_accuracy_without_errors():
    """Under a line penalty that outweighs the loss it is lost; held, it stays."""
    errors = xb.variability.RelativeNoise(sigma=0.1)
    steps = {"steps": 160, "draws": 4, "look_every": 20, "look_draws": 4, "line_penalty": 10.0}
    free = fit(model(variation=errors), TRAIN, VALIDATION, short(**steps))
    held = fit(model(variation=errors), TRAIN, VALIDATION, short(**steps, hold=0.9, stiffness=20.0))
    assert max(look.noise_free for look in free.history[-3:]) < 0.75
    assert min(look.noise_free for look in held.history[-3:]) >= 0.9
    assert held.history[-1].multiplier > 0
    assert held.best.noise_free >= 0.9


def test_a_remedy_in_the_loop_is_fitted_on_training_points_and_helps():
    errors = xb.variability.RelativeNoise(sigma=0.3)
    steps = {"steps": 60, "look_every": 60, "look_draws": 60}
    results = {
        remedy: fit(model(variation=errors), TRAIN, VALIDATION, short(**steps, remedy=remedy)).best
        for remedy in (None, "gain_and_offset")
    }
    assert results["gain_and_offset"].accuracy > results[None].accuracy + 0.01


def test_weight_decay_reaches_only_weights_on_arrays():
    settings = short(steps=1, draws=0, optimiser="sgd", learning_rate=0.1, weight_decay=0.5)
    zero = dataclasses.replace(settings, weight_decay=0.0)
    decayed, kept = (fit(model(), TRAIN, VALIDATION, s).model for s in (settings, zero))
    start = model()
    for (name, a), b, c in zip(
        decayed.named_parameters(), kept.parameters(), start.parameters(), strict=True
    ):
        step = -0.1 * 0.5 * c if name.endswith("weight") else torch.zeros_like(c)
        torch.testing.assert_close(a - b, step)


def test_any_loss_and_targets_that_are_no_classes():
    x, _ = TRAIN
    target = x.sum(dim=1, keepdim=True) * torch.ones(1, 3, dtype=torch.float64)
    data = x, target
    settings = short(steps=120, loss="squared", select="objective", look_every=40)
    result = fit(model(variation=xb.variability.RelativeNoise(sigma=0.02)), data, data, settings)
    assert result.best.objective < 0.1 * float(target.var())
    assert result.best.accuracy != result.best.accuracy
    loss = nn.HuberLoss(reduction="none")
    again = fit(model(), data, data, short(loss=loss, select="objective"))
    assert again.history[-1].loss < again.history[0].loss


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0}, "`steps`"),
        ({"draws": -1}, "`draws`"),
        ({"learning_rate": 0.0}, "`learning_rate` must be > 0"),
        ({"share": 1.5}, "`share`"),
        ({"hold": -0.1}, "`hold`"),
        ({"stuck": "maybe"}, "`stuck` must be one of"),
        ({"loss": "mse"}, "`loss` must be one of"),
        ({"remedy": "prayer"}, "`remedy` must be one of"),
        ({"objective": "count", "draws": 0}, "need `draws`"),
        ({"stuck": "stratified", "redraw_every": 2}, "other devices in every step"),
    ],
)
def test_settings_are_checked(options, text):
    with pytest.raises(InputError, match=text):
        short(**options)


def test_what_does_not_fit_is_refused_before_any_work(tmp_path):
    x, y = TRAIN
    plain = nn.Sequential(nn.Linear(2, 3)).double()
    with pytest.raises(InputError, match="stand on arrays"):
        fit(plain, TRAIN, VALIDATION, short())
    with pytest.raises(InputError, match="one target for every point"):
        fit(model(), (x, y[:-1]), VALIDATION, short())
    with pytest.raises(InputError, match="must be finite"):
        fit(model(), (x * torch.nan, y), VALIDATION, short())
    with pytest.raises(InputError, match="need arrays with a `variation`"):
        fit(model(variation=None), TRAIN, VALIDATION, short())
    with pytest.raises(InputError, match="Lower the learning rate"):
        fit(model(), TRAIN, VALIDATION, short(loss=_undefined, select="objective"))
    assert not list(Path(tmp_path).iterdir())


def _undefined(answers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.log(-answers.square()) * len(targets)
