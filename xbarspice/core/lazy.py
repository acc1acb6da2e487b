"""Names of a package that are loaded when they are used, so that all else needs fewer packages."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from xbarspice.core.errors import missing_package

__all__ = ["names_on_first_use"]


def names_on_first_use(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: its dotted name.
        modules: dotted name of the module of every name; a name that is a module itself stands
            for that module.

    Raises:
        AttributeError: by what is returned, for any other name.
        PackageMissingError: by what is returned, where the module needs a package that is absent.
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(modules[name])
        except ModuleNotFoundError as error:
            raise missing_package(error) from error
        return module if modules[name] == f"{package}.{name}" else getattr(module, name)

    return load
