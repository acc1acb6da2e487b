"""Named things of one kind, open to users: devices, engines, dialects, variations, activations.

A package of such things has one `registry`, and shows beside it `register` (how a new one is
added), `names`, and where an entry is a class `get`, which gives the object that it makes. What
ships is announced where the registry stands; what stands above it, by the package's `__init__`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from xbarspice.core.errors import broken_rule, missing_package

__all__ = ["Registry"]

Entry = TypeVar("Entry")
Added = TypeVar("Added")


class Registry(Generic[Entry]):
    """Entries by name.

    An entry is the thing itself, or ``"module:attribute"``, which is imported on first use.

    Args:
        argument: what an argument that holds such a name is called, for the error.
        remedy: what to do where a name is unknown.
        objects: what else the argument may be, such as ``"a Device"``.
    """

    def __init__(
        self, argument: str, remedy: str = "Use one of these words.", *, objects: str = ""
    ) -> None:
        self._argument, self._remedy = argument, remedy
        self._objects = f"{objects} or " if objects else ""
        self._entries: dict[str, Any] = {}

    def add(self, name: str, entry: Entry | str) -> None:
        """Add an entry under a new name.

        Raises:
            InputError: the name is taken, or an entry stated as text is no ``"module:attribute"``.
        """
        if name in self._entries:
            raise broken_rule(
                f"the name of a new {self._argument} must be new", repr(name), "Choose another."
            )
        if isinstance(entry, str) and not all(entry.partition(":")):
            raise broken_rule(
                f"a {self._argument} that is loaded later must be stated as 'module:attribute'",
                repr(entry),
                "For example 'my_package.engine:MyEngine'.",
            )
        self._entries[name] = entry

    def register(self, name: str) -> Callable[[Added], Added]:
        """Class decorator: `add` the class and set its `name`."""

        def decorate(cls: Added) -> Added:
            self.add(name, cls)  # type: ignore[arg-type]
            cls.name = name  # type: ignore[attr-defined]
            return cls

        return decorate

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._entries)

    def entries(self) -> list[Entry]:
        """All entries, in the order in which they were added.

        Raises:
            PackageMissingError: as `get`.
        """
        return [self.get(name) for name in self._entries]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: Any) -> Entry:
        """The entry of a name.

        Raises:
            InputError: there is none.
            PackageMissingError: a Python package that it needs is not installed.
        """
        if not isinstance(name, str) or name not in self._entries:
            raise broken_rule(
                f"`{self._argument}` must be {self._objects}one of {self.names()}",
                repr(name),
                self._remedy,
            )
        entry = self._entries[name]
        if not isinstance(entry, str):
            return entry
        module, _, attribute = entry.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise missing_package(error) from error
