"""The effective matrix on torch tensors, with its compiled reverse mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import XbarspiceError, broken_rule
from xbarspice.core.line_ends import READ, End, LineEnds
from xbarspice.core.wires import WIRES, Resistance
from xbarspice.devices import Device
from xbarspice.mapping.tiling import Tiling
from xbarspice.nn.boundary import as_numpy, between_graphs, refuse_transforms
from xbarspice.nn.tensor_solver import Precision, check_precision, effective_matrix_on_tensors
from xbarspice.surrogate import adjoint
from xbarspice.surrogate.dissection.matrix import EffectiveMatrices, reduce, reduce_pairs

__all__ = [
    "Resistances",
    "as_resistances",
    "check_tensor",
    "crossbar_of",
    "effective_matrix",
    "for_arrays",
    "only_once",
    "pair_matrix",
]

Resistances = float | Tensor
"""One number, or an array as `Crossbar` takes it."""


class _OnlyOnce(torch.autograd.Function):
    """The identity, whose derivative is refused."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *_sources: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *_grads: Tensor) -> Any:
        raise XbarspiceError(
            "a gradient through a crossbar cannot be differentiated again; received a double "
            "backward. Use create_graph=False, or differences of first gradients."
        )


def only_once(grad: Tensor | None, *sources: Tensor | None) -> Tensor | None:
    """A gradient that raises a clear error when it is itself differentiated."""
    if grad is None or not torch.is_grad_enabled():
        return grad
    return _OnlyOnce.apply(grad, *(s for s in sources if s is not None))  # type: ignore[no-any-return]


def as_resistances(like: Tensor, *values: Resistances) -> list[Tensor]:
    """The four resistances of `WIRES` as float64 tensors on the device of `like`."""
    # arrays of a `Crossbar` are read-only, which no tensor is: they are copied
    tensors = (R if isinstance(R, Tensor) else torch.tensor(R, dtype=torch.float64) for R in values)
    return [tensor.to(like.device, torch.float64) for tensor in tensors]


def crossbar_of(
    G: Tensor, R: list[Tensor], device: str | Device, ends: LineEnds
) -> tuple[Crossbar, list[Tensor]]:
    """The checked problem behind tensors, and its resistances: numbers as scalars.

    Raises:
        InputError: a value breaks a rule of `Crossbar`, or G is no floating-point tensor.
        FloatingNodeError: a line has no path to any source.
    """
    numbers = {
        name: as_numpy(r.detach().cpu()) if r.ndim else float(r.detach())
        for name, r in zip(WIRES, R, strict=True)
    }
    crossbar = Crossbar(as_numpy(G.detach().cpu()), **numbers, device=device, ends=ends)
    crossbar.refuse_floating()
    shaped = [
        r if isinstance(value, np.ndarray) else r.reshape(())
        for r, value in zip(R, crossbar.wires.values(), strict=True)
    ]
    return crossbar, shaped


def for_arrays(crossbar: Crossbar, R: list[Tensor]) -> list[Tensor]:
    """Resistances as tensor solvers take them: those of a batch of wires with one axis of arrays.

    The arrays are counted as in `Crossbar.G_flat`.
    """
    out = []
    for r, axes in zip(R, (2, 2, 1, 1), strict=True):
        places = r.shape[r.ndim - axes :]
        if not r.ndim or (crossbar.wires_shared and r.ndim == axes):
            out.append(r)
        elif crossbar.wires_shared:
            out.append(r.reshape(places))
        else:
            out.append(r.expand(*crossbar.batch, *places).reshape(-1, *places))
    return out


def check_tensor(name: str, value: object) -> None:
    """Raise unless it is a float64 or float32 tensor."""
    if isinstance(value, Tensor) and not (value.is_cuda or value.device.type == "cpu"):
        raise broken_rule(
            f"`{name}` must be a tensor on the CPU or a CUDA device", str(value.device), "Move it."
        )
    if not isinstance(value, Tensor) or value.dtype not in (torch.float64, torch.float32):
        raise broken_rule(
            f"`{name}` must be a float64 or float32 tensor",
            str(value.dtype) if isinstance(value, Tensor) else type(value).__name__,
            f"Use torch.as_tensor({name}, dtype=torch.float64), or xb.solve for arrays.",
        )


class _EffectiveMatrix(torch.autograd.Function):
    """Inputs: crossbar, R x 4, G; output: G_eff."""

    @staticmethod
    def forward(ctx: Any, crossbar: Crossbar, *tensors: Tensor) -> Tensor:
        G = tensors[4]
        keep = any(ctx.needs_input_grad)
        matrices = reduce(crossbar, dtype=as_numpy(G).dtype, keep=keep)
        if keep:
            ctx.save_for_backward(*tensors)
            ctx.matrices = matrices
        return torch.from_numpy(matrices.G_eff).reshape(G.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        matrices: EffectiveMatrices = ctx.matrices
        M = as_numpy(grads[0]).reshape(matrices.G_eff.shape)
        dG, dR = matrices.reverse(M)
        needs = dict(zip(WIRES, ctx.needs_input_grad[1:5], strict=True))
        if any(needs.values()):
            dR = _resistance_gradients(matrices, M, dR, [name for name in WIRES if needs[name]])
        by_R = [
            torch.tensor(dR[name], dtype=torch.float64) if needs[name] else None for name in WIRES
        ]
        by_G = torch.from_numpy(dG).reshape(grads[0].shape)
        saved = ctx.saved_tensors  # checkpointing gives them once
        return (None, *(only_once(g, *saved, *grads) for g in (*by_R, by_G)))


def _resistance_gradients(
    matrices: EffectiveMatrices, M: np.ndarray, dR: dict[str, Resistance], names: list[str]
) -> dict[str, Resistance]:
    """dL/dR of some of `WIRES`, recomputed where the plain reverse mode is not good enough."""
    if matrices.dtype != np.float64:
        # drops along a wire are too small beside the voltages for float32 gradients
        dR = reduce(matrices.crossbar, keep=True).reverse(M)[1]
    if any(np.isnan(dR[name]).any() for name in names):
        return _by_unit_vectors(matrices.crossbar, M)
    return dR


def _by_unit_vectors(crossbar: Crossbar, M: np.ndarray) -> dict[str, Resistance]:
    """dL/dR of `WIRES` from M = dL/dG_eff (arrays, rows, cols), also at 0 ohm: one solve a row."""
    driven = (crossbar.wl_ends == End.DRIVEN).any(axis=1)
    wires = {
        name: R.reshape(*R.shape[:-axes], 1, *R.shape[-axes:]) if isinstance(R, np.ndarray) else R
        for (name, R), axes in zip(crossbar.wires.items(), (2, 2, 1, 1), strict=True)
    }
    batch = crossbar.replace(G=crossbar.G[..., None, :, :], **wires)
    _raw, saved = adjoint.forward(batch, batch.drive(np.eye(crossbar.rows)[driven]))
    by = adjoint.backward(saved, I_out=M[:, driven].reshape(-1, crossbar.cols))
    return {name: np.reshape(getattr(by, name), np.shape(R)) for name, R in crossbar.wires.items()}


@between_graphs
def effective_matrix(
    G: Tensor,
    *,
    R_wl: Resistances = 1.0,
    R_bl: Resistances = 1.0,
    R_driver: Resistances = 0.0,
    R_sense: Resistances = 0.0,
    ends: LineEnds = READ,
    precision: Precision = "float64",
) -> Tensor:
    """The matrix that linear crossbars multiply by, ``I_out = V_in @ G_eff``, differentiable once.

    Args:
        G: device conductances, S, (..., rows, cols); float64, or float32 for about half the time
            and a relative error of about 1e-6 an entry. CUDA tensors are solved there.
        R_wl, R_bl, R_driver, R_sense: ohm, numbers or tensors, scalar or of the shapes that
            `xb.Crossbar` takes; their gradients are formed in float64 whatever the dtype of `G`; at
            0 ohm towards positive values.
        ends: what every line end is connected to.
        precision: on CUDA, "mixed" iterates in float32 and refines to float64 accuracy.

    Returns:
        G_eff in S, (..., rows, cols), dtype and device of `G`.

    Raises:
        InputError: an argument breaks a rule of `Crossbar`.
        FloatingNodeError: a line has no path to any source.
        XbarspiceError: a gradient of this function is differentiated again, or it is called inside
            a transform of torch that needs a graph of it (`torch_boundary`).
    """
    refuse_transforms("effective_matrix", G, R_wl, R_bl, R_driver, R_sense)
    check_tensor("G", G)
    check_precision(precision)
    resistances = as_resistances(G, R_wl, R_bl, R_driver, R_sense)
    crossbar, R = crossbar_of(G, resistances, "ohmic", ends)
    if G.is_cuda:
        flat = G.reshape(-1, crossbar.rows, crossbar.cols).double()
        each = for_arrays(crossbar, R)
        matrix = effective_matrix_on_tensors(crossbar, flat, each, precision=precision)
        return matrix.reshape(G.shape).to(G.dtype)
    return _EffectiveMatrix.apply(crossbar, *R, G)  # type: ignore[no-any-return]


class _PairMatrix(torch.autograd.Function):
    """Inputs: tiling, resistances, whether to keep factors, G (..., lines, 2 * columns).

    Output: (..., lines, columns).
    """

    @staticmethod
    def forward(ctx: Any, tiling: Tiling, wires: dict[str, Any], keep: bool, G: Tensor) -> Tensor:
        values = as_numpy(G)
        if not (values.min() >= 0 and values.max() < np.inf):
            Crossbar(values, **wires)  # says what is wrong
        needs_gradient = ctx.needs_input_grad[3]
        differences, reduction = reduce_pairs(values, tiling, wires, keep=needs_gradient and keep)
        if needs_gradient:
            ctx.save_for_backward(G)
            ctx.reduction = reduction
        return torch.from_numpy(differences)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (G,) = ctx.saved_tensors
        dG = torch.from_numpy(ctx.reduction.reverse_pairs(as_numpy(grads[0])))
        return None, None, None, only_once(dG, G, *grads)


def pair_matrix(
    G: Tensor, tiling: Tiling, wires: dict[str, Any] | list[dict[str, Any]], *, keep: bool = True
) -> Tensor:
    """The matrix that tiles of linear differential pairs multiply by, as one.

    Args:
        G: conductances of a weight matrix, S, (..., lines, 2 * columns), even columns +.
        tiling: how the matrix is cut into arrays.
        wires: `WIRES` in ohm, numbers; or of each stack of equal tiles, with arrays where tiles or
            their places differ.
        keep: keep the factors for the backward pass, which is faster and takes more memory.

    Returns:
        Difference of the effective columns of every pair, S, (..., lines, columns), differentiable
        once in `G`.
    """
    tiles = tiling.stacks(G) if G.is_cuda or isinstance(wires, list) else []
    if isinstance(wires, dict) and tiles:
        wires = [wires] * len(tiles)
    if isinstance(wires, list):
        stacks = [effective_matrix(t, **w) for t, w in zip(tiles, wires, strict=True)]
        whole = tiling.join(stacks, torch.empty_like(G))
        return whole[..., 0::2] - whole[..., 1::2]
    return _PairMatrix.apply(tiling, wires, keep, G)  # type: ignore[no-any-return]
