"""The effective matrix on torch tensors, with its compiled reverse mode."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbarspice.array import READ, Crossbar, End, LineEnds
from xbarspice.devices import Device
from xbarspice.errors import XbarspiceError, broken_rule
from xbarspice.surrogate import adjoint
from xbarspice.surrogate.dissection import Reduction, at_once, reduce
from xbarspice.surrogate.dissection_plan import WIRES
from xbarspice.surrogate.torch_dense import dense_effective_matrix

__all__ = [
    "Scalar", "as_numpy", "as_resistances", "check_tensor", "crossbar_of", "effective_matrices",
    "effective_matrix",
    "only_once",
]  # fmt: skip

Scalar = float | Tensor


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


def as_numpy(tensor: Tensor) -> np.ndarray:
    """The values of a CPU tensor, without a copy."""
    return tensor.detach().numpy()


def as_resistances(like: Tensor, *values: Scalar) -> list[Tensor]:
    """The four resistances of `WIRES` as float64 scalars on the device of `like`.

    Raises:
        InputError: a tensor that is not a scalar.
    """
    out = []
    for name, value in zip(WIRES, values, strict=True):
        tensor = torch.as_tensor(value, dtype=torch.float64, device=like.device)
        if tensor.numel() != 1:
            raise broken_rule(
                f"`{name}` must be one number", f"a tensor of shape {tuple(tensor.shape)}",
                "All arrays of one call share their resistances.",
            )  # fmt: skip
        out.append(tensor.reshape(()))
    return out


def crossbar_of(G: Tensor, R: list[Tensor], device: str | Device, ends: LineEnds) -> Crossbar:
    """The checked problem behind tensors.

    Raises:
        InputError: a value breaks a rule of `Crossbar`, or G is no floating-point tensor.
        FloatingNodeError: a line has no path to any source.
    """
    named = dict(zip(WIRES, (float(r.detach()) for r in R), strict=True))
    crossbar = Crossbar(as_numpy(G.detach().cpu()), **named, device=device, ends=ends)
    crossbar.refuse_floating()
    return crossbar


def check_tensor(name: str, value: Any) -> None:
    """Raise unless it is a float64 or float32 tensor."""
    if not isinstance(value, Tensor) or value.dtype not in (torch.float64, torch.float32):
        raise broken_rule(
            f"`{name}` must be a float64 or float32 tensor",
            str(value.dtype) if isinstance(value, Tensor) else type(value).__name__,
            f"Use torch.as_tensor({name}, dtype=torch.float64), or xb.solve for arrays.",
        )


class _EffectiveMatrices(torch.autograd.Function):
    """Inputs: crossbars, R x 4, then the G of each crossbar; outputs: G_eff of each."""

    @staticmethod
    def forward(ctx: Any, crossbars: list[Crossbar], *tensors: Tensor) -> tuple[Tensor, ...]:
        keep = any(ctx.needs_input_grad)
        R, Gs = tensors[:4], tensors[4:]
        dtype = as_numpy(Gs[0]).dtype
        jobs = [partial(reduce, c, dtype=dtype, keep=keep) for c in crossbars]
        found = at_once(jobs, [c.G.shape for c in crossbars])
        if keep:
            ctx.save_for_backward(*R, *Gs)
            ctx.crossbars, ctx.reductions = crossbars, found
        return tuple(
            torch.from_numpy(r.G_eff).reshape(G.shape) for r, G in zip(found, Gs, strict=True)
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        sources = (*ctx.saved_tensors, *grads)
        wanted = np.array(ctx.needs_input_grad[1:5])

        def job(crossbar: Crossbar, reduction: Reduction, grad: Tensor) -> Any:
            M = as_numpy(grad).reshape(reduction.G_eff.shape)
            dG, dR = reduction.reverse(M)
            return dG, _checked_resistances(crossbar, reduction, M, dR, wanted)

        parts = zip(ctx.crossbars, ctx.reductions, grads, strict=True)
        found = at_once([partial(job, *part) for part in parts], [g.shape for g in grads])
        dR = np.sum([by_R for _dG, by_R in found], axis=0)
        by_R = [torch.tensor(d) if w else None for d, w in zip(dR, wanted, strict=True)]
        by_G = [
            torch.from_numpy(dG).reshape(grad.shape)
            for (dG, _by_R), grad in zip(found, grads, strict=True)
        ]
        return (None, *(only_once(g, *sources) for g in (*by_R, *by_G)))


def _checked_resistances(
    crossbar: Crossbar, reduction: Reduction, M: np.ndarray, dR: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """dL/dR where it is wanted, recomputed where the plain reverse mode is not good enough."""
    if wanted.any() and reduction.G.dtype != np.float64:
        # drops along a wire are too small beside the voltages for float32 gradients
        dR = reduce(crossbar, keep=True).reverse(M)[1]
    return _by_unit_vectors(crossbar, M) if np.isnan(dR[wanted]).any() else dR


def _by_unit_vectors(crossbar: Crossbar, M: np.ndarray) -> np.ndarray:
    """dL/dR of `WIRES` from M = dL/dG_eff (arrays, rows, cols), also at 0 ohm: one solve a row."""
    driven = (crossbar.wl_ends == End.DRIVEN).any(axis=1)
    batch = crossbar.replace(G=crossbar.G_flat[:, None])
    _raw, saved = adjoint.forward(batch, batch.drive(np.eye(crossbar.rows)[driven]))
    by = adjoint.backward(saved, I_out=M[:, driven].reshape(-1, crossbar.cols))
    return np.array([getattr(by, name) for name in WIRES])


def effective_matrix(
    G: Tensor,
    *,
    R_wl: Scalar = 1.0,
    R_bl: Scalar = 1.0,
    R_driver: Scalar = 0.0,
    R_sense: Scalar = 0.0,
    ends: LineEnds = READ,
) -> Tensor:
    """The matrix that linear crossbars multiply by, ``I_out = V_in @ G_eff``, differentiable once.

    Args:
        G: device conductances, S, (..., rows, cols); float64, or float32 for about half the time
            and a relative error of about 1e-6 an entry. CUDA tensors are solved there.
        R_wl, R_bl, R_driver, R_sense: ohm, numbers or scalar tensors; their gradients are formed
            in float64 whatever the dtype of `G`; at 0 ohm towards positive values.
        ends: what every line end is connected to.

    Returns:
        G_eff in S, (..., rows, cols), dtype and device of `G`.

    Raises:
        InputError: an argument breaks a rule of `Crossbar`.
        FloatingNodeError: a line has no path to any source.
        XbarspiceError: a gradient of this function is differentiated again.
    """
    return effective_matrices(
        [G], R_wl=R_wl, R_bl=R_bl, R_driver=R_driver, R_sense=R_sense, ends=ends
    )[0]


def effective_matrices(
    Gs: Sequence[Tensor],
    *,
    R_wl: Scalar = 1.0,
    R_bl: Scalar = 1.0,
    R_driver: Scalar = 0.0,
    R_sense: Scalar = 0.0,
    ends: LineEnds = READ,
) -> list[Tensor]:
    """`effective_matrix` of several batches of arrays, of one dtype, that share the cores."""
    for G in Gs:
        check_tensor("G", G)
    R = as_resistances(Gs[0], R_wl, R_bl, R_driver, R_sense)
    crossbars = [crossbar_of(G, R, "ohmic", ends) for G in Gs]
    if Gs[0].is_cuda:
        wires = torch.stack(R)
        return [
            dense_effective_matrix(c, G.reshape(-1, c.rows, c.cols).double(), wires)
            .reshape(G.shape)
            .to(G.dtype)
            for c, G in zip(crossbars, Gs, strict=True)
        ]
    return list(_EffectiveMatrices.apply(crossbars, *R, *Gs))
