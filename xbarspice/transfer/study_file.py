"""The file of a transfer study: what was seen of its transfers so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarspice.core import hdf5
from xbarspice.core.errors import broken_rule

__all__ = ["KIND", "Seen", "belongs", "read", "write"]

KIND = "transfer study"


@dataclass
class Seen:
    """What was seen of the transfers so far.

    Attributes:
        rms: change of the outputs, (transfers,).
        predictions: decisions, (transfers, points); None of a model that does not classify.
    """

    rms: np.ndarray
    predictions: np.ndarray | None

    @property
    def count(self) -> int:
        """Transfers."""
        return len(self.rms)

    def join(self, rms: list[float], decided: list[np.ndarray]) -> Seen:
        """These, and more transfers behind them."""
        predictions = self.predictions
        if decided:
            new = np.stack(decided)
            predictions = new if predictions is None else np.concatenate([predictions, new])
        return Seen(np.concatenate([self.rms, np.asarray(rms)]), predictions)

    def part(self, count: int) -> Seen:
        """The first of them."""
        some = None if self.predictions is None else self.predictions[:count]
        return Seen(self.rms[:count], some)


def read(path: Path | None, key: str) -> Seen:
    """The transfers that an earlier run finished.

    Raises:
        InputError: the file holds another study.
    """
    if path is None or not path.exists():
        return Seen(np.empty(0), None)
    tree = hdf5.read_tree(path, KIND)
    if tree.get("fingerprint") != key:
        raise broken_rule(
            f"`{path.name}` must be new or hold transfers of this very study",
            "a study with other settings, weights or points",
            "Choose another file, or remove it.",
        )
    return Seen(tree["output_change"], tree.get("predictions"))


def belongs(path: Path | None, key: str) -> bool:
    """Whether a file holds transfers of this very study."""
    if path is None or not path.is_file() or hdf5.kind_of(path) != KIND:
        return False
    return hdf5.read_tree(path, KIND).get("fingerprint") == key


def write(path: Path, key: str, results: Seen, engine: str) -> None:
    """Write what was seen of the study with this fingerprint."""
    tree = {"fingerprint": key, "engine": engine, "output_change": results.rms}
    if results.predictions is not None:
        tree["predictions"] = results.predictions.astype(
            np.min_scalar_type(results.predictions.max())
        )
    hdf5.write_tree(path, tree, KIND)
