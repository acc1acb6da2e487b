"""What the commands have in common: configurations, networks, inputs, and the run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from xbarspice import store
from xbarspice.cli.cards import as_config, named, overruled, said_of_arrays, with_card
from xbarspice.cli.doctor import need
from xbarspice.cli.json_text import to_json
from xbarspice.cli.models import is_deployment, is_model
from xbarspice.cli.settings import (
    configuration,
    map_arguments,
    refuse_other_mapping,
    run_toml,
    solved,
    with_stated_array,
)
from xbarspice.config import RunConfig, child_rng
from xbarspice.errors import broken_rule
from xbarspice.mapping import MappedNetwork, map_network
from xbarspice.network import Network, read_inputs
from xbarspice.network import load as load_network
from xbarspice.studies.data import Split
from xbarspice.studies.inference import Inference
from xbarspice.studies.train import Trained
from xbarspice.variability import Variation, from_config

__all__ = [
    "DEMO",
    "TEST_SET",
    "as_config",
    "configuration",
    "inference_record",
    "inference_tree",
    "inputs",
    "map_with",
    "mapped_network",
    "mapping_record",
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


def map_with(network: Network, config: RunConfig, calibration: Path | None = None) -> MappedNetwork:
    """Map a network as the configuration says; it carries the card that is in it."""
    made = map_network(network, **map_arguments(config, len(network.W)))
    return with_card(made, config, calibration)


def mapped_network(
    path: Path, config: RunConfig, activation: str | None, calibration: Path | None = None
) -> MappedNetwork:
    """A mapped network from its ``.h5`` file, or a network file mapped by the configuration.

    The arrays of a file take the stated values of `[array]`; see `xbarspice.cli.settings`.
    `calibration` is the card for the network to carry, if it has none yet.

    Raises:
        InputError: a stated value of `[mapping]` is not that of the mapped network, or the file is
            a deployment or model.
    """
    if path.is_file() and is_model(path, None):
        kind = "a deployment of a model" if is_deployment(path) else "a model"
        raise broken_rule(
            "this command takes a mapped network or a perceptron (.npz, state_dict)",
            f"`{path.name}`, {kind}",
            "`xbarspice map`, `verify` and `solve` take it; of a single one of its arrays write "
            "the netlist with xb.netlist.write(tile.crossbar, V_in), tile of layer.tiles().",
        )
    if path.suffix != ".h5":
        return map_with(load_network(path, activation), config, calibration)
    mapped = store.load_mapped(path)
    refuse_other_mapping(mapped, config, path.name)
    arrays = tuple(with_stated_array(array, config) for array in mapped.arrays)
    return with_card(dataclasses.replace(mapped, arrays=arrays), config, calibration)


def variation(config: RunConfig, otherwise: Variation) -> Variation:
    """The variability of the configuration, or another where it has none."""
    return from_config(config.variability) if config.variability else otherwise


def inputs(
    network: Network, path: Path | None, random: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Network inputs from a file (see `read_inputs`), or random in [0, 1]."""
    if path is None:
        return child_rng(seed, "inputs").random((random, network.sizes[0])), None
    return read_inputs(path, network)


def save_points(path: Path, split: Split) -> None:
    """Write the test points of a split: x (points, features) and y (points,)."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, x=split.x_test, y=split.y_test)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def training_record(trained: Trained, out: Path | None) -> dict[str, Any]:
    """Sizes, epochs and accuracies of a trained network."""
    values = {k: v for k, v in trained.__dict__.items() if k != "network"}
    record = {"sizes": list(trained.network.sizes), **values}
    return record if out is None else {"file": str(out), **record}


def mapping_record(mapped: MappedNetwork, out: Path) -> dict[str, Any]:
    """Arrays, devices and ranges of a mapped network."""
    return {
        "file": str(out),
        "sizes": list(mapped.network.sizes),
        "arrays": len(mapped.arrays),
        "shapes": [f"{a.rows}x{a.cols}" for a in mapped.arrays],
        "devices": sum(int(np.count_nonzero(a.G)) for a in mapped.arrays),
        "device": mapped.arrays[0].device.name,
        "G_min_S": mapped.G_min,
        "G_max_S": mapped.G_max,
        "V_read_V": mapped.V_read,
        "weight_scales": [layer.w_scale for layer in mapped.layers],
    }


def inference_record(answer: Inference, y: np.ndarray | None, whole: bool) -> dict[str, Any]:
    """Predictions, accuracy and time of one engine's answers; `whole` adds the logits."""
    stats = [b.solution.stats for b in answer.blocks]
    record: dict[str, Any] = {
        "engine": answer.engine,
        "method": "; ".join(dict.fromkeys(s.method for s in stats)),
        "points": len(answer.predictions),
        "accuracy": None if y is None else float(np.mean(answer.predictions == y)),
        "seconds": answer.seconds,
        "predictions": answer.predictions if whole else answer.predictions[:10].tolist(),
    }
    if answer.beyond:
        record["findings"] = [b.text for b in answer.beyond]
    return record | ({"logits": answer.sums[-1]} if whole else {})


def inference_tree(answer: Inference, x: np.ndarray, y: np.ndarray | None) -> dict[str, Any]:
    """Every number of one engine's answers, for `store.write_tree`."""
    tree: dict[str, Any] = {"engine": answer.engine, "x": x, "predictions": answer.predictions}
    tree |= {f"sums{k}": z for k, z in enumerate(answer.sums)}
    if y is not None:
        tree["y"] = y
    for k, block in enumerate(answer.blocks):
        tree[f"block{k}"] = {
            "layer": block.block.layer, "array": block.block.array, "V_in": block.V_in,
            "V_out": block.V_out, "I_in": block.solution.I_in, "I_out": block.solution.I_out,
        }  # fmt: skip
    return tree
