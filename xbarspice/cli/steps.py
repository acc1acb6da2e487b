"""What the commands have in common: configurations, networks, inputs, and the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xbarspice.cli.cards import as_config, named, overruled, said_of_arrays
from xbarspice.cli.doctor import need
from xbarspice.cli.json_text import to_json
from xbarspice.cli.settings import (
    configuration,
    run_toml,
    solved,
    with_stated_array,
)
from xbarspice.config import RunConfig
from xbarspice.core.files import store_errors, whole_file
from xbarspice.training.data import Split
from xbarspice.training.train import Trained
from xbarspice.variability import Variation, from_config

__all__ = [
    "DEMO",
    "TEST_SET",
    "as_config",
    "configuration",
    "measured_base",
    "named",
    "need",
    "overruled",
    "run_toml",
    "said_of_arrays",
    "save_points",
    "solved",
    "to_json",
    "training_record",
    "variation",
    "with_stated_array",
]  # fmt: skip

DEMO = RunConfig.from_mapping(
    {
        "mapping": {"layout": "folded", "tile_rows": 8, "tile_cols": 8},
        "array": {"device": "sinh_tio2"},
    }
)
"""The demo: the 2-8-1 network folded onto one 8x8 array of TiO2 devices."""

TEST_SET = ("data.name", "data.points", "data.noise", "data.test", "data.seed")
"""Settings that the half-moons test points depend on."""


def measured_base(array: Path | None) -> RunConfig | None:
    """What calibrations start from: devices are TiO2 where no file says which they are."""
    if array is not None and array.suffix == ".h5":
        return None
    return RunConfig.from_mapping({"array": {"device": "sinh_tio2"}})


def variation(config: RunConfig, otherwise: Variation) -> Variation:
    """The variability of the configuration, or another where it has none."""
    return from_config(config.variability) if config.variability else otherwise


def save_points(path: Path, split: Split) -> None:
    """Write the test points of a split: x (points, features) and y (points,)."""
    what = "the file of test points"
    with store_errors(what, path), whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, x=split.x_test, y=split.y_test)


def training_record(trained: Trained, out: Path | None) -> dict[str, Any]:
    """Sizes, epochs and accuracies of a trained network."""
    values = {k: v for k, v in trained.__dict__.items() if k != "network"}
    record = {"sizes": list(trained.network.sizes), **values}
    return record if out is None else {"file": str(out), **record}
