"""Fixtures shared by all tests; ngspice is required, never skipped."""

from __future__ import annotations

import shutil

import pytest

from tests.helpers import asymmetric_crossbar, small_network


def pytest_sessionstart(session: pytest.Session) -> None:
    if shutil.which("ngspice") is None:
        pytest.exit("the tests need ngspice (the golden engine): run `make setup`", returncode=3)


@pytest.fixture
def asymmetric():
    """The asymmetric 2x3 example: (crossbar, V_in)."""
    return asymmetric_crossbar()


@pytest.fixture
def network():
    """A small 2-3-1 network with weights that show any transposition."""
    return small_network()
