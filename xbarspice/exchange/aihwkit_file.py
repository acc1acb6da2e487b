"""Files of aihwkit models, read without aihwkit and without running any code of theirs.

`torch.load` reads tensors and plain containers alone; objects of aihwkit in the file (the
`RPUConfig` and what it holds) become inert stand-ins with the same attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xbarspice.core.errors import InputError, broken_rule, first_line, missing_package
from xbarspice.core.files import check_file

__all__ = ["StandIn", "Tile", "attribute", "read_state"]

_STATE = "analog_tile_state"
_NESTED = ("state_dict", "model_state_dict", "model", "net")


class StandIn:
    """What an object of aihwkit holds: its attributes, or the values it was made of."""

    path = ""

    def __init__(self, *values: Any) -> None:
        self.values = values


class Tile:
    """One tile of a state_dict.

    Attributes:
        layer: name of the layer in the model.
        place: tile along the inputs and along the outputs, or None of a layer of one tile.
        state: what aihwkit's tile saves of itself.
        scales: tensors by which outputs are multiplied, by name.
    """

    def __init__(self, key: str, state: Mapping[str, Any], around: Mapping[str, Any]) -> None:
        prefix = key.removesuffix(_STATE)
        words = prefix.rstrip(".").split(".")
        self.place: tuple[int, int] | None = None
        if len(words) > 3 and words[-3] == "array" and all(w.isdigit() for w in words[-2:]):
            self.place = int(words[-2]), int(words[-1])
            words = words[:-3]
        self.layer = ".".join(w for w in words if w != "analog_module") or "layer"
        self.state = state
        self.scales: dict[str, Any] = {}
        for name in ("mapping_scales", "out_scaling_alpha", "alpha"):
            value = around.get(prefix + name, state.get(name))
            if value is not None:
                self.scales[name] = value

    @property
    def name(self) -> str:
        """Of the layer, and of the tile in it."""
        return (
            self.layer if self.place is None else f"{self.layer}[{self.place[0]},{self.place[1]}]"
        )


def read_state(path: Path) -> list[Tile]:
    """All tiles of the state_dict in a file.

    Raises:
        InputError: there is no such file, it is no file of torch, holds objects of other packages,
            or no tile. PackageMissingError: torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise missing_package(error) from None
    check_file(path, "the file of the model")
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        raise broken_rule(
            "torch must be 2.6 or later to read files of other packages' objects",
            torch.__version__,
            "Update it.",
        )
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        strange = sorted(name for name in names if not name.startswith("aihwkit."))
        if strange:
            raise broken_rule(
                f"`{path.name}` must hold tensors and objects of aihwkit only",
                ", ".join(strange[:4]),
                "Save model.state_dict(), not the model.",
            )
        known: list[Any] = [(_stand_in(name), name) for name in names]
        with torch.serialization.safe_globals(known):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # damaged files raise errors of many kinds
        raise InputError(
            f"`{path.name}` must be a file that torch.save wrote; {first_line(error)}. Save "
            "model.state_dict() of the aihwkit model."
        ) from error
    return _tiles(content, path)


def _stand_in(name: str) -> type[StandIn]:
    return type(name.rpartition(".")[2], (StandIn,), {"path": name})


def _tiles(content: Any, path: Path) -> list[Tile]:
    inside = content if isinstance(content, Mapping) else {}
    candidates = [inside, *(inside[k] for k in _NESTED if isinstance(inside.get(k), Mapping))]
    for state in candidates:
        tiles = [
            Tile(key, value, state)
            for key, value in state.items()
            if isinstance(key, str) and key.endswith(_STATE) and isinstance(value, Mapping)
        ]
        if tiles:
            return tiles
    raise broken_rule(
        f"`{path.name}` must hold tiles of aihwkit (entries that end in {_STATE})",
        "none",
        "Save model.state_dict() of the aihwkit model.",
    )


def attribute(instance: Any, dotted: str, default: Any = None) -> Any:
    """An attribute of a stand-in, through others; the default where one is not there."""
    for name in dotted.split("."):
        if not isinstance(instance, StandIn) or name not in vars(instance):
            return default
        instance = vars(instance)[name]
    return instance
