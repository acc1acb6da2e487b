"""The one exception tree: every error says the rule, what was received and the remedy."""

__all__ = [
    "ConvergenceError",
    "EngineError",
    "EngineMissingError",
    "FloatingNodeError",
    "InputError",
    "NetlistError",
    "StoreError",
    "TrustWarning",
    "XbarspiceError",
    "broken_rule",
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
