"""Functions that choose between numbers, replace some of them, or divide them.

``x`` and ``y`` are tensors, or what makes them: arrays, lists, numbers; they broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

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
    renewed,
    require_dtype,
)
from nets.frontend.tensor.functions import arithmetic
from nets.frontend.tensor.functions.arithmetic import (
    floor_divide,
    multiply,
    remainder,
    where,
)
from nets.frontend.tensor.functions.comparison import (
    equal,
    greater,
    greater_equal,
    isnan,
    less_equal,
    logical_or,
)
from nets.frontend.tensor.functions.gradient import stop_gradient
from nets.frontend.tensor.tensor import Tensor
from nets.ir.types import DType, i8, u8, u16, u32, u64


def fmax(x: TensorLike, y: TensorLike) -> Tensor:
    """The larger of x and y, and the other one where one is NaN. At a tie x gets the gradient."""
    return _extreme(greater_equal, x, y)


def fmin(x: TensorLike, y: TensorLike) -> Tensor:
    """The smaller of x and y, and the other one where one is NaN. At a tie x gets the gradient."""
    return _extreme(less_equal, x, y)


def _extreme(wins: Callable[..., Tensor], x: TensorLike, y: TensorLike) -> Tensor:
    first, second = broadcast(*promote(x, y))
    return where(logical_or(wins(first, second), isnan(second)), first, second)


def fmod(x: TensorLike, y: TensorLike) -> Tensor:
    """What a division truncated towards 0 leaves, exactly, with the sign of x.

    Integers by zero give 0, floats NaN. Bools are taken as int8.
    """
    return elementwise("fmod", *_counted(*promote(x, y)))


def divmod(x: TensorLike, y: TensorLike) -> tuple[Tensor, Tensor]:
    """The floor of the quotient and what it leaves: floor_divide and remainder."""
    return floor_divide(x, y), remainder(x, y)


def gcd(x: TensorLike, y: TensorLike) -> Tensor:
    """The greatest common divisor of the magnitudes of integers; 0 of two zeros.

    DTypeError for floats and for bools.
    """
    return elementwise("gcd", *_integers("gcd", x, y))


def lcm(x: TensorLike, y: TensorLike) -> Tensor:
    """The least common multiple of the magnitudes of integers, modulo two to their width; 0 where
    one is 0. DTypeError for floats and for bools."""
    first, second = broadcast(*_integers("lcm", x, y))
    dtype = first.type.dtype
    own = _unsigned(dtype)
    a, b = (cast(arithmetic.abs(z), own) for z in (first, second))
    return cast(multiply(floor_divide(a, apply("gcd", a, b)), b), dtype)


def _unsigned(dtype: DType) -> DType:
    return {1: u8, 2: u16, 4: u32, 8: u64}[dtype.itemsize]


def _integers(name: str, x: TensorLike, y: TensorLike) -> list[Tensor]:
    operands = promote(x, y)
    require_dtype(operands[0], "iu", f"{name} takes integers")
    return operands


def _counted(*operands: Tensor) -> list[Tensor]:
    """Bools, all of them, as int8, as NumPy has them where numbers are meant."""
    return [cast(x, i8) if x.type.dtype.is_bool else x for x in operands]


def heaviside(x: TensorLike, value: TensorLike) -> Tensor:
    """0 below 0, 1 above, ``value`` at 0; NaN stays. The derivative by x is 0."""
    first, second = broadcast(*promote(x, value, floating=True))
    fixed = stop_gradient(first)
    step = where(isnan(fixed), fixed, greater(fixed, 0))
    return where(equal(fixed, 0), second, step)


def nan_to_num(
    x: TensorLike,
    copy: bool = True,
    nan: TensorLike = 0.0,
    posinf: TensorLike | None = None,
    neginf: TensorLike | None = None,
) -> Tensor:
    """x with ``nan`` for NaN, and ``posinf`` and ``neginf`` for the infinities.

    None stands for the largest and for the smallest finite number of the dtype. ``copy`` means
    nothing here: the result is always another tensor. Integers stay as they are.
    """
    tensor = as_tensor(x)
    if not tensor.type.dtype.is_float:
        return renewed(tensor)
    largest = float(np.finfo(str(tensor.type.dtype.numpy)).max)
    result = where(isnan(tensor), nan, tensor)
    result = where(equal(tensor, math.inf), largest if posinf is None else posinf, result)
    return where(equal(tensor, -math.inf), -largest if neginf is None else neginf, result)


def isposinf(x: TensorLike) -> Tensor:
    """Whether it is +inf."""
    return _is(x, math.inf)


def isneginf(x: TensorLike) -> Tensor:
    """Whether it is −inf."""
    return _is(x, -math.inf)


def _is(x: TensorLike, number: float) -> Tensor:
    tensor = as_tensor(x)
    if not tensor.type.dtype.is_float:
        return expand(as_tensor(False), tensor.shape)
    return equal(tensor, number)


def real(x: TensorLike) -> Tensor:
    """The real part: x itself, for there are no complex tensors."""
    return renewed(as_tensor(x))


def conj(x: TensorLike) -> Tensor:
    """The conjugate: x itself, for there are no complex tensors."""
    return renewed(as_tensor(x))


def imag(x: TensorLike) -> Tensor:
    """The imaginary part: zeros, for there are no complex tensors."""
    tensor = as_tensor(x)
    return expand(cast(as_tensor(0), tensor.type.dtype), tensor.shape)


def fabs(x: TensorLike) -> Tensor:
    """The magnitude of x as a float."""
    return arithmetic.abs(as_float(x))
