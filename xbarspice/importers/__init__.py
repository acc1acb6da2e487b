"""Trained models of any origin, read into one thing.

`load_model` reads ``.pt2``, ONNX, ``.safetensors``, state_dicts and plain perceptrons into an
`ImportedModel`: a torch module, and the original's own outputs to compare it with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xbarspice.core.lazy import names_on_first_use

if TYPE_CHECKING:
    from xbarspice.importers.load import load_model
    from xbarspice.importers.model import ImportedModel, TensorSpec

__all__ = ["ImportedModel", "TensorSpec", "load_model"]

__getattr__ = names_on_first_use(
    __name__,
    {
        "ImportedModel": "xbarspice.importers.model",
        "TensorSpec": "xbarspice.importers.model",
        "load_model": "xbarspice.importers.load",
    },
)
"""Archives of arrays need no torch."""


def __dir__() -> list[str]:
    return sorted(__all__)
