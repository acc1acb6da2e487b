"""The house: imports go downwards, no cycles, heavy parts stay in their rooms."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xbarspice

ROOT = Path(xbarspice.__file__).parent
ORDER = [
    ["core.counts", "core.errors", "core.seeds", "core.types"],
    ["core.files"],
    ["core.registry"],
    ["core.values", "core.functions"],
    ["core.schema", "core.parameters", "core.wires"],
    ["core.device", "core.line_ends"],
    ["core.array"],
    ["core.solution"],
    ["core.hdf5"],
    ["core.crossbar_file"],
    ["core"],
    ["tables"],
    ["devices"],
    ["variability"],
    ["mapping"],
    ["config"],
    ["netlist"],
    ["engines"],
    ["surrogate"],
    ["importers"],
    ["exchange"],
    ["nn"],
    ["deployment"],
    ["report"],
    ["plot.axes", "plot.ticks", "plot.maps"],
    ["plot.solutions", "plot.arrays", "plot.devices"],
    ["campaign"],
    ["verification"],
    ["programming"],
    ["calibration"],
    ["transfer"],
    ["training"],
    ["tapeout"],
    ["plot"],
    ["testing"],
    ["cli"],
    ["__main__"],
]
"""From the bottom to the top; names are the longest prefix that matches."""
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
LINES = 400
"""Of a module, at most: a longer one holds a second concept."""
ROOMS = {
    "torch": (
        "core.functions",
        "devices",
        "variability",
        "mapping.activations",
        "importers",
        "exchange.aihwkit",
        "exchange.aihwkit_file",
        "nn",
        "deployment",
        "campaign",
        "verification",
        "programming",
        "calibration",
        "transfer",
        "training",
        "testing",
    ),
    "onnx": ("importers",),
    "onnxruntime": ("importers",),
    "safetensors": ("importers",),
    "h5py": ("core.hdf5", "campaign"),
    "subprocess": ("engines.process", "testing.device_forms", "surrogate.native.build"),
    "PySpice": ("engines.pyspice", "engines.ngspice.pyspice_probe", "netlist.pyspice"),
    "klayout": ("tapeout",),
    "matplotlib": (
        "plot",
        "report",
        "campaign.plots",
        "verification.plots",
        "programming.plots",
        "calibration.data_plots",
        "calibration.die_plots",
        "calibration.fit_plots",
        "calibration.life_plots",
        "training.plots",
        "transfer.plots",
        "tapeout.plots",
        "tapeout.fault_plots",
        "tapeout.drawing.pictures",
        "tapeout.drawings",
    ),
    "typer": ("cli",),
    "rich": ("cli", "engines.ngspice", "testing", "training.progress"),
}
"""Where a package may be imported at all."""


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT).with_suffix("")
        yield ".".join(p for p in relative.parts if p != "__init__"), ast.parse(path.read_text())


KNOWN = {
    ".".join(
        p for p in ("xbarspice", *path.relative_to(ROOT).with_suffix("").parts) if p != "__init__"
    )
    for path in ROOT.rglob("*.py")
}
"""Names of all modules."""
STATED = re.compile(r"xbarspice(\.\w+)+(:\w+)?")
"""A module that is named in a text, as in a registry or for `importlib`."""


def imports(tree, module=""):
    """(name, whether it is executed on import of the module), also those stated as texts."""
    late = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, late) for n in ast.walk(f)}
    typing = {
        id(n)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test).endswith("TYPE_CHECKING")
        for n in ast.walk(test)
    }
    for node in ast.walk(tree):
        names = []
        at_load = id(node) not in inside and id(node) not in typing
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = ["xbarspice", *module.split(".")][: -node.level]
                base = ".".join([*parts, *([base] if base else [])])
            names = [
                f"{base}.{a.name}" if base == "xbarspice" or f"{base}.{a.name}" in KNOWN else base
                for a in node.names
            ]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            at_load = False
            names = [node.value.partition(":")[0]] if STATED.fullmatch(node.value) else []
        yield from ((name, at_load) for name in names)


def level(name):
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        if ".".join(parts[:k]) in LEVEL:
            return LEVEL[".".join(parts[:k])]
    return None


def test_every_module_has_a_place_and_imports_point_downwards():
    upward = []
    for module, tree in modules():
        if not module:
            continue
        assert level(module) is not None, f"{module} has no place in ORDER"
        for name, _ in imports(tree, module):
            inner = name.removeprefix("xbarspice.")
            place = level(inner) if name.startswith("xbarspice.") else None
            if place is not None and place > level(module):
                upward.append(f"{module} imports {inner}")
    assert not upward


def test_no_module_is_longer_than_one_subject_takes():
    lengths = {path: len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert len(lengths) > 400
    assert not {str(path): lines for path, lines in lengths.items() if lines > LINES}


def test_heavy_packages_stay_in_their_rooms():
    strays = [
        f"{module} imports {name}"
        for module, tree in modules()
        for name, _ in imports(tree)
        for package, rooms in ROOMS.items()
        if name.split(".")[0] == package
        and not any(module == room or module.startswith(room + ".") for room in rooms)
    ]
    assert not strays


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import sys, xbarspice; heavy = ('torch', 'PySpice', 'matplotlib', 'h5py', "
        "'pydantic', 'sklearn', 'onnx', 'onnxruntime', 'safetensors'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


VAGUE = {"found", "own", "some", "what", "it", "this", "that", "thing", "stuff", "why", "told"}
VAGUE |= {"foo", "tmp", "temp", "data2", "handle", "do", "misc", "util", "utils", "helper"}
"""Words that say nothing of what they name."""
IN_RECORDS = {("verification.results", "what")}
"""Names that files of records hold."""


def names(tree):
    """Names of functions, classes, parameters, fields and attributes that a module makes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.arg):
            yield node.arg
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def test_names_say_what_they_name():
    vague = {
        (module, name) for module, tree in modules() for name in names(tree) if bare(name) in VAGUE
    }
    assert vague == IN_RECORDS
    stems = {part for module, _ in modules() for part in module.split(".")}
    assert not stems & VAGUE


def bare(name):
    return name.strip("_")


def test_no_module_imports_itself_in_a_circle():
    names = {module: f"xbarspice.{module}" if module else "xbarspice" for module, _ in modules()}
    known = {name: module for module, name in names.items()}
    graph = {
        module: {
            known[name] for name, at_load in imports(tree, module) if at_load and name in known
        }
        for module, tree in modules()
        if module
    }
    state: dict[str, int] = {}

    def visit(module, path):
        assert state.get(module) != 1, f"a circle: {[*path, module]}"
        if state.get(module) == 2:
            return
        state[module] = 1
        for other in graph.get(module, ()):
            visit(other, [*path, module])
        state[module] = 2

    for module in graph:
        visit(module, [])


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("engines", "def f():\n    from xbarspice.nn import convert"),
        ("engines", "registry.add('a', 'xbarspice.surrogate.engine:SurrogateEngine')"),
        ("engines.base", "importlib.import_module('xbarspice.cli')"),
        ("engines.base", "from ..nn import convert"),
        ("engines.base", "if TYPE_CHECKING:\n    from xbarspice.nn import convert"),
    ],
)
def test_the_test_sees_every_kind_of_import(module, text):
    inner = [name.removeprefix("xbarspice.") for name, _ in imports(ast.parse(text), module)]
    places = [place for name in inner if (place := level(name)) is not None]
    assert any(place > level(module) for place in places)
