"""The house: imports go downwards, no cycles, heavy parts stay in their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import xbarspice

ROOT = Path(xbarspice.__file__).parent
ORDER = [
    ["errors"], ["registry"], ["values"], ["activations", "devices"], ["array"], ["solution"],
    ["config", "network", "variability"], ["card"], ["mapping"], ["file_schemas"], ["store"],
    ["engines"], ["netlist"], ["engines.ngspice", "engines.pyspice"],
    ["surrogate"], ["importers"], ["nn"], ["deployment"], ["studies"], ["transfer"],
    ["tapeout"], ["report"],
    ["verification"], ["cli"], ["__main__"],
]  # fmt: skip
"""From the bottom to the top; names are the longest prefix that matches."""
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
ROOMS = {
    "torch": (
        "surrogate",
        "importers",
        "nn",
        "deployment",
        "studies",
        "transfer",
        "verification",
        "activations",
        "network",
        "variability",
        "devices",
    ),
    "onnx": ("importers",),
    "onnxruntime": ("importers",),
    "safetensors": ("importers",),
    "h5py": ("store", "studies.campaign"),
    "subprocess": ("engines.ngspice",),
    "PySpice": ("engines.pyspice", "engines.ngspice.pyspice_probe"),
    "klayout": ("tapeout",),
    "matplotlib": ("report", "studies", "tapeout"),
    "typer": ("cli",),
    "rich": ("cli", "engines.ngspice"),
}
"""Where a package may be imported at all."""


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT).with_suffix("")
        yield ".".join(p for p in relative.parts if p != "__init__"), ast.parse(path.read_text())


def imports(tree):
    """(name, whether it is executed on import of the module)."""
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            own = node.module == "xbarspice"
            names = [f"{node.module}.{a.name}" for a in node.names] if own else [node.module]
        yield from ((name, id(node) not in inside) for name in names)


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
        for name, _ in imports(tree):
            inner = name.removeprefix("xbarspice.")
            place = level(inner) if name.startswith("xbarspice.") else None
            if place is not None and place > level(module):
                upward.append(f"{module} imports {inner}")
    assert not upward


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
        "import sys, xbarspice; heavy = ('torch', 'PySpice', 'numba', 'matplotlib', 'h5py', "
        "'pydantic', 'sklearn', 'onnx', 'onnxruntime', 'safetensors'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
