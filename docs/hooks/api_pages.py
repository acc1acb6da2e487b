"""One page for the names of the package itself, and one for each public package below it."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

__all__ = ["pages", "public_names"]

PACKAGES = ["xbarspice", "xbarspice.core.errors", "xbarspice.report", "xbarspice.importers"]
"""Packages with public names besides those that `xbarspice` names itself."""


def packages() -> list[str]:
    """Modules whose public names the reference describes."""
    package = importlib.import_module("xbarspice")
    below = [value.__name__ for value in members(package).values() if inspect.ismodule(value)]
    return list(dict.fromkeys([*PACKAGES, *below]))


def members(module: ModuleType) -> dict[str, Any]:
    """Public names of a module and what they are."""
    return {name: getattr(module, name) for name in getattr(module, "__all__", [])}


def public_names(module: ModuleType) -> dict[str, str]:
    """Public names of a module that have a docstring of their own, and where each is defined."""
    places = {}
    for name, value in members(module).items():
        if inspect.isclass(value) or inspect.isfunction(value):
            places[name] = f"{value.__module__}.{value.__qualname__}"
    return places


def table_of_constants(module: ModuleType) -> str:
    """Rows of names that are neither classes nor functions nor modules."""
    documented = public_names(module)
    rows = [
        f"| `{name}` | `{type(value).__name__}` |"
        for name, value in members(module).items()
        if name not in documented and not inspect.ismodule(value)
    ]
    return "\n".join(["| also | kind |", "|---|---|", *rows, ""]) if rows else ""


def first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0]


def page(module: ModuleType) -> str:
    """The page of one module: its docstring, its constants, and every class and function."""
    parts = [f"# {module.__name__}\n", inspect.getdoc(module) or "", "", table_of_constants(module)]
    parts += [f"::: {place}\n" for place in public_names(module).values()]
    return "\n".join(parts)


def pages() -> dict[str, str | bytes]:
    """Pages by their place on the site."""
    modules = [importlib.import_module(name) for name in packages()]
    result: dict[str, str | bytes] = {
        f"api/{module.__name__.removeprefix('xbarspice.')}.md": page(module) for module in modules
    }
    rows = [
        f"| [{module.__name__}]({module.__name__.removeprefix('xbarspice.')}.md) "
        f"| {first_line(module)} | {', '.join(f'`{name}`' for name in members(module))} |"
        for module in modules
    ]
    head = "# Python\n\nEvery public name of the package, from its docstring.\n"
    result["api/index.md"] = "\n".join(
        [head, "| module | subject | names |", "|---|---|---|", *rows, ""]
    )
    return result
