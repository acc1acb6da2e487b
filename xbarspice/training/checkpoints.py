"""Checkpoints of training runs: one file, complete or absent, that belongs to one run."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbarspice.core.errors import StoreError, broken_rule
from xbarspice.core.files import store_errors, whole_file

__all__ = ["fingerprint", "read", "write"]

VERSION = 2
"""Of what a state holds: those of others belong to other runs."""


def fingerprint(*things: Any) -> str:
    """Equal for runs with equal arguments, data and first weights; looks into tuples and lists."""
    digest = hashlib.sha256()
    for thing in things:
        if isinstance(thing, (list, tuple)):
            part = fingerprint(*thing).encode()
        elif isinstance(thing, Tensor):
            part = thing.detach().numpy().tobytes()
        elif isinstance(thing, np.ndarray):
            part = np.ascontiguousarray(thing).tobytes()
        else:
            part = repr(thing).encode()
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def write(path: Path, key: str, state: dict[str, Any]) -> None:
    """Write a state under its name at once or not at all, also after a crash.

    Raises:
        StoreError: the file cannot be written.
    """
    with store_errors("the checkpoint", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial, partial.open("wb") as file:
            torch.save({"kind": "xbarspice training run", "fingerprint": key, **state}, file)


def read(path: Path, key: str) -> dict[str, Any] | None:
    """The state in a file, or None if there is none.

    Raises:
        InputError: the file belongs to another run.
        StoreError: the file is no checkpoint.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch checks no sums
        if damaged is not None:
            raise ValueError(f"{damaged} is damaged")
        state = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for one fault: a damaged file
        raise StoreError(
            f"`{path.name}` must be a checkpoint; reading it failed with {type(error).__name__}. "
            "Remove it."
        ) from error
    if not isinstance(state, dict) or state.get("fingerprint") != key:
        raise broken_rule(
            f"`{path.name}` must be new or hold an unfinished state of this very run",
            "a run with other phases, seeds, data or first weights",
            "Choose another file, or remove it.",
        )
    return state
