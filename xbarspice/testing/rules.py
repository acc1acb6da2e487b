"""A list of rules: the one that breaks is named, those that held are returned."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from xbarspice.core.errors import EngineMissingError, PackageMissingError

__all__ = ["Rules"]


class Rules:
    """The rules that one thing is held to.

    Attributes:
        subject: what is checked, such as ``device 'my_cubic'``.
        held: the rules that held so far, in their order.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.held: list[str] = []

    @contextlib.contextmanager
    def rule(self, text: str) -> Iterator[None]:
        """A block that shows one rule.

        Raises:
            AssertionError: the block raised, with the rule and what happened.
            EngineMissingError, PackageMissingError: the rule could not be looked at.
        """
        try:
            yield
        except (EngineMissingError, PackageMissingError):
            raise
        except Exception as error:
            what = str(error) if isinstance(error, AssertionError) else repr(error)
            raise AssertionError(f"{self.subject} breaks the rule: {text}\n{what}") from error
        self.held.append(text)


def need(condition: object, text: str) -> None:
    """Raise `AssertionError` with a text unless the condition holds, also under ``python -O``."""
    if not condition:
        raise AssertionError(text)
