"""Arithmetic of Python numbers with each other inside a trace: what Python gives, or refused.

Python's integers have no end, those of a program have 64 bits. So what is computed of Python
integers alone (arguments of a traced function, and numbers in it) carries a check that the result
is the one Python would give, unless that is sure: NumberError where it is not, DivisionByZeroError
for a divisor that is zero.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

from nets.errors import DivisionByZeroError, NegativePowerError, NumberError
from nets.frontend.tensor.dispatch import (
    Bounds,
    apply,
    cast,
    described,
    elementwise,
    known_bounds,
    known_number,
    limits_of,
    note_bounds,
    require,
)
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import f64, i64

_DIVISIONS: Final = ("divide", "floor_divide", "remainder")
_OF_INTEGERS: Final[dict[str, Callable[..., int]]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "negative": operator.neg,
    "abs": abs,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "power": operator.pow,
    "bitwise_left_shift": operator.lshift,
}
"""Operations on integers whose results have bounds, or may need more bits than the operands."""

_MOST_BITS: Final = 64
"""Exponents and numbers of bits up to which bounds of results are computed."""


def are_python_numbers(*operands: Tensor) -> bool:
    """Whether they are Python numbers that a trace computes with."""
    return all(x._weak for x in operands) and current_scope() is not None


def of_python_numbers(name: str, *operands: Tensor) -> Tensor:
    """An operation on Python numbers of one dtype, which refuses what Python would not give."""
    if operands[0].type.dtype.is_bool:
        operands = tuple(cast(x, i64) for x in operands)
    if name in _DIVISIONS:
        operands = (operands[0], _divisor(operands[1]))
    if name in ("power", "bitwise_left_shift"):
        operands = (operands[0], not_negative(operands[1], name))
    result = apply(name, *operands)
    if name not in _OF_INTEGERS or not result.type.dtype.is_integer:
        return result
    return _exact(name, operands, result)


def _divisor(x: Tensor) -> Tensor:
    """A divisor, with a check unless it is sure not to be zero."""
    if x.type.dtype.is_integer:
        low, high = known_bounds(x)
        if not low <= 0 <= high:
            return x
    message = f"{described(x)} is zero and divides"
    return require(x, elementwise("not_equal", x, 0), DivisionByZeroError, message)


def not_negative(x: Tensor, name: str) -> Tensor:
    """An exponent of integers, or a number of bits, with a check unless that is sure."""
    is_signed = x.type.dtype.kind == "i"
    if not is_signed or (are_python_numbers(x) and known_bounds(x)[0] >= 0):
        return x
    message = (
        "integers to a negative power are no integers: write a float as exponent, x ** -1.0"
        if name == "power"
        else f"{described(x)} is a negative number of bits"
    )
    error = NegativePowerError if name == "power" else NumberError
    number = known_number(x) if x._weak else None
    if number is not None and number < 0:
        raise error(message, user_location())
    return require(x, elementwise("greater_equal", x, 0), error, message)


def _exact(name: str, operands: Sequence[Tensor], result: Tensor) -> Tensor:
    """The result of integers, with a check unless it is sure to be in range.

    In float64 the true result is known up to a few thousand; one that was cut off is 2⁶⁴ away
    from it or more.
    """
    dtype = result.type.dtype
    bounds, limits = _bounds(name, [known_bounds(x) for x in operands]), limits_of(dtype)
    if bounds is not None and limits[0] <= bounds[0] and bounds[1] <= limits[1]:
        note_bounds(result, bounds)
        return result
    rough = _roughly(name, [cast(x, f64) for x in operands])
    distance = apply("abs", apply("subtract", rough, cast(result, f64)))
    message = f"what Python numbers give here does not fit {dtype.numpy}"
    return require(result, elementwise("less", distance, 2.0**62), NumberError, message)


def _roughly(name: str, operands: Sequence[Tensor]) -> Tensor:
    if name != "bitwise_left_shift":
        return apply(name, *operands)
    return apply("multiply", operands[0], elementwise("power", 2.0, operands[1]))


def _bounds(name: str, operands: Sequence[Bounds]) -> Bounds | None:
    """Between which numbers a result lies; None where that is not known."""
    if name == "abs":
        return 0, max(map(abs, operands[0]))
    if name == "floor_divide":
        size = max(map(abs, operands[0]))
        return (0 if min(operands[0][0], operands[1][0]) >= 0 else -size), size
    if name == "remainder":
        low, high = operands[1]
        size = max(abs(low), abs(high), 1) - 1
        return (0 if low >= 0 else -size), size
    if name in ("power", "bitwise_left_shift"):
        is_small = operands[0][0] >= 0 <= operands[1][0] and operands[1][1] <= _MOST_BITS
        if not is_small:
            return None
    found = [_OF_INTEGERS[name](*corner) for corner in product(*operands)]
    return min(found), max(found)
