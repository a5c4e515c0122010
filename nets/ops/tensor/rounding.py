"""Rounding and conversion: floor, ceil, round, trunc, cast, bitcast."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import numpy as np

from nets.errors import DTypeError
from nets.ir import types
from nets.ir.core import Trait, Value
from nets.ir.types import (
    TENSOR_DTYPES,
    DType,
    TensorType,
    Type,
)
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Array, Lazy, op, sample
from nets.ops.definition.samples import boolean, f32, f64, i8, i64, u8, u64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import EXACT, floats, same_shape


@op("floor", EXACT | Trait.FLOAT_ONLY)
class Floor:
    """Largest integral value not above x. The derivative is zero."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("floor")

    def evaluate(x: Array) -> Array:
        return np.floor(x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (None,)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.unary("floor", x)


@op("ceil", EXACT | Trait.FLOAT_ONLY)
class Ceil:
    """Smallest integral value not below x. The derivative is zero."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("ceil")

    def evaluate(x: Array) -> Array:
        return np.ceil(x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (None,)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.unary("ceil", x)


@op("round", EXACT | Trait.FLOAT_ONLY)
class Round:
    """Nearest integral value, ties to even. The derivative is zero."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("round")

    def evaluate(x: Array) -> Array:
        return np.rint(x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (None,)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.unary("round", x)


@op("trunc", EXACT | Trait.FLOAT_ONLY)
class Trunc:
    """Integral value next to x towards zero. The derivative is zero."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("trunc")

    def evaluate(x: Array) -> Array:
        return np.trunc(x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (None,)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.unary("trunc", x)


@op("cast", EXACT, attributes=("dtype",), implied=("dtype",))
class Cast:
    """x in another dtype.

    Float to integer truncates and saturates, NaN gives 0. Integer to integer wraps around. To
    bool is ``x != 0`` (so NaN is true), from bool 0 or 1. To a float rounds to nearest.

    The cotangent goes back between floats; through integers and bools it is zero.
    """

    operands = ("x",)
    samples = [
        sample(f32(3, 5), dtype=types.f64),
        sample(f64(3, 5), dtype=types.f32),
        sample(f64(), dtype=types.f64),
        sample(f32(20, low=-300, high=300), dtype=types.i8),
        sample(f64(20, low=-300, high=300), dtype=types.u8),
        sample(f64(20, low=-1e19, high=1e19), dtype=types.i64),
        sample(i64(20, low=-300, high=300), dtype=types.u8),
        sample(i8(20), dtype=types.u64),
        sample(u64(7, 0), dtype=types.f32),
        sample(u8(9, high=1), dtype=types.bool_),
        sample(boolean(9), dtype=types.f64),
    ]

    def infer(x: Type, *, dtype: DType) -> TensorType:
        if dtype not in TENSOR_DTYPES:
            raise DTypeError(f"cast gives tensor dtypes, not {dtype}")
        return same_shape("cast", x).with_dtype(dtype)

    def evaluate(x: Array, *, dtype: DType) -> Array:
        if x.dtype.kind == "f" and dtype.kind in "iu":
            return _saturate(x, dtype)
        return x.astype(dtype.numpy)

    def transpose(b: Emitter, ct: Value, x: Value, *, dtype: DType) -> tuple[Lazy, ...]:
        between_floats = x.type.dtype.is_float and dtype.is_float
        return (lambda: b.cast(ct, x.type.dtype) if between_floats else None,)

    def lower(s: LoopBuilder, x: Value, *, dtype: DType) -> Value:
        return s.cast(x, dtype)


@op("bitcast", EXACT, attributes=("dtype",), implied=("dtype",))
class Bitcast:
    """The bits of x as another dtype of that size, of numbers: a float64 as an int64, and back.

    There is no derivative: bits have no slope.
    """

    operands = ("x",)
    samples = [
        sample(f64(3, 5), dtype=types.i64),
        sample(f64(), dtype=types.u64),
        sample(i64(7, 0), dtype=types.f64),
        sample(u64(9, high=2**62), dtype=types.f64),
        sample(i8(5), dtype=types.u8),
    ]
    no_derivative = "bits have no slope"

    def infer(x: Type, *, dtype: DType) -> TensorType:
        result = same_shape("bitcast", x)
        fits = dtype in TENSOR_DTYPES and dtype.itemsize == result.dtype.itemsize
        if not fits or dtype.is_bool or result.dtype.is_bool:
            raise DTypeError(f"bitcast of {x} gives numbers of that size, not {dtype}")
        return result.with_dtype(dtype)

    def evaluate(x: Array, *, dtype: DType) -> Array:
        return x.view(dtype.numpy)

    def lower(s: LoopBuilder, x: Value, *, dtype: DType) -> Value:
        return x if x.type.dtype == dtype else s.emit("bitcast", x, dtype=dtype).result


def _saturate(x: Array, dtype: DType) -> Array:
    limits = np.iinfo(dtype.numpy.name)
    # Powers of two, so exact in every float dtype; the largest integers are not.
    below, above = float(limits.min), float(limits.max // 2 + 1) * 2.0
    whole = np.trunc(x)
    fits = (whole >= below) & (whole < above)
    inside = np.where(fits, whole, 0).astype(dtype.numpy)
    outside = np.where(x > 0, limits.max, np.where(x < 0, limits.min, 0)).astype(dtype.numpy)
    return np.where(fits, inside, outside)
