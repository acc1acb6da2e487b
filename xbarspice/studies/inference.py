"""Inference of a mapped network through any engine, layer by layer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar
from xbarspice.engines import Engine, get
from xbarspice.mapping import Block, MappedNetwork
from xbarspice.solution import Solution, kirchhoff_residual

__all__ = ["BlockAnswer", "Inference", "energies", "infer"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockAnswer:
    """What one engine found for one block: its drive, the answer, and the output currents.

    `currents` is the current into the sense nodes, A, (points, outputs, 1 or 2);
    `residual` the relative Kirchhoff residual (NaN if it was not checked).
    """

    block: Block
    crossbar: Crossbar
    V_in: Array
    V_out: Array
    solution: Solution
    currents: Array
    residual: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Inference:
    """A network's answers through one engine.

    Attributes:
        engine: its name.
        sums: weighted sums of every layer, (points, outputs); the last are the logits.
        predictions: class of each point, (points,).
        blocks: one answer a block, in the order of `MappedNetwork.blocks`.
        seconds: time spent in the engine.
    """

    engine: str
    sums: tuple[Array, ...]
    predictions: npt.NDArray[np.intp]
    blocks: tuple[BlockAnswer, ...]
    seconds: float


def infer(
    mapped: MappedNetwork,
    x: npt.ArrayLike,
    engine: str | Engine,
    *,
    full: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inference:
    """Run network inputs through the arrays; activations are computed between the layers.

    Args:
        mapped: the network on its arrays.
        x: network inputs, (points, inputs).
        engine: name or engine object.
        full: also find all node voltages, and check Kirchhoff's law with them.
        progress: called with (blocks done, blocks in all).

    Raises:
        InputError, EngineError: as `xb.solve`.
    """
    back_end = get(engine)
    h = mapped.network.inputs(x)
    sums: list[Array] = []
    answers: list[BlockAnswer] = []
    seconds = 0.0
    for k, layer in enumerate(mapped.layers):
        z = np.tile(layer.digital_bias, (len(h), 1))
        for block in mapped.blocks_of(k):
            start = time.perf_counter()
            answer = _solve_block(mapped, block, h, back_end, full)
            seconds += time.perf_counter() - start
            z[:, block.outputs] += mapped.partial_sums(block, answer.currents)
            answers.append(answer)
            progress(len(answers), len(mapped.blocks))
        sums.append(z)
        h = mapped.network.activate(z)
    return Inference(
        engine=back_end.name,
        sums=tuple(sums),
        predictions=mapped.network.predict(sums[-1]),
        blocks=tuple(answers),
        seconds=seconds,
    )


def energies(answer: Inference, t_read: float) -> Array:
    """Energy that the sources give for every inference, J, (points,).

    ``E = t_read * sum over passes (sum_i V_in[i] I_in[i] - sum_j V_out[j] I_out[j])``: static
    power ``V I`` of all sources (`I_out` flows out of the array) times the length of a read pass.
    Line and device capacitances, converters and neurons are not in it; for the charge of the lines
    see `engines.ngspice.transient_read`.

    Args:
        answer: the solved passes; V in V, I in A.
        t_read: length of one pass, s.
    """
    power = np.zeros(len(answer.predictions))
    for b in answer.blocks:
        power += (b.V_in * b.solution.I_in).sum(axis=1) - (b.V_out * b.solution.I_out).sum(axis=1)
    return t_read * power


def _solve_block(
    mapped: MappedNetwork, block: Block, h: Array, engine: Engine, full: bool
) -> BlockAnswer:
    crossbar = mapped.crossbar(block)
    V_in, V_out = mapped.voltages(block, h)
    solution = engine.solve(engine.prepare(crossbar), crossbar, V_in, V_out, full=full)
    return BlockAnswer(
        block=block,
        crossbar=crossbar,
        V_in=V_in,
        V_out=V_out,
        solution=solution,
        currents=mapped.currents(block, solution.I_in, solution.I_out),
        residual=kirchhoff_residual(crossbar, solution, V_in, V_out) if full else float("nan"),
    )
