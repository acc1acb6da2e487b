"""Whether a file holds a deployment; nothing of it is loaded."""

from __future__ import annotations

from pathlib import Path

from xbarspice.core import hdf5
from xbarspice.core.errors import broken_rule
from xbarspice.deployment.schema import KIND

__all__ = ["is_deployment", "refuse_old"]


def is_deployment(path: Path | None) -> bool:
    """Whether a file is a deployment of `xbarspice map` or `xb.save`."""
    if path is None or path.suffix not in {".h5", ".hdf5"} or not path.is_file():
        return False
    return hdf5.kind_of(path) == KIND


def refuse_old(path: Path) -> None:
    """Refuse a mapped network of xbarspice 0.1 with the command that renews it.

    Raises:
        InputError: the file is one.
    """
    candidate = path.suffix in {".h5", ".hdf5"} and path.is_file()
    if candidate and hdf5.kind_of(path) == "mapped network":
        raise broken_rule(
            "a model on arrays must be a deployment",
            f"`{path.name}`, a mapped network of an older version",
            "Map its network again: xbarspice map NETWORK --inputs x.npz --out net.h5.",
        )
