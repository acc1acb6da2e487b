"""Inference of a mapped network through any engine, layer by layer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xbarspice.array import Crossbar, Drive
from xbarspice.engines import Engine, get
from xbarspice.engines.overdrive import SLACK, overdrive
from xbarspice.mapping import Block, MappedNetwork
from xbarspice.solution import Solution, kirchhoff_residual

__all__ = ["Beyond", "BlockAnswer", "Inference", "energies", "infer"]

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


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """Inputs of a layer beyond `x_scale`, or sources beyond the device's `V_max`.

    Attributes:
        layer: its number.
        quantity: "x_scale" or "V_max".
        value, limit: the largest magnitude and what it should be within; V for "V_max".
        count, of: values (vectors for "V_max") beyond the limit, and all of them.
        text: a sentence that names line, voltage and limit.
    """

    layer: int
    quantity: str
    value: float
    limit: float
    count: int
    of: int
    text: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Inference:
    """A network's answers through one engine.

    Attributes:
        engine: its name.
        sums: weighted sums of every layer, (points, outputs); the last are the logits.
        predictions: class of each point, (points,).
        blocks: one answer a block, in the order of `MappedNetwork.blocks`.
        seconds: time spent in the engine.
        beyond: what of the drive lies beyond the range of a layer or of the device.
    """

    engine: str
    sums: tuple[Array, ...]
    predictions: npt.NDArray[np.intp]
    blocks: tuple[BlockAnswer, ...]
    seconds: float
    beyond: tuple[Beyond, ...] = ()


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
    beyond: list[Beyond] = []
    seconds = 0.0
    for k, layer in enumerate(mapped.layers):
        beyond += _inputs_beyond(mapped, k, h)
        z = np.tile(layer.digital_bias, (len(h), 1))
        for block in mapped.blocks_of(k):
            start = time.perf_counter()
            answer = _solve_block(mapped, block, h, back_end, full)
            seconds += time.perf_counter() - start
            z[:, block.outputs] += mapped.partial_sums(block, answer.currents)
            answers.append(answer)
            progress(len(answers), len(mapped.blocks))
        beyond += _sources_beyond(k, [a for a in answers if a.block.layer == k])
        sums.append(z)
        h = mapped.network.activate(z)
    return Inference(
        engine=back_end.name,
        sums=tuple(sums),
        predictions=mapped.network.predict(sums[-1]),
        blocks=tuple(answers),
        seconds=seconds,
        beyond=tuple(beyond),
    )


def _inputs_beyond(mapped: MappedNetwork, layer: int, h: Array) -> list[Beyond]:
    limit = mapped.layers[layer].x_scale
    size = np.abs(h)
    over = size > limit * SLACK
    if not over.any():
        return []
    point, line = (int(k) for k in np.unravel_index(np.argmax(size), size.shape))
    value = float(h[point, line])
    text = (
        f"Layer {layer}: input {value:.4g} on line {line} of point {point} is "
        f"{value * mapped.V_read / limit:.4g} V; x_scale is {limit:.4g} ({mapped.V_read:.4g} V). "
        f"{int(over.sum())} of {over.size} inputs are beyond it."
    )
    count = int(over.sum())
    return [
        Beyond(
            layer=layer, quantity="x_scale", value=abs(value), limit=limit, count=count,
            of=over.size, text=text,
        )
    ]  # fmt: skip


def _sources_beyond(layer: int, blocks: list[BlockAnswer]) -> list[Beyond]:
    found = []
    for b in blocks:
        index = np.zeros(len(b.V_in), np.intp)
        drive = Drive(batch=(len(b.V_in),), array=index, V_in=b.V_in, V_out=b.V_out)
        if (over := overdrive(b.crossbar, drive)) is not None:
            found.append((over, b.block.array))
    if not found:
        return []
    over, array = max(found, key=lambda pair: pair[0].V)
    return [
        Beyond(
            layer=layer, quantity="V_max", value=over.V, limit=over.limit, count=over.count,
            of=over.vectors, text=f"Layer {layer}, array {array}: {over.text}.",
        )
    ]  # fmt: skip


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
