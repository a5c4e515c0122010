"""Samples: short constructors for the operands that drive the generated tests of an op.

``f32(3, 5, low=-3, high=3)`` is a random float32 array of shape (3, 5) with elements in [-3, 3];
``sample(f32(3, 5), f32(3, 5))`` of the registry puts the operands of one call together. Bounds of
unsigned dtypes are raised to 0.
"""

from __future__ import annotations

from nets.ir import types
from nets.ir.types import DType
from nets.ops.definition.registry import Spec

INTEGERS = (
    types.i8,
    types.i16,
    types.i32,
    types.i64,
    types.u8,
    types.u16,
    types.u32,
    types.u64,
)
"""Every integer dtype of tensors."""

FLOATS = (types.f32, types.f64)
"""Every floating-point dtype of tensors."""

NUMERIC = INTEGERS + FLOATS
"""Every dtype arithmetic takes."""


def of(dtype: DType, *shape: int, low: float = -2.0, high: float = 2.0) -> Spec:
    """A random array of any dtype."""
    return Spec(shape, dtype, low, high)


def f32(*shape: int, low: float = -2.0, high: float = 2.0) -> Spec:
    return Spec(shape, types.f32, low, high)


def f64(*shape: int, low: float = -2.0, high: float = 2.0) -> Spec:
    return Spec(shape, types.f64, low, high)


def i8(*shape: int, low: float = -9, high: float = 9) -> Spec:
    return Spec(shape, types.i8, low, high)


def i16(*shape: int, low: float = -9, high: float = 9) -> Spec:
    return Spec(shape, types.i16, low, high)


def i32(*shape: int, low: float = -9, high: float = 9) -> Spec:
    return Spec(shape, types.i32, low, high)


def i64(*shape: int, low: float = -9, high: float = 9) -> Spec:
    return Spec(shape, types.i64, low, high)


def u8(*shape: int, low: float = 0, high: float = 9) -> Spec:
    return Spec(shape, types.u8, low, high)


def u16(*shape: int, low: float = 0, high: float = 9) -> Spec:
    return Spec(shape, types.u16, low, high)


def u32(*shape: int, low: float = 0, high: float = 9) -> Spec:
    return Spec(shape, types.u32, low, high)


def u64(*shape: int, low: float = 0, high: float = 9) -> Spec:
    return Spec(shape, types.u64, low, high)


def boolean(*shape: int, low: float = 0) -> Spec:
    """With ``low=1`` all are true."""
    return Spec(shape, types.bool_, low)
