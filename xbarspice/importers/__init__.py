"""Trained models of any origin, read into one thing.

`load_model` reads ``.pt2``, ONNX, ``.safetensors``, state_dicts and plain perceptrons into an
`ImportedModel`: a torch module, and the original's own outputs to compare it with.
"""

from xbarspice.importers.load import load_model
from xbarspice.importers.model import ImportedModel, TensorSpec

__all__ = ["ImportedModel", "TensorSpec", "load_model"]
