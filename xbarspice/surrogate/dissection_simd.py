"""A SIMD vector type for Numba kernels: the same number of `LANES` arrays side by side.

Loops over a short fixed lane axis are not reliably vectorised by the compiler; these few operations
emit LLVM vector instructions directly, so a kernel that is written with them is SIMD code on any
processor (LLVM splits the vectors where registers are shorter).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _numba_intrinsic
from numba.extending import models, register_model

__all__ = [
    "LANES", "add", "div", "fill", "fma", "load", "maximum", "mul", "prefetch", "sqrt", "store",
    "sub",
]  # fmt: skip

LANES = 8


def intrinsic(function: Callable[..., Any]) -> Any:
    """`numba.extending.intrinsic`, whose callers pass all arguments but the typing context."""
    return _numba_intrinsic(function)


class _Vector(types.Type):
    """Numba type of one vector of `dtype` numbers."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


def _llvm(dtype: types.Float) -> ir.VectorType:
    scalar = ir.DoubleType() if dtype.bitwidth == 64 else ir.FloatType()
    return ir.VectorType(scalar, LANES)


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: _Vector) -> None:
        super().__init__(dmm, fe_type, _llvm(fe_type.dtype))


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to the vector with number `index` of a contiguous array that starts on a number."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    vector = _llvm(array_type.dtype)
    first = builder.mul(index, ir.Constant(index.type, vector.count))
    return builder.bitcast(builder.gep(data, [first]), vector.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """``array[index * LANES : (index + 1) * LANES]`` of a contiguous one-dimensional array."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _address(context, builder, signature.args[0], *args)
        return builder.load(pointer, align=signature.args[0].dtype.bitwidth // 8)

    return _Vector(array.dtype)(array, types.intp), emit


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to ``array[index * LANES : (index + 1) * LANES]``."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _address(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], pointer, align=signature.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), emit


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Ask for the vector with number `index` to be brought near, for reading."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(
            _address(context, builder, signature.args[0], *args), ir.IntType(8).as_pointer()
        )
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


@intrinsic
def fill(typingctx: Any, array: Any, number: Any) -> Any:
    """A vector of the array's dtype whose lanes all hold `number`."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _llvm(signature.args[0].dtype)
        scalar = context.cast(builder, args[1], signature.args[1], signature.args[0].dtype)
        first = builder.insert_element(
            ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)

    return _Vector(array.dtype)(array, number), emit


def _operation(build: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return build(builder, args)

    return emit


def _call(name: str) -> Callable[[Any, Any], Any]:
    def build(builder: Any, args: Any) -> Any:
        vector = args[0].type
        kind = f"v{LANES}f{64 if vector.element == ir.DoubleType() else 32}"
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector] * len(args)),
            f"llvm.{name}.{kind}",
        )
        return builder.call(function, args)

    return build


@intrinsic
def add(typingctx: Any, a: Any, b: Any) -> Any:
    """``a + b``."""
    return a(a, b), _operation(lambda builder, args: builder.fadd(*args))


@intrinsic
def sub(typingctx: Any, a: Any, b: Any) -> Any:
    """``a - b``."""
    return a(a, b), _operation(lambda builder, args: builder.fsub(*args))


@intrinsic
def mul(typingctx: Any, a: Any, b: Any) -> Any:
    """``a * b``."""
    return a(a, b), _operation(lambda builder, args: builder.fmul(*args))


@intrinsic
def div(typingctx: Any, a: Any, b: Any) -> Any:
    """``a / b``."""
    return a(a, b), _operation(lambda builder, args: builder.fdiv(*args))


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``."""
    return a(a, b, c), _operation(_call("fmuladd"))


@intrinsic
def sqrt(typingctx: Any, a: Any) -> Any:
    """Square root."""
    return a(a), _operation(_call("sqrt"))


@intrinsic
def maximum(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger number lane by lane."""
    return a(a, b), _operation(_call("maxnum"))
