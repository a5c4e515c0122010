"""Rules of canonicalize for elementwise ops. Each is exact; see ``patterns``."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nets.ir.core import Operation, Value
from nets.ir.types import DType
from nets.ops.definition.emitter import GraphEmitter
from nets.passes.simplify.patterns import filling, is_of_sizes, made_by, rule


def _is(value: Value, number: float) -> bool:
    """Whether all elements are that number; zeros of floats are told apart by sign."""
    found = filling(value)
    return found is not None and _same(found, number)


def _same(found: Any, number: float) -> bool:
    if isinstance(found, np.floating) and found == number == 0:
        return bool(np.signbit(found)) == bool(np.signbit(number))
    return bool(found == number)


def _is_float(value: Value) -> bool:
    return value.type.dtype.is_float


def _negated(value: Value) -> Value | None:
    """What the value is the negative of."""
    op = made_by(value, "negative")
    return op.operands[0] if op is not None else None


# ------------------------------------------------------------------------ sums and products


@rule("add")
def add_nothing(op: Operation, b: GraphEmitter) -> Value | None:
    """x + (−0.0) is x, but −0.0 + 0.0 is 0.0, so 0.0 is neutral for integers only."""
    x, y = op.operands
    return x if _is(y, -0.0 if _is_float(x) else 0) else None


@rule("add")
def add_negative(op: Operation, b: GraphEmitter) -> Value | None:
    """x + (−y) is x − y, and (−x) + y is y − x."""
    x, y = op.operands
    if (positive := _negated(y)) is not None:
        return b.sub(x, positive)
    if (positive := _negated(x)) is not None:
        return b.sub(y, positive)
    return None


@rule("subtract")
def subtract_nothing(op: Operation, b: GraphEmitter) -> Value | None:
    """x − 0.0 is x, and −0.0 − 0.0 too; x − (−0.0) is not for x = −0.0."""
    x, y = op.operands
    return x if _is(y, 0) else None


@rule("subtract")
def subtract_negative(op: Operation, b: GraphEmitter) -> Value | None:
    """x − (−y) is x + y."""
    x, y = op.operands
    positive = _negated(y)
    return b.add(x, positive) if positive is not None else None


@rule("subtract")
def subtract_from_nothing(op: Operation, b: GraphEmitter) -> Value | None:
    """−0.0 − x is −x, but 0.0 − 0.0 is 0.0, so 0 − x is −x for integers only."""
    x, y = op.operands
    return b.neg(y) if _is(x, -0.0 if _is_float(x) else 0) else None


@rule("subtract", "bitwise_xor")
def subtract_itself(op: Operation, b: GraphEmitter) -> Value | None:
    """x − x is 0 and so is x ^ x; not for floats, where NaN − NaN is NaN."""
    x, y = op.operands
    return b.zero(x) if x is y and not _is_float(x) else None


@rule("multiply")
def multiply_by_one(op: Operation, b: GraphEmitter) -> Value | None:
    """x · 1 is x."""
    x, y = op.operands
    return x if _is(y, 1) else None


@rule("multiply", "bitwise_and")
def multiply_by_zero(op: Operation, b: GraphEmitter) -> Value | None:
    """x · 0 is 0 for integers; not for floats, where 0 · −1 is −0.0 and 0 · inf is NaN."""
    x, y = op.operands
    return y if not _is_float(x) and _is(y, 0) else None


@rule("multiply")
def multiply_negatives(op: Operation, b: GraphEmitter) -> Value | None:
    """(−x) · (−y) is x · y."""
    x, y = (_negated(operand) for operand in op.operands)
    return b.mul(x, y) if x is not None and y is not None else None


@rule("divide", "floor_divide")
def divide_by_one(op: Operation, b: GraphEmitter) -> Value | None:
    """x / 1 is x, and so is the floor of the quotient for integers."""
    x, y = op.operands
    if op.name == "floor_divide" and _is_float(x):
        return None
    return x if _is(y, 1) else None


@rule("divide")
def divide_by_power_of_two(op: Operation, b: GraphEmitter) -> Value | None:
    """x / 2ⁿ is x · 2⁻ⁿ: both round the same number, as long as 2⁻ⁿ is a normal number."""
    x, y = op.operands
    number = filling(y)
    if number is None or not np.isfinite(number) or abs(np.frexp(number)[0]) != 0.5:
        return None
    with np.errstate(over="ignore"):
        inverse = 1 / number
    if not np.isfinite(inverse) or abs(inverse) < np.finfo(number.dtype).tiny:
        return None
    return b.mul(x, b.full_like(x, float(inverse)))


@rule("leaf")
def leaf_without_derivative(op: Operation, b: GraphEmitter) -> Value | None:
    """Only derivatives tell the two apart, and they have been taken: y need not be read."""
    return b.emit("stop_gradient", op.operands[0])


@rule("negative")
def negative_twice(op: Operation, b: GraphEmitter) -> Value | None:
    """−(−x) is x."""
    return _negated(op.operands[0])


@rule("abs")
def abs_of_sign(op: Operation, b: GraphEmitter) -> Value | None:
    """|−x| and ||x|| are |x|, and |x| is x where x is unsigned."""
    (x,) = op.operands
    if x.type.dtype.kind == "u" or made_by(x, "abs") is not None:
        return x
    positive = _negated(x)
    return b.emit("abs", positive) if positive is not None else None


@rule("power")
def power_of_small_exponent(op: Operation, b: GraphEmitter) -> Value | None:
    """x⁰, x¹, x², x³ and x⁻¹ by products and division.

    Exact for integers, exponents 0 and 1. For floats x² and 1/x are correctly rounded and x³ is
    within 1.5 ULP, where power itself may be off by 2 ULP. Not x^0.5: it differs from the square
    root at −0.0 and −inf.
    """
    x, y = op.operands
    exponent = filling(y)
    if exponent is None:
        return None
    if exponent == 0:
        return b.one(x)
    if exponent == 1:
        return x
    if exponent == 2:
        return b.mul(x, x)
    if exponent == 3:
        return b.mul(b.mul(x, x), x)
    if exponent == -1 and _is_float(x):
        return b.div(b.one(x), x)
    return None


@rule("power")
def power_of_size(op: Operation, b: GraphEmitter) -> Value | None:
    """Where only a call tells the exponent: what the rule above makes of it, if it is one of those.

    The power that stays has the exponent 0 in their place.
    """
    x, y = op.operands
    if not _is_float(x) or not is_of_sizes(y):
        return None
    square, zero = b.mul(x, x), b.zero(y)
    simpler = {0: b.one(x), 1: x, 2: square, 3: b.mul(square, x), -1: b.div(b.one(x), x)}
    chosen = [(b.compare("equal", y, b.full_like(y, n)), value) for n, value in simpler.items()]
    exponent = functools.reduce(lambda found, choice: b.select(choice[0], zero, found), chosen, y)
    power = b.emit("power", x, exponent)
    return functools.reduce(
        lambda found, choice: b.select(choice[0], choice[1], found), chosen, power
    )


# ----------------------------------------------------------------- choices, bits, comparisons


@rule("maximum", "minimum", "bitwise_and", "bitwise_or")
def both_the_same(op: Operation, b: GraphEmitter) -> Value | None:
    """The larger or smaller of x and x is x, and so are x & x and x | x."""
    x, y = op.operands
    return x if x is y else None


@rule("select")
def select_known(op: Operation, b: GraphEmitter) -> Value | None:
    """A constant condition picks an operand; equal operands need no condition."""
    condition, x, y = op.operands
    if x is y or _is(condition, True):
        return x
    return y if _is(condition, False) else None


@rule("select")
def select_not(op: Operation, b: GraphEmitter) -> Value | None:
    """select(not c, x, y) is select(c, y, x)."""
    condition, x, y = op.operands
    inverted = made_by(condition, "bitwise_invert")
    return b.select(inverted.operands[0], y, x) if inverted is not None else None


@rule("bitwise_invert")
def invert_twice(op: Operation, b: GraphEmitter) -> Value | None:
    """Flipping every bit twice changes nothing."""
    inverted = made_by(op.operands[0], "bitwise_invert")
    return inverted.operands[0] if inverted is not None else None


@rule("bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift")
def bits_with_nothing(op: Operation, b: GraphEmitter) -> Value | None:
    """x | 0, x ^ 0, x << 0 and x >> 0 are x."""
    x, y = op.operands
    return x if _is(y, 0) else None


@rule("bitwise_and", "bitwise_or")
def bits_with_all(op: Operation, b: GraphEmitter) -> Value | None:
    """x & all is x, and x | all is all, where all has every bit set."""
    x, y = op.operands
    number = filling(y)
    if number is None or np.invert(number) != 0:
        return None
    return x if op.name == "bitwise_and" else y


_OF_EQUALS = {
    "equal": True,
    "less_equal": True,
    "greater_equal": True,
    "not_equal": False,
    "less": False,
    "greater": False,
}


@rule(*_OF_EQUALS)
def compare_with_itself(op: Operation, b: GraphEmitter) -> Value | None:
    """x compared with x is known unless x may be NaN."""
    x, y = op.operands
    if x is not y or _is_float(x):
        return None
    return b.full_like(op.result, _OF_EQUALS[op.name])


# --------------------------------------------------------------------------- rounding, casts

_ROUNDING = ("floor", "ceil", "round", "trunc")


@rule(*_ROUNDING)
def round_twice(op: Operation, b: GraphEmitter) -> Value | None:
    """Rounding what is integral already changes nothing."""
    (x,) = op.operands
    return x if made_by(x, *_ROUNDING) is not None else None


@rule("cast")
def cast_to_same(op: Operation, b: GraphEmitter) -> Value | None:
    """A cast to the dtype of the operand changes nothing."""
    (x,) = op.operands
    return x if x.type == op.result.type else None


@rule("cast")
def cast_through_wider(op: Operation, b: GraphEmitter) -> Value | None:
    """A cast by way of a dtype that holds every value of the first one is one cast.

    An integer by way of a float to an integer saturates, where the direct cast wraps around; so
    there the last dtype must hold every value of the first one as well.
    """
    inner = made_by(op.operands[0], "cast")
    if inner is None:
        return None
    (x,) = inner.operands
    first, middle, last = x.type.dtype, inner.result.type.dtype, op.result.type.dtype
    if not _holds(middle, first):
        return None
    if first.is_integer and middle.is_float and last.is_integer and not _holds(last, first):
        return None
    return b.cast(x, last)


_MANTISSA = {4: 24, 8: 53}


def _holds(outer: DType, inner: DType) -> bool:
    """Whether every value of ``inner`` is a value of ``outer``."""
    if inner.is_bool or inner == outer:
        return True
    if outer.is_bool:
        return False
    bits = inner.bits - (inner.kind == "i")
    if outer.is_float:
        return outer.bits >= inner.bits if inner.is_float else bits <= _MANTISSA[outer.itemsize]
    if inner.is_float or (inner.kind == "i" and outer.kind == "u"):
        return False
    return bits <= outer.bits - (outer.kind == "i")
