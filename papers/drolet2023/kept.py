"""What a run keeps in its folder, so that the next run goes on from there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarspice.core.files import write_whole
from xbarspice.importers.perceptron import Perceptron

__all__ = ["Kept", "Say"]

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Values by name; each is made once, and again when what it depends on has changed.

    Attributes:
        folder: holds one JSON file a value.
        say: told what is made.
    """

    folder: Path
    say: Say = lambda text: None

    def value(self, name: str, depends: Any, make: Callable[[], Any]) -> Any:
        """A value of JSON from its file, or made now.

        Args:
            name: of the value, in words; also names its file.
            depends: everything that the value depends on; compared by its `repr`.
            make: makes it.
        """
        words = re.sub(r"[^\w.+-]+", "_", name).strip("_")
        path = self.folder / f"{words}.json"
        key = hashlib.sha256(repr(depends).encode()).hexdigest()
        if path.is_file():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["key"] == key:
                return stored["value"]
        self.say(name)
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole({path: json.dumps({"key": key, "value": value}, indent=1)})
        return value

    def describe(self) -> str:
        """What stands in the folder, and how to go on."""
        count = len(list(self.folder.glob("*.json")))
        if not count:
            return "nothing was kept yet; the same command begins anew"
        return f"{count} finished parts stand in {self.folder}: the same command goes on"

    def network(self, name: str, depends: Any, make: Callable[[], Perceptron]) -> Perceptron:
        """A perceptron from its file, or made now; see `value`."""
        plain = self.value(name, depends, lambda: _plain(make()))
        return Perceptron(**plain)


def _plain(network: Perceptron) -> dict[str, Any]:
    """Weights, biases and activation as values of JSON, which keep every bit of a double."""
    return {
        "W": [W.tolist() for W in network.W],
        "b": [b.tolist() for b in network.b],
        "activation": network.activation,
    }
