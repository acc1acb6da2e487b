"""The effective matrix on torch tensors, with its compiled reverse mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xbarspice.array import READ, Crossbar, End, LineEnds
from xbarspice.devices import Device
from xbarspice.errors import XbarspiceError, broken_rule
from xbarspice.surrogate import adjoint
from xbarspice.surrogate.dissection import Reduction, reduce
from xbarspice.surrogate.dissection_plan import WIRES
from xbarspice.surrogate.torch_dense import dense_effective_matrix

__all__ = [
    "Scalar", "as_numpy", "as_resistances", "check_tensor", "crossbar_of", "effective_matrix",
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


class _EffectiveMatrix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, crossbar: Crossbar, G: Tensor, *R: Tensor) -> Tensor:
        keep = any(ctx.needs_input_grad)
        reduction = reduce(crossbar, dtype=as_numpy(G).dtype, keep=keep)
        if keep:
            ctx.save_for_backward(G, *R)
            ctx.crossbar, ctx.reduction = crossbar, reduction
        return torch.from_numpy(reduction.G_eff).reshape(G.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        sources = (*ctx.saved_tensors, *grads)
        reduction: Reduction = ctx.reduction
        M = as_numpy(grads[0]).reshape(reduction.G_eff.shape)
        dG, dR = reduction.reverse(M)
        wanted = np.array(ctx.needs_input_grad[2:])
        if wanted.any() and reduction.G.dtype != np.float64:
            # drops along a wire are too small beside the voltages for float32 gradients
            dR = reduce(ctx.crossbar, keep=True).reverse(M)[1]
        if np.isnan(dR[wanted]).any():
            dR = _by_unit_vectors(ctx.crossbar, M)
        by_R = [torch.tensor(d) if w else None for d, w in zip(dR, wanted, strict=True)]
        by_G = torch.from_numpy(dG).reshape(grads[0].shape)
        return (None, *(only_once(g, *sources) for g in (by_G, *by_R)))


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
    check_tensor("G", G)
    R = as_resistances(G, R_wl, R_bl, R_driver, R_sense)
    crossbar = crossbar_of(G, R, "ohmic", ends)
    if G.is_cuda:
        flat = G.reshape(-1, crossbar.rows, crossbar.cols).double()
        return dense_effective_matrix(crossbar, flat, torch.stack(R)).reshape(G.shape).to(G.dtype)
    return _EffectiveMatrix.apply(crossbar, G, *R)  # type: ignore[no-any-return]
