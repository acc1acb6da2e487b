"""One page for the names of the package itself, and one for each public package below it."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

__all__ = ["navigation", "pages"]

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


def is_described(value: Any) -> bool:
    """Whether the reference shows a docstring: of classes and functions."""
    return inspect.isclass(value) or inspect.isfunction(value)


def table_of_constants(module: ModuleType) -> str:
    """Rows of names that are neither classes nor functions nor modules."""
    rows = [
        f"| `{name}` | `{type(value).__name__}` |"
        for name, value in members(module).items()
        if not is_described(value) and not inspect.ismodule(value)
    ]
    return "\n".join(["| also | kind |", "|---|---|", *rows, ""]) if rows else ""


def first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0]


def page(module: ModuleType) -> str:
    """The page of one module: its docstring, every class and function, and its constants."""
    parts = [f"# {module.__name__}\n", inspect.getdoc(module) or "", ""]
    names = [name for name, value in members(module).items() if is_described(value)]
    parts += [f"::: {module.__name__}.{name}\n" for name in names]
    return "\n".join([*parts, table_of_constants(module)])


def place(module: str) -> str:
    """Name of the page of a module in the folder of the reference."""
    return f"{module.removeprefix('xbarspice.')}.md"


def navigation() -> list[str | dict[str, str]]:
    """Entries of the navigation: all names, and each module."""
    return [{"All names": "api/index.md"}, *({name: f"api/{place(name)}"} for name in packages())]


def pages() -> dict[str, str | bytes]:
    """Pages by their place on the site."""
    modules = [importlib.import_module(name) for name in packages()]
    result: dict[str, str | bytes] = {
        f"api/{place(module.__name__)}": page(module) for module in modules
    }
    rows = [
        f"| [{module.__name__}]({place(module.__name__)}) "
        f"| {first_line(module)} | {', '.join(f'`{name}`' for name in members(module))} |"
        for module in modules
    ]
    head = "# Python\n\nEvery public name of the package, from its docstring.\n"
    result["api/index.md"] = "\n".join(
        [head, "| module | subject | names |", "|---|---|---|", *rows, ""]
    )
    return result
