"""Arithmetic of two tensors, extremes, bits, and selection, with broadcasting and promotion.

Dtypes promote as in NumPy 2; a Python number takes the dtype of the tensor where it can.
"""

from __future__ import annotations

from nets.errors import DTypeError
from nets.frontend.conversion import is_scalar
from nets.frontend.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    broadcast,
    cast,
    elementwise,
    promote,
)
from nets.frontend.scope import user_location
from nets.frontend.tensor import Tensor
from nets.ir.types import bool_, i8


def add(x: TensorLike, y: TensorLike) -> Tensor:
    """x + y; on bools, x or y."""
    return _numbers("add", x, y, of_bools="bitwise_or")


def subtract(x: TensorLike, y: TensorLike) -> Tensor:
    """x − y."""
    return elementwise("subtract", x, y)


def multiply(x: TensorLike, y: TensorLike) -> Tensor:
    """x · y, element by element; on bools, x and y."""
    return _numbers("multiply", x, y, of_bools="bitwise_and")


def _numbers(name: str, x: TensorLike, y: TensorLike, of_bools: str) -> Tensor:
    operands = broadcast(*promote(x, y))
    return apply(of_bools if operands[0].type.dtype.is_bool else name, *operands)


def divide(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y in floating point; integers are divided as float64."""
    return elementwise("divide", x, y, floating=True)


def floor_divide(x: TensorLike, y: TensorLike) -> Tensor:
    """The floor of the quotient; integers by zero give 0. Bools are taken as int8."""
    return _counting("floor_divide", x, y)


def remainder(x: TensorLike, y: TensorLike) -> Tensor:
    """What floor_divide leaves, with the sign of y; integers by zero give 0."""
    return _counting("remainder", x, y)


def _counting(name: str, x: TensorLike, y: TensorLike) -> Tensor:
    """An op on numbers; two bools, which it does not take, become int8, as in NumPy."""
    operands = promote(x, y)
    if operands[0].type.dtype.is_bool:
        operands = [cast(operand, i8) for operand in operands]
    return apply(name, *broadcast(*operands))


def pow(x: TensorLike, y: TensorLike) -> Tensor:
    """x to the power of y.

    The exponents 1 and 2 as Python numbers give x and x · x exactly. DTypeError for an integer
    tensor to a negative Python int, whose value is no integer.
    """
    if not is_scalar(y) or isinstance(y, bool):
        return _counting("power", x, y)
    base, exponent = promote(x, y)
    if y == 1 or y == 2:
        return base if y == 1 else apply("multiply", base, base)
    if y < 0 and base.type.dtype.is_integer:
        raise DTypeError(
            f"integers to the negative power {y} are no integers: write x ** {float(y)}",
            user_location(),
        )
    return apply("power", *broadcast(base, exponent))


def inverse(x: TensorLike) -> Tensor:
    """1 / x, element by element."""
    return divide(1, x)


def negative(x: TensorLike) -> Tensor:
    """−x."""
    return apply("negative", as_tensor(x))


def positive(x: TensorLike) -> Tensor:
    """x as a tensor."""
    return as_tensor(x)


def abs(x: TensorLike) -> Tensor:
    """Magnitude of x; its derivative at 0 is 0."""
    tensor = as_tensor(x)
    return tensor if tensor.type.dtype.is_bool else apply("abs", tensor)


def sign(x: TensorLike) -> Tensor:
    """−1, 0 or 1 by the sign of x; NaN stays."""
    return apply("sign", as_tensor(x))


def square(x: TensorLike) -> Tensor:
    """x · x."""
    return multiply(x, x)


def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """The larger of x and y; NaN in either gives NaN. At a tie each gets half the gradient."""
    return elementwise("maximum", x, y)


def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """The smaller of x and y; NaN in either gives NaN. At a tie each gets half the gradient."""
    return elementwise("minimum", x, y)


def clip(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """x moved into [min, max]; either bound may be missing. NaN stays.

    The gradient passes where x is inside or on a bound, and nowhere else.
    """
    result = as_tensor(x)
    for inside, bound in (("greater_equal", min), ("less_equal", max)):
        if bound is not None:
            value, limit = broadcast(*promote(result, bound))
            is_nan = apply("not_equal", value, value)
            kept = apply("bitwise_or", apply(inside, value, limit), is_nan)
            result = apply("select", kept, value, limit)
    return result


def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """x where the condition is not zero, else y. The gradient goes to what was chosen."""
    chosen = as_bool(condition)
    return apply("select", *broadcast(chosen, *promote(x, y)))


def as_bool(x: TensorLike) -> Tensor:
    """Whether each element is not zero."""
    return cast(as_tensor(x), bool_)


def bitwise_and(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits set in both integers; on bools, x and y."""
    return elementwise("bitwise_and", x, y)


def bitwise_or(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits set in either integer; on bools, x or y."""
    return elementwise("bitwise_or", x, y)


def bitwise_xor(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits in which two integers differ; on bools, whether they differ."""
    return elementwise("bitwise_xor", x, y)


def bitwise_invert(x: TensorLike) -> Tensor:
    """Every bit flipped; on bools, not x."""
    return apply("bitwise_invert", as_tensor(x))


def bitwise_left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x shifted up by y bits; 0 where y is negative or not below the width. Bools are taken as
    int8."""
    return _counting("bitwise_left_shift", x, y)


def bitwise_right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x shifted down by y bits, keeping its sign. Bools are taken as int8."""
    return _counting("bitwise_right_shift", x, y)
