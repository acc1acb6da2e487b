"""Numbers and expressions of SPICE texts: suffixes, units behind them, parameters."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from xbarspice.core.errors import NetlistError
from xbarspice.netlist.cards import Card, refuse
from xbarspice.netlist.numbers import SPICE_FACTORS, conductance, exact

__all__ = ["Scope", "Value", "value_of"]

_NUMBER = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(meg|[tgkmunpf])?(ohms?|r|volts?|v)?"
)
"""A number in small letters, its factor, and a unit that programs ignore."""
_INSIDE = re.compile(r"(?<![\w.])((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([a-z]*)(?![\w.])")
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_DEEPEST = 40


@dataclass(frozen=True)
class Value:
    """A number, and the text of the exact decimal where it was one.

    Attributes:
        number: the nearest float.
        text: the decimal; "" where the number was computed.
    """

    number: float
    text: str = ""

    @property
    def siemens(self) -> float:
        """The conductance of this resistance, S, exactly as `xbarspice.netlist` writes it."""
        return conductance(self.text) if self.text else 1.0 / self.number


@dataclass(frozen=True)
class Scope:
    """Parameters by name as expressions, and those around them.

    Attributes:
        values: of a subcircuit or an instance of it, or of the whole text.
        outer: where names are looked up that are not there.
        stated: names of `values` that an instance states.
        place: where that instance stands: their expressions are computed there.
    """

    values: dict[str, str] = field(default_factory=dict)
    outer: Scope | None = None
    stated: frozenset[str] = frozenset()
    place: Scope | None = None


def value_of(text: str, scope: Scope, card: Card, depth: int = 0) -> Value:
    """What a number, a parameter or an expression of them stands for.

    Args:
        text: in small letters, perhaps in braces or quotes.
        scope: where it stands.
        card: the line, for messages.
        depth: of parameters that stand for one another.

    Raises:
        NetlistError: it is none of them, or programs read it in different ways.
    """
    bare = text[1:-1].strip() if text[:1] in "{'" and len(text) > 1 else text
    if match := _NUMBER.fullmatch(bare):
        decimal = _decimal(match, card)
        return Value(float(decimal), str(decimal))
    if depth > _DEEPEST:
        refuse(card, f"the parameter {bare} must not stand for itself")
    if re.fullmatch(r"[a-z_]\w*", bare):
        return _parameter(bare, scope, card, depth)
    source = _INSIDE.sub(lambda m: _plain(m, card), bare).replace("^", "**")
    try:
        tree = ast.parse(source, mode="eval").body
        number = _compute(tree, scope, card, depth)
    except (SyntaxError, ValueError, OverflowError, ZeroDivisionError, RecursionError) as error:
        if isinstance(error, NetlistError):
            raise
        refuse(card, f"{text} must be a number, a parameter, or sums and products of them")
    if not isinstance(number, float) or number != number or abs(number) == float("inf"):
        refuse(card, f"{text} must be a finite number")
    return Value(number)


def _plain(match: re.Match[str], card: Card) -> str:
    """A number inside an expression without its factor."""
    whole = _NUMBER.fullmatch(match[0])
    if whole is None:
        refuse(card, f"{match[0]} is a number that programs read in different ways")
    return repr(float(_decimal(whole, card)))


def _decimal(match: re.Match[str], card: Card) -> Decimal:
    """A number with its factor, exactly."""
    try:
        plain = exact(match[1])
        return exact(str(plain.scaleb(SPICE_FACTORS[match[2]]))) if match[2] else plain
    except NetlistError as error:
        refuse(card, str(error).rstrip("."))


def _parameter(name: str, scope: Scope, card: Card, depth: int) -> Value:
    level: Scope | None = scope
    while level is not None and name not in level.values:
        level = level.outer
    if level is None:
        refuse(card, f"there is no parameter {name}")
    inside = level.place if name in level.stated and level.place else level
    return value_of(level.values[name], inside, card, depth + 1)


def _compute(node: ast.AST, scope: Scope, card: Card, depth: int) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return _parameter(node.id, scope, card, depth).number
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        sides = (_compute(side, scope, card, depth) for side in (node.left, node.right))
        return _OPERATORS[type(node.op)](*sides)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_compute(node.operand, scope, card, depth))
    raise ValueError("another expression")
