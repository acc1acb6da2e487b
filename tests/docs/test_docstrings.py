"""Docstrings: every public function has one; errors, units and shapes stand in them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator

import pytest

import xbarspice as xb
from tests.unit.test_house import ROOT

MODULES = sorted(ROOT.rglob("*.py"))
PHYSICAL = re.compile(r"(G|V|I|R|t|dt|T)(_\w+)?")
"""Names of arguments that have a unit."""
UNIT = re.compile(
    r"(, | in |\(|\[)(S|V|A|ohm|s|K|W|J|F|m|nm|um|uS|ns|degrees|volts|seconds)\b"
    r"|\((\.\.\.|rows|cols|vectors|points|arrays|devices|N)\b"
)
"""A unit as docstrings state it, or a shape."""


def dotted(path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(p for p in ("xbarspice", *parts) if p != "__init__")


def functions(body) -> Iterator[ast.FunctionDef]:
    """Public functions of a module or class, setters and overloads left out."""
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            decorators = " ".join(ast.unparse(d) for d in node.decorator_list)
            if not re.search(r"overload|\.setter", decorators):
                yield node


def inherited_docstring(module: str, cls: str, name: str) -> str:
    """Docstring of the method or property of a class, or of the nearest base that has one."""
    for base in getattr(importlib.import_module(module), cls).__mro__:
        member = vars(base).get(name)
        text = getattr(getattr(member, "__func__", member), "__doc__", None)
        if text:
            return text
    return ""


@pytest.mark.parametrize("room", sorted({p.relative_to(ROOT).parts[0] for p in MODULES}))
def test_every_public_function_has_a_docstring(room):
    """Its own, or for a method that of the method that it overrides."""
    missing = []
    for path in MODULES:
        if path.relative_to(ROOT).parts[0] != room:
            continue
        tree, module = ast.parse(path.read_text("utf-8")), dotted(path)
        missing += [(module, f.name) for f in functions(tree.body) if not ast.get_docstring(f)]
        for cls in tree.body:
            if isinstance(cls, ast.ClassDef) and not cls.name.startswith("_"):
                missing += [
                    (module, cls.name, f.name)
                    for f in functions(cls.body)
                    if not ast.get_docstring(f)
                    and not inherited_docstring(module, cls.name, f.name)
                ]
    assert missing == []


def reference() -> dict[str, object]:
    """Functions of the reference by their public name."""
    rooms = [xb, *(m for m in (getattr(xb, n) for n in xb.__all__) if inspect.ismodule(m))]
    return {
        f"{room.__name__}.{name}": getattr(room, name)
        for room in rooms
        for name in getattr(room, "__all__", [])
        if inspect.isfunction(getattr(room, name))
    }


def raises_an_error(function: ast.FunctionDef) -> bool:
    """Whether an error for the caller is raised in it; a broken invariant is none."""
    errors = [ast.unparse(n.exc) for n in ast.walk(function) if isinstance(n, ast.Raise) and n.exc]
    return any(
        re.match(r"\w*broken_rule\(|(?!Assertion|NotImpl)\w+Error\(|\w+\.refusal\(", error)
        for error in errors
    )


def is_about_errors(docstring: str) -> bool:
    return bool(re.search(r"Raises:|[Rr]aise|[Rr]efuse|Error", docstring))


def test_what_a_public_function_raises_stands_in_its_docstring():
    """Of the library; commands end with the exit status that their page says."""
    silent, count = [], 0
    for path in MODULES:
        if path.relative_to(ROOT).parts[0] == "cli":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        bodies = [tree.body, *(c.body for c in tree.body if isinstance(c, ast.ClassDef))]
        for function in (f for body in bodies for f in functions(body)):
            if raises_an_error(function) and (docstring := ast.get_docstring(function)):
                count += 1
                if not is_about_errors(docstring):
                    silent.append((dotted(path), function.name))
    assert count > 200
    assert silent == []


def test_what_a_function_of_the_reference_raises_stands_in_a_section_of_its_own():
    functions = reference()
    assert len(functions) > 100
    silent = []
    for name, function in functions.items():
        node = ast.parse(inspect.getsource(function)).body[0]
        assert isinstance(node, ast.FunctionDef)
        if raises_an_error(node) and "Raises:" not in (inspect.getdoc(function) or ""):
            silent.append(name)
    assert silent == []


def test_a_function_of_the_reference_says_units_or_shapes_of_its_physical_arguments():
    silent = []
    for name, function in reference().items():
        physical = [p for p in inspect.signature(function).parameters if PHYSICAL.fullmatch(p)]
        if physical and not UNIT.search(inspect.getdoc(function) or ""):
            silent.append((name, physical))
    assert silent == []


def test_every_device_says_where_its_equation_is_from():
    for name in xb.devices.names():
        assert len(xb.devices.get(name).source) >= len("Ohm's law"), name
