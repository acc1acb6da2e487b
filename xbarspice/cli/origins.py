"""Where a value of a configuration came from: an option, a card, a file, or a default.

The order is that of `xbarspice.cli.settings`: each goes over the ones after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarspice.config import RunConfig

__all__ = ["Origins"]


@dataclass(frozen=True, kw_only=True)
class Origins:
    """What a command was given, to say of each value where it came from.

    Attributes:
        run: the configuration that came of it.
        config: the TOML file, if any.
        settings: of ``--set``.
        mapped: the array, crossbar or deployment that the command works on, if a file.
    """

    run: RunConfig
    config: Path | None = None
    settings: Sequence[str] = ()
    mapped: Path | None = None

    def of(self, name: str) -> str:
        """Where a value came from, in words.

        Args:
            name: dotted, as ``array.R_wl``; ``G`` for conductances.
        """
        if name == "G":
            return "start of the fit" if self.mapped is None else self.mapped.name
        for setting in self.settings:
            key = setting.partition("=")[0].strip()
            if name == key or name.startswith(f"{key}."):
                return f"option --set {key}"
        note = self.run.calibration
        if note is not None and name in note.applied and name not in note.overridden:
            return f"card {note.title!r}"
        if self.config is not None and _states(_file_values(self.config), name):
            return f"file {self.config.name}"
        if self.mapped is not None and self.mapped.suffix == ".h5":
            return f"file {self.mapped.name}"
        if name.startswith("array.parameters."):
            return "default of the model"
        return "default of the command"


def _file_values(path: Path) -> dict[str, Any]:
    return RunConfig.from_toml(path).model_dump(mode="json", exclude_unset=True)


def _states(values: Any, name: str) -> bool:
    """Whether nested values have an entry of that dotted name."""
    for key in name.split("."):
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True
