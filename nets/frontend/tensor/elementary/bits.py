"""Bits of numbers: floats taken apart and put together, and the numbers next to a number.

``x`` is a tensor, or what makes one: an array, a list, a number.
"""

from __future__ import annotations

import math
from typing import Final

import numpy.typing as npt

from nets.errors import DTypeError, ShapeError
from nets.frontend.tensor.conversion import dtype_of
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_float,
    as_tensor,
    broadcast,
    cast,
    elementwise,
    expand,
    promote,
    shape_text,
)
from nets.frontend.tensor.functions import arithmetic
from nets.frontend.tensor.functions.arithmetic import (
    add,
    bitwise_and,
    bitwise_left_shift,
    bitwise_right_shift,
    clip,
    multiply,
    negative,
    subtract,
    where,
)
from nets.frontend.tensor.functions.comparison import equal, isfinite, isnan, less, logical_or
from nets.frontend.tensor.functions.creation import arange
from nets.frontend.tensor.functions.gradient import stop_gradient
from nets.frontend.tensor.functions.mathematics import trunc
from nets.frontend.tensor.functions.reduction import sum as total
from nets.frontend.tensor.functions.shape import expand_dims
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import DType, f32, i32, i64, u8, u16, u32, u64


def _integer_of(dtype: DType) -> DType:
    """The integers of the size of a float dtype."""
    return i32 if dtype == f32 else i64


def _fraction_bits(dtype: DType) -> int:
    return 23 if dtype == f32 else 52


def _bias(dtype: DType) -> int:
    return 127 if dtype == f32 else 1023


def _bits(x: Tensor) -> Tensor:
    return apply("bitcast", stop_gradient(x), dtype=_integer_of(x.type.dtype))


_UNSIGNED: Final = {dtype.itemsize: dtype for dtype in (u8, u16, u32, u64)}


def bitcast_convert_type(operand: TensorLike, new_dtype: npt.DTypeLike | DType) -> Tensor:
    """The bits of ``operand`` as numbers of ``new_dtype``, as in JAX: a float32 as an int32, say.

    Of a narrower dtype each element gives several, along a new last axis, the lowest bits first. Of
    a wider one the elements of the last axis are one together. There is no gradient. DTypeError
    for bools, ShapeError for a last axis of another size.
    """
    tensor, dtype = stop_gradient(as_tensor(operand)), dtype_of(new_dtype)
    own = tensor.type.dtype
    if own.is_bool or dtype.is_bool:
        raise DTypeError(f"bits are those of numbers, not of {own} as {dtype}", user_location())
    if own.itemsize > dtype.itemsize:
        tensor = _parts(tensor, dtype)
    if own.itemsize < dtype.itemsize:
        tensor = _joined(tensor, dtype)
    return apply("bitcast", tensor, dtype=dtype)


def _parts(x: Tensor, dtype: DType) -> Tensor:
    """The bits of each element in pieces of the size of a dtype, the lowest first."""
    whole, part = (_UNSIGNED[d.itemsize] for d in (x.type.dtype, dtype))
    shifts = arange(0, 8 * whole.itemsize, 8 * part.itemsize, dtype=whole)
    bits = expand_dims(apply("bitcast", x, dtype=whole), -1)
    low = bitwise_and(bitwise_right_shift(bits, shifts), (1 << 8 * part.itemsize) - 1)
    return cast(low, part)


def _joined(x: Tensor, dtype: DType) -> Tensor:
    """The bits of the elements along the last axis, the lowest first, as one number."""
    part, whole = (_UNSIGNED[d.itemsize] for d in (x.type.dtype, dtype))
    count = whole.itemsize // part.itemsize
    if not x.ndim or x.shape[-1] != count:
        raise ShapeError(
            f"{count} elements of {x.type.dtype} along the last axis have the bits of one {dtype}, "
            f"not those of shape {shape_text(tuple(x.shape))}",
            user_location(),
        )
    shifts = arange(0, 8 * whole.itemsize, 8 * part.itemsize, dtype=whole)
    bits = bitwise_left_shift(cast(apply("bitcast", x, dtype=part), whole), shifts)
    return total(bits, axis=-1, dtype=whole)


def signbit(x: TensorLike) -> Tensor:
    """Whether the sign is minus, that of −0 and of NaN included."""
    tensor = as_tensor(x)
    if tensor.type.dtype.is_bool:
        return expand(as_tensor(False), tensor.shape)
    return less(_bits(tensor) if tensor.type.dtype.is_float else tensor, 0)


def copysign(x: TensorLike, y: TensorLike) -> Tensor:
    """The magnitude of x with the sign of y. The derivative by x is 0 where x is 0."""
    first, second = broadcast(*promote(x, y, floating=True))
    size = arithmetic.abs(first)
    return apply("select", signbit(second), negative(size), size)


def nextafter(x: TensorLike, y: TensorLike) -> Tensor:
    """The number of the dtype that is next to x on the side of y.

    Its derivative is 1 by x and 0 by y; where they are equal, 0 by x and 1 by y.
    """
    operands = broadcast(*promote(x, y, floating=True))
    first, second = map(stop_gradient, operands)
    dtype = first.type.dtype
    bits = _bits(first)
    away = equal(less(first, second), less(0, first))
    step = subtract(multiply(cast(away, _integer_of(dtype)), 2), 1)
    moved = apply("bitcast", add(bits, step), dtype=dtype)
    least = apply("bitcast", cast(as_tensor(1), _integer_of(dtype)), dtype=dtype)
    result = where(equal(first, 0), copysign(least, second), moved)
    result = where(equal(first, second), second, result)
    result = where(logical_or(isnan(first), isnan(second)), add(first, second), result)
    near = apply("select", equal(first, second), operands[1], operands[0])
    near = where(isfinite(near), near, 0)
    return subtract(result, subtract(stop_gradient(near), near))  # less 0, which has a derivative


def spacing(x: TensorLike) -> Tensor:
    """The distance from x to the next number of the dtype away from 0, with the sign of x, but for
    −0; NaN at ±inf. Its derivative is 0."""
    tensor = stop_gradient(as_float(x))
    tensor = where(equal(tensor, 0), 0, tensor)
    return subtract(nextafter(tensor, copysign(math.inf, tensor)), tensor)


def _power_of_two(exponent: Tensor, dtype: DType) -> Tensor:
    """2 to the power of integers for which that is a normal number."""
    biased = add(exponent, _bias(dtype))
    shifted = elementwise("bitwise_left_shift", biased, _fraction_bits(dtype))
    return apply("bitcast", shifted, dtype=dtype)


def _times_power(x: Tensor, exponent: Tensor) -> Tensor:
    """x · 2**exponent in two steps; the first is exact where x is from ½ to 1."""
    half = elementwise("bitwise_right_shift", exponent, 1)
    dtype = x.type.dtype
    first = multiply(x, _power_of_two(half, dtype))
    return multiply(first, _power_of_two(subtract(exponent, half), dtype))


def _exponent(x: Tensor) -> Tensor:
    """e with x = m · 2**e and ½ ≤ |m| < 1; 0 for zeros, infinities and NaN."""
    dtype = x.type.dtype
    size, lift = arithmetic.abs(stop_gradient(x)), _fraction_bits(dtype) + 1
    small = less(size, 2.0 ** (1 - _bias(dtype)))
    lifted = where(small, multiply(size, 2.0**lift), size)
    lift_of = multiply(cast(small, _integer_of(dtype)), lift)
    field = elementwise("bitwise_right_shift", _bits(lifted), _fraction_bits(dtype))
    exponent = subtract(field, add(_bias(dtype) - 1, lift_of))
    ordinary = elementwise("bitwise_and", less(0, size), less(size, math.inf))
    return where(ordinary, exponent, 0)


def frexp(x: TensorLike) -> tuple[Tensor, Tensor]:
    """(m, e) with x = m · 2**e, ½ ≤ |m| < 1, and e an int32; (x, 0) for zeros, infinities and NaN.

    The derivative of m is 2**−e.
    """
    tensor = as_float(x)
    exponent = _exponent(tensor)
    return _times_power(tensor, negative(exponent)), cast(exponent, i32)


def ldexp(x: TensorLike, exponent: TensorLike) -> Tensor:
    """x · 2**exponent, rounded once; DTypeError for exponents that are no integers."""
    tensor, given = as_float(x), as_tensor(exponent)
    if not given.type.dtype.is_integer and not given.type.dtype.is_bool:
        raise DTypeError(f"ldexp takes integers as exponents, not {given.type}", user_location())
    tensor, given = broadcast(tensor, given)
    dtype, own = tensor.type.dtype, _exponent(tensor)
    most = 4 * _bias(dtype)
    total = add(own, cast(clip(cast(given, i64), -most, most), _integer_of(dtype)))
    limit = _bias(dtype) + _fraction_bits(dtype) + 2
    return _times_power(_times_power(tensor, negative(own)), clip(total, -limit, limit))


def modf(x: TensorLike) -> tuple[Tensor, Tensor]:
    """The fraction and the integral part of x, both with its sign. The fraction has slope 1."""
    tensor = as_float(x)
    minus = signbit(tensor)
    size = where(minus, negative(tensor), tensor)
    fraction = where(equal(size, math.inf), 0, subtract(size, stop_gradient(trunc(size))))
    return where(minus, negative(fraction), fraction), trunc(tensor)
