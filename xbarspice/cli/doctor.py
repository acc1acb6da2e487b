"""What is installed, what is missing, what to do. Needs none of the packages that it looks for."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import platform
from typing import Any

import xbarspice
from xbarspice.core.errors import (
    EXTRAS,
    EngineMissingError,
    InputError,
    install_command,
    missing_package,
    pip_name,
)
from xbarspice.engines.ngspice.probe import ngspice_info
from xbarspice.engines.ngspice.pyspice_probe import pyspice_info

__all__ = ["doctor_record", "environment", "need"]

BASE = ("numpy", "scipy", "h5py", "pydantic", "typer", "rich", "jinja2", "tomli_w")
PACKAGES = {pip_name(name): name for name in (*BASE, *EXTRAS)}
"""Packages that all need and those of the extras: names for pip, with their names for Python."""


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def need(*packages: str) -> None:
    """Refuse to begin work that would end without a package, given by its name for pip.

    Raises:
        PackageMissingError: names the first that is missing.
    """
    for package in packages:
        if not _is_there(PACKAGES[package]):
            raise missing_package(ModuleNotFoundError(name=PACKAGES[package]))


def environment() -> dict[str, Any]:
    """Versions of the golden engine, Python and the packages."""
    versions: dict[str, str | None] = {}
    for package, module in PACKAGES.items():
        try:
            versions[package] = importlib.metadata.version(package) if _is_there(module) else None
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    try:
        golden: dict[str, Any] = dataclasses.asdict(ngspice_info())
    except EngineMissingError:
        golden = {"path": None, "version": None, "klu": False, "osdi": False}
    return {
        "ngspice": golden,
        "python": platform.python_version(),
        "packages": versions,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _kernels() -> dict[str, Any]:
    """Whether the compiled kernels of the surrogate are there, and for which instruction set."""
    part = "kernels of the surrogate"
    try:
        from xbarspice.surrogate.native import library

        library.function("sources")
        return {"part": part, "ok": True, "found": library.level(), "remedy": ""}
    except (ImportError, InputError) as error:
        return {"part": part, "ok": False, "found": "none", "remedy": str(error)}


def doctor_record() -> dict[str, Any]:
    """What is installed: the golden engine, PySpice and the packages, with remedies."""
    parts = environment()
    ngspice = parts["ngspice"]
    pyspice = pyspice_info()
    has = ngspice["path"] is not None
    text = "none"
    if has:
        extras = [name for name in ("klu", "osdi") if ngspice[name]]
        can = " and ".join(extras) or "no klu, no osdi"
        text = f"{ngspice['version']} at {ngspice['path']} ({can})"
    install = "apt-get install ngspice libngspice0 (Debian, Ubuntu), or make setup in a checkout"
    remedy = "" if has else install
    if has and not ngspice["klu"]:
        remedy = "works; 42 or later with KLU is far faster above 32x32 (Debian 12: backports)"
    install_pyspice = f"apt-get install libngspice0; {install_command('PySpice')}"
    findings = [
        {"part": "ngspice (golden engine)", "ok": has, "found": text, "remedy": remedy},
        {
            "part": "PySpice",
            "ok": pyspice["ok"],
            "found": pyspice["message"],
            "remedy": "" if pyspice["ok"] else install_pyspice,
        },
    ]
    findings.append(_kernels())
    for package, version in parts["packages"].items():
        if package == "PySpice":
            continue  # said above, with its library
        findings.append(
            {
                "part": package,
                "ok": version is not None,
                "found": version or "none",
                "remedy": "" if version else install_command(PACKAGES[package]),
            }
        )
    return {
        "xbarspice": xbarspice.__version__,
        "ok": all(f["ok"] for f in findings),
        **parts,
        "pyspice": pyspice,
        "findings": findings,
    }
