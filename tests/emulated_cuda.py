"""A tensor that says it is on a CUDA device and computes on the CPU.

It refuses what a real device refuses: `numpy()`, and operations on tensors of two devices. Tensors
made "on its device" are of its kind; scalars (no axis) may be mixed, as on a real device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

MAY_MIX = ("_to_copy", "copy_", "index.Tensor", "index_put", "scalar_tensor")


class EmulatedCuda(torch.Tensor):
    """Lives on "meta" for torch, holds its numbers in `data_on_cpu`."""

    is_cuda = property(lambda _: True)  # type: ignore[assignment]
    data_on_cpu: torch.Tensor

    @staticmethod
    def __new__(cls, data: torch.Tensor, requires_grad: bool = False) -> EmulatedCuda:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls,
            data.size(),
            strides=data.stride(),
            storage_offset=data.storage_offset(),
            dtype=data.dtype,
            layout=data.layout,
            device="meta",
            requires_grad=requires_grad,
        )

    def __init__(self, data: torch.Tensor, requires_grad: bool = False) -> None:
        self.data_on_cpu = data

    def __repr__(self) -> str:  # type: ignore[override]
        return f"EmulatedCuda({self.data_on_cpu})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors: list[torch.Tensor] = []
        tree_map(
            lambda a: tensors.append(a) if isinstance(a, torch.Tensor) else None, (args, kwargs)
        )
        on_cpu = [t for t in tensors if not isinstance(t, cls) and t.dim()]
        if len(on_cpu) < len(tensors) and on_cpu and not any(k in func.name() for k in MAY_MIX):
            raise RuntimeError(f"{func.name()} got tensors of two devices")
        target = kwargs.get("device")
        if target is not None:
            kwargs["device"] = "cpu"
        out = func(*tree_map(_on_cpu, args), **tree_map(_on_cpu, kwargs))
        if func.name() == "aten::copy_":
            return args[0]
        to_cpu = target is not None and torch.device(target).type == "cpu"
        return out if to_cpu else tree_map(_on_device, out)


class _Literals(TorchFunctionMode):
    """`torch.tensor` and `torch.as_tensor` make tensors without a dispatch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and _is_device(kwargs.get("device")):
            return _on_device(func(*args, **{**kwargs, "device": "cpu"}))
        return func(*args, **kwargs)


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if any(isinstance(a, EmulatedCuda) for a in tree_leaves((args, kwargs))):
            return EmulatedCuda.__torch_dispatch__(func, types, args, kwargs)
        if _is_device(kwargs.get("device")):
            return _on_device(func(*args, **{**kwargs, "device": "cpu"}))
        return func(*args, **kwargs)


@contextmanager
def emulated_cuda() -> Iterator[None]:
    """While active, tensors that are made on the emulated device are `EmulatedCuda`."""
    with _Literals(), _Dispatch():
        yield


def _is_device(device: Any) -> bool:
    return device is not None and torch.device(device).type == "meta"


def _on_cpu(value: Any) -> Any:
    return value.data_on_cpu if isinstance(value, EmulatedCuda) else value


def _on_device(value: Any) -> Any:
    plain = isinstance(value, torch.Tensor) and not isinstance(value, EmulatedCuda)
    return EmulatedCuda(value) if plain else value
