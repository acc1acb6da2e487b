"""Conformance kits: what a device, engine, variation, layer or dialect of yours must hold.

Each kit is one function. It raises `AssertionError` with the rule that broke, and returns the rules
that held, in words. No kit needs pytest; the package's own parts are held to the same kits.

`acid_test` holds any crossbar solver against published golden answers and returns a scorecard.
"""

from xbarspice.testing.acid import acid_test
from xbarspice.testing.acid_cases import AcidCase, NotSupported
from xbarspice.testing.devices import check_device
from xbarspice.testing.dialects import check_dialect
from xbarspice.testing.engines import check_engine
from xbarspice.testing.layers import check_layer
from xbarspice.testing.rules import Rules
from xbarspice.testing.scorecard import Score, Scorecard, Verdict
from xbarspice.testing.variations import check_variation

__all__ = [
    "AcidCase",
    "NotSupported",
    "Rules",
    "Score",
    "Scorecard",
    "Verdict",
    "acid_test",
    "check_device",
    "check_dialect",
    "check_engine",
    "check_layer",
    "check_variation",
]
