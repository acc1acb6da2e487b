"""The one exception tree: every error says the rule, what was received and the remedy."""

import sys

__all__ = [
    "AccuracyWarning",
    "ConvergenceError",
    "EngineError",
    "EngineMissingError",
    "FloatingNodeError",
    "InputError",
    "KernelsMissingError",
    "NetlistError",
    "PackageMissingError",
    "RangeWarning",
    "StoreError",
    "TrustWarning",
    "XbarspiceError",
    "broken_rule",
    "first_line",
    "install_command",
    "level_outside",
    "missing_package",
    "pip_name",
]


class XbarspiceError(Exception):
    """Base of every error that xbarspice raises on purpose."""


class InputError(XbarspiceError, ValueError):
    """An argument breaks a rule (misuse; raised before any work is done; CLI exit status 2)."""


class NetlistError(InputError):
    """A netlist text cannot be written or read back."""


class StoreError(XbarspiceError):
    """A result file is missing, damaged or of another layout."""


class EngineError(XbarspiceError):
    """An engine ran and did not give a trustworthy answer (CLI exit status 3)."""


class EngineMissingError(EngineError):
    """The program or library behind an engine is not installed."""


class ConvergenceError(EngineError):
    """An iteration ended without meeting its stated residual."""


class FloatingNodeError(EngineError):
    """A node of the array has no path to any source, so its voltage is undefined."""


class PackageMissingError(XbarspiceError, ImportError):
    """A Python package that the work needs is not installed (CLI exit status 3)."""


class KernelsMissingError(XbarspiceError, ImportError):
    """The compiled kernels are missing or older than their sources (CLI exit status 3)."""


class AccuracyWarning(UserWarning):
    """An exact engine's answer has an error bound above 1e-9 of its largest output current."""


class RangeWarning(UserWarning):
    """A voltage lies beyond what the source of the device model vouches for."""


class TrustWarning(UserWarning):
    """An approximate level of the surrogate is used where the trust map does not vouch for it."""


def broken_rule(rule: str, received: object, remedy: str) -> InputError:
    """Build the usual error: ``rule: received. remedy``.

    Args:
        rule: what must hold, for example "`R_wl` must be >= 0".
        received: what came instead; shown as it is.
        remedy: what the caller can do, a whole sentence.
    """
    return InputError(f"{rule}; received {received}. {remedy}")


_PIP_NAMES = {"sklearn": "scikit-learn", "tomli_w": "tomli-w", "odf": "odfpy"}
EXTRAS = {
    "torch": "torch",
    "matplotlib": "plot",
    "sklearn": "demo",
    "PySpice": "pyspice",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "safetensors": "safetensors",
    "dask": "dask",
    "distributed": "dask",
    "klayout": "tapeout",
    "pandas": "data",
    "openpyxl": "data",
    "pyarrow": "data",
}
"""Extra of xbarspice that brings a package, by the package's name for Python."""


def install_command(package: str) -> str:
    """How to install a package, given by its name for Python: the extra that brings it, if any."""
    if package in EXTRAS:
        return f'pip install "xbarspice[{EXTRAS[package]}]"'
    return f"pip install {pip_name(package)}"


def pip_name(package: str) -> str:
    """What pip calls a package, given by its name for Python."""
    return _PIP_NAMES.get(package, package)


def missing_package(error: ModuleNotFoundError) -> ModuleNotFoundError | PackageMissingError:
    """The error of a package that is not installed, in one sentence with what to do.

    Args:
        error: of an import; one of a module of our own is given back as it is.
    """
    package = (error.name or "").partition(".")[0]
    if not package or package == "xbarspice":
        return error
    name = pip_name(package)
    return PackageMissingError(
        f"xbarspice needs the Python package `{name}` for this, which is not installed. "
        f"Install it: {install_command(package)} (`xbarspice doctor` lists all that is missing).",
        name=package,
    )


def first_line(error: BaseException) -> str:
    """First line of an error's text, at most 200 characters; its type's name where it has none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)[:200]


def level_outside() -> int:
    """Stack level of the first caller outside of the package, for the caller's `warnings.warn`."""
    frame, level = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("xbarspice"):
        frame, level = frame.f_back, level + 1  # type: ignore[assignment]
    return level
