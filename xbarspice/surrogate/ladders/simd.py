"""A SIMD vector type for Numba kernels: `LANES` numbers side by side.

Loops over a short fixed axis, or over arrays that might overlap, are not reliably vectorised by the
compiler; these few operations emit LLVM vector instructions directly, so a kernel that is written
with them is SIMD code on any processor (LLVM splits the vectors where registers are shorter).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.extending import intrinsic as _numba_intrinsic
from numba.extending import models, register_model

__all__ = [
    "LANES",
    "absolute",
    "add",
    "div",
    "fill",
    "fma",
    "fnma",
    "load",
    "maximum",
    "mul",
    "peak",
    "prefetch",
    "put",
    "sqrt",
    "store",
    "sub",
    "take",
    "total",
    "transposed",
]

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


def _place(context: Any, builder: Any, array_type: Any, array: Any, i: Any, j: Any) -> Any:
    """Pointer to the vector that starts at ``array[i, j]``."""
    view = cgutils.create_struct_proxy(array_type)(context, builder, array)
    width = cgutils.unpack_tuple(builder, view.shape, 2)[1]
    first = builder.gep(view.data, [builder.add(builder.mul(i, width), j)])
    return builder.bitcast(first, _llvm(array_type.dtype).as_pointer())


def _two_dimensional(array: Any) -> None:
    if array.ndim != 2 or array.layout != "C":
        raise errors.TypingError("`take` and `put` work on C-ordered arrays of two dimensions")


def _within(builder: Any, count: Any) -> tuple[Any, Any]:
    """Whether all lanes are within `count`, and a mask of those that are."""
    lanes = ir.VectorType(count.type, LANES)
    counts = _spread(builder, lanes, count)
    mask = builder.icmp_signed("<", ir.Constant(lanes, list(range(LANES))), counts)
    return builder.icmp_signed(">=", count, ir.Constant(count.type, LANES)), mask


def _masked(builder: Any, name: str, result: Any, vector: Any, args: list[Any]) -> Any:
    kind = f"v{LANES}f{64 if vector.element == ir.DoubleType() else 32}"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(result, [x.type for x in args]),
        f"llvm.masked.{name}.{kind}.p0",
    )
    return builder.call(function, args)


@intrinsic
def take(typingctx: Any, array: Any, i: Any, j: Any, count: Any) -> Any:
    """``array[i, j : j + LANES]``; lanes from `count` on are not read, but 0."""
    _two_dimensional(array)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _place(context, builder, signature.args[0], *args[:3])
        vector, align = pointer.type.pointee, signature.args[0].dtype.bitwidth // 8
        whole, mask = _within(builder, args[3])
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                loaded, at = builder.load(pointer, align=align), builder.block
            with otherwise:
                size, zero = ir.Constant(ir.IntType(32), align), ir.Constant(vector, None)
                part = _masked(builder, "load", vector, vector, [pointer, size, mask, zero])
                part_at = builder.block
        out = builder.phi(vector)
        out.add_incoming(loaded, at)
        out.add_incoming(part, part_at)
        return out

    return _Vector(array.dtype)(array, types.intp, types.intp, types.intp), emit


@intrinsic
def put(typingctx: Any, array: Any, i: Any, j: Any, count: Any, value: Any) -> Any:
    """Write the lanes before `count` to ``array[i, j : j + LANES]``."""
    _two_dimensional(array)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _place(context, builder, signature.args[0], *args[:3])
        vector, align = pointer.type.pointee, signature.args[0].dtype.bitwidth // 8
        whole, mask = _within(builder, args[3])
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                builder.store(args[4], pointer, align=align)
            with otherwise:
                size = ir.Constant(ir.IntType(32), align)
                _masked(builder, "store", ir.VoidType(), vector, [args[4], pointer, size, mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, value), emit


@intrinsic
def transposed(typingctx: Any, rows: Any) -> Any:
    """The columns of the square of numbers whose rows are a tuple of `LANES` vectors."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines = cgutils.unpack_tuple(builder, args[0], LANES)
        for step in (4, 2, 1):  # exchange blocks of 4, of 2, of 1 numbers between rows
            low = [(k ^ step) + LANES if k & step else k for k in range(LANES)]
            high = [k + LANES if k & step else k ^ step for k in range(LANES)]
            masks = [
                ir.Constant(ir.VectorType(ir.IntType(32), LANES), chosen) for chosen in (low, high)
            ]
            for k in range(LANES):
                if not k & step:
                    pair = lines[k], lines[k + step]
                    lines[k] = builder.shuffle_vector(*pair, masks[0])
                    lines[k + step] = builder.shuffle_vector(*pair, masks[1])
        return context.make_tuple(builder, signature.return_type, lines)

    return rows(rows), emit


def _folded(builder: Any, vector: Any, join: Callable[[Any, Any], Any]) -> Any:
    """All lanes joined two by two into one number."""
    parts = [builder.extract_element(vector, ir.Constant(ir.IntType(32), k)) for k in range(LANES)]
    while len(parts) > 1:
        parts = [join(x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


@intrinsic
def total(typingctx: Any, a: Any) -> Any:
    """Sum of all lanes."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _folded(builder, args[0], builder.fadd)

    return a.dtype(a), emit


@intrinsic
def peak(typingctx: Any, a: Any) -> Any:
    """The largest lane."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def larger(x: Any, y: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", x, y), x, y)

        return _folded(builder, args[0], larger)

    return a.dtype(a), emit


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


def _spread(builder: Any, vector: Any, scalar: Any) -> Any:
    """A vector whose lanes all hold the scalar."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, mask)


@intrinsic
def fill(typingctx: Any, array: Any, number: Any) -> Any:
    """A vector of the dtype of an array, or of a vector, whose lanes all hold `number`."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        scalar = context.cast(builder, args[1], signature.args[1], dtype)
        return _spread(builder, _llvm(dtype), scalar)

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
def fnma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``c - a * b``."""

    def build(builder: Any, args: Any) -> Any:
        return _call("fmuladd")(builder, [builder.fneg(args[0]), *args[1:]])

    return a(a, b, c), _operation(build)


@intrinsic
def sqrt(typingctx: Any, a: Any) -> Any:
    """Square root."""
    return a(a), _operation(_call("sqrt"))


@intrinsic
def absolute(typingctx: Any, a: Any) -> Any:
    """Magnitude."""
    return a(a), _operation(_call("fabs"))


@intrinsic
def maximum(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger number lane by lane."""
    return a(a, b), _operation(_call("maxnum"))
