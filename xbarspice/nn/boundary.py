"""Where torch's graphs and transforms end: a crossbar is solved by compiled code on plain numbers.

`torch.compile` runs such a call between two graphs, with its gradients. What would give a wrong or
empty answer there (tracing, export, `torch.func`, forward-mode gradients) is refused in one
sentence.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from xbarspice.core.errors import XbarspiceError, first_line

__all__ = ["as_numpy", "between_graphs", "refuse_transforms"]

Function = TypeVar("Function", bound=Callable[..., Any])

_REASON = "a crossbar is solved by compiled code, which is no graph of tensor operations"


def between_graphs(function: Function) -> Function:
    """Decorator: `torch.compile` calls the function as it stands, and goes on behind it.

    As `torch.compiler.disable`, whose import takes seconds: it happens once torch has compiled.
    """
    disabled: list[Any] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not disabled:
            takes_reason = "reason" in inspect.signature(torch.compiler.disable).parameters
            options: dict[str, Any] = {"reason": _REASON} if takes_reason else {}
            disabled.append(torch.compiler.disable(function, **options))
        return disabled[0](*args, **kwargs)

    call._torchdynamo_disable = True  # type: ignore[attr-defined]
    call._torchdynamo_disable_msg = _REASON  # type: ignore[attr-defined]
    return cast(Function, call)


def refuse_transforms(operation: str, *tensors: object) -> None:
    """Raise where torch traces, exports or transforms instead of computing.

    Args:
        operation: what was called, for the message.
        tensors: its arguments, looked through for forward-mode gradients.

    Raises:
        XbarspiceError: says which of them it is, and what to do.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        transform, remedy = "torch.jit.trace, which would record one answer", "Keep it outside."
    elif getattr(torch.compiler, "is_exporting", lambda: False)():
        transform, remedy = "torch.export", "Export the plain torch model (xb.nn.to_torch)."
    elif torch._C._functorch.maybe_current_level() is not None:  # type: ignore[attr-defined]
        transform = "a transform of torch.func (vmap, grad, jacrev, jvp)"
        remedy = "Use batch axes in place of vmap, and torch.autograd for gradients."
    elif forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(t).tangent is not None for t in tensors if isinstance(t, Tensor)
    ):
        transform, remedy = "a forward-mode gradient", "Use reverse mode (backward)."
    else:
        return
    raise XbarspiceError(f"{operation} cannot run inside {transform}: {_REASON}. {remedy}")


def as_numpy(tensor: Tensor) -> np.ndarray:
    """The values of a CPU tensor, without a copy.

    Raises:
        XbarspiceError: the tensor holds no values of its own (of vmap, of a trace, of "meta").
    """
    try:
        return tensor.detach().numpy()
    except (RuntimeError, TypeError) as error:
        raise XbarspiceError(
            f"a crossbar is solved on plain tensors with values on the CPU or a GPU; received a "
            f"{type(tensor).__name__} on {tensor.device.type!r} ({first_line(error)}). "
            "Call it outside of transforms and traces, and use vectorize=False for Jacobians."
        ) from None
