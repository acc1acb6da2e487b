"""What the JSON of a ``.pt2`` archive may say: a whitelist, because loading one executes code.

`torch.export.load` evaluates shape expressions (``sympify``) and guards, writes names into Python
source that it compiles, looks operators up by path (``torch.hub.load`` would be one), imports the
modules that tree specifications name and unpickles payloads. Here every string of the program
must be one of a few harmless kinds, and what loading does not need is dropped.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from xbarspice.core.errors import broken_rule
from xbarspice.importers.exported_expressions import REMEDY, check_expression, refuse

__all__ = ["clean_payloads", "clean_program"]

_DEPTH = 60
_PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PYTHON_OPERATORS = {
    *("_operator.eq", "_operator.ne", "_operator.le", "_operator.ge", "_operator.lt"),
    *("_operator.gt", "_operator.neg", "_operator.pos", "_operator.mul", "_operator.add"),
    *("_operator.sub", "_operator.floordiv", "_operator.mod", "_operator.truediv"),
    *("_operator.and_", "_operator.or_", "_operator.getitem", "math.trunc"),
    *("torch.sym_not", "torch.sym_int", "torch.sym_float", "torch.sym_ite", "torch.sym_max"),
    *("torch.sym_min", "torch.sym_sqrt"),
}
_WORDS = {
    "none",
    "tanh",
    "same",
    "valid",
    "constant",
    "reflect",
    "replicate",
    "circular",
    "mean",
    "sum",
    "floor",
    "trunc",
    "ij",
    "xy",
    "linear",
    "nearest",
    "bilinear",
    "bicubic",
    "trilinear",
    "area",
    "nearest-exact",
    "amax",
    "amin",
    "prod",
    "left",
    "right",
    "zeros",
    "border",
}
"""The strings that operators take: modes of padding, rounding, reduction and interpolation."""
_EQUATION = re.compile(r"[A-Za-z, .]{1,100}(->[A-Za-z .]{0,50})?")
_TREES = {"builtins.tuple", "builtins.list", "builtins.dict"} | {
    f"torch.fx.immutable_collections.immutable_{kind}" for kind in ("list", "dict")
}


def _name(value: object) -> str:
    """A name that becomes a Python variable."""
    if not isinstance(value, str) or not (value.isascii() and value.isidentifier()):
        refuse("a name that is no identifier", value)
    if keyword.iskeyword(value) or value.startswith("__"):
        refuse("a name that is no identifier", value)
    return value


def _path(value: object) -> str:
    """A dotted path of a parameter or a module; the root's is empty."""
    if not isinstance(value, str) or (value and not _PATH.fullmatch(value)) or "__" in value[:2]:
        refuse("a parameter path with other characters than letters, digits, `_-.`", value)
    if any(part.startswith("__") for part in value.split(".")):
        refuse("a parameter path through Python's own attributes", value)
    return value


def _target(value: object) -> str:
    """An operator: of ``aten`` as torch's dispatcher knows it, or integer arithmetic."""
    name = str(value)
    if name in _PYTHON_OPERATORS:
        return name
    parts = re.fullmatch(r"torch\.ops\.([a-z_]\w*)\.(\w+)\.(\w+)", name, re.ASCII)
    if parts and parts[1] == "quantized_decomposed":
        raise broken_rule(
            "the weights of a model must be real numbers",
            f"the operator {value} of an int8 model",
            "Export the model before its quantisation.",
        )
    if not parts or parts[1] != "aten" or not _is_dispatched(parts[2], parts[3]):
        raise broken_rule(
            "a .pt2 file may call only operators of aten",
            repr(value)[:120],
            "Write that part of the model with plain torch functions and export it anew.",
        )
    return name


def _is_dispatched(name: str, overload: str) -> bool:
    """Whether the dispatcher holds it: TorchScript's own operators (`aten::save`) stay out."""
    if name.startswith("__") or name == "from_file":
        return False
    try:
        operator = getattr(getattr(torch.ops.aten, name), overload)
    except (AttributeError, RuntimeError):
        return False
    return isinstance(operator, torch._ops.OpOverload) and bool(
        torch._C._dispatch_has_kernel(operator.name())
    )


def _word(value: object) -> object:
    if isinstance(value, list):
        return [_word(item) for item in value]
    if value not in _WORDS and not (isinstance(value, str) and _EQUATION.fullmatch(value)):
        refuse("a text that is no mode of an operator", value)
    return value


def _device(value: object) -> dict[str, object]:
    """The processor, whatever the model was exported on."""
    return {"type": "cpu", "index": None}


def _tree(value: object) -> str:
    """A tree specification: tuples, lists and dictionaries with identifiers as keys."""
    if not isinstance(value, str):
        return refuse("a tree specification that cannot be read", value)
    try:
        protocol, spec = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return refuse("a tree specification that cannot be read", value)
    if protocol != 1:
        refuse("a tree specification of another protocol than 1", protocol)
    _tree_node(spec, 0)
    return value


def _tree_node(spec: object, depth: int) -> None:
    if not isinstance(spec, dict) or set(spec) != {"type", "context", "children_spec"}:
        refuse("a tree specification of another form", spec)
    kind, context, children = spec["type"], spec["context"], spec["children_spec"]
    if depth > _DEPTH or not isinstance(children, list):
        refuse("a tree specification of another form", kind)
    if kind is not None and kind not in _TREES:
        raise broken_rule(
            "inputs and outputs of a model must be tensors, tuples, lists and dictionaries",
            repr(kind)[:80],
            "Wrap the model so that it takes and returns plain tensors.",
        )
    if context is not None:
        try:
            keys = json.loads(context) if isinstance(context, str) else context
        except (ValueError, RecursionError):
            keys = context
        for key in keys if isinstance(keys, list) else ([] if keys is None else [0]):
            _name(key)
    for child in children:
        _tree_node(child, depth + 1)


def _modules(value: object) -> dict[str, str]:
    """Of a node's metadata only the stack of module names, which loading splits and no more."""
    stack = value.get("nn_module_stack") if isinstance(value, dict) else None
    plain = isinstance(stack, str) and re.fullmatch(r"[\w.,;()\[\]<>@ -]*", stack, re.ASCII)
    whole = plain and all(item.count(",") == 2 for item in str(stack).split(";"))
    return {"nn_module_stack": str(stack)} if whole else {}


def _version(value: object) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[\w.+<=-]{0,80}", value) else ""


def _verifiers(value: object) -> list[str]:
    if not isinstance(value, list) or not set(map(str, value)) <= {"ATEN", "TRAINING"}:
        refuse("another dialect than ATEN and TRAINING", value)
    return value


def _refuser(content: str) -> Callable[[object], object]:
    return lambda value: refuse(content, value)


def _nothing(value: object) -> object:
    if value:
        refuse("custom or opaque objects", value)
    return value


_RULES: Mapping[str, Callable[[object], object]] = {
    "name": lambda value: value if value in (None, "") else _name(value),
    "as_name": _name,
    "parameter_name": _path,
    "buffer_name": _path,
    "tensor_constant_name": _path,
    "fqn": _path,
    "expr_str": check_expression,
    "target": _target,
    "as_string": _word,
    "as_strings": _word,
    "device": _device,
    "as_device": _device,
    "in_spec": _tree,
    "out_spec": _tree,
    "metadata": _modules,
    "guards_code": lambda value: [],
    "torch_version": _version,
    "verifiers": _verifiers,
    "as_custom_obj": _refuser("custom or opaque objects"),
    "custom_obj": _refuser("custom or opaque objects"),
    "custom_obj_values": _nothing,
    "tensor_values": lambda value: _by_name(value),
    "sym_int_values": lambda value: _by_name(value),
    "sym_bool_values": lambda value: _by_name(value),
    "sym_float_values": lambda value: _by_name(value),
    "treespec_namedtuple_fields": lambda value: {},
    "as_operator": _refuser("operators as arguments"),
    "as_graph": _refuser("graphs as arguments (conditions, loops, modes)"),
    "as_string_to_argument": _refuser("dictionaries as arguments"),
}
"""What a value must be, by its key; every other value holds names, numbers, lists and dicts."""


def _clean(value: object, depth: int = 0) -> object:
    if depth > _DEPTH:
        refuse("so deep a structure", "more than 60 levels")
    if isinstance(value, dict):
        return _clean_table(value, depth)
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, str):
        return value if value in {"Infinity", "-Infinity", "NaN"} else _name(value)
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    return refuse("an integer beyond 64 bits", value)


def _clean_table(table: Mapping[str, object], depth: int) -> dict[str, object]:
    return {
        (key if key in _RULES else _path(key)): (
            _RULES[key](item) if key in _RULES else _clean(item, depth + 1)
        )
        for key, item in table.items()
    }


def _by_name(value: object) -> dict[str, object]:
    """A dictionary whose keys are the model's own names, which may be words of the schema."""
    if not isinstance(value, dict):
        refuse("a table of values that is no dictionary", value)
    return {_name(key): _clean(item) for key, item in value.items()}


def read_json(text: bytes, member: str) -> dict[str, Any]:
    """Read a JSON object of the archive.

    Raises:
        InputError: the member is no JSON object.
    """
    try:
        data = json.loads(text.decode())
    except (UnicodeDecodeError, ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise broken_rule(f"`{member}` of a .pt2 file must be a JSON object", "another", REMEDY)
    return data


def clean_program(text: bytes) -> dict[str, Any]:
    """Check the program's JSON and return it without guards, stack traces and examples.

    Raises:
        InputError: it holds anything that loading could turn into code, or cannot be read.
    """
    program = read_json(text, "model.json")
    module = program.get("graph_module")
    if not isinstance(module, dict) or not isinstance(module.get("graph"), dict):
        raise broken_rule("a .pt2 program must hold a graph", sorted(program)[:5], REMEDY)
    if any(key not in module for key in ("signature", "module_call_graph")):
        raise broken_rule("a .pt2 program must hold a signature", sorted(module)[:5], REMEDY)
    if not isinstance(module["graph"].get("nodes"), list):
        raise broken_rule("a .pt2 graph must hold nodes", sorted(module["graph"])[:5], REMEDY)
    ranges = program.pop("range_constraints", None) or {}
    for name in ranges:
        check_expression(name)
    bounds = {name: _clean(limits) for name, limits in ranges.items()}
    return {**_clean_table(program, 0), "range_constraints": bounds}


def clean_payloads(text: bytes, member: str, stem: str) -> dict[str, Any]:
    """Check a payload configuration: plain tensors by name, each in a file ``<stem><number>``.

    Raises:
        InputError: a payload is pickled, a custom object, or not described as a tensor.
    """
    payloads = read_json(text, member).get("config")
    if not isinstance(payloads, dict):
        raise broken_rule(f"`{member}` must hold `config`", type(payloads).__name__, REMEDY)
    out = {}
    for name, entry in payloads.items():
        path = entry.get("path_name") if isinstance(entry, dict) else None
        if not re.fullmatch(rf"{stem}[0-9]{{1,9}}", str(path)) or not isinstance(entry, dict):
            refuse("custom or opaque objects among its tensors", path)
        if entry.get("use_pickle") is not False or not isinstance(entry.get("tensor_meta"), dict):
            raise broken_rule(
                "the tensors of a .pt2 file must be plain numbers",
                f"`{_path(name)}` is pickled",
                "Replace tensor subclasses by plain tensors (dequantise them) and export anew.",
            )
        meta = _clean(entry["tensor_meta"])
        if "expr_str" in json.dumps(meta):
            refuse("a tensor of symbolic size", name)
        out[_path(name)] = {
            "path_name": path,
            "is_param": bool(entry.get("is_param")),
            "use_pickle": False,
            "tensor_meta": meta,
        }
    return {"config": out}
