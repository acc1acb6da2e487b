"""The experiment's data beside the code: `paper.toml` and `settings.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

__all__ = ["PAPER", "SETTINGS"]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))


PAPER = _read("paper.toml")
"""What the paper states."""
SETTINGS = _read("settings.toml")
"""What is done."""
