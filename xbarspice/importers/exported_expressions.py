"""Shape expressions of a ``.pt2`` archive, which loading evaluates: a whitelist of their parts."""

from __future__ import annotations

import ast
import re
from itertools import repeat
from typing import NoReturn

from xbarspice.core.errors import broken_rule

__all__ = ["REMEDY", "check_expression", "refuse"]

REMEDY = "Export the model anew with torch.export.export and torch.export.save."
_EXPRESSION_DEPTH = 700  # whatever depth of recursion the process allows
_SYMBOL = re.compile(r"[a-z]{1,4}[0-9]{1,9}")
_CALLS = {
    *("Integer", "Add", "Mul", "FloorDiv", "CeilDiv", "Mod", "PythonMod", "Max", "Min"),
    *("Eq", "Ne", "Ge", "Gt", "Le", "Lt", "Equality", "Unequality", "GreaterThan", "LessThan"),
    *("StrictGreaterThan", "StrictLessThan"),
}
"""What sympy and torch write for sums, products, integer divisions and comparisons."""
_ASSUMPTIONS = {"positive", "nonnegative", "integer", "real", "finite"}


def refuse(content: str, value: object) -> NoReturn:
    """Raise: a file may not hold this.

    Raises:
        InputError: always.
    """
    raise broken_rule(f"a .pt2 file may not hold {content}", repr(value)[:120], REMEDY)


def check_expression(text: object) -> str:
    """Check a shape expression: integers, names, ``+ - * //`` and comparisons, nothing else.

    Sympy and torch spell these as calls, ``Mul(Integer(2), Symbol('s0', integer=True))``; those
    calls, ``Max`` and ``Min`` are harmless and allowed.
    """
    if not isinstance(text, str) or len(text) > 2000:
        refuse("a shape expression that is not a short text", text)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return refuse("a shape expression that cannot be read", text)
    try:
        good = _harmless(tree)
    except RecursionError:
        good = False
    if not good:
        refuse("a shape expression of other parts than integers, names and + - * //", text)
    return text


def _harmless(node: ast.AST, depth: int = 0) -> bool:
    if depth > _EXPRESSION_DEPTH:
        return False
    below = depth + 1
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool) or (type(node.value) is int and node.value < 2**63)
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.BinOp):
        operators = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv)
        good = isinstance(node.op, operators) and _harmless(node.left, below)
        return good and _harmless(node.right, below)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, (ast.USub, ast.UAdd)) and _harmless(node.operand, below)
    if isinstance(node, ast.Compare):
        kinds = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
        good = all(isinstance(op, kinds) for op in node.ops)
        return good and all(map(_harmless, (node.left, *node.comparators), repeat(below)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "Symbol":
            return _is_symbol(node)
        good = node.func.id in _CALLS and not node.keywords
        return good and all(map(_harmless, node.args, repeat(below)))
    return False


def _is_symbol(node: ast.Call) -> bool:
    named = len(node.args) == 1 and isinstance(node.args[0], ast.Constant)
    if not named or not isinstance(name := node.args[0].value, str) or not _SYMBOL.fullmatch(name):  # type: ignore[attr-defined]
        return False
    return all(
        k.arg in _ASSUMPTIONS and isinstance(k.value, ast.Constant) and k.value.value is True
        for k in node.keywords
    )
