"""Which engine solves the arrays of a converted model: the surrogate, or any other for a while."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from xbarspice import engines
from xbarspice.engines import Engine

__all__ = [
    "Answer",
    "Run",
    "exact_products",
    "multiply_by",
    "observe",
    "observe_differences",
    "observe_drives",
    "on_arrays",
    "running",
    "through",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What the arrays of one weight matrix were given and gave in one call.

    Attributes:
        matrix: full name of the matrix.
        V_in: voltages of its lines, V, (vectors, groups, lines).
        G: its conductances, S, (groups, lines, columns).
        I_out: currents of its columns, A: for each stack of tiles (see `Tiling`) an array
            (vectors, groups, down, across, cols); None where the effective matrix was used.
    """

    matrix: str
    V_in: Tensor
    G: Tensor
    I_out: list[Tensor] | None


@dataclass(eq=False, kw_only=True)
class Run:
    """How the arrays are solved inside one `with` block of this module.

    Attributes:
        engine: who solves the arrays; None is the differentiable surrogate.
        products: "arrays", or "exact": the mapped weights, without rounding, wires or devices.
        keep: whether `answers` are kept.
        see: called with every matrix and its inputs about the centre, (vectors, groups, inputs).
        see_differences: called with every matrix and its current differences, A, before they are
            converted, (vectors, groups, down, across, columns).
        see_drive: called with every matrix and the voltages of its lines, (vectors, groups, lines).
        multiply: computes the sums of a `matrix.Product` for its inputs about the centre,
            (vectors, groups, inputs), in the place of its arrays.
        only: names of the matrices that are on arrays, all others being exact; None: all are.
        answers: one for every call of a matrix, in order.
    """

    engine: Engine | None = None
    products: Literal["arrays", "exact"] = "arrays"
    keep: bool = False
    see: Callable[[Any, Tensor], None] | None = None
    see_differences: Callable[[Any, Tensor], None] | None = None
    see_drive: Callable[[Any, Tensor], None] | None = None
    multiply: Callable[[Any, Tensor], Tensor] | None = None
    only: frozenset[str] | None = None
    answers: list[Answer] = field(default_factory=list)

    def is_exact(self, name: str) -> bool:
        """Whether a matrix multiplies exactly in this run."""
        return self.products == "exact" or (self.only is not None and name not in self.only)

    @property
    def by_tile(self) -> bool:
        """Whether every array is solved by itself, instead of one matrix for all of a layer."""
        return self.engine is not None or self.keep or self.see_differences is not None


_RUN: contextvars.ContextVar[Run] = contextvars.ContextVar("xbarspice_run", default=Run())  # noqa: B039 - nothing is kept in it


def running() -> Run:
    """The run that this thread is in."""
    return _RUN.get()


@contextlib.contextmanager
def _inside(run: Run) -> Iterator[Run]:
    token = _RUN.set(run)
    try:
        yield run
    finally:
        _RUN.reset(token)


@contextlib.contextmanager
def through(engine: str | Engine = "surrogate", *, keep: bool = False) -> Iterator[Run]:
    """Solve the arrays of every converted model in this block with one engine.

    Blocks nest, and each thread has its own. Only the surrogate gives gradients; the outputs of
    another engine raise one clear error when they are differentiated.

    Args:
        engine: name or engine object, as for `xb.solve`.
        keep: keep every drive and answer in `answers` of the yielded `Run`.

    Raises:
        InputError: no engine has that name.
        EngineError: while the model runs: the engine failed.
    """
    plain = engine == "surrogate"
    with _inside(Run(engine=None if plain else engines.get(engine), keep=keep)) as run:
        yield run


@contextlib.contextmanager
def exact_products() -> Iterator[Run]:
    """Multiply by the mapped weights themselves: no wires, no device curves, nothing rounded."""
    with _inside(Run(products="exact")) as run:
        yield run


@contextlib.contextmanager
def observe_differences(see: Callable[[Any, Tensor], None]) -> Iterator[Run]:
    """Solve by the surrogate, array by array, and show all current differences to a function."""
    with _inside(Run(see_differences=see)) as run:
        yield run


@contextlib.contextmanager
def observe_drives(see: Callable[[Any, Tensor], None]) -> Iterator[Run]:
    """Solve by the surrogate and show the line voltages of every matrix to a function."""
    with _inside(Run(see_drive=see)) as run:
        yield run


@contextlib.contextmanager
def multiply_by(multiply: Callable[[Any, Tensor], Tensor]) -> Iterator[Run]:
    """Let a function compute every product with a matrix on arrays; see `Run.multiply`."""
    with _inside(Run(multiply=multiply)) as run:
        yield run


@contextlib.contextmanager
def on_arrays(names: Iterable[str]) -> Iterator[Run]:
    """Solve only these matrices by the surrogate; all others multiply exactly."""
    with _inside(Run(only=frozenset(names))) as run:
        yield run


@contextlib.contextmanager
def observe(see: Callable[[Any, Tensor], None]) -> Iterator[Run]:
    """`exact_products`, and show every matrix's inputs to a function."""
    with _inside(Run(products="exact", see=see)) as run:
        yield run
