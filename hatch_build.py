"""Compiles the kernels when the package is built: a wheel, or an installation in place."""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SCRIPT = "xbarspice/surrogate/native/build.py"


class CompiledKernels(BuildHookInterface):
    """Runs `build.py` of the kernels; the wheel is then one for this platform, for any Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the package before its files are collected."""
        path = Path(self.root, SCRIPT)
        spec = importlib.util.spec_from_file_location("build_kernels", path)
        assert spec is not None and spec.loader is not None  # noqa: S101, PT018
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        script.build()
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
