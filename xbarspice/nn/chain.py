"""A converted model as a chain of Linear layers and activations, if it is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from xbarspice import engines
from xbarspice.core.errors import broken_rule, first_line
from xbarspice.mapping import activations
from xbarspice.mapping.activations import Activation
from xbarspice.mapping.chain import Chain, Pass, Stage
from xbarspice.nn.layers import CrossbarLayer, crossbar_layers
from xbarspice.nn.origin import outputs_in_float64
from xbarspice.nn.pairs import significances

__all__ = ["chain_of"]

GRID = torch.linspace(-9.0, 9.0, 603, dtype=torch.float64).reshape(-1, 3)
"""Arguments on which a function is compared with the known activations."""
SAME = 1e-12
"""Largest difference of two equal activations there."""
PROVEN = 4
"""Points on which a chain is compared with its model."""
LIMIT = 1e-9, 1e-5
"""Largest difference over the largest output, for arrays in float64 and in float32."""

REMEDY = "Solve it with xb.nn.through(engine), or write its arrays one by one."


def chain_of(circuit: nn.Module, x: npt.ArrayLike) -> Chain:
    """The chain that a converted model is: Linear layers on arrays, known activations between them.

    The model is traced, so that any module, exported graph or function in its forward will do. The
    chain, solved by the surrogate, is compared with the model on some of the points.

    Args:
        circuit: from `nn.convert`, in any layout.
        x: inputs of the model, (points, inputs).

    Raises:
        InputError: the model is something else; the first operation that is neither is named.
    """
    stages: list[Stage] = []
    for name, step in _steps(circuit):
        if isinstance(step, CrossbarLayer):
            stages.append(_stage(step))
            continue
        activation = _activation(step)
        if activation is None:
            raise _refusal(f"`{name}`, which is no known activation of single numbers")
        if activation == "identity":
            continue
        if not stages or stages[-1].activation is not None:
            raise _refusal(f"the activation `{name}` that does not follow a layer on arrays")
        stages[-1] = replace(stages[-1], activation=activation)
    if not stages:
        raise _refusal("no layer on arrays")
    chain = Chain(stages=tuple(stages))
    _prove(chain, circuit, chain.points(np.asarray(x, dtype=np.float64))[:PROVEN])
    return chain


def _refusal(received: str) -> Exception:
    return broken_rule(
        "a whole network in one deck must be a chain of Linear layers on arrays with activations "
        f"among {activations.names()} between them",
        received,
        REMEDY,
    )


class _Tracer(fx.Tracer):
    """Goes into every module but layers on arrays and those of torch."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, CrossbarLayer) or super().is_leaf_module(m, module_qualified_name)


def _steps(circuit: nn.Module) -> Iterator[tuple[str, CrossbarLayer | Callable[[Tensor], Tensor]]]:
    """Name and operation of every step of the forward, one after the other."""
    root = nn.Sequential(circuit) if isinstance(circuit, CrossbarLayer) else circuit
    try:
        graph = root.graph if isinstance(root, fx.GraphModule) else _Tracer().trace(root)
    except Exception as error:  # what a forward may raise when it is traced has no common class
        raise _refusal(f"a forward that cannot be traced ({first_line(error)})") from error
    inputs = [node for node in graph.nodes if node.op == "placeholder" and node.users]
    if len(inputs) != 1:
        raise _refusal(f"{len(inputs)} inputs")
    node = inputs[0]
    while True:
        users = list(node.users)
        if len(users) != 1:
            raise _refusal(f"`{node.name}`, whose value is used {len(users)} times")
        last, node = node, users[0]
        if node.op == "output":
            return
        if node.all_input_nodes != [last] or not node.args or node.args[0] is not last:
            raise _refusal(f"`{node.name}`, which takes more than the value before it")
        yield node.name, _operation(root, node)


def _operation(root: nn.Module, node: fx.Node) -> CrossbarLayer | Callable[[Tensor], Tensor]:
    """The layer on arrays of a node, or its function of one tensor."""
    arguments, options, target = node.args[1:], node.kwargs, node.target
    if node.op == "call_module":
        module = root.get_submodule(str(target))
        if isinstance(module, CrossbarLayer):
            return module
        function: Any = module
    elif node.op == "call_method":
        return lambda x: getattr(x, str(target))(*arguments, **options)
    else:
        function = target
    return lambda x: function(x, *arguments, **options)


def _activation(function: Callable[[Tensor], object]) -> Activation | str | None:
    """The activation that a function computes on the grid, "identity", or None."""
    try:
        with torch.no_grad():
            values = function(GRID.clone())
    except Exception:  # a function of other shapes or types raises anything: it is no activation
        return None
    if not isinstance(values, Tensor) or values.shape != GRID.shape:
        return None
    if torch.equal(values.double(), GRID):
        return "identity"
    for name in activations.names():
        activation = activations.get(name)
        if np.abs(activation.numpy(GRID.numpy()) - values.double().numpy()).max() <= SAME:
            return activation
    return None


def _stage(layer: CrossbarLayer) -> Stage:
    if layer.torch_type is not nn.Linear:
        raise _refusal(f"a {layer.torch_type.__name__} layer")
    ((key, weight, bias),) = layer.weight_matrices()
    matrix = layer.matrices[key]
    config = matrix.config
    if config.dac_bits is not None or config.adc_bits is not None or config.x_centre != 0:
        raise _refusal(f"`{matrix.name}` with converters or an `x_centre`")
    with torch.no_grad():
        programmed = matrix.program(weight, bias, training=False)
        scale = programmed.sum_scale.double().expand(1, weight.shape[1])[0].cpu().numpy()
        digital = np.zeros(weight.shape[1])
        if bias is not None and not matrix.bias_line:
            digital = bias[0].double().cpu().numpy()
        if matrix.correction is not None:
            scale = scale * matrix.correction.gain[0].double().cpu().numpy()
            digital = digital + matrix.correction.offset[0].double().cpu().numpy()
    cell = np.array(significances(config))
    passes = []
    for tile in layer.tiles():
        pairs = np.arange(tile.columns[0] // 2, tile.columns[1] // 2)
        passes.append(
            Pass(
                name=tile.name,
                crossbar=tile.crossbar,
                read=tile.read,
                lines=tile.lines,
                outputs=pairs // config.cells,
                weights=cell[pairs % config.cells],
            )
        )
    return Stage(
        name=matrix.name,
        inputs=weight.shape[2],
        outputs=weight.shape[1],
        V_read=config.V_read,
        x_scale=config.x_scale,
        V_bias=None if programmed.V_bias is None else float(programmed.V_bias),
        scale=np.array(scale),
        digital=digital,
        passes=tuple(passes),
    )


def _prove(chain: Chain, circuit: nn.Module, x: np.ndarray) -> None:
    """The chain must compute what the model does, through the surrogate."""
    values = x
    for stage in chain.stages:
        if values.shape[1] != stage.inputs:
            raise _refusal(
                f"`{stage.name}`, which takes {stage.inputs} of {values.shape[1]} values"
            )
        volts, currents = stage.voltages(values), []
        for part in stage.passes:
            answer = engines.solve(part.crossbar, *part.drive(volts), outside="ignore")
            currents.append(part.read.currents(answer.I_in, answer.I_out))
        values = stage.activate(stage.sums(currents))
    expected = outputs_in_float64(circuit, (torch.from_numpy(x),))[0].numpy()
    layers = crossbar_layers(circuit).values()
    single = any(m.config.dtype == "float32" for layer in layers for m in layer.matrices.values())
    error = np.abs(values - expected).max() if values.shape == expected.shape else np.inf
    if not error <= LIMIT[single] * np.abs(expected).max():
        raise _refusal(f"a model whose outputs the chain misses by {error:.3g}")
