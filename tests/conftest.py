"""Fixtures shared by all tests; ngspice is required, never skipped; kernels are up to date."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys

import pytest

from tests.helpers import asymmetric_crossbar, small_network
from xbarspice.surrogate.native import build

with contextlib.suppress(ModuleNotFoundError):  # `make test-cuda` needs pytest and torch alone
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "suite",
        derandomize=not os.environ.get("XBARSPICE_LONG"),  # `make test-long` looks for new examples
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault
    )
    settings.load_profile("suite")


def pytest_sessionstart(session: pytest.Session) -> None:
    if shutil.which("ngspice") is None:
        pytest.exit("the tests need ngspice (the golden engine): run `make setup`", returncode=3)
    if not hasattr(session.config, "workerinput"):  # once, not in every worker
        try:
            build.build()
        except build.BuildError as error:
            pytest.exit(str(error), returncode=3)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Chance begins anew in every test, whatever ran before it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def asymmetric():
    """The asymmetric 2x3 example: (crossbar, V_in)."""
    return asymmetric_crossbar()


@pytest.fixture
def network():
    """A small 2-3-1 network with weights that show any transposition."""
    return small_network()


@pytest.fixture
def registries(monkeypatch):
    """What a test adds to a registry is gone after it."""
    from xbarspice import devices, engines, nn, variability
    from xbarspice.mapping import activations
    from xbarspice.netlist import dialects
    from xbarspice.training import procedures, remedies
    from xbarspice.verification import detectors

    of_errors = (variability, procedures, remedies)
    kinds = (devices, engines, activations, detectors, dialects, nn, *of_errors)
    for entries in (*(kind.registry for kind in kinds), nn.operators, nn.layouts):
        monkeypatch.setattr(entries, "_entries", dict(entries._entries))
