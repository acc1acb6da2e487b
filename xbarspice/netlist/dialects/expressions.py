"""Device equations in other dialects: the ngspice subcircuit of a model, statement by statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from xbarspice.core.errors import broken_rule
from xbarspice.devices import Device
from xbarspice.devices.forms import spice_body

__all__ = ["Statement", "statements", "translate"]

_SOURCE = re.compile(r"(B\w+) (\w+) (\w+) ([iv])=(.+)")
_RESISTOR = re.compile(r"(R\w+) (\w+) (\w+) \{(.+)\}")
_CALL = re.compile(r"\b([a-z]\w*)\(")
COMMON = {name: name for name in ("sinh", "cosh", "tanh", "exp", "sqrt", "abs", "min", "max")}
"""Functions that every dialect here spells alike (dialects add or rename the rest)."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One line of a device body: kind "param", "i", "v" (sources) or "r"; text has no braces."""

    kind: str
    name: str
    nodes: tuple[str, str] = ("", "")
    text: str = ""


def statements(device: Device) -> list[Statement]:
    """Take the ngspice body of a device apart.

    Raises:
        InputError: a line is none of the known kinds, so that it cannot be carried over.
    """
    out = []
    for line in spice_body(device):
        if line.startswith(".param "):
            for pair in line.split()[1:]:
                name, _, value = pair.partition("=")
                out.append(Statement(kind="param", name=name, text=value))
        elif source := _SOURCE.fullmatch(line):
            name, a, b, kind, text = source.groups()
            out.append(Statement(kind=kind, name=name, nodes=(a, b), text=_bare(text)))
        elif resistor := _RESISTOR.fullmatch(line):
            name, a, b, text = resistor.groups()
            out.append(Statement(kind="r", name=name, nodes=(a, b), text=_bare(text)))
        else:
            raise broken_rule(
                f"every line of the body of {device.name} must be .param, B or R {{}}",
                repr(line),
                "Write the design with form='resistor' or 'verilog_a'.",
            )
    return out


def _bare(text: str) -> str:
    return text.replace("{", "").replace("}", "")


def translate(
    device: Device, text: str, dialect: str, names: Mapping[str, str], *, ternary: bool = True
) -> str:
    """An expression with the function names of another dialect.

    Args:
        names: functions beyond `COMMON`, ngspice's name -> the dialect's, or an expression with
            ``{}`` for the argument where the dialect has no such function.
        ternary: whether the dialect knows ``a ? b : c``.

    Raises:
        InputError: the dialect has no such function.
    """
    functions = COMMON | dict(names) | {"v": "v"}
    unknown = sorted({f for f in _CALL.findall(text) if f not in functions})
    if unknown or ("?" in text and not ternary):
        raise broken_rule(
            f"{dialect} must know every function of {device.name}",
            unknown or "a ? b : c",
            "Write the design with form='resistor' or 'verilog_a'.",
        )
    for name, words in functions.items():
        text = _write_out(text, name, words) if "{}" in words else text
    return _CALL.sub(lambda call: functions.get(call[1], call[1]) + "(", text)


def _write_out(text: str, name: str, words: str) -> str:
    """Every call of one function replaced by an expression of its argument."""
    while call := re.search(rf"\b{name}\(", text):
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        argument = text[call.end() : end - 1]
        text = text[: call.start()] + words.replace("{}", argument) + text[end:]
    return text
