"""What the commands have in common: configurations, data files, what a record names."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarspice.cli.doctor import need
from xbarspice.cli.json_text import to_json
from xbarspice.cli.settings import configuration, mark_overridden, read_values, run_toml
from xbarspice.config import RunConfig
from xbarspice.core.files import store_errors, whole_file

if TYPE_CHECKING:
    from xbarspice.config.card_use import Use
    from xbarspice.training.data import Split
    from xbarspice.training.train import Trained

__all__ = [
    "DEMO",
    "configuration",
    "mark_overridden",
    "name_card",
    "need",
    "read_values",
    "run_toml",
    "save_points",
    "save_run",
    "start_config",
    "to_json",
    "training_record",
]

DEMO = RunConfig.from_mapping(
    {
        "mapping": {"layout": "folded", "tile_rows": 8, "tile_cols": 8},
        "array": {"device": "sinh_tio2"},
    }
)
"""The demo: the 2-8-1 network folded onto one 8x8 array of TiO2 devices."""


def start_config(array: Path | None) -> RunConfig | None:
    """What calibrations start from: devices are TiO2 where no file says which they are."""
    if array is not None and array.suffix == ".h5":
        return None
    return RunConfig.from_mapping({"array": {"device": "sinh_tio2"}})


def name_card(
    record: dict[str, Any],
    config: RunConfig,
    values: dict[str, Any] | None = None,
    use: Use | None = None,
) -> dict[str, Any]:
    """A record that also names the calibration card of its configuration, if any.

    Args:
        record: whose `config`, if it is there, says how the calibrated model is used.
        config: the configuration.
        values: nested values of what was solved, where the record has no `config`.
        use: of the model, over what these values say.
    """
    from xbarspice.config.card_use import Use, describe_card, use_of

    note = config.calibration
    if note is None:
        return record
    said = values or record.get("config")
    of_values = use_of(said if isinstance(said, dict) else config.model_dump(mode="json"))
    use = use or Use()
    merged = Use(V=use.V or of_values.V, G=use.G or of_values.G, T=use.T or of_values.T)
    card = describe_card(note, merged, dt.datetime.now(tz=dt.UTC).date())
    return {**record, "calibration": note.text, "card": card}


def save_points(path: Path, split: Split) -> None:
    """Write the test points of a split: x (points, features) and y (points,)."""
    what = "the file of test points"
    with store_errors(what, path), whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, x=split.x_test, y=split.y_test)


def save_run(folder: Path, values: dict[str, Any], record: dict[str, Any]) -> None:
    """Write the run.toml and the report.json of a run folder.

    Args:
        folder: of the run.
        values: what the run was asked for.
        record: what it gave.
    """
    (folder / "run.toml").write_text(run_toml(values), encoding="utf-8")
    (folder / "report.json").write_text(to_json(record), encoding="utf-8")


def training_record(trained: Trained, out: Path | None) -> dict[str, Any]:
    """Sizes, epochs and accuracies of a trained network."""
    names = [f.name for f in dataclasses.fields(trained) if f.name != "network"]
    record = {"sizes": list(trained.network.sizes)}
    record |= {name: getattr(trained, name) for name in names}
    return record if out is None else {"file": str(out), **record}
