"""The experiment's data beside the code: `paper.toml` and `settings.toml`."""

from __future__ import annotations

from pathlib import Path

from xbarspice.core.files import read_toml

__all__ = ["PAPER", "SETTINGS"]


PAPER = read_toml(Path(__file__).with_name("paper.toml"))
"""What the paper states."""
SETTINGS = read_toml(Path(__file__).with_name("settings.toml"))
"""What is done."""
