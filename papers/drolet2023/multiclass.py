"""Digits with ten classes: a perceptron and a convolutional network on tiled arrays.

Thin client of `xb.training`: a regular network is trained without errors, ours goes on from it on
drawn transfers through the wires, and a third has the remedy in the loop. All are judged on test
points that no training saw, with the same transfers. Every split of the data is a run of its own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import xbarspice as xb
import xbarspice.training
from papers.drolet2023.settings import SETTINGS
from papers.drolet2023.transfers import metric
from xbarspice.core.files import write_whole
from xbarspice.core.seeds import child_seed
from xbarspice.training import ErrorDraws, remedies
from xbarspice.training.data import Split, digits
from xbarspice.variability import Variation, drolet_2023

__all__ = ["Plan", "reproduce"]

CLASSES = SETTINGS["multiclass"]
TOGETHER = 20
"""Transfers that are computed in one forward pass."""
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do.

    Attributes:
        splits: seeds of the splits of the data.
        transfers: of each network.
        points: test points.
        plain, tune: steps without errors, and on drawn transfers.
    """

    splits: tuple[int, ...] = tuple(CLASSES["splits"])
    transfers: int = CLASSES["transfers"]
    points: int = 400
    plain: int = CLASSES["plain_steps"]
    tune: int = CLASSES["tune_steps"]

    def less_than_full(self) -> dict[str, tuple[int, int]]:
        """What is smaller than in the full study: name -> (this run, full run)."""
        full = Plan()
        names = ("transfers", "points", "plain", "tune")
        pairs = {name: (getattr(self, name), getattr(full, name)) for name in names}
        pairs["splits"] = (len(self.splits), len(full.splits))
        return {name: pair for name, pair in pairs.items() if pair[0] < pair[1]}

    @classmethod
    def quick(cls) -> Plan:
        """One split and few steps, transfers and points."""
        return cls(splits=(1,), transfers=20, points=100, plain=60, tune=8)


def perceptron() -> nn.Sequential:
    """64-32-10 with ReLU."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def convolutional() -> nn.Sequential:
    """Two convolutions and a linear layer, without padding."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


MODELS: dict[str, Callable[[], nn.Sequential]] = {
    "64-32-10": perceptron,
    "convolutional": convolutional,
}
INPUTS = {"[0, 1]": lambda x: x, "[-1, 1]": lambda x: 2 * x - 1}
Data = tuple[Tensor, Tensor]


def _config(variation: Variation) -> xb.ArrayConfig:
    return xb.ArrayConfig(
        tile_rows=CLASSES["tile"],
        tile_cols=CLASSES["tile"],
        R_wl=CLASSES["wire"],
        R_bl=CLASSES["wire"],
        bias="digital",
        dtype="float32",
        variation=variation,
    )


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One model, way of driving the inputs, and split."""

    model: str
    inputs: str
    split: int
    plan: Plan

    def data(self) -> tuple[Data, Data, Data]:
        """Training, validation and test points as they are driven, and classes."""
        s: Split = digits(self.split)
        parts = (
            (s.x_train, s.y_train),
            (s.x_validation, s.y_validation),
            (s.x_test[: self.plan.points], s.y_test[: self.plan.points]),
        )
        train, validation, test = (
            (torch.as_tensor(INPUTS[self.inputs](x)).float(), torch.as_tensor(y)) for x, y in parts
        )
        return train, validation, test

    def networks(self) -> dict[str, nn.Module]:
        """Converted models by the name of their recipe."""
        train, validation, _ = self.data()
        seed = child_seed(self.split, self.model) % 2**31
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            plain = MODELS[self.model]()
        regular = xb.nn.convert(plain, _config(drolet_2023(tail="released")), calibrate=train[0])
        xb.training.fit(
            regular,
            train,
            validation,
            xb.training.Settings(
                steps=self.plan.plain,
                draws=0,
                look_every=max(1, self.plan.plain // 4),
                seed=seed,
                **CLASSES["regular"],
            ),
        )
        out = {"regular": regular}
        for name in ("ours", "ours, remedy in the loop"):
            settings = dict(CLASSES["tune"])
            if name != "ours":
                settings["remedy"] = CLASSES["remedy"]
            model = copy.deepcopy(regular)
            told = xb.training.Settings(
                steps=self.plan.tune,
                look_every=max(1, self.plan.tune // 4),
                seed=seed,
                **settings,
            )
            xb.training.fit(model, train, validation, told)
            out[name] = model
        return out

    def figures(self, model: nn.Module) -> dict[str, dict[str, float]]:
        """Figures by the remedy: none, and the one of the settings."""
        train, _, (x, y) = self.data()
        seen = tuple(part[: CLASSES["calibration"]] for part in train)
        with torch.no_grad():
            answers = self._answers(model, torch.cat([seen[0], x]))
            clean = answers[0][0]
            drawn = torch.cat([a[1:] for a in answers])
            with xb.nn.exact_products():
                software = float((model(x).argmax(-1) == y).double().mean())
        count = len(seen[0])
        fix = remedies.get(CLASSES["remedy"])(drawn[:, :count], clean[:count], seen[1])
        out = {}
        for name, logits in (
            ("none", drawn[:, count:]),
            (CLASSES["remedy"], fix.apply(drawn[:, count:])),
        ):
            right = (logits.argmax(-1) == y).numpy()
            out[name] = {
                "software": software,
                "noise_free": float((clean[count:].argmax(-1) == y).double().mean()),
                "mean": float(right.mean()),
                "lost": software - float(right.mean()),
                "low_5_percent": float(np.quantile(right.mean(axis=1), 0.05)),
                "metric": metric(right),
            }
        return out

    def _answers(self, model: nn.Module, x: Tensor) -> list[Tensor]:
        """Logits without errors and in some transfers, (1 + some, points, 10) each."""
        total, out = self.plan.transfers, []
        for start in range(0, total, TOGETHER):
            few = min(TOGETHER, total - start)
            # the exact circuit of linear devices; the same label is the same errors in every case
            draws = ErrorDraws(model, draws=few, seed=self.split, circuit="exact")
            draws.begin(f"judged transfers from {start}")
            out.append(draws.outputs(x, nominal=True))
        return out


def reproduce(
    folder: Path,
    plan: Plan = Plan(),
    *,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Train and judge all models; cases that are in the folder already are read.

    Args:
        folder: where the figures of every case are kept.
        plan: how much to do.
        say: told what begins.

    Returns:
        The record that `multiclass_report.section` draws.
    """
    by_row: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for model in MODELS:
        for inputs in INPUTS:
            for split in plan.splits:
                case = _Case(model=model, inputs=inputs, split=split, plan=plan)
                for key, figures in _kept(folder, case, say).items():
                    by_row.setdefault((model, inputs, *key.split("|")), []).append(figures)
    rows = [
        {
            **dict(zip(("model", "inputs", "recipe", "remedy"), key, strict=True)),
            "median": {name: float(np.median([f[name] for f in all_])) for name in all_[0]},
            "splits": all_,
        }
        for key, all_ in by_row.items()
    ]
    return {"plan": asdict(plan), "less_than_full": plan.less_than_full(), "rows": rows}


def _key(case: _Case) -> str:
    """Equal for cases of equal settings, whatever other splits there are."""
    settings = {name: value for name, value in CLASSES.items() if name != "splits"}
    return repr((replace(case, plan=replace(case.plan, splits=())), settings))


def _kept(folder: Path, case: _Case, say: Say) -> dict[str, dict[str, float]]:
    """Figures of a case by recipe and remedy, from its file or measured now."""
    words = f"{case.model} {case.inputs} {case.split}".replace(" ", "_").replace(",", "")
    path, key = folder / f"{words}.json", _key(case)
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return stored["figures"]  # type: ignore[no-any-return]
    say(f"digits, {case.model}: inputs {case.inputs}, split {case.split}")
    out = {
        f"{recipe}|{remedy}": figures
        for recipe, model in case.networks().items()
        for remedy, figures in case.figures(model).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole({path: json.dumps({"key": key, "figures": out}, indent=1)})
    return out
