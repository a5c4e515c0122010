"""Arithmetic of two tensors, extremes, bits, and selection, with broadcasting and promotion.

Dtypes promote as in NumPy 2; a Python number takes the dtype of the tensor where it can.

``x`` and ``y`` are tensors, or what makes them: arrays, lists, numbers; they broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any, overload

from nets.errors import ArgumentError
from nets.frontend.tensor.conversion import is_scalar
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    broadcast,
    cast,
    confined,
    dtype_of_all,
    elementwise,
    fitted,
    known_number,
    limits_of,
    promote,
    renewed,
)
from nets.frontend.tensor.functions.gradient import stop_gradient
from nets.frontend.tensor.python_numbers import are_python_numbers, not_negative, of_python_numbers
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import DType, bool_, i8


def add(x: TensorLike, y: TensorLike) -> Tensor:
    """x + y; on bools, x or y."""
    return _numbers("add", x, y, of_bools="bitwise_or")


def subtract(x: TensorLike, y: TensorLike) -> Tensor:
    """x − y."""
    return _result("subtract", promote(x, y))


def multiply(x: TensorLike, y: TensorLike) -> Tensor:
    """x · y, element by element; on bools, x and y."""
    return _numbers("multiply", x, y, of_bools="bitwise_and")


def _numbers(name: str, x: TensorLike, y: TensorLike, of_bools: str) -> Tensor:
    operands = promote(x, y)
    if operands[0].type.dtype.is_bool and not are_python_numbers(*operands):
        return apply(of_bools, *broadcast(*operands))
    return _result(name, operands)


def _result(name: str, operands: Sequence[Tensor]) -> Tensor:
    """The op on operands of one dtype; Python numbers with each other are computed as in Python."""
    if operands[0]._weak and are_python_numbers(*operands):
        return of_python_numbers(name, *operands)
    return apply(name, *broadcast(*operands))


def divide(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y in floating point; integers are divided as float64."""
    return _result("divide", promote(x, y, floating=True))


def floor_divide(x: TensorLike, y: TensorLike) -> Tensor:
    """The floor of the quotient; integers by zero give 0. Bools are taken as int8."""
    return _counting("floor_divide", x, y)


def remainder(x: TensorLike, y: TensorLike) -> Tensor:
    """What floor_divide leaves, with the sign of y; integers by zero give 0."""
    return _counting("remainder", x, y)


def _counting(name: str, x: TensorLike, y: TensorLike) -> Tensor:
    """An op on numbers; two bools, which it does not take, become int8, as in NumPy."""
    operands = promote(x, y)
    if operands[0].type.dtype.is_bool and not are_python_numbers(*operands):
        operands = [cast(operand, i8) for operand in operands]
    return _result(name, operands)


def pow(x: TensorLike, y: TensorLike) -> Tensor:
    """x to the power of y.

    The exponents 1 and 2 as Python numbers give x and x · x exactly. NegativePowerError for
    integers to the power of a negative integer, whose value is no integer. Derivatives where x is
    0: by x, 0 for y = 0; by y, 0 for y ≥ 0 and −inf below.
    """
    if is_scalar(y) and not isinstance(y, bool) and y in (1, 2):
        base, _ = promote(x, y)
        return renewed(base) if y == 1 else _result("multiply", (base, base))
    base, exponent = promote(x, y)
    if base.type.dtype.is_bool and not are_python_numbers(base, exponent):
        base, exponent = cast(base, i8), cast(exponent, i8)
    return _result("power", (base, not_negative(exponent, "power")))


def inverse(x: TensorLike) -> Tensor:
    """1 / x, element by element."""
    return divide(1, x)


def negative(x: TensorLike) -> Tensor:
    """−x."""
    return _result("negative", [as_tensor(x)])


def positive(x: TensorLike) -> Tensor:
    """+x: the elements of x in a new tensor."""
    return renewed(as_tensor(x))


def abs(x: TensorLike) -> Tensor:
    """Magnitude of x; its derivative is the sign, which at 0 is 0 and of NaN NaN."""
    tensor = as_tensor(x)
    return renewed(tensor) if tensor.type.dtype.is_bool else _result("abs", [tensor])


def sign(x: TensorLike) -> Tensor:
    """−1, 0 or 1 by the sign of x; NaN stays."""
    return apply("sign", as_tensor(x))


def square(x: TensorLike) -> Tensor:
    """x · x."""
    return multiply(x, x)


def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """The larger of x and y; NaN in either gives NaN.

    At a tie each gets half the gradient; the one that is NaN gets it whole, and x if both are.
    """
    return elementwise("maximum", x, y)


def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """The smaller of x and y; NaN in either gives NaN.

    At a tie each gets half the gradient; the one that is NaN gets it whole, and x if both are.
    """
    return elementwise("minimum", x, y)


def clip(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """x moved into [min, max]; either bound may be missing. NaN stays.

    A Python number beyond what the integers of x can be is no bound, on the side where it makes
    no difference, and a NumberError on the other. The gradient passes where x is inside or on a
    bound, and nowhere else, NaN included.
    """
    given = [y if is_scalar(y) else as_tensor(y) for y in (x, min, max) if y is not None]
    dtype = dtype_of_all(given)
    result = fitted(given[0], dtype)
    for inside, bound in (("greater_equal", min), ("less_equal", max)):
        limit = None if bound is None else _limit(bound, dtype, inside)
        if limit is not None:
            value, limit = broadcast(result, limit)
            outside = limit
            if dtype.is_float:
                is_nan = apply("not_equal", value, value)
                outside = apply("select", is_nan, stop_gradient(value), limit)
            result = apply("select", apply(inside, value, limit), value, outside)
    return renewed(result) if min is None and max is None else result


def _limit(bound: TensorLike, dtype: DType, inside: str) -> Tensor | None:
    """A bound in the dtype of what it bounds; None for a Python number that lets all pass."""
    if dtype.is_integer and (is_scalar(bound) or as_tensor(bound)._weak):
        least, largest = limits_of(dtype)
        number = bound if is_scalar(bound) else known_number(as_tensor(bound))
        if number is None:
            open_side = (least, math.inf) if inside == "greater_equal" else (-math.inf, largest)
            bound = confined(as_tensor(bound), open_side)
        elif number < least if inside == "greater_equal" else number > largest:
            return None
    return fitted(bound, dtype)


@overload
def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor: ...
@overload
def where(condition: TensorLike, **options: Any) -> tuple[Tensor, ...]: ...
def where(condition: TensorLike, x: Any = None, y: Any = None, **options: Any) -> Any:
    """x where the condition is not zero, else y. The gradient goes to what was chosen.

    With neither, the positions where it is not zero, as ``nets.nonzero`` gives them, whose ``size``
    and ``fill_value`` it then takes. ArgumentError for one of the two alone. ``options`` are these.
    """
    if x is None and y is None:
        return import_module("nets.frontend.tensor.words.positions").nonzero(condition, **options)
    if x is None or y is None or options:
        raise ArgumentError(
            "where takes both x and y, and nothing else, or neither", user_location()
        )
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
